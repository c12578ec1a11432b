//! Walking an index.

use countersign_oci::index::Manifest;
use countersign_oci::{Digest, PinnedReference};
use countersign_signer::error::SignError;
use countersign_signer::subjects::{Subject, SubjectKind, Walk};
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

fn entry(name: &str, media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(name.as_bytes()).to_string(), "size": name.len()})
}

fn index(entries: &[Value]) -> Manifest {
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    Manifest::parse(text.as_bytes(), None).unwrap()
}

fn start(name: &str) -> Walk {
    let digest = Digest::of(name.as_bytes());
    let root = PinnedReference::new("ghcr.io/octo/app".parse().unwrap(), digest);
    Walk::start(root, Subject::root(digest, INDEX, name.len() as u64, &index(&[])))
}

fn digests(walk: Walk) -> Vec<Digest> {
    walk.finish().iter().map(|subject| subject.digest).collect()
}

fn of(names: &[&str]) -> Vec<Digest> {
    names.iter().map(|name| Digest::of(name.as_bytes())).collect()
}

#[test]
fn nested_indexes_are_walked_depth_first_and_duplicates_come_once() {
    let mut walk = start("root");
    let entries = [entry("a", IMAGE), entry("nested", INDEX), entry("b", IMAGE), entry("a", IMAGE)];
    walk.read(Digest::of(b"root"), &index(&entries)).unwrap();
    assert_eq!(walk.to_read(), of(&["nested"]));
    walk.read(Digest::of(b"nested"), &index(&[entry("c", IMAGE), entry("a", IMAGE)])).unwrap();
    assert!(walk.to_read().is_empty());
    let mut probed = walk.to_probe();
    probed.sort();
    let mut expected = of(&["a", "b", "c"]);
    expected.sort();
    assert_eq!(probed, expected);
    assert_eq!(walk.parent(Digest::of(b"c")), Digest::of(b"nested"));
    assert_eq!(digests(walk), of(&["root", "a", "nested", "c", "b"]));
}

#[test]
fn buildkit_attestation_manifests_are_subjects_and_named() {
    let mut attestation = entry("attestation", IMAGE);
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let mut image = entry("image", IMAGE);
    image["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let mut walk = start("root");
    walk.read(Digest::of(b"root"), &index(&[image, attestation])).unwrap();
    let subjects = walk.finish();
    let kinds: Vec<SubjectKind> = subjects.iter().map(|subject| subject.kind).collect();
    assert_eq!(kinds, [SubjectKind::Index, SubjectKind::Image, SubjectKind::Attestation]);
    assert_eq!(subjects[1].platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
}

#[test]
fn an_image_manifest_is_its_own_only_subject() {
    let digest = Digest::of(b"image");
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.to_string(), "size": 5});
    let text = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": []}).to_string();
    let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
    let root = PinnedReference::new("ghcr.io/octo/app".parse().unwrap(), digest);
    let mut walk = Walk::start(root, Subject::root(digest, IMAGE, 5, &manifest));
    walk.read(digest, &manifest).unwrap();
    assert!(walk.to_read().is_empty() && walk.to_probe().is_empty());
    assert_eq!(digests(walk), [digest]);
}

#[test]
fn an_entry_that_is_no_manifest_is_refused_before_anything_is_signed() {
    let mut walk = start("root");
    let entries = [entry("a", IMAGE), entry("x", "application/vnd.docker.distribution.manifest.v1+prettyjws")];
    let error = walk.read(Digest::of(b"root"), &index(&entries)).unwrap_err();
    assert!(matches!(error, SignError::UnknownManifestType { child, .. } if child == Digest::of(b"x")));
}

#[test]
fn a_digest_described_in_two_ways_is_refused() {
    for second in [entry("a", INDEX), json!({"mediaType": IMAGE, "digest": Digest::of(b"a").to_string(), "size": 2})] {
        let mut walk = start("root");
        let error = walk.read(Digest::of(b"root"), &index(&[entry("a", IMAGE), second])).unwrap_err();
        assert!(matches!(error, SignError::ContradictingDescriptors { .. }));
    }
}

#[test]
fn nesting_a_hundred_deep_is_refused() {
    let mut walk = start("0");
    let failed = (0..100).find_map(|depth| {
        let entries = [entry(&format!("{}", depth + 1), INDEX)];
        walk.read(Digest::of(depth.to_string().as_bytes()), &index(&entries)).err().map(|error| (depth, error))
    });
    let (depth, error) = failed.unwrap();
    assert!(depth < 10, "{depth}");
    assert!(matches!(error, SignError::IndexTooLarge { .. }));
}

#[test]
fn an_index_of_ten_thousand_entries_is_refused() {
    let entries: Vec<Value> = (0..10_000).map(|number| entry(&format!("{number}"), IMAGE)).collect();
    let mut walk = start("root");
    let error = walk.read(Digest::of(b"root"), &index(&entries)).unwrap_err();
    assert!(matches!(error, SignError::IndexTooLarge { limit: 4_096, .. }));
}
