//! What lies on disk, so that "nothing changed" is a comparison and not a promise.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Every path below a folder, with what is there. An absent folder is an empty snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, Entry>);

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    File(u32, Vec<u8>),
    Folder(u32),
    Link(PathBuf),
}

impl Snapshot {
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        let mut entries = BTreeMap::new();
        if folder.symlink_metadata().is_ok() {
            walk(folder, &mut entries)?;
        }
        Ok(Self(entries))
    }

    /// Returns the paths that differ.
    pub(crate) fn difference(&self, other: &Self) -> Vec<PathBuf> {
        let paths = self.0.keys().chain(other.0.keys());
        let mut differ: Vec<PathBuf> = paths.filter(|path| self.0.get(*path) != other.0.get(*path)).cloned().collect();
        differ.sort();
        differ.dedup();
        differ
    }
}

fn walk(path: &Path, entries: &mut BTreeMap<PathBuf, Entry>) -> anyhow::Result<()> {
    let metadata = path.symlink_metadata()?;
    let mode = metadata.permissions().mode();
    if metadata.is_symlink() {
        entries.insert(path.to_path_buf(), Entry::Link(fs::read_link(path)?));
    } else if metadata.is_dir() {
        entries.insert(path.to_path_buf(), Entry::Folder(mode));
        for child in fs::read_dir(path)? {
            walk(&child?.path(), entries)?;
        }
    } else {
        entries.insert(path.to_path_buf(), Entry::File(mode, fs::read(path)?));
    }
    Ok(())
}
