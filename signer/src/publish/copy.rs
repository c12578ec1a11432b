//! Brings the manifests of a release, with everything that they refer to, into a repository.

use std::collections::BTreeMap;

use countersign_oci::index::Descriptor;
use countersign_oci::{Digest, ManifestTarget, Pusher, Repository};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::PublishError;
use super::children::Entry;

/// How many manifests, and how many blobs of each, are under way at once.
const MANIFESTS: usize = 8;
const BLOBS: usize = 4;

/// Copies what the repository lacks. Returns how many manifests that were.
pub(super) async fn copy(pusher: &Pusher, entries: &[Entry], to: &Repository) -> Result<usize, PublishError> {
    let copied: Vec<bool> = stream::iter(entries)
        .map(|entry| copy_manifest(pusher, entry, to))
        .buffer_unordered(MANIFESTS)
        .try_collect()
        .await?;
    Ok(copied.into_iter().filter(|copied| *copied).count())
}

async fn copy_manifest(pusher: &Pusher, entry: &Entry, to: &Repository) -> Result<bool, PublishError> {
    if entry.source == *to {
        return Ok(false);
    }
    let target = to.pin(entry.descriptor.digest);
    let failed = |action: &'static str| {
        let what = target.to_string();
        move |source| PublishError::Registry { action, what, source: Box::new(source) }
    };
    if pusher.registry().manifest_exists(&target).await.map_err(failed("look for"))? {
        return Ok(false);
    }
    let blobs: BTreeMap<Digest, &Descriptor> = std::iter::once(&entry.manifest.config)
        .chain(&entry.manifest.layers)
        .filter(|blob| blob.urls.is_empty())
        .map(|blob| (blob.digest, blob))
        .collect();
    stream::iter(blobs.into_values())
        .map(|blob| async move {
            let copied = pusher.copy_blob(&entry.source, to, blob.digest, blob.size).await;
            copied.map(|how| tracing::debug!(blob = %blob.digest, %to, ?how, "copied")).map_err(|source| {
                let what = format!("{} to {to}", entry.source.pin(blob.digest));
                PublishError::Registry { action: "copy the blob", what, source: Box::new(source) }
            })
        })
        .buffer_unordered(BLOBS)
        .try_collect::<()>()
        .await?;
    let at = ManifestTarget::Digest(entry.descriptor.digest);
    let pushed = pusher.push_manifest(to, at, entry.raw.bytes.clone(), &entry.raw.media_type).await;
    pushed.map_err(failed("push"))?;
    Ok(true)
}

/// Pushes a manifest again that the repository has lost.
pub(super) async fn restore(pusher: &Pusher, entry: &Entry, to: &Repository) -> Result<(), PublishError> {
    let target = to.pin(entry.descriptor.digest);
    let failed = |action: &'static str| {
        let what = target.to_string();
        move |source| PublishError::Registry { action, what, source: Box::new(source) }
    };
    if pusher.registry().manifest_exists(&target).await.map_err(failed("look for"))? {
        return Ok(());
    }
    tracing::warn!("{target} went with the tag that held it, pushing it again");
    let at = ManifestTarget::Digest(entry.descriptor.digest);
    let pushed = pusher.push_manifest(to, at, entry.raw.bytes.clone(), &entry.raw.media_type).await;
    pushed.map(|_| ()).map_err(failed("push"))
}
