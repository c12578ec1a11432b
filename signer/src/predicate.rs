//! What an attestation says of its subjects, and the name of what kind of thing that is. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::{FromStr, Utf8Error};

use countersign_oci::{Class, printable};
use jiff::Timestamp;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::statement::PREDICATE_TYPE;

/// The names that cosign has for predicate types.
const SHORT_NAMES: [(&str, &str); 9] = [
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("link", "https://in-toto.io/Link/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
];
/// cosign's type for anything: the predicate holds it as text, with a time.
const CUSTOM: (&str, &str) = ("custom", "https://cosign.sigstore.dev/attestation/v1");
/// Characters of a type that are looked at.
const MAX_TYPE: usize = 1_024;

/// What kind of thing a predicate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredicateType(String);

impl PredicateType {
    /// The URI that the statement names.
    pub fn uri(&self) -> &str {
        &self.0
    }
}

impl FromStr for PredicateType {
    type Err = PredicateError;

    /// Takes one of cosign's short names, or any absolute URI. Refuses the type of a signature: what says that is no attestation.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || PredicateError::Type { text: printable(text, MAX_TYPE) };
        if let Some((_, uri)) = SHORT_NAMES.iter().chain([&CUSTOM]).find(|(name, _)| *name == text) {
            return Ok(Self((*uri).to_owned()));
        }
        if text == PREDICATE_TYPE {
            return Err(PredicateError::TypeOfSignature);
        }
        let plain = text.len() <= MAX_TYPE && text.bytes().all(|byte| byte.is_ascii_graphic());
        match url::Url::parse(text) {
            Ok(_) if plain => Ok(Self(text.to_owned())),
            _ => Err(refused()),
        }
    }
}

/// What is said: a JSON object of some type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    kind: PredicateType,
    json: String,
}

impl Predicate {
    /// Takes the content of a file. What is not significant is left out (spaces and line ends between values), the rest stays byte for
    /// byte: numbers and texts are never written anew.
    ///
    /// Refuses what is no JSON object, and a member that is there twice, of which some readers see the one and some the other. For
    /// cosign's `custom` the content is any text, with the time beside it.
    pub fn new(kind: PredicateType, content: &[u8], now: Timestamp) -> Result<Self, PredicateError> {
        let text = std::str::from_utf8(content).map_err(|source| PredicateError::NotText { source })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if kind.0 == CUSTOM.1 {
            let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let json = serde_json::json!({"Data": text, "Timestamp": time}).to_string();
            return Ok(Self { kind, json });
        }
        let Checked { is_object } = serde_json::from_str(text).map_err(|source| PredicateError::NotJson { source })?;
        if !is_object {
            return Err(PredicateError::NotAnObject);
        }
        Ok(Self { kind, json: compact(text) })
    }

    /// What kind of thing it is.
    pub fn kind(&self) -> &PredicateType {
        &self.kind
    }

    /// The object.
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// Leaves out what stands between values. The text is known to be JSON.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut escaped) = (false, false);
    for character in json.chars() {
        if in_text {
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if character == '"' {
            in_text = true;
        } else if matches!(character, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        compact.push(character);
    }
    compact
}

/// JSON in which no object has a member twice. The depth is bounded by the parser.
struct Checked {
    is_object: bool,
}

impl Checked {
    const OTHER: Self = Self { is_object: false };
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Check;

        impl<'de> Visitor<'de> for Check {
            type Value = Checked;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
                let mut seen = BTreeSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    map.next_value::<Checked>()?;
                    if seen.contains(&key) {
                        return Err(A::Error::custom(format_args!("{:?} is there twice", printable(&key, 100))));
                    }
                    seen.insert(key);
                }
                Ok(Checked { is_object: true })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Checked, A::Error> {
                while sequence.next_element::<Checked>()?.is_some() {}
                Ok(Checked::OTHER)
            }

            fn visit_unit<E>(self) -> Result<Checked, E> {
                Ok(Checked::OTHER)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
                Ok(Checked::OTHER)
            }

            fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
                Ok(Checked::OTHER)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
                Ok(Checked::OTHER)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
                Ok(Checked::OTHER)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
                Ok(Checked::OTHER)
            }
        }

        deserializer.deserialize_any(Check)
    }
}

/// Why something cannot be said of a subject. All of it is the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredicateError {
    /// A predicate is an object.
    #[error("the predicate is JSON, but no object")]
    NotAnObject,
    /// The predicate is not JSON.
    #[error("the predicate is not JSON")]
    NotJson {
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The predicate is not UTF-8.
    #[error("the predicate is not UTF-8 text")]
    NotText {
        /// The place of the first byte that is not.
        #[source]
        source: Utf8Error,
    },
    /// The type is neither a short name nor a URI.
    #[error("{text:?} is not a predicate type")]
    Type {
        /// What was given.
        text: String,
    },
    /// The type says that the statement is a signature.
    #[error("{PREDICATE_TYPE} is the type of a signature, not of an attestation")]
    TypeOfSignature,
}

impl PredicateError {
    /// Who has to act: the caller.
    pub fn class(&self) -> Class {
        Class::Usage
    }

    /// The stable name of this failure in JSON output.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject | Self::NotJson { .. } | Self::NotText { .. } => "predicate-malformed",
            Self::Type { .. } | Self::TypeOfSignature => "predicate-type",
        }
    }

    /// What the person could do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotAnObject => "a statement's predicate is an object: give the document itself, not a list of them",
            Self::NotJson { .. } => {
                "give the document as JSON (SPDX and CycloneDX have a JSON form), or attest text with --type custom"
            }
            Self::Type { .. } => {
                let names: Vec<&str> = SHORT_NAMES.iter().chain([&CUSTOM]).map(|(name, _)| *name).collect();
                return Some(format!("give one of {}, or an absolute URI", names.join(", ")));
            }
            Self::TypeOfSignature => "to sign, use the command sign",
            Self::NotText { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(kind: &str, content: &str) -> Result<String, &'static str> {
        let kind = kind.parse().map_err(|error: PredicateError| error.code())?;
        let now = "2026-11-01T00:00:00.5Z".parse().unwrap();
        Predicate::new(kind, content.as_bytes(), now)
            .map(|predicate| predicate.json().to_owned())
            .map_err(|error| error.code())
    }

    #[test]
    fn types_are_cosigns_names_or_any_uri() {
        let uri = |text: &str| text.parse::<PredicateType>().map(|kind| kind.uri().to_owned());
        assert_eq!(uri("slsaprovenance1").unwrap(), "https://slsa.dev/provenance/v1");
        assert_eq!(uri("spdxjson").unwrap(), uri("spdx").unwrap());
        for kept in ["https://example.com/review/v1", "urn:example:review", "https://example.com/Review/"] {
            assert_eq!(uri(kept).unwrap(), kept);
        }
        for refused in
            ["", "SPDX", "provenance", "/v1", "example.com/v1", "https://example.com/a b", "https://é.example/"]
        {
            assert!(matches!(uri(refused), Err(PredicateError::Type { .. })), "{refused}");
        }
        assert!(matches!(uri(PREDICATE_TYPE), Err(PredicateError::TypeOfSignature)));
    }

    #[test]
    fn only_what_stands_between_values_is_left_out() {
        let table = [
            ("{}", "{}"),
            ("\u{feff}\n{ \"a\" : [ 1 , 2.50 ] ,\r\n\t\"b\": { } }\n", r#"{"a":[1,2.50],"b":{}}"#),
            (r#"{"a b": " \" x \\", "c": "\\\" y"}"#, r#"{"a b":" \" x \\","c":"\\\" y"}"#),
            (
                r#"{"n": 123456789012345678901234567890, "é": "\u00e9"}"#,
                r#"{"n":123456789012345678901234567890,"é":"\u00e9"}"#,
            ),
        ];
        for (content, expected) in table {
            let json = new("spdxjson", content).unwrap();
            assert_eq!(json, expected);
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&json), value(content.trim_start_matches('\u{feff}')));
        }
    }

    #[test]
    fn what_readers_would_read_differently_or_not_at_all_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        for content in [
            "",
            "[]",
            "1",
            "\"text\"",
            "null",
            "{",
            "{} {}",
            "{\"a\":1,}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1e999}",
            &deep,
            "SPDXVersion: SPDX-2.3",
        ] {
            assert_eq!(new("spdx", content), Err("predicate-malformed"), "{content:.40}");
        }
        let kind = "spdx".parse().unwrap();
        assert!(matches!(Predicate::new(kind, b"\xff", Timestamp::UNIX_EPOCH), Err(PredicateError::NotText { .. })));
    }

    #[test]
    fn cosigns_custom_type_holds_any_text_and_the_time() {
        let expected = r#"{"Data":"reviewed \"twice\"\n","Timestamp":"2026-11-01T00:00:00Z"}"#;
        assert_eq!(new("custom", "reviewed \"twice\"\n").unwrap(), expected);
    }
}
