//! Where evidence is read: a registry, or an image layout that stands in for one.

use bytes::Bytes;
use countersign_oci::index::Descriptor;
use countersign_oci::{
    ImageReference, Layout, PinnedReference, RawManifest, Referrers, Registry, RegistryError, Repository, Resolved,
};

/// Where an image and what is beside it are read. What is asked for is not changed by it: a reference keeps its name,
/// whether a registry has it or a directory.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Source<'a> {
    /// An image layout: a directory. No connection is made.
    Layout(&'a Layout),
    /// The registry that the reference names.
    Registry(&'a Registry),
}

impl<'a> From<&'a Layout> for Source<'a> {
    fn from(layout: &'a Layout) -> Self {
        Self::Layout(layout)
    }
}

impl<'a> From<&'a Registry> for Source<'a> {
    fn from(registry: &'a Registry) -> Self {
        Self::Registry(registry)
    }
}

impl Source<'_> {
    pub(crate) async fn resolve(self, reference: &ImageReference) -> Result<Resolved, RegistryError> {
        match self {
            Self::Layout(layout) => layout.resolved(reference),
            Self::Registry(registry) => registry.resolve(reference).await,
        }
    }

    pub(crate) async fn manifest(self, pinned: &PinnedReference) -> Result<RawManifest, RegistryError> {
        match self {
            Self::Layout(layout) => layout.raw_manifest(pinned),
            Self::Registry(registry) => registry.manifest(pinned).await,
        }
    }

    pub(crate) async fn manifest_exists(self, pinned: &PinnedReference) -> Result<bool, RegistryError> {
        match self {
            Self::Layout(layout) => Ok(layout.has_manifest(pinned.digest())),
            Self::Registry(registry) => registry.manifest_exists(pinned).await,
        }
    }

    pub(crate) async fn blob(
        self,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        match self {
            Self::Layout(layout) => layout.raw_blob(descriptor, limit),
            Self::Registry(registry) => registry.blob(repository, descriptor, limit).await,
        }
    }

    pub(crate) async fn referrers(self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        match self {
            Self::Layout(layout) => Ok(layout.listed_referrers(subject)),
            Self::Registry(registry) => registry.referrers(subject).await,
        }
    }

    /// What is under the tag of the referrers tag schema. In a layout that is never hidden: it counts like the rest.
    pub(crate) async fn referrers_tag(self, subject: &PinnedReference) -> Result<Option<Referrers>, RegistryError> {
        match self {
            Self::Layout(_) => Ok(None),
            Self::Registry(registry) => registry.referrers_tag(subject).await,
        }
    }
}
