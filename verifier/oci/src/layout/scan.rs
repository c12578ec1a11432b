//! Who refers to whom in a layout: known only once every listed manifest was read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;

use super::{LayoutReferrers, files};
use crate::index::{Descriptor, Manifest};
use crate::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::{Digest, limits};

/// What was learned of the manifests of a layout.
#[derive(Default)]
pub(super) struct Scan {
    /// Every manifest that is listed, by digest.
    listed: HashMap<Digest, Descriptor>,
    /// What says of itself that it refers to a digest.
    by_subject: HashMap<Digest, Vec<Descriptor>>,
    /// The entries of the indexes that `index.json` lists: one may be that of the referrers tag schema.
    indexes: HashMap<Digest, Vec<Descriptor>>,
    /// What `index.json` lists and cannot be read: nobody can tell what it refers to.
    unreadable: Vec<Descriptor>,
    manifests: usize,
    truncated: bool,
}

/// An entry to look at, and how many indexes it is below `index.json`.
struct Task {
    entry: Descriptor,
    depth: usize,
}

impl Scan {
    /// Reads every manifest that is listed, `index.json`'s own entries first.
    pub(super) fn of(root: &Path, entries: Vec<Descriptor>) -> Self {
        let mut scan = Self::default();
        let mut left = limits::LAYOUT_BYTES;
        let mut known = HashSet::new();
        let mut tasks: VecDeque<Task> = entries.into_iter().map(|entry| Task { entry, depth: 0 }).collect();
        while let Some(Task { entry, depth }) = tasks.pop_front() {
            if !is_manifest(&entry) || !known.insert(entry.digest) {
                continue;
            }
            if scan.manifests == limits::LAYOUT_MANIFESTS || left < entry.size.min(limits::MANIFEST_BYTES) {
                scan.truncated = true;
                break;
            }
            scan.manifests += 1;
            scan.listed.insert(entry.digest, stripped(&entry));
            let Some((manifest, size)) = read(root, &entry) else {
                // A copy of one platform lists the others in its index and does not have them.
                if depth == 0 {
                    scan.unreadable.push(stripped(&entry));
                }
                continue;
            };
            left = left.saturating_sub(size);
            if let Some(subject) = manifest.subject() {
                let referrer = referrer(&entry, &manifest);
                scan.by_subject.entry(subject.digest).or_default().push(referrer);
            }
            if let Manifest::Index(index) = manifest {
                if depth == 0 {
                    scan.indexes.insert(entry.digest, index.manifests.iter().map(stripped).collect());
                }
                match depth + 1 {
                    deeper if deeper <= limits::INSPECT_DEPTH => {
                        tasks.extend(index.manifests.into_iter().map(|entry| Task { entry, depth: deeper }));
                    }
                    _ => scan.truncated |= !index.manifests.is_empty(),
                }
            }
        }
        scan
    }

    pub(super) fn listed(&self, digest: Digest) -> Option<&Descriptor> {
        self.listed.get(&digest)
    }

    /// `schema` is the index that is named after the subject, where there is one.
    pub(super) fn referrers(&self, subject: Digest, schema: Option<Digest>) -> LayoutReferrers {
        let of_schema = schema.map(|digest| self.indexes.get(&digest).map(Vec::as_slice).unwrap_or_default());
        let own = self.by_subject.get(&subject).map(Vec::as_slice).unwrap_or_default();
        let mut known = HashSet::new();
        let all = own.iter().chain(of_schema.unwrap_or_default()).chain(&self.unreadable);
        let mut descriptors: Vec<Descriptor> =
            all.filter(|entry| entry.digest != subject && known.insert(entry.digest)).cloned().collect();
        let truncated = self.truncated || descriptors.len() > limits::REFERRERS_DESCRIPTORS;
        descriptors.truncate(limits::REFERRERS_DESCRIPTORS);
        LayoutReferrers { descriptors, manifests: self.manifests, tag_schema: of_schema.map(<[_]>::len), truncated }
    }
}

fn is_manifest(entry: &Descriptor) -> bool {
    matches!(entry.media_type.as_str(), OCI_INDEX | OCI_MANIFEST | DOCKER_LIST | DOCKER_MANIFEST)
}

fn read(root: &Path, entry: &Descriptor) -> Option<(Manifest, u64)> {
    let bytes = files::blob(root, entry.digest, Some(entry.size), limits::MANIFEST_BYTES).ok()?;
    Some((Manifest::parse(&bytes, Some(&entry.media_type)).ok()?, bytes.len() as u64))
}

/// What the referrers API would say of it.
fn referrer(entry: &Descriptor, manifest: &Manifest) -> Descriptor {
    let mut referrer = stripped(entry);
    referrer.artifact_type = match manifest {
        Manifest::Image(image) => Some(image.effective_artifact_type().to_owned()),
        Manifest::Index(index) => index.artifact_type.clone(),
    };
    referrer
}

/// Kept are type, digest and size: thousands of entries are remembered.
fn stripped(entry: &Descriptor) -> Descriptor {
    let mut stripped = Descriptor::new(entry.media_type.clone(), entry.digest, entry.size);
    stripped.artifact_type.clone_from(&entry.artifact_type);
    stripped
}
