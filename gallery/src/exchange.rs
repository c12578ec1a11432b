//! One directory takes the place of another, so that a killed process leaves the old one or the new one.
//!
//! Where the file system can, the two change places in one step. NFS and FUSE refuse that; there the old directory is
//! first set aside under its own name, which is all the journal that recovery needs: what lies aside while its place is
//! empty belongs back there.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

/// How two directories change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `renameat2(RENAME_EXCHANGE)`, or two renames where the file system refuses it.
    Exchange,
    /// Two renames, always.
    TwoRenames,
}

/// Where the directory that was replaced is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// Where the new one came from.
    Staged,
    /// In the directory for what is set aside.
    Aside,
}

/// Puts `staged` at `live`, where nothing is yet.
pub(crate) fn place(staged: &Path, live: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, staged, CWD, live, RenameFlags::NOREPLACE) {
        Err(error) if is_refused(error) => {
            // Another process that ignores the lock could come between; a rename never replaces a directory that is not empty.
            if live.symlink_metadata().is_ok() {
                return Err(Errno::EXIST.into());
            }
            fs::rename(staged, live)
        }
        placed => Ok(placed?),
    }
}

/// Puts `staged` in the place of `live`; `aside` is where the old one lies between two renames.
pub(crate) fn replace(staged: &Path, live: &Path, aside: &Path, method: Method) -> io::Result<Replaced> {
    if method == Method::Exchange {
        match rustix::fs::renameat_with(CWD, staged, CWD, live, RenameFlags::EXCHANGE) {
            Err(error) if is_refused(error) => {}
            exchanged => return exchanged.map(|()| Replaced::Staged).map_err(io::Error::from),
        }
    }
    set_aside(live, aside)?;
    match fs::rename(staged, live) {
        Ok(()) => Ok(Replaced::Aside),
        Err(error) => {
            put_back(aside, live);
            Err(error)
        }
    }
}

/// The first of the two renames: what is set aside is on disk under its name before its place is filled. An error leaves
/// it where it was.
pub(crate) fn set_aside(live: &Path, aside: &Path) -> io::Result<()> {
    set_aside_with(live, aside, sync_directory)
}

fn set_aside_with(live: &Path, aside: &Path, sync: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    fs::rename(live, aside)?;
    sync(aside.parent().unwrap_or(aside)).inspect_err(|_| put_back(aside, live))
}

/// Undoes [`set_aside`]. What cannot be undone now is put back by the next recovery: the error that led here is the one to tell.
fn put_back(aside: &Path, live: &Path) {
    if let Err(error) = fs::rename(aside, live) {
        tracing::warn!(path = %live.display(), %error, "cannot be put back now");
    }
}

/// Puts back what a killed process had set aside, or removes it where its place was filled. Returns the names put back.
///
/// One that cannot be put back hides no other: the first error is told when all were tried. What need not be there any
/// longer and cannot be removed is no error.
pub(crate) fn recover(aside: &Path, live: impl Fn(&str) -> Option<std::path::PathBuf>) -> io::Result<Vec<String>> {
    let mut restored = Vec::new();
    let entries = match fs::read_dir(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(restored),
        entries => entries?,
    };
    let mut first = None;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        // A name that is no entry's was not set aside by us: it is left where it is.
        let Some((name, place)) = name.to_str().and_then(|name| Some((name, live(name)?))) else { continue };
        if place.symlink_metadata().is_ok() {
            warn_of(&entry.path(), remove(&entry.path()));
        } else if let Err(error) = fs::rename(entry.path(), &place) {
            first = first.or(Some(error));
        } else {
            warn_of(&place, sync_directory(place.parent().unwrap_or(&place)));
            restored.push(name.to_owned());
        }
    }
    first.map_or(Ok(restored), Err)
}

fn warn_of(path: &Path, done: io::Result<()>) {
    if let Err(error) = done {
        tracing::warn!(path = %path.display(), %error, "a recovery is not finished");
    }
}

/// Removes a file or a whole directory without following links; what is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(status) if status.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes the names in a directory durable, where the file system can: some network file systems cannot, and say so.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    where_it_can(rustix::fs::fsync(fs::File::open(path)?))
}

/// Makes a whole tree durable.
pub(crate) fn sync_tree(path: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        where_it_can(rustix::fs::syncfs(fs::File::open(path)?))
    }
    #[cfg(not(target_os = "linux"))]
    {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                sync_tree(&entry.path())?;
            } else if kind.is_file() {
                fs::File::open(entry.path())?.sync_all()?;
            }
        }
        sync_directory(path)
    }
}

fn where_it_can(synced: Result<(), Errno>) -> io::Result<()> {
    match synced {
        Err(error) if is_refused(error) => Ok(()),
        synced => Ok(synced?),
    }
}

/// Whether an error says that the file system cannot do such a thing at all, and not that it failed.
fn is_refused(error: Errno) -> bool {
    // One number on Linux, two on macOS.
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) || error == Errno::OPNOTSUPP
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Scene {
        directory: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let scene = Self { directory: tempfile::tempdir().unwrap() };
            fs::create_dir(scene.path("aside")).unwrap();
            for (place, content) in [("live/x", "old"), ("staged", "new")] {
                fs::create_dir_all(scene.path(place)).unwrap();
                fs::write(scene.path(place).join("f"), content).unwrap();
            }
            scene
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn replace(&self, method: Method) -> io::Result<Replaced> {
            replace(&self.path("staged"), &self.path("live/x"), &self.path("aside/x"), method)
        }

        fn recover(&self) -> Vec<String> {
            recover(&self.path("aside"), |name| (name == "x").then(|| self.path("live").join(name))).unwrap()
        }

        fn content(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.path(name).join("f")).ok()
        }
    }

    #[test]
    fn both_methods_leave_the_new_one_in_place() {
        for (method, replaced, old) in
            [(Method::Exchange, Replaced::Staged, "staged"), (Method::TwoRenames, Replaced::Aside, "aside/x")]
        {
            let scene = Scene::new();
            assert_eq!(scene.replace(method).unwrap(), replaced);
            assert_eq!(scene.content("live/x").as_deref(), Some("new"));
            assert_eq!(scene.content(old).as_deref(), Some("old"));
            assert!(scene.recover().is_empty());
            assert_eq!(scene.content("live/x").as_deref(), Some("new"));
            assert_eq!(scene.content("aside/x"), None);
        }
    }

    #[test]
    fn killed_between_the_two_renames_the_old_one_comes_back() {
        let scene = Scene::new();
        set_aside(&scene.path("live/x"), &scene.path("aside/x")).unwrap();
        assert_eq!(scene.content("live/x"), None);
        assert_eq!(scene.recover(), ["x"]);
        assert_eq!(scene.content("live/x").as_deref(), Some("old"));
        assert_eq!(scene.replace(Method::TwoRenames).unwrap(), Replaced::Aside);
    }

    #[test]
    fn a_replacement_that_fails_leaves_the_old_one() {
        for method in [Method::Exchange, Method::TwoRenames] {
            let scene = Scene::new();
            fs::remove_dir_all(scene.path("staged")).unwrap();
            assert!(scene.replace(method).is_err());
            assert_eq!(scene.content("live/x").as_deref(), Some("old"), "{method:?}");
        }
    }

    #[test]
    fn what_cannot_be_made_durable_aside_stays_in_its_place() {
        let scene = Scene::new();
        let fails = |_: &Path| Err(io::ErrorKind::StorageFull.into());
        let error = set_aside_with(&scene.path("live/x"), &scene.path("aside/x"), fails).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(scene.content("live/x").as_deref(), Some("old"));
        assert_eq!(scene.content("aside/x"), None);
    }

    #[test]
    fn only_a_file_system_that_cannot_sync_is_excused() {
        for cannot in [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(where_it_can(Err(cannot)).is_ok(), "{cannot}");
        }
        for failed in [Errno::IO, Errno::NOSPC, Errno::DQUOT] {
            assert!(where_it_can(Err(failed)).is_err(), "{failed}");
        }
    }

    #[test]
    fn one_that_cannot_be_put_back_hides_no_other() {
        let scene = Scene::new();
        for name in ["a", "b", "c"] {
            fs::create_dir(scene.path("aside").join(name)).unwrap();
        }
        let live = |name: &str| Some(scene.path(if name == "b" { "missing" } else { "live" }).join(name));
        assert!(recover(&scene.path("aside"), live).is_err());
        assert!(scene.path("live/a").exists() && scene.path("live/c").exists());
        assert!(scene.path("aside/b").exists());
    }

    #[test]
    fn a_place_that_is_taken_is_not_overwritten() {
        let scene = Scene::new();
        assert!(place(&scene.path("staged"), &scene.path("live/x")).is_err());
        assert_eq!(scene.content("live/x").as_deref(), Some("old"));
        place(&scene.path("staged"), &scene.path("live/y")).unwrap();
        assert_eq!(scene.content("live/y").as_deref(), Some("new"));
    }

    #[test]
    fn recovery_touches_nothing_that_is_not_its_own() {
        let scene = Scene::new();
        fs::create_dir_all(scene.path("aside/..x")).unwrap();
        assert!(scene.recover().is_empty());
        assert!(scene.path("aside/..x").exists());
    }

    #[test]
    fn a_link_is_removed_and_not_followed() {
        let scene = Scene::new();
        std::os::unix::fs::symlink(scene.path("live"), scene.path("link")).unwrap();
        remove(&scene.path("link")).unwrap();
        remove(&scene.path("link")).unwrap();
        assert_eq!(scene.content("live/x").as_deref(), Some("old"));
    }
}
