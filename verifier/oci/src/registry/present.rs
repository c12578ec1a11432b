use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::locked;
use crate::{Digest, Repository};

/// What was learned by writing: the blobs that this process has pushed, mounted or seen in a repository, which are neither
/// pushed nor asked for again, and how a registry takes them.
#[derive(Default)]
pub(crate) struct Present {
    blobs: Mutex<HashMap<Repository, HashSet<Digest>>>,
    /// One lock for each blob that is under way: whoever pushes the same waits.
    under_way: Mutex<HashMap<(Repository, Digest), Turn>>,
    /// Registries that take no blob with the request that opens its session.
    refuses_inline: Mutex<HashSet<String>>,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

impl Present {
    pub(crate) fn has(&self, repository: &Repository, digest: Digest) -> bool {
        locked(&self.blobs).get(repository).is_some_and(|blobs| blobs.contains(&digest))
    }

    pub(crate) fn note(&self, repository: &Repository, digest: Digest) {
        locked(&self.blobs).entry(repository.clone()).or_default().insert(digest);
    }

    /// Forgets what was believed of a repository, which says that something is missing after all.
    pub(crate) fn forget(&self, repository: &Repository) {
        locked(&self.blobs).remove(repository);
    }

    /// Returns when it is this caller's turn to bring a blob, or when whoever had it has brought it: ask again.
    pub(crate) async fn turn(
        &self,
        repository: &Repository,
        digest: Digest,
    ) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let turn = locked(&self.under_way).entry((repository.clone(), digest)).or_default().clone();
        match turn.clone().try_lock_owned() {
            Ok(guard) => Some(guard),
            Err(_) => {
                // Where the first one fails, the others do not fail one after the other: they all try at once.
                drop(turn.lock().await);
                None
            }
        }
    }

    pub(crate) fn refuses_inline(&self, registry: &str) -> bool {
        locked(&self.refuses_inline).contains(registry)
    }

    pub(crate) fn note_refuses_inline(&self, registry: &str) {
        locked(&self.refuses_inline).insert(registry.to_owned());
    }
}
