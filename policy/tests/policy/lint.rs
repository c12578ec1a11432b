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
fn refs_that_are_open_at_their_end_are_noted() {
    let of = |end: &str| {
        let text = pattern(&format!(r"https://github\.com/octo/app/\.github/workflows/release\.yml@{end}"));
        let found = linted(&text).findings.into_iter().find(|finding| finding.rule == Rule::OpenRef);
        (found, warned(&text))
    };
    for open in
        ["refs/tags/v.*", "refs/tags/v.+", "refs/tags/v[0-9].*", "refs/heads/release-.*", "refs/(tags|heads)/v1.*"]
    {
        let (finding, warned) = of(open);
        let finding = finding.unwrap_or_else(|| panic!("{open}"));
        assert_eq!((finding.level, warned), (Level::Note, vec![]), "{open}");
        let fixed = finding.fix.split_once('@').unwrap().1.trim_end_matches('\'');
        assert!(of(fixed).0.is_none(), "{open}: {fixed}");
    }
    for closed in ["refs/tags/v[0-9.]+", r"refs/tags/v\d+(\.\d+)*", "refs/heads/(main|next)", "refs/heads/anything"] {
        assert!(of(closed).0.is_none(), "{closed}");
    }
    // What is open altogether has a graver finding.
    assert!(of("refs/tags/.*").0.is_none() && of(".*").0.is_none());
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

fn signer(lines: &str) -> String {
    document(lines, "")
}

#[test]
fn issuers_are_one_text_over_https_and_spelt_as_they_are() {
    let with = |issuer: &str| signer(&format!("issuer: {issuer}\nidentity: someone@example.com"));
    for (issuer, expected) in [
        ("https://accounts.google.com", &[][..]),
        ("https://accounts.google.com/", &["issuer-misspelt"]),
        ("https://Accounts.google.com", &["issuer-misspelt"]),
        ("https://accounts.example.com/", &[]),
        ("http://accounts.example.com", &["http-issuer"]),
        ("http://127.0.0.1:8080/x", &[]),
        ("http://localhost.example.com", &["http-issuer"]),
    ] {
        assert_eq!(warned(&with(issuer)), expected, "{issuer}");
    }
    let block = |issuer: &str| format!("{issuer}\nidentity: someone@example.com\n");
    assert_eq!(warned(&block("issuer: https://gitlab.com")), [""; 0]);
    assert_eq!(warned(&block(r"issuer_regex: 'https://gitlab\.com'")), ["issuer-pattern"]);
    assert_eq!(warned(&block("issuer_regex: 'https://gitlab.com/.*'")), ["issuer-pattern", "unescaped-dot"]);
}

#[test]
fn signers_that_admit_nobody_are_said_to() {
    let named =
        |identity: &str| signer(&format!("issuer: {GITHUB}\nidentity: '{identity}'\ngithub: {{repository: octo/app}}"));
    for (identity, expected) in [
        (RELEASE, &[][..]),
        ("https://github.com/octo/app/.github/workflows/release.yml@0123456789012345678901234567890123456789", &[]),
        ("https://github.com/octo/app/.github/workflows/release.yml", &["never-matches"]),
        ("https://github.com/octo/app/.github/workflows/release.yml@main", &["never-matches"]),
        ("https://github.com/octo/app", &["never-matches"]),
        ("https://github.example/octo/app/.github/workflows/release.yml@refs/heads/main", &["never-matches"]),
        ("https://github.com/octo/app/.github/workflows/release.yml@refs/tags/.*", &["pattern-as-text"]),
        ("^https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main$", &["pattern-as-text"]),
    ] {
        assert_eq!(warned(&named(identity)), expected, "{identity}");
    }
    let address = "issuer: https://accounts.google.com\nidentity: someone@example.com";
    assert_eq!(warned(&signer(address)), [""; 0]);
    assert_eq!(warned(&signer(&format!("{address}\ngithub: {{trigger: push}}"))), ["claims-never-there"]);
}

#[test]
fn claims_that_admit_strangers_or_say_nothing_are_named() {
    let claims = |github: &str| signer(&format!("issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {github}"));
    for (github, expected) in [
        ("{repository: octo/app, trigger: [push, schedule, workflow_dispatch]}", &[][..]),
        ("{repository: octo/app, trigger: [push, pull_request_target]}", &["outsiders-trigger"]),
        ("{repository: octo/app, trigger: issue_comment}", &["outsiders-trigger"]),
        ("{repository: octo/app, trigger_regex: 'push|pull_request_target'}", &["outsiders-trigger"]),
        // The name holds the branch, and a pull request's job has another one.
        ("{repository: octo/app, trigger: [push, pull_request]}", &[]),
        ("{repository: octo/app, trigger_regex: '.*'}", &["open-claim"]),
        ("{repository: octo/app, ref_regex: 'refs/.*'}", &["open-claim"]),
        ("{repository: octo/app, ref_regex: 'refs/heads/main|.*'}", &["open-claim"]),
        ("{repository: octo/app, ref_regex: 'refs/heads/(main|next)'}", &[]),
        ("{repository: octo/app, environment_regex: 'prod-.*'}", &[]),
        ("{repository_regex: 'octo/.*'}", &["open-repository"]),
        ("{repository_regex: 'octo/(app|lib)'}", &[]),
        ("{repository_regex: 'octo/.*', repository_id: '1'}", &[]),
        ("{repository: octo/lib}", &["caller-ref"]),
        ("{repository: octo/lib, ref: refs/heads/main}", &[]),
        ("{repository: octo/lib, ref: refs/heads/main, trigger: pull_request}", &["pull-request"]),
    ] {
        assert_eq!(warned(&claims(github)), expected, "{github}");
    }
    assert!(noted(&claims("{repository: octo/app, runner_environment: self-hosted}")).contains(&"self-hosted-runner"));
    assert!(
        !noted(&claims("{repository: octo/app, runner_environment: github-hosted}")).contains(&"self-hosted-runner")
    );
    let open = r"https://github\.com/octo/[^/]+/\.github/workflows/release\.yml@refs/heads/main";
    let open = signer(&format!("issuer: {GITHUB}\nidentity_regex: '{open}'"));
    assert_eq!(warned(&open), ["open-repository"]);
}

#[test]
fn refs_of_pull_requests_count_where_their_trigger_may_sign() {
    let any = r"https://github\.com/octo/app/\.github/workflows/release\.yml@refs/pull/.*";
    let with = |trigger: &str| {
        signer(&format!(
            "issuer: {GITHUB}\nidentity_regex: '{any}'\ngithub: {{repository: octo/app, trigger: {trigger}}}"
        ))
    };
    assert_eq!(warned(&with("push")), [""; 0]);
    assert_eq!(warned(&with("[push, pull_request]")), ["pull-request", "pull-request"]);
}

#[test]
fn an_entry_that_changes_nothing_is_named() {
    let exact = format!("issuer: {GITHUB}, identity: '{RELEASE}'");
    let two =
        |one: &str, other: &str, rest: &str| format!("version: 1\nsigners:\n  - {{{one}}}\n  - {{{other}}}\n{rest}");
    let strict = format!("{exact}, github: {{repository: octo/app, trigger: push}}");
    let wide = r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/release\.yml@refs/heads/(main|next)'";
    let wide = format!("issuer: {GITHUB}, {wide}, github: {{repository: octo/app}}");
    for (text, expected) in [
        (two(&exact, &strict, ""), &["shadowed-signer"][..]),
        (two(&strict, &exact, ""), &["shadowed-signer"]),
        (two(&exact, &exact, ""), &["shadowed-signer"]),
        (two(&wide, &strict, ""), &["shadowed-signer"]),
        (two(&exact, &format!("{exact}, github: {{repository: octo/lib, ref: refs/heads/main}}"), ""), &[]),
        (two(&strict, &strict.replace("push", "schedule"), ""), &[]),
        (two(&exact, &exact.replace("release.yml", "other.yml"), ""), &[]),
    ] {
        assert_eq!(warned(&text), expected, "{text}");
    }
}

#[test]
fn a_threshold_that_one_repository_meets_alone_is_named() {
    let policy = |other: &str, threshold: u8| {
        format!(
            "version: 1\nsigners:\n  - {{issuer: {GITHUB}, identity: '{RELEASE}'}}\n  - {{{other}}}\nthreshold: {threshold}\n"
        )
    };
    let same = format!("issuer: {GITHUB}, identity: '{}'", RELEASE.replace("release.yml", "audit.yml"));
    let another = format!("issuer: {GITHUB}, identity: '{}'", RELEASE.replace("octo/app", "octo/audit"));
    assert_eq!(warned(&policy(&same, 2)), ["threshold-one-party"]);
    assert_eq!(warned(&policy(&same, 1)), [""; 0]);
    assert_eq!(warned(&policy(&another, 2)), [""; 0]);
    assert_eq!(warned(&policy("issuer: https://accounts.google.com, identity: audit@octo.example", 2)), [""; 0]);
}

#[test]
fn times_are_compared_with_the_clock() {
    assert_eq!(warned(&release("not_before: 2026-10-31T00:00:00Z")), [""; 0]);
    assert_eq!(warned(&release("not_before: 2026-11-02T00:00:00Z")), ["not-before-ahead"]);
    assert!(noted(&release("not_after: 2026-10-31T00:00:00Z")).contains(&"not-after-passed"));
    assert!(!noted(&release("not_after: 2026-11-02T00:00:00Z")).contains(&"not-after-passed"));
    assert!(noted(&release("")).contains(&"no-not-before"));
    assert!(!noted(&release("max_age: 90d")).contains(&"no-not-before"));
}

#[test]
fn galleries_without_a_policy_are_named() {
    let list = |second: &str| format!("{LOCALAI}- name: other\n  url: x\n{second}");
    let bare = linted(&list(""));
    let finding = bare.findings.iter().find(|finding| finding.rule == Rule::UnverifiedGallery).unwrap();
    assert_eq!((finding.level, finding.gallery.as_deref(), finding.at.line), (Level::Warning, Some("other"), Some(8)));
    assert_eq!(bare.policies, 1);
    let stated = linted(&list("  unverified: warn\n"));
    let finding = stated.findings.iter().find(|finding| finding.rule == Rule::UnverifiedGallery).unwrap();
    assert_eq!(finding.level, Level::Note);
    let settings = format!("backend_galleries:{}", LOCALAI.trim_end().replace('\n', "\n  "));
    assert_eq!(linted(&settings).policies, 1, "{settings}");
    let json =
        r#"[{"name": "a", "url": "x", "verification": {"issuer": "https://gitlab.com", "identity": "a@b.example"}}]"#;
    assert_eq!((linted(json).form, linted(json).policies), (Form::Galleries, 1));
}
