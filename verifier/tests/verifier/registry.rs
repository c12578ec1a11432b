//! What a registry can do to a verification: it may lie, flood, stall and fail, and never make a yes of a no.

use countersign_oci::{Digest, Tag, limits};
use countersign_verifier::Verdict;
use sandbox::{Action, Fault, GithubIdentity, Options, ReferrersApi, RekorVersion, Service, digest_of};
use serde_json::{Value, json};

use crate::world::{World, outcome, pinned};

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn api(on: bool) -> Options {
    Options { referrers_api: on, ..Options::default() }
}

/// Attaches an artifact to an image, as anyone can who may push.
pub(crate) fn attach(world: &World, repository: &str, subject: &str, artifact_type: &str, layer: &[u8]) -> String {
    let registry = world.sandbox.registry();
    let config = registry.put_blob(repository, "{}");
    let layer_digest = registry.put_blob(repository, layer.to_vec());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
        "config": {"mediaType": EMPTY, "digest": config, "size": 2},
        "layers": [{"mediaType": artifact_type, "digest": layer_digest, "size": layer.len()}],
        "subject": {"mediaType": INDEX, "digest": subject, "size": 1},
    });
    let bytes = manifest.to_string();
    registry.put_manifest(repository, &digest_of(bytes.as_bytes()), MANIFEST, bytes)
}

#[tokio::test]
async fn a_signed_image_verifies_by_tag_and_by_digest_in_both_registry_modes() {
    for (referrers_api, rekor) in
        [(true, RekorVersion::V1), (true, RekorVersion::V2), (false, RekorVersion::V1), (false, RekorVersion::V2)]
    {
        let world = World::start(api(referrers_api));
        let (image, reference) = world.push("octo/app");
        world.sign(&reference, rekor).await;
        let policy = world.policy("require:\n  repository: true\n  tag: true\n");
        let verdict = world.verify(&reference, &policy).await.unwrap();
        let Verdict::Verified(verified, _) = &verdict else { panic!("{verdict:?}") };
        assert_eq!(verified.digest().to_string(), image.digest());
        assert_eq!(verified.signatures()[0].tags(), ["v1"]);
        for digest in image.digests() {
            let mut asked = pinned(&reference, &image);
            asked.reference = reference.repository().pin(digest.parse().unwrap());
            let verdict = world.verify_asked(&asked, &world.policy("")).await.unwrap();
            assert_eq!(outcome(&verdict).0, "verified", "{digest}");
        }
    }
}

#[tokio::test]
async fn verifying_a_digest_costs_three_requests() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    world.sandbox.clear_requests();
    let verdict = world.verify_asked(&pinned(&reference, &image), &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict).0, "verified");
    let requests: Vec<String> =
        world.sandbox.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert_eq!(requests.len(), 3, "{requests:#?}");
}

#[tokio::test]
async fn an_image_without_referrers_is_unsigned_and_one_that_is_not_there_is_not_found() {
    for referrers_api in [true, false] {
        let world = World::start(api(referrers_api));
        let (image, reference) = world.push("octo/app");
        let policy = world.policy("");
        let verdict = world.verify(&reference, &policy).await.unwrap();
        assert_eq!(outcome(&verdict), ("rejected", "unsigned".into()));
        assert!(!verdict.findings().looked_at.is_empty());

        let mut asked = pinned(&reference, &image);
        asked.reference = reference.repository().pin(Digest::of(b"never pushed"));
        assert_eq!(world.verify_asked(&asked, &policy).await.unwrap_err().code(), "not-found");
        let absent = format!("{}:absent", reference.repository()).parse().unwrap();
        assert_eq!(world.verify(&absent, &policy).await.unwrap_err().code(), "not-found");
    }
}

#[tokio::test]
async fn a_listing_that_fails_is_never_unsigned() {
    for status in [401, 403, 429, 500, 503] {
        let world = World::start(api(true));
        let (image, reference) = world.push("octo/app");
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(status)).path("/referrers/"));
        let verdict = world.verify_asked(&pinned(&reference, &image), &world.policy("")).await.unwrap();
        assert_eq!(outcome(&verdict).0, "undecided", "{status}");
    }
    for status in [401, 403, 429, 500, 503] {
        let world = World::start(api(false));
        let (image, reference) = world.push("octo/app");
        let _fault =
            world.sandbox.fault(Fault::new(Service::Registry, Action::status(status)).path("/manifests/sha256-"));
        let verdict = world.verify_asked(&pinned(&reference, &image), &world.policy("")).await.unwrap();
        assert_eq!(outcome(&verdict).0, "undecided", "tag schema: {status}");
    }
}

#[tokio::test]
async fn a_listing_that_never_ends_stalls_or_is_no_listing_is_undecided() {
    for action in [Action::Endless, Action::Stall, Action::Close, Action::Truncate(10), Action::StallAfter(5)] {
        let world = World::start(api(true));
        let (image, reference) = world.push("octo/app");
        let name = format!("{action:?}");
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, action).path("/referrers/"));
        let verdict = world.verify_asked(&pinned(&reference, &image), &world.policy("")).await.unwrap();
        assert_eq!(outcome(&verdict).0, "undecided", "{name}");
    }
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    let portal = Action::WrongContentType("text/html".into());
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, portal).path("/referrers/"));
    let verdict = world.verify_asked(&pinned(&reference, &image), &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict).0, "undecided", "a page in place of the referrers API");
}

#[tokio::test]
async fn junk_referrers_and_a_third_partys_bundle_do_not_hide_a_good_one() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    let stranger = GithubIdentity::of("evil/fork");
    world.sign_as(&reference, RekorVersion::V1, &stranger).await;
    for number in 0..70 {
        attach(&world, "octo/app", image.digest(), "application/spdx+json", format!("{number}").as_bytes());
        attach(&world, "octo/app", image.digest(), BUNDLE, format!("{{\"junk\":{number}}}").as_bytes());
    }
    let policy = world.policy("");
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "policy-denied".into()));
    world.sign(&reference, RekorVersion::V2).await;
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict).0, "verified");
}

#[tokio::test]
async fn wrong_artifact_types_in_a_listing_hide_nothing() {
    let world = World::start(api(true));
    let (_, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    world.sandbox.registry().set_referrers(ReferrersApi::ConfigTypes);
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict).0, "verified");
}

#[tokio::test]
async fn a_listed_referrer_that_cannot_be_read_is_undecided_until_a_good_one_is_found() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    let junk = attach(&world, "octo/app", image.digest(), BUNDLE, b"{}");
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(403)).path(&junk));
    let policy = world.policy("");
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict).0, "undecided");
    world.sign(&reference, RekorVersion::V1).await;
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict).0, "verified");
}

#[tokio::test]
async fn what_is_listed_and_is_no_bundle_is_refused_for_its_own_reason() {
    let world = World::start(api(true));
    let registry = world.sandbox.registry();
    let policy = world.policy("");
    let limit = usize::try_from(limits::BUNDLE_BYTES).unwrap();
    for (name, artifact_type, layer, code) in [
        ("sbom", "application/spdx+json", b"{}".to_vec(), "foreign-artifact"),
        ("junk", BUNDLE, b"{".to_vec(), "malformed-bundle"),
        ("large", BUNDLE, vec![b' '; limit + 1], "bundle-too-large"),
        ("older", "application/vnd.dev.cosign.artifact.sig.v1+json", b"{}".to_vec(), "older-cosign-format"),
    ] {
        let repository = format!("octo/{name}");
        let (image, reference) = world.push(&repository);
        attach(&world, &repository, image.digest(), artifact_type, &layer);
        let verdict = world.verify(&reference, &policy).await.unwrap();
        assert_eq!(outcome(&verdict), ("rejected", code.into()), "{name}");
    }

    let (image, reference) = world.push("octo/tagged");
    let tag = Tag::of_cosign_signature(image.digest().parse().unwrap()).to_string();
    let config = registry.put_blob("octo/tagged", "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": config, "size": 2}],
    });
    registry.put_manifest("octo/tagged", &tag, MANIFEST, manifest.to_string());
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "older-cosign-format".into()));
}

#[tokio::test]
async fn a_referrer_of_another_image_is_refused_wherever_it_is_listed() {
    let world = World::start(api(false));
    let (image, reference) = world.push("octo/app");
    let other = attach(&world, "octo/app", &Digest::of(b"another image").to_string(), BUNDLE, b"{}");
    let size = world.sandbox.registry().get_manifest("octo/app", &other).unwrap().bytes.len();
    let listed: Value = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": other, "size": size, "artifactType": BUNDLE}],
    });
    let tag = image.digest().replace(':', "-");
    world.sandbox.registry().put_manifest("octo/app", &tag, INDEX, listed.to_string());
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "wrong-referrer-subject".into()));
}

#[tokio::test]
async fn bytes_that_a_registry_damaged_are_not_seen_rather_than_refused() {
    for action in [Action::Truncate(20), Action::Body(b"{}".to_vec()), Action::Endless] {
        let world = World::start(api(true));
        let (_, reference) = world.push("octo/app");
        world.sign(&reference, RekorVersion::V1).await;
        let name = format!("{action:?}");
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, action).method("GET").path("/blobs/"));
        let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
        assert_eq!(outcome(&verdict).0, "undecided", "{name}");
    }
}

#[tokio::test]
async fn entries_that_are_no_descriptors_are_not_nothing() {
    let world = World::start(api(false));
    let (image, reference) = world.push("octo/app");
    let listed = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": "sha256:no"}, 7]});
    let tag = image.digest().replace(':', "-");
    world.sandbox.registry().put_manifest("octo/app", &tag, INDEX, listed.to_string());
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict).0, "undecided");
}

#[tokio::test]
async fn a_policy_that_requires_a_tag_cannot_be_asked_without_one() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    let policy = world.policy("require:\n  tag: true\n");
    world.sandbox.clear_requests();
    let error = world.verify_asked(&pinned(&reference, &image), &policy).await.unwrap_err();
    assert_eq!(error.code(), "tag-not-asked");
    assert!(world.sandbox.requests().is_empty(), "the registry need not be asked");
}

#[tokio::test]
async fn a_rekor_v2_entry_as_cosign_3_0_wrote_it_is_refused_with_what_to_do() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V2).await;
    let policy = world.policy("");
    let verdict = world.verify(&reference, &policy).await.unwrap();
    let Verdict::Verified(verified, _) = &verdict else { panic!("{verdict:?}") };
    let mut bundle: Value = serde_json::from_slice(verified.signatures()[0].bundle()).unwrap();
    bundle["verificationMaterial"]["tlogEntries"][0]["kindVersion"] = json!({"kind": "dsse", "version": "0.0.2"});

    let (other, reference) = world.push("octo/other");
    assert_ne!(other.digest(), image.digest());
    attach(&world, "octo/other", other.digest(), BUNDLE, bundle.to_string().as_bytes());
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "unsupported-log-entry".into()));
    let text = countersign_verifier::report::text(&verdict);
    assert!(text.contains("kind dsse 0.0.2, which cosign 3.0 wrote to Rekor v2 and Rekor v2 has dropped"), "{text}");
    assert!(text.contains("hint: sign the image again with cosign 3.1 or later, or with countersign-signer"), "{text}");
    assert!(text.contains("looked at referrers API: 200, 1 entry: 1 bundle"), "{text}");
}
