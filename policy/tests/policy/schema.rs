//! The JSON schema says what the reader says: what loads is valid, and what is invalid does not load.

use countersign_policy::Policy;
use countersign_policy::schema::POLICY_SCHEMA;
use regex::Regex;
use serde_json::Value;

use crate::support::{GITHUB, RELEASE, document, release, with_claims};

/// Judges by that part of JSON schema that the schema uses; any other word fails the test.
fn is_valid(schema: &Value, root: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(word, rule)| match word.as_str() {
        "$schema" | "$id" | "title" | "description" | "default" | "$defs" => true,
        "$ref" => is_valid(root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap(), root, value),
        "type" => match rule {
            Value::String(name) => is_of_type(name, value),
            names => names.as_array().unwrap().iter().any(|name| is_of_type(name.as_str().unwrap(), value)),
        },
        "const" => rule == value,
        "enum" => rule.as_array().unwrap().contains(value),
        "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "properties" => {
            let given = |(key, rule): (&String, &Value)| value.get(key).is_none_or(|value| is_valid(rule, root, value));
            rule.as_object().unwrap().iter().all(given)
        }
        "additionalProperties" => members(value)
            .filter(|(key, _)| schema["properties"].get(key).is_none())
            .all(|(_, value)| rule != &Value::Bool(false) && is_valid(rule, root, value)),
        "propertyNames" => members(value).all(|(key, _)| is_valid(rule, root, &Value::String(key.clone()))),
        "minProperties" => value.as_object().is_none_or(|map| map.len() as u64 >= rule.as_u64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| is_valid(rule, root, item))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
        "pattern" => value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
        "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
        "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
        "oneOf" => rule.as_array().unwrap().iter().filter(|rule| is_valid(rule, root, value)).count() == 1,
        "allOf" => rule.as_array().unwrap().iter().all(|rule| is_valid(rule, root, value)),
        "not" => !is_valid(rule, root, value),
        word => panic!("the schema says {word}, and this test does not know it"),
    })
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        name => panic!("unknown type {name}"),
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn agrees(text: &str) -> bool {
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).unwrap();
    let value: Value =
        countersign_policy::yaml::from_str("policy.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    is_valid(&schema, &schema, &value)
}

fn loads(text: &str) -> bool {
    Policy::from_yaml("policy.yaml", text).is_ok()
}

#[test]
fn what_loads_is_valid() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for text in [
        release(""),
        document(&format!("issuer: {GITHUB}\nidentity_regex: 'https://github\\.com/octo/app/.+'"), ""),
        document("issuer: https://a.example/x?y\nidentity: someone@example.com", ""),
        release("threshold: 1\nnot_before: 2026-06-01T00:00:00Z\nnot_after: 2026-06-01T02:00:00.5+02:00\nmax_age: 90d"),
        release("distinct_logs: 2"),
        release("not_after: null\nmax_age: null"),
        release(&format!("deny: {{digests: [{digest}], log_entries: [{digest}]}}")),
        release("deny: {digests: []}\nrequire: {}"),
        release("require: {tag: true, repository: false, annotations: {a.b/c: ''}}"),
        release("trust: public-good"),
        release("trust: {file: root.json}"),
        release("trust: {tuf: {url: 'https://tuf.example', root: root.json}}"),
        with_claims("{repository: octo/app, repository_id: 12, owner: octo, owner_id: '34', ref: refs/heads/main}"),
        with_claims("{trigger: push, runner_environment: github-hosted, environment: a b, visibility: internal}"),
        with_claims("{trigger: [push, schedule], build_config: 'https://github.com/octo/app/x@refs/heads/main'}"),
        with_claims("{repository_regex: 'octo/.+', ref_regex: '.*', trigger_regex: push, runner_environment_regex: x}"),
        with_claims(
            "{build_config_regex: 'https://.*', environment_regex: x, owner: group/sub, repository: group/sub/x}",
        ),
    ] {
        assert!(loads(&text), "{text}");
        assert!(agrees(&text), "{text}");
    }
}

#[test]
fn what_is_spoilt_is_neither_read_nor_valid() {
    let signer = |lines: &str| document(lines, "");
    for text in [
        "version: 1\n".to_owned(),
        "version: 2\nsigners: [{issuer: 'https://a.example', identity: a}]\n".to_owned(),
        "signers: [{issuer: 'https://a.example', identity: a}]\n".to_owned(),
        "version: 1\nsigners: []\n".to_owned(),
        "version: 1\nsigners: {}\n".to_owned(),
        "[]".to_owned(),
        signer(&format!("issuer: {GITHUB}")),
        signer(&format!("identity: {RELEASE}")),
        signer(&format!("issuer: {GITHUB}\nidentity: {RELEASE}\nidentity_regex: 'https://github\\.com/octo/app'")),
        signer(&format!("issuer_regex: {GITHUB}\nidentity: {RELEASE}")),
        signer(&format!("issuer: {GITHUB}\nidentity: ''")),
        signer(&format!("issuer: {GITHUB}\nidentity: 'a b'")),
        signer(&format!("issuer: {GITHUB}\nidentity_regex: ''")),
        signer(&format!("issuer: token.example\nidentity: {RELEASE}")),
        release("threshold: 0"),
        release("threshold: one"),
        release("distinct_logs: 0"),
        release("distinct_logs: 33"),
        release("not_before: 2026-06-01"),
        release("not_before: 2026-06-01T00:00:00"),
        release("max_age: 90"),
        release("max_age: 0d"),
        release("deny: {digests: [sha256:00]}"),
        release("deny: {images: []}"),
        release("require: {tag: 'yes'}"),
        release("require: {annotations: {'': x}}"),
        release("trust: nobody"),
        release("trust: {file: ''}"),
        release("trust: {tuf: {url: 'https://tuf.example'}}"),
        release("trust: {tuf: {url: 'ftp://tuf.example', root: x}}"),
        release("signer: x"),
        with_claims("{}"),
        with_claims("{repository: app}"),
        with_claims("{repository: octo/app, repository_regex: 'octo/app'}"),
        with_claims("{ref: main}"),
        with_claims("{ref: refs/heads/main, ref_regex: x}"),
        with_claims("{trigger: []}"),
        with_claims("{trigger: ['']}"),
        with_claims("{trigger: push, trigger_regex: push}"),
        with_claims("{owner_id: octo}"),
        with_claims("{owner_regex: octo}"),
        with_claims("{visibility: secret}"),
        with_claims("{build_config: release.yml}"),
        with_claims("{repo: octo/app}"),
    ] {
        assert!(!loads(&text), "is read:\n{text}");
        assert!(!agrees(&text), "is valid:\n{text}");
    }
}
