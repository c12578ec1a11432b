//! Our verifier's verdicts on references, with the documents that it writes.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Bench;
use super::process;
use super::stack::Stack;

/// How our verifier ended, and its document for each reference, in their order.
pub(crate) struct Verdicts {
    exit: i32,
    documents: Vec<Value>,
}

impl Verdicts {
    /// Asks our verifier about references, all in one call.
    pub(crate) fn on(bench: &Bench<'_>, stack: &Stack, references: &[String], identity: &str) -> anyhow::Result<Self> {
        let home = bench.folder("verifier")?;
        let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
        command.arg("verify").args(references).args(["--output", "json", "--certificate-identity", identity]);
        command.args(["--certificate-oidc-issuer", &stack.issuer, "--trusted-root"]).arg(&stack.trusted_root);
        let run = process::call(command)?;
        let document: Value = serde_json::from_str(&run.stdout)
            .with_context(|| format!("exit {} without a document: {}", run.exit, run.last_words()))?;
        let documents = match document["results"].as_array() {
            Some(results) => results.clone(),
            None => vec![document],
        };
        ensure!(documents.len() == references.len(), "{} verdicts on {} references", documents.len(), references.len());
        Ok(Self { exit: run.exit, documents })
    }

    /// Fails unless every image was verified.
    pub(crate) fn verified(&self) -> anyhow::Result<()> {
        for document in &self.documents {
            ensure!(document["verdict"] == "verified", "{}", why(document));
        }
        ensure!(self.exit == 0, "everything is verified, and the exit is {}", self.exit);
        Ok(())
    }

    /// Fails unless every image was rejected (exit 3) with this code.
    pub(crate) fn rejected(&self, code: &str) -> anyhow::Result<()> {
        for document in &self.documents {
            let is_rejected = document["verdict"] == "rejected" && document["error"]["code"] == code;
            ensure!(is_rejected, "not rejected with `{code}`: {}", why(document));
        }
        ensure!(self.exit == 3, "everything is rejected, and the exit is {}", self.exit);
        Ok(())
    }

    /// What was not accepted, for all references: each with code, reason and hint.
    pub(crate) fn refused(&self) -> impl Iterator<Item = &Value> {
        self.documents.iter().flat_map(|document| document["refused"].as_array().into_iter().flatten())
    }
}

fn why(document: &Value) -> String {
    format!("{}: {} {} {}", document["reference"], document["verdict"], document["error"], document["refused"])
}
