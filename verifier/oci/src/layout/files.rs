//! Files of a layout: opened only where they are, read only as far as they may go.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::LayoutError;
use crate::Digest;

/// Returns the bytes of a file at a path inside the layout; `None` where there is none.
///
/// Refuses links that lead out of the layout, and everything that is no file: a pipe or device would never end.
pub(super) fn read(root: &Path, inside: &Path, limit: u64) -> Result<Option<Vec<u8>>, LayoutError> {
    let shown = || inside.display().to_string();
    let unreadable = |source| LayoutError::Unreadable { path: shown(), source };
    let Some(path) = find(root, inside)? else { return Ok(None) };
    let metadata = path.symlink_metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LayoutError::Foreign { path: shown(), found: "no file" });
    }
    if metadata.len() > limit {
        return Err(LayoutError::TooLarge { what: shown(), size: metadata.len(), limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // A file that grows meanwhile is cut here, and then has another digest.
    let file = File::open(&path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 {
        size if size > limit => Err(LayoutError::TooLarge { what: shown(), size, limit }),
        _ => Ok(Some(bytes)),
    }
}

/// Returns a blob of at most `limit` bytes that has this digest and, where one is given, this size.
pub(super) fn blob(root: &Path, digest: Digest, size: Option<u64>, limit: u64) -> Result<Vec<u8>, LayoutError> {
    let what = || format!("blob {digest}");
    if let Some(size) = size.filter(|size| *size > limit) {
        return Err(LayoutError::TooLarge { what: what(), size, limit });
    }
    // One byte more tells a file that is too long from one that fits.
    let most = size.map_or(limit, |size| size.saturating_add(1));
    let bytes = match read(root, &place(digest), most) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(LayoutError::Absent { what: what(), names: Vec::new() }),
        Err(LayoutError::TooLarge { size: actual, .. }) => {
            return Err(match size {
                Some(expected) => LayoutError::SizeMismatch { digest, expected, actual },
                None => LayoutError::TooLarge { what: what(), size: actual, limit },
            });
        }
        Err(error) => return Err(error),
    };
    let found = bytes.len() as u64;
    if let Some(expected) = size.filter(|expected| *expected != found) {
        return Err(LayoutError::SizeMismatch { digest, expected, actual: found });
    }
    match Digest::of(&bytes) {
        actual if actual == digest => Ok(bytes),
        actual => Err(LayoutError::DigestMismatch { expected: digest, actual }),
    }
}

pub(super) fn exists(root: &Path, digest: Digest) -> bool {
    matches!(find(root, &place(digest)), Ok(Some(path)) if path.is_file())
}

fn place(digest: Digest) -> PathBuf {
    Path::new("blobs").join("sha256").join(digest.hex())
}

/// Where a path inside the layout leads, links resolved; `None` where there is nothing.
fn find(root: &Path, inside: &Path) -> Result<Option<PathBuf>, LayoutError> {
    match root.join(inside).canonicalize() {
        Ok(path) if path.starts_with(root) => Ok(Some(path)),
        Ok(_) => Err(LayoutError::Foreign {
            path: inside.display().to_string(),
            found: "a link that leads out of the layout",
        }),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(LayoutError::Unreadable { path: inside.display().to_string(), source }),
    }
}
