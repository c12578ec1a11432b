//! The attacks on identity policies that are known of other programs: each refused with its reason, beside what is accepted.

use countersign_policy::{PolicyError, SignatureFacts};

use crate::support::{GITHUB, RELEASE, codes, document, facts, load, refusal, with_claims};

/// The exact policy, and a pattern as strict as LocalAI's.
fn policies() -> [String; 2] {
    let pattern = "^https://github.com/octo/app/.github/workflows/release.yml@refs/(heads/main|tags/.+)$";
    [
        document(&format!("issuer: {GITHUB}\nidentity: {RELEASE}"), ""),
        document(&format!("issuer: {GITHUB}\nidentity_regex: '{pattern}'"), ""),
    ]
}

/// Both policies accept the release job, and refuse it once it is spoilt, for this reason.
fn is_refused(spoil: impl Fn(&mut SignatureFacts), reason: &str) {
    for text in policies() {
        let policy = load(&text);
        assert_eq!(codes(&policy, &facts()), [""; 0], "{text}");
        let mut facts = facts();
        spoil(&mut facts);
        let codes = codes(&policy, &facts);
        assert_eq!(codes.first(), Some(&reason), "{text}: {codes:?}");
    }
}

/// A certificate for this name, of a job of the repository that the name speaks for.
fn name_is_refused(name: &str) {
    let source = name.split("/.github/").next().map(str::to_owned);
    is_refused(
        |facts| {
            facts.subject_alternative_name = Some(name.to_owned());
            facts.claims.source_repository_uri.clone_from(&source);
        },
        "identity-mismatch",
    );
}

#[test]
fn a_host_that_an_unescaped_dot_would_admit_is_refused() {
    name_is_refused(&RELEASE.replace("github.com", "githubXcom"));
}

#[test]
fn an_owner_with_a_longer_name_is_refused() {
    name_is_refused(&RELEASE.replace("octo/", "octo-evil/"));
}

#[test]
fn a_repository_with_a_longer_name_is_refused() {
    name_is_refused(&RELEASE.replace("octo/app/", "octo/app-fork/"));
}

#[test]
fn the_workflow_of_a_pull_request_is_refused() {
    name_is_refused(&RELEASE.replace("refs/heads/main", "refs/pull/7/merge"));
}

#[test]
fn a_branch_that_begins_like_the_right_one_is_refused() {
    name_is_refused(&format!("{RELEASE}-evil"));
}

#[test]
fn a_tag_with_a_line_break_at_its_end_is_refused() {
    name_is_refused(&RELEASE.replace("refs/heads/main", "refs/tags/v1\n"));
    let [_, pattern] = policies();
    let mut facts = facts();
    facts.subject_alternative_name = Some(RELEASE.replace("refs/heads/main", "refs/tags/v1"));
    assert_eq!(codes(&load(&pattern), &facts), [""; 0], "the tag itself is admitted");
}

#[test]
fn the_right_name_as_a_query_of_another_host_is_refused() {
    name_is_refused(&format!("https://evil.example/?u={RELEASE}"));
    name_is_refused(&format!("https://evil.example/#{RELEASE}"));
    name_is_refused(&format!("https://github.com@evil.example/{}", &RELEASE["https://github.com/".len()..]));
}

#[test]
fn a_file_named_like_a_ref_is_refused() {
    name_is_refused(&RELEASE.replace("release.yml@", "release.yml@evil.yml@"));
}

#[test]
fn the_right_name_from_another_issuer_is_refused() {
    is_refused(|facts| facts.issuer = Some("https://accounts.example".into()), "issuer-mismatch");
}

#[test]
fn an_issuer_with_a_slash_at_its_end_is_refused() {
    is_refused(|facts| facts.issuer = Some(format!("{GITHUB}/")), "issuer-mismatch");
}

#[test]
fn the_issuer_of_a_tenant_is_refused() {
    is_refused(|facts| facts.issuer = Some(format!("{GITHUB}/octo")), "issuer-mismatch");
}

#[test]
fn an_e_mail_address_with_the_text_of_the_uri_is_refused() {
    is_refused(|facts| facts.subject_alternative_name_is_uri = false, "identity-mismatch");
}

#[test]
fn a_certificate_with_two_names_has_none() {
    is_refused(|facts| facts.subject_alternative_name = None, "identity-mismatch");
}

#[test]
fn an_upper_case_host_is_refused() {
    name_is_refused(&RELEASE.replace("github.com", "GitHub.com"));
}

#[test]
fn a_nul_inside_is_refused() {
    name_is_refused(&RELEASE.replace("octo/app", "octo/app\0"));
    name_is_refused(&format!("{RELEASE}\0"));
}

#[test]
fn the_right_name_of_a_forks_job_is_refused() {
    let fork =
        |facts: &mut SignatureFacts| facts.claims.source_repository_uri = Some("https://github.com/evil/app".into());
    is_refused(fork, "source-repository-mismatch");
    let policy = load(&with_claims("{repository: octo/app}"));
    assert_eq!(codes(&policy, &facts()), [""; 0]);
    let mut facts = facts();
    fork(&mut facts);
    assert_eq!(codes(&policy, &facts), ["github-claim-mismatch"]);
}

#[test]
fn a_job_that_pull_request_target_started_is_refused_where_the_trigger_is_asked_for() {
    let policy = load(&with_claims("{repository: octo/app, trigger: [push, schedule]}"));
    assert_eq!(codes(&policy, &facts()), [""; 0]);
    let mut facts = facts();
    facts.claims.build_trigger = Some("pull_request_target".into());
    assert_eq!(codes(&policy, &facts), ["github-claim-mismatch"]);
}

#[test]
fn a_repository_that_was_registered_again_by_others_is_refused_by_its_number() {
    let policy = load(&with_claims("{repository: octo/app, repository_id: '12345', owner_id: '678'}"));
    assert_eq!(codes(&policy, &facts()), [""; 0]);
    let mut facts = facts();
    facts.claims.source_repository_identifier = Some("99999".into());
    assert_eq!(codes(&policy, &facts), ["github-claim-mismatch"]);
}

#[test]
fn a_pattern_that_takes_other_engines_for_ever_takes_no_time() {
    let text = document(&format!("issuer: {GITHUB}\nidentity_regex: 'https://github\\.com/octo/(a+)+$'"), "");
    let policy = load(&text);
    let mut facts = facts();
    facts.claims.source_repository_uri = None;
    facts.subject_alternative_name = Some(format!("https://github.com/octo/{}!", "a".repeat(8_000)));
    assert!(codes(&policy, &facts).contains(&"identity-mismatch"));
    facts.issuer = Some(GITHUB.into());
    facts.subject_alternative_name = Some(format!("https://github.com/octo/{}", "a".repeat(8_000)));
    assert!(!codes(&policy, &facts).contains(&"identity-mismatch"), "what matches, matches");
}

#[test]
fn a_name_of_a_megabyte_is_refused() {
    name_is_refused(&format!("{RELEASE}{}", "a".repeat(1024 * 1024)));
    let open = document(&format!("issuer: {GITHUB}\nidentity_regex: 'https://github\\.com/octo/app/.*'"), "");
    let mut facts = facts();
    facts.subject_alternative_name = Some(format!("{RELEASE}{}", "a".repeat(1024 * 1024)));
    assert_eq!(codes(&load(&open), &facts), ["identity-mismatch"]);
}

#[test]
fn patterns_that_leave_host_or_owner_open_do_not_load() {
    for pattern in [
        "",
        ".*",
        "a|.*",
        "https://github\\.com/octo/app|.*",
        "https://github\\.com/.*/app",
        "https://.*",
        "(?i)https://github\\.com/octo/app",
    ] {
        let error = refusal(&document(&format!("issuer: {GITHUB}\nidentity_regex: '{pattern}'"), ""));
        let is_right = match pattern {
            "" => matches!(error, PolicyError::Empty { .. }),
            _ => matches!(error, PolicyError::OpenPattern { .. }),
        };
        assert!(is_right, "{pattern}: {error:?}");
        assert!(error.location().line.is_some(), "{pattern}");
    }
    load(&document(&format!("issuer: {GITHUB}\nidentity_regex: 'https://github\\.com/octo/app/.*'"), ""));
}

#[test]
fn half_a_signer_does_not_load() {
    for half in [format!("issuer: {GITHUB}"), format!("identity: {RELEASE}")] {
        assert!(matches!(refusal(&document(&half, "")), PolicyError::MissingKey { .. }), "{half}");
    }
}
