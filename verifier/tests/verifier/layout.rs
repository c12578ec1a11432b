//! An image layout in the registry's place: the same verdicts, and not one request.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_oci::{ImageReference, Layout};
use countersign_verifier::{Error, Verdict};
use sandbox::image::Image;
use sandbox::{LayoutStyle, Options, RekorVersion};
use serde_json::Value;

use crate::world::{World, now, outcome};

struct Copied {
    world: World,
    image: Image,
    reference: ImageReference,
    folder: tempfile::TempDir,
}

impl Copied {
    /// A signed image, copied into a layout. From then on no request is expected.
    async fn new(style: LayoutStyle) -> Self {
        let world = World::start(Options::default());
        let (image, reference) = world.push("app");
        world.sign(&reference, RekorVersion::V1).await;
        let folder = tempfile::tempdir().unwrap();
        world.sandbox.registry().write_layout("app", folder.path(), style).unwrap();
        world.sandbox.clear_requests();
        Self { world, image, reference, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    async fn verify(&self, reference: &str, further: &str) -> Result<Verdict, Error> {
        let layout = Layout::open(self.path()).unwrap();
        let asked = countersign_verifier::resolve(&layout, &reference.parse().unwrap()).await?;
        let policy = self.world.policy(further);
        let verdict = countersign_verifier::verify_image(&layout, &self.world.verifier, &policy, &asked, now()).await?;
        assert_eq!(self.world.sandbox.requests().len(), 0, "no registry was asked");
        Ok(verdict)
    }

    async fn outcome(&self, reference: &str) -> (&'static str, String) {
        outcome(&self.verify(reference, "").await.unwrap())
    }

    /// The one referrer of the index: its digest and its document.
    fn referrer(&self) -> (String, Value) {
        let referrers = self.world.sandbox.registry().referrers("app", self.image.digest());
        let digest = referrers[0]["digest"].as_str().unwrap().to_owned();
        let document = serde_json::from_slice(&fs::read(self.blob(&digest)).unwrap()).unwrap();
        (digest, document)
    }

    fn edit_index(&self, edit: impl Fn(&mut Vec<Value>)) {
        let path = self.path().join("index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(index["manifests"].as_array_mut().unwrap());
        fs::write(&path, index.to_string()).unwrap();
    }
}

#[tokio::test]
async fn a_signed_image_is_verified_in_the_layouts_that_tools_write() {
    for style in [LayoutStyle::Oras, LayoutStyle::Regctl] {
        let copied = Copied::new(style).await;
        let by_tag = copied.reference.to_string();
        let by_digest = format!("{}@{}", copied.reference.repository(), copied.image.digest());
        for reference in [&by_tag, &by_digest] {
            assert_eq!(copied.outcome(reference).await, ("verified", String::new()), "{style:?} {reference}");
        }
        let verdict = copied.verify(&by_tag, "").await.unwrap();
        let places: Vec<&str> = verdict.findings().looked_at.iter().map(|place| place.place.as_str()).collect();
        assert!(places.contains(&"image layout"), "{places:?}");
        // What is asked for stays what it was called, whatever the layout calls it.
        let required = copied.verify(&by_tag, "require:\n  repository: true\n").await.unwrap();
        let signed = copied.verify(&format!("r.example/other:v1@{}", copied.image.digest()), "").await.unwrap();
        assert_eq!(outcome(&required).0, outcome(&signed).0.replace("verified", outcome(&required).0).as_str());
    }
}

#[tokio::test]
async fn a_layout_without_referrers_is_unsigned() {
    let copied = Copied::new(LayoutStyle::Docker).await;
    assert_eq!(copied.outcome(&copied.reference.to_string()).await.0, "rejected");
    let absent = copied.verify(&format!("{}:v9", copied.reference.repository()), "").await.unwrap_err();
    assert_eq!((absent.code(), absent.class()), ("not-found", countersign_oci::Class::NotFound));
}

#[tokio::test]
async fn a_tag_that_was_moved_in_the_layout_is_another_image_and_unsigned() {
    let copied = Copied::new(LayoutStyle::Oras).await;
    let (other, _) = copied.world.push("other");
    copied.world.sandbox.registry().write_layout("other", copied.path(), LayoutStyle::Oras).unwrap();
    copied.world.sandbox.clear_requests();
    assert_eq!(copied.outcome(&copied.reference.to_string()).await.0, "rejected");
    assert_ne!(other.digest(), copied.image.digest());
    // Asked for by its digest it is still the signed one, although nothing lists it any more; its signature is not
    // listed.
    let by_digest = format!("{}@{}", copied.reference.repository(), copied.image.digest());
    assert_eq!(copied.outcome(&by_digest).await.0, "rejected");
}

#[tokio::test]
async fn a_bundle_that_was_changed_in_the_layout_is_not_seen_and_one_that_is_gone_neither() {
    let copied = Copied::new(LayoutStyle::Oras).await;
    let (digest, referrer) = copied.referrer();
    let bundle = copied.blob(referrer["layers"][0]["digest"].as_str().unwrap());
    let kept = fs::read(&bundle).unwrap();
    let text = String::from_utf8(kept.clone()).unwrap();
    let reference = copied.reference.to_string();

    fs::write(&bundle, text.replacen('A', "B", 1)).unwrap();
    assert_eq!(copied.outcome(&reference).await.0, "undecided", "other bytes than the digest names");
    fs::write(&bundle, [kept.clone(), b" ".to_vec()].concat()).unwrap();
    assert_eq!(copied.outcome(&reference).await.0, "undecided", "one byte more");
    fs::remove_file(&bundle).unwrap();
    assert_eq!(copied.outcome(&reference).await.0, "undecided", "no bytes");
    fs::write(&bundle, kept).unwrap();
    assert_eq!(copied.outcome(&reference).await.0, "verified");
    fs::remove_file(copied.blob(&digest)).unwrap();
    assert_eq!(copied.outcome(&reference).await.0, "undecided", "a manifest that is listed might be the signature");
    copied.edit_index(|entries| entries.retain(|entry| entry["digest"] != digest.as_str()));
    assert_eq!(copied.outcome(&reference).await.0, "rejected", "nothing says that there was one");
}

#[tokio::test]
async fn a_signature_of_another_image_does_not_count_for_this_one() {
    let copied = Copied::new(LayoutStyle::Regctl).await;
    let (other, other_reference) = copied.world.push("victim");
    let (digest, _) = copied.referrer();
    copied.world.sandbox.registry().write_layout("victim", copied.path(), LayoutStyle::Oras).unwrap();
    copied.world.sandbox.clear_requests();
    // The tag schema of the other image lists the signature of the first.
    let size = fs::metadata(copied.blob(&digest)).unwrap().len();
    let schema = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size}],
    })
    .to_string();
    let schema_digest = sandbox::digest_of(schema.as_bytes());
    fs::write(copied.blob(&schema_digest), &schema).unwrap();
    copied.edit_index(|entries| {
        entries.push(serde_json::json!({
            "mediaType": "application/vnd.oci.image.index.v1+json", "digest": schema_digest, "size": schema.len(),
            "annotations": {"org.opencontainers.image.ref.name": other.digest().replace(':', "-")},
        }));
    });
    let (verdict, code) = copied.outcome(&other_reference.to_string()).await;
    assert_eq!((verdict, code.as_str()), ("rejected", "wrong-referrer-subject"));
}

#[tokio::test]
async fn an_image_in_a_layout_can_be_inspected() {
    let copied = Copied::new(LayoutStyle::Oras).await;
    let layout = Layout::open(copied.path()).unwrap();
    let inspection = countersign_verifier::inspect_image(&layout, &copied.reference, None).await.unwrap();
    assert!(inspection.is_whole());
    assert!(countersign_verifier::inspect::text(&inspection).contains("image layout"));
    assert_eq!(copied.world.sandbox.requests().len(), 0);
}
