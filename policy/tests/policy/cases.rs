//! Tables of cases: what they expect is what the policy says, to the code, and a table that checks nothing is none.

use countersign_policy::cases::{CaseResult, Cases};
use countersign_policy::{Policy, PolicyError};

use crate::support::{GITHUB, RELEASE, document, load, release, with_claims};

const DEFAULTS: &str = "
version: 1
defaults:
  certificate:
    issuer: https://token.actions.githubusercontent.com
    identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
    github: {repository: octo/app, ref: refs/heads/main, trigger: push}
  times: [2026-07-01T12:00:00Z]
  asked: {repository: registry.example/octo/app, tag: v1}
  subjects: [{repository: registry.example/octo/app, tags: [v1, latest]}]
cases:
";

fn table(cases: &str) -> Cases {
    Cases::from_yaml("cases.yaml", &format!("{DEFAULTS}{cases}")).unwrap_or_else(|error| panic!("{error}\n{cases}"))
}

fn refused(text: &str) -> PolicyError {
    Cases::from_yaml("cases.yaml", text).unwrap_err()
}

fn run(policy: &Policy, cases: &str) -> Vec<CaseResult> {
    table(cases).run(policy).unwrap()
}

#[test]
fn one_thing_that_is_spoilt_is_one_code() {
    let policy = load(&document(
        &format!("issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {{repository: octo/app, trigger: push}}"),
        "not_before: 2026-06-01T00:00:00Z\nrequire: {tag: true, repository: true}",
    ));
    let cases = "
  - {name: the release job, expect: accepted, signers: [release]}
  - {name: another issuer, certificate: {issuer: 'https://evil.example'}, expect: denied, codes: [issuer-mismatch]}
  - {name: no issuer, certificate: {issuer: ''}, expect: denied, codes: [issuer-mismatch]}
  - {name: an address that looks like a URI, certificate: {kind: email}, expect: denied, codes: [identity-mismatch]}
  - {name: a fork, certificate: {github: {repository: evil/app}}, expect: denied, codes: [github-claim-mismatch]}
  - {name: no trigger, certificate: {github: {trigger: ''}}, expect: denied, codes: [github-claim-mismatch]}
  - {name: too early, times: [2026-07-01T12:00:00Z, 2026-05-31T23:59:59Z], expect: denied, codes: [signed-before-cutoff]}
  - {name: no time, times: [], expect: denied, codes: [no-verified-time]}
  - {name: another tag, asked: {tag: v2}, expect: denied, codes: [tag-not-bound]}
  - {name: by digest, asked: {tag: ''}, expect: denied, codes: [tag-not-bound]}
  - {name: a copy, asked: {repository: registry.example/evil/app}, expect: denied, codes: [repository-not-bound]}
  - {name: two things, times: [], asked: {tag: v2}, expect: denied, codes: [tag-not-bound, no-verified-time]}
  - {name: any reason will do, times: [], expect: denied}
";
    for result in run(&policy, cases) {
        assert!(result.is_as_expected(), "{result:?}");
    }
    assert!(table(cases).expects_a_denial());
}

#[test]
fn what_is_not_as_expected_is_told_from_what_is() {
    let policy = load(&release(""));
    for (case, is_as_expected) in [
        ("{name: x, expect: accepted}", true),
        ("{name: x, expect: denied}", false),
        ("{name: x, expect: accepted, signers: [release]}", true),
        ("{name: x, expect: accepted, signers: [another]}", false),
        ("{name: x, expect: accepted, signers: []}", false),
        ("{name: x, times: [], expect: accepted}", false),
        ("{name: x, times: [], expect: denied}", true),
        ("{name: x, times: [], expect: denied, codes: [no-verified-time]}", true),
        ("{name: x, times: [], expect: denied, codes: [issuer-mismatch]}", false),
        ("{name: x, times: [], expect: denied, codes: [issuer-mismatch, no-verified-time]}", false),
        ("{name: x, times: [], certificate: {issuer: a}, expect: denied, codes: [no-verified-time]}", false),
        ("{name: x, times: [], expect: denied, codes: []}", false),
    ] {
        let results = run(&policy, &format!("  - {case}\n"));
        assert_eq!(results[0].is_as_expected(), is_as_expected, "{case}: {results:?}");
    }
}

#[test]
fn thresholds_are_met_by_several_signatures() {
    let policy = load(&format!(
        "version: 1\nthreshold: 2\nsigners:\n  - name: release\n    issuer: {GITHUB}\n    identity: {RELEASE}\n  \
         - name: auditor\n    issuer: https://accounts.example\n    identity: audit@octo.example\n"
    ));
    let audit =
        "{certificate: {issuer: 'https://accounts.example', identity: audit@octo.example, github: {repository: ''}}}";
    for (case, is_as_expected) in [
        (format!("{{name: both, signatures: [{{}}, {audit}], expect: accepted, signers: [release, auditor]}}"), true),
        ("{name: alone, expect: denied, codes: [threshold-unmet]}".to_owned(), true),
        ("{name: twice the same, signatures: [{}, {}], expect: denied, codes: [threshold-unmet]}".to_owned(), true),
        (format!("{{name: a bad one beside, signatures: [{{}}, {{times: []}}, {audit}], expect: accepted}}"), true),
        (
            "{name: one, signatures: [{}, {times: []}], expect: denied, codes: [no-verified-time, threshold-unmet]}"
                .to_owned(),
            true,
        ),
    ] {
        let results = run(&policy, &format!("  - {case}\n"));
        assert_eq!(results[0].is_as_expected(), is_as_expected, "{case}: {results:?}");
    }
}

#[test]
fn distinct_logs_are_counted() {
    let policy = load(&release("distinct_logs: 2"));
    for (case, is_as_expected) in [
        ("{name: one, expect: denied, codes: [too-few-logs]}", true),
        ("{name: two in one, signatures: [{log: a}, {log: a}], expect: denied, codes: [too-few-logs]}", true),
        ("{name: two, signatures: [{log: a}, {log: b}], expect: accepted}", true),
        ("{name: a bad one, signatures: [{log: a}, {log: b, times: []}], expect: accepted}", false),
    ] {
        let results = run(&policy, &format!("  - {case}\n"));
        assert_eq!(results[0].is_as_expected(), is_as_expected, "{case}: {results:?}");
    }
}

#[test]
fn claims_are_given_by_the_policys_own_keys() {
    let policy = load(&with_claims(
        "{repository: octo/app, repository_id: 1, owner: octo, owner_id: 2, ref: refs/heads/main, trigger: push, \
         runner_environment: github-hosted, build_config: 'https://github.com/octo/app/x@refs/heads/main', \
         environment: production, visibility: public}",
    ));
    let claims = "{repository_id: 1, owner: octo, owner_id: 2, runner_environment: github-hosted, \
                  build_config: 'https://github.com/octo/app/x@refs/heads/main', environment: production, visibility: public}";
    let results = run(&policy, &format!("  - {{name: x, certificate: {{github: {claims}}}, expect: accepted}}\n"));
    assert!(results[0].is_as_expected(), "{results:?}");
}

#[test]
fn a_table_that_checks_nothing_is_none() {
    for (text, code, line) in [
        ("version: 1\ncases: []\n", "policy-empty-value", Some(2)),
        ("version: 1\n", "policy-missing-key", Some(1)),
        ("", "policy-empty-document", None),
        ("version: 2\ncases: [{name: x, expect: accepted}]\n", "policy-unknown-version", Some(1)),
        ("version: 1\ncases:\n  - {name: x}\n", "policy-missing-key", Some(3)),
        ("version: 1\ncases:\n  - {name: x, expect: perhaps}\n", "policy-wrong-type", Some(3)),
        ("version: 1\ncases:\n  - {name: x, expects: accepted}\n", "policy-unknown-key", Some(3)),
        ("version: 1\ncases:\n  - {name: '', expect: accepted}\n", "policy-empty-value", Some(3)),
        ("version: 1\ncases:\n  - {name: x, expect: accepted, signatures: []}\n", "policy-empty-value", Some(3)),
        (
            "version: 1\ncases:\n  - {name: x, expect: accepted}\n  - {name: x, expect: denied}\n",
            "policy-invalid-value",
            Some(4),
        ),
        ("version: 1\ncases:\n  - {name: x, expect: accepted, codes: [a]}\n", "policy-invalid-value", Some(3)),
        ("version: 1\ncases:\n  - {name: x, expect: denied, signers: [a]}\n", "policy-invalid-value", Some(3)),
        ("version: 1\ncases:\n  - {name: x, expect: denied, times: [yesterday]}\n", "policy-invalid-value", Some(3)),
        ("version: 1\ncases:\n  - {name: x, expect: denied, digest: sha256:00}\n", "policy-invalid-value", Some(3)),
        (
            "version: 1\ncases:\n  - {name: x, expect: denied, certificate: {identiy: x}}\n",
            "policy-unknown-key",
            Some(3),
        ),
        ("version: 1\ncases:\n  - {name: x, expect: denied, certificate: ~}\n", "policy-refused-yaml", Some(3)),
    ] {
        let error = refused(text);
        assert_eq!((error.code(), error.location().line), (code, line), "{text}: {error}");
    }
}

#[test]
fn results_do_not_change_with_the_clock() {
    let policy = load(&release("max_age: 1d"));
    let without = table("  - {name: x, expect: accepted}\n").run(&policy).unwrap_err();
    assert_eq!((without.code(), without.location().key.as_str()), ("policy-missing-key", "cases[0].now"));
    for (now, is_as_expected) in [("2026-07-02T12:00:00Z", true), ("2026-07-02T12:00:01Z", false)] {
        let results = run(&policy, &format!("  - {{name: x, now: {now}, expect: accepted}}\n"));
        assert_eq!(results[0].is_as_expected(), is_as_expected, "{now}");
    }
}
