//! Thresholds count distinct signers, never signatures.

use countersign_policy::{Accepted, Assessment, Decision, Policy, SignatureFacts};

use crate::support::{GITHUB, asked, facts, load, refusal, release, time};

/// A policy with one entry per line of `name: identities`, where the identities are workflow names of octo/app.
fn policy(entries: &[(&str, &str)], threshold: usize) -> Policy {
    let signers: String = entries
        .iter()
        .map(|(name, workflows)| {
            format!(
                "  - name: {name}\n    issuer: {GITHUB}\n    identity_regex: \
                 'https://github\\.com/octo/app/\\.github/workflows/({workflows})\\.yml@refs/heads/main'\n"
            )
        })
        .collect();
    load(&format!("version: 1\nsigners:\n{signers}threshold: {threshold}\n"))
}

fn signature(policy: &Policy, workflow: &str) -> Accepted {
    let mut facts = facts();
    facts.subject_alternative_name =
        Some(format!("https://github.com/octo/app/.github/workflows/{workflow}.yml@refs/heads/main"));
    match policy.assess(&facts, &asked(None), time("2026-07-02T00:00:00Z")) {
        Assessment::Accepted(accepted) => accepted,
        Assessment::Denied(denials) => panic!("{denials:?}"),
    }
}

fn decide(policy: &Policy, workflows: &[&str]) -> Decision {
    let accepted: Vec<Accepted> = workflows.iter().map(|workflow| signature(policy, workflow)).collect();
    policy.decide(&accepted.iter().collect::<Vec<_>>())
}

fn satisfied(signers: &[&str]) -> Decision {
    Decision::Satisfied { signers: signers.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn nothing_accepted_satisfies_nothing() {
    assert_eq!(decide(&policy(&[("a", "a")], 1), &[]), Decision::Unsatisfied { needed: 1, have: 0 });
}

#[test]
fn one_signer_is_enough_where_one_is_asked_for() {
    let policy = policy(&[("a", "a"), ("b", "b")], 1);
    assert_eq!(decide(&policy, &["a"]), satisfied(&["a"]));
    assert_eq!(decide(&policy, &["b"]), satisfied(&["b"]));
}

#[test]
fn the_same_signer_twice_is_one_signer() {
    let policy = policy(&[("a", "a"), ("b", "b")], 2);
    assert_eq!(decide(&policy, &["a", "a", "a"]), Decision::Unsatisfied { needed: 2, have: 1 });
    assert_eq!(decide(&policy, &["a", "b"]), satisfied(&["a", "b"]));
}

#[test]
fn one_principal_that_matches_two_entries_counts_for_one() {
    let policy = policy(&[("a", "a"), ("also-a", "a|b")], 2);
    assert_eq!(decide(&policy, &["a"]), Decision::Unsatisfied { needed: 2, have: 1 });
    assert_eq!(decide(&policy, &["a", "b"]), satisfied(&["a", "also-a"]));
}

#[test]
fn two_principals_of_one_entry_count_for_one() {
    let policy = policy(&[("any", "a|b"), ("c", "c")], 2);
    assert_eq!(decide(&policy, &["a", "b"]), Decision::Unsatisfied { needed: 2, have: 1 });
    assert_eq!(decide(&policy, &["a", "c"]), satisfied(&["any", "c"]));
}

/// Taking the first entry that fits would give `wide` to whoever comes first, and leave the other without one.
#[test]
fn the_assignment_does_not_depend_on_the_order_of_signatures() {
    let policy = policy(&[("wide", "a|b|c"), ("narrow", "a"), ("middle", "a|b")], 3);
    for order in [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]]
    {
        assert_eq!(decide(&policy, &order), satisfied(&["wide", "narrow", "middle"]), "{order:?}");
    }
}

#[test]
fn principals_differ_by_issuer_name_or_source_repository() {
    let policy = load(&format!(
        "version: 1\nsigners:\n{}threshold: 2\n",
        ["a", "b"].map(|name| format!(
            "  - name: {name}\n    issuer: {GITHUB}\n    identity: {}\n    github: {{repository_regex: 'octo/.*'}}\n",
            crate::support::RELEASE
        ))
        .concat()
    ));
    let by = |repository: &str| {
        let mut facts = facts();
        facts.claims.source_repository_uri = Some(format!("https://github.com/octo/{repository}"));
        match policy.assess(&facts, &asked(None), time("2026-07-02T00:00:00Z")) {
            Assessment::Accepted(accepted) => accepted,
            Assessment::Denied(denials) => panic!("{denials:?}"),
        }
    };
    let (one, other) = (by("app"), by("tool"));
    assert_eq!(one.signers, ["a", "b"]);
    assert_eq!(policy.decide(&[&one, &one]), Decision::Unsatisfied { needed: 2, have: 1 });
    assert_eq!(policy.decide(&[&one, &other]), satisfied(&["a", "b"]));
}

fn in_log(policy: &Policy, workflow: &str, log: &str) -> Accepted {
    let mut accepted = signature(policy, workflow);
    accepted.log = log.to_owned();
    accepted
}

/// What one log says, it can say as often as it likes: a log whose key is lost counts once.
#[test]
fn two_entries_of_one_log_are_one_log() {
    let text = "  - {name: a, issuer: https://accounts.example, identity: a@example.com}\n";
    let policy = load(&format!("version: 1\nsigners:\n{text}distinct_logs: 2\n"));
    let mut facts = facts();
    facts.issuer = Some("https://accounts.example".to_owned());
    facts.subject_alternative_name = Some("a@example.com".to_owned());
    facts.subject_alternative_name_is_uri = false;
    let by = |log: &str, entry: &str| {
        let facts = SignatureFacts { log: log.to_owned(), log_entry: entry.to_owned(), ..facts.clone() };
        match policy.assess(&facts, &asked(None), time("2026-07-02T00:00:00Z")) {
            Assessment::Accepted(accepted) => accepted,
            Assessment::Denied(denials) => panic!("{denials:?}"),
        }
    };
    let (one, again, other, none) = (by("log-1", "1"), by("log-1", "2"), by("log-2", "1"), by("", "3"));
    assert_eq!(policy.distinct_logs(), 2);
    assert_eq!(policy.decide(&[&one, &again]), Decision::TooFewLogs { needed: 2, have: 1 });
    assert_eq!(policy.decide(&[&one, &none]), Decision::TooFewLogs { needed: 2, have: 1 }, "no log is not a log");
    assert_eq!(policy.decide(&[&one, &again, &other]), satisfied(&["a"]));
    assert_eq!(policy.decide(&[]), Decision::Unsatisfied { needed: 1, have: 0 }, "signers are counted first");
}

#[test]
fn signers_and_logs_are_counted_apart() {
    let text = |logs: &str| {
        let signer = |name: &str| format!("  - {{name: {name}, issuer: {GITHUB}, identity: {}}}\n", release_of(name));
        format!("version: 1\nsigners:\n{}{}threshold: 2\n{logs}", signer("a"), signer("b"))
    };
    let policy = load(&text("distinct_logs: 2\n"));
    let (a, b) = (in_log(&policy, "a", "log-1"), in_log(&policy, "b", "log-1"));
    assert_eq!(policy.decide(&[&a, &b]), Decision::TooFewLogs { needed: 2, have: 1 });
    let elsewhere = in_log(&policy, "a", "log-2");
    assert_eq!(policy.decide(&[&a, &elsewhere]), Decision::Unsatisfied { needed: 2, have: 1 });
    assert_eq!(policy.decide(&[&a, &b, &elsewhere]), satisfied(&["a", "b"]));
    assert_eq!(load(&text("")).decide(&[&a, &b]), satisfied(&["a", "b"]));
}

fn release_of(workflow: &str) -> String {
    format!("https://github.com/octo/app/.github/workflows/{workflow}.yml@refs/heads/main")
}

#[test]
fn a_number_of_logs_that_no_root_has_does_not_load() {
    for (value, code) in [
        ("0", "policy-invalid-value"),
        ("33", "policy-invalid-value"),
        ("null", "policy-refused-yaml"),
        ("two", "policy-wrong-type"),
    ] {
        let error = refusal(&release(&format!("distinct_logs: {value}")));
        assert_eq!(error.code(), code, "{value}: {error}");
    }
    assert_eq!(load(&release("distinct_logs: 32")).distinct_logs(), 32);
    assert_eq!(load(&release("")).distinct_logs(), 1);
}

#[test]
fn many_signatures_are_decided_quickly() {
    let names: Vec<String> = (0..64).map(|number| format!("s{number}")).collect();
    let workflows: Vec<String> = (0..64).map(|number| format!("w{number}")).collect();
    let all = workflows.join("|");
    let entries: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), all.as_str())).collect();
    let policy = policy(&entries, 64);
    let accepted: Vec<Accepted> = workflows.iter().map(|workflow| signature(&policy, workflow)).collect();
    let repeated: Vec<&Accepted> = accepted.iter().cycle().take(10_000).collect();
    assert!(matches!(policy.decide(&repeated), Decision::Satisfied { signers } if signers.len() == 64));
}
