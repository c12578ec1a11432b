//! An image with signatures, in a registry behind the network.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;
use crate::bench::child;
use crate::bench::world::Load;
use crate::peers::process;

/// An image, signed as often as was asked for, each time with another certificate.
pub(super) struct Signed {
    pub(super) by_digest: String,
    pub(super) by_tag: String,
    /// The TUF repository, behind the network, and its first root.
    pub(super) tuf_url: String,
    pub(super) tuf_root: PathBuf,
    repository: String,
    digest: String,
}

impl Signed {
    /// Pushes an index with four children and lets our signer sign it, past the network where that is possible.
    pub(super) fn new(bench: &mut Bench<'_>, signatures: usize) -> anyhow::Result<Self> {
        bench.world.network.set_round_trip(std::time::Duration::ZERO);
        let references = bench.world.push(Load { images: 1, children: 4, registries: 1 });
        let by_digest = references.into_iter().next().context("nothing was pushed")?;
        let signed = Self::at(bench, &by_digest)?;
        let home = bench.home()?;
        for _ in 0..signatures {
            let mut command = process::command(&bench.programs.signer, &home);
            command.args(["sign", "--quiet", "--force", "--index-only", &signed.by_digest]);
            command.envs(bench.stack.ambient.iter().cloned());
            command.arg("--signing-config").arg(&bench.stack.signing_config);
            command.arg("--trusted-root").arg(&bench.stack.trusted_root);
            child::run(command)?;
        }
        let attached = signed.bundles(bench)?.len();
        ensure!(attached == signatures, "{attached} signatures instead of {signatures}");
        Ok(signed)
    }

    /// An image that is signed already, by its digest.
    pub(super) fn at(bench: &Bench<'_>, by_digest: &str) -> anyhow::Result<Self> {
        let (name, digest) = by_digest.split_once('@').context("a reference without digest")?;
        let (_, repository) = name.split_once('/').context("a reference without repository")?;
        let (tuf_url, tuf_root) = bench.tuf.clone();
        Ok(Self {
            by_digest: by_digest.to_owned(),
            by_tag: format!("{name}:v0"),
            repository: repository.to_owned(),
            digest: digest.to_owned(),
            tuf_url,
            tuf_root,
        })
    }

    /// `sha256:...`
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// The bundles beside the digest.
    pub(super) fn bundles(&self, bench: &Bench<'_>) -> anyhow::Result<Vec<Vec<u8>>> {
        let registry = bench.world.sandbox().registry();
        let mut bundles = Vec::new();
        for descriptor in registry.referrers(&self.repository, &self.digest) {
            let referrer = descriptor["digest"].as_str().context("a referrer without digest")?;
            let manifest = registry.get_manifest(&self.repository, referrer).context("no manifest")?;
            let manifest: Value = serde_json::from_slice(&manifest.bytes)?;
            let blob = manifest["layers"][0]["digest"].as_str().context("a referrer without layer")?;
            bundles.push(registry.get_blob(blob).context("no bundle")?.to_vec());
        }
        Ok(bundles)
    }
}
