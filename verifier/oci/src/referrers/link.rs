use reqwest::header::{HeaderMap, HeaderName};

/// Returns the target of the first `rel="next"` of `Link` headers ([RFC 8288]).
///
/// [RFC 8288]: https://www.rfc-editor.org/rfc/rfc8288#section-3
pub(super) fn next(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(next_of).next().map(str::to_owned)
}

fn next_of(mut value: &str) -> Option<&str> {
    loop {
        let (_, rest) = value.split_once('<')?;
        let (target, rest) = rest.split_once('>')?;
        let (parameters, rest) = split_unquoted(rest, ',');
        if is_next(parameters) {
            return Some(target.trim());
        }
        value = rest;
    }
}

fn is_next(mut parameters: &str) -> bool {
    while !parameters.is_empty() {
        let (parameter, rest) = split_unquoted(parameters, ';');
        if is_relation_next(parameter) {
            return true;
        }
        parameters = rest;
    }
    false
}

fn is_relation_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}

/// Splits at the first separator that no quotes enclose.
fn split_unquoted(text: &str, separator: char) -> (&str, &str) {
    let mut quoted = false;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => return (&text[..index], &text[index + 1..]),
            _ => {}
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::LINK;

    fn of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, value.parse().unwrap());
        }
        next(&headers, LINK)
    }

    #[test]
    fn the_next_page_is_found_among_other_links() {
        for values in [
            &[r#"</v2/a?n=1>; rel="next""#][..],
            &["</v2/a?n=1>;rel=next"],
            &[r#"< /v2/a?n=1 > ; title="x, y; z" ; REL = "NEXT""#],
            &[r#"</v2/z>; rel="prev", </v2/a?n=1>; rel="last next""#],
            &[r#"</v2/z>; rel="prev""#, r#"</v2/a?n=1>; rel="next""#],
            &[r#"</v2/z>; title="\", <x>; rel=next", </v2/a?n=1>; rel=next"#],
        ] {
            assert_eq!(of(values).as_deref(), Some("/v2/a?n=1"), "{values:?}");
        }
    }

    #[test]
    fn what_is_no_next_page_is_none() {
        for values in [
            &[][..],
            &[""],
            &["</v2/a>"],
            &[r#"</v2/a>; rel="prev""#],
            &["</v2/a; rel=next"],
            &["/v2/a; rel=next"],
            &["</v2/a>; rel"],
        ] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
