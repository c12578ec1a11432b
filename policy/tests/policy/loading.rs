//! Documents: which load, which are refused, and what the refusal says.

use countersign_policy::{PolicyError, Trust};

use crate::support::{GITHUB, RELEASE, digest, document, load, refusal, release, with_claims};

#[test]
fn the_whole_document_of_the_design_loads() {
    let text = format!(
        "version: 1
signers:
  - name: release
    issuer: {GITHUB}
    identity: {RELEASE}
    github:
      repository: octo/app
      repository_id: \"12345\"
      owner_id: 678
      ref: refs/heads/main
      trigger: [push, schedule, workflow_dispatch]
      runner_environment: github-hosted
threshold: 1
not_before: 2026-06-01T00:00:00Z
not_after: null
max_age: null
deny:
  digests: []
  log_entries: []
require:
  tag: false
  repository: false
  annotations: {{}}
trust: public-good
"
    );
    let policy = load(&text);
    assert_eq!(policy.threshold(), 1);
    assert_eq!(policy.trust(), Some(&Trust::PublicGood));
    assert!(!policy.require().tag && !policy.require().repository && policy.require().annotations.is_empty());
}

#[test]
fn what_a_document_says_is_what_the_policy_holds() {
    let policy = load(&release(
        "require: {tag: true, repository: true, annotations: {channel: stable, build: 7}}\ntrust: {file: root.json}",
    ));
    assert!(policy.require().tag && policy.require().repository);
    assert_eq!(policy.require().annotations["channel"], "stable");
    assert_eq!(policy.require().annotations["build"], "7");
    assert_eq!(policy.trust(), Some(&Trust::File("root.json".into())));

    let policy = load(&release("trust: {tuf: {url: https://tuf.example, root: 1.root.json}}"));
    let tuf = Trust::Tuf { url: "https://tuf.example".into(), root: "1.root.json".into() };
    assert_eq!(policy.trust(), Some(&tuf));

    assert_eq!(load(&release("")).trust(), None);
}

#[test]
fn a_policy_without_signers_does_not_load() {
    assert!(matches!(refusal("version: 1"), PolicyError::MissingKey { at, .. } if at.key == "signers"));
    let error = refusal("version: 1\nsigners: []");
    assert!(matches!(&error, PolicyError::Empty { at, .. } if at.key == "signers" && at.line == Some(2)));
    assert!(error.hint().unwrap().contains("at least one"));
}

#[test]
fn a_signer_without_issuer_or_identity_does_not_load() {
    for (signer, key) in [
        (format!("identity: {RELEASE}"), "signers[0].issuer"),
        (format!("issuer: {GITHUB}"), "signers[0].identity"),
        ("github: {repository: octo/app}".to_owned(), "signers[0].issuer"),
    ] {
        let error = refusal(&document(&signer, ""));
        assert!(matches!(&error, PolicyError::MissingKey { at, .. } if at.key == key), "{error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn unknown_versions_are_refused() {
    for version in ["0", "2", "18446744073709551615"] {
        let error = refusal(&release("").replacen("version: 1", &format!("version: {version}"), 1));
        assert!(matches!(error, PolicyError::UnknownVersion { .. }), "{error}");
    }
    for version in ["one", "1.0", "-1", "18446744073709551616", "[1]"] {
        let error = refusal(&release("").replacen("version: 1", &format!("version: {version}"), 1));
        assert!(matches!(error, PolicyError::WrongType { .. }), "{version}: {error:?}");
    }
    let error = refusal(&release("").replacen("version: 1\n", "", 1));
    assert!(matches!(&error, PolicyError::MissingKey { at, .. } if at.key == "version"));
}

#[test]
fn misspelt_keys_are_named_with_the_key_that_was_meant() {
    for (text, key, meant) in [
        (release("notBefore: 2026-01-01T00:00:00Z"), "notBefore", Some("not_before")),
        (release("not_befor: 2026-01-01T00:00:00Z"), "not_befor", Some("not_before")),
        (release("treshold: 1"), "treshold", Some("threshold")),
        (release("require: {tags: true}"), "require.tags", Some("tag")),
        (release("deny: {digest: []}"), "deny.digest", Some("digests")),
        (
            document(&format!("issuer: {GITHUB}\nidentityRegex: x"), ""),
            "signers[0].identityRegex",
            Some("identity_regex"),
        ),
        (document(&format!("isuer: {GITHUB}\nidentity: x"), ""), "signers[0].isuer", Some("issuer")),
        (with_claims("{repositry: octo/app}"), "signers[0].github.repositry", Some("repository")),
        (with_claims("{runnerEnvironment: x}"), "signers[0].github.runnerEnvironment", Some("runner_environment")),
        (release("unrelated: 1"), "unrelated", None),
        (release("trust: {tuf: {url: https://t, root: r, pin: x}}"), "trust.tuf.pin", None),
    ] {
        let error = refusal(&text);
        assert!(
            matches!(&error, PolicyError::UnknownKey { at, suggestion } if at.key == key && *suggestion == meant),
            "{error:?}"
        );
        assert!(error.location().line.is_some() && error.location().column.is_some());
        if let Some(meant) = meant {
            assert_eq!(error.hint().unwrap(), format!("did you mean `{meant}`?"));
        }
    }
}

#[test]
fn issuers_of_a_document_are_exact() {
    let error = refusal(&document(&format!("issuer_regex: {GITHUB}\nidentity: {RELEASE}"), ""));
    assert!(matches!(&error, PolicyError::UnknownKey { .. }));
    assert!(error.hint().unwrap().contains("`issuer`"));
}

#[test]
fn errors_are_one_line_with_origin_line_column_and_key() {
    for (text, expected) in [
        (
            release("not_before: yesterday"),
            "policy.yaml:6:13: `not_before`: expected an RFC 3339 time, found `yesterday`",
        ),
        (release("notBefore: x"), "policy.yaml:6:1: `notBefore`: unknown key"),
        (release("threshold: 2"), "policy.yaml:6:12: `threshold`: threshold is 2, with 1 signers"),
        (release("require: ~"), "policy.yaml:6:10: `require`: an empty value is not allowed here"),
        (
            release("not_before: \"a\\e[31m\\n\\u202eb\""),
            "policy.yaml:6:13: `not_before`: expected an RFC 3339 time, found `a\\u{1b}[31m\\u{a}\\u{202e}b`",
        ),
        (with_claims("{trigger: [push, '']}"), "policy.yaml:6:23: `signers[0].github.trigger`: is empty"),
    ] {
        assert_eq!(refusal(&text).to_string(), expected);
    }
    let long = refusal(&release(&format!("not_before: {}", "x".repeat(100_000)))).to_string();
    assert!(long.len() < 500, "{} bytes", long.len());
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    for rest in [
        "threshold: one",
        "threshold: -1",
        "threshold: 1.5",
        "require: {tag: yes}",
        "require: {tag: 1}",
        "require: [tag]",
        "require: {annotations: [a]}",
        "require: {annotations: {a: [b]}}",
        "deny: {digests: sha256}",
        "not_before: [2026-01-01T00:00:00Z]",
        "trust: [public-good]",
        "trust: {file: [root.json]}",
        "trust: public",
        "trust: {fil: x}",
        "trust: {file: x, tuf: {url: https://t, root: r}}",
    ] {
        let error = refusal(&release(rest));
        assert!(matches!(error, PolicyError::WrongType { .. }), "{rest}: {error:?}");
    }
    for text in ["[]", "text", "version: 1\nsigners: {}", "version: 1\nsigners: [text]", "version: 1\nsigners: text"] {
        assert!(matches!(refusal(text), PolicyError::WrongType { .. }), "{text}");
    }
}

#[test]
fn an_exact_value_and_a_pattern_for_the_same_thing_are_refused() {
    for (signer, key) in [
        (format!("issuer: {GITHUB}\nidentity: {RELEASE}\nidentity_regex: {RELEASE}"), "signers[0].identity_regex"),
        (
            format!("issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {{ref: refs/heads/a, ref_regex: a}}"),
            "signers[0].github.ref_regex",
        ),
        (
            format!("issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {{trigger: push, trigger_regex: push}}"),
            "signers[0].github.trigger_regex",
        ),
    ] {
        let error = refusal(&document(&signer, ""));
        assert!(matches!(&error, PolicyError::Conflict { at, .. } if at.key == key), "{error:?}");
    }
}

#[test]
fn empty_values_are_refused() {
    for (text, key) in [
        (document(&format!("issuer: ''\nidentity: {RELEASE}"), ""), "signers[0].issuer"),
        (document(&format!("issuer: {GITHUB}\nidentity: \"\""), ""), "signers[0].identity"),
        (document(&format!("issuer: {GITHUB}\nidentity_regex: ''"), ""), "signers[0].identity_regex"),
        (with_claims("{}"), "signers[0].github"),
        (with_claims("{trigger: []}"), "signers[0].github.trigger"),
        (with_claims("{ref_regex: ''}"), "signers[0].github.ref_regex"),
        (with_claims("{repository: ''}"), "signers[0].github.repository"),
        (release("trust: {file: ''}"), "trust.file"),
        (release("require: {annotations: {'': x}}"), "require.annotations."),
    ] {
        let error = refusal(&text);
        assert!(matches!(&error, PolicyError::Empty { at, .. } if at.key == key), "{error:?}");
    }
}

#[test]
fn values_of_the_wrong_form_are_refused() {
    for text in [
        document(&format!("issuer: token.actions.githubusercontent.com\nidentity: {RELEASE}"), ""),
        document(&format!("issuer: 'https://'\nidentity: {RELEASE}"), ""),
        document(&format!("issuer: '{GITHUB} '\nidentity: {RELEASE}"), ""),
        document(&format!("issuer: {GITHUB}\nidentity: '{RELEASE} '"), ""),
        document(&format!("issuer: {GITHUB}\nidentity: \"{RELEASE}\\n\""), ""),
        document(&format!("issuer: {GITHUB}\nidentity: \"{RELEASE}\\0\""), ""),
        document(&format!("issuer: {GITHUB}\nidentity: a{}", "b".repeat(2_048)), ""),
        with_claims("{repository: app}"),
        with_claims("{repository: 'https://github.com/octo/app'}"),
        with_claims("{repository: octo/app/}"),
        with_claims("{repository_id: octo/app}"),
        with_claims("{repository_id: 1_000}"),
        with_claims("{owner_id: 0x2A6}"),
        with_claims("{ref: main}"),
        with_claims("{visibility: secret}"),
        with_claims("{build_config: release.yml}"),
        release("not_before: 2026-06-01"),
        release("not_before: 2026-06-01T00:00:00"),
        release("not_before: 2026-06-01 00:00:00Z"),
        release("not_before: 2026-06-01T00:00:00z"),
        release("not_before: 2026-06-01T00:00:00+00:00[UTC]"),
        release("not_before: 2026-13-01T00:00:00Z"),
        release("not_before: 2026-02-30T00:00:00Z"),
        release("not_before: 1780272000"),
        release("not_before: 2026-06-02T00:00:00Z\nnot_after: 2026-06-01T00:00:00Z"),
        release("max_age: 90"),
        release("max_age: 0d"),
        release("max_age: -1d"),
        release("max_age: +1d"),
        release("max_age: 1.5h"),
        release("max_age: 90 d"),
        release("max_age: 101y"),
        release("max_age: 99999999999999999999d"),
        release("max_age: 9999999d"),
        release("deny: {digests: [\"sha256:short\"]}"),
        release(&format!("deny: {{digests: [\"{}\"]}}", digest().replace("ab", "AB"))),
        release(&format!("deny: {{log_entries: [\"sha512:{}\"]}}", "ab".repeat(64))),
        release(&format!("deny: {{digests: [\"{}\"]}}", "ab".repeat(32))),
        release("trust: {tuf: {url: tuf.example, root: r}}"),
    ] {
        let error = refusal(&text);
        assert!(matches!(error, PolicyError::InvalidValue { .. }), "{error:?}\n{text}");
    }
}

#[test]
fn two_signers_of_one_name_are_refused() {
    let signer = format!("    issuer: {GITHUB}\n    identity: {RELEASE}\n");
    let error = refusal(&format!("version: 1\nsigners:\n  - name: a\n{signer}  - name: a\n{signer}"));
    assert!(matches!(&error, PolicyError::DuplicateName { at, name } if name == "a" && at.key == "signers[1].name"));
    let unnamed = format!("version: 1\nsigners:\n  -\n{signer}  -\n{signer}");
    load(&unnamed);
    let error = refusal(&unnamed.replacen("  -\n", "  - name: signer-2\n", 1));
    assert!(matches!(error, PolicyError::DuplicateName { .. }));
}

#[test]
fn a_threshold_that_no_signers_could_meet_is_refused() {
    for threshold in [0, 2, u64::MAX] {
        let error = refusal(&release(&format!("threshold: {threshold}")));
        assert!(matches!(error, PolicyError::Threshold { signers: 1, .. }), "{error:?}");
    }
    load(&release("threshold: 1"));
}

#[test]
fn more_signers_than_a_policy_can_need_are_refused() {
    let signer = format!("  - issuer: {GITHUB}\n    identity: {RELEASE}\n");
    load(&format!("version: 1\nsigners:\n{}", signer.repeat(64)));
    assert!(matches!(refusal(&format!("version: 1\nsigners:\n{}", signer.repeat(65))), PolicyError::TooComplex { .. }));
}

#[test]
fn codes_are_distinct_and_hints_are_not_part_of_messages() {
    let error = refusal(&release("notBefore: x"));
    assert_eq!(error.code(), "policy-unknown-key");
    assert!(!error.to_string().contains("did you mean"));
}
