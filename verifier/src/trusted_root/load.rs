//! From a source to a trusted root: which copy is used, and when the repository is asked.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use sigstore_trust_root::SigstoreInstance;

use super::copied::Copied;
use super::repository::{Repository, RepositoryState, SigningConfig};
use super::{TRUSTED_ROOT_LIMIT, TrustSource, TrustedRoot};
use crate::error::Error;

/// How long a trusted root is used before its repository is asked again.
pub const TIME_TO_LIVE: SignedDuration = SignedDuration::from_hours(24);

/// Where a cache lies, and the client that refreshes it.
#[derive(Debug, Clone)]
pub struct TrustCache {
    /// The folder of this program's caches. Without one nothing is kept.
    pub folder: Option<PathBuf>,
    /// The HTTP client. It must have timeouts and follow no redirects.
    pub http: reqwest::Client,
}

/// When a TUF repository is asked. A file and the copy inside the program are never asked of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refresh {
    /// Now; no cached copy will do.
    Always,
    /// Where the cached copy is older than this; where that fails, the cached copy will do until its metadata expires.
    IfOlderThan(SignedDuration),
    /// Never: no connection is made. The cached copy will do until its metadata expires, however old it is.
    Never,
}

impl Refresh {
    /// How old a cached copy may be that is used without asking; nothing where nobody is asked.
    pub(super) fn limit(self) -> Option<SignedDuration> {
        match self {
            Self::Always => Some(SignedDuration::ZERO),
            Self::IfOlderThan(limit) => Some(limit),
            Self::Never => None,
        }
    }
}

impl Default for Refresh {
    fn default() -> Self {
        Self::IfOlderThan(TIME_TO_LIVE)
    }
}

/// A trusted root and, where its source has one, the signing config beside it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Material {
    /// The trusted root.
    pub trusted_root: TrustedRoot,
    /// The text of the signing config: which services sign under this root.
    pub signing_config: Option<String>,
    /// What is known of the TUF repository that it comes from, where it comes from one.
    pub repository: Option<RepositoryState>,
}

/// Returns the trusted root of a source.
///
/// From a TUF repository: a cached one that was refreshed less than [`TIME_TO_LIVE`] ago, else the repository's own,
/// else a cached one whose metadata has not expired, else [`Error::Tuf`]. A cache is verified from its TUF root each
/// time it is read, so a damaged one is as good as none. A refresh that failed is not remembered.
pub async fn load(source: &TrustSource, cache: &TrustCache, now: Timestamp) -> Result<TrustedRoot, Error> {
    Ok(load_with(source, cache, Refresh::default(), now).await?.trusted_root)
}

/// Returns the trusted root of a source, with a say in when its repository is asked. The signing config is not looked
/// for.
///
/// With [`Refresh::Never`] and nothing that is still valid: [`Error::TrustOffline`].
pub async fn load_with(
    source: &TrustSource,
    cache: &TrustCache,
    refresh: Refresh,
    now: Timestamp,
) -> Result<Material, Error> {
    match source {
        TrustSource::File(path) => Ok(without_repository(from_file(path)?, None)),
        TrustSource::EmbeddedPublicGood => Ok(without_repository(TrustedRoot::embedded_public_good()?, None)),
        _ => Repository::new(source, cache)?.material(refresh, SigningConfig::NotWanted, now).await,
    }
}

/// Returns the trusted root of a source together with the signing config beside it, as [`load`] does.
pub async fn load_material(source: &TrustSource, cache: &TrustCache, now: Timestamp) -> Result<Material, Error> {
    match source {
        TrustSource::File(path) => Ok(without_repository(from_file(path)?, None)),
        TrustSource::EmbeddedPublicGood => {
            let signing_config = SigstoreInstance::PublicGood.embedded_signing_config_json().map(ToOwned::to_owned);
            Ok(without_repository(TrustedRoot::embedded_public_good()?, signing_config))
        }
        _ => Repository::new(source, cache)?.material(Refresh::default(), SigningConfig::Needed, now).await,
    }
}

/// Verifies a copy of the source's TUF repository, and keeps it as the cached one. No connection is made.
///
/// The copy is a directory as the repository serves it (`N.root.json`, `timestamp.json` and the rest, or `metadata/`
/// and `targets/`), or a file that [`repository_copy`] made. It is verified as the repository would be: from the
/// pinned TUF root, unexpired, and in no role older than what is cached. So it adds no way to be trusted:
/// [`Error::TrustCopy`] says what is wrong with it, and [`Error::NoRepository`] that the source is none that could
/// have a copy.
pub async fn import(source: &TrustSource, cache: &TrustCache, copy: &Path, now: Timestamp) -> Result<Material, Error> {
    let repository = Repository::new(source, cache)?;
    repository.take_over(Copied::open(copy)?, now).await
}

/// Returns what is cached of the source's TUF repository as a file that [`import`] takes over on another machine.
pub async fn repository_copy(
    source: &TrustSource,
    cache: &TrustCache,
    refresh: Refresh,
    now: Timestamp,
) -> Result<Vec<u8>, Error> {
    let repository = Repository::new(source, cache)?;
    repository.material(refresh, SigningConfig::IfThere, now).await?;
    let path = || cache.folder.as_ref().map(|folder| folder.display().to_string()).unwrap_or_default();
    let nothing = || std::io::Error::new(std::io::ErrorKind::NotFound, "nothing is cached");
    let copy = repository.copy().ok_or_else(|| Error::Cache { path: path(), cause: nothing() })?;
    copy.to_json().map_err(|cause| Error::Cache { path: path(), cause })
}

/// Like [`load_with`], with the signing config beside the root where there is one.
pub async fn load_material_with(
    source: &TrustSource,
    cache: &TrustCache,
    refresh: Refresh,
    now: Timestamp,
) -> Result<Material, Error> {
    match source {
        TrustSource::File(_) | TrustSource::EmbeddedPublicGood => load_material(source, cache, now).await,
        _ => Repository::new(source, cache)?.material(refresh, SigningConfig::IfThere, now).await,
    }
}

fn without_repository(trusted_root: TrustedRoot, signing_config: Option<String>) -> Material {
    Material { trusted_root, signing_config, repository: None }
}

fn from_file(path: &Path) -> Result<TrustedRoot, Error> {
    TrustedRoot::from_json(&read_text(path)?, &path.display().to_string())
}

pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?.take(TRUSTED_ROOT_LIMIT + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|cause| Error::TrustFile { path: path.display().to_string(), cause })
}
