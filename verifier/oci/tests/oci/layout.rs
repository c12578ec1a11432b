//! Image layouts: what is read, and what a hostile directory gets.

use std::fs;
use std::path::Path;

use countersign_oci::index::Descriptor;
use countersign_oci::{Class, Digest, ImageReference, Layout, LayoutError, limits, media_type};
use serde_json::{Value, json};

const TAG: &str = "org.opencontainers.image.ref.name";
const NAME: &str = "io.containerd.image.name";

/// A layout that a test writes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let folder = Self(folder);
        folder.list(&[]);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(digest), bytes).unwrap();
        digest
    }

    fn blob_path(&self, digest: Digest) -> std::path::PathBuf {
        self.path().join("blobs/sha256").join(digest.hex())
    }

    /// Writes a manifest and returns its entry.
    fn manifest(&self, document: &Value) -> Value {
        let bytes = document.to_string();
        let digest = self.blob(bytes.as_bytes());
        json!({"mediaType": document["mediaType"], "digest": digest, "size": bytes.len()})
    }

    fn image(&self, name: &str, subject: Option<&Value>) -> Value {
        let mut document = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
            "config": {"mediaType": media_type::OCI_CONFIG, "digest": Digest::of(name.as_bytes()), "size": name.len()},
        });
        if let Some(subject) = subject {
            document["subject"] = subject.clone();
        }
        self.manifest(&document)
    }

    fn list(&self, entries: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries});
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }

    fn open(&self) -> Result<Layout, LayoutError> {
        Layout::open(self.path())
    }
}

fn named(mut entry: Value, key: &str, name: &str) -> Value {
    entry["annotations"][key] = name.into();
    entry
}

fn digest(entry: &Value) -> Digest {
    entry["digest"].as_str().unwrap().parse().unwrap()
}

fn asked(text: &str) -> ImageReference {
    text.parse().unwrap()
}

#[test]
fn a_tag_is_the_one_entry_that_bears_it() {
    let folder = Folder::new();
    let [one, two, three] = ["one", "two", "three"].map(|name| folder.image(name, None));
    folder.list(&[
        named(one.clone(), TAG, "v1"),
        named(two.clone(), TAG, "ghcr.io/octo/app:v2"),
        named(named(three.clone(), TAG, "latest"), NAME, "docker.io/library/alpine:latest"),
        named(named(one.clone(), TAG, "latest"), NAME, "docker.io/library/busybox:latest"),
        folder.image("nameless", None),
    ]);
    let layout = folder.open().unwrap();
    for (reference, expected) in
        [("ghcr.io/octo/app:v1", &one), ("ghcr.io/octo/app:v2", &two), ("alpine", &three), ("busybox:latest", &one)]
    {
        assert_eq!(layout.resolve(&asked(reference)).unwrap(), digest(expected), "{reference}");
    }
    // The name of another repository is not this one's tag, and a bare tag is not any tag.
    for reference in ["ghcr.io/evil/app:v2", "ghcr.io/octo/app:latest", "ghcr.io/octo/app:v3", "ghcr.io/octo/app:V1"] {
        let error = layout.resolve(&asked(reference)).unwrap_err();
        assert!(matches!(error, LayoutError::Absent { .. }) && error.class() == Class::NotFound, "{reference}");
        assert!(error.hint().unwrap().contains("v1"), "{:?}", error.hint());
    }
}

#[test]
fn two_entries_of_one_tag_are_not_chosen_between() {
    let folder = Folder::new();
    let [one, two] = ["one", "two"].map(|name| folder.image(name, None));
    folder.list(&[named(one.clone(), TAG, "v1"), named(two, TAG, "v1")]);
    let layout = folder.open().unwrap();
    let error = layout.resolve(&asked("r.example/app:v1")).unwrap_err();
    assert!(matches!(error, LayoutError::Ambiguous { ref digests, .. } if digests.len() == 2), "{error}");
    // A digest needs no name.
    let by_digest = asked(&format!("r.example/app:v1@{}", digest(&one)));
    assert_eq!(layout.resolve(&by_digest).unwrap(), digest(&one));
}

#[test]
fn referrers_are_found_by_their_subject_and_under_the_tag_schema() {
    let folder = Folder::new();
    let image = folder.image("image", None);
    let own = folder.image("own", Some(&image));
    let other = folder.image("other", Some(&own));
    // Not listed itself, only by the index that is named after the image, in one that is nested, or in neither.
    let schema_only = folder.image("schema only", Some(&image));
    let nested = folder.image("nested", Some(&image));
    let nowhere = folder.image("nowhere", Some(&image));
    let index = |entries: &[&Value]| {
        folder.manifest(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries}))
    };
    let schema = named(index(&[&schema_only, &own]), TAG, &format!("sha256-{}", digest(&image).hex()));
    folder.list(&[named(image.clone(), TAG, "v1"), own.clone(), other, schema, index(&[&nested])]);
    let found = folder.open().unwrap().referrers(digest(&image));
    let mut digests: Vec<Digest> = found.descriptors.iter().map(|descriptor| descriptor.digest).collect();
    digests.sort();
    let mut expected = [&own, &schema_only, &nested].map(digest);
    expected.sort();
    assert_eq!(digests, expected);
    assert!(!digests.contains(&digest(&nowhere)), "what nothing lists is not looked for");
    assert_eq!((found.tag_schema, found.truncated), (Some(2), false));
}

#[test]
fn what_is_listed_and_cannot_be_read_might_be_a_referrer() {
    let folder = Folder::new();
    let image = folder.image("image", None);
    let [missing, changed, longer] = ["missing", "changed", "longer"].map(|name| folder.image(name, Some(&image)));
    fs::remove_file(folder.blob_path(digest(&missing))).unwrap();
    fs::write(folder.blob_path(digest(&changed)), fs::read(folder.blob_path(digest(&image))).unwrap()).unwrap();
    let mut longer_bytes = fs::read(folder.blob_path(digest(&longer))).unwrap();
    longer_bytes.push(b'\n');
    fs::write(folder.blob_path(digest(&longer)), longer_bytes).unwrap();
    folder.list(&[image.clone(), missing.clone(), changed.clone(), longer.clone()]);
    let found = folder.open().unwrap().referrers(digest(&image));
    assert_eq!(
        found.descriptors.iter().map(|d| d.digest).collect::<Vec<_>>(),
        [&missing, &changed, &longer].map(digest)
    );
}

#[test]
fn a_blob_has_the_digest_and_the_size_that_were_named() {
    let folder = Folder::new();
    let bytes = b"some blob";
    let digest = folder.blob(bytes);
    let layout = folder.open().unwrap();
    let descriptor = |digest, size| Descriptor::new("a/b", digest, size);
    assert_eq!(layout.blob(&descriptor(digest, 9), 9).unwrap(), bytes);
    let error = |descriptor, limit| layout.blob(&descriptor, limit).unwrap_err();
    assert!(matches!(error(descriptor(digest, 8), 100), LayoutError::SizeMismatch { expected: 8, actual: 9, .. }));
    assert!(matches!(error(descriptor(digest, 10), 100), LayoutError::SizeMismatch { expected: 10, actual: 9, .. }));
    assert!(matches!(error(descriptor(digest, 9), 8), LayoutError::TooLarge { size: 9, limit: 8, .. }));
    assert!(matches!(error(descriptor(Digest::of(b"x"), 1), 8), LayoutError::Absent { .. }));
    fs::write(folder.blob_path(digest), b"other one").unwrap();
    let error = error(descriptor(digest, 9), 9);
    assert!(matches!(error, LayoutError::DigestMismatch { .. }) && error.class() == Class::Rejected, "{error}");
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_and_files_that_never_end_are_not_read() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    let digest = Digest::of(b"secret");
    let path = folder.blob_path(digest);
    let read = || folder.open().unwrap().blob(&Descriptor::new("a/b", digest, 6), 100);

    symlink(&secret, &path).unwrap();
    assert!(matches!(read().unwrap_err(), LayoutError::Foreign { .. }), "the digest would fit");
    fs::remove_file(&path).unwrap();
    symlink("/dev/zero", &path).unwrap();
    assert!(matches!(read().unwrap_err(), LayoutError::Foreign { .. }));
    fs::remove_file(&path).unwrap();
    // A pipe that nobody writes to would be waited for.
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(matches!(read().unwrap_err(), LayoutError::Foreign { .. }));
    fs::remove_file(&path).unwrap();
    // Stores that keep each blob once link inside.
    let inside = folder.path().join("blobs/sha256/elsewhere");
    fs::write(&inside, b"secret").unwrap();
    symlink(&inside, &path).unwrap();
    assert_eq!(read().unwrap(), b"secret");

    fs::remove_file(folder.path().join("index.json")).unwrap();
    symlink("/dev/zero", folder.path().join("index.json")).unwrap();
    assert!(matches!(folder.open().unwrap_err(), LayoutError::Foreign { .. }));
}

#[test]
fn what_is_no_layout_is_said_to_be_none() {
    let open = |spoil: &dyn Fn(&Folder)| {
        let folder = Folder::new();
        spoil(&folder);
        folder.open().unwrap_err()
    };
    let write = |name: &'static str, text: &'static str| {
        move |folder: &Folder| fs::write(folder.path().join(name), text).unwrap()
    };
    let gone = |name: &'static str| move |folder: &Folder| fs::remove_file(folder.path().join(name)).unwrap();
    assert!(matches!(open(&gone("oci-layout")), LayoutError::NotALayout { .. }));
    assert!(matches!(open(&gone("index.json")), LayoutError::NotALayout { .. }));
    for other in [r#"{"imageLayoutVersion":"1.0.1"}"#, r#"{"imageLayoutVersion":2}"#, "{}", ""] {
        assert!(matches!(open(&write("oci-layout", other)), LayoutError::Version { .. }), "{other}");
    }
    for other in ["", "[]", "{}", r#"{"schemaVersion":1,"manifests":[]}"#, r#"{"schemaVersion":2,"manifests":[{}]}"#] {
        assert!(matches!(open(&write("index.json", other)), LayoutError::Manifest { .. }), "{other}");
    }
    let large = |folder: &Folder| {
        fs::File::create(folder.path().join("index.json")).unwrap().set_len(limits::MANIFEST_BYTES + 1).unwrap();
    };
    assert!(matches!(open(&large), LayoutError::TooLarge { .. }));
    let many = |folder: &Folder| {
        let entry = |n: usize| json!({"mediaType": media_type::OCI_MANIFEST, "digest": Digest::of(&n.to_le_bytes()), "size": 1});
        folder.list(&(0..=limits::INDEX_ENTRIES).map(entry).collect::<Vec<_>>());
    };
    assert!(matches!(open(&many), LayoutError::Manifest { .. }), "more entries than an index may have");

    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    fs::write(&archive, "tar").unwrap();
    let error = Layout::open(&archive).unwrap_err();
    assert!(error.to_string().contains("unpack") && error.class() == Class::Usage, "{error}");
    assert_eq!(Layout::open(&folder.path().join("absent")).unwrap_err().class(), Class::Usage);
}

#[test]
fn more_manifests_than_are_looked_at_are_said_to_be_there() {
    let folder = Folder::new();
    let image = folder.image("image", None);
    let index = |from: usize| {
        let entry = |n: usize| json!({"mediaType": media_type::OCI_MANIFEST, "digest": Digest::of(&n.to_le_bytes()), "size": 1});
        let entries: Vec<Value> = (from..from + limits::INDEX_ENTRIES).map(entry).collect();
        folder.manifest(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries}))
    };
    folder.list(&[image.clone(), index(0)]);
    assert!(!folder.open().unwrap().referrers(digest(&image)).truncated);
    folder.list(&[image.clone(), index(0), index(20_000), index(40_000)]);
    assert!(folder.open().unwrap().referrers(digest(&image)).truncated);

    // Indexes in indexes, deeper than any tool nests them.
    let mut nested = folder.image("deep", Some(&image));
    for _ in 0..=limits::INSPECT_DEPTH + 1 {
        nested =
            folder.manifest(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [nested]}));
    }
    folder.list(&[image.clone(), nested]);
    assert!(folder.open().unwrap().referrers(digest(&image)).truncated);
}
