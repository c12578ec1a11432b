//! The shape of an answer: what a client can rely on, without the values that differ from one request to the next.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::super::http::Answer;
use super::super::servers::unpem;
use super::{certificate, tree};

/// The headers that some client reads.
const HEADERS: [&str; 8] =
    ["allow", "content-encoding", "content-type", "etag", "location", "retry-after", "www-authenticate", "x-log-index"];

/// Members whose value matters, not only its kind.
const EXACT: [&str; 13] = [
    "algorithm",
    "apiVersion",
    "audience",
    "challengeClaim",
    "code",
    "issuerType",
    "issuerUrl",
    "keyDetails",
    "kind",
    "payloadType",
    "spiffeTrustDomain",
    "status",
    "version",
];

/// Members that follow from the request alone, so that every byte is the same: verifiers make these bytes again from a bundle.
const SAME_BYTES: [&str; 2] = ["body", "canonicalizedBody"];

/// Lists that come in another order each time.
const UNORDERED: [&str; 1] = ["issuers"];

pub(super) fn of(answer: &Answer) -> Value {
    let mut headers = Map::new();
    for name in HEADERS {
        if let Some(value) = answer.header(name) {
            headers.insert(name.to_owned(), header(name, value));
        }
    }
    json!({ "status": answer.status, "headers": headers, "body": body(&answer.body) })
}

fn header(name: &str, value: &str) -> Value {
    match name {
        // In no order.
        "allow" => {
            let mut methods: Vec<&str> = value.split(',').map(str::trim).collect();
            methods.sort_unstable();
            json!(methods)
        }
        "location" => json!(value.split('/').map(part).collect::<Vec<_>>().join("/")),
        "etag" | "retry-after" | "x-log-index" => json!(part(value)),
        _ => json!(value),
    }
}

/// A part of an address, or a value like one.
fn part(text: &str) -> String {
    let inner = text.trim_matches('"');
    let kind = if is_number(inner) {
        "NUMBER".to_owned()
    } else if let Some(bytes) = hex_bytes(inner) {
        format!("HEX{bytes}")
    } else {
        inner.to_owned()
    };
    text.replace(inner, &kind)
}

fn body(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return json!("empty");
    }
    if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
        return json!({ "json": value("", &document) });
    }
    match std::str::from_utf8(bytes) {
        Ok(content) => text(content),
        Err(_) => binary(bytes),
    }
}

fn value(key: &str, document: &Value) -> Value {
    match document {
        Value::Object(members) => {
            let shapes = members.iter().map(|(key, member)| (part(key), value(key, member)));
            Value::Object(shapes.collect())
        }
        Value::Array(items) if items.is_empty() => json!("empty array"),
        Value::Array(items) => {
            let mut shapes: Vec<Value> = items.iter().map(|item| value(key, item)).collect();
            if UNORDERED.contains(&key) {
                shapes.sort_by_key(Value::to_string);
            }
            // How many hashes a proof has says how many entries the log has.
            if shapes.iter().all(|shape| *shape == shapes[0]) { json!({ "each": shapes[0] }) } else { json!(shapes) }
        }
        Value::String(content) if SAME_BYTES.contains(&key) => {
            let hash: String =
                digest(&SHA256, content.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "sha256": hash, "shape": text(content) })
        }
        exact if EXACT.contains(&key) => exact.clone(),
        Value::String(_) if key == "message" => json!("text"),
        Value::String(content) => text(content),
        Value::Number(_) => json!("number"),
        Value::Bool(_) | Value::Null => document.clone(),
    }
}

fn text(content: &str) -> Value {
    if content.is_empty() {
        return json!("empty text");
    }
    if content.starts_with("-----BEGIN ") {
        return pem(content);
    }
    if content.contains("\n\n\u{2014} ") {
        return note(content);
    }
    if is_number(content) {
        return json!("number in text");
    }
    if let Some(bytes) = hex_bytes(content) {
        return json!(format!("hexadecimal of {bytes} bytes"));
    }
    match BASE64_STANDARD.decode(content) {
        Ok(bytes) if bytes.len() > 4 => json!({ "base64 of": decoded(&bytes) }),
        _ => json!("text"),
    }
}

fn decoded(bytes: &[u8]) -> Value {
    if let Ok(document @ Value::Object(_)) = serde_json::from_slice::<Value>(bytes) {
        return json!({ "json": value("", &document) });
    }
    match std::str::from_utf8(bytes) {
        Ok(content) if content.starts_with("-----BEGIN ") => pem(content),
        _ => binary(bytes),
    }
}

fn binary(bytes: &[u8]) -> Value {
    certificate::shape(bytes).or_else(|| tree::shape(bytes)).unwrap_or_else(|| json!(format!("{} bytes", bytes.len())))
}

fn pem(content: &str) -> Value {
    let label = content.lines().next().unwrap_or_default();
    let Ok(blocks) = unpem(content) else { return json!("broken PEM") };
    let blocks: Vec<Value> = blocks.iter().map(|block| binary(block)).collect();
    let columns = content.lines().map(str::len).max();
    json!({ "pem": label, "columns": columns, "ends with a new line": content.ends_with('\n'), "blocks": blocks })
}

/// A signed note over the head of a tree (C2SP tlog-checkpoint).
fn note(content: &str) -> Value {
    let (head, signatures) = content.split_once("\n\n").unwrap_or((content, ""));
    let mut lines = head.lines();
    let origin = lines.next().unwrap_or_default();
    let origin: Vec<String> = origin.split(' ').map(host).map(|word| part(&word)).collect();
    let signature = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [dash, name, encoded] = words[..] else { return json!("broken") };
        let signed = BASE64_STANDARD.decode(encoded).unwrap_or_default();
        // The first four bytes say which key.
        json!({ "dash": dash, "name": host(name), "signature": binary(signed.get(4..).unwrap_or_default()) })
    };
    json!({ "note": {
        "origin": origin.join(" "),
        "lines": lines.map(text).collect::<Vec<_>>(),
        "signatures": signatures.lines().map(signature).collect::<Vec<_>>(),
    } })
}

fn host(word: &str) -> String {
    if ["127.0.0.1", "localhost"].contains(&word) { "HOST".to_owned() } else { word.to_owned() }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of bytes that a hexadecimal text stands for; short ones may be words.
fn hex_bytes(text: &str) -> Option<usize> {
    let is_hex = text.len() >= 16 && text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then_some(text.len() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn values_that_must_differ_have_one_shape() {
        let one = format!(r#"{{"{}":{{"logIndex":7,"message":"a"}}}}"#, "ab".repeat(40));
        let two = format!(r#"{{"{}":{{"logIndex":8,"message":"b"}}}}"#, "cd".repeat(40));
        let location = |hex: &str| format!("/api/v1/log/entries/{}", hex.repeat(40));
        let (first, second) = (location("ab"), location("cd"));
        let one = of(&answer(201, &[("location", &first), ("date", "today")], &one));
        let two = of(&answer(201, &[("location", &second), ("date", "tomorrow")], &two));
        assert_eq!(one, two);
        assert_eq!(one["headers"]["location"], "/api/v1/log/entries/HEX40");
    }

    #[test]
    fn what_a_client_can_see_is_told_apart() {
        let table = [
            (answer(200, &[], "{}"), answer(201, &[], "{}")),
            (answer(200, &[("content-type", "a/b")], "{}"), answer(200, &[("content-type", "a/c")], "{}")),
            (answer(400, &[], r#"{"code":3}"#), answer(400, &[], r#"{"code":5}"#)),
            (answer(400, &[], r#"{"code":3}"#), answer(400, &[], r#"{"code":"3"}"#)),
            (answer(400, &[], r#"{"code":3}"#), answer(400, &[], r#"{"code":3,"details":[]}"#)),
            (answer(200, &[], r#"{"n":1}"#), answer(200, &[], r#"{"n":"1"}"#)),
            (answer(200, &[], r#"{"n":null}"#), answer(200, &[], "{}")),
            (answer(200, &[], ""), answer(200, &[], "text")),
            (answer(200, &[], r#"{"body":"e30="}"#), answer(200, &[], r#"{"body":"e31="}"#)),
            (answer(405, &[("allow", "GET")], ""), answer(405, &[("allow", "GET,POST")], "")),
            (answer(200, &[], r#"{"h":"AAAAAAAAAAA="}"#), answer(200, &[], r#"{"h":"AAAAAAAAAAAA"}"#)),
        ];
        for (one, two) in table {
            assert_ne!(of(&one), of(&two), "{one:?} {two:?}");
        }
    }

    #[test]
    fn the_lines_of_a_checkpoint_matter() {
        let root = BASE64_STANDARD.encode([0; 32]);
        let signature = BASE64_STANDARD.encode([0; 68]);
        let note = |size: &str, further: &str| {
            text(&format!("localhost - 12\n{size}\n{root}\n{further}\n\u{2014} localhost {signature}\n"))
        };
        assert_eq!(note("3", ""), note("4", ""));
        assert_ne!(note("3", ""), note("3", "Timestamp: 1\n"));
        assert_eq!(note("3", "")["note"]["origin"], "HOST - NUMBER");
    }
}
