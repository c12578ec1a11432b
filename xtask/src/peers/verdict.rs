//! Our verifier's verdict on a reference, with the document that it writes.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;
use super::process;
use super::stack::Stack;

/// How our verifier ended, and its document.
pub(crate) struct Verdict {
    exit: i32,
    document: Value,
}

impl Verdict {
    /// Asks our verifier about a reference.
    pub(crate) fn on(bench: &Bench<'_>, stack: &Stack, reference: &str, identity: &str) -> anyhow::Result<Self> {
        let home = bench.folder("verifier")?;
        let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
        command.args(["verify", reference, "--output", "json", "--certificate-identity", identity]);
        command.args(["--certificate-oidc-issuer", &stack.issuer, "--trusted-root"]).arg(&stack.trusted_root);
        let run = process::call(command)?;
        let document = serde_json::from_str(&run.stdout)
            .with_context(|| format!("exit {} without a document: {}", run.exit, run.last_words()))?;
        Ok(Self { exit: run.exit, document })
    }

    /// Fails unless the image was verified.
    pub(crate) fn verified(&self) -> anyhow::Result<()> {
        ensure!(self.exit == 0 && self.document["verdict"] == "verified", "exit {}: {}", self.exit, self.error());
        Ok(())
    }

    /// Fails unless the image was rejected (exit 3) with this code; returns the line that says why.
    pub(crate) fn rejected(&self, code: &str) -> anyhow::Result<String> {
        let found = self.document["error"]["code"].as_str().unwrap_or_default();
        ensure!(self.exit == 3 && found == code, "exit {} and not exit 3 with `{code}`: {}", self.exit, self.error());
        self.document["error"]["message"].as_str().map(ToOwned::to_owned).context("no message")
    }

    /// What was not accepted, with code, reason and hint.
    pub(crate) fn refused(&self) -> &[Value] {
        self.document["refused"].as_array().map_or(&[], Vec::as_slice)
    }

    fn error(&self) -> String {
        format!("{} {}", self.document["error"], self.document["refused"])
    }
}
