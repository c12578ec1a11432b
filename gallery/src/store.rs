//! The backends path: what is installed in it, and the hidden area in which an installation is prepared.
//!
//! ```text
//! <backends>/<name>/{run.sh, metadata.json, receipt.json, ...}
//! <backends>/.countersign/{lock, staging/<random>/, blobs/, aside/<name>/}
//! ```
//!
//! The hidden area exists while somebody works in it. Whoever opens it next repairs what a killed process left.

mod lock;
mod metadata;
mod receipt;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use countersign_oci::Digest;
use tempfile::TempDir;

use self::lock::Lock;
pub use self::metadata::Metadata;
pub use self::receipt::{Receipt, SCHEMA as RECEIPT_SCHEMA, SignatureRecord, Verification};
use crate::confine::{RelativePath, Root};
use crate::exchange::{self, Method, Replaced};
use crate::limits;
use crate::name::EntryName;

/// A backends path. Looking at it changes nothing.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    method: Method,
}

/// What stands under an entry's name.
#[derive(Debug)]
#[non_exhaustive]
pub enum State {
    /// Nothing.
    Absent,
    /// A backend.
    Backend(Box<Installed>),
    /// A meta entry's directory.
    Meta {
        /// The concrete entry that it stands for.
        concrete: EntryName,
    },
    /// Something that no installation made, or that lost what makes it a backend.
    Other {
        /// Why it is not taken for a backend.
        reason: &'static str,
        /// Whether it has records of an installation and so may be replaced.
        ours: bool,
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
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Installed {
    /// Its name.
    pub name: EntryName,
    /// Its directory.
    pub path: PathBuf,
    /// What LocalAI reads about it.
    pub metadata: Metadata,
    /// What countersign recorded when it was installed, where it was countersign.
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

/// The right to change a backends path: one process at a time, and everything it leaves behind is removed with it.
#[derive(Debug)]
pub(crate) struct Work {
    store: Store,
    /// Directories that did not exist before, the outermost first.
    created: Vec<PathBuf>,
    /// Names that a killed process had left without their backend, put back.
    restored: Vec<String>,
    lock: Option<Lock>,
}

/// A directory in which one backend is prepared.
#[derive(Debug)]
pub(crate) struct Staging {
    directory: TempDir,
}

impl Store {
    /// Names a backends path, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), method: Method::Exchange }
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
            return Ok(State::Other { reason: "it is not a directory", ours: false });
        }
        if fs::read_dir(&path).map_err(disk)?.next().is_none() {
            return Ok(State::Other { reason: "it is empty", ours: true });
        }
        let mut root = Root::open(&path).map_err(disk)?;
        let metadata: Option<Metadata> = read_record(&mut root, METADATA);
        let runs = fixed(RUN_FILE).is_some_and(|run| root.open_file(&run).is_ok());
        Ok(match metadata {
            Some(Metadata { meta_backend_for: Some(concrete), .. }) => State::Meta { concrete },
            metadata if runs => {
                let receipt = read_record(&mut root, RECEIPT);
                let metadata = metadata.unwrap_or_default();
                State::Backend(Box::new(Installed { name: name.clone(), path, metadata, receipt }))
            }
            Some(_) => State::Other { reason: "it has no run.sh", ours: true },
            None => State::Other { reason: "it is no backend", ours: false },
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

    /// Takes the lock, makes the directories that are missing, and repairs what a killed process left.
    pub(crate) fn begin(&self) -> Result<Work, StoreError> {
        let area = self.path.join(AREA);
        let mut work = Work { store: self.clone(), created: Vec::new(), restored: Vec::new(), lock: None };
        work.create_directories(&self.path)?;
        let lock = Lock::acquire(&area, &area.join("lock"));
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Disk { action: "prepare", path, source }
        };
        work.lock = Some(lock.map_err(disk(&area))?.ok_or_else(|| StoreError::Busy { path: self.path.clone() })?);
        let aside = area.join(ASIDE);
        work.restored =
            exchange::recover(&aside, |name| Some(self.directory(&name.parse().ok()?))).map_err(disk(&aside))?;
        exchange::remove(&area.join(STAGING)).map_err(disk(&area))?;
        Ok(work)
    }
}

impl Work {
    /// The backends path.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Names whose backend a killed process had set aside, now back in their place.
    pub(crate) fn restored(&self) -> &[String] {
        &self.restored
    }

    /// An empty directory on the backends' own file system.
    pub(crate) fn stage(&self) -> Result<Staging, StoreError> {
        let parent = self.area().join(STAGING);
        let disk = |source| StoreError::Disk { action: "write", path: parent.clone(), source };
        fs::create_dir_all(&parent).map_err(disk)?;
        let directory = tempfile::Builder::new().prefix("").tempdir_in(&parent).map_err(disk)?;
        let staging = Staging { directory };
        make_directory(&staging.tree()).map_err(disk)?;
        Ok(staging)
    }

    /// The file that holds a layer once all of it was verified.
    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        self.area().join(BLOBS).join(digest.hex())
    }

    /// The file in which a layer arrives.
    pub(crate) fn partial(&self, digest: Digest) -> Result<PathBuf, StoreError> {
        let parent = self.area().join(BLOBS);
        match fs::create_dir_all(&parent) {
            Ok(()) => Ok(parent.join(format!("{}.partial", digest.hex()))),
            Err(source) => Err(StoreError::Disk { action: "write", path: parent, source }),
        }
    }

    /// Makes a prepared directory the one that stands under a name. The one before is gone when this returns.
    ///
    /// What is no installation's is left in place, unless `force` says that it may go.
    pub(crate) fn activate(&self, staging: Staging, name: &EntryName, force: bool) -> Result<PathBuf, StoreError> {
        let live = self.store.directory(name);
        let disk = |source| StoreError::Disk { action: "activate", path: live.clone(), source };
        let tree = staging.tree();
        exchange::sync_tree(&tree).map_err(disk)?;
        let aside = self.area().join(ASIDE).join(name.as_str());
        match self.store.state(name)? {
            State::Absent => exchange::place(&tree, &live).map_err(disk)?,
            State::Other { reason, ours: false } if !force => {
                return Err(StoreError::Occupied { path: live, reason });
            }
            _ => {
                let replaced = exchange::replace(&tree, &live, &aside, self.store.method).map_err(disk)?;
                exchange::sync_directory(&self.store.path).map_err(disk)?;
                if replaced == Replaced::Aside {
                    exchange::remove(&aside).map_err(disk)?;
                }
            }
        }
        exchange::sync_directory(&self.store.path).map_err(disk)?;
        Ok(live)
    }

    fn area(&self) -> PathBuf {
        self.store.path.join(AREA)
    }

    fn create_directories(&mut self, path: &Path) -> Result<(), StoreError> {
        if path.is_dir() || path.as_os_str().is_empty() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.create_directories(parent)?;
        }
        match make_directory(path) {
            Ok(()) => self.created.push(path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(StoreError::Disk { action: "create", path: path.to_owned(), source }),
        }
        Ok(())
    }
}

impl Drop for Work {
    /// Leaves no trace but what was activated. What cannot be removed now is removed by whoever begins next.
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            let area = self.area();
            for part in [STAGING, BLOBS] {
                // A pull that was given up may make one more file while its directory is being removed.
                let removed = (0..REMOVALS).any(|_| exchange::remove(&area.join(part)).is_ok());
                if !removed {
                    tracing::warn!(path = %area.join(part).display(), "cannot be removed now");
                }
            }
            // Only when empty: what could not be put back stays.
            let _ = fs::remove_dir(area.join(ASIDE));
            lock.remove(&area);
        }
        for directory in self.created.iter().rev() {
            if fs::remove_dir(directory).is_err() {
                return;
            }
        }
    }
}

impl Staging {
    /// The directory that will be activated.
    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.path().join("tree")
    }
}

/// Whether a tree has a `run.sh` that can be run: a regular file with the executable bit, in the tree itself.
pub(crate) fn has_run_file(root: &mut Root) -> bool {
    let file = fixed(RUN_FILE).and_then(|run| root.open_file(&run).ok());
    let executable = |file: fs::File| rustix::fs::fstat(&file).is_ok_and(|status| status.st_mode & 0o100 != 0);
    file.is_some_and(executable)
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
/// Not a name of an entry, so no backend is ever taken for it.
const AREA: &str = ".countersign";
/// Attempts to remove what may still be written to.
const REMOVALS: usize = 8;
const STAGING: &str = "staging";
const BLOBS: &str = "blobs";
const ASIDE: &str = "aside";

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        directory: tempfile::TempDir,
        store: Store,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::new(directory.path().join("a/backends"));
            Self { directory, store }
        }

        fn install(&self, method: Method, text: &str) -> PathBuf {
            let store = match method {
                Method::Exchange => self.store.clone(),
                Method::TwoRenames => self.store.clone().with_two_renames(),
            };
            let work = store.begin().unwrap();
            work.activate(stage(&work, text), &name(), false).unwrap()
        }

        fn content(&self) -> Option<String> {
            fs::read_to_string(self.store.directory(&name()).join(RUN_FILE)).ok()
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(self.store.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    fn name() -> EntryName {
        "x".parse().unwrap()
    }

    fn stage(work: &Work, text: &str) -> Staging {
        let staging = work.stage().unwrap();
        fs::write(staging.tree().join(RUN_FILE), text).unwrap();
        fs::write(staging.tree().join(METADATA), "{\"name\": \"x\"}").unwrap();
        staging
    }

    #[test]
    fn an_installation_leaves_the_backend_and_nothing_else() {
        for method in [Method::Exchange, Method::TwoRenames] {
            let scene = Scene::new();
            scene.install(method, "one");
            assert_eq!(scene.content().as_deref(), Some("one"));
            scene.install(method, "two");
            assert_eq!(scene.content().as_deref(), Some("two"));
            assert_eq!(scene.names(), ["x"], "{method:?}");
        }
    }

    #[test]
    fn work_that_is_given_up_leaves_not_even_directories() {
        let scene = Scene::new();
        let work = scene.store.begin().unwrap();
        let _staging = stage(&work, "one");
        fs::write(work.partial(Digest::of(b"layer")).unwrap(), "part").unwrap();
        drop(work);
        assert_eq!(fs::read_dir(scene.directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_process_works_at_a_time() {
        let scene = Scene::new();
        let work = scene.store.begin().unwrap();
        assert!(matches!(scene.store.begin(), Err(StoreError::Busy { .. })));
        drop(work);
        scene.store.begin().unwrap();
    }

    #[test]
    fn a_process_killed_between_two_renames_loses_no_backend() {
        let scene = Scene::new();
        scene.install(Method::TwoRenames, "old");
        let area = scene.store.path().join(AREA);
        exchange::set_aside(&scene.store.directory(&name()), &area.join(ASIDE).join("x")).unwrap();
        fs::create_dir_all(area.join(STAGING).join("abc/tree")).unwrap();
        assert_eq!(scene.content(), None);

        let work = scene.store.begin().unwrap();
        assert_eq!(work.restored(), ["x"]);
        assert_eq!(scene.content().as_deref(), Some("old"));
        drop(work);
        assert_eq!(scene.names(), ["x"]);
    }

    #[test]
    fn a_process_killed_after_the_exchange_leaves_the_new_backend() {
        for method in [Method::Exchange, Method::TwoRenames] {
            let scene = Scene::new();
            scene.install(Method::Exchange, "old");
            let work = scene.store.begin().unwrap();
            let staging = stage(&work, "new");
            let aside = work.area().join(ASIDE).join("x");
            exchange::replace(&staging.tree(), &scene.store.directory(&name()), &aside, method).unwrap();
            // A killed process runs no destructor; its lock goes with it.
            let Staging { directory } = staging;
            let _ = directory.keep();
            let mut work = std::mem::ManuallyDrop::new(work);
            drop(work.lock.take());

            drop(scene.store.begin().unwrap());
            assert_eq!(scene.content().as_deref(), Some("new"), "{method:?}");
            assert_eq!(scene.names(), ["x"], "{method:?}");
        }
    }

    #[test]
    fn leftovers_are_never_taken_for_backends() {
        let scene = Scene::new();
        scene.install(Method::Exchange, "one");
        let work = scene.store.begin().unwrap();
        let _staging = stage(&work, "half");
        let names: Vec<_> = scene.store.list().unwrap().into_iter().map(|listed| listed.name.to_string()).collect();
        assert_eq!(names, ["x"]);
    }

    #[test]
    fn what_nobody_installed_is_not_replaced() {
        let scene = Scene::new();
        let live = scene.store.directory(&name());
        fs::create_dir_all(&live).unwrap();
        fs::write(live.join("notes.txt"), "mine").unwrap();
        let work = scene.store.begin().unwrap();
        let error = work.activate(stage(&work, "new"), &name(), false).unwrap_err();
        assert!(matches!(error, StoreError::Occupied { .. }), "{error:?}");
        assert!(live.join("notes.txt").exists());
        work.activate(stage(&work, "new"), &name(), true).unwrap();
        drop(work);
        assert_eq!(scene.content().as_deref(), Some("new"));

        fs::remove_dir_all(&live).unwrap();
        fs::write(&live, "a file").unwrap();
        assert!(matches!(scene.store.state(&name()).unwrap(), State::Other { ours: false, .. }));
        fs::remove_file(&live).unwrap();
        std::os::unix::fs::symlink(scene.directory.path(), &live).unwrap();
        assert!(matches!(scene.store.state(&name()).unwrap(), State::Other { ours: false, .. }));
    }

    #[test]
    fn a_damaged_record_hides_no_other_backend() {
        let scene = Scene::new();
        scene.install(Method::Exchange, "one");
        let other = scene.store.path().join("y");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(METADATA), "{broken").unwrap();
        fs::write(other.join(RUN_FILE), "#!").unwrap();
        let list = scene.store.list().unwrap();
        assert_eq!(list.len(), 2);
        for listed in list {
            let State::Backend(installed) = listed.state.unwrap() else { panic!("not a backend") };
            assert!(installed.receipt.is_none());
        }
    }

    #[test]
    fn a_record_that_is_a_link_is_replaced_and_not_written_through() {
        let scene = Scene::new();
        let victim = scene.directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let tree = scene.directory.path().join("tree");
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
}
