//! The advisory lock of a backends path.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::area::Area;

/// A lock that is held until it is dropped, or its process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    area: Area,
}

impl Lock {
    /// Makes the area and takes its lock, `None` where somebody else has it.
    pub(super) fn acquire(area: &Area) -> io::Result<Option<Self>> {
        for _ in 0..ATTEMPTS {
            match fs::create_dir(area.path()) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let file = match area.lock_file() {
                // The holder before removed the area between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                locked => locked?,
            }
            // A lock on a file that was removed meanwhile locks nobody out.
            let held = file.metadata()?;
            let found = area.lock_path().symlink_metadata();
            if found.is_ok_and(|status| (status.dev(), status.ino()) == (held.dev(), held.ino())) {
                return Ok(Some(Self { file, area: area.clone() }));
            }
        }
        Ok(None)
    }

    /// Removes the lock with its area, if nothing else is in there.
    pub(super) fn remove(self) {
        // While the lock is held: whoever opened the file before finds it gone and tries again.
        let _ = fs::remove_file(self.area.lock_path());
        let _ = fs::remove_dir(self.area.path());
        drop(self.file);
    }
}

/// Each attempt is lost to another process that finished; so many in a row is a process in a loop.
const ATTEMPTS: usize = 100;
