//! Registries without a referrers API: the list of referrers is a tag that everybody writes.

use sandbox::RekorVersion;
use serde_json::{Value, json};

use crate::world::{REPOSITORY, World};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn tag_of(digest: &str) -> String {
    digest.replace(':', "-")
}

fn listed(world: &World, digest: &str) -> Vec<Value> {
    let manifest = world.sandbox.registry().get_manifest(REPOSITORY, &tag_of(digest)).unwrap();
    let index: Value = serde_json::from_slice(&manifest.bytes).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn two_concurrent_signers_lose_nothing() {
    let world = World::in_mode(false);
    let (first, second) = (world.signer(RekorVersion::V1), world.signer(RekorVersion::V2));
    let request = world.request(&["octo/app:v1"]);
    let (one, two) = tokio::join!(first.sign(&request), second.sign(&request));
    let (one, two) = (one.unwrap(), two.unwrap());
    for digest in world.image.digests() {
        let entries = listed(&world, &digest);
        assert_eq!(entries.len(), 2, "{entries:?}");
        for report in [&one, &two] {
            let subject = report.statements[0]
                .subjects
                .iter()
                .find(|subject| subject.reference.digest().to_string() == digest)
                .unwrap();
            let referrer = subject.referrer.unwrap().to_string();
            assert!(entries.iter().any(|entry| entry["digest"] == referrer.as_str()));
        }
    }
}

#[tokio::test]
async fn a_foreign_entry_is_kept_and_ours_is_described_in_full() {
    let world = World::in_mode(false);
    let foreign = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": world.image.attestations[0].digest,
        "size": world.image.attestations[0].bytes.len(),
        "artifactType": "application/spdx+json",
        "x-unknown": {"kept": true},
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [foreign]});
    let digest = world.image.digest();
    world.sandbox.registry().put_manifest(REPOSITORY, &tag_of(digest), INDEX, index.to_string());
    world.sign(&["octo/app:v1"]).await.unwrap();
    let entries = listed(&world, digest);
    assert_eq!(entries.len(), 2);
    assert!(entries.contains(&foreign), "{entries:?}");
    let ours = entries.iter().find(|entry| **entry != foreign).unwrap();
    assert_eq!(ours["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert_eq!(ours["annotations"]["dev.sigstore.bundle.predicateType"], "https://sigstore.dev/cosign/sign/v1");
}
