//! Every row of the table of known failures that is about a registry, a listing or the answer of the program.
//!
//! | what went wrong elsewhere | test |
//! |---|---|
//! | no attestation is success: CVE-2022-35929, CVE-2022-35930 | `an_image_without_a_signature_is_refused`, `registry::an_image_without_referrers_is_unsigned_and_one_that_is_not_there_is_not_found` |
//! | right text, wrong exit code: CVE-2025-25204, CVE-2026-44310 | `an_answer_that_cannot_be_written_is_no_success`, `program::the_verdict_is_the_exit_code` |
//! | verify one thing, run another: CVE-2023-33959, CVE-2022-47633 | `a_tag_that_moves_between_two_requests_changes_nothing` |
//! | one document, two types: CVE-2021-41190 | `a_referrer_with_two_readings_is_refused`, `oci::index::a_document_with_two_readings_is_refused_under_every_type` |
//! | a pinned digest that is ignored: GHSA-qv35 | `registry::bytes_that_a_registry_damaged_are_not_seen_rather_than_refused`, `oci::manifests::a_changed_manifest_is_rejected_whatever_the_header_says` |
//! | a digest that becomes a path: CVE-2024-37032, CVE-2024-3727 | `a_digest_that_is_none_leads_nowhere`, `oci::digest::anything_but_lower_case_sha256_is_refused` |
//! | a signed index with another child | `a_child_that_was_exchanged_below_a_signed_index_is_refused` |
//! | flooded with referrers | `junk` |
//! | a referrer of another image | `registry::a_referrer_of_another_image_is_refused_wherever_it_is_listed`, `junk::a_listing_of_another_image_lends_nothing` |
//! | the first bundle alone is tried | `registry::junk_referrers_and_a_third_partys_bundle_do_not_hide_a_good_one`, `junk::the_order_of_candidates_decides_nothing` |
//! | bodies without end | `registry::a_listing_that_never_ends_stalls_or_is_no_listing_is_undecided`, `oci::manifests::a_body_that_never_ends_is_given_up`, `oci::blobs::a_blob_that_never_ends_stops_at_its_size` |
//! | a list that leads to itself | `oci::referrers::a_next_page_that_is_an_earlier_one_ends_the_list` |
//! | slow answers | `oci::retries::an_answer_that_never_begins_is_given_up`, `oci::blobs::a_stream_that_stalls_ends`, `oci::retries::one_deadline_bounds_all_attempts` |
//! | metadata is input: CVE-2026-53488 | `attacks_on_bundles::escape_codes_in_what_was_signed_never_reach_a_terminal`, `inspect::hostile_names_of_a_registry_never_reach_a_terminal` |
//! | a tag that is rewritten meanwhile: CVE-2026-31801 | `a_tag_that_moves_between_two_requests_changes_nothing` |

use std::process::{Command, Stdio};
use std::sync::Arc;

use countersign_verifier::Verdict;
use sandbox::image::{self, ImageSpec};
use sandbox::{Action, Fault, GithubIdentity, Options, RekorVersion, Service, digest_of};
use serde_json::{Value, json};

use crate::registry::{BUNDLE, INDEX, MANIFEST, attach};
use crate::world::{World, outcome, pinned};

#[tokio::test]
async fn an_image_without_a_signature_is_refused() {
    let world = World::start(Options::default());
    let policy = world.policy("");
    let (image, reference) = world.push("octo/app");
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()), ("rejected", "unsigned".into()));
    attach(&world, "octo/app", image.digest(), "application/vnd.example.signature", b"{}");
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()), ("rejected", "foreign-artifact".into()));
    world.sign(&reference, RekorVersion::V1).await;
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()).0, "verified");
}

/// The signed image has the tag when it is asked for; before the next request the tag is on another one.
#[tokio::test]
async fn a_tag_that_moves_between_two_requests_changes_nothing() {
    for rekor in [RekorVersion::V1, RekorVersion::V2] {
        let world = World::start(Options::default());
        let (signed, reference) = world.push("octo/app");
        world.sign(&reference, rekor).await;
        let other = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\nevil\n", Vec::new()));
        other.push(world.sandbox.registry(), "octo/app", "other");
        let policy = world.policy("require: {tag: true, repository: true}\n");
        let registry = world.sandbox.registry().clone();
        let digest = other.digest().to_owned();
        let move_tag: Arc<dyn Fn() + Send + Sync> = Arc::new(move || registry.set_tag("octo/app", "v1", &digest));
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::Before(move_tag)).path("/referrers/"));
        world.sandbox.clear_requests();
        let verdict = world.verify(&reference, &policy).await.unwrap();
        let Verdict::Verified(verified, _) = &verdict else { panic!("{verdict:?}") };
        assert_eq!(verified.digest().to_string(), signed.digest(), "what was resolved is what was verified");
        let by_tag = |path: &str| path.ends_with("/manifests/v1");
        let asked = world.sandbox.requests().iter().filter(|request| by_tag(&request.path)).count();
        assert_eq!(asked, 1, "the tag is resolved once");
        // Whoever asks now is told of the other image.
        assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()), ("rejected", "unsigned".into()));
        // And back again: the unsigned image is asked for, and the tag is on the signed one when its referrers are listed.
        let registry = world.sandbox.registry().clone();
        let digest = signed.digest().to_owned();
        let move_back: Arc<dyn Fn() + Send + Sync> = Arc::new(move || registry.set_tag("octo/app", "v1", &digest));
        world.sandbox.set_faults([Fault::new(Service::Registry, Action::Before(move_back)).path("/referrers/")]);
        world.sandbox.registry().set_tag("octo/app", "v1", other.digest());
        assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()), ("rejected", "unsigned".into()));
    }
}

#[tokio::test]
async fn a_child_that_was_exchanged_below_a_signed_index_is_refused() {
    let world = World::start(Options::default());
    let (signed, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let policy = world.policy("");
    let child = signed.digests()[1].clone();
    let mut asked = pinned(&reference, &signed);
    asked.reference = reference.repository().pin(child.parse().unwrap());
    assert_eq!(outcome(&world.verify_asked(&asked, &policy).await.unwrap()).0, "verified");

    // An index that was not signed, with the signed child and one of somebody else's.
    let other = image::multi_platform(&ImageSpec::with_run_script("#!/bin/sh\nevil\n", Vec::new()));
    other.push(world.sandbox.registry(), "octo/app", "other");
    let stored = world.sandbox.registry().get_manifest("octo/app", signed.digest()).unwrap();
    let mut index: Value = serde_json::from_slice(&stored.bytes).unwrap();
    index["manifests"][0]["digest"] = json!(other.digests()[1]);
    world.sandbox.registry().put_manifest("octo/app", "v1", INDEX, index.to_string());
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()), ("rejected", "unsigned".into()));
    // The other child itself.
    asked.reference = reference.repository().pin(other.digests()[1].parse().unwrap());
    assert_eq!(outcome(&world.verify_asked(&asked, &policy).await.unwrap()), ("rejected", "unsigned".into()));
}

#[tokio::test]
async fn a_referrer_with_two_readings_is_refused() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    let registry = world.sandbox.registry();
    let layer = registry.put_blob("octo/app", "{}");
    let document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "manifests": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": layer, "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": layer, "size": 2}],
        "subject": {"mediaType": INDEX, "digest": image.digest(), "size": 1},
    });
    let bytes = document.to_string();
    registry.put_manifest("octo/app", &digest_of(bytes.as_bytes()), MANIFEST, bytes);
    let policy = world.policy("");
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()), ("rejected", "malformed-referrer".into()));
    world.sign(&reference, RekorVersion::V1).await;
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()).0, "verified", "it hides nothing");
}

#[tokio::test]
async fn a_digest_that_is_none_leads_nowhere() {
    let world = World::start(Options { referrers_api: false, ..Options::default() });
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let policy = world.policy("");
    let entry = |digest: &str| json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "artifactType": BUNDLE});
    let upper = image.digest().to_uppercase().replace("SHA256", "sha256");
    let entries = ["sha256:../../etc/passwd", "md5:00", &image.digest()[..70], &upper, "", "sha512:00"].map(entry);
    let tag = image.digest().replace(':', "-");
    let signed = world.sandbox.registry().get_manifest("octo/app", &tag).unwrap();
    let mut index: Value = serde_json::from_slice(&signed.bytes).unwrap();
    let good = index["manifests"][0].clone();
    index["manifests"] = json!(entries);
    world.sandbox.registry().put_manifest("octo/app", &tag, INDEX, index.to_string());
    world.sandbox.clear_requests();
    let verdict = world.verify_asked(&pinned(&reference, &image), &policy).await.unwrap();
    assert_eq!(outcome(&verdict).0, "undecided", "what cannot be read may be a signature");
    let paths: Vec<String> = world.sandbox.requests().iter().map(|request| request.path.clone()).collect();
    assert!(
        !paths.iter().any(|path| path.contains("..") || path.contains("md5") || path.contains("passwd")),
        "{paths:?}"
    );
    index["manifests"].as_array_mut().unwrap().push(good);
    world.sandbox.registry().put_manifest("octo/app", &tag, INDEX, index.to_string());
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()).0, "verified");
}

/// What nobody could read was not said: a script that goes on after it would go on without an answer.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_cannot_be_written_is_no_success() {
    let world = World::start(Options::default());
    let (_, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("trusted_root.json");
    std::fs::write(&root, world.sandbox.trusted_root()).unwrap();
    let exit = |format: &str, stdout: Stdio| {
        let image = reference.to_string();
        let identity = GithubIdentity::default().subject_alternative_name();
        let issuer = world.sandbox.oidc_issuer();
        let status = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
            .args(["verify", &image, "--trusted-root", root.to_str().unwrap(), "--output", format])
            .args(["--certificate-identity", &identity, "--certificate-oidc-issuer", &issuer])
            .env_clear()
            .env("HOME", folder.path())
            .stdout(stdout)
            .stderr(Stdio::null())
            .status();
        status.unwrap().code()
    };
    for format in ["text", "json"] {
        assert_eq!(exit(format, Stdio::null()), Some(0));
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let code = exit(format, full.into());
        assert!(!matches!(code, Some(0 | 3)), "{format}: {code:?}");
    }
}
