//! The published schema of `verify --output json`, and what is checked against it: every document that these tests see.
//!
//! Read here is the part of JSON Schema that it uses; a word that is not understood fails. Whoever reads documents must allow for
//! members that are added, so the schema does; here a member that it does not describe fails, so that none is added in silence.

use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("../../schema/verify-v1.schema.json");

/// Fails where a document is not as the schema describes it.
pub(crate) fn check(document: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    if let Err(mistake) = validate(&schema, &schema, document) {
        panic!("{mistake}\n{document:#}");
    }
}

fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = schema.as_object().unwrap();
    for (word, wanted) in schema {
        match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "properties" | "pattern" => {}
            "$ref" => {
                let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                validate(root, &root["$defs"][name], value).map_err(|mistake| format!("{name}: {mistake}"))?;
            }
            "oneOf" | "anyOf" => {
                let answers: Vec<_> =
                    wanted.as_array().unwrap().iter().map(|schema| validate(root, schema, value)).collect();
                let fits = answers.iter().filter(|answer| answer.is_ok()).count();
                if fits == 0 || (fits > 1 && word == "oneOf") {
                    return Err(format!("{fits} of {word}: {answers:?}"));
                }
            }
            "const" => same(wanted, value)?,
            "enum" if wanted.as_array().unwrap().contains(value) => {}
            "enum" => return Err(format!("{value} is none of {wanted}")),
            "type" => type_of(wanted.as_str().unwrap(), value)?,
            "minimum" if value.as_u64() >= wanted.as_u64() => {}
            "minItems"
                if value.as_array().map(Vec::len) >= wanted.as_u64().and_then(|least| usize::try_from(least).ok()) => {}
            "minimum" | "minItems" => return Err(format!("{value} is less than {wanted}")),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, wanted, item).map_err(|mistake| format!("[{index}] {mistake}"))?;
                }
            }
            "required" => {
                let missing =
                    wanted.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                if let Some(name) = missing {
                    return Err(format!("{name} is missing"));
                }
            }
            other => panic!("the schema says {other:?}, which is not understood here"),
        }
    }
    if let Some(pattern) = schema.get("pattern") {
        assert_eq!(pattern, "^sha256:[0-9a-f]{64}$");
        let hex = value.as_str().and_then(|text| text.strip_prefix("sha256:")).unwrap_or_default();
        if hex.len() != 64 || hex.contains(|digit: char| !digit.is_ascii_digit() && !('a'..='f').contains(&digit)) {
            return Err(format!("{value} is no digest"));
        }
    }
    match (schema.get("properties").and_then(Value::as_object), value.as_object()) {
        (Some(properties), Some(members)) => validate_members(root, properties, members),
        _ => Ok(()),
    }
}

fn validate_members(root: &Value, properties: &Map<String, Value>, members: &Map<String, Value>) -> Result<(), String> {
    for (name, member) in members {
        let schema = properties.get(name).ok_or_else(|| format!("{name} is not in the schema"))?;
        validate(root, schema, member).map_err(|mistake| format!(".{name} {mistake}"))?;
    }
    Ok(())
}

fn same(wanted: &Value, value: &Value) -> Result<(), String> {
    if wanted == value { Ok(()) } else { Err(format!("{value} is not {wanted}")) }
}

fn type_of(wanted: &str, value: &Value) -> Result<(), String> {
    let fits = match wanted {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("the type {other:?} is not understood here"),
    };
    if fits { Ok(()) } else { Err(format!("{value} is no {wanted}")) }
}

#[test]
fn a_document_that_is_not_as_described_is_noticed() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let failure = serde_json::json!({"code": "x", "class": "usage", "retryable": false, "message": "y"});
    let document = serde_json::json!({"schema": "countersign.dev/error/v1", "error": failure});
    let good = |document: &Value| validate(&schema, &schema, document).is_ok();
    assert!(good(&document));
    for (pointer, value) in [
        ("/schema", Value::from("countersign.dev/error/v2")),
        ("/error/class", "other".into()),
        ("/error/retryable", "no".into()),
        ("/error/message", Value::Null),
    ] {
        let mut changed = document.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(!good(&changed), "{pointer}");
    }
    let mut added = document.clone();
    added["error"]["unknown"] = 1.into();
    assert!(!good(&added));
    let mut lost = document;
    lost["error"].as_object_mut().unwrap().remove("code");
    assert!(!good(&lost));
}
