//! Why an entry was not installed.

use std::fmt;
use std::path::PathBuf;

use countersign_oci::index::Platform;
use countersign_oci::{Class, Digest, RegistryError};
use countersign_verifier::{Verdict, report};

use crate::integrity::IntegrityError;
use crate::name::EntryName;
use crate::pull::PullError;
use crate::source::SourceError;
use crate::store::StoreError;
use crate::unpack::UnpackError;

/// Why an entry was not installed. The backends path is as it was, but for [`InstallError::MetaEntry`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// An index describes one of its members otherwise than it is.
    #[error("manifest {digest} is not what its index says")]
    Descriptor {
        /// The member.
        digest: Digest,
    },
    /// The image config is not readable.
    #[error("the config of image {digest} is malformed")]
    ImageConfig {
        /// The image manifest.
        digest: Digest,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing may be installed from the gallery.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
    /// A task of ours ended before its time.
    #[error("the installation was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
    /// Manifest and config disagree about the layers, or there is none.
    #[error("image {digest} has {layers} layers and {diff_ids} diff ids")]
    LayerCount {
        /// The image manifest.
        digest: Digest,
        /// Layers of the manifest.
        layers: usize,
        /// Digests in the config.
        diff_ids: usize,
    },
    /// A layer is of a type that is not unpacked, or is to come from elsewhere.
    #[error("layer {digest} has type {media_type:?}, or comes from a url, and is not unpacked")]
    LayerType {
        /// The layer.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// The backend is installed, but not the directory of the meta entry that stands for it.
    #[error("{path} is installed, but the meta entry that stands for it is not")]
    MetaEntry {
        /// The backend.
        path: PathBuf,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// Indexes lie in indexes beyond the bound.
    #[error("index {digest} nests too many indexes")]
    Nesting {
        /// The index.
        digest: Digest,
    },
    /// No manifest is for the platform.
    #[error("{reference} has nothing for {wanted}, only for {}", Platforms(.available))]
    NoPlatform {
        /// The index.
        reference: String,
        /// The platform.
        wanted: Box<Platform>,
        /// The platforms that there are.
        available: Vec<Platform>,
    },
    /// A manifest is no image.
    #[error("manifest {digest} is no image")]
    NotAnImage {
        /// The manifest.
        digest: Digest,
    },
    /// The entry has nothing to install.
    #[error("entry {entry} has nothing to install")]
    NotConcrete {
        /// The entry.
        entry: EntryName,
    },
    /// The image was rejected, or it could not be decided.
    #[error("{}", headline(.0))]
    NotVerified(Box<Verdict>),
    /// A layer did not arrive.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The registry did not answer as it must.
    #[error("cannot read {reference}")]
    Registry {
        /// What was read.
        reference: String,
        /// Mirrors that were not asked: an answer, unlike an outage, is final.
        unasked: usize,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// The image has no `run.sh` that can be run.
    #[error("image {digest} is no backend: it has no regular executable run.sh")]
    RunFile {
        /// The image manifest.
        digest: Digest,
    },
    /// The entry's URI is no source.
    #[error(transparent)]
    Source(SourceError),
    /// The backends path could not be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image is beyond a bound.
    #[error("image {digest} has {layers} layers and {bytes} bytes, more than is unpacked")]
    TooLarge {
        /// The image manifest.
        digest: Digest,
        /// Its layers.
        layers: usize,
        /// Its compressed bytes.
        bytes: u64,
    },
    /// A layer was not unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// No source could be reached.
    #[error("no source of {asked} can be reached: {}", Attempts(.attempts))]
    Unreachable {
        /// What was asked for.
        asked: String,
        /// Every attempt.
        attempts: Vec<Attempt>,
    },
    /// The verifier could not answer.
    #[error(transparent)]
    Verifier(#[from] countersign_verifier::Error),
    /// A policy was to be checked without a trusted root.
    #[error("an image is to be verified, and no trusted root was loaded")]
    VerifierMissing,
    /// The image's own config names another platform than the index that lists it.
    #[error("image {digest} is for {found}, and its index says that it is for {wanted}")]
    WrongPlatform {
        /// The image manifest.
        digest: Digest,
        /// The platform that was asked for.
        wanted: Box<Platform>,
        /// The platform in the config.
        found: Box<Platform>,
    },
}

/// A source that did not serve, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The source.
    pub source: String,
    /// Why it did not serve, in one line.
    pub reason: String,
}

impl Attempt {
    pub(crate) fn new(source: String, error: &dyn std::error::Error) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            reason.push_str(": ");
            reason.push_str(&error.to_string());
            cause = error.source();
        }
        Self { source, reason }
    }
}

impl InstallError {
    /// A registry's answer that no mirror is asked after, however many there are.
    pub(super) fn registry(reference: &dyn fmt::Display, unasked: usize, error: RegistryError) -> Self {
        Self::Registry { reference: reference.to_string(), unasked, source: Box::new(error) }
    }

    pub(super) fn interrupted(error: tokio::task::JoinError) -> Self {
        Self::Interrupted(error)
    }

    /// A stable name for the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Descriptor { .. } => "descriptor-mismatch",
            Self::ImageConfig { .. } => "image-config-malformed",
            Self::Integrity(error) => error.code(),
            Self::Interrupted(_) => "interrupted",
            Self::LayerCount { .. } => "layer-count",
            Self::LayerType { .. } => "layer-type",
            Self::MetaEntry { .. } => "meta-entry",
            Self::Nesting { .. } => "index-nesting",
            Self::NoPlatform { .. } => "no-platform",
            Self::NotAnImage { .. } => "not-an-image",
            Self::NotConcrete { .. } => "not-concrete",
            Self::NotVerified(verdict) => report::document(verdict).error.map_or("not-verified", |error| error.code),
            Self::Pull(PullError::DigestMismatch { .. }) => "layer-digest-mismatch",
            Self::Pull(PullError::Registry { source, .. }) | Self::Registry { source, .. } => source.code(),
            Self::Pull(PullError::Disk { .. }) | Self::Unpack(UnpackError::Disk { .. }) => "disk",
            Self::RunFile { .. } => "run-file-missing",
            Self::Source(SourceError::PrivateHost { .. }) => "private-host",
            Self::Source(SourceError::Reference { .. }) => "source-malformed",
            Self::Source(SourceError::UnsupportedSource { .. }) => "unsupported-source",
            Self::Store(StoreError::Busy { .. }) => "busy",
            Self::Store(StoreError::Disk { .. }) => "disk",
            Self::Store(StoreError::Occupied { .. }) => "occupied",
            Self::TooLarge { .. } => "image-too-large",
            Self::Unpack(UnpackError::Refused { .. }) => "layer-refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Verifier(error) => error.code(),
            Self::VerifierMissing => "trusted-root-missing",
            Self::WrongPlatform { .. } => "wrong-platform",
        }
    }

    /// Who has to act; with it the exit code.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Descriptor { .. }
            | Self::ImageConfig { .. }
            | Self::LayerCount { .. }
            | Self::LayerType { .. }
            | Self::Nesting { .. }
            | Self::NotAnImage { .. }
            | Self::Pull(PullError::DigestMismatch { .. })
            | Self::RunFile { .. }
            | Self::TooLarge { .. }
            | Self::Unpack(UnpackError::Refused { .. })
            | Self::WrongPlatform { .. } => Class::Rejected,
            Self::Integrity(error) => error.class(),
            Self::NotVerified(verdict) => match **verdict {
                Verdict::Rejected(_) => Class::Rejected,
                _ => Class::Unreachable,
            },
            Self::NoPlatform { .. }
            | Self::NotConcrete { .. }
            | Self::Source(_)
            | Self::Store(StoreError::Occupied { .. })
            | Self::VerifierMissing => Class::Usage,
            Self::Pull(PullError::Registry { source, .. }) | Self::Registry { source, .. } => source.class(),
            Self::Interrupted(_)
            | Self::MetaEntry { .. }
            | Self::Pull(_)
            | Self::Store(_)
            | Self::Unpack(_)
            | Self::Unreachable { .. } => Class::Unreachable,
            Self::Verifier(error) => error.class(),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::NotVerified(verdict) => report::document(verdict).error.is_some_and(|error| error.retryable),
            Self::Pull(PullError::Registry { source, .. }) | Self::Registry { source, .. } => source.retryable(),
            _ => matches!(self.class(), Class::Unreachable | Class::Throttled),
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Integrity(error) => error.hint(),
            Self::NoPlatform { available, .. } => Some(format!("choose one: --platform {}", available.first()?)),
            Self::Pull(PullError::Registry { source, .. }) => source.hint(),
            Self::Registry { unasked, source, .. } => {
                let mirrors = (*unasked > 0).then(|| format!("{} {UNASKED}", counted(*unasked, "mirror")));
                let hints: Vec<String> = source.hint().into_iter().chain(mirrors).collect();
                (!hints.is_empty()).then(|| hints.join("; "))
            }
            Self::Source(SourceError::PrivateHost { host, .. }) => {
                Some(format!("map {host} under `hosts:` of the gallery if it is yours"))
            }
            Self::Store(StoreError::Busy { .. }) => Some("try again when it is done".to_owned()),
            Self::Store(StoreError::Occupied { .. }) => Some("--force replaces it".to_owned()),
            Self::Verifier(error) => error.hint(),
            _ => None,
        }
    }
}

/// Ends the sentence that begins with a number of mirrors.
const UNASKED: &str = "not asked: only a source that cannot be reached is passed over for a mirror";

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what} was") } else { format!("{number} {what}s were") }
}

fn headline(verdict: &Verdict) -> String {
    let findings = verdict.findings();
    let word = match verdict {
        Verdict::Rejected(_) => "rejected",
        _ => "not verified",
    };
    let reference = &findings.asked.reference;
    let tag = findings.asked.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("{}{tag}@{} is {word}: {}", reference.repository(), reference.digest(), report::headline(findings))
}

struct Platforms<'a>(&'a [Platform]);

impl fmt::Display for Platforms<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("nothing");
        }
        for (position, platform) in self.0.iter().enumerate() {
            write!(formatter, "{}{platform}", if position > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

struct Attempts<'a>(&'a [Attempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, attempt) in self.0.iter().enumerate() {
            write!(formatter, "{}{} ({})", if position > 0 { "; " } else { "" }, attempt.source, attempt.reason)?;
        }
        Ok(())
    }
}
