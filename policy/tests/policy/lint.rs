//! What is legal and dangerous has a name, a place, a reason and a fix that holds.

use countersign_policy::lint::{Finding, Form, Level, Linted, Rule, lint};

use crate::support::{GITHUB, RELEASE, document, release, time};

const NOW: &str = "2026-11-01T00:00:00Z";
/// LocalAI's documented block.
const LOCALAI: &str = r#"
- name: localai
  url: https://index.localai.io/backends
  mirrors: ["github:mudler/LocalAI/backend/index.yaml@master"]
  verification:
    issuer: "https://token.actions.githubusercontent.com"
    identity_regex: "^https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)$"
"#;

fn linted(text: &str) -> Linted {
    lint("policy.yaml", text, time(NOW)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn warnings(text: &str) -> Vec<Finding> {
    linted(text).findings.into_iter().filter(|finding| finding.level == Level::Warning).collect()
}

fn warned(text: &str) -> Vec<&'static str> {
    warnings(text).iter().map(|finding| finding.rule.code()).collect()
}

fn noted(text: &str) -> Vec<&'static str> {
    let notes = linted(text).findings.into_iter().filter(|finding| finding.level == Level::Note);
    notes.map(|finding| finding.rule.code()).collect()
}

/// A policy of the release job with this pattern for its name.
fn pattern(pattern: &str) -> String {
    document(&format!("issuer: {GITHUB}\nidentity_regex: '{pattern}'\ngithub: {{repository: octo/app}}"), "")
}

#[test]
fn localais_documented_block_has_its_weaknesses_named() {
    let linted = linted(LOCALAI);
    assert_eq!((linted.form, linted.policies), (Form::Galleries, 1));
    assert_eq!(warned(LOCALAI), ["any-tag", "no-repository-claim", "unescaped-dot"]);
    assert_eq!(
        noted(LOCALAI),
        ["no-not-before", "no-repository-binding", "no-tag-binding", "names-only", "unpinned-claims"]
    );
    for finding in linted.findings {
        assert_eq!(finding.gallery.as_deref(), Some("localai"));
        assert!(finding.at.line.is_some_and(|line| (6..=7).contains(&line)), "{finding:?}");
    }
}

#[test]
fn the_fixes_of_localais_block_hold() {
    let fixed = r"
issuer: https://token.actions.githubusercontent.com
identity_regex: '^https://github\.com/mudler/LocalAI/\.github/workflows/backend_merge\.yml@refs/(heads/master|tags/v[0-9]+\.[0-9]+\.[0-9]+)$'
not_before: 2026-11-01T00:00:00Z
require: {tag: true, repository: true}
github: {repository: mudler/LocalAI, repository_id: '1', trigger: [push], runner_environment: github-hosted}
";
    assert_eq!(linted(fixed).form, Form::GalleryBlock);
    assert_eq!(linted(fixed).findings, []);
    for finding in linted(LOCALAI).findings {
        for line in finding.fix.lines().filter(|line| !line.starts_with('#')) {
            let known = fixed.contains(line.split(": ").next().unwrap());
            assert!(known, "{line}");
        }
    }
    let tags = linted(LOCALAI).findings.into_iter().find(|finding| finding.rule == Rule::AnyTag).unwrap();
    let again = LOCALAI.lines().filter(|line| !line.contains("identity_regex")).collect::<Vec<_>>().join("\n");
    assert!(!warned(&format!("{again}\n    {}\n", tags.fix)).contains(&"any-tag"), "{}", tags.fix);
}

#[test]
fn a_policy_that_says_all_there_is_to_say_has_no_findings() {
    let text = document(
        &format!(
            "issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {{repository: octo/app, repository_id: '12345', owner_id: '678', \
             ref: refs/heads/main, trigger: [push], runner_environment: github-hosted}}"
        ),
        "not_before: 2026-06-01T00:00:00Z\nrequire: {tag: true, repository: true}",
    );
    assert_eq!(linted(&text).findings, []);
}

#[test]
fn an_exact_identity_needs_no_warning() {
    assert_eq!(warned(&release("")), [""; 0]);
    assert_eq!(
        noted(&release("")),
        [
            "no-not-before",
            "no-repository-binding",
            "no-tag-binding",
            "names-only",
            "no-repository-claim",
            "unpinned-claims"
        ]
    );
}

#[test]
fn what_does_not_load_is_an_error_with_its_line() {
    for (text, code, line) in [
        (
            "version: 1\nsigners:\n  - issuer: https://a.example\n    identity_regex: 'https://github\\.com/.*/app'\n",
            "policy-open-pattern",
            4,
        ),
        ("issuer: https://a.example\nidentity_regex: 'https://.*'\n", "policy-open-pattern", 2),
        ("- name: x\n  verification:\n    issuer: https://a.example\n    identiy: x\n", "policy-unknown-key", 4),
        ("- name: x\n  verification:\n", "policy-refused-yaml", 2),
        ("version: 2\nsigners: []\n", "policy-unknown-version", 1),
    ] {
        let error = lint("policy.yaml", text, time(NOW)).unwrap_err();
        assert_eq!((error.code(), error.location().line), (code, Some(line)), "{text}");
    }
    assert_eq!(lint("policy.yaml", "[]", time(NOW)).unwrap_err().code(), "policy-empty-value");
    assert_eq!(lint("policy.yaml", "", time(NOW)).unwrap_err().code(), "policy-empty-document");
}

#[test]
fn what_a_pattern_leaves_open_is_said() {
    for (text, expected) in [
        (r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/heads/main", &[][..]),
        (r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/tags/v.+", &[]),
        (r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/heads/(main|release/.+)", &[]),
        (r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/heads/.*", &["any-branch"]),
        (r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/tags/[^/]+", &["any-tag"]),
        (r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/pull/\d+/merge", &["pull-request"]),
        (
            r"https://github\.com/octo/app/\.github/workflows/release\.yml@.*",
            &["any-branch", "any-tag", "pull-request"],
        ),
        (r"https://github\.com/octo/app/\.github/workflows/[a-z]+\.yml@refs/heads/main", &["open-workflow"]),
        (r"https://github\.com/octo/app/.*", &["any-branch", "any-tag", "open-workflow", "pull-request"]),
        (r"https://github.com/octo/app/\.github/workflows/release\.yml@refs/heads/main", &["unescaped-dot"]),
        // The calling repository is pinned; the called workflow is not.
        (r"https://github\.com/octo/[a-z]+/\.github/workflows/release\.yml@refs/heads/main", &["caller-ref"]),
    ] {
        assert_eq!(warned(&pattern(text)), expected, "{text}");
    }
}

#[test]
fn every_fix_of_an_open_ref_is_a_policy_without_that_finding() {
    for open in [
        "refs/heads/.*",
        "refs/tags/.+",
        ".*",
        "refs/.+",
        "refs/(heads|tags)/.*",
        "refs/(heads/.*|tags/.*)",
        "refs/[a-z/0-9]+",
    ] {
        let text = pattern(&format!(r"https://github\.com/octo/app/\.github/workflows/release\.yml@{open}"));
        let found = warnings(&text);
        assert!(!found.is_empty(), "{open}");
        for finding in found {
            let signer = format!("issuer: {GITHUB}\n{}\ngithub: {{repository: octo/app}}", finding.fix);
            assert!(!warned(&document(&signer, "")).contains(&finding.rule.code()), "{open}: {}", finding.fix);
        }
    }
}
