//! A call that is repeated, resumed, or made by two runners at once.

use std::path::Path;
use std::sync::Arc;

use countersign_oci::Digest;
use countersign_signer::sign::{SignReport, SignRequest};
use countersign_signer::state::StateFile;
use countersign_signer::statement::{Annotations, StatementForm};
use countersign_verifier::Verdict;
use sandbox::{Action, Fault, RekorVersion, Service};

use crate::world::{REPOSITORY, World};

async fn sign(world: &World, request: &SignRequest) -> SignReport {
    world.signer(RekorVersion::V1).sign(request).await.unwrap()
}

fn entries(world: &World) -> usize {
    let logged = world.sandbox.requests_of(Service::RekorV1);
    logged.iter().filter(|request| request.method == "POST" && request.status == 201).count()
}

fn state(folder: &Path) -> StateFile {
    StateFile::open(&folder.join("state.json"), Digest::of(b"request"), true).unwrap()
}

#[tokio::test]
async fn what_is_signed_is_not_signed_again() {
    for referrers_api in [true, false] {
        let world = World::in_mode(referrers_api);
        let request = world.request(&["octo/app:v1"]);
        let first = sign(&world, &request).await;
        assert!(first.signed_already.is_empty());
        let listed = world.referrers(REPOSITORY, world.image.digest()).await;

        let second = sign(&world, &request).await;
        assert_eq!(entries(&world), 1);
        assert!(second.statements.is_empty());
        assert_eq!(second.signed_already.len(), world.image.digests().len());
        assert_eq!(second.signed_already[0].referrer, listed.first().copied());
        assert_eq!(world.referrers(REPOSITORY, world.image.digest()).await, listed);
    }
}

#[tokio::test]
async fn a_signature_that_says_less_is_not_enough() {
    let world = World::start();
    world.image.push(world.sandbox.registry(), REPOSITORY, "latest");
    sign(&world, &world.request(&["octo/app:v1"])).await;

    let further_tag = world.request(&["octo/app:latest"]);
    assert!(sign(&world, &further_tag).await.signed_already.is_empty());
    let both_tags = world.request(&["octo/app:v1", "octo/app:latest"]);
    assert!(sign(&world, &both_tags).await.signed_already.is_empty(), "one bundle has to bind both");
    assert_eq!(sign(&world, &both_tags).await.signed_already.len(), world.image.digests().len());

    let mut annotated = world.request(&["octo/app:v1"]);
    annotated.annotations = Annotations::parse(&["commit=1"]).unwrap();
    assert!(sign(&world, &annotated).await.signed_already.is_empty());
    assert!(!sign(&world, &annotated).await.signed_already.is_empty());
}

#[tokio::test]
async fn a_statement_about_more_than_one_digest_is_not_enough_for_who_wants_one_for_each() {
    let world = World::start();
    sign(&world, &world.request(&["octo/app:v1"])).await;
    let mut request = world.request(&["octo/app:v1"]);
    request.form = StatementForm::Digest;
    assert_eq!(sign(&world, &request).await.statements.len(), world.image.digests().len());
    assert!(sign(&world, &request).await.statements.is_empty());
    request.form = StatementForm::Image;
    let again = sign(&world, &request).await;
    assert!(again.statements.is_empty(), "each digest is signed, in whichever form");
}

#[tokio::test]
async fn a_signature_that_consumers_would_refuse_is_not_enough() {
    let world = World::start();
    sign(&world, &world.request(&["octo/app:v1"])).await;
    let mut request = world.request(&["octo/app:v1"]);
    request.self_verify = Some(Arc::new(world.policy("require: {repository: true}")));
    assert!(!sign(&world, &request).await.signed_already.is_empty());

    let denied = request.self_verify.insert(Arc::new(world.policy("not_after: 2020-01-01T00:00:00Z")));
    assert_eq!(denied.threshold(), 1);
    let failure = world.signer(RekorVersion::V1).sign(&request).await.unwrap_err();
    assert_eq!(failure.errors[0].code(), "policy-unsatisfiable");
    assert_eq!(entries(&world), 1, "the log was not asked again");
    assert_eq!(world.referrers(REPOSITORY, world.image.digest()).await.len(), 1, "nothing was attached");
}

#[tokio::test]
async fn one_of_several_signers_signs_before_the_others_did() {
    let world = World::start();
    let policy = "  - {name: other, issuer: https://accounts.example, identity: mona@example.com}\nthreshold: 2";
    let mut request = world.request(&["octo/app:v1"]);
    request.self_verify = Some(Arc::new(world.policy(policy)));
    assert_eq!(sign(&world, &request).await.statements.len(), 1);
    assert_eq!(world.referrers(REPOSITORY, world.image.digest()).await.len(), 1);
}

#[tokio::test]
async fn a_call_that_could_not_attach_is_resumed_without_a_second_entry() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let request = world.request(&["octo/app:v1"]);
    let signer = world.signer(RekorVersion::V1);
    {
        let refused = Fault::new(Service::Registry, Action::status(403)).method("PUT").path("/manifests/sha256:");
        let _fault = world.sandbox.fault(refused.after(2));
        let failure = signer.sign_recorded(&request, Some(&state(folder.path()))).await.unwrap_err();
        assert!(failure.errors.len() >= 2, "{:?}", failure.errors);
    }
    let resumed = signer.sign_recorded(&request, Some(&state(folder.path()))).await.unwrap();
    assert_eq!(entries(&world), 1);
    assert_eq!(resumed.statements.len(), 1);
    assert!(resumed.statements[0].subjects.iter().all(|subject| subject.referrer.is_some()));
    for digest in world.image.digests() {
        assert_eq!(world.referrers(REPOSITORY, &digest).await.len(), 1, "one referrer, not two");
    }
}

#[tokio::test]
async fn a_bundle_that_was_tampered_with_in_the_state_is_not_attached() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let request = world.request(&["octo/app:v1"]);
    let signer = world.signer(RekorVersion::V1);
    signer.sign_recorded(&request, Some(&state(folder.path()))).await.unwrap();

    // The same bundle, for another image in the same repository.
    let path = folder.path().join("state.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let other = sandbox::image::multi_platform(&sandbox::image::ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()));
    other.push(world.sandbox.registry(), REPOSITORY, "v2");
    std::fs::write(&path, text.replace(world.image.digest(), other.digest())).unwrap();
    let request = world.request(&["octo/app:v2"]);
    let report = signer.sign_recorded(&request, Some(&state(folder.path()))).await.unwrap();
    assert_eq!(entries(&world), 2, "it was signed again");
    assert_eq!(report.statements.len(), 1);
    let policy = world.policy("require: {tag: true, repository: true}");
    let verdict = world.verify(&world.pinned(REPOSITORY, other.digest()), Some("v2"), &policy).await;
    assert!(matches!(verdict, Verdict::Verified(..)), "{verdict:?}");
    assert_eq!(world.referrers(REPOSITORY, other.digest()).await.len(), 1);
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_ends_with_one_referrer() {
    let world = World::start();
    let lost = Fault::new(Service::Registry, Action::LoseAnswer).method("PUT").path("/manifests/sha256:").times(3);
    let _fault = world.sandbox.fault(lost);
    sign(&world, &world.request(&["octo/app:v1"])).await;
    for digest in world.image.digests() {
        assert_eq!(world.referrers(REPOSITORY, &digest).await.len(), 1);
    }
}

#[tokio::test]
async fn two_runners_at_once_leave_every_digest_signed_and_lose_nothing() {
    for referrers_api in [true, false] {
        let world = World::in_mode(referrers_api);
        let request = world.request(&["octo/app:v1"]);
        let (one, other) = (world.signer(RekorVersion::V1), world.signer(RekorVersion::V1));
        let (one, other) = tokio::join!(one.sign(&request), other.sign(&request));
        for report in [one.unwrap(), other.unwrap()] {
            for subject in report.statements.iter().flat_map(|statement| &statement.subjects) {
                let listed = world.referrers(REPOSITORY, &subject.reference.digest().to_string()).await;
                assert!(listed.contains(&subject.referrer.unwrap()), "{referrers_api} {listed:?}");
            }
        }
    }
}

#[tokio::test]
async fn signatures_may_lie_in_a_repository_of_their_own() {
    for referrers_api in [true, false] {
        let world = World::in_mode(referrers_api);
        world.image.push(world.sandbox.registry(), "octo/mirror", "v1");
        let signatures = world.pinned("octo/signatures", world.image.digest());
        let mut request = world.request(&["octo/app:v1", "octo/mirror:v1"]);
        request.signature_repository = Some(signatures.repository().clone());
        sign(&world, &request).await;
        world.assert_nothing_attached();
        assert_eq!(world.referrers("octo/signatures", world.image.digest()).await.len(), 1);

        let policy = world.policy("require: {tag: true, repository: true}");
        for repository in [REPOSITORY, "octo/mirror"] {
            let verdict =
                world.verify_from(&signatures, &world.pinned(repository, world.image.digest()), &policy).await;
            assert!(matches!(verdict, Verdict::Verified(..)), "{verdict:?}");
        }
        assert!(!sign(&world, &request).await.signed_already.is_empty());
        assert_eq!(entries(&world), 1);
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_visible_just_after_its_push_is_waited_for() {
    let world = World::start();
    for hidden in [world.image.digest(), &world.image.platforms[0].manifest.digest] {
        let late = Fault::new(Service::Registry, Action::status(404)).path(&format!("/manifests/{hidden}")).times(1);
        let fault = world.sandbox.fault(late);
        let mut request = world.request(&[&format!("octo/app@{}", world.image.digest())]);
        request.force = true;
        sign(&world, &request).await;
        assert_eq!(fault.hits(), 1);
    }
}
