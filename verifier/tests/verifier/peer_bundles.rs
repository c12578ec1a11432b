//! Bundles and manifests written by real cosign, sigstore-python, Fulcio and Rekor, kept beside the project.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use countersign_oci::index::Manifest;
use countersign_oci::{Digest, PinnedReference};
use countersign_policy::Policy;
use countersign_verifier::evidence::{Content, Evidence, bundle_layer};
use countersign_verifier::reason::OlderForm;
use countersign_verifier::{Asked, TrustedRoot, Verdict, Verifier};
use jiff::Timestamp;

pub(crate) const ISSUER: &str = "http://127.0.0.1:18080";
pub(crate) const WORKFLOW: &str = "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main";
const PERSON: &str = "foo@bar.com";

/// Each signature with the trusted root that it was made under.
const SIGNATURES: [(&str, &str, &str); 10] = [
    ("batch-sigstore-python-replica-v1", "replica", PERSON),
    ("batch-sigstore-python-replica-v2", "replica", PERSON),
    ("cosign-2.6.0-replica-referrers", "replica", WORKFLOW),
    ("cosign-2.6.0-replica-tagschema", "replica", WORKFLOW),
    ("cosign-3.1.2-real", "real", WORKFLOW),
    ("cosign-3.1.2-real-annotations", "real", WORKFLOW),
    ("cosign-3.1.2-rekor1", "rekor1", WORKFLOW),
    ("cosign-3.1.2-rekor1-first-entry", "rekor1", WORKFLOW),
    ("cosign-3.1.2-replica-v1", "replica", WORKFLOW),
    ("cosign-3.1.2-replica-v2", "replica", WORKFLOW),
];

pub(crate) struct PeerBundles {
    folder: PathBuf,
}

impl PeerBundles {
    /// Returns nothing, and says so, where the inputs are not there.
    pub(crate) fn find() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-bundles");
        if folder.is_dir() {
            return Some(Self { folder });
        }
        println!("skipped: the bundles of real peers are not beside this project");
        None
    }

    pub(crate) fn read(&self, name: &str) -> Bytes {
        fs::read(self.folder.join(name)).unwrap().into()
    }

    pub(crate) fn subject(&self, case: &str) -> Digest {
        let subjects = String::from_utf8(self.read("subjects.txt").to_vec()).unwrap();
        let line = subjects.lines().find_map(|line| line.strip_prefix(&format!("{case} "))).unwrap();
        line.trim().parse().unwrap()
    }

    pub(crate) fn verifier(&self, root: &str) -> Verifier {
        let text = String::from_utf8(self.read(&format!("trusted_root.{root}.json")).to_vec()).unwrap();
        Verifier::new(TrustedRoot::from_json(&text, root).unwrap()).unwrap()
    }
}

pub(crate) fn policy(issuer: &str, identity: &str) -> Policy {
    let text = format!("version: 1\nsigners:\n  - name: peer\n    issuer: {issuer}\n    identity: {identity}\n");
    Policy::from_yaml("test", &text).unwrap()
}

fn asked(digest: Digest) -> Asked {
    let repository = "registry.example/octo/app".parse().unwrap();
    Asked { reference: PinnedReference::new(repository, digest), tag: None }
}

/// The machine's time: the library compares verified times with the system's clock too.
#[expect(clippy::disallowed_methods, reason = "the bundles were signed by real clocks")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn judge(verifier: &Verifier, bundle: &Bytes, digest: Digest, policy: &Policy) -> Result<(), String> {
    let evidence = Evidence::from_bundles([bundle.clone()]);
    match verifier.verify(&asked(digest), &evidence, policy, now()).unwrap() {
        Verdict::Verified(image, _) => {
            assert_eq!(image.digest(), digest);
            Ok(())
        }
        Verdict::Rejected(findings) => Err(findings.candidates[0].outcome.as_ref().unwrap_err().code().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn signatures_of_real_peers_are_accepted_for_their_subject_and_nothing_else() {
    let Some(peers) = PeerBundles::find() else { return };
    for (case, root, identity) in SIGNATURES {
        let bundle = peers.read(&format!("{case}.bundle.json"));
        let digest = peers.subject(case);
        let verifier = peers.verifier(root);
        let accepted = policy(ISSUER, identity);
        assert_eq!(judge(&verifier, &bundle, digest, &accepted), Ok(()), "{case}");

        let other = Digest::of(case.as_bytes());
        assert_eq!(judge(&verifier, &bundle, other, &accepted), Err("subject-mismatch".into()), "{case}");
        let identity = identity.replace("octo/app", "octo/app2").replace("foo@", "fop@");
        assert_eq!(
            judge(&verifier, &bundle, digest, &policy(ISSUER, &identity)),
            Err("policy-denied".into()),
            "{case}"
        );
        let issuer = "http://127.0.0.1:18081";
        assert_eq!(
            judge(&verifier, &bundle, digest, &policy(issuer, &identity)),
            Err("policy-denied".into()),
            "{case}"
        );
    }
}

#[test]
fn a_signature_made_under_another_trusted_root_is_refused() {
    let Some(peers) = PeerBundles::find() else { return };
    for (case, root, identity) in SIGNATURES {
        let bundle = peers.read(&format!("{case}.bundle.json"));
        let digest = peers.subject(case);
        for other in ["real", "rekor1", "replica"].into_iter().filter(|other| *other != root) {
            let refused = judge(&peers.verifier(other), &bundle, digest, &policy(ISSUER, identity)).unwrap_err();
            let of_the_root =
                ["certificate-untrusted", "timestamp-invalid", "inclusion-promise-invalid", "log-unknown"];
            assert!(of_the_root.contains(&refused.as_str()), "{case} under {other}: {refused}");
        }
        let embedded = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap();
        assert!(judge(&embedded, &bundle, digest, &policy(ISSUER, identity)).is_err(), "{case}");
    }
}

#[test]
fn an_attestation_is_not_a_signature() {
    let Some(peers) = PeerBundles::find() else { return };
    // The second is what its tag schema lists last: an attestation beside a signature.
    for case in ["cosign-3.1.2-real-attest", "cosign-3.1.2-real-tagschema"] {
        let bundle = peers.read(&format!("{case}.bundle.json"));
        let refused = judge(&peers.verifier("real"), &bundle, peers.subject(case), &policy(ISSUER, WORKFLOW));
        assert_eq!(refused, Err("not-a-signature".into()), "{case}");
    }
}

#[test]
fn signed_annotations_can_be_required() {
    let Some(peers) = PeerBundles::find() else { return };
    let bundle = peers.read("cosign-3.1.2-real-annotations.bundle.json");
    let digest = peers.subject("cosign-3.1.2-real-annotations");
    let with = |build: &str| {
        let text = format!(
            "version: 1\nsigners:\n  - name: peer\n    issuer: {ISSUER}\n    identity: {WORKFLOW}\n\
             require:\n  annotations:\n    build: \"{build}\"\n"
        );
        judge(&peers.verifier("real"), &bundle, digest, &Policy::from_yaml("test", &text).unwrap())
    };
    assert_eq!(with("77"), Ok(()));
    assert_eq!(with("78"), Err("policy-denied".into()));
}

#[test]
fn every_referrer_manifest_leads_to_its_bundle_and_the_older_forms_are_named() {
    let Some(peers) = PeerBundles::find() else { return };
    for entry in fs::read_dir(&peers.folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(case) = name.strip_suffix(".manifest.json") else { continue };
        let Manifest::Image(manifest) = Manifest::parse(&peers.read(&name), None).unwrap() else { panic!("{name}") };
        let subject = peers.subject(case);
        match bundle_layer(&manifest, subject) {
            Ok(layer) => {
                let bundle = peers.read(&format!("{case}.bundle.json"));
                assert_eq!(layer.digest, Digest::of(&bundle), "{case}");
                assert!(bundle_layer(&manifest, Digest::of(b"another")).is_err(), "{case}");
            }
            Err(Content::OlderCosign(OlderForm::Referrer)) => assert_eq!(case, "cosign-2.4.1-referrer"),
            // The tag form names no subject: it is found by its tag, not as a referrer.
            Err(Content::NotABundle(_)) => assert_eq!(case, "cosign-2.4.1-sigtag"),
            Err(other) => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn one_changed_byte_of_a_bundle_never_verifies_as_something_else() {
    let Some(peers) = PeerBundles::find() else { return };
    let case = "cosign-3.1.2-real";
    let verifier = peers.verifier("real");
    let digest = peers.subject(case);
    let accepted = policy(ISSUER, WORKFLOW);
    let mut bundle: serde_json::Value = serde_json::from_slice(&peers.read(&format!("{case}.bundle.json"))).unwrap();
    assert_eq!(judge(&verifier, &bundle.to_string().into(), digest, &accepted), Ok(()));
    for pointer in [
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope",
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures/0/sig",
    ] {
        let whole = bundle.pointer(pointer).unwrap().clone();
        let text = whole.as_str().unwrap().to_owned();
        for position in [0, text.len() / 3, text.len() / 2, text.len() - 6] {
            let mut bytes = text.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            *bundle.pointer_mut(pointer).unwrap() = String::from_utf8(bytes).unwrap().into();
            let refused = judge(&verifier, &bundle.to_string().into(), digest, &accepted);
            assert!(refused.is_err(), "{pointer} changed at {position}");
        }
        *bundle.pointer_mut(pointer).unwrap() = whole;
    }
}

#[test]
fn a_signature_that_names_no_repository_is_refused_with_what_to_do_and_a_foreign_one_without() {
    let Some(peers) = PeerBundles::find() else { return };
    let (bundle, digest) = (peers.read("cosign-3.1.2-real.bundle.json"), peers.subject("cosign-3.1.2-real"));
    let refusal = |identity: &str| {
        let signer = format!("signers:\n  - name: peer\n    issuer: {ISSUER}\n    identity: {identity}\n");
        let policy = Policy::from_yaml("test", &format!("version: 1\n{signer}require:\n  repository: true\n")).unwrap();
        let evidence = Evidence::from_bundles([bundle.clone()]);
        match peers.verifier("real").verify(&asked(digest), &evidence, &policy, now()).unwrap() {
            Verdict::Rejected(findings) => findings.candidates[0].outcome.as_ref().unwrap_err().clone(),
            other => panic!("{other:?}"),
        }
    };
    let of_cosign = refusal(WORKFLOW);
    assert_eq!(of_cosign.code(), "policy-denied");
    assert!(of_cosign.hint().unwrap().contains("sign with countersign-signer"));
    assert_eq!(refusal(&WORKFLOW.replace("octo/app", "octo/app2")).hint(), None);
}
