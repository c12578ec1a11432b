//! The certificate transparency log that Fulcio submits to: TesseraCT.

use std::fs;

use sandbox::CodeSigningChain;

use super::super::process::{self, Server};
use super::super::{Bench, http};
use super::keys;

/// A running log.
pub(super) struct CtLog {
    pub(super) url: String,
    /// DER.
    pub(super) spki: Vec<u8>,
    _server: Server,
}

impl CtLog {
    pub(super) fn start(bench: &Bench<'_>, chain: &CodeSigningChain) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("tesseract", "tesseract")?;
        let folder = bench.folder("tesseract")?;
        let key = keys::ecdsa(&folder.join("key.pem"))?;
        let [_, root] = chain.pem();
        fs::write(folder.join("roots.pem"), root)?;
        let port = process::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let mut command = process::command(&program, &folder);
        command.arg("-address").arg(format!("127.0.0.1:{port}")).arg("-folder").arg(folder.join("log"));
        command.arg("-key").arg(folder.join("key.pem")).arg("-roots").arg(folder.join("roots.pem"));
        let ready = || http::is_up(&format!("{url}/ct/v1/get-roots"));
        let server = Server::start("tesseract", command, &folder.join("output"), ready)?;
        Ok(Self { url, spki: key.spki(), _server: server })
    }
}
