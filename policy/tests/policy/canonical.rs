//! The text behind the policy hash.

use crate::support::{GITHUB, RELEASE, digest, document, load, release, with_claims};

#[test]
fn the_text_is_json_with_sorted_keys_and_without_defaults() {
    assert_eq!(
        load(&release("")).canonical(),
        format!(
            r#"{{"signers":[{{"identity":"{RELEASE}","issuer":"{GITHUB}","name":"release"}}],"threshold":1,"version":1}}"#
        )
    );
}

#[test]
fn ways_of_writing_the_same_policy_have_one_text() {
    for (one, other) in [
        (
            release(""),
            release("threshold: 1\ndistinct_logs: 1\nnot_after: null\nrequire: {tag: false}\ndeny: {digests: []}"),
        ),
        (release("not_before: 2026-06-01T00:00:00Z"), release("not_before: '2026-06-01T02:00:00+02:00'")),
        (release("max_age: 7d"), release("max_age: 1w")),
        (with_claims("{trigger: push}"), with_claims("{trigger: [push]}")),
        (with_claims("{trigger: [push, schedule]}"), with_claims("{trigger: [schedule, push, push]}")),
        (with_claims("{ref: refs/heads/main, owner_id: '678'}"), with_claims("{owner_id: 678, ref: refs/heads/main}")),
    ] {
        assert_eq!(load(&one).canonical(), load(&other).canonical(), "{one}\n{other}");
    }
}

#[test]
fn policies_that_differ_have_different_texts() {
    let mut texts: Vec<String> = [
        release(""),
        release("distinct_logs: 2"),
        release("not_before: 2026-06-01T00:00:00Z"),
        release("not_after: 2026-06-01T00:00:00Z"),
        release("max_age: 7d"),
        release("require: {tag: true}"),
        release("require: {repository: true}"),
        release("require: {platforms: true}"),
        release("require: {annotations: {a: b}}"),
        release("trust: public-good"),
        release("trust: {file: public-good}"),
        release("trust: {tuf: {url: https://t.example, root: r}}"),
        release(&format!("deny: {{digests: [\"{}\"]}}", digest())),
        release(&format!("deny: {{log_entries: [\"{}\"]}}", digest())),
        with_claims("{ref: refs/heads/main}"),
        with_claims("{ref_regex: refs/heads/main}"),
        with_claims("{trigger: push}"),
        document(&format!("issuer: {GITHUB}\nidentity_regex: {RELEASE}"), ""),
        document(&format!("issuer: {GITHUB}/\nidentity: {RELEASE}"), ""),
        release("").replace("name: release", "name: other"),
    ]
    .iter()
    .map(|text| load(text).canonical())
    .collect();
    let count = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), count);
}
