//! The command that signs a gallery index.

use countersign_oci::Digest;
use countersign_policy::{GALLERY_INDEX_PREDICATE, GalleryIndexTerms};
use countersign_verifier::blob::{Artifact, BlobContent, ExpectedSigner};
use sigstore_types::{Bundle, SignatureContent};

use crate::program::{Job, json, text};
use crate::world::{World, now};

const INDEX: &[u8] = b"- name: app\n  uri: oci://ghcr.io/octo/app:v1\n";

fn sign(job: &Job<'_>, further: &[&str]) -> std::process::Output {
    let index = job.folder.path().join("index.yaml");
    if !index.exists() {
        std::fs::write(&index, INDEX).unwrap();
    }
    job.run_command("sign-index", &[&[index.to_str().unwrap()], further].concat(), b"")
}

#[test]
fn an_index_is_signed_with_its_serial_end_and_cutoffs() {
    let world = World::start();
    let job = Job::in_github(&world);
    let denied = Digest::of(b"withdrawn").to_string();
    let cutoffs = ["--not-before", "2026-01-01T00:00:00Z", "--deny-digest", &denied, "--deny-log-entry", &denied];
    let flags = ["--serial", "42", "--expires", "2099-01-01T00:00:00Z", "--output", "json"];
    let output = sign(&job, &[&flags[..], &cutoffs].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = json(&output);
    assert_eq!(document["schema"], "countersign.dev/sign-index/v1");
    assert_eq!(document["terms"]["serial"], 42);
    assert_eq!(document["files"][0]["digest"], Digest::of(INDEX).to_string());
    let command = document["files"][0]["verify_command"].as_str().unwrap();
    assert!(command.starts_with("cosign verify-blob-attestation --type https://countersign.dev/"), "{command}");

    let bundle = std::fs::read(job.folder.path().join("index.yaml.sigstore.json")).unwrap();
    let (policy, verifier) = (world.policy(""), world.verifier());
    let verify = |bytes| verifier.verify_blob(Artifact::Bytes(bytes), &bundle, ExpectedSigner::Policy(&policy), now());
    let proof = verify(INDEX).unwrap();
    let content = BlobContent::Statement {
        predicate_type: GALLERY_INDEX_PREDICATE.to_owned(),
        names: vec!["index.yaml".to_owned()],
    };
    assert_eq!(*proof.content(), content);
    assert_eq!(verify(b"another").unwrap_err().code(), "subject-mismatch");

    let bundle = Bundle::from_json(text(&bundle)).unwrap();
    let SignatureContent::DsseEnvelope(envelope) = bundle.content else { panic!("no envelope") };
    let statement: serde_json::Value = serde_json::from_slice(envelope.payload.as_bytes()).unwrap();
    let terms = GalleryIndexTerms::from_json(statement["predicate"].to_string().as_bytes()).unwrap();
    assert_eq!((terms.serial(), terms.expires()), (42, "2099-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(terms.cutoffs().not_before, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(terms.cutoffs().denied_digests, [denied.clone()].into());
    assert_eq!(terms.cutoffs().denied_log_entries, [denied].into());
}

#[test]
fn people_are_told_the_serial_and_the_end() {
    let world = World::start();
    let output = sign(&Job::in_github(&world), &["--serial", "1", "--expires", "30d"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("serial 1, expires 20"), "{output:?}");
}

#[test]
fn what_no_gallery_would_believe_costs_nothing() {
    let world = World::start();
    let job = Job::in_github(&world);
    let digest = Digest::of(b"x").hex();
    let table: [(&[&str], &str); 8] = [
        (&["--serial", "1"], "usage"),
        (&["--expires", "30d"], "usage"),
        (&["--serial", "-1", "--expires", "30d"], "usage"),
        (&["--serial", "1", "--expires", "soon"], "usage"),
        (&["--serial", "1", "--expires", "30d", "--deny-digest", &digest], "usage"),
        (&["--serial", "0", "--expires", "30d"], "serial"),
        (&["--serial", "1", "--expires", "2020-01-01T00:00:00Z"], "index-expired"),
        (&["--serial", "1", "--expires", "30d", "--not-before", "2099-01-01T00:00:00Z"], "cutoff-in-the-future"),
    ];
    for (flags, code) in table {
        let output = sign(&job, &[flags, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {output:?}");
        let document = json(&output);
        let found = if code == "usage" { &document["error"]["code"] } else { &document["errors"][0]["code"] };
        assert_eq!(found, code, "{flags:?}");
    }
    std::fs::write(job.folder.path().join("index.yaml"), b"\xff").unwrap();
    let output = sign(&job, &["--serial", "1", "--expires", "30d", "--output", "json"]);
    assert_eq!(json(&output)["errors"][0]["code"], "index-not-text");
    assert!(world.sandbox.requests().is_empty());
    assert!(!job.folder.path().join("index.yaml.sigstore.json").exists());
}

#[test]
fn the_index_of_before_keeps_its_bundle_unless_told() {
    let world = World::start();
    let job = Job::in_github(&world);
    let flags = ["--serial", "1", "--expires", "30d"];
    assert_eq!(sign(&job, &flags).status.code(), Some(0));
    assert_eq!(sign(&job, &flags).status.code(), Some(2));
    assert_eq!(sign(&job, &["--serial", "2", "--expires", "30d", "--force"]).status.code(), Some(0));
    let index = job.folder.path().join("index.yaml");
    let over = ["--serial", "3", "--expires", "30d", "--force", "--bundle", index.to_str().unwrap()];
    assert_eq!(sign(&job, &over).status.code(), Some(2));
    assert_eq!(std::fs::read(&index).unwrap(), INDEX);
}
