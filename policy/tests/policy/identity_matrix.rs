//! Policies by certificates, each pair with an answer that is worked out from the parts and not from the text.

use countersign_policy::{Claims, SignatureFacts};

use crate::support::{GITHUB, codes, document, facts, load};

/// What a certificate is made of.
#[derive(Clone, Copy, Debug)]
struct Parts {
    issuer: &'static str,
    host: &'static str,
    repository: &'static str,
    file: &'static str,
    reference: &'static str,
    /// Whose job signed.
    source: &'static str,
    trigger: &'static str,
}

const GOOD: Parts = Parts {
    issuer: GITHUB,
    host: "https://github.com",
    repository: "octo/app",
    file: "release.yml",
    reference: "refs/heads/main",
    source: "octo/app",
    trigger: "push",
};

impl Parts {
    fn facts(self) -> SignatureFacts {
        let Self { issuer, host, repository, file, reference, source, trigger } = self;
        SignatureFacts {
            issuer: Some(issuer.to_owned()),
            subject_alternative_name: Some(format!("{host}/{repository}/.github/workflows/{file}@{reference}")),
            claims: Claims {
                source_repository_uri: Some(format!("{host}/{source}")),
                source_repository_ref: Some(reference.to_owned()),
                build_trigger: Some(trigger.to_owned()),
                ..facts().claims
            },
            ..facts()
        }
    }
}

fn certificates() -> Vec<Parts> {
    let mut all = Vec::new();
    for (repository, source) in [
        ("octo/app", "octo/app"),
        ("octo/app", "evil/app"),
        ("octo/app-fork", "octo/app-fork"),
        ("octo-evil/app", "octo-evil/app"),
    ] {
        for reference in
            ["refs/heads/main", "refs/heads/main-evil", "refs/tags/v1", "refs/tags/v1\n", "refs/pull/7/merge"]
        {
            for trigger in ["push", "pull_request_target"] {
                all.push(Parts { repository, source, reference, trigger, ..GOOD });
            }
        }
    }
    for file in ["release.yaml", "Release.yml", "test.yml", "release.yml@evil.yml", "release.yml "] {
        all.push(Parts { file, ..GOOD });
        all.push(Parts { file, reference: "refs/tags/v1", ..GOOD });
    }
    for host in [
        "https://GitHub.com",
        "https://githubXcom",
        "https://github.com.evil.example",
        "https://github.com:443",
        "http://github.com",
        "https://evil.example/?u=https://github.com",
    ] {
        all.push(Parts { host, ..GOOD });
    }
    for issuer in [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.com/octo",
        "https://token.actions.githubusercontent.com.evil.example",
        "https://accounts.example",
    ] {
        all.push(Parts { issuer, ..GOOD });
    }
    all
}

/// The text of an identity, and whether it admits a name of these parts.
type Identity = (&'static str, fn(&Parts) -> bool);
/// The text of claims; whether they admit these parts; whether they say whose jobs may sign.
type Asked = (&'static str, fn(&Parts) -> bool, bool);

fn on_app(parts: &Parts) -> bool {
    parts.host == "https://github.com" && parts.repository == "octo/app"
}

const IDENTITIES: [Identity; 9] = [
    ("identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main", |parts| {
        on_app(parts) && parts.file == "release.yml" && parts.reference == "refs/heads/main"
    }),
    ("identity: https://github.com/octo/app/.github/workflows/release.yml@refs/tags/v1", |parts| {
        on_app(parts) && parts.file == "release.yml" && parts.reference == "refs/tags/v1"
    }),
    ("identity: https://github.com/octo/app-fork/.github/workflows/release.yml@refs/heads/main", |parts| {
        parts.host == "https://github.com"
            && parts.repository == "octo/app-fork"
            && parts.reference == "refs/heads/main"
    }),
    (r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/release\.yml@refs/heads/main'", |parts| {
        on_app(parts) && parts.file == "release.yml" && parts.reference == "refs/heads/main"
    }),
    (
        r"identity_regex: '^https://github.com/octo/app/.github/workflows/release.yml@refs/(heads/main|tags/.+)$'",
        |parts| {
            on_app(parts)
                && parts.file == "release.yml"
                && matches!(parts.reference, "refs/heads/main" | "refs/tags/v1")
        },
    ),
    (r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/release\.ya?ml@refs/heads/main'", |parts| {
        on_app(parts) && matches!(parts.file, "release.yml" | "release.yaml") && parts.reference == "refs/heads/main"
    }),
    (r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/[^@ ]+@refs/.+'", |parts| {
        let plain = !parts.file.contains(['@', ' ']);
        on_app(parts) && plain && !parts.reference.ends_with('\n')
    }),
    (r"identity_regex: 'https://github\.com/octo/app.*/\.github/workflows/release\.yml@refs/heads/main'", |parts| {
        let is_named = matches!(parts.repository, "octo/app" | "octo/app-fork");
        parts.host == "https://github.com"
            && is_named
            && parts.file == "release.yml"
            && parts.reference == "refs/heads/main"
    }),
    (r"identity_regex: 'https://github\.com/octo-evil/app/.+'", |parts| {
        parts.repository == "octo-evil/app" && !parts.reference.ends_with('\n')
    }),
];

const CLAIMS: [Asked; 8] = [
    ("", |_| true, false),
    ("github: {repository: octo/app}", |parts| parts.source == "octo/app", true),
    ("github: {repository: evil/app}", |parts| parts.source == "evil/app", true),
    ("github: {repository_regex: 'octo/.+'}", |parts| parts.source.starts_with("octo/"), true),
    ("github: {trigger: [push, schedule]}", |parts| parts.trigger == "push", false),
    (
        "github: {repository: octo/app, trigger: pull_request_target}",
        |parts| parts.source == "octo/app" && parts.trigger == "pull_request_target",
        true,
    ),
    ("github: {ref: refs/heads/main}", |parts| parts.reference == "refs/heads/main", false),
    (r"github: {ref_regex: 'refs/tags/v\d+'}", |parts| parts.reference == "refs/tags/v1", false),
];

const ISSUERS: [&str; 2] = [GITHUB, "https://accounts.example"];

#[test]
fn every_policy_says_of_every_certificate_what_its_parts_say() {
    let certificates = certificates();
    let (mut policies, mut pairs, mut admitted) = (0, 0, 0);
    for issuer in ISSUERS {
        for (identity, admits_name) in IDENTITIES {
            for (github, admits_claims, names_repository) in CLAIMS {
                let text = document(format!("issuer: {issuer}\n{identity}\n{github}").trim_end(), "");
                let policy = load(&text);
                policies += 1;
                for parts in &certificates {
                    let own = names_repository || parts.source == parts.repository;
                    let expected = parts.issuer == issuer && admits_name(parts) && admits_claims(parts) && own;
                    let codes = codes(&policy, &parts.facts());
                    assert_eq!(codes.is_empty(), expected, "{text}{parts:?}: {codes:?}");
                    if !expected {
                        assert_eq!(
                            codes.contains(&"issuer-mismatch"),
                            parts.issuer != issuer,
                            "{text}{parts:?}: {codes:?}"
                        );
                        assert_eq!(
                            codes.contains(&"identity-mismatch"),
                            !admits_name(parts),
                            "{text}{parts:?}: {codes:?}"
                        );
                    }
                    pairs += 1;
                    admitted += usize::from(expected);
                }
            }
        }
    }
    assert!(policies >= 60 && certificates.len() >= 60, "{policies} policies, {} certificates", certificates.len());
    assert!(pairs >= 3_600 && admitted >= 100, "{pairs} pairs, {admitted} of them admitted");
}
