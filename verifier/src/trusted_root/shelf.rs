//! The files of one TUF repository in memory: what the TUF client reads as its cache, and writes after each check.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sigstore_tuf::MetadataStore;

/// Where the client keeps the chain of TUF roots.
const ROOT_HISTORY: &str = "root_history/";
/// The names under which it keeps what is needed to verify the trusted root again without a connection.
const KEPT: [&str; 6] = [
    "root.json",
    "snapshot.json",
    "targets.json",
    "targets/signing_config.v0.2.json",
    "targets/trusted_root.json",
    "timestamp.json",
];

/// Files by name. What is on it was verified when it was put there, and is verified again by whoever takes it.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<BTreeMap<String, Vec<u8>>>);

impl Shelf {
    pub(super) fn new(files: &BTreeMap<String, String>) -> Self {
        Self(Mutex::new(files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect()))
    }

    /// Returns what is kept between runs: consistent snapshots have a name for each version, and only the last counts.
    pub(super) fn kept(&self) -> BTreeMap<String, String> {
        self.texts(|name| KEPT.contains(&name) || name.starts_with(ROOT_HISTORY))
    }

    /// Returns the chain of TUF roots.
    pub(super) fn roots(&self) -> BTreeMap<String, String> {
        self.texts(|name| name.starts_with(ROOT_HISTORY))
    }

    fn texts(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let files = self.files();
        let wanted = files.iter().filter(|(name, _)| wanted(name));
        // Metadata and these targets are JSON; anything else would not have been verified.
        wanted.filter_map(|(name, bytes)| Some((name.clone(), String::from_utf8(bytes.clone()).ok()?))).collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        // Whole even when a holder panics: plain inserts and look-ups.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetadataStore for Shelf {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        Ok(self.files().get(name).cloned())
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        self.files().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}
