//! The timestamp authority, with a key in memory.

use super::super::process::{self, Server};
use super::super::{Bench, http};
use super::keys;

/// The port that timestamp-server binds for its metrics, whatever it is told; without it, it ends.
const METRICS_PORT: u16 = 2112;

/// A running timestamp authority.
pub(crate) struct Timestamp {
    pub(crate) url: String,
    /// DER, the signer first, the root last.
    pub(crate) chain: Vec<Vec<u8>>,
    _server: Server,
}

impl Timestamp {
    pub(super) fn start(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("timestamp-authority", "timestamp-server")?;
        anyhow::ensure!(
            !process::listens(METRICS_PORT),
            "something listens on port {METRICS_PORT}, which timestamp-server needs"
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
        Ok(Self { url, chain, _server: server })
    }

    /// The full endpoint, as signing configs name it.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}/api/v1/timestamp", self.url)
    }
}
