//! An OCI image layout: a directory with images and what refers to them
//! ([specification](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
//!
//! Whoever wrote the directory is believed as little as a registry: every blob is hashed, sizes are compared, links that
//! lead out of it are not followed, and everything that is read has a bound. Nothing here makes a connection.

#[cfg(feature = "client")]
mod client;
mod error;
mod files;
mod scan;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::LayoutError;
use scan::Scan;

use crate::index::{Descriptor, Manifest};
use crate::{Digest, ImageReference, Tag, limits, media_type};

/// The annotation of an entry of `index.json` that names it: a tag, or with some tools a whole reference.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation that containerd and docker put a whole reference into.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The one version of the layout that there is.
const VERSION: &str = "1.0.0";
/// Bytes of the file `oci-layout`: it has thirty.
const MARKER_BYTES: u64 = 4 << 10;

/// An image layout, read only. Clones share what was read.
#[derive(Clone)]
pub struct Layout(Arc<Inner>);

struct Inner {
    root: PathBuf,
    names: Vec<Name>,
    scan: Scan,
}

/// What an entry of `index.json` is called, and by whom.
struct Name {
    digest: Digest,
    ref_name: Option<String>,
    containerd: Option<String>,
}

/// What is known to refer to a manifest in a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayoutReferrers {
    /// The manifests whose `subject` it is, those that the referrers tag schema lists, and those that are listed in
    /// `index.json` and cannot be read: any of these might be one.
    pub descriptors: Vec<Descriptor>,
    /// How many manifests were looked at.
    pub manifests: usize,
    /// How many entries the index of the referrers tag schema has, where there is one.
    pub tag_schema: Option<usize>,
    /// Whether the layout has more manifests than are looked at.
    pub truncated: bool,
}

impl Layout {
    /// Opens the layout in a directory, and reads every manifest that its `index.json` lists, nested indexes included,
    /// up to [`limits::LAYOUT_MANIFESTS`], [`limits::LAYOUT_BYTES`] and [`limits::INSPECT_DEPTH`] levels.
    ///
    /// Refuses what is no directory (an archive among them), a directory without the file `oci-layout` of version 1.0.0,
    /// and an `index.json` that is no image index. A manifest that is listed and cannot be read costs itself only.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let not_a_layout = |detail| LayoutError::NotALayout { path: path.display().to_string(), detail };
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(not_a_layout("it is a file: unpack an archive first")),
            Err(source) => return Err(LayoutError::Unreadable { path: path.display().to_string(), source }),
        }
        let root = path
            .canonicalize()
            .map_err(|source| LayoutError::Unreadable { path: path.display().to_string(), source })?;
        let marker = match files::read(&root, Path::new("oci-layout"), MARKER_BYTES)? {
            Some(bytes) => bytes,
            None => return Err(not_a_layout("it has no file `oci-layout`")),
        };
        let version = version_of(&marker);
        if version.as_deref() != Some(VERSION) {
            return Err(LayoutError::Version { path: path.display().to_string(), found: version });
        }
        let Some(bytes) = files::read(&root, Path::new("index.json"), limits::MANIFEST_BYTES)? else {
            return Err(not_a_layout("it has no file `index.json`"));
        };
        let what = || format!("{}/index.json", path.display());
        let entries = match Manifest::parse(&bytes, Some(media_type::OCI_INDEX)) {
            Ok(Manifest::Index(index)) => index.manifests,
            Ok(Manifest::Image(_)) => return Err(not_a_layout("its `index.json` is no image index")),
            Err(source) => return Err(LayoutError::Manifest { what: what(), source }),
        };
        let names = entries.iter().filter_map(Name::of).collect();
        let scan = Scan::of(&root, entries);
        Ok(Self(Arc::new(Inner { root, names, scan })))
    }

    /// Returns the digest that a reference stands for: its own, else that of the one entry that bears the tag.
    ///
    /// An entry bears it when it is named by the whole reference, or by the tag alone and by no other repository's name.
    pub fn resolve(&self, reference: &ImageReference) -> Result<Digest, LayoutError> {
        if let Some(digest) = reference.digest() {
            return Ok(digest);
        }
        let tag = reference.tag().expect("a reference without a digest has a tag, by its type");
        let digests = |fits: &dyn Fn(&Name) -> bool| -> BTreeSet<Digest> {
            self.0.names.iter().filter(|name| fits(name)).map(|name| name.digest).collect()
        };
        let mut found = digests(&|name| name.is_reference(reference));
        if found.is_empty() {
            found = digests(&|name| name.is_tag(tag, reference));
        }
        match found.len() {
            1 => Ok(*found.first().expect("there is one")),
            0 => Err(LayoutError::Absent { what: reference.to_string(), names: self.names() }),
            _ => Err(LayoutError::Ambiguous {
                what: reference.to_string(),
                digests: found.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    /// Returns the bytes of a manifest, whose digest is the one that was asked for, and what they say.
    pub fn manifest(&self, digest: Digest) -> Result<(Vec<u8>, Manifest), LayoutError> {
        let listed = self.0.scan.listed(digest);
        let bytes = match listed {
            Some(descriptor) => self.blob(descriptor, limits::MANIFEST_BYTES)?,
            None => files::blob(&self.0.root, digest, None, limits::MANIFEST_BYTES)?,
        };
        let content_type = listed.map(|descriptor| descriptor.media_type.as_str());
        match Manifest::parse(&bytes, content_type) {
            Ok(manifest) => Ok((bytes, manifest)),
            Err(source) => Err(LayoutError::Manifest { what: format!("manifest {digest}"), source }),
        }
    }

    /// Returns whether there is a file with the name of this digest: its bytes are not looked at.
    #[must_use]
    pub fn has_manifest(&self, digest: Digest) -> bool {
        self.0.scan.listed(digest).is_some() || files::exists(&self.0.root, digest)
    }

    /// Returns a blob of at most `limit` bytes whose size and digest are the descriptor's.
    pub fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        files::blob(&self.0.root, descriptor.digest, Some(descriptor.size), limit)
    }

    /// Returns what refers to a digest, each manifest once, those that say so themselves first.
    #[must_use]
    pub fn referrers(&self, subject: Digest) -> LayoutReferrers {
        let schema = Tag::of_referrers(subject);
        let index = self.0.names.iter().find(|name| name.ref_name.as_deref() == Some(schema.as_str()));
        self.0.scan.referrers(subject, index.map(|name| name.digest))
    }

    /// The names of the entries, for a message.
    fn names(&self) -> Vec<String> {
        let named = |name: &Name| name.containerd.clone().or_else(|| name.ref_name.clone());
        let tag_schema = |name: &String| name.starts_with("sha256-");
        self.0.names.iter().filter_map(named).filter(|name| !tag_schema(name)).take(SHOWN_NAMES).collect()
    }
}

/// How many names a message lists.
const SHOWN_NAMES: usize = 8;

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout").field("root", &self.0.root).finish_non_exhaustive()
    }
}

impl Name {
    fn of(entry: &Descriptor) -> Option<Self> {
        let annotation = |key: &str| entry.annotations.get(key).filter(|text| !text.is_empty()).cloned();
        let (ref_name, containerd) = (annotation(REF_NAME), annotation(CONTAINERD_NAME));
        (ref_name.is_some() || containerd.is_some()).then_some(Self { digest: entry.digest, ref_name, containerd })
    }

    /// Whether one of the names is the whole reference.
    fn is_reference(&self, asked: &ImageReference) -> bool {
        self.whole().any(|name| name.repository() == asked.repository() && name.tag() == asked.tag())
    }

    /// Whether the name is the tag alone, and no other name says that it is another repository's.
    fn is_tag(&self, tag: &Tag, asked: &ImageReference) -> bool {
        self.ref_name.as_deref() == Some(tag.as_str())
            && self.whole().all(|name| name.repository() == asked.repository())
    }

    /// The names that are whole references: a bare word is a tag.
    fn whole(&self) -> impl Iterator<Item = ImageReference> {
        let texts = [&self.containerd, &self.ref_name].into_iter().flatten();
        texts.filter(|text| text.contains(['/', ':'])).filter_map(|text| text.parse().ok())
    }
}

fn version_of(marker: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    serde_json::from_slice::<Marker>(marker).ok().map(|marker| crate::printable(&marker.image_layout_version, 40))
}
