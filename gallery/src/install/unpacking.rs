//! Layers arrive side by side and are applied in order, into a directory that nobody sees yet.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use countersign_oci::Digest;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Services;
use super::error::InstallError;
use super::image::{Image, Layer};
use super::origin::Origin;
use crate::confine::Root;
use crate::limits;
use crate::pull::{LayerPull, PullError};
use crate::store::{self, METADATA, Metadata, RECEIPT, Receipt, Staging, StoreError, Work};
use crate::unpack::{Extraction, Summary};

/// A tree that holds a whole image and has not been activated.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) staging: Staging,
    pub(crate) summary: Summary,
}

/// Pulls and unpacks an image. When this returns, both digests of every layer have matched and `run.sh` can be run.
pub(crate) async fn unpack(
    work: &Work,
    services: Services<'_>,
    origin: &Origin,
    image: &Image,
) -> Result<Unpacked, InstallError> {
    let staging = work.stage()?;
    let root = Root::open(&staging.tree()).map_err(|source| staging_failed(&staging, source))?;
    let mut arriving = start_pulls(work, services, origin, image)?;
    let mut extraction = Extraction::new(root);
    for layer in &image.layers {
        // A layer that occurs twice arrives once.
        if let Some(pull) = arriving.remove(&layer.descriptor.digest) {
            pull.wait().await?;
        }
        extraction = apply(extraction, layer.clone(), work.blob(layer.descriptor.digest)).await?;
    }
    let finished = tokio::task::spawn_blocking(move || {
        let (mut root, summary) = extraction.finish()?;
        Ok::<_, InstallError>((store::has_run_file(&mut root), summary))
    });
    let (runs, summary) = finished.await.map_err(InstallError::interrupted)??;
    if !runs {
        return Err(InstallError::RunFile { digest: image.digest });
    }
    Ok(Unpacked { staging, summary })
}

impl Unpacked {
    /// Puts the records beside the image's files.
    pub(crate) fn record(&self, metadata: &Metadata, receipt: &Receipt) -> Result<(), InstallError> {
        let failed = |source| staging_failed(&self.staging, source);
        let mut root = Root::open(&self.staging.tree()).map_err(failed)?;
        let text = |value: Result<Vec<u8>, serde_json::Error>| value.map_err(std::io::Error::other).map_err(failed);
        store::write_record(&mut root, METADATA, &text(serde_json::to_vec_pretty(metadata))?).map_err(failed)?;
        store::write_record(&mut root, RECEIPT, &text(serde_json::to_vec_pretty(receipt))?).map_err(failed)
    }
}

fn start_pulls(
    work: &Work,
    services: Services<'_>,
    origin: &Origin,
    image: &Image,
) -> Result<HashMap<Digest, Arriving>, InstallError> {
    let slots = Arc::new(Semaphore::new(limits::PARALLEL_LAYERS));
    let mut arriving = HashMap::new();
    for Layer { descriptor, .. } in &image.layers {
        if arriving.contains_key(&descriptor.digest) {
            continue;
        }
        services.transfer.expect(descriptor.size);
        let pull = LayerPull {
            registry: services.registry.clone(),
            repositories: origin.repositories.clone(),
            descriptor: descriptor.clone(),
            partial: work.partial(descriptor.digest)?,
            blob: work.blob(descriptor.digest),
            transfer: Arc::clone(services.transfer),
        };
        let slots = Arc::clone(&slots);
        let task = tokio::spawn(async move {
            // Nobody closes the semaphore; without a slot the layer would only come earlier.
            let _slot = slots.acquire_owned().await.ok();
            pull.fetch().await
        });
        arriving.insert(descriptor.digest, Arriving(task));
    }
    Ok(arriving)
}

/// The compressed bytes are verified; what is inside them is not trusted, so it is parsed off the runtime's threads.
async fn apply(mut extraction: Extraction, layer: Layer, blob: std::path::PathBuf) -> Result<Extraction, InstallError> {
    let applied = tokio::task::spawn_blocking(move || {
        let opened = File::open(&blob);
        let file = opened.map_err(|source| StoreError::Disk { action: "read", path: blob.clone(), source })?;
        extraction.apply(file, layer.compression, layer.descriptor.size, layer.diff_id)?;
        Ok::<_, InstallError>(extraction)
    });
    applied.await.map_err(InstallError::interrupted)?
}

fn staging_failed(staging: &Staging, source: std::io::Error) -> InstallError {
    StoreError::Disk { action: "write", path: staging.tree(), source }.into()
}

/// A pull that stops when nobody waits for it any more.
struct Arriving(JoinHandle<Result<(), PullError>>);

impl Arriving {
    async fn wait(mut self) -> Result<(), InstallError> {
        (&mut self.0).await.map_err(InstallError::interrupted)?.map_err(InstallError::from)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.abort();
    }
}
