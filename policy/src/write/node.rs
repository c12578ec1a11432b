//! Prints YAML: block style, text quoted wherever any reader of YAML 1.1 or 1.2 could take it for something else.

/// A value to print. Mappings keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Flag(bool),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    Number(u64),
    Text(String),
}

impl Node {
    pub(crate) fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    pub(crate) fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Adds an entry to a mapping.
    pub(crate) fn insert(&mut self, key: &str, value: Self) {
        if let Self::Map(entries) = self {
            entries.push((key.to_owned(), value));
        }
    }

    /// Prints a document.
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        match self.inline() {
            Some(inline) => {
                out.push_str(&inline);
                out.push('\n');
            }
            None => self.block(&mut out, 0, true),
        }
        out
    }

    /// Prints the lines of a mapping or list. `indented` says whether the first line begins at the margin of its own.
    fn block(&self, out: &mut String, depth: usize, indented: bool) {
        let mut first = !indented;
        let mut margin = |out: &mut String| {
            if !std::mem::take(&mut first) {
                out.extend(std::iter::repeat_n(' ', depth));
            }
        };
        match self {
            Self::Map(entries) => {
                for (key, value) in entries {
                    margin(out);
                    out.push_str(&scalar(key));
                    out.push(':');
                    match value.inline() {
                        Some(inline) => {
                            out.push(' ');
                            out.push_str(&inline);
                            out.push('\n');
                        }
                        None => {
                            out.push('\n');
                            value.block(out, depth + 2, true);
                        }
                    }
                }
            }
            Self::List(values) => {
                for value in values {
                    margin(out);
                    out.push_str("- ");
                    match value.inline() {
                        Some(inline) => {
                            out.push_str(&inline);
                            out.push('\n');
                        }
                        None => value.block(out, depth + 2, false),
                    }
                }
            }
            Self::Flag(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }

    fn inline(&self) -> Option<String> {
        match self {
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(scalar(text)),
            Self::List(values) if values.is_empty() => Some("[]".to_owned()),
            Self::Map(entries) if entries.is_empty() => Some("{}".to_owned()),
            Self::List(values) => {
                let short: Option<Vec<String>> = values.iter().map(Self::word).collect();
                short.map(|words| format!("[{}]", words.join(", "))).filter(|line| line.len() <= 80)
            }
            Self::Map(_) => None,
        }
    }

    fn word(&self) -> Option<String> {
        match self {
            Self::Text(text) if is_plain(text) && !text.contains([':', '/', '@']) => Some(text.clone()),
            _ => None,
        }
    }
}

fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if text.bytes().all(|letter| letter == b' ' || letter.is_ascii_graphic()) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            ' ' => quoted.push(' '),
            letter if letter.is_ascii_graphic() || (!letter.is_ascii() && letter.is_alphanumeric()) => {
                quoted.push(letter);
            }
            letter => quoted.push_str(&match u32::from(letter) {
                code @ 0..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    quoted.push('"');
    quoted
}

/// Says whether every reader takes the bare text for this text.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
    let letters = text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"_./@+-:=".contains(&letter));
    if let Some(number) = text.strip_suffix(['d', 'h', 'm', 's']) {
        // An age, which is no number to anyone.
        if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) {
            return true;
        }
    }
    begins && letters && !text.ends_with(':') && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text))
}

const RESERVED: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

#[cfg(test)]
mod tests {
    use super::Node;

    #[test]
    fn whatever_a_text_holds_two_readers_read_it_back() {
        for text in [
            "",
            " ",
            "no",
            "Yes",
            "ON",
            "null",
            "~",
            "1.10",
            "0x1f",
            "1e3",
            "12:30",
            "90d",
            "d",
            "1_0s",
            "a=b",
            "2026-06-01",
            ".inf",
            "- a",
            "a: b",
            "a #b",
            "a:",
            "#a",
            "&a",
            "*a",
            "!a",
            "@a",
            "`a",
            "%a",
            "'",
            "\"",
            "it's",
            "{a}",
            "[a]",
            "a, b",
            "\n",
            "a\nb",
            "a\tb",
            "\u{85}",
            "\u{2028}",
            "\u{202e}",
            "\u{feff}",
            "\u{1f511}",
            "é",
            r"https://github\.com/o/r/.+",
            "=",
            "<<",
            "|",
            ">",
            "?",
            "? a",
            "---",
        ] {
            let printed = Node::map([("key", Node::text(text)), ("list", Node::List(vec![Node::text(text)]))]).print();
            let first: std::collections::BTreeMap<String, serde_json::Value> =
                serde_saphyr::from_str(&printed).unwrap();
            assert_eq!(first["key"], serde_json::Value::from(text), "{printed}");
            assert_eq!(first["list"][0], serde_json::Value::from(text), "{printed}");
            let second: serde_yaml::Value = serde_yaml::from_str(&printed).unwrap();
            assert_eq!(second["key"].as_str(), Some(text), "{printed}");
            assert!(printed.is_ascii() || text == "é", "{printed:?}");
        }
    }

    #[test]
    fn mappings_and_lists_nest_as_people_write_them() {
        let inner = Node::map([("a", Node::Number(1)), ("b", Node::List(vec![Node::text("p"), Node::text("q")]))]);
        let node = Node::map([("list", Node::List(vec![inner.clone(), inner])), ("none", Node::Map(vec![]))]);
        assert_eq!(node.print(), "list:\n  - a: 1\n    b: [p, q]\n  - a: 1\n    b: [p, q]\nnone: {}\n");
    }
}
