//! The registry: one client, what was learned about authentication, and the one way a request is made.

mod answer;
mod call;
mod endpoint;
mod exchange;
mod options;
mod present;
mod transport;
mod tries;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub(crate) use answer::{Shown, refusal};
pub(crate) use call::{Call, Fetched, StreamedBody, Target};
pub(crate) use endpoint::Endpoint;
pub use options::RegistryOptions;
pub(crate) use transport::{Transport, Via};
pub(crate) use tries::{Patience, Tries};

use crate::auth::Authenticator;
use crate::error::RegistryError;
use crate::http::{Budget, PlainHttp, RetryPolicy};
use crate::index::Manifest;
use crate::{Digest, PinnedReference, Repository};
use present::Present;

/// Registries, read only: [`Pusher`](crate::Pusher) is what writes. Clones share connections, tokens and everything learned.
#[derive(Clone)]
pub struct Registry(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) auth: Authenticator,
    hosts: BTreeMap<String, String>,
    plain_http: PlainHttp,
    /// Registries that did not answer over https and may be spoken to without.
    downgraded: Mutex<HashMap<String, ()>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) budget: Option<Budget>,
    pub(crate) total_timeout: Duration,
    pub(crate) tag_schema_window: Duration,
    pub(crate) visible_within: Duration,
    /// What was learned of the referrers API, by repository.
    referrers_api: Mutex<HashMap<Repository, bool>>,
    /// One lock for each referrers tag that this process writes.
    tag_locks: Mutex<HashMap<PinnedReference, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) present: Present,
}

impl Registry {
    /// Builds the client. Nothing is connected to, and no root is loaded, before the first request.
    pub fn new(options: RegistryOptions) -> Result<Self, RegistryError> {
        Ok(Self(Arc::new(Inner {
            transport: Transport::new(&options)?,
            auth: Authenticator::new(options.credentials, options.token_servers),
            hosts: options.hosts,
            plain_http: options.plain_http,
            downgraded: Mutex::default(),
            retry: options.retry,
            budget: options.budget,
            total_timeout: options.total_timeout,
            tag_schema_window: options.tag_schema_window,
            visible_within: options.visible_within,
            referrers_api: Mutex::default(),
            tag_locks: Mutex::default(),
            present: Present::default(),
        })))
    }

    /// Returns how many requests were sent so far, those to token servers and repeated ones included.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        self.0.transport.requests.load(Ordering::Relaxed)
    }

    /// Returns how many requests were sent so far for each registry, by its name in references. What its token server and
    /// its storage were asked counts with it.
    #[must_use]
    pub fn request_counts(&self) -> BTreeMap<String, u64> {
        self.0.transport.counts()
    }

    /// Waits, in a call that takes turns with pauses, for at most `most`.
    pub(crate) fn patience(&self, what: String, most: Duration) -> Patience {
        Patience::new(what, most, self.0.budget.clone())
    }

    pub(crate) fn endpoint(&self, registry: &str) -> Result<Endpoint, RegistryError> {
        let downgraded = locked(&self.0.downgraded).contains_key(registry);
        Endpoint::new(registry, self.0.hosts.get(registry).map(String::as_str), self.0.plain_http, downgraded)
    }

    pub(crate) fn downgrade(&self, registry: &str) {
        tracing::warn!(registry, "the registry does not answer over https, speaking plain http to it");
        locked(&self.0.downgraded).insert(registry.to_owned(), ());
    }

    pub(crate) fn note_referrers_api(&self, repository: &Repository, exists: bool) {
        locked(&self.0.referrers_api).insert(repository.clone(), exists);
    }

    /// How long something that was written just now is waited for: [`RegistryOptions::visible_within`].
    #[must_use]
    pub fn visible_within(&self) -> Duration {
        self.0.visible_within
    }

    pub(crate) fn lacks_referrers_api(&self, repository: &Repository) -> bool {
        locked(&self.0.referrers_api).get(repository) == Some(&false)
    }

    pub(crate) fn tag_lock(&self, subject: &PinnedReference) -> Arc<tokio::sync::Mutex<()>> {
        locked(&self.0.tag_locks).entry(subject.clone()).or_default().clone()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("requests", &self.request_count()).finish_non_exhaustive()
    }
}

/// A manifest as the registry sent it. Its bytes hash to its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawManifest {
    /// The very bytes.
    pub bytes: Bytes,
    /// The media type, of the document and of the answer alike.
    pub media_type: String,
    /// The digest of `bytes`, computed here.
    pub digest: Digest,
    /// What the bytes say.
    pub manifest: Manifest,
}

/// What a person's reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// Repository and digest: what everything after takes.
    pub pinned: PinnedReference,
    /// The manifest, where a tag was resolved; a digest needs no request.
    pub manifest: Option<RawManifest>,
}

/// What is guarded stays whole when a holder panics: plain inserts and look-ups.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
