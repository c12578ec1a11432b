//! Who verifies: what each verifier says of a digest in a registry.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use super::Bench;
use super::process::{self, Run};
use super::stack::{Rekor, Stack};
use crate::programs;

/// What is asked of every verifier.
#[derive(Clone, Debug)]
pub(crate) struct Question<'q> {
    pub(crate) stack: &'q Stack,
    /// `HOST/REPOSITORY`
    pub(crate) repository: &'q str,
    /// `sha256:...`, not necessarily the one that was signed.
    pub(crate) digest: &'q str,
    pub(crate) identity: &'q str,
}

impl Question<'_> {
    /// `HOST/REPOSITORY@DIGEST`
    pub(crate) fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

/// What a verifier said.
#[derive(Debug)]
pub(crate) enum Answer {
    Accepted(String),
    Refused(String),
}

impl Answer {
    /// Fails unless the verifier accepted.
    pub(crate) fn accepted(self) -> anyhow::Result<String> {
        match self {
            Self::Accepted(text) => Ok(text),
            Self::Refused(why) => bail!("refused: {why}"),
        }
    }

    /// Fails unless the verifier refused with one of these words: a crash is no answer, nor is a refusal of something else.
    pub(crate) fn refused_for(self, words: &[&str]) -> anyhow::Result<String> {
        let why = self.refused()?;
        ensure!(words.iter().any(|word| why.contains(word)), "refused, but not for one of {words:?}: {why}");
        Ok(why)
    }

    /// Fails unless the verifier refused.
    pub(crate) fn refused(self) -> anyhow::Result<String> {
        match self {
            Self::Accepted(_) => bail!("accepted what it must refuse"),
            Self::Refused(why) => Ok(why),
        }
    }
}

/// Our verifier. A refusal is exit 3; that it could not decide is an error here, whatever was expected.
pub(crate) fn ours(bench: &Bench<'_>, question: &Question<'_>) -> anyhow::Result<Answer> {
    ours_of(bench, question.stack, question.identity, &[question.reference()])
}

/// Our verifier, asked of several references at once: it accepts when it accepts all.
pub(crate) fn ours_of(
    bench: &Bench<'_>,
    stack: &Stack,
    identity: &str,
    references: &[String],
) -> anyhow::Result<Answer> {
    let home = bench.folder("verifier")?;
    let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
    command.args(["verify", "--output", "json", "--certificate-identity", identity]);
    command.args(["--certificate-oidc-issuer", &stack.issuer]);
    command.arg("--trusted-root").arg(&stack.trusted_root).args(references);
    our_answer(&process::call(command)?)
}

/// Our verifier, given the bundle in a file: no registry is asked.
pub(crate) fn ours_given(
    bench: &Bench<'_>,
    stack: &Stack,
    identity: &str,
    reference: &str,
    bundle: &Path,
) -> anyhow::Result<Answer> {
    let home = bench.folder("verifier")?;
    let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
    command.args(["verify", reference, "--output", "json", "--certificate-identity", identity]);
    command.args(["--certificate-oidc-issuer", &stack.issuer]);
    command.arg("--trusted-root").arg(&stack.trusted_root).arg("--bundle").arg(bundle);
    our_answer(&process::call(command)?)
}

/// What our verifier's exit code and document say; a refusal is told by the codes in the document.
pub(crate) fn our_answer(run: &Run) -> anyhow::Result<Answer> {
    match run.exit {
        0 => Ok(Answer::Accepted("exit 0".to_owned())),
        3 => {
            let document = serde_json::from_str(&run.stdout).with_context(|| format!("no document: {}", run.stdout))?;
            Ok(Answer::Refused(programs::codes(&document).join(", ")))
        }
        exit => bail!("exit {exit}: {}", run.last_words()),
    }
}

/// A cosign, by its name in the list of peers.
pub(crate) fn cosign(bench: &Bench<'_>, name: &str, question: &Question<'_>) -> anyhow::Result<Answer> {
    cosign_of(bench, name, question.stack, question.identity, &[question.reference()])
}

/// A cosign, asked of several references at once: it accepts when it accepts all.
pub(crate) fn cosign_of(
    bench: &Bench<'_>,
    name: &str,
    stack: &Stack,
    identity: &str,
    references: &[String],
) -> anyhow::Result<Answer> {
    let home = bench.folder("cosign")?;
    let mut command = process::command(&bench.toolbox.program(name, "cosign")?, &home);
    command.args(["verify", "--allow-http-registry", "--allow-insecure-registry"]);
    command.args(["--certificate-identity", identity, "--certificate-oidc-issuer", &stack.issuer]);
    command.arg("--trusted-root").arg(&stack.trusted_root).args(references);
    if name != "cosign" {
        command.arg("--new-bundle-format");
        if stack.rekor == Rekor::V2 {
            // Only version 3 concludes by itself that these logs state no time.
            command.arg("--use-signed-timestamps");
        }
    }
    let run = process::call(command)?;
    Ok(if run.success() { Answer::Accepted("exit 0".to_owned()) } else { Answer::Refused(run.last_words()) })
}
