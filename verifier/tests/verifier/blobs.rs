//! Files that are accepted, in every shape that their bundles may have.

use countersign_oci::Digest;
use countersign_verifier::blob::{Artifact, BlobContent, BlobSigner};
use sandbox::GithubIdentity;
use serde_json::json;

use crate::blob_bundles::{BUNDLES, FILE, PREDICATE, as_version, changed, entry};

#[test]
fn a_file_is_accepted_by_its_bytes_and_by_its_digest_and_says_who_signed() {
    for logged in BUNDLES.both() {
        let proof = BUNDLES.judge(&logged.file, Artifact::Bytes(FILE)).unwrap();
        assert_eq!(proof.digest(), Digest::of(FILE));
        assert_eq!(*proof.content(), BlobContent::File);
        assert!(!proof.times().is_empty());
        assert_eq!(proof.trusted_root(), "the sandbox");
        assert!(proof.policy_hash().is_some());
        let BlobSigner::Certificate { issuer, identity, source_repository, signers } = proof.signer() else {
            panic!("{:?}", proof.signer());
        };
        assert_eq!(*issuer, BUNDLES.issuer);
        assert_eq!(*identity, GithubIdentity::default().subject_alternative_name());
        assert_eq!(source_repository.as_deref(), Some("https://github.com/octo/app"));
        assert_eq!(*signers, ["release"]);

        let by_digest = BUNDLES.judge(&logged.file, Artifact::Digest(Digest::of(FILE))).unwrap();
        assert_eq!(by_digest.log_entry(), proof.log_entry());
    }
}

#[test]
fn a_statement_of_any_predicate_is_accepted_for_its_subject() {
    for logged in BUNDLES.both() {
        let proof = BUNDLES.judge(&logged.statement, Artifact::Bytes(FILE)).unwrap();
        let names = vec!["file.txt".to_owned()];
        assert_eq!(*proof.content(), BlobContent::Statement { predicate_type: PREDICATE.to_owned(), names });
        assert!(BUNDLES.judge(&logged.statement, Artifact::Digest(Digest::of(FILE))).is_ok());
    }
}

#[test]
fn every_version_of_bundle_is_read() {
    for bundle in [&BUNDLES.v1.file, &BUNDLES.v1.statement] {
        for version in ["0.1", "0.2"] {
            let older = as_version(bundle, version);
            assert!(BUNDLES.judge(&older, Artifact::Bytes(FILE)).is_ok(), "{version}");
        }
    }
    for bundle in [&BUNDLES.v2.file, &BUNDLES.v2.statement] {
        assert!(BUNDLES.judge(&as_version(bundle, "0.2"), Artifact::Bytes(FILE)).is_ok());
        let early = changed(bundle, |bundle| {
            bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.3");
        });
        assert!(BUNDLES.judge(&early, Artifact::Bytes(FILE)).is_ok());
    }
}

#[test]
fn a_file_signed_with_a_managed_key_is_accepted_by_that_key() {
    for logged in BUNDLES.both() {
        let proof = BUNDLES.judge_by_key(&logged.by_key, &BUNDLES.key).unwrap();
        assert_eq!(*proof.signer(), BlobSigner::ManagedKey { fingerprint: BUNDLES.key.fingerprint() });
        assert_eq!((proof.digest(), proof.policy_hash()), (Digest::of(FILE), None));
        assert!(!proof.times().is_empty());
    }
}

#[test]
fn what_is_only_a_hint_or_a_habit_of_a_writer_does_not_matter() {
    // The digest beside a signature is a hint.
    let without = changed(&BUNDLES.v2.file, |bundle| {
        bundle["messageSignature"].as_object_mut().unwrap().remove("messageDigest");
    });
    assert!(BUNDLES.judge(&without, Artifact::Bytes(FILE)).is_ok());
    // The key's hint is not believed.
    let hint = changed(&BUNDLES.v1.by_key, |bundle| bundle["verificationMaterial"]["publicKey"] = json!({}));
    assert!(BUNDLES.judge_by_key(&hint, &BUNDLES.key).is_ok());
    // The program `base64` breaks lines.
    let broken = changed(&BUNDLES.v2.file, |bundle| {
        let stamp = &mut crate::blob_bundles::timestamps(bundle)[0]["signedTimestamp"];
        let (head, tail) = stamp.as_str().unwrap().split_at(76);
        *stamp = json!(format!("{head}\n{tail}\r\n"));
    });
    assert!(BUNDLES.judge(&broken, Artifact::Bytes(FILE)).is_ok());
    // In version 0.2 and later a log's promise is not the only time.
    let stamped = changed(&BUNDLES.v1.file, |bundle| {
        entry(bundle).as_object_mut().unwrap().remove("inclusionPromise");
    });
    assert!(BUNDLES.judge(&stamped, Artifact::Bytes(FILE)).is_ok());
}
