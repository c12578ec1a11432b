//! A directory that nothing leaves: every path is walked from one open handle, and no symbolic link is ever followed.
//!
//! Linux walks with `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)`. Where the kernel or a sandbox refuses that call,
//! and on macOS, each component is opened on its own with `O_NOFOLLOW`. Both refuse the same paths.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::limits;

/// A path relative to a [`Root`]: components joined by single slashes, none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RelativePath(String);

/// Why bytes from an archive are not a path that is written to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path starts with a slash.
    #[error("path {0:?} is absolute")]
    Absolute(String),
    /// The path has a control character, one for the direction of text included: it could rewrite what a terminal shows.
    #[error("path {0:?} has a control character")]
    ControlCharacter(String),
    /// The path is empty, or a component of it is.
    #[error("path {0:?} has an empty component")]
    EmptyComponent(String),
    /// The path is not UTF-8.
    #[error("path {0:?} is not utf-8")]
    NotUtf8(String),
    /// A component is `.` or `..`.
    #[error("path {0:?} has a '.' or '..' component")]
    Traversal(String),
    /// The path has too many bytes, or a component has.
    #[error("a path has {bytes} bytes, more than {limit}")]
    TooLong {
        /// Bytes of the path or component.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The path has too many components.
    #[error("a path has {depth} components, more than {limit}")]
    TooDeep {
        /// Components of the path.
        depth: usize,
        /// The bound.
        limit: usize,
    },
}

/// An open directory; what is created through it lies beneath it.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    walk: Walk,
    /// The directory that the last call worked in: archives list a directory's files one after the other.
    last: Option<(String, OwnedFd)>,
}

/// How a path is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// One `openat` with `O_NOFOLLOW` for each component.
    Components,
    /// One `openat2` for the whole path.
    Kernel,
}

impl RelativePath {
    /// Returns the path that bytes of an archive spell; one leading `./` and one trailing `/` are dropped.
    ///
    /// Refuses everything that would have to be cleaned to be safe. `./` alone is the root, which has no path: `None`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, PathError> {
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(limits::COMPONENT_BYTES)]).into_owned();
        if bytes.len() > limits::PATH_BYTES {
            return Err(PathError::TooLong { bytes: bytes.len(), limit: limits::PATH_BYTES });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| PathError::NotUtf8(shown()))?;
        if text.chars().any(rewrites_text) {
            return Err(PathError::ControlCharacter(shown()));
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute(shown()));
        }
        if matches!(text, "." | "./") {
            return Ok(None);
        }
        let text = text.strip_prefix("./").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let mut depth = 0;
        for component in text.split('/') {
            depth += 1;
            match component {
                "" => return Err(PathError::EmptyComponent(shown())),
                "." | ".." => return Err(PathError::Traversal(shown())),
                _ if component.len() > limits::COMPONENT_BYTES => {
                    return Err(PathError::TooLong { bytes: component.len(), limit: limits::COMPONENT_BYTES });
                }
                _ => {}
            }
        }
        if depth > limits::PATH_DEPTH {
            return Err(PathError::TooDeep { depth, limit: limits::PATH_DEPTH });
        }
        Ok(Some(Self(text.to_owned())))
    }

    /// The path as text.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that holds the path, `None` for one directly under the root, and the last component.
    #[must_use]
    pub(crate) fn split(&self) -> (Option<&str>, &str) {
        match self.0.rsplit_once('/') {
            Some((parent, leaf)) => (Some(parent), leaf),
            None => (None, &self.0),
        }
    }

    /// The directories above the path, the outermost first.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = RelativePath> + '_ {
        self.0.match_indices('/').map(|(at, _)| RelativePath(self.0[..at].to_owned()))
    }

    /// The path of another name in the same directory.
    pub(crate) fn sibling(&self, leaf: &str) -> Result<Self, PathError> {
        let path = match self.split().0 {
            Some(parent) => format!("{parent}/{leaf}"),
            None => leaf.to_owned(),
        };
        match Self::parse(path.as_bytes())? {
            Some(sibling) if sibling.0 == path => Ok(sibling),
            _ => Err(PathError::Traversal(path)),
        }
    }
}

/// Whether a character can make text look like other text: a control character, or one that turns the direction of text
/// (Unicode Standard Annex 9, section 2).
pub(crate) fn rewrites_text(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control()
}

impl fmt::Display for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Root {
    /// Opens a directory that is not itself a symbolic link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let walk = if cfg!(target_os = "linux") { Walk::Kernel } else { Walk::Components };
        Self::open_with(path, walk)
    }

    /// Opens a directory, to be walked in the given way.
    pub(crate) fn open_with(path: &Path, walk: Walk) -> io::Result<Self> {
        Ok(Self { directory: rustix::fs::open(path, DIRECTORY, Mode::empty())?, walk, last: None })
    }

    /// Creates a directory, mode 0755 whatever the umask, in a directory that exists.
    pub(crate) fn create_directory(&mut self, path: &RelativePath) -> io::Result<()> {
        let (parent, leaf) = self.parent(path)?;
        rustix::fs::mkdirat(parent, leaf, Mode::from_raw_mode(0o700))?;
        let made = rustix::fs::openat(parent, leaf, DIRECTORY, Mode::empty())?;
        Ok(rustix::fs::fchmod(made, Mode::from_raw_mode(0o755))?)
    }

    /// Creates a new file for writing, readable by its owner only until [`seal`] is called.
    pub(crate) fn create_file(&mut self, path: &RelativePath) -> io::Result<File> {
        let (parent, leaf) = self.parent(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(parent, leaf, flags, Mode::from_raw_mode(0o600))?.into())
    }

    /// Creates a symbolic link; what it points to is the caller's to judge.
    pub(crate) fn create_symbolic_link(&mut self, path: &RelativePath, target: &str) -> io::Result<()> {
        let (parent, leaf) = self.parent(path)?;
        Ok(rustix::fs::symlinkat(target, parent, leaf)?)
    }

    /// Creates a second name for a regular file beneath the root.
    pub(crate) fn create_hard_link(&mut self, path: &RelativePath, existing: &RelativePath) -> io::Result<()> {
        let (parent, leaf) = self.parent(existing)?;
        let status = rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let holder = parent.try_clone_to_owned()?;
        let existing_leaf = leaf;
        let (parent, leaf) = self.parent(path)?;
        Ok(rustix::fs::linkat(holder, existing_leaf, parent, leaf, AtFlags::empty())?)
    }

    /// Opens a regular file for reading.
    pub(crate) fn open_file(&mut self, path: &RelativePath) -> io::Result<File> {
        let (parent, leaf) = self.parent(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, leaf, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        Ok(file.into())
    }

    /// Opens a regular file for reading and writing, and makes it, readable by its owner only, where it is missing.
    pub(crate) fn open_or_create_file(&mut self, path: &RelativePath) -> io::Result<File> {
        let (parent, leaf) = self.parent(path)?;
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, leaf, flags, Mode::from_raw_mode(0o600))?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        Ok(file.into())
    }

    /// Whether a directory, not a link to one, stands at a path.
    pub(crate) fn is_directory(&mut self, path: &RelativePath) -> io::Result<bool> {
        Ok(self.kind(path)? == Some(FileType::Directory))
    }

    /// Whether a regular file, not a link to one, stands at a path.
    pub(crate) fn is_regular_file(&mut self, path: &RelativePath) -> io::Result<bool> {
        Ok(self.kind(path)? == Some(FileType::RegularFile))
    }

    fn kind(&mut self, path: &RelativePath) -> io::Result<Option<FileType>> {
        let (parent, leaf) = self.parent(path)?;
        match rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            status => Ok(Some(FileType::from_raw_mode(status?.st_mode))),
        }
    }

    /// Reads a regular file of at most `limit` bytes.
    pub(crate) fn read(&mut self, path: &RelativePath, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(Errno::FBIG.into());
        }
        Ok(bytes)
    }

    /// Removes a file, a link or a whole directory; what is not there is no error.
    pub(crate) fn remove(&mut self, path: &RelativePath) -> io::Result<()> {
        self.last = None;
        let (parent, leaf) = match self.parent(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let leaf = CString::new(leaf).map_err(|_| Errno::INVAL)?;
        let removed = remove_at(parent, &leaf, 0);
        self.last = None;
        removed
    }

    fn parent<'path>(&mut self, path: &'path RelativePath) -> io::Result<(BorrowedFd<'_>, &'path str)> {
        let (parent, leaf) = path.split();
        let Some(parent) = parent else { return Ok((self.directory.as_fd(), leaf)) };
        if !matches!(&self.last, Some((cached, _)) if cached == parent) {
            let opened = self.open_directory(parent)?;
            self.last = Some((parent.to_owned(), opened));
        }
        match &self.last {
            Some((_, directory)) => Ok((directory.as_fd(), leaf)),
            None => Ok((self.directory.as_fd(), leaf)),
        }
    }

    fn open_directory(&mut self, path: &str) -> io::Result<OwnedFd> {
        #[cfg(target_os = "linux")]
        if self.walk == Walk::Kernel {
            match open_beneath(self.directory.as_fd(), path) {
                // An old kernel, or a seccomp filter that knows no openat2.
                // Or one that is unsure for ever: the other walk needs no certainty of its own.
                Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP | Errno::AGAIN) => self.walk = Walk::Components,
                answer => return Ok(answer?),
            }
        }
        let mut components = path.split('/');
        let first = components.next().unwrap_or(path);
        let mut directory = rustix::fs::openat(&self.directory, first, DIRECTORY, Mode::empty())?;
        for component in components {
            directory = rustix::fs::openat(&directory, component, DIRECTORY, Mode::empty())?;
        }
        Ok(directory)
    }
}

/// Gives a finished file its mode, 0755 or 0644 whatever the umask, and its modification time.
///
/// The time is kept because compiled Python files name that of their source. Set-id bits, group and world write never arrive.
pub(crate) fn seal(file: &File, executable: bool, modified: u64) -> io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(if executable { 0o755 } else { 0o644 }))?;
    let seconds = Duration::from_secs(modified.min(LATEST));
    let time = Timespec { tv_sec: seconds.as_secs().cast_signed(), tv_nsec: 0 };
    Ok(rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}

#[cfg(target_os = "linux")]
fn open_beneath(directory: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..limits::WALK_ATTEMPTS {
        match rustix::fs::openat2(directory, path, DIRECTORY, Mode::empty(), resolve) {
            // A rename elsewhere made the kernel unsure; it says so only for that moment.
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return answer,
        }
    }
    Err(Errno::AGAIN)
}

fn remove_at(parent: BorrowedFd<'_>, leaf: &CStr, depth: usize) -> io::Result<()> {
    let status = match rustix::fs::statat(parent, leaf, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        status => status?,
    };
    if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
        return Ok(rustix::fs::unlinkat(parent, leaf, AtFlags::empty())?);
    }
    if depth > limits::PATH_DEPTH {
        return Err(Errno::NAMETOOLONG.into());
    }
    let directory = rustix::fs::openat(parent, leaf, DIRECTORY, Mode::empty())?;
    // Names first: removing while a directory is read may skip some.
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        remove_at(directory.as_fd(), &name, depth + 1)?;
    }
    Ok(rustix::fs::unlinkat(parent, leaf, AtFlags::REMOVEDIR)?)
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The year 2262: where file systems keep nanoseconds in 64 bits, later times wrap.
const LATEST: u64 = 9_223_372_036;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn ordinary_names_are_paths() {
        for (text, parsed) in
            [("run.sh", "run.sh"), ("./lib/", "lib"), ("a/b/c", "a/b/c"), ("...", "..."), (".wh.x", ".wh.x")]
        {
            assert_eq!(path(text).as_str(), parsed);
        }
        assert_eq!(RelativePath::parse(b"./").unwrap(), None);
        assert_eq!(RelativePath::parse(b".").unwrap(), None);
    }

    #[test]
    fn names_that_need_cleaning_are_refused() {
        let long = format!("a/{}", "b".repeat(256));
        let longer = "a/".repeat(2100) + "a";
        let deep = "a/".repeat(64) + "a";
        for bytes in [
            &b""[..],
            b"/",
            b"/etc/passwd",
            b"../evil",
            b"a/../../b",
            b"a/..",
            b"..",
            b"a//b",
            b"a/./b",
            b"././a",
            b".//a",
            b"a//",
            b"a\0b",
            b"a\x1b[2J",
            b"a\nb",
            b"\xff\xfe",
            "a\u{9b}b".as_bytes(),
            "a\u{202e}b".as_bytes(),
            "a\u{2066}b".as_bytes(),
            "a/\u{200f}b".as_bytes(),
            long.as_bytes(),
            longer.as_bytes(),
            deep.as_bytes(),
        ] {
            assert!(RelativePath::parse(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn nothing_is_written_or_read_through_a_symbolic_link() {
        for walk in [Walk::Components, Walk::Kernel] {
            let outside = tempfile::tempdir().unwrap();
            std::fs::write(outside.path().join("secret"), "s").unwrap();
            let inside = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(outside.path(), inside.path().join("l")).unwrap();
            std::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("s")).unwrap();
            let mut root = Root::open_with(inside.path(), walk).unwrap();

            assert!(root.create_file(&path("l/evil")).is_err(), "{walk:?}");
            assert!(root.create_directory(&path("l/evil")).is_err(), "{walk:?}");
            assert!(root.create_directory(&path("l")).is_err(), "{walk:?}");
            assert!(root.create_symbolic_link(&path("l/evil"), "x").is_err(), "{walk:?}");
            assert!(root.create_hard_link(&path("h"), &path("l/secret")).is_err(), "{walk:?}");
            assert!(root.create_hard_link(&path("h"), &path("s")).is_err(), "{walk:?}");
            assert!(root.create_file(&path("s")).is_err(), "{walk:?}");
            assert!(root.open_file(&path("s")).is_err(), "{walk:?}");
            assert!(root.open_file(&path("l/secret")).is_err(), "{walk:?}");
            assert!(root.remove(&path("l/secret")).is_err(), "{walk:?}");
            root.remove(&path("l")).unwrap();
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "{walk:?}");
        }
    }

    #[test]
    fn both_walks_create_read_and_remove_the_same() {
        for walk in [Walk::Components, Walk::Kernel] {
            let directory = tempfile::tempdir().unwrap();
            let mut root = Root::open_with(directory.path(), walk).unwrap();
            root.create_directory(&path("a")).unwrap();
            root.create_directory(&path("a/b")).unwrap();
            let mut file = root.create_file(&path("a/b/f")).unwrap();
            file.write_all(b"text").unwrap();
            seal(&file, true, 1_700_000_000).unwrap();
            let status = std::fs::metadata(directory.path().join("a/b/f")).unwrap();
            assert_eq!(status.permissions().mode() & 0o7777, 0o755);
            assert_eq!(status.mtime(), 1_700_000_000);
            assert!(root.create_file(&path("a/b/f")).is_err(), "a file is never replaced");
            root.create_hard_link(&path("h"), &path("a/b/f")).unwrap();
            assert_eq!(root.read(&path("h"), 4).unwrap(), b"text");
            assert!(root.read(&path("h"), 3).is_err(), "a longer file is not read");
            root.remove(&path("a")).unwrap();
            root.remove(&path("a")).unwrap();
            root.remove(&path("x/y")).unwrap();
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_not_opened_as_a_file() {
        let directory = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, directory.path().join("p"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        assert!(Root::open(directory.path()).unwrap().open_file(&path("p")).is_err());
    }
}
