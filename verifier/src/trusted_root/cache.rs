//! What is kept of a TUF repository between runs: one file, so that it is whole or not there.
//!
//! Nothing in it is believed because it lies there: whoever reads it verifies it from the pinned TUF root. A file
//! that is not one of ours is set aside. Processes that write at once never mix their files, and an older state never
//! replaces a newer one; one that is killed leaves the old file.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_oci::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The largest file that is read, in bytes: public-good metadata has under 100 KB.
const FILE_LIMIT: u64 = 8 << 20;
/// How often a lock is asked for, and the pause in between: it is held for a read and a write.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What is kept of a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    schema: String,
    /// The repository's address.
    pub(super) url: String,
    /// When the repository was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refreshed: Option<Timestamp>,
    /// The files that the TUF client keeps, by name.
    pub(super) files: BTreeMap<String, String>,
}

/// What [`Snapshot`]s are.
const SCHEMA: &str = "countersign.dev/tuf-repository/v1";

impl Snapshot {
    pub(super) fn new(url: &str, refreshed: Option<Timestamp>, files: BTreeMap<String, String>) -> Self {
        Self { schema: SCHEMA.to_owned(), url: url.to_owned(), refreshed, files }
    }

    /// Reads one; nothing where the bytes are something else.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|snapshot| snapshot.schema == SCHEMA)
    }

    pub(super) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Says which role's metadata has expired, where one's has: for a message, not a decision.
    pub(super) fn expired(&self, now: Timestamp) -> Option<String> {
        ["root", "timestamp", "snapshot", "targets"].into_iter().find_map(|role| {
            let expires: Timestamp = self.signed(role)?.get("expires")?.as_str()?.parse().ok()?;
            (expires < now).then(|| format!("{role} metadata expired at {expires:.0}"))
        })
    }

    /// The versions that it says it has, unverified: which of two writers has seen more.
    fn version(&self) -> (u64, u64) {
        let of = |role| self.signed(role)?.get("version")?.as_u64();
        (of("root").unwrap_or_default(), of("timestamp").unwrap_or_default())
    }

    fn signed(&self, role: &str) -> Option<serde_json::Value> {
        let document: serde_json::Value = serde_json::from_str(self.files.get(&format!("{role}.json"))?).ok()?;
        document.get("signed").cloned()
    }
}

/// The cached snapshot of one repository.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    path: PathBuf,
}

/// What was read, and what it was read from.
#[derive(Debug, Default)]
pub(super) struct Cached {
    pub(super) snapshot: Option<Snapshot>,
    digest: Option<Digest>,
}

impl Cache {
    /// A cache in a folder. One that cannot be used costs requests, no more.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join("tuf").join(format!("{name}.json")) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is cached of the repository at `url`. Whatever else lies there is set aside, with a warning.
    pub(super) fn read(&self, url: &str) -> Cached {
        let bytes = match read_bounded(&self.path) {
            Ok(bytes) => bytes,
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Cached::default();
            }
            Err(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                self.set_aside();
                return Cached::default();
            }
            Err(cause) => {
                tracing::warn!("{} is not used as a cache: {cause}", self.path.display());
                return Cached::default();
            }
        };
        match Snapshot::parse(&bytes).filter(|snapshot| snapshot.url == url) {
            Some(snapshot) => Cached { snapshot: Some(snapshot), digest: Some(Digest::of(&bytes)) },
            None => {
                self.set_aside();
                Cached::default()
            }
        }
    }

    /// Writes a snapshot that was verified just now, unless somebody wrote a newer one since `seen` was read.
    ///
    /// A cache that cannot be written is left out, with a warning: it saves requests, no more.
    pub(super) fn write(&self, snapshot: &Snapshot, seen: &Cached) {
        if let Err(cause) = self.write_surely(snapshot, seen) {
            tracing::warn!("{} is not used as a cache: {cause}", self.path.display());
        }
    }

    /// The same, for whom a cache that cannot be written is a failure.
    pub(super) fn write_surely(&self, snapshot: &Snapshot, seen: &Cached) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Held until the file is in its place; the system releases it when the process is killed.
        let _lock = lock(&self.path.with_extension("lock"))?;
        if let Ok(bytes) = read_bounded(&self.path)
            && seen.digest != Some(Digest::of(&bytes))
            && let Some(other) = Snapshot::parse(&bytes)
            && other.url == snapshot.url
            && other.version() > snapshot.version()
        {
            return Ok(());
        }
        // Readable by its owner alone, and renamed into place.
        let mut staged = tempfile::Builder::new().prefix(STAGED).tempfile_in(folder)?;
        staged.write_all(&snapshot.to_json()?)?;
        staged.as_file().sync_all()?;
        staged.persist(&self.path).map_err(|error| error.error)?;
        remove_left_over(folder);
        Ok(())
    }

    /// Moves away what is not ours, for a person to look at. Only the last one is kept: a cache that is damaged each
    /// time must not fill the disk.
    fn set_aside(&self) {
        let aside = self.path.with_extension("damaged");
        tracing::warn!("{} is damaged and set aside as {}", self.path.display(), aside.display());
        // Each of these fails where another process was faster.
        let _ = match aside.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&aside),
            Ok(_) => fs::remove_file(&aside),
            Err(_) => Ok(()),
        };
        let _ = fs::rename(&self.path, &aside);
    }
}

/// How staged files begin: what is left of one belongs to a process that was killed.
const STAGED: &str = ".staged-";

/// Under the lock nobody else stages: what is there was left by a process that was killed.
fn remove_left_over(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(STAGED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(cause)) => return Err(cause),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds its lock"))
}

/// Reads a file that must be one: not a link, not a pipe, and of bounded size.
pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let foreign = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() {
        return Err(foreign("it is no file"));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(foreign("it is too large"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT { Err(foreign("it is too large")) } else { Ok(bytes) }
}
