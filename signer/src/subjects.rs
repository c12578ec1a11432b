//! Which manifests a reference stands for: an index, its children, and theirs. Pure: bytes are read elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use countersign_oci::index::{Descriptor, Manifest, Platform};
use countersign_oci::{Digest, PinnedReference, Repository, Tag, media_type};

use crate::error::SignError;

/// How deep indexes may nest; real ones nest once.
const MAX_DEPTH: usize = 8;
/// How many manifests one reference may stand for; real ones stand for a few dozen.
const MAX_MANIFESTS: usize = 4_096;
/// The annotation by which BuildKit marks its attestation manifests, and its value.
const BUILDKIT_REFERENCE_TYPE: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");

/// Everything that one call signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// The images, in the order in which they were named.
    pub images: Vec<ReleasedImage>,
}

impl Release {
    /// Adds what a reference stands for. An image that was added before, under another name, gets one more place or tag.
    pub fn add(&mut self, repository: Repository, tags: BTreeSet<Tag>, subjects: Vec<Subject>) {
        let Some(root) = subjects.first().map(|subject| subject.digest) else {
            return;
        };
        let position = self.images.iter().position(|image| image.digest() == Some(root));
        let image = match position {
            Some(position) => &mut self.images[position],
            None => {
                self.images.push(ReleasedImage { subjects, places: Vec::new() });
                self.images.last_mut().expect("an image was just pushed")
            }
        };
        match image.places.iter_mut().find(|(place, _)| *place == repository) {
            Some((_, known)) => known.extend(tags),
            None => image.places.push((repository, tags)),
        }
    }

    /// Every repository that will hold a signature, once.
    pub fn repositories(&self) -> Vec<&Repository> {
        let mut repositories = Vec::new();
        for (repository, _) in self.images.iter().flat_map(|image| &image.places) {
            if !repositories.contains(&repository) {
                repositories.push(repository);
            }
        }
        repositories
    }
}

/// One image of a release: the same bytes, wherever they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedImage {
    /// The manifests, never empty: what was named first, then everything in it, in the index's order, each once.
    pub subjects: Vec<Subject>,
    /// The repositories it lies in, with the tags that were named for it there.
    pub places: Vec<(Repository, BTreeSet<Tag>)>,
}

impl ReleasedImage {
    /// The digest of what was named.
    pub fn digest(&self) -> Option<Digest> {
        self.subjects.first().map(|subject| subject.digest)
    }
}

/// What kind of manifest a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectKind {
    /// A BuildKit attestation manifest: an image manifest that describes another one.
    Attestation,
    /// An image manifest.
    Image,
    /// An image index (Docker: a manifest list).
    Index,
}

impl SubjectKind {
    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attestation => "attestation manifest",
            Self::Image => "image manifest",
            Self::Index => "image index",
        }
    }
}

/// One manifest to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: SubjectKind,
    /// The platform that its index gives it.
    pub platform: Option<Platform>,
}

impl Subject {
    /// Describes the manifest that a reference names.
    pub fn root(digest: Digest, media_type: &str, size: u64, manifest: &Manifest) -> Self {
        let kind = match manifest {
            Manifest::Index(_) => SubjectKind::Index,
            _ => SubjectKind::Image,
        };
        Self { digest, media_type: media_type.to_owned(), size, kind, platform: None }
    }

    fn child(index: Digest, descriptor: &Descriptor) -> Result<Self, SignError> {
        let kind = match descriptor.media_type.as_str() {
            media_type::OCI_INDEX | media_type::DOCKER_LIST => SubjectKind::Index,
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {
                let (key, value) = BUILDKIT_REFERENCE_TYPE;
                match descriptor.annotations.get(key) {
                    Some(found) if found == value => SubjectKind::Attestation,
                    _ => SubjectKind::Image,
                }
            }
            other => {
                return Err(SignError::UnknownManifestType {
                    child: descriptor.digest,
                    index,
                    media_type: other.to_owned(),
                });
            }
        };
        Ok(Self {
            digest: descriptor.digest,
            media_type: descriptor.media_type.clone(),
            size: descriptor.size,
            kind,
            platform: descriptor.platform.clone(),
        })
    }
}

/// A walk through an index: says which manifests have to be read next, and ends with the list of subjects.
#[derive(Debug)]
pub struct Walk {
    root: PinnedReference,
    first: Subject,
    children: BTreeMap<Digest, Vec<Subject>>,
    depth: BTreeMap<Digest, usize>,
    seen: BTreeMap<Digest, (String, u64)>,
    parents: BTreeMap<Digest, Digest>,
}

impl Walk {
    /// Starts at the manifest that was named.
    pub fn start(root: PinnedReference, first: Subject) -> Self {
        let depth = BTreeMap::from([(first.digest, 0)]);
        let seen = BTreeMap::from([(first.digest, (first.media_type.clone(), first.size))]);
        Self { root, first, children: BTreeMap::new(), depth, seen, parents: BTreeMap::new() }
    }

    /// Takes the content of an index. Refuses entries that cannot be signed, indexes nested deeper than eight levels, more than 4,096
    /// manifests, and a digest that is described in two ways.
    pub fn read(&mut self, digest: Digest, manifest: &Manifest) -> Result<(), SignError> {
        let Manifest::Index(index) = manifest else {
            return match self.seen.get(&digest) {
                Some((media_type, _)) if is_index(media_type) => Err(SignError::ContradictingDescriptors { digest }),
                _ => Ok(()),
            };
        };
        let depth = self.depth.get(&digest).map_or(1, |depth| depth + 1);
        let mut children = Vec::with_capacity(index.manifests.len());
        for descriptor in &index.manifests {
            let child = Subject::child(digest, descriptor)?;
            let description = (child.media_type.clone(), child.size);
            match self.seen.get(&child.digest) {
                Some(known) if *known == description => continue,
                Some(_) => {
                    return Err(SignError::ContradictingDescriptors { digest: child.digest });
                }
                None => {}
            }
            if child.kind == SubjectKind::Index && depth > MAX_DEPTH {
                return Err(self.too_large(MAX_DEPTH, "levels of indexes"));
            }
            if self.seen.len() >= MAX_MANIFESTS {
                return Err(self.too_large(MAX_MANIFESTS, "manifests"));
            }
            self.seen.insert(child.digest, description);
            self.depth.insert(child.digest, depth);
            self.parents.insert(child.digest, digest);
            children.push(child);
        }
        self.children.insert(digest, children);
        Ok(())
    }

    /// The indexes that are known but not read yet.
    pub fn to_read(&self) -> Vec<Digest> {
        self.children
            .values()
            .flatten()
            .filter(|subject| subject.kind == SubjectKind::Index)
            .map(|subject| subject.digest)
            .filter(|digest| !self.children.contains_key(digest))
            .collect()
    }

    /// The manifests that are listed but never read; whether the registry has them is unknown.
    pub fn to_probe(&self) -> Vec<Digest> {
        self.children
            .values()
            .flatten()
            .filter(|subject| subject.kind != SubjectKind::Index)
            .map(|subject| subject.digest)
            .collect()
    }

    /// The index that lists this child, or the root.
    pub fn parent(&self, child: Digest) -> Digest {
        self.parents.get(&child).copied().unwrap_or(self.first.digest)
    }

    /// Returns the subjects: an index before its entries, entries in their order, each digest once.
    pub fn finish(self) -> Vec<Subject> {
        let mut subjects = Vec::with_capacity(self.seen.len());
        let mut pending = vec![self.first];
        let mut children = self.children;
        while let Some(subject) = pending.pop() {
            if let Some(entries) = children.remove(&subject.digest) {
                pending.extend(entries.into_iter().rev());
            }
            subjects.push(subject);
        }
        subjects
    }

    fn too_large(&self, limit: usize, what: &'static str) -> SignError {
        SignError::IndexTooLarge { index: self.root.clone(), limit, what }
    }
}

fn is_index(media_type: &str) -> bool {
    matches!(media_type, media_type::OCI_INDEX | media_type::DOCKER_LIST)
}
