//! Attestations: the same walk as signatures, stored as cosign stores them, and never taken for one.

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::Digest;
use countersign_signer::SignError;
use countersign_signer::predicate::Predicate;
use countersign_verifier::blob::{Artifact, BlobContent, ExpectedSigner};
use countersign_verifier::{TrustedRoot, Verdict, Verifier};
use sandbox::{RekorVersion, Service};
use serde_json::{Value, json};

use crate::program::{Job, json, text};
use crate::world::{REPOSITORY, World, now};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

fn predicate() -> Predicate {
    let kind = "slsaprovenance1".parse().unwrap();
    Predicate::new(kind, br#"{ "buildDefinition": {"buildType": "https://example.com/build/v1"} }"#, now()).unwrap()
}

fn statement(world: &World, referrer: &Digest) -> Value {
    let bundle = world.bundle(referrer);
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn manifest(world: &World, referrer: &Digest) -> Value {
    let manifest = world.sandbox.registry().get_manifest(REPOSITORY, &referrer.to_string()).unwrap();
    serde_json::from_slice(&manifest.bytes).unwrap()
}

#[tokio::test]
async fn an_index_and_everything_in_it_are_attested_in_one_statement() {
    for (referrers_api, rekor) in [(true, RekorVersion::V2), (false, RekorVersion::V1)] {
        let world = World::in_mode(referrers_api);
        let report = world.signer(rekor).attest(&world.request(&["octo/app:v1"]), &predicate()).await.unwrap();
        assert_eq!(report.statements.len(), 1);
        assert_eq!(world.count(Service::Fulcio), 1);
        for digest in world.image.digests() {
            let referrers = world.referrers(REPOSITORY, &digest).await;
            assert_eq!(referrers.len(), 1, "{digest}");
            let manifest = manifest(&world, &referrers[0]);
            assert_eq!(manifest["annotations"]["dev.sigstore.bundle.predicateType"], PROVENANCE);
            assert_eq!(manifest["annotations"]["dev.sigstore.bundle.content"], "dsse-envelope");
            let statement = statement(&world, &referrers[0]);
            assert_eq!(statement["predicateType"], PROVENANCE);
            assert_eq!(
                statement["predicate"],
                json!({"buildDefinition": {"buildType": "https://example.com/build/v1"}})
            );
            let name = world.pinned(REPOSITORY, &digest).to_string();
            let subjects = statement["subject"].as_array().unwrap();
            let subject = subjects.iter().find(|subject| subject["name"] == name.as_str()).unwrap();
            assert_eq!(subject["annotations"]["dev.countersign.tags"], "v1");

            let bundle = world.bundle(&referrers[0]).to_string();
            let policy = world.policy("");
            let artifact = Artifact::Digest(digest.parse().unwrap());
            let signer = ExpectedSigner::Policy(&policy);
            let proof = world.verifier().verify_blob(artifact, bundle.as_bytes(), signer, now()).unwrap();
            assert!(
                matches!(proof.content(), BlobContent::Statement { predicate_type, .. } if predicate_type == PROVENANCE)
            );
        }
    }
}

#[tokio::test]
async fn an_attestation_is_never_the_signature_of_an_image() {
    let world = World::start();
    let request = world.request(&["octo/app:v1"]);
    world.signer(RekorVersion::V2).attest(&request, &predicate()).await.unwrap();
    let pinned = world.pinned(REPOSITORY, world.image.digest());
    match world.verify(&pinned, None, &world.policy("")).await {
        Verdict::Rejected(findings) => {
            assert_eq!(findings.candidates[0].outcome.as_ref().unwrap_err().code(), "not-a-signature");
        }
        other => panic!("{other:?}"),
    }
    // Nor does it keep the image from being signed.
    let report = world.signer(RekorVersion::V2).sign(&request).await.unwrap();
    assert!(report.signed_already.is_empty());
    assert!(matches!(world.verify(&pinned, Some("v1"), &world.policy("")).await, Verdict::Verified(..)));
}

#[tokio::test]
async fn what_consumers_would_refuse_is_not_attached() {
    let world = World::start();
    let mut signer = world.signer(RekorVersion::V2);
    signer.verifier = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap().into();
    let failure = signer.attest(&world.request(&["octo/app:v1"]), &predicate()).await.unwrap_err();
    assert!(matches!(failure.errors[..], [SignError::BlobRejected { .. }]), "{failure}");
    world.assert_nothing_attached();
}

#[tokio::test]
async fn a_predicate_that_fits_into_no_bundle_costs_nothing() {
    let world = World::start();
    let content = format!(r#"{{"packages":"{}"}}"#, "x".repeat(700 << 10));
    let predicate = Predicate::new("spdxjson".parse().unwrap(), content.as_bytes(), now()).unwrap();
    let failure =
        world.signer(RekorVersion::V2).attest(&world.request(&["octo/app:v1"]), &predicate).await.unwrap_err();
    assert!(matches!(failure.errors[..], [SignError::StatementTooLarge { .. }]), "{failure}");
    assert_eq!((world.count(Service::Fulcio), world.count(Service::RekorV2)), (0, 0));
    world.assert_nothing_attached();
}

fn attest(job: &Job<'_>, world: &World, further: &[&str], input: &[u8]) -> Output {
    let reference = world.reference("octo/app:v1").to_string();
    job.run_command("attest", &[&[reference.as_str()], further].concat(), input)
}

#[test]
fn the_program_says_how_to_verify_what_it_attested() {
    let world = World::start();
    let job = Job::in_github(&world);
    let flags = ["--type", "spdxjson", "--predicate", "-", "--index-only", "--output", "json"];
    let output = attest(&job, &world, &flags, br#"{"spdxVersion": "SPDX-2.3"}"#);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = json(&output);
    assert_eq!((&document["schema"], &document["result"]), (&"countersign.dev/attest/v1".into(), &"signed".into()));
    assert_eq!(document["predicate_type"], "https://spdx.dev/Document");
    assert_eq!(document["statements"][0]["subjects"].as_array().unwrap().len(), 1);
    let command = document["verify_command"].as_str().unwrap();
    assert!(command.starts_with("cosign verify-attestation --type https://spdx.dev/Document --cert"), "{command}");
    assert!(command.ends_with(&world.pinned(REPOSITORY, world.image.digest()).to_string()), "{command}");
    assert_eq!(world.sandbox.registry().referrers(REPOSITORY, world.image.digest()).len(), 1);
}

#[test]
fn what_cannot_be_said_costs_nothing() {
    let world = World::start();
    let job = Job::in_github(&world);
    let file = job.folder.path().join("predicate");
    std::fs::write(&file, r#"{"a":1,"a":2}"#).unwrap();
    let file = file.to_str().unwrap();
    let table: [(&[&str], &str); 6] = [
        (&["--type", "spdxjson", "--predicate", file], "predicate-malformed"),
        (&["--type", "spdxjson", "--predicate", "/nonexistent"], "predicate-unreadable"),
        (&["--type", "provenance", "--predicate", "-"], "predicate-type"),
        (&["--type", "https://sigstore.dev/cosign/sign/v1", "--predicate", "-"], "predicate-type"),
        (&["--type", "vuln", "--predicate", "-", "-"], "standard-input-twice"),
        (&["--type", "vuln", "--predicate", "-", "--require-digest"], "digest-required"),
    ];
    for (flags, code) in table {
        let output = attest(&job, &world, &[flags, &["--output", "json"]].concat(), b"{}");
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {output:?}");
        let document = json(&output);
        assert_eq!(document["errors"][0]["code"], code, "{flags:?}");
        assert_eq!(document["result"], "failed");
    }
    assert_eq!(attest(&job, &world, &["--type", "vuln"], b"").status.code(), Some(2));
    let help = job.run(&["attest", "--help"]);
    assert!(text(&help.stdout).contains("slsaprovenance1") && !text(&help.stdout).contains("--self-verify"));
    assert_eq!((world.count(Service::Fulcio), world.count(Service::RekorV2)), (0, 0));
    world.assert_nothing_attached();
}
