//! Claims of the certificate beside issuer and identity.

use countersign_policy::{Claim, Claims, Field};

use crate::support::{codes, denials, document, facts, load, with_claims};

#[test]
fn each_claim_is_compared_with_its_extension() {
    for (github, accepted) in [
        ("{repository: octo/app}", true),
        ("{repository: octo/app2}", false),
        ("{repository: octo/ap}", false),
        ("{repository: Octo/app}", false),
        ("{repository_id: '12345'}", true),
        ("{repository_id: 12345}", true),
        ("{repository_id: '012345'}", false),
        ("{repository_id: '1234'}", false),
        ("{owner: octo, repository: octo/app}", true),
        ("{owner: evil, repository: octo/app}", false),
        ("{owner_id: '678'}", true),
        ("{owner_id: '679'}", false),
        ("{ref: refs/heads/main}", true),
        ("{ref: refs/heads/next}", false),
        ("{trigger: push}", true),
        ("{trigger: [push]}", true),
        ("{trigger: [schedule, push]}", true),
        ("{trigger: [schedule, workflow_dispatch]}", false),
        ("{runner_environment: github-hosted}", true),
        ("{runner_environment: self-hosted}", false),
        ("{environment: production}", true),
        ("{environment: staging}", false),
        ("{visibility: public}", true),
        ("{visibility: private}", false),
        ("{build_config: 'https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main'}", true),
        ("{build_config: 'https://github.com/octo/app/.github/workflows/test.yml@refs/heads/main'}", false),
        ("{ref: refs/heads/main, trigger: push, owner_id: '678'}", true),
        ("{ref: refs/heads/main, trigger: push, owner_id: '679'}", false),
    ] {
        let expected: &[&str] = if accepted { &[] } else { &["github-claim-mismatch"] };
        assert_eq!(codes(&load(&with_claims(github)), &facts()), expected, "{github}");
    }
}

#[test]
fn a_claim_that_the_certificate_does_not_make_is_denied() {
    let mut facts = facts();
    facts.claims = Claims { source_repository_uri: facts.claims.source_repository_uri, ..Claims::default() };
    for github in [
        "{repository_id: '12345'}",
        "{owner: octo}",
        "{owner_id: '678'}",
        "{ref: refs/heads/main}",
        "{ref_regex: '.*'}",
        "{trigger: push}",
        "{trigger_regex: '.*'}",
        "{runner_environment: github-hosted}",
        "{environment_regex: '.*'}",
        "{visibility: public}",
        "{build_config_regex: '.*'}",
    ] {
        assert_eq!(codes(&load(&with_claims(github)), &facts), ["github-claim-mismatch"], "{github}");
    }
}

#[test]
fn every_claim_that_differs_is_named() {
    let policy = load(&with_claims("{repository: octo/app, ref: refs/heads/main, trigger: [push, schedule]}"));
    let mut facts = facts();
    facts.claims.build_trigger = Some("pull_request_target".into());
    facts.claims.source_repository_ref = Some("refs/pull/7/merge".into());
    let denials = denials(&policy, &facts, None);
    let fields: Vec<&Field> = denials.iter().map(|denial| &denial.field).collect();
    assert_eq!(fields, [&Field::Claim(Claim::Ref), &Field::Claim(Claim::Trigger)]);
    assert_eq!(
        denials[1].to_string(),
        "signer `release`: claim `trigger`: expected push or schedule, found pull_request_target"
    );
}

#[test]
fn the_repositorys_host_is_the_identitys() {
    let policy = load(&with_claims("{repository: octo/app}"));
    for (uri, accepted) in [
        ("https://github.com/octo/app", true),
        ("https://evil.example/octo/app", false),
        ("http://github.com/octo/app", false),
        ("https://github.com.evil.example/octo/app", false),
        ("https://github.com//octo/app", false),
        ("https://github.comXocto/app", false),
        ("octo/app", false),
    ] {
        let mut facts = facts();
        facts.claims.source_repository_uri = Some(uri.into());
        assert_eq!(codes(&policy, &facts).is_empty(), accepted, "{uri}");
    }
}

#[test]
fn a_name_without_a_host_leaves_the_repository_on_github() {
    let policy = load(&document(
        "issuer: https://accounts.example\nidentity: release@octo.example\ngithub: {repository: octo/app}",
        "",
    ));
    for (uri, accepted) in
        [("https://github.com/octo/app", true), ("/octo/app", false), ("https://evil.example/octo/app", false)]
    {
        let mut facts = facts();
        facts.issuer = Some("https://accounts.example".into());
        facts.subject_alternative_name = Some("release@octo.example".into());
        facts.subject_alternative_name_is_uri = false;
        facts.claims.source_repository_uri = Some(uri.into());
        assert_eq!(codes(&policy, &facts).is_empty(), accepted, "{uri}");
    }
}

#[test]
fn values_with_control_characters_never_match() {
    let policy = load(&with_claims("{ref_regex: '(?s)refs/heads/.*'}"));
    for (reference, accepted) in [("refs/heads/main", true), ("refs/heads/main\n", false), ("refs/heads/\0", false)] {
        let mut facts = facts();
        facts.claims.source_repository_ref = Some(reference.into());
        assert_eq!(codes(&policy, &facts).is_empty(), accepted, "{reference:?}");
    }
}
