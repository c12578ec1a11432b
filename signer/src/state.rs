//! What a call has done so far, in a file, so that another one can go on after a crash.
//!
//! The file is a hint: everything in it is checked again, at the registry and by verifying, before it is used. It holds digests, finished
//! bundles and the tags as they were found, never a token or a key. One that is damaged, or of another request, is set aside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_oci::{Digest, PinnedReference, Repository, Tag, limits};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::services::SignedBundle;

const SCHEMA: &str = "countersign.dev/signing-state/v1";
/// What every state begins with, of whatever version.
const FAMILY: &str = "countersign.dev/signing-state/";
/// How many states are kept beside one.
const MOST_OLD: usize = 100;
/// A release of a thousand images, each with a bundle of the largest size that consumers read, does not come near it.
const MAX_BYTES: u64 = 256 << 20;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema: String,
    request: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bundles: Vec<StoredBundle>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<StoredTag>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBundle {
    subjects: Vec<String>,
    created: Timestamp,
    bundle: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTag {
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Digest>,
}

/// A bundle that an earlier call made.
#[derive(Clone, Debug)]
pub(crate) struct RememberedBundle {
    /// What it was made for.
    pub(crate) subjects: Vec<PinnedReference>,
    /// The time that its referrer manifests name.
    pub(crate) created: Timestamp,
    /// The bundle.
    pub(crate) bundle: SignedBundle,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It is something else than a state of this program.
    #[error("{} is not a state of this program, and is left alone", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("another run of the same request is under way: {} is locked", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot keep the state in {}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The state of one request, locked while this value lives.
#[derive(Debug)]
pub struct StateFile {
    kept: Arc<Kept>,
    _lock: File,
}

/// What is shared with the thread that writes.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    state: Mutex<Versioned>,
    /// The version that is in the file. Whoever holds it writes.
    written: Mutex<u64>,
    /// Whether what is in the file is not ours to go on with: it is set aside when the first thing is written.
    foreign: AtomicBool,
}

#[derive(Debug)]
struct Versioned {
    state: State,
    /// How often it was changed.
    version: u64,
}

impl Drop for StateFile {
    /// A lock without a state is litter.
    fn drop(&mut self) {
        let path = self.path();
        if !path.exists() {
            let _ = fs::remove_file(lock_path(path));
        }
    }
}

impl StateFile {
    /// Opens the state of `request`, a digest of everything that was asked for, for this process alone.
    ///
    /// With `resume` what an earlier call left is taken up. Without, and where it cannot be read, it stays until there is something else to
    /// keep, and is then renamed to `<path>.old` with a warning: nothing is thrown away, and not by a call that fails before it does
    /// anything.
    pub fn open(path: &Path, request: Digest, resume: bool) -> Result<Self, StateError> {
        let unusable = |source| StateError::Unusable { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(unusable)?;
        }
        refuse_foreign(path)?;
        let lock = lock(path)?;
        let empty = State { schema: SCHEMA.to_owned(), request, bundles: Vec::new(), tags: Vec::new() };
        let (state, foreign) = match read(path, request) {
            Ok(None) => (empty, false),
            Ok(Some(state)) if resume => (state, false),
            Ok(Some(_)) => {
                tracing::warn!("an earlier run of this was not finished: --resume goes on with it");
                (empty, true)
            }
            Err(problem) => {
                tracing::warn!(%problem, "the state in {} cannot be used", path.display());
                (empty, true)
            }
        };
        let kept = Kept {
            path: path.to_owned(),
            state: Mutex::new(Versioned { state, version: 0 }),
            written: Mutex::new(0),
            foreign: AtomicBool::new(foreign),
        };
        Ok(Self { kept: Arc::new(kept), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.kept.path
    }

    /// Whether an earlier call left anything in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let kept = self.kept.state();
        kept.state.bundles.is_empty() && kept.state.tags.is_empty()
    }

    /// Everything is done: the file is removed.
    pub fn finish(self) -> Result<(), StateError> {
        let unusable = |source| StateError::Unusable { path: self.path().to_owned(), source };
        for path in [self.path(), &lock_path(self.path())] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn bundles(&self) -> Vec<RememberedBundle> {
        let remembered = |stored: &StoredBundle| {
            let subjects = stored.subjects.iter().map(|text| text.parse().ok()).collect::<Option<Vec<_>>>()?;
            if stored.bundle.len() as u64 > limits::BUNDLE_BYTES {
                return None;
            }
            let bundle = SignedBundle { json: stored.bundle.clone().into(), log_index: log_index(&stored.bundle)? };
            Some(RememberedBundle { subjects, created: stored.created, bundle })
        };
        self.kept.state().state.bundles.iter().filter_map(remembered).collect()
    }

    /// Keeps a bundle: when this returns, no second log entry is needed for its subjects. Bundles that come while the file is written
    /// are written together, once.
    pub(crate) async fn record_bundle(&self, subjects: &[PinnedReference], created: Timestamp, bundle: &SignedBundle) {
        let stored = StoredBundle {
            subjects: subjects.iter().map(ToString::to_string).collect(),
            created,
            bundle: String::from_utf8_lossy(&bundle.json).into_owned(),
        };
        let version = self.kept.change(|state| state.bundles.push(stored));
        let kept = Arc::clone(&self.kept);
        // An error is a panic, which ends the program by itself.
        let _ = tokio::task::spawn_blocking(move || kept.write(version)).await;
    }

    /// What a tag pointed at before this request began: what an earlier call saw, else `found`, which is kept.
    pub(crate) fn tag_before(&self, repository: &Repository, tag: &Tag, found: Option<Digest>) -> Option<Digest> {
        let reference = format!("{repository}:{tag}");
        let known = self.kept.state().state.tags.iter().find(|stored| stored.reference == reference).cloned();
        match known {
            Some(known) => known.before,
            None => {
                let version = self.kept.change(|state| state.tags.push(StoredTag { reference, before: found }));
                self.kept.write(version);
                found
            }
        }
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, Versioned> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and returns the version that has the change.
    fn change(&self, change: impl FnOnce(&mut State)) -> u64 {
        let mut kept = self.state();
        change(&mut kept.state);
        kept.version += 1;
        kept.version
    }

    /// Returns when the file has this version or a later one.
    ///
    /// The state is a hint: a disk that is full costs a log entry after a crash, not the release.
    fn write(&self, version: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written >= version {
            return;
        }
        let (newest, text) = {
            let kept = self.state();
            (kept.version, serde_json::to_vec(&kept.state).expect("strings and numbers always serialise"))
        };
        if let Err(problem) = self.make_room().and_then(|()| write(&self.path, &text)) {
            tracing::warn!(%problem, "the state cannot be kept in {}: --resume would know less", self.path.display());
        }
        *written = newest;
    }

    fn make_room(&self) -> io::Result<()> {
        if self.foreign.swap(false, Ordering::Relaxed) {
            let old = set_aside(&self.path)?;
            tracing::warn!(
                "what was kept for --resume is now in {}: --state with that file goes on with it",
                old.display()
            );
        }
        Ok(())
    }
}

/// The index that the bundle itself names, and that is verified with it.
fn log_index(bundle: &str) -> Option<u64> {
    let bundle: serde_json::Value = serde_json::from_str(bundle).ok()?;
    let index = &bundle["verificationMaterial"]["tlogEntries"][0]["logIndex"];
    index.as_u64().or_else(|| index.as_str()?.parse().ok())
}

/// Reads the state of this request; one of another request is as unusable as a damaged one.
fn read(path: &Path, request: Digest) -> io::Result<Option<State>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    let state: State = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    if state.schema != SCHEMA || state.request != request {
        return Err(io::Error::other("it belongs to another request"));
    }
    Ok(Some(state))
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    // A new file under a name that nobody can foresee, which only the owner may read.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".countersign-").tempfile_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    // Nothing that was set aside before is lost by it.
    let free = (0..MOST_OLD).map(|number| match number {
        0 => beside(path, "old"),
        number => beside(path, &format!("old.{number}")),
    });
    let old = free.into_iter().find(|old| old.symlink_metadata().is_err());
    let old = old.ok_or_else(|| io::Error::other("too many earlier states lie beside it"))?;
    fs::rename(path, &old)?;
    Ok(old)
}

/// A file that this program did not write is left alone, whatever was typed.
fn refuse_foreign(path: &Path) -> Result<(), StateError> {
    let foreign = || StateError::Foreign { path: path.to_owned() };
    let is_plain = |path: &Path| path.symlink_metadata().map_or(true, |found| found.is_file());
    if path.file_name().is_none() || !is_plain(path) || !is_plain(&lock_path(path)) {
        return Err(foreign());
    }
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| file.take(200).read_to_end(&mut beginning));
    let ours = beginning.is_empty() || String::from_utf8_lossy(&beginning).contains(FAMILY);
    match read {
        Ok(_) if !ours => Err(foreign()),
        _ => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, StateError> {
    let unusable = |source| StateError::Unusable { path: path.to_owned(), source };
    let file = private().write(true).create(true).truncate(false).open(lock_path(path)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StateError::Locked { path: path.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    beside(path, "lock")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Nobody else reads or writes it.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Repository {
        "127.0.0.1:5000/octo/app".parse().unwrap()
    }

    fn bundle() -> SignedBundle {
        SignedBundle { json: r#"{"verificationMaterial":{"tlogEntries":[{"logIndex":"7"}]}}"#.into(), log_index: 7 }
    }

    fn record(state: &StateFile, subjects: &[PinnedReference]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(state.record_bundle(subjects, Timestamp::UNIX_EPOCH, &bundle()));
    }

    #[test]
    fn bundles_that_come_at_once_are_all_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let request = Digest::of(b"request");
        let state = StateFile::open(&path, request, false).unwrap();
        let subjects: Vec<_> = (0..50_u8).map(|number| [repository().pin(Digest::of(&[number]))]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bundle = bundle();
            let all = subjects.iter().map(|subject| state.record_bundle(subject, Timestamp::UNIX_EPOCH, &bundle));
            futures_util::future::join_all(all).await;
        });
        let kept = read(&path, request).unwrap().unwrap();
        assert_eq!(kept.bundles.len(), subjects.len());
    }

    #[test]
    fn what_was_recorded_is_there_for_the_call_that_resumes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state.json");
        let request = Digest::of(b"request");
        let tag: Tag = "v1".parse().unwrap();
        let subject = repository().pin(Digest::of(b"index"));

        let first = StateFile::open(&path, request, false).unwrap();
        assert!(first.is_empty());
        record(&first, std::slice::from_ref(&subject));
        assert_eq!(first.tag_before(&repository(), &tag, None), None);
        assert!(matches!(StateFile::open(&path, request, true), Err(StateError::Locked { .. })));
        drop(first);

        let second = StateFile::open(&path, request, true).unwrap();
        let bundles = second.bundles();
        assert_eq!(bundles.len(), 1);
        assert_eq!(bundles[0].subjects, [subject]);
        assert_eq!(bundles[0].bundle.log_index, 7);
        let ours = Some(Digest::of(b"moved meanwhile"));
        assert_eq!(second.tag_before(&repository(), &tag, ours), None, "what the first call saw counts");
        second.finish().unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_taken_up_unasked_and_nothing_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let request = Digest::of(b"request");
        let subject = [repository().pin(Digest::of(b"index"))];
        record(&StateFile::open(&path, request, false).unwrap(), &subject);

        for (other, resume) in [(request, false), (Digest::of(b"another request"), true)] {
            let before = fs::read(&path).unwrap();
            let state = StateFile::open(&path, other, resume).unwrap();
            assert!(state.is_empty());
            assert_eq!(fs::read(&path).unwrap(), before, "it stays until there is something else to keep");
            record(&state, &subject);
            assert_eq!(fs::read(folder.path().join("state.json.old")).unwrap(), before);
        }
    }

    #[test]
    fn a_damaged_state_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for damaged in
            [r#"{"schema":"countersign.dev/signing-state/v1"}"#, r#"{"schema":"countersign.dev/signing-state/v1","#]
        {
            fs::write(&path, damaged).unwrap();
            let state = StateFile::open(&path, Digest::of(b"request"), true).unwrap();
            assert!(state.is_empty());
            record(&state, &[]);
            let old = folder.path().join("state.json.old");
            assert_eq!(fs::read_to_string(&old).unwrap(), damaged);
            fs::remove_file(&path).unwrap();
            fs::remove_file(&old).unwrap();
        }
    }

    #[test]
    fn what_is_no_state_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious.yaml");
        fs::write(&path, "a: 1\n").unwrap();
        for foreign in [path.clone(), folder.path().to_owned(), PathBuf::from("/dev/null"), PathBuf::from("/")] {
            let refused = StateFile::open(&foreign, Digest::of(b"request"), false);
            assert!(matches!(refused, Err(StateError::Foreign { .. })), "{} {refused:?}", foreign.display());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a: 1\n");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let state = StateFile::open(&path, Digest::of(b"request"), false).unwrap();
        record(&state, &[]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
