//! What was asked for must stand in the signed statement, together and in one subject.

use countersign_policy::{Denial, Policy, Require, SignatureFacts, SubjectFacts, TAGS_ANNOTATION};

use crate::support::{REPOSITORY, denials, digest, facts, load, release, subject};

fn with_subjects(subjects: Vec<SubjectFacts>) -> SignatureFacts {
    let mut facts = facts();
    facts.subjects = subjects;
    facts
}

fn codes(policy: &Policy, facts: &SignatureFacts, tag: Option<&str>) -> Vec<&'static str> {
    denials(policy, facts, tag).iter().map(Denial::code).collect()
}

#[test]
fn the_tag_asked_for_must_be_signed() {
    let policy = load(&release("require: {tag: true}"));
    for (tags, asked, accepted) in [
        ("v1,latest", Some("v1"), true),
        ("v1,latest", Some("latest"), true),
        ("v1", Some("v1"), true),
        ("v1,latest", Some("v2"), false),
        ("v1,latest", Some("v"), false),
        ("v1,latest", Some("V1"), false),
        ("v1,latest", Some("v1,latest"), false),
        ("v10", Some("v1"), false),
        ("", Some(""), false),
        (",", Some(""), false),
        ("v1,latest", None, false),
    ] {
        let expected: &[&str] = if accepted { &[] } else { &["tag-not-bound"] };
        assert_eq!(
            codes(&policy, &with_subjects(vec![subject(REPOSITORY, tags)]), asked),
            expected,
            "{tags} {asked:?}"
        );
    }
    assert_eq!(codes(&policy, &with_subjects(vec![]), Some("v1")), ["tag-not-bound"]);
    assert_eq!(codes(&policy, &with_subjects(vec![SubjectFacts::default()]), Some("v1")), ["tag-not-bound"]);
}

#[test]
fn the_rejection_lists_the_tags_that_were_signed() {
    let policy = load(&release("require: {tag: true}"));
    assert_eq!(denials(&policy, &facts(), Some("v2"))[0].to_string(), "signed tags: expected v2, found v1,latest");
}

#[test]
fn the_repository_asked_for_must_be_signed_with_the_digest_asked_for() {
    let policy = load(&release("require: {repository: true}"));
    let named = |name: &str| SubjectFacts { name: Some(name.to_owned()), ..SubjectFacts::default() };
    let other = format!("{REPOSITORY}@sha256:{}", "00".repeat(32));
    for (subject, accepted) in [
        (subject(REPOSITORY, ""), true),
        (subject("registry.example/octo/other", ""), false),
        (subject("registry.example/octo/app2", ""), false),
        (subject("mirror.example/octo/app", ""), false),
        (subject("Registry.example/octo/app", ""), false),
        (named(REPOSITORY), false),
        (named(&format!("{REPOSITORY}@")), false),
        (named(&format!("@{}", digest())), false),
        (named(&digest()), false),
        (named(&other), false),
        (named(&format!("{REPOSITORY}:v1@{}", digest())), false),
        (SubjectFacts::default(), false),
    ] {
        let expected: &[&str] = if accepted { &[] } else { &["repository-not-bound"] };
        assert_eq!(codes(&policy, &with_subjects(vec![subject.clone()]), None), expected, "{subject:?}");
    }
}

#[test]
fn tag_and_repository_of_different_subjects_do_not_add_up() {
    let policy = load(&release("require: {tag: true, repository: true}"));
    let split = with_subjects(vec![subject(REPOSITORY, "cpu"), subject("registry.example/octo/gpu", "gpu,latest")]);
    assert_eq!(codes(&policy, &split, Some("gpu")).len(), 1);
    assert_eq!(codes(&policy, &split, Some("cpu")), [] as [&str; 0]);
    let both = with_subjects(vec![subject("registry.example/octo/gpu", "gpu"), subject(REPOSITORY, "gpu")]);
    assert!(codes(&policy, &both, Some("gpu")).is_empty());
}

#[test]
fn annotations_must_have_the_values_of_the_policy() {
    let policy = load(&release("require: {annotations: {channel: stable, build: '7'}}"));
    let annotated = |pairs: &[(&str, &str)]| SubjectFacts {
        name: None,
        annotations: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    for (pairs, missing) in [
        (&[("channel", "stable"), ("build", "7"), ("other", "x")][..], 0),
        (&[("channel", "stable")], 1),
        (&[("channel", "nightly"), ("build", "7")], 1),
        (&[("Channel", "stable"), ("build", "7 ")], 2),
        (&[], 2),
    ] {
        let codes = codes(&policy, &with_subjects(vec![annotated(pairs)]), None);
        assert_eq!(codes, vec!["annotation-missing"; missing], "{pairs:?}");
    }
    let split = with_subjects(vec![annotated(&[("channel", "stable")]), annotated(&[("build", "7")])]);
    assert_eq!(codes(&policy, &split, None), ["annotation-missing"]);
}

#[test]
fn the_denials_are_those_of_the_subject_that_lacks_least() {
    let policy = load(&release("require: {tag: true, repository: true, annotations: {channel: stable}}"));
    let mut near = subject(REPOSITORY, "v1");
    near.annotations.insert("channel".into(), "stable".into());
    let far = subject("registry.example/octo/other", "x");
    for subjects in [vec![near.clone(), far.clone()], vec![far, near]] {
        let denials = denials(&policy, &with_subjects(subjects), Some("v2"));
        assert_eq!(denials.len(), 1, "{denials:?}");
        assert_eq!(denials[0].found.as_deref(), Some("v1"));
    }
}

#[test]
fn a_policy_that_requires_nothing_reads_no_subject() {
    let policy = load(&release("require: {tag: false, repository: false, annotations: {}}"));
    assert!(codes(&policy, &with_subjects(vec![]), None).is_empty());
    assert_eq!(TAGS_ANNOTATION, "dev.countersign.tags");
}

#[test]
fn what_is_demanded_beside_a_policy_makes_it_stricter_and_never_looser() {
    let mut more = Require::default();
    more.tag = true;
    more.annotations = [("commit".to_owned(), "other".to_owned()), ("channel".to_owned(), "beta".to_owned())].into();
    let policy = load(&release("require: {repository: true, annotations: {commit: abc}}")).requiring(more);
    let require = policy.require();
    assert!(require.tag && require.repository);
    assert_eq!(require.annotations["commit"], "abc", "the policy's own word counts");
    assert_eq!(require.annotations["channel"], "beta");

    let unchanged = load(&release("require: {tag: true}")).requiring(Require::default());
    assert!(unchanged.require().tag && !unchanged.require().repository);
}

#[test]
fn required_platforms_are_the_verifiers_to_ask_for_and_never_taken_back() {
    let policy = load(&release("require: {platforms: true}"));
    assert!(policy.require().platforms);
    assert!(codes(&policy, &facts(), None).is_empty(), "one signature says nothing of others");
    assert!(policy.requiring(Require::default()).require().platforms);
    assert!(!load(&release("require: {platforms: false}")).require().platforms);
    assert!(!load(&release("")).require().platforms);
}
