//! Where a trusted root comes from, and the cache between a TUF repository and this program.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use countersign_oci::Digest;
use jiff::{SignedDuration, Timestamp};
use sigstore_trust_root::{SigningConfig, SigstoreInstance, TrustedRoot as SigstoreRoot, TufBootstrap, TufConfig};

use super::{TRUSTED_ROOT_LIMIT, TrustedRoot};
use crate::error::Error;

/// How long a trusted root is used before its repository is asked again.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_hours(24);
/// The largest file that a cache may hold, in bytes: public-good metadata has under 50 KB.
const CACHED_FILE_LIMIT: u64 = 8 << 20;
/// How many files one folder of a cache may hold: a handful is what TUF needs.
const CACHED_FILES: usize = 256;
/// How deep folders of a cache lie in each other.
const CACHE_DEPTH: usize = 2;
/// The name under which a cache notes when the repository was last asked.
const REFRESHED: &str = "refreshed-at";

/// Where a trusted root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustSource {
    /// The public-good copy inside this program.
    EmbeddedPublicGood,
    /// A `trusted_root.json`.
    File(PathBuf),
    /// The public-good TUF repository.
    PublicGoodTuf,
    /// Another TUF repository, and the file with the TUF root that its trust begins with.
    Tuf {
        /// The repository's address.
        url: String,
        /// The file with its TUF root.
        root: PathBuf,
    },
}

#[cfg(feature = "cli")]
impl From<countersign_cli::flags::TrustChoice> for TrustSource {
    fn from(choice: countersign_cli::flags::TrustChoice) -> Self {
        use countersign_cli::flags::TrustChoice;
        match choice {
            TrustChoice::Embedded => Self::EmbeddedPublicGood,
            TrustChoice::File(path) => Self::File(path),
            TrustChoice::PublicGood => Self::PublicGoodTuf,
            TrustChoice::Tuf { url, root } => Self::Tuf { url, root },
        }
    }
}

/// Where a cache lies, and the client that refreshes it.
#[derive(Debug, Clone)]
pub struct TrustCache {
    /// The folder of this program's caches. Without one nothing is kept.
    pub folder: Option<PathBuf>,
    /// The HTTP client. It must have timeouts and follow no redirects.
    pub http: reqwest::Client,
}

/// A trusted root and, where its source has one, the signing config beside it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Material {
    /// The trusted root.
    pub trusted_root: TrustedRoot,
    /// The text of the signing config: which services sign under this root.
    pub signing_config: Option<String>,
}

/// Returns the trusted root of a source.
///
/// From a TUF repository: a cached one that was refreshed less than a day ago, else the repository's own, else a
/// cached one whose metadata has not expired, else [`Error::Tuf`]. A cache is verified from its TUF root each time it
/// is read, so a damaged one is as good as none. A refresh that failed is not remembered.
pub async fn load(source: &TrustSource, cache: &TrustCache, now: Timestamp) -> Result<TrustedRoot, Error> {
    let material = match source {
        TrustSource::File(path) => return from_file(path),
        TrustSource::EmbeddedPublicGood => return TrustedRoot::embedded_public_good(),
        _ => tuf(source, cache, now, false).await?,
    };
    Ok(material.trusted_root)
}

/// Returns the trusted root of a source together with the signing config beside it, as [`load`] does.
pub async fn load_material(source: &TrustSource, cache: &TrustCache, now: Timestamp) -> Result<Material, Error> {
    match source {
        TrustSource::File(path) => Ok(Material { trusted_root: from_file(path)?, signing_config: None }),
        TrustSource::EmbeddedPublicGood => Ok(Material {
            trusted_root: TrustedRoot::embedded_public_good()?,
            signing_config: SigstoreInstance::PublicGood.embedded_signing_config_json().map(ToOwned::to_owned),
        }),
        _ => tuf(source, cache, now, true).await,
    }
}

/// Prepares a folder of the cache. One that cannot be used is left out, with a warning: a cache saves requests, no more.
fn usable(folder: &Path) -> bool {
    match prepare(folder) {
        Ok(()) => true,
        Err(cause) => {
            tracing::warn!("{} is not used as a cache: {cause}", folder.display());
            false
        }
    }
}

fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if !is_sound(folder, CACHE_DEPTH)? {
        // Whatever is in there, it was not written by this program: it is set aside, for a person to look at.
        let aside = folder.with_extension("damaged");
        tracing::warn!("{} is damaged and set aside as {}", folder.display(), aside.display());
        // Only the last one is kept: a cache that is damaged each time must not fill the disk.
        if aside.symlink_metadata().is_ok() {
            fs::remove_dir_all(&aside)?;
        }
        fs::rename(folder, aside)?;
        fs::create_dir_all(folder)?;
    }
    tempfile::tempfile_in(folder).map(drop)
}

/// Whether a folder holds nothing but files of bounded size: the TUF client reads whole what it finds there.
fn is_sound(folder: &Path, depth: usize) -> io::Result<bool> {
    for (count, entry) in fs::read_dir(folder)?.enumerate() {
        let entry = entry?;
        // Not followed: a link is not sound, wherever it leads.
        let metadata = entry.metadata()?;
        let sound = match metadata.file_type() {
            kind if kind.is_dir() => depth > 0 && is_sound(&entry.path(), depth - 1)?,
            kind => kind.is_file() && metadata.len() <= CACHED_FILE_LIMIT,
        };
        if !sound || count >= CACHED_FILES {
            return Ok(false);
        }
    }
    Ok(true)
}

fn from_file(path: &Path) -> Result<TrustedRoot, Error> {
    TrustedRoot::from_json(&read_text(path)?, &path.display().to_string())
}

fn read_text(path: &Path) -> Result<String, Error> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?.take(TRUSTED_ROOT_LIMIT + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|cause| Error::TrustFile { path: path.display().to_string(), cause })
}

/// One TUF repository with its cache.
struct Repository {
    url: String,
    config: TufConfig,
    folder: Option<PathBuf>,
}

impl Repository {
    fn new(source: &TrustSource, cache: &TrustCache) -> Result<Self, Error> {
        let (url, root) = match source {
            TrustSource::Tuf { url, root } => (url.clone(), read_text(root)?.into_bytes()),
            _ => {
                let public_good = SigstoreInstance::PublicGood;
                (public_good.tuf_url().to_owned(), public_good.tuf_root().to_vec())
            }
        };
        // Another address or another first root is another repository: they never share a cache.
        let name = Digest::of(&[url.as_bytes(), b"\n", &root].concat()).hex();
        let folder = cache.folder.as_ref().map(|folder| folder.join("tuf").join(name)).filter(|folder| usable(folder));
        let config = TufConfig::custom(url.clone(), TufBootstrap::trusted(root)).with_http_client(cache.http.clone());
        let config = match &folder {
            Some(folder) => config.with_cache_dir(folder.clone()),
            None => config.without_cache(),
        };
        Ok(Self { url, config, folder })
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let Some(folder) = &self.folder else { return false };
        let Ok(text) = read_text(&folder.join(REFRESHED)) else { return false };
        let Ok(refreshed) = text.trim().parse::<Timestamp>() else { return false };
        refreshed <= now && now.duration_since(refreshed) < TIME_TO_LIVE
    }

    /// Notes that the repository was asked. A note that cannot be written costs a request next time, no more.
    fn note_refresh(&self, now: Timestamp) {
        let Some(folder) = &self.folder else { return };
        let staged = folder.join(format!("{REFRESHED}.{}", std::process::id()));
        if fs::write(&staged, now.to_string()).is_ok() && fs::rename(&staged, folder.join(REFRESHED)).is_err() {
            let _ = fs::remove_file(&staged);
        }
    }

    async fn read(&self, config: TufConfig, now: Timestamp, with_signing_config: bool) -> Result<Material, Error> {
        let failed = |e: sigstore_trust_root::Error| Error::Tuf { url: self.url.clone(), detail: e.to_string() };
        let (root, signing_config) = if with_signing_config {
            let (root, signing) =
                sigstore_trust_root::tuf::fetch_trust_material_at(config, now).await.map_err(failed)?;
            (root, Some(signing))
        } else {
            (SigstoreRoot::from_tuf_at(config, now).await.map_err(failed)?, None)
        };
        Ok(Material {
            trusted_root: self.accept(&root)?,
            signing_config: signing_config.as_ref().map(|config| self.signing_config_text(config)).transpose()?,
        })
    }

    fn accept(&self, root: &SigstoreRoot) -> Result<TrustedRoot, Error> {
        let text = serde_json::to_string(root).map_err(|e| self.unusable(&e))?;
        TrustedRoot::from_json(&text, &format!("TUF repository {}", self.url))
    }

    fn signing_config_text(&self, config: &SigningConfig) -> Result<String, Error> {
        serde_json::to_string(config).map_err(|e| self.unusable(&e))
    }

    fn unusable(&self, cause: &dyn std::fmt::Display) -> Error {
        Error::TrustedRoot { origin: self.url.clone(), detail: cause.to_string() }
    }
}

async fn tuf(
    source: &TrustSource,
    cache: &TrustCache,
    now: Timestamp,
    with_signing_config: bool,
) -> Result<Material, Error> {
    crate::crypto::install();
    // The TUF client builds an HTTP client of its own before it takes ours, and that needs a provider to be there.
    // An error only says that one is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let repository = Repository::new(source, cache)?;
    let cached = |config: TufConfig| repository.read(config.offline(), now, with_signing_config);
    if repository.is_fresh(now)
        && let Ok(material) = cached(repository.config.clone()).await
    {
        return Ok(material);
    }
    match repository.read(repository.config.clone(), now, with_signing_config).await {
        Ok(material) => {
            repository.note_refresh(now);
            Ok(material)
        }
        Err(refresh) if repository.folder.is_some() => cached(repository.config.clone()).await.map_err(|_| refresh),
        Err(refresh) => Err(refresh),
    }
}
