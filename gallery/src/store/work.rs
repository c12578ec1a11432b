//! The right to change a backends path, and what is done with it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_oci::Digest;
use tempfile::TempDir;

use super::area::{Area, Part};
use super::lock::Lock;
use super::{METADATA, RECEIPT, Recovery, Store, StoreError, fixed, make_directory};
use crate::confine::Root;
use crate::exchange::{self, Replaced};
use crate::limits;
use crate::name::EntryName;

/// The right to change a backends path: one process at a time, and everything it leaves behind is removed with it.
#[derive(Debug)]
pub(crate) struct Work {
    store: Store,
    /// Directories that did not exist before, the outermost first.
    created: Vec<PathBuf>,
    /// Names that a killed process had left without their backend, put back.
    restored: Vec<String>,
    /// Whether layers that have arrived stay for an installation to come.
    keep_blobs: bool,
    lock: Option<Lock>,
}

/// A directory in which one backend is prepared.
#[derive(Debug)]
pub(crate) struct Staging {
    directory: TempDir,
}

/// What may stand under a name when a prepared directory takes its place.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Whatever it is: a person said so.
    Anything,
    /// What stood there when it was decided that it may go, or nothing.
    Seen(Option<Standing>),
}

/// What tells a directory, and whose it is, from another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    device: u64,
    inode: u64,
    /// The digests of its records.
    records: [Option<Digest>; 2],
}

/// A directory that was put in its place.
#[derive(Debug)]
pub(crate) struct Activated {
    pub(crate) path: PathBuf,
    /// What went wrong afterwards, and undoes nothing.
    pub(crate) warnings: Vec<String>,
}

impl Store {
    /// Puts back what a killed process had set aside, and removes what it left half prepared. Layers that had arrived stay:
    /// the next installation goes on with them.
    ///
    /// Changes nothing where no process was killed, and where another one works.
    pub fn recover(&self) -> Result<Recovery, StoreError> {
        self.recover_and(|work| work.keep_blobs = true)
    }

    /// The same, and removes layers that nobody will need.
    pub(crate) fn tidy(&self) -> Result<Recovery, StoreError> {
        self.recover_and(|_| {})
    }

    fn recover_and(&self, with: impl FnOnce(&mut Work)) -> Result<Recovery, StoreError> {
        if self.area().path().symlink_metadata().is_err() {
            return Ok(Recovery::Done(Vec::new()));
        }
        match self.begin() {
            Ok(mut work) => {
                with(&mut work);
                Ok(Recovery::Done(std::mem::take(&mut work.restored)))
            }
            Err(StoreError::Busy { .. }) => Ok(Recovery::Busy),
            Err(error) => Err(error),
        }
    }

    /// Begins, and waits a bounded time for another process that works in the path.
    pub(crate) async fn begin_in_turn(&self, waiting: impl Fn(bool)) -> Result<Work, StoreError> {
        let turn = async {
            loop {
                match self.begin() {
                    Err(StoreError::Busy { .. }) => waiting(true),
                    begun => return begun,
                }
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        };
        let begun = tokio::time::timeout(self.patience, turn).await;
        waiting(false);
        begun.unwrap_or_else(|_| Err(StoreError::Busy { path: self.path.clone() }))
    }

    /// Takes the lock, makes the directories that are missing, and repairs what a killed process left.
    pub(crate) fn begin(&self) -> Result<Work, StoreError> {
        let area = self.area();
        let mut work =
            Work { store: self.clone(), created: Vec::new(), restored: Vec::new(), keep_blobs: false, lock: None };
        work.create_directories(&self.path)?;
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Disk { action: "prepare", path, source }
        };
        let lock = Lock::acquire(&area).map_err(disk(area.path()))?;
        work.lock = Some(lock.ok_or_else(|| StoreError::Busy { path: self.path.clone() })?);
        area.tidy().map_err(disk(area.path()))?;
        let aside = area.part(Part::Aside);
        work.restored =
            exchange::recover(&aside, |name| Some(self.directory(&name.parse().ok()?))).map_err(disk(&aside))?;
        Ok(work)
    }

    fn area(&self) -> Area {
        Area::of(&self.path)
    }

    fn standing(&self, name: &EntryName) -> Result<Option<Standing>, StoreError> {
        let path = self.directory(name);
        let disk = |source| StoreError::Disk { action: "read", path: path.clone(), source };
        let status = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            status => status.map_err(disk)?,
        };
        let mut root = if status.is_dir() { Some(Root::open(&path).map_err(disk)?) } else { None };
        let mut digest = |name| {
            let bytes = root.as_mut()?.read(&fixed(name)?, limits::RECORD_BYTES).ok()?;
            Some(Digest::of(&bytes))
        };
        let records = [digest(METADATA), digest(RECEIPT)];
        Ok(Some(Standing { device: status.dev(), inode: status.ino(), records }))
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

    /// What stands under a name now, so that only this is replaced later; anything at all where `force` says so.
    pub(crate) fn expected(&self, name: &EntryName, force: bool) -> Result<Expected, StoreError> {
        if force { Ok(Expected::Anything) } else { self.store.standing(name).map(Expected::Seen) }
    }

    /// An empty directory on the backends' own file system.
    pub(crate) fn stage(&self) -> Result<Staging, StoreError> {
        let parent = self.make(Part::Staging)?;
        let disk = |source| StoreError::Disk { action: "write", path: parent.clone(), source };
        let directory = tempfile::Builder::new().prefix("").tempdir_in(&parent).map_err(disk)?;
        let staging = Staging { directory };
        make_directory(&staging.tree()).map_err(disk)?;
        Ok(staging)
    }

    /// The file that holds a layer once all of it was verified.
    pub(crate) fn blob(&self, digest: Digest) -> PathBuf {
        self.store.area().part(Part::Blobs).join(digest.hex())
    }

    /// The file in which a layer arrives.
    pub(crate) fn partial(&self, digest: Digest) -> Result<PathBuf, StoreError> {
        Ok(self.make(Part::Blobs)?.join(format!("{}.partial", digest.hex())))
    }

    /// Makes a prepared directory the one that stands under a name, in the place of what is expected there.
    ///
    /// An error leaves what stood there. Once the new one stands, what goes wrong is a warning.
    pub(crate) fn activate(
        &self,
        staging: Staging,
        name: &EntryName,
        expected: &Expected,
    ) -> Result<Activated, StoreError> {
        let path = self.store.directory(name);
        let disk = |source| StoreError::Disk { action: "activate", path: path.clone(), source };
        let tree = staging.tree();
        exchange::sync_tree(&tree).map_err(disk)?;
        let standing = self.store.standing(name)?;
        if matches!(expected, Expected::Seen(seen) if *seen != standing) {
            return Err(StoreError::Occupied { path, reason: CHANGED });
        }
        let aside = self.make(Part::Aside)?.join(name.as_str());
        let replaced = match standing {
            None => exchange::place(&tree, &path).map(|()| Replaced::Staged).map_err(disk)?,
            Some(_) => exchange::replace(&tree, &path, &aside, self.store.method).map_err(disk)?,
        };
        let mut warnings = Vec::new();
        let mut warn = |what: &str, done: io::Result<()>| {
            warnings.extend(done.err().map(|error| format!("{what}: {error}")));
        };
        let shown = self.store.path.display();
        warn(&format!("{shown} is not known to be on disk"), exchange::sync_directory(&self.store.path));
        if replaced == Replaced::Aside {
            warn(&format!("{} cannot be removed", aside.display()), exchange::remove(&aside));
        }
        Ok(Activated { path, warnings })
    }

    fn make(&self, part: Part) -> Result<PathBuf, StoreError> {
        let area = self.store.area();
        area.make(part).map_err(|source| StoreError::Disk { action: "write", path: area.part(part), source })
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
            let area = self.store.area();
            let parts = if self.keep_blobs { &[Part::Staging][..] } else { &[Part::Staging, Part::Blobs] };
            for part in parts {
                let path = area.part(*part);
                // A pull that was given up may make one more file while its directory is being removed.
                if !(0..REMOVALS).any(|_| exchange::remove(&path).is_ok()) {
                    tracing::warn!(path = %path.display(), "cannot be removed now");
                }
            }
            // Only when empty: what could not be put back stays.
            let _ = fs::remove_dir(area.part(Part::Aside));
            lock.remove();
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

/// What is told of a change that no process of ours makes, since they wait for each other.
pub(crate) const CHANGED: &str = "it changed while the backend was prepared";
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
/// Attempts to remove what may still be written to.
const REMOVALS: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::RUN_FILE;
    use super::*;
    use crate::exchange::Method;

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
            let expected = work.expected(&name(), false).unwrap();
            work.activate(stage(&work, text), &name(), &expected).unwrap().path
        }

        fn content(&self) -> Option<String> {
            fs::read_to_string(self.store.directory(&name()).join(RUN_FILE)).ok()
        }

        /// The hidden area, as a killed process leaves it.
        fn area(&self) -> PathBuf {
            let area = self.store.path().join(".countersign");
            fs::create_dir_all(&area).unwrap();
            area
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
        fs::set_permissions(staging.tree().join(RUN_FILE), fs::Permissions::from_mode(0o755)).unwrap();
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
        assert_eq!(scene.store.recover().unwrap(), Recovery::Busy);
        drop(work);
        scene.store.begin().unwrap();
    }

    #[test]
    fn a_process_killed_between_two_renames_loses_no_backend() {
        let scene = Scene::new();
        scene.install(Method::TwoRenames, "old");
        let area = scene.area();
        fs::create_dir(area.join("aside")).unwrap();
        exchange::set_aside(&scene.store.directory(&name()), &area.join("aside/x")).unwrap();
        fs::create_dir_all(area.join("staging/abc/tree")).unwrap();
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
            let aside = work.make(Part::Aside).unwrap().join("x");
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
    fn only_what_was_seen_is_replaced() {
        let scene = Scene::new();
        let live = scene.store.directory(&name());
        let work = scene.store.begin().unwrap();
        let changed = |expected: &Expected| {
            let error = work.activate(stage(&work, "new"), &name(), expected).unwrap_err();
            assert!(matches!(error, StoreError::Occupied { .. }), "{error:?}");
        };
        let nothing = work.expected(&name(), false).unwrap();
        fs::create_dir(&live).unwrap();
        changed(&nothing);
        let empty = work.expected(&name(), false).unwrap();
        fs::write(live.join(METADATA), "{}").unwrap();
        changed(&empty);
        let seen = work.expected(&name(), false).unwrap();
        fs::write(live.join("notes.txt"), "a program may write beside its records").unwrap();
        fs::rename(&live, scene.directory.path().join("moved")).unwrap();
        changed(&seen);
        fs::create_dir(&live).unwrap();
        fs::write(live.join(METADATA), "{}").unwrap();
        changed(&seen);
        work.activate(stage(&work, "new"), &name(), &work.expected(&name(), true).unwrap()).unwrap();
        drop(work);
        assert_eq!(scene.content().as_deref(), Some("new"));
    }

    #[test]
    fn what_a_program_writes_beside_its_records_is_no_other_backend() {
        let scene = Scene::new();
        scene.install(Method::Exchange, "old");
        let work = scene.store.begin().unwrap();
        let seen = work.expected(&name(), false).unwrap();
        fs::write(scene.store.directory(&name()).join("cache"), "x").unwrap();
        work.activate(stage(&work, "new"), &name(), &seen).unwrap();
        assert_eq!(scene.content().as_deref(), Some("new"));
    }

    #[test]
    fn a_recovery_puts_back_and_keeps_what_has_arrived() {
        let scene = Scene::new();
        assert_eq!(scene.store.recover().unwrap(), Recovery::Done(Vec::new()));
        assert!(!scene.store.path().exists(), "looking makes nothing");
        scene.install(Method::Exchange, "old");
        let area = scene.area();
        for part in ["aside", "blobs", "staging/abc/tree"] {
            fs::create_dir_all(area.join(part)).unwrap();
        }
        fs::write(area.join("blobs/one.partial"), "part").unwrap();
        fs::rename(scene.store.directory(&name()), area.join("aside/x")).unwrap();

        assert_eq!(scene.store.recover().unwrap(), Recovery::Done(vec!["x".to_owned()]));
        assert_eq!(scene.content().as_deref(), Some("old"));
        let left: Vec<_> = fs::read_dir(&area).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["blobs"]);
        scene.store.tidy().unwrap();
        assert_eq!(scene.names(), ["x"]);
    }

    #[test]
    fn no_link_in_the_area_is_followed() {
        for part in ["aside", "blobs", "staging", "lock"] {
            let scene = Scene::new();
            scene.install(Method::Exchange, "old");
            let outside = scene.directory.path().join("outside");
            fs::create_dir_all(outside.join("y")).unwrap();
            fs::write(outside.join("y/mine"), "mine").unwrap();
            symlink(&outside, scene.area().join(part)).unwrap();
            scene.install(Method::TwoRenames, "new");
            assert_eq!(scene.content().as_deref(), Some("new"), "{part}");
            assert_eq!(fs::read_to_string(outside.join("y/mine")).unwrap(), "mine", "{part}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{part}");
            assert_eq!(scene.names(), ["x"], "{part}");
        }
        let scene = Scene::new();
        scene.install(Method::Exchange, "old");
        symlink(scene.directory.path(), scene.store.path().join(".countersign")).unwrap();
        assert!(matches!(scene.store.begin(), Err(StoreError::Disk { .. })));
    }

    #[test]
    fn parts_of_the_area_that_are_something_else_are_replaced() {
        for part in ["aside", "blobs", "staging"] {
            let scene = Scene::new();
            scene.install(Method::Exchange, "old");
            fs::write(scene.area().join(part), "a file").unwrap();
            scene.install(Method::TwoRenames, "new");
            assert_eq!(scene.names(), ["x"], "{part}");
        }
        let scene = Scene::new();
        scene.install(Method::Exchange, "old");
        fs::create_dir(scene.area().join("lock")).unwrap();
        assert!(matches!(scene.store.begin(), Err(StoreError::Disk { .. })), "it may hold anything");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_for_a_lock_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode};
        let scene = Scene::new();
        scene.install(Method::Exchange, "old");
        rustix::fs::mknodat(CWD, scene.area().join("lock"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        scene.install(Method::Exchange, "new");
        assert_eq!(scene.names(), ["x"]);
    }

    #[test]
    fn a_layer_with_a_second_name_elsewhere_is_not_gone_on_with() {
        let scene = Scene::new();
        let blobs = scene.area().join("blobs");
        fs::create_dir(&blobs).unwrap();
        let victim = scene.directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        fs::hard_link(&victim, blobs.join("one.partial")).unwrap();
        fs::write(blobs.join("two.partial"), "part").unwrap();
        let _work = scene.store.begin().unwrap();
        let left: Vec<_> = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["two.partial"]);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }

    #[tokio::test]
    async fn a_turn_comes_or_the_wait_ends() {
        use std::cell::Cell;
        let scene = Scene::new();
        let work = Cell::new(Some(scene.store.begin().unwrap()));
        let impatient = scene.store.clone().with_patience(Duration::ZERO);
        assert!(matches!(impatient.begin_in_turn(|_| {}).await, Err(StoreError::Busy { .. })));
        let said = Cell::new(false);
        let turn = scene.store.begin_in_turn(|waiting| {
            said.set(said.get() | waiting);
            if waiting {
                drop(work.take());
            }
        });
        turn.await.unwrap();
        assert!(said.get());
    }
}
