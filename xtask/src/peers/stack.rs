//! A set of Sigstore services to sign with, the sandbox's or real ones, as clients see them.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sandbox::{GithubIdentity, RekorVersion, Sandbox};

use super::http;

/// Which log a stack signs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rekor {
    V1,
    V2,
}

impl Rekor {
    pub(crate) const BOTH: [Self; 2] = [Self::V1, Self::V2];
}

impl fmt::Display for Rekor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "Rekor v1",
            Self::V2 => "Rekor v2",
        })
    }
}

/// A TUF repository that has the trusted root and the signing config.
#[derive(Clone, Debug)]
pub(crate) struct Tuf {
    pub(crate) url: String,
    pub(crate) root: PathBuf,
}

/// Services, the files that make clients use and trust them, and the identity of the job that signs.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) name: String,
    pub(crate) rekor: Rekor,
    pub(crate) trusted_root: PathBuf,
    pub(crate) signing_config: PathBuf,
    pub(crate) tuf: Option<Tuf>,
    /// What `--certificate-oidc-issuer` must be.
    pub(crate) issuer: String,
    /// What `--certificate-identity` must be.
    pub(crate) identity: String,
    /// The environment of a GitHub Actions job with `id-token: write`.
    pub(crate) ambient: Vec<(String, String)>,
    pub(crate) fulcio: String,
    pub(crate) rekor_url: String,
    /// The full endpoint of the timestamp authority.
    pub(crate) tsa: String,
}

impl Stack {
    /// The sandbox's services with one of its logs; the files go to a folder.
    pub(crate) fn of_sandbox(sandbox: &Sandbox, rekor: Rekor, folder: &Path) -> anyhow::Result<Self> {
        let trust = sandbox.write_trust(&folder.join(format!("trust-{rekor:?}")))?;
        let identity = GithubIdentity::default();
        let (version, rekor_url) = match rekor {
            Rekor::V1 => (RekorVersion::V1, sandbox.rekor_v1_url()),
            Rekor::V2 => (RekorVersion::V2, sandbox.rekor_v2_url()),
        };
        Ok(Self {
            name: format!("sandbox, {rekor}"),
            rekor,
            signing_config: trust.signing_config(version).to_path_buf(),
            trusted_root: trust.trusted_root,
            tuf: Some(Tuf { url: sandbox.tuf_url(), root: trust.tuf_root }),
            issuer: sandbox.oidc_issuer(),
            identity: identity.subject_alternative_name(),
            ambient: sandbox.ambient(&identity),
            fulcio: sandbox.fulcio_url(),
            rekor_url,
            tsa: sandbox.tsa_url(),
        })
    }

    /// Asks for an identity token as a job does.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        let variable = |name: &str| {
            let found = self.ambient.iter().find(|(found, _)| found == name);
            found.map(|(_, value)| value.as_str()).with_context(|| format!("{name} is not among the ambient variables"))
        };
        let url = format!("{}&audience=sigstore", variable("ACTIONS_ID_TOKEN_REQUEST_URL")?);
        let bearer = format!("bearer {}", variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
        let answer = http::get(&url, &[("authorization", &bearer)])?.json()?;
        answer["value"].as_str().map(ToOwned::to_owned).with_context(|| format!("no token in {answer}"))
    }
}
