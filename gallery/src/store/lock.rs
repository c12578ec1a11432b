//! The advisory lock of a backends path.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

/// A lock that is held until it is dropped, or its process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Makes the area and takes its lock, `None` where somebody else has it.
    pub(super) fn acquire(area: &Path, path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..ATTEMPTS {
            match fs::create_dir(area) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if !area.symlink_metadata().is_ok_and(|status| status.is_dir()) {
                return Err(Errno::NOTDIR.into());
            }
            let flags = OFlags::NOFOLLOW.bits().cast_signed();
            let file = match OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .custom_flags(flags)
                .open(path)
            {
                // The holder before removed the area between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                locked => locked?,
            }
            // A lock on a file that was removed meanwhile locks nobody out.
            let held = file.metadata()?;
            if path.symlink_metadata().is_ok_and(|status| (status.dev(), status.ino()) == (held.dev(), held.ino())) {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
        Ok(None)
    }

    /// Removes the lock with its area, if nothing else is in there.
    pub(super) fn remove(self, area: &Path) {
        // While the lock is held: whoever opened the file before finds it gone and tries again.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(area);
        drop(self.file);
    }
}

/// Each attempt is lost to another process that finished; so many in a row is a process in a loop.
const ATTEMPTS: usize = 100;
