//! Who asks: challenges, token servers and the credentials that go to them.
//!
//! The registry, or whoever answers in its place, names the token server. What that server is sent is decided in
//! one place, `realm::trust`.

mod challenge;
mod credentials;
mod docker_config;
mod helper;
mod realm;
mod token;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::HeaderValue;

pub(crate) use challenge::Challenge;
pub(crate) use credentials::canonical_key;
pub use credentials::{Credential, Credentials};
pub use docker_config::{CredentialsError, DockerConfig};
pub use helper::{CredentialHelper, HelperAnswer, HelperFailure, RunHelper};

use crate::error::RegistryError;
use crate::registry::{Endpoint, Transport};
use crate::{Repository, Secret};
use credentials::{Candidate, Found};
use helper::Helper;
use token::{Token, TokenKey, TokenRequest};

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Delete,
    Read,
    Write,
}

/// Who wants to do what, where.
#[derive(Clone, Copy)]
pub(crate) struct Need<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) repository: &'a Repository,
    pub(crate) action: Action,
    /// A repository of the same registry that is read as well.
    pub(crate) also_read: Option<&'a Repository>,
}

/// What a request is sent with, and what can be concluded when it is refused.
#[derive(Default)]
pub(crate) struct Access {
    pub(crate) header: Option<HeaderValue>,
    /// The credentials behind it.
    pub(crate) credentials: Option<Used>,
    /// The token server that the credentials were kept from.
    pub(crate) withheld: Option<String>,
    /// The token came from an earlier request, so that a newer one may do better.
    cached: Option<TokenKey>,
    /// Nothing was known of the registry's challenge when this was made.
    is_blind: bool,
}

/// Credentials that a request was sent with.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    key: String,
    pub(crate) origin: String,
}

/// What became of a refused [`Access`].
pub(crate) enum Next {
    /// Asking again may do better.
    Again,
    /// The credentials were dropped; the next request goes without.
    Anonymous,
    /// Nothing is left to try.
    Refused,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The credentials, and what was learned about registries while using them.
pub(crate) struct Authenticator {
    credentials: Credentials,
    token_servers: BTreeMap<String, String>,
    learned: Mutex<Learned>,
}

#[derive(Default)]
struct Learned {
    /// By registry.
    challenges: HashMap<String, Challenge>,
    /// Actions beside `pull` and `push` that a registry asks for in its challenges.
    actions: HashMap<Repository, BTreeSet<String>>,
    /// Where deleting takes a right of its own.
    deleting: HashSet<Repository>,
    /// Credentials that were refused on a read, by key: everywhere, or in one repository.
    dropped: HashSet<(String, Option<Repository>)>,
    /// One slot for each token, locked while it is fetched: whoever needs the same waits.
    tokens: HashMap<TokenKey, Slot>,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials, token_servers: BTreeMap<String, String>) -> Self {
        Self { credentials, token_servers, learned: Mutex::default() }
    }

    /// Every secret that this client could have shown to anybody.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        self.credentials.secrets()
    }

    /// Returns what to send, as far as the registry's challenge is known: before the first one, nothing is shown.
    pub(crate) async fn access(&self, transport: &Transport, need: Need<'_>) -> Result<Access, RegistryError> {
        let known = self.known(need);
        if let Some(Found { credential: Credential::BearerToken(token), .. }) = &known {
            let credentials = known.as_ref().map(Used::from);
            return Ok(Access { header: bearer(token), credentials, ..Access::default() });
        }
        let challenge = self.learned().challenges.get(&need.endpoint.registry).cloned();
        let Some(challenge) = challenge else { return Ok(Access { is_blind: true, ..Access::default() }) };
        match (challenge, self.found(need).await?) {
            (Challenge::Basic, Some(found)) => Ok(basic(&found)),
            (Challenge::Basic, None) => Ok(Access::default()),
            (challenge, found) => {
                let request = TokenRequest::new(need, &challenge, found.as_ref(), self);
                match self.token(transport, &request).await {
                    Err(refused @ RegistryError::CredentialsRejected { .. }) if need.action == Action::Read => {
                        if let Some(found) = found {
                            self.drop_credentials(&Used::from(&found), None, need);
                        }
                        let anonymous = TokenRequest::new(need, &challenge, None, self);
                        self.token(transport, &anonymous).await.map_err(|error| match error {
                            RegistryError::Denied { .. } => refused,
                            other => other,
                        })
                    }
                    outcome => outcome,
                }
            }
        }
    }

    /// Remembers the challenge that answered `access`; returns whether it says anything that `access` was made without.
    pub(crate) fn learn(&self, need: Need<'_>, access: &Access, challenge: Challenge) -> bool {
        let mut learned = self.learned();
        let mut news = false;
        if let Challenge::Bearer { scope: Some(scope), .. } = &challenge {
            let known = learned.actions.entry(need.repository.clone()).or_default();
            for action in token::further_actions(scope, need.repository) {
                news |= known.len() < MAX_ACTIONS && known.insert(action);
            }
            if need.action == Action::Delete && token::asks_to_delete(scope, need.repository) {
                news |= learned.deleting.insert(need.repository.clone());
            }
        }
        let challenge = challenge.without_scope();
        let known = learned.challenges.insert(need.endpoint.registry.clone(), challenge.clone());
        // Of requests at the same time, one is the first to learn, and all of them have to ask again.
        news || access.is_blind || known != Some(challenge)
    }

    fn asks_to_delete(&self, need: Need<'_>) -> bool {
        need.action == Action::Delete && self.learned().deleting.contains(need.repository)
    }

    /// Decides what a 401 or 403 for `access` means.
    pub(crate) async fn refused(&self, access: &Access, need: Need<'_>, status: u16) -> Next {
        if let Some(key) = access.cached.as_ref().filter(|_| status == 401) {
            self.forget(key, access.header.as_ref()).await;
            return Next::Again;
        }
        match &access.credentials {
            Some(used) if need.action == Action::Read => {
                let only_here = (status == 403).then(|| need.repository.clone());
                self.drop_credentials(used, only_here, need);
                Next::Anonymous
            }
            _ => Next::Refused,
        }
    }

    /// Returns the credentials that apply and were not dropped. Helpers are asked here, and so only for a registry that asks
    /// for credentials.
    async fn found(&self, need: Need<'_>) -> Result<Option<Found>, RegistryError> {
        let registry = &need.endpoint.credential_registry;
        for candidate in self.credentials.candidates(registry, need.repository.path()) {
            let found = match candidate {
                Candidate::Known(found) => Some(found),
                Candidate::Helper(helper) => match helper.find(registry).await {
                    Ok(found) => found,
                    Err(failure) => self.without_helper(helper, failure, need)?,
                },
            };
            if let Some(found) = found {
                return Ok(self.usable(found, need));
            }
        }
        Ok(None)
    }

    /// Returns the credentials that apply, if they are known without a helper.
    fn known(&self, need: Need<'_>) -> Option<Found> {
        let candidates = self.credentials.candidates(&need.endpoint.credential_registry, need.repository.path());
        match candidates.into_iter().next()? {
            Candidate::Known(found) => self.usable(found, need),
            Candidate::Helper(_) => None,
        }
    }

    fn usable(&self, found: Found, need: Need<'_>) -> Option<Found> {
        if found.credential == Credential::Anonymous {
            return None;
        }
        let learned = self.learned();
        let everywhere = (found.key.clone(), None);
        let here = (found.key.clone(), Some(need.repository.clone()));
        let dropped = learned.dropped.contains(&everywhere) || learned.dropped.contains(&here);
        (need.action != Action::Read || !dropped).then_some(found)
    }

    /// A helper that does not work must not hide a public image, and no write goes on without what it may have.
    fn without_helper<T>(
        &self,
        helper: &Helper,
        failure: HelperFailure,
        need: Need<'_>,
    ) -> Result<Option<T>, RegistryError> {
        let (registry, name) = (need.endpoint.registry.clone(), helper.name().to_owned());
        if need.action != Action::Read {
            return Err(RegistryError::CredentialHelper { registry, name, origin: helper.origin.clone(), failure });
        }
        if self.learned().dropped.insert((format!("{registry} docker-credential-{name}"), None)) {
            tracing::warn!("{registry}: docker-credential-{name}, which {} names, {failure}", helper.origin);
        }
        Ok(None)
    }

    /// A stale login must not hide a public image.
    fn drop_credentials(&self, used: &Used, only_here: Option<Repository>, need: Need<'_>) {
        if self.learned().dropped.insert((used.key.clone(), only_here)) {
            tracing::warn!(
                registry = need.endpoint.registry,
                credentials = used.origin,
                "the registry refuses these credentials, reading without them"
            );
        }
    }

    async fn token(&self, transport: &Transport, request: &TokenRequest<'_>) -> Result<Access, RegistryError> {
        let key = request.key();
        let slot = self.learned().tokens.entry(key.clone()).or_default().clone();
        let mut held = slot.lock().await;
        let cached = held.as_ref().filter(|token| token.is_fresh()).map(|token| token.header.clone());
        let (header, cached) = match cached {
            Some(header) => (header, Some(key)),
            None => {
                let token = request.fetch(transport).await?;
                let header = token.header.clone();
                *held = Some(token);
                (header, None)
            }
        };
        let (credentials, withheld) = (request.used(), request.withheld());
        Ok(Access { header: Some(header), credentials, withheld, cached, is_blind: false })
    }

    async fn forget(&self, key: &TokenKey, header: Option<&HeaderValue>) {
        let slot = self.learned().tokens.get(key).cloned();
        if let Some(slot) = slot {
            // Somebody else may have renewed it already.
            let mut held = slot.lock().await;
            if held.as_ref().map(|token| &token.header) == header {
                *held = None;
            }
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Challenge {
    /// A scope belongs to one request, everything else to the registry.
    fn without_scope(self) -> Self {
        match self {
            Self::Bearer { realm, service, .. } => Self::Bearer { realm, service, scope: None },
            Self::Basic => Self::Basic,
        }
    }
}

impl From<&Found> for Used {
    fn from(found: &Found) -> Self {
        Self { key: found.key.clone(), origin: found.origin.clone() }
    }
}

fn basic(found: &Found) -> Access {
    let Credential::Basic { username, password } = &found.credential else { return Access::default() };
    let header = secret_header(&docker_config::basic(username, password));
    let credentials = header.is_some().then(|| Used::from(found));
    Access { header, credentials, ..Access::default() }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    secret_header(&zeroize::Zeroizing::new(format!("Bearer {}", token.expose())))
}

/// Marked, so that no log of the HTTP library shows it.
fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// More than any registry asks for.
const MAX_ACTIONS: usize = 8;
