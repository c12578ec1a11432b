use crate::index::ManifestError;
use crate::{Class, Digest};

/// Why something could not be read from an image layout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// No entry bears the name, or there is no such blob.
    #[error("the image layout has no {what}")]
    Absent {
        /// What was asked for.
        what: String,
        /// The names that there are, some of them.
        names: Vec<String>,
    },
    /// Several entries bear the tag that was asked for.
    #[error("the image layout has {} images of the name {what}", digests.len())]
    Ambiguous {
        /// What was asked for.
        what: String,
        /// Their digests.
        digests: Vec<String>,
    },
    /// The bytes are not the ones that the digest names.
    #[error("blob {expected} of the image layout has the digest {actual}")]
    DigestMismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// A link that leads out of the layout, or something that is no file.
    #[error("{path} of the image layout is {found}")]
    Foreign {
        /// The path inside the layout.
        path: String,
        /// What it is.
        found: &'static str,
    },
    /// The bytes are not a manifest that can be read in one way.
    #[error("{what} of the image layout is not usable")]
    Manifest {
        /// What was read.
        what: String,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// The path is no image layout.
    #[error("{path} is no image layout: {detail}")]
    NotALayout {
        /// The path.
        path: String,
        /// What is missing.
        detail: &'static str,
    },
    /// The file has another size than the descriptor says.
    #[error("blob {digest} of the image layout does not have {expected} bytes but {actual}")]
    SizeMismatch {
        /// The digest of the blob.
        digest: Digest,
        /// The size in the descriptor.
        expected: u64,
        /// The size of the file.
        actual: u64,
    },
    /// More bytes than the caller lets be read; nothing was.
    #[error("{what} of the image layout has {size} bytes, more than {limit}")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// Its size.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file system did not let it be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another version of the layout than 1.0.0.
    #[error("{path} is an image layout of version {}, not 1.0.0", found.as_deref().unwrap_or("unknown"))]
    Version {
        /// The path.
        path: String,
        /// The version, where one is named.
        found: Option<String>,
    },
}

impl LayoutError {
    /// Returns who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NotALayout { .. } | Self::TooLarge { .. } => Class::Usage,
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Class::Usage,
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => Class::Rejected,
            Self::Absent { .. } => Class::NotFound,
            Self::Unreadable { .. } => Class::Unreachable,
            Self::Ambiguous { .. } | Self::Foreign { .. } | Self::Manifest { .. } | Self::Version { .. } => {
                Class::Malformed
            }
        }
    }

    /// Returns the stable kebab-case name of the failure.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "not-found",
            Self::Ambiguous { .. } => "layout-ambiguous",
            Self::DigestMismatch { .. } => "digest-mismatch",
            Self::Foreign { .. } => "layout-foreign-file",
            Self::Manifest { .. } => "manifest-malformed",
            Self::NotALayout { .. } => "not-a-layout",
            Self::SizeMismatch { .. } => "size-mismatch",
            Self::TooLarge { .. } => "too-large",
            Self::Unreadable { .. } => "layout-unreadable",
            Self::Version { .. } => "layout-version",
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Absent { names, .. } if names.is_empty() => {
                "its index.json names nothing: ask by digest, REPOSITORY@sha256:...".to_owned()
            }
            Self::Absent { names, .. } => format!("it has {}; or ask by digest", names.join(", ")),
            Self::Ambiguous { digests, .. } => format!("ask for one of them: REPOSITORY:TAG@{}", digests.join(" or @")),
            Self::Foreign { .. } => "copy the layout with its links resolved: cp -rL".to_owned(),
            Self::NotALayout { .. } => {
                "name a directory as `oras copy -r --to-oci-layout` or `regctl image copy --referrers` writes it"
                    .to_owned()
            }
            _ => return None,
        })
    }
}
