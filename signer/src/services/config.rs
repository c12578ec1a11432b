//! The signing config: which services exist, and which of them are used now.

use std::collections::BTreeSet;

use countersign_oci::http::is_loopback_host;
use jiff::Timestamp;
use sigstore_trust_root::signing_config::{
    SIGSTORE_PRODUCTION_SIGNING_CONFIG, ServiceConfiguration, ServiceEndpoint, ServiceSelector,
};
use url::Url;

use super::service::Service;
use crate::error::SignError;

const FULCIO_VERSIONS: &[u32] = &[1];
const REKOR_VERSIONS: &[u32] = &[1, 2];
const TIMESTAMP_AUTHORITY_VERSIONS: &[u32] = &[1];
/// Verifiers accept no more timestamps in one bundle.
const MAX_TIMESTAMPS: usize = 4;

/// A parsed signing config, and where it came from.
#[derive(Clone, Debug)]
pub struct SigningConfig {
    origin: String,
    inner: sigstore_trust_root::SigningConfig,
}

impl SigningConfig {
    /// Parses a signing config, version 0.2. `origin` is what errors call it.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, SignError> {
        let inner = sigstore_trust_root::SigningConfig::from_json(text).map_err(|source| {
            SignError::SigningConfigMalformed { origin: origin.to_owned(), source: Box::new(source) }
        })?;
        Ok(Self { origin: origin.to_owned(), inner })
    }

    /// The config of Sigstore's public-good instance as it was when this program was built.
    pub fn embedded_public_good() -> Self {
        Self {
            origin: "the embedded signing config".to_owned(),
            inner: sigstore_trust_root::SigningConfig::from_json(SIGSTORE_PRODUCTION_SIGNING_CONFIG)
                .expect("the embedded signing config is parsed by a test"),
        }
    }

    /// Where the config came from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Chooses the services to use at a time: the highest known major version that has a service valid then, the newest first, one for
    /// each operator, then as many as the selector says.
    ///
    /// Refuses a config that asks for several logs (a bundle holds one entry), a Rekor v2 log without a timestamp authority, and any
    /// URL to which an identity token must not be sent.
    pub fn select(&self, now: Timestamp) -> Result<Selection, SignError> {
        let mut authorities = self.usable(Service::Fulcio, &self.inner.ca_urls, FULCIO_VERSIONS, now)?;
        if authorities.is_empty() {
            return Err(self.unusable(Service::Fulcio, ConfigProblem::NoneUsable));
        }
        let fulcio = authorities.remove(0).url;
        let (log, other_logs) = self.log(now)?;
        let (timestamp_authorities, other_timestamp_authorities) = self.timestamp_authorities(now)?;
        if log.version == RekorVersion::V2 && timestamp_authorities.is_empty() {
            return Err(self.unusable(Service::TimestampAuthority, ConfigProblem::TimestampRequired));
        }
        let spares =
            Spares { fulcio: urls(authorities), logs: other_logs, timestamp_authorities: other_timestamp_authorities };
        Ok(Selection { fulcio, log, timestamp_authorities, spares })
    }

    fn log(&self, now: Timestamp) -> Result<(Log, Vec<Url>), SignError> {
        let usable = self.usable(Service::Rekor, &self.inner.rekor_tlog_urls, REKOR_VERSIONS, now)?;
        let (mut logs, spares) = self.apply(Service::Rekor, &self.inner.rekor_tlog_config, usable)?;
        if logs.len() > 1 {
            return Err(self.unusable(Service::Rekor, ConfigProblem::MoreThanOneLog(logs.len())));
        }
        let chosen = logs.pop().ok_or_else(|| self.unusable(Service::Rekor, ConfigProblem::NoneUsable))?;
        let version = match chosen.version {
            1 => RekorVersion::V1,
            _ => RekorVersion::V2,
        };
        Ok((Log { url: chosen.url, version }, urls(spares)))
    }

    fn timestamp_authorities(&self, now: Timestamp) -> Result<(Vec<Url>, Vec<Url>), SignError> {
        if self.inner.tsa_urls.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let service = Service::TimestampAuthority;
        let usable = self.usable(service, &self.inner.tsa_urls, TIMESTAMP_AUTHORITY_VERSIONS, now)?;
        let (chosen, spares) = self.apply(service, &self.inner.tsa_config, usable)?;
        if chosen.len() > MAX_TIMESTAMPS {
            return Err(self.unusable(service, ConfigProblem::TooMany(chosen.len())));
        }
        Ok((urls(chosen), urls(spares)))
    }

    fn usable(
        &self,
        service: Service,
        endpoints: &[ServiceEndpoint],
        versions: &[u32],
        now: Timestamp,
    ) -> Result<Vec<Usable>, SignError> {
        let valid = |endpoint: &&ServiceEndpoint| {
            versions.contains(&endpoint.major_api_version) && endpoint.valid_for.contains(now)
        };
        let version = endpoints.iter().filter(valid).map(|endpoint| endpoint.major_api_version).max();
        let mut candidates: Vec<&ServiceEndpoint> =
            endpoints.iter().filter(valid).filter(|endpoint| Some(endpoint.major_api_version) == version).collect();
        candidates.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.valid_for.start));
        let mut operators = BTreeSet::new();
        candidates
            .into_iter()
            .filter(|endpoint| operators.insert(endpoint.operator.as_deref().unwrap_or_default()))
            .map(|endpoint| {
                let url = safe_url(&endpoint.url).ok_or_else(|| {
                    self.unusable(service, ConfigProblem::UnsafeUrl(without_credentials(&endpoint.url)))
                })?;
                Ok(Usable { url, version: endpoint.major_api_version })
            })
            .collect()
    }

    /// Those that the selector asks for, and those that may serve in their place: with `ANY`, any other.
    fn apply(
        &self,
        service: Service,
        configuration: &ServiceConfiguration,
        mut usable: Vec<Usable>,
    ) -> Result<(Vec<Usable>, Vec<Usable>), SignError> {
        if usable.is_empty() {
            return Err(self.unusable(service, ConfigProblem::NoneUsable));
        }
        let wanted = match configuration.selector {
            ServiceSelector::All => usable.len(),
            ServiceSelector::Any => 1,
            ServiceSelector::Exact => match configuration.count {
                None | Some(0) => return Err(self.unusable(service, ConfigProblem::NoCount)),
                Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
            },
            _ => return Err(self.unusable(service, ConfigProblem::UndefinedSelector)),
        };
        if wanted > usable.len() {
            let usable = usable.len();
            return Err(self.unusable(service, ConfigProblem::NotEnough { wanted, usable }));
        }
        let mut spares = usable.split_off(wanted);
        if configuration.selector != ServiceSelector::Any {
            spares.clear();
        }
        Ok((usable, spares))
    }

    fn unusable(&self, service: Service, problem: ConfigProblem) -> SignError {
        SignError::SigningConfigUnusable { origin: self.origin.clone(), service, problem }
    }
}

/// The services that one call uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selection {
    /// The certificate authority.
    pub fulcio: Url,
    /// The log.
    pub log: Log,
    /// The timestamp authorities, at least one with a Rekor v2 log.
    pub timestamp_authorities: Vec<Url>,
    /// What serves where the first is down.
    pub spares: Spares,
}

impl Selection {
    /// The certificate authorities, in the order in which they are asked.
    pub(super) fn authorities(&self) -> Vec<Url> {
        std::iter::once(&self.fulcio).chain(&self.spares.fulcio).cloned().collect()
    }

    /// The logs, in the order in which they are asked.
    pub(super) fn logs(&self) -> Vec<Url> {
        std::iter::once(&self.log.url).chain(&self.spares.logs).cloned().collect()
    }

    /// For each timestamp the authorities that may give it, in the order in which they are asked.
    pub(super) fn timestamp_requests(&self) -> Vec<Vec<Url>> {
        let spares = &self.spares.timestamp_authorities;
        self.timestamp_authorities.iter().map(|url| std::iter::once(url).chain(spares).cloned().collect()).collect()
    }
}

/// Further services of a config whose selector is `ANY`, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spares {
    /// Certificate authorities.
    pub fulcio: Vec<Url>,
    /// Logs of the same version.
    pub logs: Vec<Url>,
    /// Timestamp authorities; there are some only where one timestamp is asked for.
    pub timestamp_authorities: Vec<Url>,
}

/// A transparency log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// Its base URL.
    pub url: Url,
    /// The interface it speaks.
    pub version: RekorVersion,
}

/// The interface of a transparency log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RekorVersion {
    /// Entries of kind `dsse` 0.0.1 for statements and `hashedrekord` 0.0.1 for files, with a promise and an integrated time.
    V1,
    /// Entries of kind `hashedrekord` 0.0.2, for statements over the pre-authentication encoding, without a time.
    V2,
}

struct Usable {
    url: Url,
    version: u32,
}

fn urls(usable: Vec<Usable>) -> Vec<Url> {
    usable.into_iter().map(|one| one.url).collect()
}

/// Parses a URL to which secrets may be sent: `https`, or `http` to a loopback address; no user information.
pub(crate) fn safe_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let loopback = is_loopback_host(url.host_str()?);
    let encrypted = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    let anonymous = url.username().is_empty() && url.password().is_none();
    (encrypted && anonymous).then_some(url)
}

/// A refused URL is shown, what it may carry before the host is not.
fn without_credentials(text: &str) -> String {
    let mut url = match Url::parse(text) {
        Ok(url) if url.has_host() => url,
        _ => return text.rsplit('@').next().unwrap_or_default().to_owned(),
    };
    // These fail only for URLs without a host.
    let _ = (url.set_username(""), url.set_password(None));
    url.to_string()
}

/// Why a signing config cannot be used for the service named beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// The config asks for several logs; a bundle that consumers accept holds one log entry.
    MoreThanOneLog(usize),
    /// No entry is valid now and of a version this program speaks.
    NoneUsable,
    /// `EXACT` asks for more services than are usable.
    NotEnough {
        /// How many the config asks for.
        wanted: usize,
        /// How many are usable.
        usable: usize,
    },
    /// `EXACT` without a count, or with a count of zero.
    NoCount,
    /// Rekor v2 entries carry no time of their own, so a timestamp authority must be named.
    TimestampRequired,
    /// More timestamps than a verifier accepts in one bundle.
    TooMany(usize),
    /// The selector says neither `ALL`, `ANY` nor `EXACT`.
    UndefinedSelector,
    /// The URL, shown without credentials, is not `https`, nor `http` to a loopback address, or it has credentials in it.
    UnsafeUrl(String),
}

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MoreThanOneLog(count) => {
                write!(f, "it asks for {count} logs, a bundle holds exactly one log entry")
            }
            Self::NoneUsable => f.write_str("no entry is valid now and of a known version"),
            Self::NotEnough { wanted, usable } => {
                write!(f, "it asks for exactly {wanted}, {usable} are usable now")
            }
            Self::NoCount => f.write_str("EXACT needs a count above zero"),
            Self::TimestampRequired => {
                f.write_str("the log has no time of its own, a timestamp authority must be configured")
            }
            Self::TooMany(count) => write!(f, "it asks for {count}, more than a bundle may carry"),
            Self::UndefinedSelector => f.write_str("the selector is undefined"),
            Self::UnsafeUrl(url) => {
                write!(f, "{url} is not https, nor http to a loopback address, without credentials")
            }
        }
    }
}
