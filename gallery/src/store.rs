//! The backends path: what is installed in it, and the hidden area in which an installation is prepared.
//!
//! ```text
//! <backends>/<name>/{run.sh, metadata.json, receipt.json, ...}
//! <backends>/.countersign/{lock, staging/<random>/, blobs/, aside/<name>/}
//! ```
//!
//! The hidden area exists while somebody works in it. Whoever opens it next repairs what a killed process left.

mod area;
mod lock;
mod metadata;
mod receipt;
mod work;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::metadata::Metadata;
pub use self::receipt::{Receipt, SCHEMA as RECEIPT_SCHEMA, SignatureRecord, Verification};
pub(crate) use self::work::{Activated, CHANGED, Expected, Staging, Work};
use crate::confine::{RelativePath, Root};
use crate::exchange::Method;
use crate::limits;
use crate::name::EntryName;

/// A backends path. Looking at it changes nothing.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    method: Method,
    patience: Duration,
}

/// What stands under an entry's name.
#[derive(Debug)]
#[non_exhaustive]
pub enum State {
    /// Nothing.
    Absent,
    /// A backend.
    Backend(Box<Installed>),
    /// What was a backend by its records, and cannot be run.
    Broken {
        /// What the records say. At least one of them names this entry.
        installed: Box<Installed>,
        /// What it lacks.
        reason: &'static str,
    },
    /// An empty directory.
    Empty,
    /// A meta entry's directory, which holds nothing but LocalAI's record.
    Meta {
        /// The concrete entry that it stands for.
        concrete: EntryName,
        /// The record.
        metadata: Box<Metadata>,
    },
    /// Something that is not known to come from an installation.
    Other {
        /// Why it is not taken for a backend.
        reason: &'static str,
    },
}

/// One entry of [`Store::list`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: EntryName,
    /// What stands under it.
    pub state: Result<State, StoreError>,
}

/// An installed backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installed {
    /// Its name.
    pub name: EntryName,
    /// Its directory.
    pub path: PathBuf,
    /// What LocalAI reads about it; empty where that is a record of another entry.
    pub metadata: Metadata,
    /// What countersign recorded when it was installed, where it was countersign that installed this very entry.
    pub receipt: Option<Receipt>,
}

/// Why the backends path could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process works in it.
    #[error("another process is changing {path}")]
    Busy {
        /// The backends path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Disk {
        /// What was to be done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// Something that was not installed stands where the backend belongs.
    #[error("{path} is in the way: {reason}")]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What it is.
        reason: &'static str,
    },
}

/// What [`Store::recover`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// Another process works in the backends path, so what is seen there may be about to change.
    Busy,
    /// Nobody does; the names of backends that a killed process had set aside, now back.
    Done(Vec<String>),
}

impl Store {
    /// Names a backends path, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), method: Method::Exchange, patience: limits::LOCK_PATIENCE }
    }

    /// Waits at most this long for another process that works in the path, in place of a minute.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Replaces backends by two renames even where the file system offers to exchange directories in one step.
    #[must_use]
    pub fn with_two_renames(self) -> Self {
        Self { method: Method::TwoRenames, ..self }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of an entry.
    #[must_use]
    pub fn directory(&self, name: &EntryName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// What stands under a name. No link is followed, in the directory or to it.
    pub fn state(&self, name: &EntryName) -> Result<State, StoreError> {
        let path = self.directory(name);
        let disk = |source| StoreError::Disk { action: "read", path: path.clone(), source };
        let status = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
            status => status.map_err(disk)?,
        };
        if !status.is_dir() {
            return Ok(State::Other { reason: "it is not a directory" });
        }
        let mut entries = fs::read_dir(&path).map_err(disk)?;
        let (first, second) = (entries.next(), entries.next());
        if first.is_none() {
            return Ok(State::Empty);
        }
        let mut root = Root::open(&path).map_err(disk)?;
        let metadata = read_record::<Metadata>(&mut root, METADATA).filter(|metadata| metadata.is_of(name));
        if let Some(Metadata { meta_backend_for: Some(concrete), .. }) = &metadata {
            let concrete = concrete.clone();
            return Ok(match metadata {
                Some(metadata) if second.is_none() => State::Meta { concrete, metadata: Box::new(metadata) },
                _ => State::Other { reason: "it holds more than the record of a meta entry" },
            });
        }
        let receipt = read_record::<Receipt>(&mut root, RECEIPT).filter(|receipt| receipt.is_of(name));
        let recorded = metadata.is_some() || receipt.is_some();
        let metadata = metadata.unwrap_or_default();
        let installed = Box::new(Installed { name: name.clone(), path, metadata, receipt });
        Ok(match run_file(&mut root) {
            RunFile::Executable => State::Backend(installed),
            RunFile::Lacking(reason) if recorded => State::Broken { installed, reason },
            RunFile::Lacking(_) => State::Other { reason: "it is no backend" },
            RunFile::Unknown => State::Other { reason: "its run.sh is not a file that can be read" },
        })
    }

    /// All entries that stand in the backends path, by name; one that cannot be read says so and hides no other.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let disk = |source| StoreError::Disk { action: "read", path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(disk)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(disk)?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.parse::<EntryName>().ok()) {
                let state = self.state(&name);
                found.push(Listed { name, state });
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }
}

/// Whether a tree has a `run.sh` that can be run: a regular file with the executable bit, in the tree itself.
pub(crate) fn has_run_file(root: &mut Root) -> bool {
    matches!(run_file(root), RunFile::Executable)
}

enum RunFile {
    Executable,
    /// It is not there, or was never meant to be run.
    Lacking(&'static str),
    /// Something else stands there, or it cannot be looked at.
    Unknown,
}

fn run_file(root: &mut Root) -> RunFile {
    let Some(run) = fixed(RUN_FILE) else { return RunFile::Unknown };
    let status = root.open_file(&run).and_then(|file| Ok(rustix::fs::fstat(&file)?));
    match status {
        Ok(status) if status.st_mode & 0o100 != 0 => RunFile::Executable,
        Ok(_) => RunFile::Lacking("its run.sh is not executable"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => RunFile::Lacking("it has no run.sh"),
        Err(_) => RunFile::Unknown,
    }
}

/// Writes a record into a tree; whatever the image shipped under that name is removed first.
pub(crate) fn write_record(root: &mut Root, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let Some(path) = fixed(name) else { return Err(io::ErrorKind::InvalidInput.into()) };
    root.remove(&path)?;
    let mut file = root.create_file(&path)?;
    file.write_all(bytes)?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
    Ok(())
}

/// A record that cannot be read is one that is not there: it proves nothing.
fn read_record<T: serde::de::DeserializeOwned>(root: &mut Root, name: &str) -> Option<T> {
    let bytes = root.read(&fixed(name)?, limits::RECORD_BYTES).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn fixed(name: &str) -> Option<RelativePath> {
    RelativePath::parse(name.as_bytes()).ok().flatten()
}

/// Makes a directory of mode 0755 whatever the umask.
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// The file that starts a backend.
pub(crate) const RUN_FILE: &str = "run.sh";
/// LocalAI's record.
pub(crate) const METADATA: &str = "metadata.json";
/// Our record.
pub(crate) const RECEIPT: &str = "receipt.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_a_link_is_replaced_and_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink(&victim, tree.join(METADATA)).unwrap();
        let mut root = Root::open(&tree).unwrap();
        write_record(&mut root, METADATA, b"{}").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(tree.join(METADATA)).unwrap(), "{}");
    }

    #[test]
    fn a_run_file_is_a_regular_executable_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join(RUN_FILE);
        let check = || has_run_file(&mut Root::open(directory.path()).unwrap());
        assert!(!check());
        fs::write(&run, "#!/bin/sh\n").unwrap();
        assert!(!check());
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(check());
        fs::rename(&run, directory.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", &run).unwrap();
        assert!(!check());
        fs::remove_file(&run).unwrap();
        fs::create_dir(&run).unwrap();
        assert!(!check());
    }

    fn write(path: &Path, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What a directory with a name and these files, of text and mode, is taken for.
    fn state(files: &[(&str, &str, u32)]) -> State {
        let directory = tempfile::tempdir().unwrap();
        let live = directory.path().join("x");
        fs::create_dir(&live).unwrap();
        for (name, text, mode) in files {
            write(&live.join(name), text, *mode);
        }
        Store::new(directory.path()).state(&"x".parse().unwrap()).unwrap()
    }

    fn receipt(entry: &str) -> String {
        let digest = format!("sha256:{}", "0".repeat(64));
        serde_json::json!({
            "schema": RECEIPT_SCHEMA, "gallery": "g", "entry": entry, "asked": "quay.io/a/b:c", "index_digest": digest,
            "platform_digest": digest, "platform": "linux/amd64", "served_by": "quay.io/a/b",
            "installed_at": "2026-08-01T10:00:00Z", "layers": [], "files": 1, "bytes": 1, "verification": null,
        })
        .to_string()
    }

    const RUN: (&str, &str, u32) = (RUN_FILE, "#!/bin/sh\n", 0o755);

    #[test]
    fn a_backend_has_a_run_file_and_records_of_its_own_name() {
        assert!(matches!(state(&[]), State::Empty));
        let State::Backend(bare) = state(&[RUN]) else { panic!("no backend") };
        assert_eq!((&bare.metadata, &bare.receipt), (&Metadata::default(), &None));
        for (name, own) in [
            (r#"{"name": "x", "alias": "a"}"#, true),
            (r#"{"alias": "a"}"#, true),
            (r#"{"name": "y", "alias": "a"}"#, false),
        ] {
            let State::Backend(installed) = state(&[RUN, (METADATA, name, 0o644)]) else { panic!("no backend") };
            assert_eq!(installed.metadata.alias.is_some(), own, "{name}");
        }
        for (entry, own) in [("x", true), ("y", false)] {
            let State::Backend(installed) = state(&[RUN, (RECEIPT, &receipt(entry), 0o644)]) else {
                panic!("no backend")
            };
            assert_eq!(installed.receipt.is_some(), own, "the receipt of {entry}");
        }
        let unknown = receipt("x").replace(RECEIPT_SCHEMA, "countersign.dev/receipt/v2");
        let State::Backend(installed) = state(&[RUN, (RECEIPT, &unknown, 0o644)]) else { panic!("no backend") };
        assert!(installed.receipt.is_none());
    }

    #[test]
    fn only_what_has_records_of_its_own_name_is_taken_for_what_is_left_of_a_backend() {
        let (own, other) = (r#"{"name": "x"}"#, r#"{"name": "y"}"#);
        let idle = (RUN_FILE, "#!/bin/sh\n", 0o644);
        for files in
            [&[(METADATA, own, 0o644)][..], &[(RECEIPT, &receipt("x"), 0o644)], &[(METADATA, own, 0o644), idle]]
        {
            assert!(matches!(state(files), State::Broken { .. }), "{files:?}");
        }
        let mine = ("notes.txt", "mine", 0o644);
        for files in [
            &[mine][..],
            &[mine, (METADATA, other, 0o644)],
            &[mine, (METADATA, "{broken", 0o644)],
            &[mine, (RECEIPT, &receipt("y"), 0o644)],
            &[mine, idle],
        ] {
            assert!(matches!(state(files), State::Other { .. }), "{files:?}");
        }
    }

    #[test]
    fn a_run_file_that_cannot_be_judged_says_nothing_about_the_backend() {
        let directory = tempfile::tempdir().unwrap();
        let live = directory.path().join("x");
        fs::create_dir(&live).unwrap();
        write(&live.join(METADATA), r#"{"name": "x"}"#, 0o644);
        std::os::unix::fs::symlink("elsewhere", live.join(RUN_FILE)).unwrap();
        let state = Store::new(directory.path()).state(&"x".parse().unwrap()).unwrap();
        assert!(matches!(state, State::Other { .. }), "{state:?}");
    }

    #[test]
    fn a_meta_entry_has_its_record_and_nothing_else() {
        let record = (METADATA, r#"{"name": "x", "meta_backend_for": "y"}"#, 0o644);
        assert!(matches!(state(&[record]), State::Meta { concrete, .. } if concrete.as_str() == "y"));
        assert!(matches!(state(&[record, ("notes.txt", "mine", 0o644)]), State::Other { .. }));
        let other = (METADATA, r#"{"name": "z", "meta_backend_for": "y"}"#, 0o644);
        assert!(matches!(state(&[other]), State::Other { .. }));
    }

    #[test]
    fn what_is_no_directory_is_no_backend() {
        let directory = tempfile::tempdir().unwrap();
        let (store, live) = (Store::new(directory.path()), directory.path().join("x"));
        fs::write(&live, "a file").unwrap();
        assert!(matches!(store.state(&"x".parse().unwrap()).unwrap(), State::Other { .. }));
        fs::remove_file(&live).unwrap();
        std::os::unix::fs::symlink(directory.path(), &live).unwrap();
        assert!(matches!(store.state(&"x".parse().unwrap()).unwrap(), State::Other { .. }));
    }

    #[test]
    fn a_damaged_record_hides_no_other_backend() {
        let directory = tempfile::tempdir().unwrap();
        for (name, record) in [("x", r#"{"name": "x"}"#), ("y", "{broken")] {
            let live = directory.path().join(name);
            fs::create_dir(&live).unwrap();
            write(&live.join(METADATA), record, 0o644);
            write(&live.join(RUN_FILE), "#!", 0o755);
        }
        let list = Store::new(directory.path()).list().unwrap();
        assert_eq!(list.len(), 2);
        for listed in list {
            let State::Backend(installed) = listed.state.unwrap() else { panic!("not a backend") };
            assert!(installed.receipt.is_none());
        }
    }
}
