//! Who signs: ours and cosign, with the same services and the same registry.

use std::fmt;

use super::Bench;
use super::process::{self, Run};
use super::stack::Stack;

/// A program that signs an index and everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Ours, with a form of statement: `image`, `digest` or `release`.
    Ours(&'static str),
    /// cosign 3, `sign --recursive`.
    Cosign,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(form) => write!(f, "ours ({form})"),
            Self::Cosign => f.write_str("cosign"),
        }
    }
}

impl Signer {
    /// Signs a reference, and fails with what the program said.
    pub(crate) fn sign(self, bench: &Bench<'_>, stack: &Stack, reference: &str) -> anyhow::Result<()> {
        match self {
            Self::Ours(form) => ours(bench, stack, &["--statement", form, reference]).map(|_| ()),
            Self::Cosign => cosign(bench, stack, &["--recursive", reference]).map(|_| ()),
        }
    }
}

/// Runs our signer as a release job does, trusting the stack's file, and fails with what it said.
pub(crate) fn ours(bench: &Bench<'_>, stack: &Stack, arguments: &[&str]) -> anyhow::Result<Run> {
    try_ours(bench, stack, arguments)?.ok()
}

/// The same, where it may fail.
pub(crate) fn try_ours(bench: &Bench<'_>, stack: &Stack, arguments: &[&str]) -> anyhow::Result<Run> {
    let home = bench.folder("signer")?;
    let mut command = process::command(&bench.programs.path("countersign-signer"), &home);
    command.args(["sign", "--force", "--output", "json", "--signing-config"]).arg(&stack.signing_config);
    command.arg("--trusted-root").arg(&stack.trusted_root).args(arguments).envs(stack.ambient.iter().cloned());
    process::call(command)
}

/// Runs `cosign sign` with a token, trusting the stack's file.
pub(crate) fn cosign(bench: &Bench<'_>, stack: &Stack, arguments: &[&str]) -> anyhow::Result<Run> {
    let home = bench.folder("cosign")?;
    let mut command = process::command(&bench.toolbox.program("cosign", "cosign")?, &home);
    command.args(["sign", "--yes", "--allow-http-registry", "--allow-insecure-registry", "--identity-token"]);
    command.arg(stack.token()?).arg("--signing-config").arg(&stack.signing_config);
    command.arg("--trusted-root").arg(&stack.trusted_root).args(arguments);
    process::call(command)?.ok()
}
