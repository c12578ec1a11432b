//! Starting and stopping a sandbox, and the handles to its parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::SignedDuration;
use serde_json::Value;

use crate::clock::Clock;
use crate::faults::{Fault, FaultGuard, Faults};
use crate::identity::GithubIdentity;
use crate::keys::Keys;
use crate::log::{Request, RequestLog, Service};
use crate::oidc::{AUDIENCE, Issuer};
use crate::registry::{Auth, Behaviour, ImmutableTags, ReferrersApi, Registry, RegistryHandle, TagDeletion};
use crate::server::{self, Servers, Services, Shared};
use crate::sigstore::Sigstore;
use crate::trust::RekorVersion;
use crate::tuf::TufRepository;

/// How a sandbox starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the registry has the referrers API.
    pub referrers_api: bool,
    /// The credentials that the registry asks for.
    pub auth: Auth,
    /// Whether reading needs no credentials.
    pub anonymous_pull: bool,
    /// The size of a page of tags, repositories and referrers; `None` for no paging.
    pub page_size: Option<usize>,
    /// Whether mounts succeed (201) or become uploads (202).
    pub mounts: bool,
    /// Whether the registry writes absolute `Location` headers, as distribution does, or paths.
    pub absolute_locations: bool,
    /// Whether the registry heeds `If-Match` and `If-None-Match` of a manifest push. Real ones ignore them.
    pub compare_and_swap: bool,
    /// Whether a POST with a digest stores the blob (201), or only opens an upload (202) as many registries do.
    pub inline_uploads: bool,
    /// In whose words the registry refuses to overwrite a tag; `None` where it does not.
    pub immutable_tags: Option<ImmutableTags>,
    /// What a deletion by tag does.
    pub tag_deletion: TagDeletion,
    /// After how many requests a manifest without a tag is gone; `None` for never.
    pub reaper: Option<u64>,
    /// How many readers do not see a manifest that was just pushed, or a tag that was just moved.
    pub late: usize,
    /// The port of the registry; 0 for a free one.
    pub registry_port: u16,
    /// The time of the services.
    pub clock: Clock,
    /// The keys of the Sigstore services.
    pub keys: Keys,
    /// How long before the start the authorities and logs became valid.
    pub valid_before_start: SignedDuration,
    /// Whether SCTs name the place in the certificate transparency log, as the logs of static-ct-api do.
    pub sct_leaf_index: bool,
    /// How long the TUF metadata is valid; negative for expired metadata.
    pub tuf_lifetime: SignedDuration,
    /// What the TUF repository holds, by name; `None` for the trust in the sandbox's own services.
    pub tuf_targets: Option<Vec<(String, Vec<u8>)>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            referrers_api: true,
            auth: Auth::None,
            anonymous_pull: false,
            page_size: None,
            mounts: true,
            absolute_locations: false,
            compare_and_swap: false,
            inline_uploads: true,
            immutable_tags: None,
            tag_deletion: TagDeletion::On,
            reaper: None,
            late: 0,
            registry_port: 0,
            clock: Clock::system(),
            keys: Keys::generate(),
            valid_before_start: SignedDuration::from_hours(1),
            sct_leaf_index: true,
            tuf_lifetime: SignedDuration::from_hours(24 * 365),
            tuf_targets: None,
        }
    }
}

/// A running registry and Sigstore stack. Dropping it stops the servers and frees the ports.
pub struct Sandbox {
    registry: RegistryHandle,
    sigstore: Arc<Sigstore>,
    urls: BTreeMap<Service, String>,
    log: Arc<RequestLog>,
    faults: Arc<Faults>,
    _servers: Servers,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("urls", &self.urls).finish_non_exhaustive()
    }
}

/// The files that [`Sandbox::write_trust`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrustFiles {
    /// The trusted root: the keys of all services.
    pub trusted_root: PathBuf,
    /// The signing config with Rekor v1 and the timestamp authority.
    pub signing_config_rekor_v1: PathBuf,
    /// The signing config with Rekor v2 and the timestamp authority.
    pub signing_config_rekor_v2: PathBuf,
    /// The TUF root to start from.
    pub tuf_root: PathBuf,
}

impl TrustFiles {
    /// Returns the signing config for a generation of the log.
    #[must_use]
    pub fn signing_config(&self, rekor: RekorVersion) -> &Path {
        match rekor {
            RekorVersion::V1 => &self.signing_config_rekor_v1,
            RekorVersion::V2 => &self.signing_config_rekor_v2,
        }
    }
}

/// Starting, and what was asked.
impl Sandbox {
    /// Starts the servers; they answer when this returns.
    pub fn start(options: Options) -> anyhow::Result<Sandbox> {
        let mut listeners = Vec::new();
        let mut urls = BTreeMap::new();
        for service in Service::ALL {
            let wanted = if service == Service::Registry { options.registry_port } else { 0 };
            let (listener, port) = server::listen(wanted)?;
            listeners.push((service, listener));
            urls.insert(service, format!("http://127.0.0.1:{port}"));
        }
        let host = urls[&Service::Registry].trim_start_matches("http://").to_owned();
        let registry = Registry::new(host, options.clock.clone(), behaviour(&options));
        let sigstore = Arc::new(Sigstore::new(&options, &urls)?);
        let log = Arc::new(RequestLog::default());
        let faults = Arc::new(Faults::default());
        let services = Services { registry: Arc::clone(&registry), sigstore: Arc::clone(&sigstore) };
        let shared = Shared { services, log: Arc::clone(&log), faults: Arc::clone(&faults) };
        let servers = Servers::start(listeners, shared)?;
        Ok(Sandbox { registry: RegistryHandle(registry), sigstore, urls, log, faults, _servers: servers })
    }

    /// Returns the registry, to be used without HTTP.
    #[must_use]
    pub fn registry(&self) -> &RegistryHandle {
        &self.registry
    }

    /// Returns every request so far, of all services, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.log.all()
    }

    /// Returns the requests of one service so far.
    #[must_use]
    pub fn requests_of(&self, service: Service) -> Vec<Request> {
        let mut requests = self.log.all();
        requests.retain(|request| request.service == service);
        requests
    }

    /// Empties the request log.
    pub fn clear_requests(&self) {
        self.log.clear();
    }

    /// Makes requests go wrong until the guard is dropped.
    pub fn fault(&self, fault: Fault) -> FaultGuard {
        self.faults.arm(fault)
    }

    /// Replaces all faults; these last until they are replaced or the sandbox ends.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.clear();
        for fault in faults {
            self.faults.arm(fault).keep();
        }
    }
}

/// Where the services are.
impl Sandbox {
    /// Returns Fulcio's base URL.
    #[must_use]
    pub fn fulcio_url(&self) -> String {
        self.urls[&Service::Fulcio].clone()
    }

    /// Returns the base URL of Rekor v1.
    #[must_use]
    pub fn rekor_v1_url(&self) -> String {
        self.urls[&Service::RekorV1].clone()
    }

    /// Returns the base URL of Rekor v2.
    #[must_use]
    pub fn rekor_v2_url(&self) -> String {
        self.urls[&Service::RekorV2].clone()
    }

    /// Returns the timestamp endpoint, path included, as signing configs name it.
    #[must_use]
    pub fn tsa_url(&self) -> String {
        format!("{}{}", self.urls[&Service::Tsa], crate::tsa::PATH)
    }

    /// Returns the base URL of the TUF repository.
    #[must_use]
    pub fn tuf_url(&self) -> String {
        self.urls[&Service::Tuf].clone()
    }

    /// Returns the issuer of GitHub's tokens.
    #[must_use]
    pub fn oidc_issuer(&self) -> String {
        self.sigstore.oidc.issuer(Issuer::Github)
    }

    /// Returns the issuer of Buildkite's tokens.
    #[must_use]
    pub fn buildkite_issuer(&self) -> String {
        self.sigstore.oidc.issuer(Issuer::Buildkite)
    }

    /// Returns the issuer of tokens for e-mail addresses.
    #[must_use]
    pub fn email_issuer(&self) -> String {
        self.sigstore.oidc.issuer(Issuer::Email)
    }
}

/// Identities and trust.
impl Sandbox {
    /// Returns the claims of a GitHub token for Fulcio, to be changed and signed.
    #[must_use]
    pub fn github_claims(&self, identity: &GithubIdentity) -> Value {
        self.sigstore.oidc.github_claims(identity, AUDIENCE)
    }

    /// Returns the claims of an e-mail token for Fulcio, to be changed and signed.
    #[must_use]
    pub fn email_claims(&self, email: &str) -> Value {
        self.sigstore.oidc.email_claims(email)
    }

    /// Returns a token with whatever claims, signed by the key of the issuers.
    #[must_use]
    pub fn sign_token(&self, claims: &Value) -> String {
        self.sigstore.oidc.sign(claims)
    }

    /// Returns a token of a GitHub job for Fulcio.
    #[must_use]
    pub fn github_token(&self, identity: &GithubIdentity) -> String {
        self.sign_token(&self.github_claims(identity))
    }

    /// Returns a token of an e-mail address for Fulcio.
    #[must_use]
    pub fn email_token(&self, email: &str) -> String {
        self.sign_token(&self.email_claims(email))
    }

    /// Returns the environment of a GitHub job that may ask for tokens of this identity.
    #[must_use]
    pub fn ambient(&self, identity: &GithubIdentity) -> Vec<(String, String)> {
        self.sigstore.oidc.ambient(identity)
    }

    /// Returns the environment of a Buildkite job that may ask for tokens of its pipeline, `organization/pipeline`.
    #[must_use]
    pub fn buildkite(&self, pipeline: &str) -> Vec<(String, String)> {
        self.sigstore.oidc.buildkite(pipeline)
    }

    /// Returns the trusted root, JSON.
    #[must_use]
    pub fn trusted_root(&self) -> &str {
        &self.sigstore.trusted_root
    }

    /// Returns the signing config with a generation of the log, JSON.
    #[must_use]
    pub fn signing_config(&self, rekor: RekorVersion) -> &str {
        self.sigstore.signing_config(rekor)
    }

    /// Returns the TUF root to start from.
    #[must_use]
    pub fn tuf_root(&self) -> Vec<u8> {
        self.sigstore.tuf.root().to_vec()
    }

    /// Returns the TUF repository: its keys, versions and expiry can be changed.
    #[must_use]
    pub fn tuf(&self) -> &TufRepository {
        &self.sigstore.tuf
    }

    /// Writes trusted root, signing configs and TUF root into a folder, which is made if it is not there.
    pub fn write_trust(&self, dir: &Path) -> anyhow::Result<TrustFiles> {
        std::fs::create_dir_all(dir).with_context(|| format!("make the folder {}", dir.display()))?;
        let write = |name: &str, content: &[u8]| -> anyhow::Result<PathBuf> {
            let path = dir.join(name);
            std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        Ok(TrustFiles {
            trusted_root: write("trusted_root.json", self.trusted_root().as_bytes())?,
            signing_config_rekor_v1: write(
                "signing_config.rekor-v1.json",
                self.signing_config(RekorVersion::V1).as_bytes(),
            )?,
            signing_config_rekor_v2: write(
                "signing_config.rekor-v2.json",
                self.signing_config(RekorVersion::V2).as_bytes(),
            )?,
            tuf_root: write("tuf-root.json", &self.tuf_root())?,
        })
    }
}

fn behaviour(options: &Options) -> Behaviour {
    Behaviour {
        auth: options.auth.clone(),
        anonymous_pull: options.anonymous_pull,
        referrers: if options.referrers_api { ReferrersApi::Complete } else { ReferrersApi::Absent },
        page_size: options.page_size,
        mounts: options.mounts,
        absolute_locations: options.absolute_locations,
        compare_and_swap: options.compare_and_swap,
        inline_uploads: options.inline_uploads,
        immutable_tags: options.immutable_tags,
        tag_deletion: options.tag_deletion,
        reaper: options.reaper,
        late: options.late,
    }
}
