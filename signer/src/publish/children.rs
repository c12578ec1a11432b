//! What the builds of the platforms pushed: found, read whole, and flattened into entries of one index.

use std::collections::{BTreeMap, BTreeSet};

use countersign_oci::index::{Descriptor, ImageManifest, Manifest, Platform};
use countersign_oci::{Class, Digest, PinnedReference, RawManifest, Registry, Repository, limits, media_type};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;

use super::{Child, PublishError};

/// How many manifests are read at once.
const PARALLEL: usize = 16;
/// More manifests than any real release has.
const MAX_MANIFESTS: usize = 512;
/// More bytes of manifests than any real release has: all of them are held.
const MAX_BYTES: u64 = 64 << 20;
/// How deep the index of one platform may nest; real ones do not.
const MAX_DEPTH: usize = 4;
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const REFERENCE_TYPE: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");

/// A manifest that will be an entry of the index, and where it was found.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) descriptor: Descriptor,
    pub(super) manifest: ImageManifest,
    pub(super) raw: RawManifest,
    pub(super) source: Repository,
}

/// Reads every child, with everything that an index among them lists. Each digest comes back once.
pub(super) async fn read(
    registry: &Registry,
    children: &[Child],
    sources: &[Repository],
) -> Result<Vec<Entry>, Vec<PublishError>> {
    let found: Vec<Result<(RawManifest, Repository), PublishError>> =
        stream::iter(children).map(|child| find(registry, child, sources)).buffered(PARALLEL).collect().await;
    let mut pending = Vec::new();
    let mut failures = Vec::new();
    for outcome in found {
        match outcome {
            Ok((raw, source)) => pending.push(Pending { listed: None, raw, source }),
            Err(failure) => failures.push(failure),
        }
    }
    let mut entries: BTreeMap<Digest, Entry> = BTreeMap::new();
    let mut seen: BTreeSet<Digest> = pending.iter().map(|one| one.raw.digest).collect();
    let mut bytes: usize = pending.iter().map(|one| one.raw.bytes.len()).sum();
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        let read: Vec<_> =
            stream::iter(pending).map(|one| one.open(registry)).buffered(PARALLEL).collect::<Vec<_>>().await;
        for outcome in read {
            match outcome {
                Ok(Opened::Entry(entry)) => {
                    entries.insert(entry.descriptor.digest, *entry);
                }
                // What an index lists is counted before any of it is read, and each manifest is read once.
                Ok(Opened::Index(source, listed)) => {
                    next.extend(
                        listed.into_iter().filter(|one| seen.insert(one.digest)).map(|one| (source.clone(), one)),
                    );
                }
                Err(failure) => failures.push(failure),
            }
            if seen.len() > MAX_MANIFESTS {
                return Err(vec![PublishError::TooMany { limit: MAX_MANIFESTS }]);
            }
        }
        let announced = next.iter().fold(bytes as u64, |sum, (_, one)| sum.saturating_add(one.size));
        if announced > MAX_BYTES {
            return Err(vec![PublishError::TooLarge { limit: MAX_BYTES }]);
        }
        let listed: Vec<_> = stream::iter(next)
            .map(|(source, descriptor)| Pending::listed(registry, source, descriptor))
            .buffered(PARALLEL)
            .collect()
            .await;
        pending = Vec::new();
        for outcome in listed {
            match outcome {
                Ok(one) => {
                    bytes += one.raw.bytes.len();
                    pending.push(one);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if pending.is_empty() {
            break;
        }
    }
    failures.extend(pending.first().map(|one| PublishError::NotAnImage {
        manifest: one.pinned(),
        problem: format!("indexes nest deeper than {MAX_DEPTH} levels"),
    }));
    if failures.is_empty() { Ok(entries.into_values().collect()) } else { Err(failures) }
}

/// Where a child lies: in the repository that was named with it, else in the first that has it.
async fn find(
    registry: &Registry,
    child: &Child,
    sources: &[Repository],
) -> Result<(RawManifest, Repository), PublishError> {
    let named = child.repository.as_ref().map(std::slice::from_ref);
    let looked_in = named.unwrap_or(sources);
    let mut last = None;
    for repository in looked_in {
        match registry.manifest(&repository.pin(child.digest)).await {
            Ok(raw) => return Ok((raw, repository.clone())),
            Err(error) if error.class() == Class::NotFound => {}
            Err(error) => last = Some(failed("read", repository.pin(child.digest), error)),
        }
    }
    // A repository that could not be asked may be the one that has it.
    Err(last.unwrap_or_else(|| PublishError::ImageMissing { digest: child.digest, looked_in: looked_in.to_vec() }))
}

/// A manifest that was read, with what the index that lists it says of it.
struct Pending {
    listed: Option<Descriptor>,
    raw: RawManifest,
    source: Repository,
}

enum Opened {
    Entry(Box<Entry>),
    Index(Repository, Vec<Descriptor>),
}

impl Pending {
    fn pinned(&self) -> PinnedReference {
        self.source.pin(self.raw.digest)
    }

    async fn open(self, registry: &Registry) -> Result<Opened, PublishError> {
        let pinned = self.pinned();
        match &self.raw.manifest {
            Manifest::Index(index) => Ok(Opened::Index(self.source, index.manifests.clone())),
            Manifest::Image(manifest) => {
                let manifest = manifest.clone();
                let descriptor = self.describe(registry, &manifest).await?;
                Ok(Opened::Entry(Box::new(Entry { descriptor, manifest, raw: self.raw, source: self.source })))
            }
            _ => Err(PublishError::NotAnImage { manifest: pinned, problem: "it is of an unknown kind".to_owned() }),
        }
    }

    async fn listed(registry: &Registry, source: Repository, listed: Descriptor) -> Result<Self, PublishError> {
        let pinned = source.pin(listed.digest);
        let kinds =
            [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];
        if !kinds.contains(&listed.media_type.as_str()) {
            let problem = format!("its media type is {}", countersign_oci::printable(&listed.media_type, 200));
            return Err(PublishError::NotAnImage { manifest: pinned, problem });
        }
        let raw = match registry.manifest(&pinned).await {
            Ok(raw) => raw,
            Err(error) if error.class() == Class::NotFound => {
                return Err(PublishError::ImageMissing { digest: listed.digest, looked_in: vec![source] });
            }
            Err(error) => return Err(failed("read", pinned, error)),
        };
        if raw.media_type != listed.media_type || raw.bytes.len() as u64 != listed.size {
            let problem = "its size or media type is not what the index says".to_owned();
            return Err(PublishError::NotAnImage { manifest: pinned, problem });
        }
        Ok(Self { listed: Some(listed), raw, source })
    }

    /// The entry of the new index: what the listing index says, with the platform of the config.
    async fn describe(&self, registry: &Registry, manifest: &ImageManifest) -> Result<Descriptor, PublishError> {
        let (key, value) = REFERENCE_TYPE;
        let mut descriptor = Descriptor::new(self.raw.media_type.clone(), self.raw.digest, self.raw.bytes.len() as u64);
        if let Some(listed) = &self.listed {
            descriptor.annotations.clone_from(&listed.annotations);
            if listed.annotations.get(key).is_some_and(|found| found == value) {
                descriptor.platform.clone_from(&listed.platform);
                return Ok(descriptor);
            }
        }
        let platform = self.platform(registry, manifest).await?;
        match self.listed.as_ref().and_then(|listed| listed.platform.as_ref()) {
            Some(named) if !named.serves(&platform) => Err(PublishError::PlatformContradicted {
                image: self.pinned(),
                found: Box::new(platform),
                named: Box::new(named.clone()),
            }),
            _ => {
                descriptor.platform = Some(platform);
                Ok(descriptor)
            }
        }
    }

    async fn platform(&self, registry: &Registry, manifest: &ImageManifest) -> Result<Platform, PublishError> {
        let image = self.pinned();
        if !CONFIGS.contains(&manifest.config.media_type.as_str()) {
            let problem = format!("its config is a {}", countersign_oci::printable(&manifest.config.media_type, 200));
            return Err(PublishError::NotAnImage { manifest: image, problem });
        }
        let bytes = registry
            .blob(&self.source, &manifest.config, limits::MANIFEST_BYTES)
            .await
            .map_err(|error| failed("read the config of", self.pinned(), error))?;
        platform(&bytes).map_err(|problem| PublishError::ConfigMalformed { image, problem })
    }
}

/// What the config of an image says of its platform (OCI image specification, `config.md`).
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: String,
    #[serde(rename = "os.version", default)]
    os_version: String,
}

fn platform(config: &[u8]) -> Result<Platform, String> {
    let config: Config = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    if config.os.is_empty() || config.architecture.is_empty() {
        return Err("it names no operating system or no architecture".to_owned());
    }
    let mut text = format!("{}/{}", config.os, config.architecture);
    if !config.variant.is_empty() {
        text = format!("{text}/{}", config.variant);
    }
    let mut platform: Platform = text.parse().map_err(|error| format!("its platform is none: {error}"))?;
    let version = countersign_oci::printable(&config.os_version, 100);
    platform.os_version = (!version.is_empty()).then_some(version);
    Ok(platform)
}

fn failed(action: &'static str, what: PinnedReference, source: countersign_oci::RegistryError) -> PublishError {
    PublishError::Registry { action, what: what.to_string(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_is_what_the_config_says() {
        let table = [
            (r#"{"os":"linux","architecture":"amd64"}"#, Some("linux/amd64")),
            (r#"{"os":"linux","architecture":"arm","variant":"v7","rootfs":{}}"#, Some("linux/arm/v7")),
            (r#"{"os":"linux"}"#, None),
            (r#"{"architecture":"amd64"}"#, None),
            (r#"{"os":"linux","architecture":"amd64/../x"}"#, None),
            ("{}", None),
            ("[]", None),
            ("", None),
        ];
        for (config, expected) in table {
            let found = platform(config.as_bytes()).ok().map(|platform| platform.to_string());
            assert_eq!(found.as_deref(), expected, "{config}");
        }
        let windows = platform(br#"{"os":"windows","architecture":"amd64","os.version":"10.0.1"}"#).unwrap();
        assert_eq!(windows.os_version.as_deref(), Some("10.0.1"));
    }
}
