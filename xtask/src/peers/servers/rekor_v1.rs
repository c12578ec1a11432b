//! Rekor v1: rekor-server on Trillian on PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::super::process::{self, Server};
use super::super::{Bench, http, versions};
use super::postgres::Postgres;
use super::{keys, seed};

/// The name of the log in its checkpoints; also the host of its base URL in the trusted root.
pub(super) const HOST: &str = "localhost";

/// The parts of the interface that clients use; the index would need Redis.
const ENDPOINTS: &str =
    "getLogInfo,getPublicKey,getLogProof,createLogEntry,getLogEntryByIndex,getLogEntryByUUID,searchLogQuery";

/// A running log of the first generation.
pub(crate) struct RekorV1 {
    pub(crate) url: String,
    /// DER.
    pub(super) spki: Vec<u8>,
    // In the order in which they are stopped.
    _server: Server,
    _signer: Server,
    _log: Server,
    _database: Postgres,
}

impl RekorV1 {
    pub(super) fn start(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("rekor", "rekor-server")?;
        let trillian = bench.toolbox.folder("trillian")?;
        let database = Postgres::start(bench, &schema()?)?;
        let folder = bench.folder("rekor-v1")?;
        let key = keys::ecdsa(&folder.join("key.pem"))?;
        let rpc = process::free_port()?;
        let log = start_trillian(trillian, "trillian_log_server", &database, rpc, &folder)?;
        let signer = start_trillian(trillian, "trillian_log_signer", &database, process::free_port()?, &folder)?;
        let port = process::free_port()?;
        let url = format!("http://{HOST}:{port}");
        let mut command = process::command(&program, &folder);
        command.args(["serve", "--rekor_server.address=127.0.0.1", &format!("--port={port}")]);
        command.arg(format!("--rekor_server.hostname={HOST}"));
        command.arg(format!("--rekor_server.signer={}", folder.join("key.pem").display()));
        command.args(["--trillian_log_server.address=127.0.0.1", &format!("--trillian_log_server.port={rpc}")]);
        command.args(["--enable_retrieve_api=false", &format!("--enabled_api_endpoints={ENDPOINTS}")]);
        let ready = || http::is_up(&format!("{url}/api/v1/log"));
        let server = Server::start("rekor-server", command, &folder.join("rekor-server.log"), ready)?;
        seed::rekor_v1(&url)?;
        Ok(Self { url, spki: key.spki(), _server: server, _signer: signer, _log: log, _database: database })
    }
}

fn start_trillian(programs: &Path, name: &str, database: &Postgres, rpc: u16, folder: &Path) -> anyhow::Result<Server> {
    let port = process::free_port()?;
    let mut command = process::command(&programs.join(name), folder);
    command.args(["--quota_system=noop", "--storage_system=postgresql"]);
    command.arg(format!("--postgresql_uri={}", database.uri));
    command.args([format!("--rpc_endpoint=127.0.0.1:{rpc}"), format!("--http_endpoint=127.0.0.1:{port}")]);
    if name == "trillian_log_signer" {
        // One instance needs no election. It looks for new leaves ten times a second: an answer waits for that.
        command.args(["--force_master", "--sequencer_interval=100ms"]);
    }
    Server::start(name, command, &folder.join(format!("{name}.log")), || process::listens(rpc))
}

/// Trillian's tables, from the module that its programs were built from.
fn schema() -> anyhow::Result<PathBuf> {
    let version = versions::peer("trillian").context("Trillian is not in the list of peers")?.version;
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", &format!("github.com/google/trillian@{version}")]);
    command.env("GOTOOLCHAIN", "local");
    let run = process::call(command)?.ok().context("go mod download")?;
    let module: Value = serde_json::from_str(&run.stdout)?;
    let folder = module["Dir"].as_str().context("the module has no folder")?;
    Ok(Path::new(folder).join("storage/postgresql/schema/storage.sql"))
}
