//! Signed, attached and verified by the verifier, in both modes of registries and with both logs.

use countersign_signer::sign::{self, Signer};
use countersign_signer::statement::{Annotations, StatementForm};
use countersign_verifier::Verdict;
use sandbox::{Auth, GithubIdentity, RekorVersion, Service};
use serde_json::Value;

use crate::world::{REPOSITORY, World};

const REKORS: [RekorVersion; 2] = [RekorVersion::V1, RekorVersion::V2];

#[tokio::test]
async fn every_digest_of_an_image_verifies_in_both_registry_modes_with_both_logs() {
    for referrers_api in [true, false] {
        for rekor in REKORS {
            let world = World::in_mode(referrers_api);
            let report = world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
            assert_eq!(report.statements.len(), 1);
            let policy = world.policy("require:\n  tag: true\n  repository: true\n");
            for digest in world.image.digests() {
                let pinned = world.pinned(REPOSITORY, &digest);
                let verdict = world.verify(&pinned, Some("v1"), &policy).await;
                assert!(matches!(verdict, Verdict::Verified(..)), "{referrers_api} {rekor:?}: {verdict:?}");
                let verdict = world.verify(&pinned, Some("v2"), &policy).await;
                assert!(matches!(verdict, Verdict::Rejected(_)), "{verdict:?}");
                let referrers = world.referrers(REPOSITORY, &digest).await;
                assert_eq!(referrers.len(), 1);
                let reported = report.statements[0]
                    .subjects
                    .iter()
                    .find(|subject| subject.reference == pinned)
                    .and_then(|subject| subject.referrer);
                assert_eq!(reported, Some(referrers[0]));
            }
            let tags = world.sandbox.registry().tags(REPOSITORY);
            assert_eq!(tags.len(), if referrers_api { 1 } else { 1 + world.image.digests().len() });
        }
    }
}

#[tokio::test]
async fn one_call_stays_within_its_budget_of_requests() {
    for rekor in REKORS {
        let world = World::start();
        world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
        let requests = world.sandbox.requests();
        let list: Vec<String> = requests
            .iter()
            .map(|request| format!("{:?} {} {}", request.service, request.method, request.path))
            .collect();
        let digests = world.image.digests().len();
        assert_eq!(digests, 5);
        assert!(requests.len() <= digests + 14, "{list:#?}");
        assert_eq!(world.count(Service::Fulcio), 1, "{list:#?}");
        assert_eq!(world.count(Service::RekorV1) + world.count(Service::RekorV2), 1, "{list:#?}");
        assert_eq!(world.count(Service::Tsa), 1, "{list:#?}");
        assert_eq!(world.count(Service::Oidc), 1, "{list:#?}");
        assert!(!requests.iter().any(|request| request.path == "/v2/"), "{list:#?}");
        let blob_heads = requests.iter().filter(|request| request.method == "HEAD" && request.path.contains("/blobs/"));
        assert_eq!(blob_heads.count(), 0, "{list:#?}");
    }
}

#[tokio::test]
async fn the_certificate_is_asked_for_after_writes_were_proven_and_manifests_seen() {
    let world = World::start();
    world.sign(&["octo/app:v1"]).await.unwrap();
    let requests = world.sandbox.requests();
    let fulcio = requests.iter().position(|request| request.service == Service::Fulcio).unwrap();
    let (before, after) = requests.split_at(fulcio);
    let heads = |part: &[sandbox::Request]| part.iter().filter(|request| request.method == "HEAD").count();
    assert_eq!((heads(before), heads(after)), (4, 0));
    assert!(before.iter().any(|request| request.status == 201 && request.path.contains("/blobs/uploads/")));
    assert!(!before.iter().any(|request| request.path.contains("/manifests/") && request.method == "PUT"));
}

#[tokio::test]
async fn each_statement_form_makes_its_number_of_log_entries_from_one_certificate() {
    for rekor in REKORS {
        for (form, entries) in [(StatementForm::Image, 2), (StatementForm::Digest, 6), (StatementForm::Release, 1)] {
            let world = World::start();
            let other = other_image();
            other.push(world.sandbox.registry(), "octo/tool", "v1");
            let mut request = world.request(&["octo/app:v1", "octo/tool:v1"]);
            request.form = form;
            let report = world.signer(rekor).sign(&request).await.unwrap();
            assert_eq!(report.statements.len(), entries, "{form:?}");
            assert_eq!(world.count(Service::Fulcio), 1);
            assert_eq!(world.count(Service::RekorV1) + world.count(Service::RekorV2), entries, "{form:?}");
            let policy = world.policy("require:\n  repository: true\n");
            let digests = world.image.digests().into_iter().map(|digest| (REPOSITORY, digest));
            for (repository, digest) in digests.chain(other.digests().into_iter().map(|digest| ("octo/tool", digest))) {
                let verdict = world.verify(&world.pinned(repository, &digest), None, &policy).await;
                assert!(matches!(verdict, Verdict::Verified(..)), "{form:?} {verdict:?}");
                assert_eq!(world.referrers(repository, &digest).await.len(), 1, "{form:?}");
            }
        }
    }
}

fn other_image() -> sandbox::image::Image {
    let mut spec = sandbox::image::ImageSpec::with_run_script("#!/bin/sh\necho other\n", Vec::new());
    spec.platforms = vec![];
    spec.attestations = false;
    sandbox::image::multi_platform(&spec)
}

#[tokio::test]
async fn one_image_in_two_repositories_and_with_two_tags_is_one_log_entry() {
    let world = World::start();
    world.image.push(world.sandbox.registry(), "octo/mirror", "v1");
    world.sandbox.registry().set_tag(REPOSITORY, "latest", world.image.digest());
    let report = world.sign(&["octo/app:v1", "octo/app:latest", "octo/mirror:v1"]).await.unwrap();
    assert_eq!(report.images.len(), 3);
    assert_eq!(report.statements.len(), 1);
    assert_eq!(world.count(Service::RekorV1), 1);
    let policy = world.policy("require:\n  tag: true\n  repository: true\n");
    for (repository, tag, verified) in [
        (REPOSITORY, "v1", true),
        (REPOSITORY, "latest", true),
        ("octo/mirror", "v1", true),
        // A tag of one repository is none of the other.
        ("octo/mirror", "latest", false),
    ] {
        let verdict = world.verify(&world.pinned(repository, world.image.digest()), Some(tag), &policy).await;
        assert_eq!(matches!(verdict, Verdict::Verified(..)), verified, "{repository}:{tag} {verdict:?}");
        assert_eq!(world.referrers(repository, world.image.digest()).await.len(), 1);
    }
}

#[tokio::test]
async fn signing_by_force_adds_a_signature_and_keeps_the_earlier_one() {
    for referrers_api in [true, false] {
        let world = World::in_mode(referrers_api);
        world.sign(&["octo/app:v1"]).await.unwrap();
        let first = world.referrers(REPOSITORY, world.image.digest()).await;
        let mut request = world.request(&["octo/app:v1"]);
        request.force = true;
        world.signer(RekorVersion::V1).sign(&request).await.unwrap();
        let both = world.referrers(REPOSITORY, world.image.digest()).await;
        assert_eq!(both.len(), 2);
        assert!(first.iter().all(|referrer| both.contains(referrer)));
    }
}

#[tokio::test]
async fn the_index_alone_is_signed_where_that_is_asked() {
    let world = World::start();
    let mut request = world.request(&["octo/app:v1"]);
    request.index_only = true;
    let report = world.signer(RekorVersion::V1).sign(&request).await.unwrap();
    assert_eq!(report.statements[0].subjects.len(), 1);
    assert_eq!(world.referrers(REPOSITORY, world.image.digest()).await.len(), 1);
    let child = &world.image.platforms[0].manifest.digest;
    assert!(world.referrers(REPOSITORY, child).await.is_empty());
    assert!(!world.sandbox.requests().iter().any(|request| request.method == "HEAD"));
}

#[tokio::test]
async fn a_dry_run_reads_and_nothing_else() {
    let world = World::start();
    let report = sign::plan(&world.registry(), &world.request(&["octo/app:v1"])).await.unwrap();
    assert_eq!(report.statements[0].subjects.len(), 5);
    assert!(report.signer.is_none());
    for request in world.sandbox.requests() {
        assert_eq!(request.service, Service::Registry);
        assert!(matches!(request.method.as_str(), "GET" | "HEAD"), "{request:?}");
    }
    world.assert_nothing_attached();
}

#[tokio::test]
async fn annotations_are_signed_and_can_be_required() {
    let world = World::start();
    let mut request = world.request(&["octo/app:v1"]);
    request.annotations = Annotations::parse(&["commit=7fd1a60"]).unwrap();
    world.signer(RekorVersion::V2).sign(&request).await.unwrap();
    let pinned = world.pinned(REPOSITORY, world.image.digest());
    let policy = world.policy("require:\n  annotations:\n    commit: 7fd1a60\n");
    assert!(matches!(world.verify(&pinned, None, &policy).await, Verdict::Verified(..)));
    let policy = world.policy("require:\n  annotations:\n    commit: 0000000\n");
    assert!(matches!(world.verify(&pinned, None, &policy).await, Verdict::Rejected(_)));
}

#[tokio::test]
async fn an_email_identity_signs_under_its_address() {
    let world = World::start();
    let identity = world.token(world.sandbox.email_token("mona@example.com"));
    let signer = Signer { identity, ..world.signer(RekorVersion::V2) };
    let report = signer.sign(&world.request(&["octo/app:v1"])).await.unwrap();
    let identity = report.signer.unwrap();
    assert_eq!(identity.identity, "mona@example.com");
    assert_eq!(identity.issuer, world.sandbox.email_issuer());
    assert_eq!(identity.github_repository, None);
}

#[tokio::test]
async fn a_reusable_workflow_signs_for_the_repository_that_called_it() {
    let world = World::start();
    let identity = GithubIdentity {
        job_workflow_ref: "octo/workflows/.github/workflows/sign.yml@refs/heads/main".to_owned(),
        ..GithubIdentity::default()
    };
    let signer = Signer { identity: world.ambient(&identity), ..world.signer(RekorVersion::V1) };
    let report = signer.sign(&world.request(&["octo/app:v1"])).await.unwrap();
    let identity = report.signer.unwrap();
    assert_eq!(identity.identity, "https://github.com/octo/workflows/.github/workflows/sign.yml@refs/heads/main");
    assert_eq!(identity.github_repository.as_deref(), Some("octo/app"));
}

#[tokio::test]
async fn a_registry_that_wants_a_token_is_logged_in_to_once() {
    let (user, password) = ("mona".to_owned(), "hunter2".to_owned());
    for auth in [
        Auth::Basic { user: user.clone(), password: password.clone() },
        Auth::Bearer { user: user.clone(), password: password.clone() },
    ] {
        let world = World::with(|options| options.auth = auth.clone());
        let mut options = countersign_oci::RegistryOptions::default();
        let credential = countersign_oci::Credential::Basic {
            username: user.clone(),
            password: countersign_oci::Secret::new(password.clone()),
        };
        options.credentials.add(world.sandbox.registry().host(), credential, "test");
        let registry = countersign_oci::Registry::new(options).unwrap();
        let signer = Signer { registry, ..world.signer(RekorVersion::V1) };
        signer.sign(&world.request(&["octo/app:v1"])).await.unwrap();
        assert_eq!(world.sandbox.registry().referrers(REPOSITORY, world.image.digest()).len(), 1, "{auth:?}");
    }
}

#[tokio::test]
async fn the_referrer_manifest_and_the_bundle_have_the_shape_that_peers_read() {
    for rekor in REKORS {
        let world = World::start();
        world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
        let referrer = world.referrers(REPOSITORY, world.image.digest()).await[0];
        let manifest = world.sandbox.registry().get_manifest(REPOSITORY, &referrer.to_string()).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        assert_eq!(manifest["subject"]["digest"], world.image.digest());
        let bundle = world.bundle(&referrer);
        let entries = bundle["verificationMaterial"]["tlogEntries"].as_array().unwrap();
        assert_eq!(entries.len(), 1);
        let kind = if rekor == RekorVersion::V1 { ("dsse", "0.0.1") } else { ("hashedrekord", "0.0.2") };
        assert_eq!(entries[0]["kindVersion"]["kind"], kind.0);
        assert_eq!(entries[0]["kindVersion"]["version"], kind.1);
        let timestamps = &bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
        assert_eq!(timestamps.as_array().unwrap().len(), 1);
        assert!(bundle["verificationMaterial"]["certificate"]["rawBytes"].is_string());
    }
}

#[tokio::test]
async fn rekor_v1_keeps_the_digest_of_the_envelope_in_cosigns_key_order() {
    let world = World::start();
    world.sign(&["octo/app:v1"]).await.unwrap();
    let posted = world.sandbox.requests_of(Service::RekorV1).remove(0);
    let posted: Value = serde_json::from_slice(&posted.body).unwrap();
    let envelope = posted["spec"]["proposedContent"]["envelope"].as_str().unwrap();
    assert!(envelope.starts_with(r#"{"payload":""#), "{envelope}");
    let (payload_type, signatures) =
        (envelope.find(r#""payloadType":"application/vnd.in-toto+json""#), envelope.find(r#""signatures":[{"sig":""#));
    assert!(payload_type.unwrap() < signatures.unwrap());
    assert!(!envelope.contains("keyid"));
}
