//! Reads from the registries what the references stand for, before anything is spent.

use std::collections::{BTreeMap, BTreeSet};

use countersign_oci::{Class, Digest, ImageReference, PinnedReference, RawManifest, Registry, Repository, Tag};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::SignError;
use crate::sign::{NamedImage, SignRequest};
use crate::subjects::{Release, Subject, Walk};

/// How many references are read at once.
const REFERENCES: usize = 32;
/// How many nested indexes of one reference are read at once.
const INDEXES: usize = 8;
/// How many manifests, of all references together, are looked for at once: answers without a body.
const PROBES: usize = 64;

/// What the registries have of the references.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    images: Vec<NamedImage>,
    release: Release,
    failures: Vec<(Repository, SignError)>,
}

impl Reading {
    /// Returns what is to be signed; if anything failed, every failure instead.
    pub(crate) fn complete(self) -> Result<(Vec<NamedImage>, Release), Vec<SignError>> {
        if self.failures.is_empty() {
            return Ok((self.images, self.release));
        }
        Err(self.failures.into_iter().map(|(_, failure)| failure).collect())
    }
}

/// What the references themselves stand for: each tag resolved once, each manifest read. What is in an index was not looked at yet.
#[derive(Default)]
pub(crate) struct Roots {
    reading: Reading,
    named: Vec<Named>,
}

/// Reads what was named. A reference that fails does not stop the others.
pub(crate) async fn roots(registry: &Registry, request: &SignRequest) -> Roots {
    let mut roots = Roots::default();
    let resolved: Vec<_> = stream::iter(&request.references)
        .map(|reference| resolve(registry, reference))
        .buffered(REFERENCES)
        .collect()
        .await;
    for (reference, outcome) in request.references.iter().zip(resolved) {
        match outcome {
            Ok(one) => {
                roots.reading.images.push(NamedImage { reference: reference.clone(), digest: one.pinned.digest() });
                merge(&mut roots.named, one);
            }
            Err(failure) => roots.reading.failures.push((reference.repository().clone(), failure)),
        }
    }
    roots
}

impl Roots {
    /// The manifests that were named.
    pub(crate) fn pinned(&self) -> Vec<PinnedReference> {
        self.named.iter().map(|named| named.pinned.clone()).collect()
    }

    /// The repositories that have everything that was named in them. Only these may be written to: many registries create what is
    /// misspelt.
    pub(crate) fn complete_repositories(&self) -> BTreeSet<Repository> {
        let failed = |repository: &Repository| self.reading.failures.iter().any(|(other, _)| other == repository);
        let named = self.named.iter().map(|named| named.pinned.repository());
        named.filter(|repository| !failed(repository)).cloned().collect()
    }

    /// Walks each index, and makes sure that every manifest in it exists. An image that fails does not stop the others.
    pub(crate) async fn walk(self, registry: &Registry, index_only: bool) -> Reading {
        let Self { mut reading, named } = self;
        let walked: Vec<Result<Walk, SignError>> =
            stream::iter(&named).map(|named| walk(registry, named, index_only)).buffered(REFERENCES).collect().await;
        let mut absent = if index_only { BTreeMap::new() } else { probe_all(registry, &named, &walked).await };
        for (position, (named, walk)) in named.into_iter().zip(walked).enumerate() {
            let repository = named.pinned.repository().clone();
            match absent.remove(&position).map_or(walk, Err) {
                Ok(walk) => reading.release.add(repository, named.tags, walk.finish()),
                Err(failure) => reading.failures.push((repository, failure)),
            }
        }
        reading
    }
}

/// Looks for everything in the indexes that was not read; one failure for each image that lacks something, by its position.
async fn probe_all(
    registry: &Registry,
    named: &[Named],
    walked: &[Result<Walk, SignError>],
) -> BTreeMap<usize, SignError> {
    let probes = named.iter().zip(walked).enumerate().flat_map(|(position, (named, walk))| {
        let walk = walk.as_ref().ok();
        walk.into_iter().flat_map(move |walk| {
            walk.to_probe().into_iter().map(move |digest| (position, &named.pinned, walk, digest))
        })
    });
    let failures: Vec<(usize, SignError)> = stream::iter(probes.collect::<Vec<_>>())
        .map(|(position, root, walk, digest)| async move {
            probe(registry, root, walk, digest).await.err().map(|failure| (position, failure))
        })
        .buffered(PROBES)
        .filter_map(std::future::ready)
        .collect()
        .await;
    // Of several in one image the first stays.
    failures.into_iter().rev().collect()
}

/// A manifest in a repository, with every tag that was named for it.
struct Named {
    pinned: PinnedReference,
    tags: BTreeSet<Tag>,
    manifest: RawManifest,
}

async fn resolve(registry: &Registry, reference: &ImageReference) -> Result<Named, SignError> {
    let resolved = registry.resolve(reference).await.map_err(|source| SignError::Registry {
        action: "resolve",
        reference: reference.to_string(),
        source: Box::new(source),
    })?;
    let manifest = match resolved.manifest {
        Some(manifest) => manifest,
        None => read_manifest(registry, &resolved.pinned).await?,
    };
    Ok(Named { pinned: resolved.pinned, tags: reference.tag().cloned().into_iter().collect(), manifest })
}

fn merge(named: &mut Vec<Named>, one: Named) {
    match named.iter_mut().find(|known| known.pinned == one.pinned) {
        Some(known) => known.tags.extend(one.tags),
        None => named.push(one),
    }
}

/// Reads every index in what was named.
async fn walk(registry: &Registry, named: &Named, index_only: bool) -> Result<Walk, SignError> {
    let Named { pinned, manifest: raw, .. } = named;
    let first = Subject::root(raw.digest, &raw.media_type, raw.bytes.len() as u64, &raw.manifest);
    let mut walk = Walk::start(pinned.clone(), first);
    if index_only {
        return Ok(walk);
    }
    walk.read(raw.digest, &raw.manifest)?;
    loop {
        let indexes = walk.to_read();
        if indexes.is_empty() {
            return Ok(walk);
        }
        let read: Vec<(Digest, RawManifest)> = stream::iter(indexes)
            .map(|digest| read_child(registry, pinned, &walk, digest))
            .buffered(INDEXES)
            .try_collect()
            .await?;
        for (digest, raw) in read {
            walk.read(digest, &raw.manifest)?;
        }
    }
}

async fn read_manifest(registry: &Registry, pinned: &PinnedReference) -> Result<RawManifest, SignError> {
    // What was pushed just now may not be visible yet.
    registry.wait_for_manifest(pinned).await.map_err(|source| SignError::Registry {
        action: "read",
        reference: pinned.to_string(),
        source: Box::new(source),
    })
}

async fn read_child(
    registry: &Registry,
    root: &PinnedReference,
    walk: &Walk,
    digest: Digest,
) -> Result<(Digest, RawManifest), SignError> {
    let child = root.repository().pin(digest);
    match read_manifest(registry, &child).await {
        Ok(raw) => Ok((digest, raw)),
        Err(SignError::Registry { source, .. }) if source.class() == Class::NotFound => {
            Err(SignError::ChildMissing { child, index: walk.parent(digest) })
        }
        Err(other) => Err(other),
    }
}

async fn probe(registry: &Registry, root: &PinnedReference, walk: &Walk, digest: Digest) -> Result<(), SignError> {
    let child = root.repository().pin(digest);
    match registry.manifest_exists(&child).await {
        Ok(true) => Ok(()),
        Ok(false) if registry.wait_for_manifest(&child).await.is_ok() => Ok(()),
        Ok(false) => Err(SignError::ChildMissing { child, index: walk.parent(digest) }),
        Err(source) => {
            Err(SignError::Registry { action: "look for", reference: child.to_string(), source: Box::new(source) })
        }
    }
}
