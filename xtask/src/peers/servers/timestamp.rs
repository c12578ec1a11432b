//! The timestamp authority, with a key in memory.

use std::fs::File;

use anyhow::Context as _;

use super::super::process::{self, Server};
use super::super::{Bench, http};
use super::keys;

/// The port that timestamp-server binds for its metrics, whatever it is told; without it, it ends.
const METRICS_PORT: u16 = 2112;

/// Who holds this file has the port: runs at the same time take turns.
const LOCK: &str = "countersign-peers-2112.lock";

/// A running timestamp authority.
pub(crate) struct Timestamp {
    pub(crate) url: String,
    /// DER, the signer first, the root last.
    pub(crate) chain: Vec<Vec<u8>>,
    _server: Server,
    _port: File,
}

impl Timestamp {
    pub(super) fn start(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("timestamp-authority", "timestamp-server")?;
        let lock = std::env::temp_dir().join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&lock);
        let lock = lock.with_context(|| format!("cannot create {LOCK}"))?;
        if lock.try_lock().is_err() {
            eprintln!("   waiting for another run to leave port {METRICS_PORT}");
            lock.lock().with_context(|| format!("cannot lock {LOCK}"))?;
        }
        anyhow::ensure!(
            !process::listens(METRICS_PORT),
            "something listens on port {METRICS_PORT}, which timestamp-server needs and cannot be told otherwise"
        );
        let folder = bench.folder("timestamp-authority")?;
        let port = process::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let mut command = process::command(&program, &folder);
        command.args(["serve", "--host=127.0.0.1", &format!("--port={port}"), "--timestamp-signer=memory"]);
        // Else it asks public time servers.
        command.arg("--disable-ntp-monitoring");
        let ready = || http::is_up(&format!("{url}/ping"));
        let server = Server::start("timestamp-server", command, &folder.join("log"), ready)?;
        let chain = http::get(&format!("{url}/api/v1/timestamp/certchain"), &[])?;
        let chain = keys::unpem(&String::from_utf8(chain.body)?)?;
        Ok(Self { url, chain, _server: server, _port: lock })
    }

    /// The full endpoint, as signing configs name it.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/api/v1/timestamp", self.url)
    }
}
