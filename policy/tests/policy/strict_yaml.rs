//! YAML that says something else than it shows.

use countersign_policy::{GalleryBlock, PolicyError, YamlConstruct, yaml};

use crate::support::{GITHUB, RELEASE, load, refusal, release};

fn construct(text: &str) -> YamlConstruct {
    match refusal(text) {
        PolicyError::RefusedYaml { construct, .. } => construct,
        other => panic!("{other}\n{text}"),
    }
}

#[test]
fn anchors_aliases_merges_and_tags_are_refused() {
    for (rest, expected) in [
        ("require: &anchor {tag: true}", YamlConstruct::Anchor),
        ("threshold: &anchor 1", YamlConstruct::Anchor),
        ("deny: &anchor\n  digests: []", YamlConstruct::Anchor),
        ("require: *other", YamlConstruct::Alias),
        ("<<: {threshold: 1}", YamlConstruct::Merge),
        ("\"<<\": {threshold: 1}", YamlConstruct::Merge),
        ("!!merge <<: {threshold: 1}", YamlConstruct::Tag),
        ("not_before: !!str 2026-01-01T00:00:00Z", YamlConstruct::Tag),
        ("not_before: !!binary MjAyNi0wMS0wMVQwMDowMDowMFo=", YamlConstruct::Tag),
        ("not_before: ! 2026-01-01T00:00:00Z", YamlConstruct::Tag),
        ("not_before: !<tag:yaml.org,2002:str> 2026-01-01T00:00:00Z", YamlConstruct::Tag),
        ("require: !other {tag: true}", YamlConstruct::Tag),
        ("!!str threshold: 1", YamlConstruct::Tag),
    ] {
        assert_eq!(construct(&release(rest)), expected, "{rest}");
    }
}

#[test]
fn a_value_that_got_lost_does_not_switch_its_block_off() {
    for rest in [
        "not_before:",
        "not_before: ~",
        "not_before: null",
        "not_before: NULL",
        "not_after:",
        "max_age:",
        "threshold:",
        "deny:",
        "deny: ~",
        "deny: {digests: }",
        "require:",
        "require: null",
        "require: {tag: }",
        "require: {annotations: ~}",
        "trust:",
    ] {
        assert_eq!(construct(&release(rest)), YamlConstruct::Null, "{rest}");
    }
    for text in
        ["version: 1\nsigners:", "version: 1\nsigners: ~", "version: 1\nsigners:\n  -", "version: \nsigners: []"]
    {
        assert_eq!(construct(text), YamlConstruct::Null, "{text}");
    }
}

#[test]
fn a_bound_that_is_written_as_null_is_a_bound_that_is_absent() {
    let policy = load(&release("not_after: null\nmax_age: ~"));
    assert_eq!(policy.canonical(), load(&release("")).canonical());
}

#[test]
fn an_empty_verification_block_is_not_an_absent_one() {
    #[derive(Debug, serde::Deserialize)]
    struct Gallery {
        #[serde(default, deserialize_with = "GalleryBlock::present")]
        verification: Option<GalleryBlock>,
    }
    assert!(yaml::from_str::<Gallery>("g", "{}").unwrap().verification.is_none());
    for text in
        ["verification:", "verification: ~", "verification: null", "{\"verification\": null}", "{verification: }"]
    {
        let error = yaml::from_str::<Gallery>("g", text).unwrap_err();
        assert!(matches!(error, PolicyError::RefusedYaml { construct: YamlConstruct::Null, .. }), "{text}: {error}");
        // Another reader cannot lose it either.
        assert!(serde_saphyr::from_str::<Gallery>(text).is_err(), "{text}");
    }
    assert!(serde_json::from_str::<Gallery>("{\"verification\": null}").is_err());
}

#[test]
fn documents_that_are_more_or_less_than_one_are_refused() {
    for text in ["", " \n", "# only a comment\n", "---\n", "---\n...\n", "~", "null"] {
        assert!(matches!(refusal(text), PolicyError::EmptyDocument { .. }), "{text:?}");
    }
    assert_eq!(construct(&release("---\nversion: 1")), YamlConstruct::SecondDocument);
    assert_eq!(construct(&release("...\n---\nversion: 1")), YamlConstruct::SecondDocument);
    assert_eq!(construct(&format!("{}---\n", release(""))), YamlConstruct::SecondDocument);
    assert_eq!(construct(&format!("%YAML 1.1\n---\n{}", release(""))), YamlConstruct::Directive);
    load(&format!("---\n{}...\n", release("")));
}

#[test]
fn a_byte_order_mark_is_refused() {
    assert_eq!(construct(&format!("\u{feff}{}", release(""))), YamlConstruct::ByteOrderMark);
    assert_eq!(construct(&format!("# comment\n\u{feff}{}", release(""))), YamlConstruct::ByteOrderMark);
}

#[test]
fn keys_that_are_not_text_are_refused() {
    for rest in ["? [a]\n: b", "? {a: b}\n: c", "? \n: b", "~: b", ": b"] {
        assert_eq!(construct(&release(rest)), YamlConstruct::KeyOfOtherType, "{rest}");
    }
}

#[test]
fn a_key_given_twice_is_refused_in_any_case() {
    for rest in ["version: 1", "Version: 1", "require: {tag: true, tag: false}", "require: {annotations: {a: x, A: y}}"]
    {
        assert!(matches!(refusal(&release(rest)), PolicyError::DuplicateKey { .. }), "{rest}");
    }
}

#[test]
fn large_and_deep_documents_are_refused_before_they_cost_anything() {
    let comment = format!("# {}\n", "x".repeat(256 * 1024));
    assert!(matches!(refusal(&release(&comment)), PolicyError::TooLarge { limit: 262_144, .. }));
    let exact = release("");
    let filler = "#".repeat(256 * 1024 - exact.len());
    load(&format!("{exact}{filler}"));
    assert!(matches!(refusal(&format!("{exact}{filler}#")), PolicyError::TooLarge { bytes: 262_145, .. }));

    for text in [
        "[".repeat(5_000),
        "{a: ".repeat(5_000),
        (0..5_000).fold(String::new(), |text, _| text + "- "),
        release(&format!("deny: {{digests: [{}]}}", "a,".repeat(20_001))),
    ] {
        assert!(matches!(refusal(&text), PolicyError::TooComplex { .. }), "{}", refusal(&text));
    }
    let bomb: String = (1..10).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(10))).collect();
    assert_eq!(construct(&format!("a0: &a0 [x]\n{bomb}")), YamlConstruct::Anchor);
}

#[test]
fn text_that_is_not_yaml_says_where_it_stops_being_yaml() {
    for rest in ["a: [b", "\ta: b", "a: \"b", "a: b: c", "}"] {
        let error = refusal(&release(rest));
        assert!(matches!(error, PolicyError::MalformedYaml { .. }), "{rest}: {error:?}");
        assert!(error.location().line.is_some(), "{rest}");
    }
}

#[test]
fn json_is_read_the_same_way() {
    let text = format!(
        r#"{{"version": 1, "signers": [{{"name": "release", "issuer": "{GITHUB}", "identity": "{RELEASE}"}}]}}"#
    );
    assert_eq!(load(&text).canonical(), load(&release("")).canonical());
}
