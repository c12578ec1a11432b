//! Reads from the registries what the references stand for, before anything is spent.

use std::collections::BTreeSet;

use countersign_oci::{Class, Digest, ImageReference, PinnedReference, RawManifest, Registry, Tag};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::error::SignError;
use crate::sign::{NamedImage, SignRequest};
use crate::subjects::{Release, Subject, Walk};

/// How many references are read at once.
const REFERENCES: usize = 8;
/// How many requests for one reference are under way at once.
const REQUESTS: usize = 16;

/// Resolves each tag once, walks each index, and makes sure that every manifest in it exists. Every reference that fails is reported.
pub(crate) async fn release(
    registry: &Registry,
    request: &SignRequest,
) -> Result<(Vec<NamedImage>, Release), Vec<SignError>> {
    let resolved: Vec<_> = stream::iter(&request.references)
        .map(|reference| resolve(registry, reference))
        .buffered(REFERENCES)
        .collect()
        .await;
    let mut images = Vec::new();
    let mut named: Vec<Named> = Vec::new();
    let mut failures = Vec::new();
    for (reference, outcome) in request.references.iter().zip(resolved) {
        match outcome {
            Ok(one) => {
                images.push(NamedImage { reference: reference.clone(), digest: one.pinned.digest() });
                merge(&mut named, one);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let walked: Vec<_> =
        stream::iter(named).map(|named| walk(registry, named, request.index_only)).buffered(REFERENCES).collect().await;
    let mut release = Release::default();
    for outcome in walked {
        match outcome {
            Ok((pinned, tags, subjects)) => release.add(pinned.repository().clone(), tags, subjects),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok((images, release)) } else { Err(failures) }
}

/// A manifest in a repository, with every tag that was named for it.
struct Named {
    pinned: PinnedReference,
    tags: BTreeSet<Tag>,
    manifest: Option<RawManifest>,
}

async fn resolve(registry: &Registry, reference: &ImageReference) -> Result<Named, SignError> {
    let resolved = registry.resolve(reference).await.map_err(|source| SignError::Registry {
        action: "resolve",
        reference: reference.to_string(),
        source: Box::new(source),
    })?;
    Ok(Named {
        pinned: resolved.pinned,
        tags: reference.tag().cloned().into_iter().collect(),
        manifest: resolved.manifest,
    })
}

fn merge(named: &mut Vec<Named>, one: Named) {
    match named.iter_mut().find(|known| known.pinned == one.pinned) {
        Some(known) => {
            known.tags.extend(one.tags);
            if known.manifest.is_none() {
                known.manifest = one.manifest;
            }
        }
        None => named.push(one),
    }
}

async fn walk(
    registry: &Registry,
    named: Named,
    index_only: bool,
) -> Result<(PinnedReference, BTreeSet<Tag>, Vec<Subject>), SignError> {
    let Named { pinned, tags, manifest } = named;
    let raw = match manifest {
        Some(raw) => raw,
        None => read(registry, &pinned).await?,
    };
    let first = Subject::root(raw.digest, &raw.media_type, raw.bytes.len() as u64, &raw.manifest);
    let mut walk = Walk::start(pinned.clone(), first);
    if !index_only {
        walk.read(raw.digest, &raw.manifest)?;
        loop {
            let indexes = walk.to_read();
            if indexes.is_empty() {
                break;
            }
            let read: Vec<(Digest, RawManifest)> = stream::iter(indexes)
                .map(|digest| read_child(registry, &pinned, &walk, digest))
                .buffered(REQUESTS)
                .try_collect()
                .await?;
            for (digest, raw) in read {
                walk.read(digest, &raw.manifest)?;
            }
        }
        stream::iter(walk.to_probe())
            .map(|digest| probe(registry, &pinned, &walk, digest))
            .buffered(REQUESTS)
            .try_collect::<()>()
            .await?;
    }
    Ok((pinned, tags, walk.finish()))
}

async fn read(registry: &Registry, pinned: &PinnedReference) -> Result<RawManifest, SignError> {
    registry.manifest(pinned).await.map_err(|source| SignError::Registry {
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
    match read(registry, &child).await {
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
        Ok(false) => Err(SignError::ChildMissing { child, index: walk.parent(digest) }),
        Err(source) => {
            Err(SignError::Registry { action: "look for", reference: child.to_string(), source: Box::new(source) })
        }
    }
}
