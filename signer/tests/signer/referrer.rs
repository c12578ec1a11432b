//! The referrer manifest's bytes, compared with cosign's.

use std::path::Path;

use countersign_oci::Digest;
use countersign_signer::referrer::ReferrerManifest;
use countersign_signer::subjects::{Subject, SubjectKind};

fn subject() -> Subject {
    Subject {
        digest: Digest::of(b"the image index"),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        size: 15,
        kind: SubjectKind::Index,
        platform: None,
    }
}

fn manifest() -> ReferrerManifest {
    ReferrerManifest::new(&subject(), b"the bundle", "2026-11-23T18:18:06.789Z".parse().unwrap())
}

#[test]
fn referrer_bytes_are_laid_out_as_cosign_does_it() {
    let expected = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""config":{{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"#,
            r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
            r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}},"#,
            r#""layers":[{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","size":10,"digest":"{bundle}"}}],"#,
            r#""annotations":{{"dev.sigstore.bundle.content":"dsse-envelope","#,
            r#""dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1","#,
            r#""org.opencontainers.image.created":"2026-11-23T18:18:06Z"}},"#,
            r#""subject":{{"mediaType":"application/vnd.oci.image.index.v1+json","size":15,"digest":"{subject}"}},"#,
            r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json"}}"#,
        ),
        bundle = Digest::of(b"the bundle"),
        subject = Digest::of(b"the image index"),
    );
    let manifest = manifest();
    assert_eq!(std::str::from_utf8(&manifest.bytes).unwrap(), expected);
    assert_eq!(manifest.digest, Digest::of(expected.as_bytes()));
}

#[test]
fn the_tag_schema_entry_has_artifact_type_and_annotations() {
    let manifest = manifest();
    let descriptor = manifest.descriptor();
    assert_eq!(descriptor.media_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(descriptor.digest, manifest.digest);
    assert_eq!(descriptor.size, manifest.bytes.len() as u64);
    assert_eq!(descriptor.artifact_type.as_deref(), Some("application/vnd.dev.sigstore.bundle.v0.3+json"));
    assert_eq!(descriptor.annotations["dev.sigstore.bundle.content"], "dsse-envelope");
    assert_eq!(descriptor.annotations.len(), 3);
}

/// The keys of a document in their order, with the path to each.
fn keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let after = &rest[start + 1..];
        let end = after.find('"').unwrap();
        if after[end + 1..].starts_with(':') {
            keys.push(after[..end].to_owned());
        }
        rest = &after[end + 1..];
    }
    keys
}

#[test]
fn keys_come_in_the_order_of_a_manifest_that_cosign_wrote() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-bundles");
    // The manifests of peers lie outside the repository; the literal above stands for them elsewhere.
    let Ok(real) = std::fs::read_to_string(folder.join("cosign-3.1.2-real.manifest.json")) else { return };
    assert_eq!(keys(std::str::from_utf8(&manifest().bytes).unwrap()), keys(&real));
}
