//! Where the bytes come from: the entry's own source, or a mirror where that cannot be reached.

use countersign_oci::index::Descriptor;
use countersign_oci::{
    Class, Digest, ImageReference, PinnedReference, RawManifest, Registry, RegistryError, Repository,
};

use super::error::{Attempt, InstallError};
use crate::catalogue::Target;
use crate::index::EntryKind;
use crate::source::Source;

/// The sources of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    asked: ImageReference,
    mirrors: Vec<ImageReference>,
    /// Mirrors that are no source.
    unusable: Vec<Attempt>,
}

/// A source that answered.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The repository that served, with the digest that its tag stood for.
    pub(crate) pinned: PinnedReference,
    /// The manifest, where it came with the digest.
    pub(crate) manifest: Option<RawManifest>,
    /// The repository that served, then the ones to ask when it cannot be reached any more.
    pub(crate) repositories: Vec<Repository>,
    /// Sources before it.
    pub(crate) attempts: Vec<Attempt>,
}

impl Sources {
    /// Classifies the URIs of a concrete entry, each by itself. An unusable mirror is left out; an unusable URI is final.
    pub(crate) fn of(target: &Target<'_>) -> Result<Self, InstallError> {
        let EntryKind::Concrete { uri, mirrors } = &target.concrete.kind else {
            return Err(InstallError::NotConcrete { entry: target.concrete.name.clone() });
        };
        let classify = |uri: &str| {
            let source = Source::classify(uri)?;
            let Source::Oci(reference) = &source;
            let named_by_operator =
                target.local_index || target.gallery.hosts.contains_key(reference.repository().registry());
            if !named_by_operator {
                source.require_public_host(uri)?;
            }
            let Source::Oci(reference) = source;
            Ok(reference)
        };
        let asked = classify(uri).map_err(InstallError::Source)?;
        let mut sources = Self { asked, mirrors: Vec::new(), unusable: Vec::new() };
        for mirror in mirrors {
            match classify(mirror) {
                Ok(reference) => sources.mirrors.push(sources.under_the_same_digest(reference)),
                Err(error) => sources.unusable.push(Attempt::new(mirror.clone(), &error)),
            }
        }
        Ok(sources)
    }

    /// What the entry names: what is asked for, whoever serves it.
    pub(crate) fn asked(&self) -> &ImageReference {
        &self.asked
    }

    /// Resolves the entry's reference once. Only a source that cannot be reached is passed over.
    pub(crate) async fn resolve(&self, registry: &Registry) -> Result<Origin, InstallError> {
        let sources: Vec<&ImageReference> = std::iter::once(&self.asked).chain(&self.mirrors).collect();
        let mut attempts = self.unusable.clone();
        for (position, source) in sources.iter().enumerate() {
            // A digest needs no request to be resolved; whether it can be had is asked here all the same.
            let resolved = async {
                let resolved = registry.resolve(source).await?;
                let manifest = match resolved.manifest {
                    Some(manifest) => manifest,
                    None => registry.manifest(&resolved.pinned).await?,
                };
                Ok::<_, RegistryError>((resolved.pinned, manifest))
            };
            match resolved.await {
                Ok((pinned, manifest)) => {
                    let mut repositories: Vec<Repository> = sources[position..]
                        .iter()
                        .chain(&sources[..position])
                        .map(|source| source.repository().clone())
                        .collect();
                    repositories.dedup();
                    return Ok(Origin { pinned, manifest: Some(manifest), repositories, attempts });
                }
                Err(error) if error.class() == Class::Unreachable => {
                    tracing::warn!(%source, %error, "this source cannot be reached");
                    attempts.push(Attempt::new(source.to_string(), &error));
                }
                Err(error) => return Err(InstallError::registry(source, sources.len() - position - 1, error)),
            }
        }
        Err(InstallError::Unreachable { asked: self.asked.to_string(), attempts })
    }

    /// A mirror of a pinned entry is asked for that very digest, whatever its tag stands for.
    fn under_the_same_digest(&self, mirror: ImageReference) -> ImageReference {
        match self.asked.digest() {
            Some(digest) => mirror.repository().pin(digest).into(),
            None => mirror,
        }
    }
}

impl Origin {
    /// Fetches a manifest of the image.
    pub(crate) async fn manifest(&self, registry: &Registry, digest: Digest) -> Result<RawManifest, InstallError> {
        match &self.manifest {
            Some(manifest) if manifest.digest == digest => Ok(manifest.clone()),
            _ => self.ask(async |repository: &Repository| registry.manifest(&repository.pin(digest)).await).await,
        }
    }

    /// Fetches a small blob of the image.
    pub(crate) async fn blob(
        &self,
        registry: &Registry,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<bytes::Bytes, InstallError> {
        self.ask(async |repository: &Repository| registry.blob(repository, descriptor, limit).await).await
    }

    async fn ask<T>(&self, request: impl AsyncFn(&Repository) -> Result<T, RegistryError>) -> Result<T, InstallError> {
        let mut first = None;
        for (position, repository) in self.repositories.iter().enumerate() {
            let unasked = self.repositories.len() - position - 1;
            match request(repository).await {
                Err(error) if error.class() == Class::Unreachable => first = first.or(Some((repository, error))),
                Err(error) => return Err(InstallError::registry(repository, unasked, error)),
                Ok(answer) => return Ok(answer),
            }
        }
        Err(match first {
            Some((repository, error)) => InstallError::registry(repository, 0, error),
            None => InstallError::Unreachable { asked: self.pinned.to_string(), attempts: Vec::new() },
        })
    }
}
