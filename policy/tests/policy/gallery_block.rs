//! The gallery's `verification` block, and signers from flags.

use countersign_policy::{GithubSpec, Policy, PolicyError, SignerSpec, Trust};

use crate::support::{GITHUB, RELEASE, codes, facts, gallery, load, release};

#[test]
fn the_documented_block_of_the_wild_loads_and_admits_only_what_it_means() {
    let policy = gallery(
        "issuer: https://token.actions.githubusercontent.com
identity_regex: \"^https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)$\"
not_before: \"2026-06-01T00:00:00Z\"
",
    )
    .unwrap();
    let san = "https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/heads/master";
    let own = "https://github.com/mudler/LocalAI";
    for (san, source, accepted) in [
        (san.to_owned(), own, true),
        (san.replace("heads/master", "tags/v4.3"), own, true),
        (san.replace("heads/master", "heads/other"), own, false),
        (san.replace("heads/master", "pull/7/merge"), own, false),
        (san.replace("github.com", "githubXcom"), own, false),
        (san.to_owned(), "https://github.com/evil/LocalAI", false),
    ] {
        let mut facts = facts();
        facts.subject_alternative_name = Some(san.clone());
        facts.claims.source_repository_uri = Some(source.to_owned());
        assert_eq!(codes(&policy, &facts).is_empty(), accepted, "{san} {source}");
    }
}

#[test]
fn a_block_is_a_policy_with_one_signer() {
    let block = format!(
        "issuer: {GITHUB}\nidentity: {RELEASE}\nnot_before: 2026-06-01T00:00:00Z\nnot_after: null\nmax_age: 90d\nthreshold: 1\ndistinct_logs: 2
github: {{repository: octo/app, trigger: [push]}}\nrequire: {{tag: true}}\ntrust: {{file: root.json}}\ndeny: {{digests: []}}"
    );
    let policy = gallery(&block).unwrap();
    assert!(policy.require().tag);
    assert_eq!(policy.trust(), Some(&Trust::File("root.json".into())));
    let document = load(
        &release(
            "    github: {repository: octo/app, trigger: push}\nnot_before: 2026-06-01T02:00:00+02:00\nmax_age: 2160h
distinct_logs: 2
require: {tag: true}\ntrust: {file: root.json}",
        )
        .replace("name: release", "name: gallery"),
    );
    assert_eq!(policy.canonical(), document.canonical());
}

#[test]
fn blocks_that_would_admit_strangers_do_not_load() {
    let both = format!("issuer: {GITHUB}\nidentity: {RELEASE}\n");
    for (block, code) in [
        ("{}".to_owned(), "policy-missing-key"),
        (format!("issuer: {GITHUB}"), "policy-missing-key"),
        (format!("identity: {RELEASE}"), "policy-missing-key"),
        ("not_before: 2026-06-01T00:00:00Z".to_owned(), "policy-missing-key"),
        (format!("{both}issuer_regex: {GITHUB}"), "policy-conflict"),
        (format!("{both}identity_regex: {RELEASE}"), "policy-conflict"),
        (format!("issuer: {GITHUB}\nidentity: ''"), "policy-empty-value"),
        (format!("issuer: ''\nidentity: {RELEASE}"), "policy-empty-value"),
        (format!("issuer_regex: ''\nidentity: {RELEASE}"), "policy-empty-value"),
        (format!("issuer: {GITHUB}\nidentity_regex: '.*'"), "policy-open-pattern"),
        (format!("issuer_regex: '.*'\nidentity: {RELEASE}"), "policy-open-pattern"),
        (format!("{both}threshold: 2"), "policy-threshold"),
        (format!("{both}threshold: 0"), "policy-threshold"),
        (format!("{both}notBefore: 2026-06-01T00:00:00Z"), "policy-unknown-key"),
        (format!("{both}signers: []"), "policy-unknown-key"),
        (format!("{both}not_before:"), "policy-refused-yaml"),
        (format!("{both}not_before: ''"), "policy-invalid-value"),
        (format!("{both}github: {{}}"), "policy-empty-value"),
        ("~".to_owned(), "policy-empty-document"),
        ("[]".to_owned(), "policy-wrong-type"),
        ("text".to_owned(), "policy-wrong-type"),
    ] {
        let error = gallery(&block).expect_err(&block);
        assert_eq!(error.code(), code, "{block}: {error}");
    }
}

#[test]
fn errors_of_a_block_point_into_the_file_it_stands_in() {
    let error = gallery(&format!("issuer: {GITHUB}\nidentity_regex: '.*'")).unwrap_err();
    let at = error.location();
    assert_eq!((at.line, at.column, at.key.as_str()), (Some(2), Some(17), "identity_regex"));
}

#[test]
fn flags_make_a_policy_of_one_signer() {
    let spec = SignerSpec {
        name: "release".into(),
        issuer: Some(GITHUB.into()),
        identity: Some(RELEASE.into()),
        ..SignerSpec::default()
    };
    let policy = Policy::for_identity(spec.clone()).unwrap();
    assert_eq!(policy.canonical(), load(&release("")).canonical());
    assert!(codes(&policy, &facts()).is_empty());

    let github =
        GithubSpec { repository: Some("octo/app".into()), trigger: vec!["push".into()], ..GithubSpec::default() };
    let claims = Policy::for_identity(SignerSpec { github: Some(github), ..spec }).unwrap();
    assert_eq!(claims.canonical(), load(&release("    github: {repository: octo/app, trigger: push}")).canonical());
}

#[test]
fn flags_that_would_admit_strangers_are_refused() {
    let good = SignerSpec { issuer: Some(GITHUB.into()), identity: Some(RELEASE.into()), ..SignerSpec::default() };
    for spec in [
        SignerSpec::default(),
        SignerSpec { issuer: None, ..good.clone() },
        SignerSpec { identity: None, ..good.clone() },
        SignerSpec { identity: Some(String::new()), ..good.clone() },
        SignerSpec { identity_regex: Some(RELEASE.into()), ..good.clone() },
        SignerSpec { issuer_regex: Some(GITHUB.into()), ..good.clone() },
        SignerSpec { identity: None, identity_regex: Some(".*".into()), ..good.clone() },
        SignerSpec { identity: None, identity_regex: Some(String::new()), ..good.clone() },
        SignerSpec { identity: None, identity_regex: Some("(".into()), ..good.clone() },
        SignerSpec { github: Some(GithubSpec::default()), ..good.clone() },
    ] {
        assert!(Policy::for_identity(spec.clone()).is_err(), "{spec:?}");
    }
    let error = Policy::for_identity(SignerSpec { identity: None, ..good }).unwrap_err();
    assert!(matches!(error, PolicyError::MissingKey { at, .. } if at.key == "identity" && at.line.is_none()));
}
