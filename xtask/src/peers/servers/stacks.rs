//! The real servers as clients see them: their trust as files, and as a TUF repository.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sandbox::{GithubIdentity, Options, Sandbox};

use super::super::Bench;
use super::super::stack::{Rekor, Stack, Tuf};
use super::Real;
use super::trust::Servers;

/// The real servers with one of the logs.
pub(crate) struct RealStack {
    pub(crate) stack: Stack,
    /// The server of the TUF repository.
    _tuf: Sandbox,
}

/// The servers that started, to be trusted.
pub(super) fn servers(real: &Real) -> anyhow::Result<Servers<'_>> {
    Ok(Servers {
        fulcio: real.fulcio.get()?,
        timestamp: real.timestamp.get()?,
        rekor_v1: real.rekor_v1.there(),
        rekor_v2: real.rekor_v2.there(),
        since: super::trust::since(),
    })
}

impl RealStack {
    /// Writes the trust, and serves it by TUF. The identity and its tokens are the sandbox's.
    pub(crate) fn new(bench: &Bench<'_>, sandbox: &Sandbox, real: &Real, rekor: Rekor) -> anyhow::Result<Self> {
        let servers = servers(real)?;
        let rekor_url = match rekor {
            Rekor::V1 => &real.rekor_v1.get()?.url,
            Rekor::V2 => &real.rekor_v2.get()?.url,
        };
        let folder = bench.folder("real")?;
        let root = servers.trusted_root().to_string();
        let config = servers.signing_config(rekor, rekor_url, &sandbox.email_issuer()).to_string();
        let targets = [("trusted_root.json", &root), ("signing_config.v0.2.json", &config)];
        let targets = targets.map(|(name, text)| (name.to_owned(), text.clone().into_bytes()));
        let tuf = Sandbox::start(Options { tuf_targets: Some(targets.to_vec()), ..Options::default() })?;
        let identity = GithubIdentity::default();
        let stack = Stack {
            name: format!("real servers, {rekor}"),
            rekor,
            trusted_root: write(&folder.join("trusted_root.json"), root.as_bytes())?,
            signing_config: write(&folder.join("signing_config.json"), config.as_bytes())?,
            tuf: Some(Tuf { url: tuf.tuf_url(), root: write(&folder.join("root.json"), &tuf.tuf_root())? }),
            issuer: sandbox.oidc_issuer(),
            identity: identity.subject_alternative_name(),
            ambient: sandbox.ambient(&identity),
            fulcio: servers.fulcio.url.clone(),
            rekor_url: rekor_url.clone(),
            tsa: servers.timestamp.endpoint(),
        };
        Ok(Self { stack, _tuf: tuf })
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<std::path::PathBuf> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.to_path_buf())
}
