//! Rekor v2: rekor-tiles on files.

use std::fs;

use ring::digest::{Context, SHA256};

use super::super::process::{self, Server};
use super::super::{Bench, http};
use super::{keys, seed};

/// The name of the log in its checkpoints; also the host of its base URL in the trusted root.
pub(super) const HOST: &str = "localhost";

/// A running log of the second generation.
pub(crate) struct RekorV2 {
    pub(crate) url: String,
    /// DER.
    pub(super) spki: Vec<u8>,
    /// The hash that C2SP signed notes name a key by.
    pub(super) log_id: Vec<u8>,
    _server: Server,
}

impl RekorV2 {
    pub(super) fn start(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("rekor-tiles", "posix")?;
        let folder = bench.folder("rekor-v2")?;
        let public = keys::ed25519(&folder.join("key.pem"))?;
        fs::create_dir_all(folder.join("log"))?;
        let (port, grpc, metrics) = (process::free_port()?, process::free_port()?, process::free_port()?);
        let url = format!("http://{HOST}:{port}");
        let mut command = process::command(&program, &folder);
        command.args(["serve", &format!("--hostname={HOST}"), "--checkpoint-interval=200ms"]);
        command.arg("--storage-dir").arg(folder.join("log"));
        command.arg("--signer-filepath").arg(folder.join("key.pem"));
        command.args(["--http-address=127.0.0.1", &format!("--http-port={port}")]);
        command.args(["--grpc-address=127.0.0.1", &format!("--grpc-port={grpc}")]);
        command.arg(format!("--http-metrics-port={metrics}"));
        let ready = || http::is_up(&format!("{url}/healthz"));
        let server = Server::start("rekor-tiles", command, &folder.join("output"), ready)?;
        seed::rekor_v2(&url)?;
        let mut hash = Context::new(&SHA256);
        [HOST.as_bytes(), b"\n\x01", &public].into_iter().for_each(|part| hash.update(part));
        let log_id = hash.finish().as_ref().to_vec();
        Ok(Self { url, spki: [&keys::ED25519_SPKI, &public[..]].concat(), log_id, _server: server })
    }
}
