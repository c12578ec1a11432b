//! Layers become a directory tree, or nothing does.
//!
//! A layer is refused as a whole at the first thing that would have to be cleaned, guessed or followed. No symbolic link
//! exists on disk before the last layer has been applied, so no write can go through one.

mod archive;
#[cfg(test)]
mod hostile;
mod layer;
mod tree;

use std::io;

use countersign_oci::Digest;

pub(crate) use self::layer::Compression;
pub(crate) use self::tree::{Extraction, Summary};
use crate::confine::PathError;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The layer's file or the staging directory could not be read or written: nothing is known about the layer.
    #[error("{path} could not be written")]
    Disk {
        /// The path inside the tree, or the layer.
        path: String,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The archive holds something that is not unpacked.
    #[error("layer {layer} is refused")]
    Refused {
        /// The layer, counted from 0.
        layer: usize,
        /// What it holds.
        #[source]
        source: Refusal,
    },
}

/// What an archive must not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The header is neither POSIX ustar nor GNU, so its fields may mean anything.
    #[error("an entry has an unknown header format")]
    HeaderFormat,
    /// Two names at the top differ by upper and lower case only: `Run.sh` must not be read for `run.sh`.
    #[error("{path:?} and {other:?} differ by case only")]
    Case {
        /// The path.
        path: String,
        /// The one that was there before.
        other: String,
    },
    /// The archive cannot be parsed.
    #[error("the archive is malformed")]
    Archive(#[source] tar_core::parse::ParseError),
    /// One layer removes or replaces what it adds itself.
    #[error("{path:?} is both added and removed by the same layer")]
    Collision {
        /// The path.
        path: String,
    },
    /// The compressed stream is damaged, or goes on after its end.
    #[error("the compressed stream is malformed")]
    Compression(#[source] io::Error),
    /// The uncompressed layer is not what the image config says.
    #[error("the uncompressed layer has digest {actual}, the image config says {expected}")]
    DiffId {
        /// The image config's `rootfs.diff_ids` entry.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// One layer names a path twice.
    #[error("{path:?} occurs twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// The archive stops before its end-of-archive marker.
    #[error("the archive has no end marker")]
    EndMissing,
    /// An entry has extension headers that two readers could understand differently.
    #[error("an entry has ambiguous extension headers")]
    Extension,
    /// A hard link names something else than a regular file that was unpacked before it.
    #[error("hard link {path:?} to {target:?}, which is no file of this image")]
    HardLink {
        /// The path of the link.
        path: String,
        /// What it names.
        target: String,
    },
    /// A bound was reached.
    #[error("more than {limit} {what}")]
    Limit {
        /// What was counted.
        what: Counted,
        /// The bound.
        limit: u64,
    },
    /// A symbolic link leads out of the image, in a circle, or nowhere that can be told.
    #[error("symbolic link {path:?} to {target:?} does not stay inside the image")]
    Link {
        /// The path of the link.
        path: String,
        /// Its target.
        target: String,
    },
    /// A file stands where a directory is needed.
    #[error("{path:?} lies beneath something that is no directory")]
    NotADirectory {
        /// The path.
        path: String,
    },
    /// A path is refused.
    #[error("a path is refused")]
    Path(#[source] PathError),
    /// The root of the tree is to be something else than a directory.
    #[error("the root of the tree is replaced")]
    Root,
    /// Header and extension disagree on the size of an entry, or an entry without content has a size.
    #[error("{path:?} has two sizes, {header} and {extension}")]
    Size {
        /// The path.
        path: String,
        /// Bytes by the header.
        header: u64,
        /// Bytes by the extension header, or 0 for an entry that has no content.
        extension: u64,
    },
    /// A sparse file: its map is a second archive format.
    #[error("{path:?} is a sparse file")]
    Sparse {
        /// The path.
        path: String,
    },
    /// Something follows the end-of-archive marker, or stands between two entries.
    #[error("the archive has data outside its entries")]
    Stray,
    /// A device, a FIFO, or another type that backends have no use for.
    #[error("{path:?} has type {kind:?}, which is no file, directory or link")]
    Type {
        /// The path.
        path: String,
        /// The type flag.
        kind: char,
    },
    /// A whiteout that names nothing, a directory above, or another whiteout.
    #[error("{path:?} is no valid whiteout")]
    Whiteout {
        /// The path.
        path: String,
    },
}

/// What [`Refusal::Limit`] counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// Uncompressed bytes.
    Bytes,
    /// Archive entries.
    Entries,
    /// Steps needed to judge symbolic links.
    LinkSteps,
    /// Bytes of extension headers.
    Metadata,
    /// Bytes of paths and of targets of links.
    Names,
    /// Zero bytes after the end marker.
    Padding,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bytes => "uncompressed bytes",
            Self::Entries => "archive entries",
            Self::LinkSteps => "steps through symbolic links",
            Self::Metadata => "bytes of extension headers",
            Self::Names => "bytes of paths and link targets",
            Self::Padding => "zero bytes after the end marker",
        })
    }
}

/// What went wrong inside one layer, before the layer's number is known.
enum Fault {
    Disk { path: String, source: io::Error },
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<PathError> for Fault {
    fn from(error: PathError) -> Self {
        Self::Refused(Refusal::Path(error))
    }
}

impl Fault {
    fn in_layer(self, layer: usize) -> UnpackError {
        match self {
            Self::Disk { path, source } => UnpackError::Disk { path, source },
            Self::Refused(source) => UnpackError::Refused { layer, source },
        }
    }
}
