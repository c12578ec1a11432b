//! The identity matrix: every policy against every certificate, with an exact truth table.

use countersign_policy::SignatureFacts;

use crate::support::{GITHUB, RELEASE, codes, denials, document, facts, load};

/// Certificates that a trusted authority could have issued, by name.
fn certificates() -> Vec<(&'static str, SignatureFacts)> {
    let named = |san: &str, source: Option<&str>| {
        let mut facts = facts();
        facts.subject_alternative_name = Some(san.to_owned());
        facts.claims.source_repository_uri = source.map(str::to_owned);
        facts
    };
    let app = Some("https://github.com/octo/app");
    let changed = |change: fn(&mut SignatureFacts)| {
        let mut facts = facts();
        change(&mut facts);
        facts
    };
    vec![
        ("release job", facts()),
        ("tag of the release job", named(&RELEASE.replace("heads/main", "tags/v1"), app)),
        ("pull request of the release job", named(&RELEASE.replace("heads/main", "pull/7/merge"), app)),
        ("branch with a longer name", named(&format!("{RELEASE}-evil"), app)),
        ("tag with a line break", named(&RELEASE.replace("heads/main", "tags/v1\n"), app)),
        ("other workflow", named(&RELEASE.replace("release.yml", "test.yml"), app)),
        ("file named like a ref", named(&RELEASE.replace("@refs", "@evil.yml@refs"), app)),
        (
            "host with another letter",
            named(&RELEASE.replace("github.com", "githubXcom"), Some("https://githubXcom/octo/app")),
        ),
        ("upper-case host", named(&RELEASE.replace("github.com", "GitHub.com"), Some("https://GitHub.com/octo/app"))),
        (
            "host with a port",
            named(&RELEASE.replace("github.com", "github.com:443"), Some("https://github.com:443/octo/app")),
        ),
        ("plain http", named(&RELEASE.replace("https", "http"), Some("http://github.com/octo/app"))),
        (
            "owner with a longer name",
            named(&RELEASE.replace("octo/", "octo-evil/"), Some("https://github.com/octo-evil/app")),
        ),
        (
            "fork with a longer name",
            named(&RELEASE.replace("app/", "app-fork/"), Some("https://github.com/octo/app-fork")),
        ),
        ("query on another host", named(&format!("https://evil.example/?u={RELEASE}"), app)),
        ("name in front", named(&format!("x{RELEASE}"), app)),
        ("stranger calling the workflow", named(RELEASE, Some("https://github.com/evil/app"))),
        ("fork calling the workflow", named(RELEASE, Some("https://github.com/evil/app-fork"))),
        ("no source repository", named(RELEASE, None)),
        ("other issuer", changed(|facts| facts.issuer = Some("https://accounts.example".into()))),
        ("issuer with a slash", changed(|facts| facts.issuer = Some(format!("{GITHUB}/")))),
        ("issuer with a longer name", changed(|facts| facts.issuer = Some(format!("{GITHUB}.evil.example")))),
        ("no issuer", changed(|facts| facts.issuer = None)),
        ("no name or two", changed(|facts| facts.subject_alternative_name = None)),
        ("e-mail with the text of the URI", changed(|facts| facts.subject_alternative_name_is_uri = false)),
        ("NUL inside", named(&RELEASE.replace("octo", "octo\0"), app)),
        ("a megabyte", named(&format!("{RELEASE}{}", "a".repeat(1024 * 1024)), app)),
        ("empty name", named("", app)),
        ("e-mail", {
            let mut facts = named("release@octo.example", None);
            facts.issuer = Some("https://accounts.example".into());
            facts.subject_alternative_name_is_uri = false;
            facts
        }),
        ("URI with the text of the e-mail", {
            let mut facts = named("release@octo.example", None);
            facts.issuer = Some("https://accounts.example".into());
            facts
        }),
        ("e-mail of another domain", {
            let mut facts = named("release@octo.example.evil.example", None);
            facts.issuer = Some("https://accounts.example".into());
            facts.subject_alternative_name_is_uri = false;
            facts
        }),
    ]
}

#[test]
fn each_policy_admits_exactly_the_certificates_of_its_row() {
    let signer = |identity: &str| document(&format!("issuer: {GITHUB}\n{identity}"), "");
    let exact = format!("identity: {RELEASE}");
    for (policy, admitted) in [
        (signer(&exact), &["release job"][..]),
        (
            signer(r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/release\.yml@refs/heads/main'"),
            &["release job"],
        ),
        (
            signer("identity_regex: 'https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main'"),
            &["release job"],
        ),
        (
            signer(
                r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/release\.yml@refs/(heads/main|tags/.+)'",
            ),
            &["release job", "tag of the release job"],
        ),
        (
            signer(r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/[^@]+@refs/heads/main'"),
            &["release job", "other workflow"],
        ),
        (
            // Legal and dangerous: any ref, pull requests included.
            signer(r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/release\.yml@.*'"),
            &[
                "release job",
                "tag of the release job",
                "pull request of the release job",
                "branch with a longer name",
                "file named like a ref",
            ],
        ),
        (
            signer(r"identity_regex: 'https://github\.com/octo/[^/]+/\.github/workflows/release\.yml@refs/heads/main'"),
            &["release job", "fork with a longer name"],
        ),
        (signer(&format!("{exact}\ngithub: {{repository: octo/app}}")), &["release job"]),
        (signer(&format!("{exact}\ngithub: {{repository: evil/app}}")), &["stranger calling the workflow"]),
        (
            signer(&format!("{exact}\ngithub: {{repository_regex: '(octo|evil)/app'}}")),
            &["release job", "stranger calling the workflow"],
        ),
        (
            signer(&format!("{exact}\ngithub: {{repository_id: '12345'}}")),
            &[
                // The number is the repository: the sample changes only its name.
                "release job",
                "stranger calling the workflow",
                "fork calling the workflow",
                "no source repository",
            ],
        ),
        (signer(&format!("{exact}\ngithub: {{repository_id: '12346'}}")), &[]),
        (signer(&format!("{exact}\ngithub: {{owner_id: '678'}}")), &["release job"]),
        (signer("identity: release@octo.example"), &[]),
        (document("issuer: https://accounts.example\nidentity: release@octo.example", ""), &["e-mail"]),
        (document(&format!("issuer: https://accounts.example\n{exact}"), ""), &["other issuer"]),
        (document(&format!("issuer: {GITHUB}/\n{exact}"), ""), &["issuer with a slash"]),
    ] {
        let policy_text = policy;
        let policy = load(&policy_text);
        let found: Vec<&str> = certificates()
            .iter()
            .filter(|(_, facts)| codes(&policy, facts).is_empty())
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(found, admitted, "{policy_text}");
    }
}

#[test]
fn each_difference_has_its_own_reason() {
    let policy = load(&document(&format!("issuer: {GITHUB}\nidentity: {RELEASE}"), ""));
    let expected = |name: &str| -> &[&str] {
        match name {
            "release job" => &[],
            "other issuer" | "issuer with a slash" | "issuer with a longer name" | "no issuer" => &["issuer-mismatch"],
            "stranger calling the workflow" | "fork calling the workflow" | "no source repository" => {
                &["source-repository-mismatch"]
            }
            "e-mail" | "URI with the text of the e-mail" | "e-mail of another domain" => {
                &["issuer-mismatch", "identity-mismatch"]
            }
            "e-mail with the text of the URI" => &["identity-mismatch"],
            "no name or two" | "empty name" => &["identity-mismatch", "source-repository-mismatch"],
            _ => &["identity-mismatch"],
        }
    };
    for (name, facts) in certificates() {
        let mut codes = codes(&policy, &facts);
        let expected = expected(name);
        if codes.contains(&"identity-mismatch") && !expected.contains(&"source-repository-mismatch") {
            // A name that is not the policy's speaks for another repository, or for none: no reason of its own.
            codes.retain(|code| *code != "source-repository-mismatch");
        }
        assert_eq!(codes, expected, "{name}");
    }
}

#[test]
fn a_denial_is_one_line_that_names_signer_expected_and_found() {
    let policy = load(&document(&format!("issuer: {GITHUB}\nidentity: {RELEASE}"), ""));
    let mut facts = facts();
    facts.subject_alternative_name = Some(RELEASE.replace("main", "ma\u{1b}[31m\n"));
    let denials = denials(&policy, &facts, None);
    assert_eq!(
        denials[0].to_string(),
        "signer `release`: identity: expected https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main, \
         found https://github.com/octo/app/.github/workflows/release.yml@refs/heads/ma\\u{1b}[31m\\u{a}"
    );
    assert_eq!(denials[0].first_difference(), Some(RELEASE.len() - 2));
    facts.subject_alternative_name = Some("x".repeat(10_000_000));
    let denials = crate::support::denials(&policy, &facts, None);
    assert!(denials[0].to_string().len() < 1_000 && denials[0].found.as_ref().unwrap().len() <= 4_096);
}

#[test]
fn every_entry_says_why_it_does_not_match() {
    let text = format!(
        "version: 1\nsigners:\n  - name: a\n    issuer: https://a.example\n    identity: {RELEASE}\n  - name: b\n    \
         issuer: {GITHUB}\n    identity: other@octo.example\n"
    );
    let denials = denials(&load(&text), &facts(), None);
    let reasons: Vec<(&str, &str)> =
        denials.iter().map(|denial| (denial.signer.as_deref().unwrap(), denial.code())).collect();
    assert_eq!(reasons, [("a", "issuer-mismatch"), ("b", "identity-mismatch")]);
}
