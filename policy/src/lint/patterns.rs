//! What the text of patterns gives away, and how values are written into a fix.

use regex_syntax::ast::{Ast, parse::Parser};

/// Returns the pattern with every bare dot between other text escaped, and how many there are; none where there is none.
///
/// Dots that are repeated are left: `.*` and `.+` are meant.
pub(super) fn escape_dots(pattern: &str) -> Option<(String, usize)> {
    let tree = Parser::new().parse(pattern).ok()?;
    let mut at = Vec::new();
    bare_dots(&tree, &mut at);
    let mut escaped = pattern.to_owned();
    for offset in at.iter().rev() {
        escaped.insert(*offset, '\\');
    }
    (!at.is_empty()).then_some((escaped, at.len()))
}

fn bare_dots(tree: &Ast, at: &mut Vec<usize>) {
    match tree {
        Ast::Concat(concat) => {
            for part in &concat.asts {
                match part {
                    Ast::Dot(span) => at.push(span.start.offset),
                    part => bare_dots(part, at),
                }
            }
        }
        Ast::Alternation(alternation) => alternation.asts.iter().for_each(|branch| bare_dots(branch, at)),
        Ast::Group(group) => bare_dots(&group.ast, at),
        // Dots on their own: repeated, or alone in a group.
        Ast::Repetition(repetition) => bare_dots(&repetition.ast, at),
        _ => {}
    }
}

/// Tells text that was meant as a pattern: no issuer, name of a certificate or claim holds any of this.
pub(super) fn looks_like_a_pattern(text: &str) -> bool {
    text.contains(['*', '\\', '^']) || text.contains(".+") || text.ends_with('$') || text.contains("(?")
}

/// Writes text as a YAML value.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-' | '@' | ':');
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic());
    if begins && text.contains(['/', '@']) && text.chars().all(is_plain) && !text.ends_with(':') {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        serde_json::to_string(text).expect("text is always JSON")
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::{escape_dots, looks_like_a_pattern, quoted};

    #[test]
    fn dots_that_are_not_repeated_are_escaped() {
        for (pattern, escaped) in [
            ("a.b", Some((r"a\.b", 1))),
            (r"a\.b", None),
            ("a.*b", None),
            ("a.+b.?", None),
            ("a[.]b", None),
            ("(x.y|z.)w.v", Some((r"(x\.y|z\.)w\.v", 3))),
            ("ä.b.*c.d", Some((r"ä\.b.*c\.d", 2))),
            ("(a.b)+", Some((r"(a\.b)+", 1))),
            ("(.)", None),
            ("(", None),
        ] {
            let got = escape_dots(pattern);
            assert_eq!(got.as_ref().map(|(text, count)| (text.as_str(), *count)), escaped, "{pattern}");
        }
    }

    #[test]
    fn names_are_not_taken_for_patterns() {
        for name in
            ["https://github.com/o/r.x/.github/workflows/a+b.yml@refs/tags/v1+2", "a@b.example", "refs/heads/a(b)|c"]
        {
            assert!(!looks_like_a_pattern(name), "{name}");
        }
        for pattern in ["https://github.com/o/.*", r"a\.b", "^a", "a$", "a.+", "refs/heads/*"] {
            assert!(looks_like_a_pattern(pattern), "{pattern}");
        }
    }

    #[test]
    fn values_are_written_so_that_yaml_reads_them_back() {
        for text in ["octo/app", "a'b", r"a\.b", "a: b", "true", "12", "", "# x", "a\nb", "- x", "a@b:", "'", "x/y #z"]
        {
            let yaml = format!("key: {}\n", quoted(text));
            let back: std::collections::BTreeMap<String, String> = crate::yaml::from_str("test", &yaml).unwrap();
            assert_eq!(back["key"], text, "{yaml}");
        }
    }
}
