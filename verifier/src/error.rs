//! What keeps the verifier from answering at all.

use countersign_oci::{Class, PinnedReference};
use thiserror::Error;

/// Why no verdict could be reached. A verdict that says no is not an error: see [`crate::Verdict`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Files that hold a cached trusted root cannot be read or written.
    #[error("cannot use the trust cache at {path}")]
    Cache {
        /// Where the cache lies.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The trusted root does not come from a TUF repository, and only one can be refreshed, or have a copy.
    #[error("the trusted root does not come from a TUF repository")]
    NoRepository,
    /// The image has nothing for the platform that was asked for.
    #[error("{reference} has nothing for {wanted}")]
    NoPlatform {
        /// What was asked for.
        reference: String,
        /// The platform.
        wanted: String,
        /// The platforms that it says it is for.
        available: Vec<String>,
    },
    /// What was given as a managed key is none that signatures can be checked with.
    #[error("managed key cannot be used: {detail}")]
    ManagedKey {
        /// What is wrong with it.
        detail: String,
    },
    /// A manifest of a verified image is not what was verified, or cannot be read.
    #[error("manifests of {reference} cannot be used")]
    Platforms {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        cause: crate::platforms::PlatformsError,
    },
    /// The policy requires signatures of each platform, and the evidence is that of one digest.
    #[error("policy requires each platform to be signed itself, and {reference} is judged by its own evidence alone")]
    PlatformsNotAsked {
        /// What was asked for.
        reference: PinnedReference,
    },
    /// The registry did not answer as it must.
    #[cfg(feature = "registry")]
    #[error("cannot read {reference}")]
    Registry {
        /// What was asked for.
        reference: String,
        /// Why.
        #[source]
        cause: Box<countersign_oci::RegistryError>,
    },
    /// The policy demands that the tag is signed, and no tag was asked for.
    #[error("policy requires a signed tag, and {reference} names none")]
    TagNotAsked {
        /// What was asked for.
        reference: PinnedReference,
    },
    /// A copy of a TUF repository does not verify, or is none.
    #[error("{path} is no usable copy of the TUF repository: {detail}")]
    TrustCopy {
        /// The copy.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// No connection may be made, and there is no cached copy of the TUF repository that is still valid.
    #[error("no valid trusted root from {url} without a connection: {detail}")]
    TrustOffline {
        /// The repository.
        url: String,
        /// Why the cached copy will not do.
        detail: String,
    },
    /// The trusted root cannot be used.
    #[error("trusted root from {origin} cannot be used: {detail}")]
    TrustedRoot {
        /// Where the trusted root comes from.
        origin: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The trusted root cannot be read.
    #[error("cannot read the trusted root {path}")]
    TrustFile {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The TUF repository could not be reached or does not verify, and no cached copy is still valid.
    #[error("no valid trusted root from {url}: {detail}")]
    Tuf {
        /// The repository.
        url: String,
        /// What went wrong.
        detail: String,
    },
}

impl Error {
    /// Returns a stable name for the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cache { .. } => "trust-cache",
            Self::NoPlatform { .. } => "no-platform",
            Self::NoRepository => "no-tuf-repository",
            Self::ManagedKey { .. } => "managed-key-malformed",
            Self::Platforms { .. } => "manifest-unusable",
            Self::PlatformsNotAsked { .. } => "platforms-not-asked",
            #[cfg(feature = "registry")]
            Self::Registry { cause, .. } => cause.code(),
            Self::TagNotAsked { .. } => "tag-not-asked",
            Self::TrustCopy { .. } => "trust-copy",
            Self::TrustOffline { .. } => "trusted-root-offline",
            Self::TrustedRoot { .. } => "trusted-root-malformed",
            Self::TrustFile { .. } => "trusted-root-unreadable",
            Self::Tuf { .. } => "trusted-root-unavailable",
        }
    }

    /// Returns who or what is to blame.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Cache { .. } | Self::TrustOffline { .. } | Self::Tuf { .. } => Class::Unreachable,
            Self::TrustCopy { .. } => Class::Malformed,
            #[cfg(feature = "registry")]
            Self::Registry { cause, .. } => cause.class(),
            Self::Platforms { .. } => Class::Malformed,
            Self::ManagedKey { .. }
            | Self::NoPlatform { .. }
            | Self::NoRepository
            | Self::PlatformsNotAsked { .. }
            | Self::TagNotAsked { .. }
            | Self::TrustedRoot { .. }
            | Self::TrustFile { .. } => Class::Usage,
        }
    }

    /// Returns what a person can do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            #[cfg(feature = "registry")]
            Self::Registry { cause, .. } => cause.hint(),
            Self::NoPlatform { available, .. } if available.is_empty() => Some("leave out --platform".into()),
            Self::NoPlatform { available, .. } => Some(format!("it is for {}", available.join(", "))),
            Self::TagNotAsked { reference } => Some(format!(
                "ask for the tag: {}:TAG or {}:TAG@{}",
                reference.repository(),
                reference.repository(),
                reference.digest()
            )),
            Self::PlatformsNotAsked { .. } => {
                Some("ask a registry or an image layout, or leave `require.platforms` out of the policy".into())
            }
            Self::ManagedKey { .. } => Some("a managed key is given as PEM: BEGIN PUBLIC KEY".into()),
            Self::TrustedRoot { .. } => Some("is it a trusted_root.json of this Sigstore instance?".into()),
            Self::NoRepository => {
                Some("leave out --trusted-root and --trust embedded, or name --tuf-url with --tuf-root".into())
            }
            Self::TrustCopy { .. } => Some(
                "a copy is made by `trust export --repository-copy FILE`, and expires with its metadata; a \
                 trusted_root.json is given to each call with --trusted-root FILE"
                    .into(),
            ),
            Self::TrustOffline { .. } => Some(
                "run `countersign-verifier trust update` while connected, take a copy over with `trust import`, or \
                 give a trusted root with --trusted-root FILE"
                    .into(),
            ),
            Self::Tuf { .. } => Some(
                "try again when the repository can be reached, or give a trusted root with --trusted-root FILE".into(),
            ),
            _ => None,
        }
    }
}
