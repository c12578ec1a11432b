//! Signatures by others, each with a certificate that the authority really issued: refused with the true reason, beside the release job's.
//!
//! Names that no authority for GitHub's tokens issues (another host, two names) are put to the policy alone, in its own tests.

use bytes::Bytes;
use countersign_policy::Policy;
use countersign_verifier::reason::Reason;
use countersign_verifier::{Evidence, Verdict};
use sandbox::{GithubIdentity, RekorVersion};

use crate::forge::{Forge, REPOSITORY, asked, image, statement, subject};
use crate::world::now;

const WORKFLOW: &str = "octo/app/.github/workflows/release.yml";

/// The release job, changed.
fn job(change: impl FnOnce(&mut GithubIdentity)) -> GithubIdentity {
    let mut identity = GithubIdentity::default();
    change(&mut identity);
    identity
}

/// A job of its own repository's workflow, under this name.
fn named(repository: &str, name: &str) -> GithubIdentity {
    job(|identity| {
        identity.repository = repository.to_owned();
        identity.workflow_ref = name.to_owned();
        identity.job_workflow_ref = name.to_owned();
    })
}

/// How the policy took one signature: accepted, or the code of its first denial.
async fn judged(forge: &Forge, token: String, policy: &Policy) -> Result<(), &'static str> {
    let hand = forge.hand_with(token).await;
    let payload = statement(&[subject(REPOSITORY, image(), "v1")]);
    let bundle = forge.sign(&hand, RekorVersion::V1, &payload).await;
    let evidence = Evidence::from_bundles([Bytes::from(bundle.to_string())]);
    match forge.verifier.verify(&asked(None), &evidence, policy, now()).unwrap() {
        Verdict::Verified(..) => Ok(()),
        Verdict::Rejected(findings) => match &findings.candidates[0].outcome {
            Err(Reason::Denied { denials }) => Err(denials[0].code()),
            other => panic!("refused for another reason: {other:?}"),
        },
        other => panic!("not decided: {other:?}"),
    }
}

/// What a policy says of a job; the release job is accepted beside it.
async fn refused(further: &str, identity: &GithubIdentity) -> &'static str {
    let forge = Forge::start();
    let policy = forge.policy(further);
    let good = forge.sandbox.github_token(&GithubIdentity::default());
    judged(&forge, good, &policy).await.unwrap();
    judged(&forge, forge.sandbox.github_token(identity), &policy).await.unwrap_err()
}

#[tokio::test]
async fn the_job_of_an_owner_with_a_longer_name_is_refused() {
    let name = "octo-evil/app/.github/workflows/release.yml@refs/heads/main";
    assert_eq!(refused("", &named("octo-evil/app", name)).await, "identity-mismatch");
}

#[tokio::test]
async fn the_job_of_a_repository_with_a_longer_name_is_refused() {
    let name = "octo/app-fork/.github/workflows/release.yml@refs/heads/main";
    assert_eq!(refused("", &named("octo/app-fork", name)).await, "identity-mismatch");
}

#[tokio::test]
async fn the_job_of_a_pull_request_is_refused() {
    assert_eq!(refused("", &named("octo/app", &format!("{WORKFLOW}@refs/pull/7/merge"))).await, "identity-mismatch");
}

#[tokio::test]
async fn the_job_of_a_branch_that_begins_like_the_right_one_is_refused() {
    assert_eq!(refused("", &named("octo/app", &format!("{WORKFLOW}@refs/heads/main-evil"))).await, "identity-mismatch");
}

#[tokio::test]
async fn the_job_of_a_file_named_like_a_ref_is_refused() {
    let name = format!("{WORKFLOW}@evil.yml@refs/heads/main");
    assert_eq!(refused("", &named("octo/app", &name)).await, "identity-mismatch");
}

#[tokio::test]
async fn a_name_with_a_nul_inside_is_refused() {
    let name = format!("{WORKFLOW}@refs/heads/main\0");
    assert_eq!(refused("", &named("octo/app", &name)).await, "identity-mismatch");
}

#[tokio::test]
async fn a_tag_with_a_line_break_at_its_end_is_refused_where_the_tag_is_admitted() {
    let forge = Forge::start();
    let issuer = forge.sandbox.oidc_issuer();
    let pattern = r"^https://github.com/octo/app/.github/workflows/release.yml@refs/(heads/main|tags/.+)$";
    let text =
        format!("version: 1\nsigners:\n  - name: release\n    issuer: {issuer}\n    identity_regex: '{pattern}'\n");
    let policy = Policy::from_yaml("test", &text).unwrap();
    let token = |reference: &str| forge.sandbox.github_token(&named("octo/app", &format!("{WORKFLOW}@{reference}")));
    judged(&forge, token("refs/tags/v1"), &policy).await.unwrap();
    assert_eq!(judged(&forge, token("refs/tags/v1\n"), &policy).await.unwrap_err(), "identity-mismatch");
}

#[tokio::test]
async fn a_job_of_strangers_that_calls_the_workflow_is_refused() {
    let stranger = job(|identity| identity.repository = "evil/app".to_owned());
    assert_eq!(refused("", &stranger).await, "source-repository-mismatch");
    assert_eq!(refused("    github: {repository: octo/app}\n", &stranger).await, "github-claim-mismatch");
}

#[tokio::test]
async fn a_job_that_pull_request_target_started_is_refused_where_the_trigger_is_asked_for() {
    let target = job(|identity| identity.event_name = "pull_request_target".to_owned());
    assert_eq!(refused("    github: {trigger: [push, schedule]}\n", &target).await, "github-claim-mismatch");
}

#[tokio::test]
async fn a_repository_that_was_registered_again_by_others_is_refused_by_its_number() {
    let again = job(|identity| identity.repository_id = "999".to_owned());
    assert_eq!(refused("    github: {repository_id: '1296269'}\n", &again).await, "github-claim-mismatch");
}

#[tokio::test]
async fn an_e_mail_address_with_the_text_of_the_uri_is_refused_from_either_issuer() {
    let forge = Forge::start();
    let name = GithubIdentity::default().subject_alternative_name();
    let token = || forge.sandbox.email_token(&name);
    assert_eq!(judged(&forge, token(), &forge.policy("")).await.unwrap_err(), "issuer-mismatch");
    let by_address = |identity: &str| {
        let issuer = forge.sandbox.email_issuer();
        let text = format!("version: 1\nsigners:\n  - issuer: {issuer}\n    identity: {identity}\n");
        Policy::from_yaml("test", &text).unwrap()
    };
    assert_eq!(judged(&forge, token(), &by_address(&name)).await.unwrap_err(), "identity-mismatch");
    let person = "release@octo.example";
    judged(&forge, forge.sandbox.email_token(person), &by_address(person)).await.unwrap();
}

#[tokio::test]
async fn an_issuer_with_a_slash_at_its_end_is_another_one() {
    let forge = Forge::start();
    let name = GithubIdentity::default().subject_alternative_name();
    let policy = |issuer: &str| {
        let text = format!("version: 1\nsigners:\n  - issuer: {issuer}\n    identity: {name}\n");
        Policy::from_yaml("test", &text).unwrap()
    };
    let token = || forge.sandbox.github_token(&GithubIdentity::default());
    let issuer = forge.sandbox.oidc_issuer();
    judged(&forge, token(), &policy(&issuer)).await.unwrap();
    assert_eq!(judged(&forge, token(), &policy(&format!("{issuer}/"))).await.unwrap_err(), "issuer-mismatch");
}
