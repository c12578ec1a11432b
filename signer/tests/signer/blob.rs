//! Files, and statements that somebody else wrote: signed on the sandbox, judged by the verifier's `Blob` profile.

use std::sync::Arc;
use std::time::Duration;

use countersign_oci::Digest;
use countersign_signer::SignError;
use countersign_signer::blob::{BlobSigner, SignedBlob};
use countersign_verifier::blob::{Artifact, BlobContent, ExpectedSigner, ManagedKey};
use countersign_verifier::{Evidence, TrustedRoot, Verdict, Verifier};
use sandbox::{GithubIdentity, RekorVersion, Service};
use serde_json::{Value, json};

use crate::world::{REPOSITORY, World, now};

const FILE: &[u8] = b"a file\n";
const PREDICATE: &str = "https://example.com/predicate/v1";
const FOREIGN_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWRsyGtnnFQC2Mp9hDeGf8bjGPmJD
oldkZFtF2ZrRQSDVmF+KENsfX+JB8APKkv41PLWBM2Y6RhCN0LSGQ7UB5A==
-----END PUBLIC KEY-----
";

fn signer(world: &World, rekor: RekorVersion) -> BlobSigner {
    BlobSigner {
        services: world.services(rekor, Duration::from_secs(20)),
        identity: world.ambient(&GithubIdentity::default()),
        verifier: Arc::new(world.verifier()),
    }
}

fn statement() -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "file.txt", "digest": {"sha256": Digest::of(FILE).hex()}}],
        "predicateType": PREDICATE,
        "predicate": {"spaces": "stay as they are"},
    });
    serde_json::to_vec_pretty(&statement).unwrap()
}

fn entry_of(signed: &SignedBlob) -> (String, String) {
    let bundle: Value = serde_json::from_slice(&signed.bundle.json).unwrap();
    let kind = &bundle["verificationMaterial"]["tlogEntries"][0]["kindVersion"];
    (kind["kind"].as_str().unwrap().to_owned(), kind["version"].as_str().unwrap().to_owned())
}

/// The bundle is accepted for the file by its digest and by its bytes, and for nothing and nobody else.
fn assert_accepted_for_the_file_alone(world: &World, signed: &SignedBlob) {
    let verifier = world.verifier();
    let policy = world.policy("");
    let expected = ExpectedSigner::Policy(&policy);
    let judge = |artifact, signer| verifier.verify_blob(artifact, &signed.bundle.json, signer, now());
    let refusal = |artifact, signer| judge(artifact, signer).unwrap_err().code();

    let proof = judge(Artifact::Bytes(FILE), expected).unwrap();
    assert_eq!(proof.digest(), Digest::of(FILE));
    assert_eq!(judge(Artifact::Digest(Digest::of(FILE)), expected).unwrap().times(), proof.times());

    let other = refusal(Artifact::Bytes(b"another file\n"), expected);
    assert!(["artifact-mismatch", "subject-mismatch"].contains(&other), "{other}");
    assert_eq!(refusal(Artifact::Digest(Digest::of(b"another file\n")), expected), other);

    let key = ManagedKey::from_pem(FOREIGN_KEY).unwrap();
    assert_eq!(refusal(Artifact::Bytes(FILE), ExpectedSigner::ManagedKey(&key)), "managed-key-unused");
    let stranger = world.policy("not_before: 2099-01-01T00:00:00Z\n");
    assert_eq!(refusal(Artifact::Bytes(FILE), ExpectedSigner::Policy(&stranger)), "policy-denied");
}

#[tokio::test]
async fn a_signed_file_is_accepted_for_its_digest_and_signer_alone() {
    let world = World::start();
    for (rekor, version) in [(RekorVersion::V1, "0.0.1"), (RekorVersion::V2, "0.0.2")] {
        let signed = signer(&world, rekor).sign_file(FILE).await.unwrap();
        assert_eq!(entry_of(&signed), ("hashedrekord".to_owned(), version.to_owned()));
        assert_eq!(*signed.proof.content(), BlobContent::File);
        assert_accepted_for_the_file_alone(&world, &signed);
    }
}

#[tokio::test]
async fn a_given_statement_is_signed_byte_for_byte_and_accepted_for_its_subject_alone() {
    let world = World::start();
    for (rekor, entry) in [(RekorVersion::V1, ("dsse", "0.0.1")), (RekorVersion::V2, ("hashedrekord", "0.0.2"))] {
        let signed = signer(&world, rekor).sign_statement(&statement()).await.unwrap();
        assert_eq!(entry_of(&signed), (entry.0.to_owned(), entry.1.to_owned()));
        let content =
            BlobContent::Statement { predicate_type: PREDICATE.to_owned(), names: vec!["file.txt".to_owned()] };
        assert_eq!(*signed.proof.content(), content);
        let bundle = sigstore_types::Bundle::from_json(std::str::from_utf8(&signed.bundle.json).unwrap()).unwrap();
        let sigstore_types::SignatureContent::DsseEnvelope(envelope) = bundle.content else { panic!("no envelope") };
        assert_eq!(envelope.payload.as_bytes(), statement());
        assert_accepted_for_the_file_alone(&world, &signed);
    }
}

#[tokio::test]
async fn the_signature_of_somebody_else_is_refused() {
    let world = World::start();
    let identity = GithubIdentity { repository: "mallory/app".to_owned(), ..GithubIdentity::default() };
    let signer = BlobSigner { identity: world.ambient(&identity), ..signer(&world, RekorVersion::V1) };
    let signed = signer.sign_file(FILE).await.unwrap();
    let policy = world.policy("");
    let refused = world
        .verifier()
        .verify_blob(Artifact::Bytes(FILE), &signed.bundle.json, ExpectedSigner::Policy(&policy), now())
        .unwrap_err();
    assert_eq!(refused.code(), "policy-denied");
}

#[tokio::test]
async fn a_statement_that_consumers_would_not_read_costs_nothing() {
    let world = World::start();
    for text in [
        &b"a file\n"[..],
        b"{}",
        b"{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"x\",\"subject\":[]}",
    ] {
        let error = signer(&world, RekorVersion::V1).sign_statement(text).await.unwrap_err();
        assert!(matches!(error, SignError::StatementMalformed { .. }), "{error}");
    }
    assert_eq!(world.count(Service::Fulcio), 0);
    assert_eq!(world.count(Service::RekorV1), 0);
}

#[tokio::test]
async fn what_consumers_would_refuse_is_not_handed_out() {
    let world = World::start();
    let elsewhere = TrustedRoot::embedded_public_good().unwrap();
    let verifier = Arc::new(Verifier::new(elsewhere).unwrap());
    let signer = BlobSigner { verifier, ..signer(&world, RekorVersion::V2) };
    let error = signer.sign_file(FILE).await.unwrap_err();
    assert!(matches!(error, SignError::BlobRejected { .. }), "{error}");
    assert_eq!(error.code(), "self-verification-rejected");
}

#[tokio::test]
async fn a_signed_file_is_never_the_signature_of_an_image() {
    let world = World::start();
    let digest = world.image.digest();
    let manifest = world.sandbox.registry().get_manifest(REPOSITORY, digest).unwrap().bytes;
    let signed = signer(&world, RekorVersion::V2).sign_file(&manifest).await.unwrap();
    let asked = countersign_verifier::Asked { reference: world.pinned(REPOSITORY, digest), tag: None };
    let evidence = Evidence::from_bundles([signed.bundle.json]);
    match world.verifier().verify(&asked, &evidence, &world.policy(""), now()).unwrap() {
        Verdict::Rejected(findings) => {
            assert_eq!(findings.candidates[0].outcome.as_ref().unwrap_err().code(), "message-signature");
        }
        other => panic!("{other:?}"),
    }
}
