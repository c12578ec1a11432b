//! The hidden area of a backends path. What a process finds in it may have been put there by anybody who could write to
//! the backends path once: no link in it is followed, and no file is shared with a place outside.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::fixed;
use crate::confine::Root;
use crate::exchange;

/// Where the area is.
#[derive(Clone, Debug)]
pub(super) struct Area {
    path: PathBuf,
}

/// A directory of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Backends between two renames.
    Aside,
    /// Layers.
    Blobs,
    /// Backends that are being prepared.
    Staging,
}

impl Area {
    pub(super) fn of(backends: &Path) -> Self {
        Self { path: backends.join(AREA) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn part(&self, part: Part) -> PathBuf {
        self.path.join(part.name())
    }

    /// Makes a part of the area a directory: a file or link that stands there is removed, not followed.
    pub(super) fn make(&self, part: Part) -> io::Result<PathBuf> {
        let mut root = Root::open(&self.path)?;
        let Some(name) = fixed(part.name()) else { return Err(Errno::INVAL.into()) };
        for _ in 0..2 {
            match root.create_directory(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| self.part(part)),
            }
            if root.is_directory(&name)? {
                break;
            }
            root.remove(&name)?;
        }
        Ok(self.part(part))
    }

    /// Removes what no process of ours leaves in the area, and what none can go on with.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let mut root = Root::open(&self.path)?;
        for part in [Part::Aside, Part::Blobs] {
            let Some(name) = fixed(part.name()) else { continue };
            if !root.is_directory(&name)? {
                root.remove(&name)?;
            }
        }
        exchange::remove(&self.part(Part::Staging))?;
        let blobs = match std::fs::read_dir(self.part(Part::Blobs)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            blobs => blobs?,
        };
        for blob in blobs {
            let path = blob?.path();
            // Of two names for one file, the other may be anywhere.
            let own = path.symlink_metadata().is_ok_and(|status| status.is_file() && status.nlink() == 1);
            if !own {
                exchange::remove(&path)?;
            }
        }
        Ok(())
    }

    /// The lock's file, made where it is missing. A link, a FIFO or the like that stands there is removed.
    pub(super) fn lock_file(&self) -> io::Result<File> {
        let mut root = Root::open(&self.path)?;
        let Some(name) = fixed(LOCK) else { return Err(Errno::INVAL.into()) };
        match root.open_or_create_file(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) if root.is_regular_file(&name)? || root.is_directory(&name)? => Err(error),
            Err(_) => {
                root.remove(&name)?;
                root.open_or_create_file(&name)
            }
            opened => opened,
        }
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.path.join(LOCK)
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Aside => "aside",
            Self::Blobs => "blobs",
            Self::Staging => "staging",
        }
    }
}

/// Not a name of an entry, so no backend is ever taken for it.
const AREA: &str = ".countersign";
const LOCK: &str = "lock";
