//! The image manifest of one platform, read from the very bytes that were verified.

use countersign_oci::index::{Descriptor, Manifest, Platform};
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
    /// What an index says of an image's platform counts only when the image's config says the same: otherwise the image
    /// is refused. Where no index says anything, the config alone tells whether the image is the one that is asked for.
    pub(crate) async fn select(
        registry: &Registry,
        origin: &Origin,
        installable: &Installable,
        wanted: &Platform,
    ) -> Result<Self, InstallError> {
        let root = Found { raw: origin.manifest(registry, installable.digest()).await?, depth: 0, named: false };
        let mut ahead = vec![root];
        let mut available = Vec::new();
        let mut indexes = 0;
        while let Some(Found { raw, depth, named }) = ahead.pop() {
            let index = match &raw.manifest {
                Manifest::Image(_) => {
                    match Self::of(registry, origin, &raw, wanted).await {
                        Err(InstallError::WrongPlatform { found, .. }) if !named => available.push(*found),
                        image => return image,
                    }
                    continue;
                }
                Manifest::Index(index) => index,
                _ => return Err(InstallError::NotAnImage { digest: raw.digest }),
            };
            let candidates = platform::candidates(index, wanted);
            if let Some(descriptor) = candidates.image.or(candidates.unstated) {
                let named = named || descriptor.platform.is_some();
                ahead.push(Found { raw: member(registry, origin, descriptor).await?, depth, named });
                continue;
            }
            available.extend(candidates.available);
            indexes += candidates.nested.len();
            if !candidates.nested.is_empty() && (depth == limits::INDEX_NESTING || indexes > limits::NESTED_INDEXES) {
                return Err(InstallError::Nesting { digest: raw.digest });
            }
            for descriptor in candidates.nested.into_iter().rev() {
                let named = named || descriptor.platform.is_some();
                ahead.push(Found { raw: member(registry, origin, descriptor).await?, depth: depth + 1, named });
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
        raw: &RawManifest,
        wanted: &Platform,
    ) -> Result<Self, InstallError> {
        let digest = raw.digest;
        let Manifest::Image(manifest) = &raw.manifest else {
            return Err(InstallError::NotAnImage { digest });
        };
        let bytes = origin.blob(registry, &manifest.config, limits::IMAGE_CONFIG_BYTES).await?;
        let config: ImageConfig =
            serde_json::from_slice(&bytes).map_err(|source| InstallError::ImageConfig { digest, source })?;
        let platform = config.platform();
        if !platform.serves(wanted) {
            return Err(InstallError::WrongPlatform {
                digest,
                wanted: Box::new(wanted.clone()),
                found: Box::new(platform),
            });
        }
        let layers = manifest.layers.iter().map(compression).collect::<Result<Vec<_>, _>>()?;
        let size = manifest.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        if layers.len() > limits::LAYERS || size > limits::IMAGE_BYTES {
            return Err(InstallError::TooLarge { digest, layers: layers.len(), bytes: size });
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

/// A manifest on the way to the image.
struct Found {
    raw: RawManifest,
    /// Indexes above it.
    depth: usize,
    /// Whether an index above it names the wanted platform as its own.
    named: bool,
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
