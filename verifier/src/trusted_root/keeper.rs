//! A trusted root for a process that runs for weeks: rotated keys are noticed, outages are not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Material, Refresh, TIME_TO_LIVE, TrustCache, TrustSource, load_with};
use crate::error::Error;
use crate::verify::Verifier;

/// How long a file is believed before it is read again.
const FILE_TIME_TO_LIVE: SignedDuration = SignedDuration::from_mins(1);
/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Hands out a [`Verifier`] that believes what its source says now. Share one between all tasks of a process.
///
/// It asks the source when what it holds is older than the time to live; one caller asks, and the others go on with
/// what is held. Where the source cannot be asked, what is held is handed out until its metadata expires, and the
/// source is asked again after a pause that grows to an hour: a failure is never final. After expiry nothing is
/// handed out. A file is read again each minute, and one that cannot be read is an error at once. Holds no global
/// state and reads no clock.
#[derive(Debug)]
pub struct TrustKeeper {
    source: TrustSource,
    cache: TrustCache,
    time_to_live: SignedDuration,
    state: Mutex<State>,
    /// Held by the one who asks the source.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    failures: u32,
    not_before: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Held {
    verifier: Arc<Verifier>,
    /// When the source was asked for it.
    since: Timestamp,
    expires: Option<Timestamp>,
}

impl TrustKeeper {
    /// Returns a keeper that holds nothing yet: the first caller asks the source.
    #[must_use]
    pub fn new(source: TrustSource, cache: TrustCache) -> Self {
        let time_to_live = match source {
            TrustSource::File(_) => FILE_TIME_TO_LIVE,
            _ => TIME_TO_LIVE,
        };
        Self { source, cache, time_to_live, state: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Asks the source again after another time than [`TIME_TO_LIVE`].
    #[must_use]
    pub fn with_time_to_live(mut self, time_to_live: SignedDuration) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// Returns the verifier that is right at `now`, or why there is none.
    pub async fn verifier(&self, now: Timestamp) -> Result<Arc<Verifier>, Error> {
        if let Some(verifier) = self.settled(now) {
            return Ok(verifier);
        }
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            // Somebody asks already: what is held will do meanwhile, where it still may.
            Err(_) => match self.usable(now) {
                Some(held) => return Ok(held.verifier),
                None => self.asking.lock().await,
            },
        };
        // Whoever had the turn before may have been answered.
        if let Some(verifier) = self.settled(now) {
            return Ok(verifier);
        }
        match load_with(&self.source, &self.cache, Refresh::IfOlderThan(self.time_to_live), now).await {
            Ok(material) => self.take(material, now),
            Err(error) => self.failed(error, now),
        }
    }

    /// What is held, where nobody need be asked yet.
    fn settled(&self, now: Timestamp) -> Option<Arc<Verifier>> {
        let held = self.usable(now)?;
        let young = held.since <= now && now.duration_since(held.since) < self.time_to_live;
        let pausing = self.state().not_before.is_some_and(|not_before| now < not_before);
        (young || pausing).then_some(held.verifier)
    }

    /// What is held and has not expired.
    fn usable(&self, now: Timestamp) -> Option<Held> {
        self.state().held.clone().filter(|held| held.expires.is_none_or(|expires| now <= expires))
    }

    fn take(&self, material: Material, now: Timestamp) -> Result<Arc<Verifier>, Error> {
        let repository = material.repository.as_ref();
        let expires = repository.and_then(super::RepositoryState::expires);
        let outage = repository.is_some_and(|repository| repository.outage.is_some());
        // A copy that another process refreshed is as old as that refresh.
        let since = repository.map_or(now, |repository| repository.refreshed.unwrap_or(Timestamp::MIN));
        let unchanged =
            self.usable(now).filter(|held| held.verifier.trusted_root().json() == material.trusted_root.json());
        let verifier = match unchanged {
            Some(held) => held.verifier,
            None => match Verifier::new(material.trusted_root) {
                Ok(verifier) => Arc::new(verifier),
                Err(error) => return self.failed(error, now),
            },
        };
        let mut state = self.state();
        state.held = Some(Held { verifier: Arc::clone(&verifier), since, expires });
        match outage {
            true => state.pause(now),
            false => (state.failures, state.not_before) = (0, None),
        }
        Ok(verifier)
    }

    fn failed(&self, error: Error, now: Timestamp) -> Result<Arc<Verifier>, Error> {
        self.state().pause(now);
        match (&self.source, self.usable(now)) {
            // Taking the file away is how its operator takes the trust away.
            (TrustSource::File(_), _) | (_, None) => Err(error),
            (_, Some(held)) => {
                tracing::warn!("the trusted root cannot be refreshed, the one at hand is used: {error}");
                Ok(held.verifier)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole even when a holder panics: plain assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pause(&mut self, now: Timestamp) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now.saturating_add(doubled.min(LONGEST_PAUSE)).unwrap_or(Timestamp::MAX));
    }
}
