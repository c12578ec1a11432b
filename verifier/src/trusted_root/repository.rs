//! One TUF repository: asked, read from its cache, or taken over from a copy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_oci::Digest;
use jiff::{SignedDuration, Timestamp};
use sigstore_trust_root::SigstoreInstance;
use sigstore_tuf::{HttpRepository, Role as _, StoreRepository, Updater, UpdaterConfig};

use super::cache::{Cache, Cached, Snapshot};
use super::copied::Copied;
use super::load::{Material, Refresh, TrustCache, read_text};
use super::shelf::Shelf;
use super::{TRUSTED_ROOT_LIMIT, TrustSource, TrustedRoot};
use crate::error::Error;

/// The name of the trusted root among the targets.
const TRUSTED_ROOT: &str = "trusted_root.json";
/// The name of the signing config among the targets.
const SIGNING_CONFIG: &str = "signing_config.v0.2.json";

/// What is known of a TUF repository whose metadata was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepositoryState {
    /// The repository's address.
    pub url: String,
    /// Where it is cached, where it is.
    pub cache: Option<PathBuf>,
    /// The version of each role's metadata, and when it expires, in the order in which they vouch for each other.
    pub roles: Vec<RoleState>,
    /// When the repository was last asked and answered; nothing when this copy was taken over and never asked for.
    pub refreshed: Option<Timestamp>,
    /// Why the repository could not be asked just now, where it should have been.
    pub outage: Option<String>,
}

/// One role of TUF.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleState {
    /// Its name: root, timestamp, snapshot, targets.
    pub name: &'static str,
    /// The version of its metadata.
    pub version: u64,
    /// When that expires.
    pub expires: Timestamp,
}

impl RepositoryState {
    /// Returns when the first of the metadata expires: then the copy can no longer be used.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.roles.iter().map(|role| role.expires).min()
    }
}

/// One TUF repository with its cache.
pub(super) struct Repository {
    url: String,
    root: Vec<u8>,
    cache: Option<Cache>,
    http: reqwest::Client,
}

/// Whether the signing config beside the trusted root is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SigningConfig {
    IfThere,
    Needed,
    NotWanted,
}

impl Repository {
    pub(super) fn new(source: &TrustSource, cache: &TrustCache) -> Result<Self, Error> {
        crate::crypto::install();
        // The TUF client builds an HTTP client of its own before it takes ours, and that needs a provider to be there.
        // An error only says that one is.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (url, root) = match source {
            TrustSource::Tuf { url, root } => (url.clone(), read_text(root)?.into_bytes()),
            TrustSource::PublicGoodTuf => {
                let public_good = SigstoreInstance::PublicGood;
                (public_good.tuf_url().to_owned(), public_good.tuf_root().to_vec())
            }
            TrustSource::EmbeddedPublicGood | TrustSource::File(_) => return Err(Error::NoRepository),
        };
        // Another address or another first root is another repository: they never share a cache.
        let name = Digest::of(&[url.as_bytes(), b"\n", &root].concat()).hex();
        let folder = cache.folder.as_ref().map(|folder| Cache::new(folder, &name));
        Ok(Self { url, root, cache: folder, http: cache.http.clone() })
    }

    /// Returns what the repository vouches for, from the cache or from itself.
    pub(super) async fn material(
        &self,
        refresh: Refresh,
        signing: SigningConfig,
        now: Timestamp,
    ) -> Result<Material, Error> {
        let cached = self.cached();
        let Some(limit) = refresh.limit() else {
            let material = self.verify_snapshot(cached.snapshot.as_ref(), signing, now).await;
            return material.map_err(|detail| Error::TrustOffline { url: self.url.clone(), detail });
        };
        if cached.snapshot.as_ref().is_some_and(|snapshot| is_younger(snapshot, limit, now))
            && let Ok(material) = self.verify_snapshot(cached.snapshot.as_ref(), signing, now).await
            && (signing != SigningConfig::IfThere || material.signing_config.is_some())
        {
            return Ok(material);
        }
        let shelf = Arc::new(Shelf::new(&files_of(&cached)));
        let outage = match self.ask(&shelf, signing, now).await {
            Ok(material) => {
                self.keep(&Snapshot::new(&self.url, Some(now), shelf.kept()), &cached);
                return Ok(material);
            }
            Err(outage) => outage,
        };
        // A new TUF root that was verified counts, whatever failed after it: it may have taken keys away.
        let mut kept = Snapshot::new(&self.url, cached.snapshot.as_ref().and_then(|s| s.refreshed), files_of(&cached));
        let known = kept.files.len();
        kept.files.extend(shelf.roots());
        if kept.files.len() > known {
            self.keep(&kept, &cached);
        }
        let failed = |detail: String| Error::Tuf { url: self.url.clone(), detail };
        if refresh == Refresh::Always {
            return Err(failed(outage));
        }
        match self.verify_snapshot(Some(&kept), signing, now).await {
            Ok(mut material) => {
                tracing::warn!("{} cannot be asked, its cached copy is used: {outage}", self.url);
                if let Some(state) = &mut material.repository {
                    state.outage = Some(outage);
                }
                Ok(material)
            }
            Err(_) if cached.snapshot.is_none() => Err(failed(outage)),
            Err(copy) => Err(failed(format!("{outage}; and of the cached copy: {copy}"))),
        }
    }

    /// Verifies a copy of the repository from its TUF root, and keeps it: nothing in it is older than what is known.
    pub(super) async fn take_over(&self, copy: Copied, now: Timestamp) -> Result<Material, Error> {
        let no_folder = || std::io::Error::new(std::io::ErrorKind::NotFound, "there is no folder for it");
        let Some(cache) = &self.cache else {
            return Err(Error::Cache { path: String::new(), cause: no_folder() });
        };
        let path = copy.path().display().to_string();
        let cached = self.cached();
        let shelf = Arc::new(Shelf::new(&files_of(&cached)));
        let material = self
            .session(copy, &shelf, None, SigningConfig::IfThere, now)
            .await
            .map_err(|detail| Error::TrustCopy { path, detail })?;
        // It was not asked: who is connected asks at the next call.
        cache
            .write_surely(&Snapshot::new(&self.url, None, shelf.kept()), &cached)
            .map_err(|cause| Error::Cache { path: cache.path().display().to_string(), cause })?;
        Ok(material)
    }

    /// Returns what is cached, as a file that another machine can take over.
    pub(super) fn copy(&self) -> Option<Snapshot> {
        let snapshot = self.cached().snapshot?;
        Some(Snapshot::new(&self.url, None, snapshot.files))
    }

    fn cached(&self) -> Cached {
        self.cache.as_ref().map(|cache| cache.read(&self.url)).unwrap_or_default()
    }

    fn keep(&self, snapshot: &Snapshot, seen: &Cached) {
        if let Some(cache) = &self.cache {
            cache.write(snapshot, seen);
        }
    }

    async fn ask(&self, shelf: &Arc<Shelf>, signing: SigningConfig, now: Timestamp) -> Result<Material, String> {
        let http = HttpRepository::new(&self.url).map_err(|error| chain(&error))?.with_http_client(self.http.clone());
        self.session(http, shelf, Some(now), signing, now).await
    }

    async fn verify_snapshot(
        &self,
        snapshot: Option<&Snapshot>,
        signing: SigningConfig,
        now: Timestamp,
    ) -> Result<Material, String> {
        let Some(snapshot) = snapshot else { return Err("there is no cached copy".to_owned()) };
        let shelf = Arc::new(Shelf::new(&snapshot.files));
        // The client says of an expired role that it is not there: it would have been fetched again.
        let blamed = |detail| snapshot.expired(now).unwrap_or(detail);
        let copy = StoreRepository::new(Arc::clone(&shelf));
        self.session(copy, &shelf, snapshot.refreshed, signing, now).await.map_err(blamed)
    }

    /// Runs TUF's workflow from the pinned root to the trusted root. What lies on the shelf is verified again, and is
    /// the floor below which no version may fall.
    async fn session(
        &self,
        repository: impl sigstore_tuf::Repository + 'static,
        shelf: &Arc<Shelf>,
        refreshed: Option<Timestamp>,
        signing: SigningConfig,
        now: Timestamp,
    ) -> Result<Material, String> {
        let mut limits = UpdaterConfig::default();
        limits.target_max_length = TRUSTED_ROOT_LIMIT;
        let updater = Updater::new(repository, &self.root).map_err(|error| chain(&error))?;
        let mut updater = updater.with_config(limits).with_store(Arc::clone(shelf));
        updater.refresh(now).await.map_err(|error| chain(&error))?;
        let trusted_root = target(&mut updater, TRUSTED_ROOT, now).await?;
        let signing_config = match signing {
            SigningConfig::NotWanted => None,
            SigningConfig::Needed => Some(target(&mut updater, SIGNING_CONFIG, now).await?),
            SigningConfig::IfThere => target(&mut updater, SIGNING_CONFIG, now).await.ok(),
        };
        let origin = format!("TUF repository {}", self.url);
        let trusted_root = TrustedRoot::from_json(&trusted_root, &origin).map_err(|error| error.to_string())?;
        let state = RepositoryState {
            url: self.url.clone(),
            cache: self.cache.as_ref().map(|cache| cache.path().to_path_buf()),
            roles: roles(&updater),
            refreshed,
            outage: None,
        };
        Ok(Material { trusted_root, signing_config, repository: Some(state) })
    }
}

async fn target(updater: &mut Updater, name: &str, now: Timestamp) -> Result<String, String> {
    let bytes = updater.get_target(name, now).await.map_err(|error| chain(&error))?;
    String::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
}

fn roles(updater: &Updater) -> Vec<RoleState> {
    let trusted = updater.trusted();
    let root = RoleState { name: "root", version: trusted.root().version, expires: trusted.root().expires() };
    let others = [
        trusted.timestamp().map(|role| RoleState { name: "timestamp", version: role.version, expires: role.expires() }),
        trusted.snapshot().map(|role| RoleState { name: "snapshot", version: role.version, expires: role.expires() }),
        trusted.targets_role("targets").map(|role| RoleState {
            name: "targets",
            version: role.version,
            expires: role.expires(),
        }),
    ];
    [root].into_iter().chain(others.into_iter().flatten()).collect()
}

/// A time ahead of the clock says nothing.
fn is_younger(snapshot: &Snapshot, limit: SignedDuration, now: Timestamp) -> bool {
    snapshot.refreshed.is_some_and(|refreshed| refreshed <= now && now.duration_since(refreshed) < limit)
}

fn files_of(cached: &Cached) -> BTreeMap<String, String> {
    cached.snapshot.as_ref().map(|snapshot| snapshot.files.clone()).unwrap_or_default()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
