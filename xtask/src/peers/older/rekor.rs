//! Rekor v2 as it was while it took entries of the kind `dsse`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;

use super::super::process::{self, Server};
use super::super::servers::keys;
use super::super::{Bench, http};

/// The name of the sandbox's Rekor v2 in its checkpoints: this log stands in for it, with its key.
const HOST: &str = "localhost";
/// PKCS #8 of an Ed25519 key, up to the seed (RFC 8410).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A seed that nobody can guess.
pub(super) fn seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| anyhow!("no random numbers"))?;
    Ok(seed)
}

/// A running log.
pub(super) struct Log {
    url: String,
    _server: Server,
}

impl Log {
    pub(super) fn start(bench: &Bench<'_>, seed: &[u8; 32]) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("rekor-tiles-2.2", "posix")?;
        let folder = bench.folder("rekor-tiles-2.2")?;
        let key = folder.join("key.pem");
        fs::write(&key, keys::pem("PRIVATE KEY", &[&PKCS8[..], seed].concat())?)?;
        fs::create_dir_all(folder.join("log"))?;
        let (port, grpc, metrics) = (process::free_port()?, process::free_port()?, process::free_port()?);
        let url = format!("http://{HOST}:{port}");
        let mut command = process::command(&program, &folder);
        command.args(["serve", &format!("--hostname={HOST}"), "--checkpoint-interval=200ms"]);
        command.arg("--storage-dir").arg(folder.join("log")).arg("--signer-filepath").arg(key);
        command.args(["--http-address=127.0.0.1", &format!("--http-port={port}")]);
        command.args(["--grpc-address=127.0.0.1", &format!("--grpc-port={grpc}")]);
        command.arg(format!("--http-metrics-port={metrics}"));
        let ready = || http::is_up(&format!("{url}/healthz"));
        let server = Server::start("rekor-tiles 2.2", command, &folder.join("output"), ready)?;
        Ok(Self { url, _server: server })
    }

    /// Writes a signing config that has this log instead of its own.
    pub(super) fn signing_config(&self, from: &Path, to: &Path) -> anyhow::Result<PathBuf> {
        let mut config: Value = serde_json::from_slice(&fs::read(from)?)?;
        let log = config.pointer_mut("/rekorTlogUrls/0/url").context("a signing config without log")?;
        *log = Value::String(self.url.clone());
        fs::write(to, config.to_string())?;
        Ok(to.to_path_buf())
    }
}
