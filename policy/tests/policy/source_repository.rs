//! A workflow that others can call gives its name to all of them.

use countersign_policy::SignatureFacts;

use crate::support::{GITHUB, RELEASE, codes, denials, document, facts, load};

fn named(issuer: &str, san: &str, source: Option<&str>) -> SignatureFacts {
    let mut facts = facts();
    facts.issuer = Some(issuer.to_owned());
    facts.subject_alternative_name = Some(san.to_owned());
    facts.claims.source_repository_uri = source.map(str::to_owned);
    facts
}

fn reasons(issuer: &str, san: &str, source: Option<&str>, github: &str) -> Vec<&'static str> {
    let policy = load(&document(&format!("issuer: {issuer}\nidentity: {san}{github}"), ""));
    codes(&policy, &named(issuer, san, source))
}

#[test]
fn the_source_repository_must_be_the_names_own() {
    let gitlab = "https://gitlab.com/group/sub/project//.gitlab-ci.yml@refs/heads/main";
    let hosted = "https://git.octo.example/octo/app/.github/workflows/release.yml@refs/heads/main";
    for (issuer, san, source, accepted) in [
        (GITHUB, RELEASE, Some("https://github.com/octo/app"), true),
        (GITHUB, RELEASE, Some("https://github.com/octo/App"), false),
        (GITHUB, RELEASE, Some("https://github.com/octo/app/"), false),
        (GITHUB, RELEASE, Some("https://github.com/octo/app-fork"), false),
        (GITHUB, RELEASE, Some("https://github.com/octo"), false),
        (GITHUB, RELEASE, Some("https://github.com/evil/app"), false),
        (GITHUB, RELEASE, Some("https://evil.example/octo/app"), false),
        (GITHUB, RELEASE, Some("octo/app"), false),
        (GITHUB, RELEASE, Some(""), false),
        (GITHUB, RELEASE, None, false),
        ("https://gitlab.com", gitlab, Some("https://gitlab.com/group/sub/project"), true),
        ("https://gitlab.com", gitlab, Some("https://gitlab.com/group/sub"), false),
        ("https://gitlab.com", gitlab, Some("https://gitlab.com/evil/project"), false),
        ("https://gitlab.com", gitlab, None, false),
        ("https://git.octo.example/_services/token", hosted, Some("https://git.octo.example/octo/app"), true),
        ("https://git.octo.example/_services/token", hosted, Some("https://git.octo.example/evil/app"), false),
        ("https://git.octo.example/_services/token", hosted, Some("https://github.com/octo/app"), false),
        ("https://git.octo.example/_services/token", hosted, None, false),
        ("http://127.0.0.1:8888/gha", RELEASE, Some("https://github.com/octo/app"), true),
        ("http://127.0.0.1:8888/gha", RELEASE, Some("https://github.com/evil/app"), false),
    ] {
        let expected: &[&str] = if accepted { &[] } else { &["source-repository-mismatch"] };
        assert_eq!(reasons(issuer, san, source, ""), expected, "{issuer} {san} {source:?}");
    }
}

#[test]
fn githubs_issuer_without_that_extension_is_denied_whatever_the_name() {
    for san in
        ["https://github.com/octo", "release@octo.example", "https://github.com/octo/app/dynamic/x@refs/heads/main"]
    {
        for issuer in [GITHUB, "https://token.actions.githubusercontent.com/octo-enterprise"] {
            let codes = reasons(issuer, san, None, "");
            assert!(codes.contains(&"source-repository-mismatch"), "{issuer} {san}: {codes:?}");
        }
    }
}

#[test]
fn names_that_are_no_workflows_have_no_such_rule() {
    let policy =
        load(&document("issuer: https://agent.buildkite.com\nidentity: https://buildkite.com/octo/release", ""));
    assert!(
        codes(&policy, &named("https://agent.buildkite.com", "https://buildkite.com/octo/release", None)).is_empty()
    );
}

#[test]
fn a_policy_may_name_the_callers_it_admits() {
    let evil = Some("https://github.com/evil/app");
    let friend = Some("https://github.com/friend/app");
    for (github, source, accepted) in [
        ("{repository: friend/app}", friend, true),
        ("{repository: friend/app}", evil, false),
        ("{repository: friend/app}", Some("https://github.com/octo/app"), false),
        ("{repository: friend/app}", None, false),
        ("{repository_regex: 'friend/.*'}", friend, true),
        ("{repository_regex: 'friend/.*'}", evil, false),
        ("{repository_regex: 'friend/.*'}", None, false),
        // Other claims say nothing of the repository, and the rule stays.
        ("{owner_id: '678'}", friend, false),
        ("{owner: octo}", friend, false),
        ("{ref: refs/heads/main}", friend, false),
        ("{build_config_regex: '.*'}", friend, false),
        ("{trigger: push}", friend, false),
    ] {
        let codes = reasons(GITHUB, RELEASE, source, &format!("\ngithub: {github}"));
        assert_eq!(codes.is_empty(), accepted, "{github} {source:?}: {codes:?}");
    }
}

#[test]
fn the_denial_names_both_repositories() {
    let policy = load(&document(&format!("issuer: {GITHUB}\nidentity: {RELEASE}"), ""));
    let denials = denials(&policy, &named(GITHUB, RELEASE, Some("https://github.com/evil/app")), None);
    assert_eq!(denials[0].expected, "https://github.com/octo/app");
    assert_eq!(denials[0].found.as_deref(), Some("https://github.com/evil/app"));
}
