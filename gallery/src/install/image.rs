//! The image manifest of one platform, read from the very bytes that were verified.

use countersign_oci::index::{Descriptor, ImageManifest, Manifest, Platform};
use countersign_oci::{Digest, RawManifest, Registry};

use super::error::InstallError;
use super::origin::Origin;
use crate::integrity::Installable;
use crate::limits;
use crate::platform::{self, ImageConfig};
use crate::unpack::Compression;

/// The image of one platform.
#[derive(Debug)]
pub(crate) struct Image {
    /// The digest of its manifest.
    pub(crate) digest: Digest,
    /// The platform that its config states.
    pub(crate) platform: Platform,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<Layer>,
}

/// One layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    pub(crate) compression: Compression,
    /// The digest of the uncompressed bytes, from the image config.
    pub(crate) diff_id: Digest,
}

impl Image {
    /// Follows digests from the one that may be installed to the image of a platform.
    ///
    /// What the index says of an image's platform counts only when the image's config says the same.
    pub(crate) async fn select(
        registry: &Registry,
        origin: &Origin,
        installable: &Installable,
        wanted: &Platform,
    ) -> Result<Self, InstallError> {
        let root = origin.manifest(registry, installable.digest()).await?;
        let mut ahead = vec![(root, 0)];
        let mut available = Vec::new();
        let mut indexes = 0;
        while let Some((raw, depth)) = ahead.pop() {
            let index = match &raw.manifest {
                Manifest::Image(manifest) => return Self::of(registry, origin, raw.digest, manifest, wanted).await,
                Manifest::Index(index) => index,
                _ => return Err(InstallError::NotAnImage { digest: raw.digest }),
            };
            let found = platform::candidates(index, wanted);
            if let Some(descriptor) = found.image.or(found.unstated) {
                let raw = member(registry, origin, descriptor).await?;
                let Manifest::Image(manifest) = &raw.manifest else {
                    return Err(InstallError::NotAnImage { digest: raw.digest });
                };
                return Self::of(registry, origin, raw.digest, manifest, wanted).await;
            }
            available.extend(found.available);
            indexes += found.nested.len();
            if !found.nested.is_empty() && (depth == limits::INDEX_NESTING || indexes > limits::NESTED_INDEXES) {
                return Err(InstallError::Nesting { digest: raw.digest });
            }
            for descriptor in found.nested.into_iter().rev() {
                ahead.push((member(registry, origin, descriptor).await?, depth + 1));
            }
        }
        available.dedup();
        Err(InstallError::NoPlatform {
            reference: installable.reference().to_string(),
            wanted: Box::new(wanted.clone()),
            available,
        })
    }

    async fn of(
        registry: &Registry,
        origin: &Origin,
        digest: Digest,
        manifest: &ImageManifest,
        wanted: &Platform,
    ) -> Result<Self, InstallError> {
        let layers = manifest.layers.iter().map(compression).collect::<Result<Vec<_>, _>>()?;
        let size = manifest.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        if layers.len() > limits::LAYERS || size > limits::IMAGE_BYTES {
            return Err(InstallError::TooLarge { digest, layers: layers.len(), bytes: size });
        }
        let bytes = origin.blob(registry, &manifest.config, limits::IMAGE_CONFIG_BYTES).await?;
        let config: ImageConfig =
            serde_json::from_slice(&bytes).map_err(|source| InstallError::ImageConfig { digest, source })?;
        let platform = config.platform();
        if !platform::matches(&platform, wanted) {
            return Err(InstallError::WrongPlatform {
                digest,
                wanted: Box::new(wanted.clone()),
                found: Box::new(platform),
            });
        }
        let diff_ids = config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() || layers.is_empty() {
            return Err(InstallError::LayerCount { digest, layers: layers.len(), diff_ids: diff_ids.len() });
        }
        let layers = layers
            .into_iter()
            .zip(diff_ids)
            .map(|((descriptor, compression), diff_id)| Layer { descriptor, compression, diff_id })
            .collect();
        Ok(Self { digest, platform, layers })
    }
}

/// Fetches a member of an index; its size is part of what was verified.
async fn member(registry: &Registry, origin: &Origin, descriptor: &Descriptor) -> Result<RawManifest, InstallError> {
    let raw = origin.manifest(registry, descriptor.digest).await?;
    if raw.bytes.len() as u64 != descriptor.size || raw.media_type != descriptor.media_type {
        return Err(InstallError::Descriptor { digest: raw.digest });
    }
    Ok(raw)
}

fn compression(descriptor: &Descriptor) -> Result<(Descriptor, Compression), InstallError> {
    match Compression::of_media_type(&descriptor.media_type) {
        Some(compression) if descriptor.urls.is_empty() => Ok((descriptor.clone(), compression)),
        _ => Err(InstallError::LayerType { digest: descriptor.digest, media_type: descriptor.media_type.clone() }),
    }
}
