//! Cutoffs, ages and denied digests.

use countersign_policy::{Assessment, Denial, Policy, SignatureFacts};

use crate::support::{asked, codes, digest, facts, load, release, time};

fn signed(times: &[&str]) -> SignatureFacts {
    let mut facts = facts();
    facts.times = times.iter().map(|text| time(text)).collect();
    facts
}

fn codes_at(policy: &Policy, facts: &SignatureFacts, now: &str) -> Vec<&'static str> {
    match policy.assess(facts, &asked(None), time(now)) {
        Assessment::Denied(denials) => denials.iter().map(Denial::code).collect(),
        Assessment::Accepted(_) => Vec::new(),
    }
}

#[test]
fn every_verified_time_must_be_at_or_after_not_before() {
    let policy = load(&release("not_before: 2026-06-01T00:00:00Z"));
    for (times, expected) in [
        (&["2026-06-01T00:00:00Z"][..], &[][..]),
        (&["2026-06-01T00:00:01Z"], &[]),
        (&["2026-05-31T23:59:59Z"], &["signed-before-cutoff"]),
        (&["2026-05-31T23:59:59.999999999Z"], &["signed-before-cutoff"]),
        (&["2026-07-01T00:00:00Z", "2026-05-31T23:59:59Z"], &["signed-before-cutoff"]),
        (&["2026-05-31T23:59:59Z", "2026-07-01T00:00:00Z"], &["signed-before-cutoff"]),
        (&["2026-07-01T00:00:00Z", "2026-06-01T00:00:00Z"], &[]),
        (&[], &["no-verified-time"]),
    ] {
        assert_eq!(codes(&policy, &signed(times)), expected, "{times:?}");
    }
}

#[test]
fn every_verified_time_must_be_at_or_before_not_after() {
    let policy = load(&release("not_after: 2026-06-01T00:00:00+02:00"));
    for (times, expected) in [
        (&["2026-05-31T22:00:00Z"][..], &[][..]),
        (&["2026-05-31T22:00:01Z"], &["signed-after-cutoff"]),
        (&["2026-05-01T00:00:00Z", "2026-06-02T00:00:00Z"], &["signed-after-cutoff"]),
    ] {
        assert_eq!(codes(&policy, &signed(times)), expected, "{times:?}");
    }
}

#[test]
fn the_two_cutoffs_may_be_one_moment() {
    let policy = load(&release("not_before: 2026-07-01T12:00:00Z\nnot_after: 2026-07-01T12:00:00Z"));
    assert!(codes(&policy, &facts()).is_empty());
    assert_eq!(
        codes(&policy, &signed(&["2026-07-01T11:59:59Z", "2026-07-01T12:00:01Z"])),
        ["signed-before-cutoff", "signed-after-cutoff"]
    );
}

#[test]
fn the_oldest_time_decides_the_age() {
    let policy = load(&release("max_age: 30d"));
    for (times, now, expected) in [
        (&["2026-06-01T00:00:00Z"][..], "2026-07-01T00:00:00Z", &[][..]),
        (&["2026-06-01T00:00:00Z"], "2026-07-01T00:00:01Z", &["too-old"]),
        (&["2026-06-30T00:00:00Z", "2026-06-01T00:00:00Z"], "2026-07-01T00:00:01Z", &["too-old"]),
        (&["2026-08-01T00:00:00Z"], "2026-07-01T00:00:00Z", &[]),
    ] {
        assert_eq!(codes_at(&policy, &signed(times), now), expected, "{times:?} at {now}");
    }
    for (age, hours) in [("60s", 0), ("90m", 1), ("36h", 36), ("2w", 14 * 24)] {
        let policy = load(&release(&format!("max_age: {age}")));
        let facts = signed(&["2026-06-01T00:00:00Z"]);
        let now = time("2026-06-01T00:00:00Z") + jiff::SignedDuration::from_hours(hours);
        assert!(matches!(policy.assess(&facts, &asked(None), now), Assessment::Accepted(_)), "{age}");
        let later = now + jiff::SignedDuration::from_hours(1);
        assert!(matches!(policy.assess(&facts, &asked(None), later), Assessment::Denied(_)), "{age}");
    }
}

#[test]
fn a_signature_without_a_verified_time_is_denied_by_every_policy() {
    assert_eq!(codes(&load(&release("")), &signed(&[])), ["no-verified-time"]);
}

#[test]
fn the_clock_decides_nothing_but_the_age() {
    let policy = load(&release("not_before: 2026-06-01T00:00:00Z\nnot_after: 2026-08-01T00:00:00Z"));
    for now in ["1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z"] {
        assert!(codes_at(&policy, &facts(), now).is_empty(), "{now}");
    }
}

#[test]
fn a_denied_digest_or_log_entry_is_denied_whoever_signed_it() {
    let entry = facts().log_entry;
    let other = format!("sha256:{}", "00".repeat(32));
    for (deny, expected) in [
        (format!("{{digests: [\"{}\"]}}", digest()), &["denied-digest"][..]),
        (format!("{{log_entries: [\"{entry}\"]}}"), &["denied-log-entry"]),
        (
            format!("{{digests: [\"{other}\", \"{}\"], log_entries: [\"{entry}\"]}}", digest()),
            &["denied-digest", "denied-log-entry"],
        ),
        (format!("{{digests: [\"{other}\"], log_entries: [\"{other}\"]}}"), &[]),
        // Each list denies its own kind only.
        (format!("{{digests: [\"{entry}\"], log_entries: [\"{}\"]}}", digest()), &[]),
    ] {
        assert_eq!(codes(&load(&release(&format!("deny: {deny}"))), &facts()), expected, "{deny}");
    }
}

#[test]
fn reasons_of_the_policy_do_not_hide_those_of_its_signers() {
    let policy = load(&release("not_before: 2026-08-01T00:00:00Z\nrequire: {tag: true}"));
    let mut facts = facts();
    facts.issuer = Some("https://accounts.example".into());
    assert_eq!(codes(&policy, &facts), ["signed-before-cutoff", "tag-not-bound", "issuer-mismatch"]);
}

#[test]
fn a_policys_own_reasons_name_no_signer() {
    let policy = load(&release("not_before: 2026-08-01T00:00:00Z"));
    let denials = crate::support::denials(&policy, &facts(), None);
    assert_eq!(denials.len(), 1);
    assert_eq!(
        denials[0].to_string(),
        "signing time: expected 2026-08-01T00:00:00Z or later, found 2026-07-01T12:00:00Z"
    );
}
