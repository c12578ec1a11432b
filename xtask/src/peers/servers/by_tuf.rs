//! Signing and verifying with nothing but the address of a TUF repository and its root.

use anyhow::Context as _;

use super::super::Bench;
use super::super::judges::{self, Answer, Question};
use super::super::process;
use super::super::signers::Signer;
use super::super::stack::{Stack, Tuf};

/// Signs with what the TUF repository says: services and trust.
pub(super) fn sign(bench: &Bench<'_>, stack: &Stack, signer: Signer, reference: &str) -> anyhow::Result<()> {
    let tuf = tuf(stack)?;
    match signer {
        Signer::Ours(form) => {
            let home = bench.folder("signer")?;
            let mut command = process::command(&bench.programs.path("countersign-signer"), &home);
            command.args(["sign", "--tuf-url", &tuf.url, "--tuf-root"]).arg(&tuf.root);
            command.args(["--statement", form, reference]).envs(stack.ambient.iter().cloned());
            process::call(command)?.ok()?;
        }
        Signer::Cosign => {
            let mut command = initialized_cosign(bench, tuf)?;
            command.args(["sign", "--yes", "--allow-http-registry", "--allow-insecure-registry", "--recursive"]);
            // A token by flag, because the ambient variables would make it ask public services for what else there is.
            command.arg("--identity-token").arg(stack.token()?).arg(reference);
            process::call(command)?.ok()?;
        }
    }
    Ok(())
}

pub(super) fn ours(bench: &Bench<'_>, question: &Question<'_>) -> anyhow::Result<Answer> {
    let tuf = tuf(question.stack)?;
    let home = bench.folder("verifier")?;
    let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
    command.args(["verify", &question.reference(), "--output", "json"]);
    command.args(["--certificate-identity", question.identity]);
    command.args(["--certificate-oidc-issuer", &question.stack.issuer]);
    command.args(["--tuf-url", &tuf.url, "--tuf-root"]).arg(&tuf.root);
    judges::our_answer(&process::call(command)?)
}

pub(super) fn cosign(bench: &Bench<'_>, question: &Question<'_>) -> anyhow::Result<Answer> {
    let mut command = initialized_cosign(bench, tuf(question.stack)?)?;
    command.args(["verify", "--allow-http-registry", "--allow-insecure-registry"]);
    command.args(["--certificate-identity", question.identity]);
    command.args(["--certificate-oidc-issuer", &question.stack.issuer]).arg(question.reference());
    let run = process::call(command)?;
    Ok(if run.success() { Answer::Accepted("exit 0".to_owned()) } else { Answer::Refused(run.last_words()) })
}

/// A cosign in whose home `cosign initialize` has put the trust.
fn initialized_cosign(bench: &Bench<'_>, tuf: &Tuf) -> anyhow::Result<std::process::Command> {
    let home = bench.folder("cosign")?;
    let program = bench.toolbox.program("cosign", "cosign")?;
    let mut initialize = process::command(&program, &home);
    initialize.args(["initialize", "--mirror", &tuf.url, "--root"]).arg(&tuf.root);
    process::call(initialize)?.ok().context("cosign initialize")?;
    Ok(process::command(&program, &home))
}

fn tuf(stack: &Stack) -> anyhow::Result<&Tuf> {
    stack.tuf.as_ref().with_context(|| format!("{} has no TUF repository", stack.name))
}
