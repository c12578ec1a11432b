//! What a policy admits, in words that are true.

use countersign_policy::explain::explain;

use crate::support::{GITHUB, RELEASE, document, load, release};

fn said(text: &str) -> String {
    let sections = explain(&load(text));
    let lines = sections.into_iter().flat_map(|section| [section.title].into_iter().chain(section.lines));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn a_whole_policy_is_told() {
    let text = document(
        &format!("issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {{repository: octo/app, trigger: [push, schedule]}}"),
        "not_before: 2026-06-01T00:00:00Z\nmax_age: 90d\nrequire: {tag: true, repository: true}\ntrust: public-good",
    );
    assert_eq!(
        said(&text),
        "Who must have signed
The one signer below. One signature is enough.
Signer `release`
The issuer https://token.actions.githubusercontent.com vouched for the signer, to the letter.
The certificate holds the name `https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main`, to the letter.
  That is the workflow release.yml of https://github.com/octo/app, as it is at refs/heads/main.
  It refuses `https://github.com/octo/app/.github/workflows/release.yml@refs/heads/another-branch`.
  It refuses `https://github.com/octo/app/.github/workflows/release.yml@refs/tags/another-tag`.
  It refuses `https://github.com/octo/app/.github/workflows/release.yml@refs/pull/7/merge`.
  It refuses `https://github.com/octo/app/.github/workflows/release.yaml@refs/heads/main`.
The job belongs to the repository `octo/app`.
The event that started the job is `push` or `schedule`.
Not asked: the kind of runner, the ref that the job ran for, the repository's number, the owner's number, the deployment environment.
When
At 2026-06-01T00:00:00Z or later.
At most 90 days before the moment of verifying.
Every verified time of a signature must keep these bounds. There must be at least one.
Never accepted
Nothing is denied by its digest or log entry.
What the signature must say of the image
The repository that was asked for. A copy in another repository is refused.
The tag that was asked for. Without a tag, by digest alone, nothing is accepted.
All of it in the same subject of the same signature.
Whose word is believed
The public-good instance of Sigstore, and no other root.
Not checked
Whether the image is good: a signature says who, and not what.
Which commit was built, and who approved it.
Whether a signature was withdrawn since, unless its digest, log entry or age is named here.
"
    );
}

#[test]
fn examples_of_a_pattern_are_admitted_and_refused_as_it_says() {
    let text = document(
        &format!(
            "issuer: {GITHUB}\nidentity_regex: 'https://github\\.com/octo/app/\\.github/workflows/release\\.yml@refs/(heads/main|tags/v.+)'"
        ),
        "",
    );
    let said = said(&text);
    for line in [
        "  It admits, for example, `https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main`.",
        "  It admits, for example, `https://github.com/octo/app/.github/workflows/release.yml@refs/tags/vanything`.",
        "  It refuses `https://github.com/octo/app/.github/workflows/release.yml@refs/heads/another-branch`.",
        "  It refuses `https://github.com/octo/app/.github/workflows/release.yml@refs/tags/another-tag`.",
        "The job that signed belongs to the workflow's own repository, not to another one that calls the workflow.",
    ] {
        assert!(said.contains(&format!("{line}\n")), "{line}\n{said}");
    }
}

#[test]
fn what_is_not_asked_is_said() {
    let said = said(&release(""));
    for line in [
        "At any time: no signature is too old or too new.",
        "Only its digest.",
        "The policy does not say: whoever verifies chooses the trusted root.",
        "For which tag it was signed: an old signed image can be served under a new tag.",
        "How old a signature is.",
    ] {
        assert!(said.contains(&format!("{line}\n")), "{line}\n{said}");
    }
}

#[test]
fn thresholds_are_told() {
    let signers = "version: 1\nsigners:\n  - {issuer: 'https://a.example', identity: a@x.example}\n  - {issuer: 'https://a.example', identity: b@x.example}\n";
    assert!(said(signers).contains("Any one of the 2 signers below."));
    assert!(
        said(&format!("{signers}threshold: 2\n"))
            .contains("2 of the 2 signers below, each with a signature of its own.")
    );
}
