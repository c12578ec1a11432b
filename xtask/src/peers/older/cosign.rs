//! cosign of the time before version 3, called as it was then.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::super::stack::Stack;
use super::super::{Bench, http, process};

/// Where cosign kept signatures before bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The tag `sha256-<hex>.sig`, its default.
    Tag,
    /// A referrer, where it was told so.
    Referrer,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tag => "`.sig` tag",
            Self::Referrer => "referrer",
        })
    }
}

impl Form {
    /// A name for a repository.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tag => "older-tag",
            Self::Referrer => "older-referrer",
        }
    }

    /// How our verifier calls it.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Tag => "cosign wrote before version 3 (`.sig` tag)",
            Self::Referrer => "cosign wrote before version 3 (simple-signing referrer)",
        }
    }
}

/// Signs an index and everything in it, without a bundle.
pub(super) fn sign_2_4(bench: &Bench<'_>, stack: &Stack, form: Form, reference: &str) -> anyhow::Result<()> {
    let mut command = cosign_2_4(bench, stack)?;
    let mode = if form == Form::Tag { "legacy" } else { "oci-1-1" };
    command.args(["sign", "--yes", "--recursive", "--registry-referrers-mode", mode, "--allow-http-registry"]);
    command.args(["--fulcio-url", &stack.fulcio, "--rekor-url", &stack.rekor_url, "--insecure-skip-verify"]);
    command.args(["--identity-token", &stack.token()?, reference]);
    process::call(command)?.ok().map(|_| ())
}

/// Fails unless that cosign finds and verifies what it wrote.
pub(super) fn verify_2_4(bench: &Bench<'_>, stack: &Stack, form: Form, reference: &str) -> anyhow::Result<()> {
    let mut command = cosign_2_4(bench, stack)?;
    command.args(["verify", "--insecure-ignore-sct", "--allow-http-registry", "--rekor-url", &stack.rekor_url]);
    command.args(["--certificate-identity", &stack.identity, "--certificate-oidc-issuer", &stack.issuer]);
    if form == Form::Referrer {
        command.arg("--experimental-oci11");
    }
    command.arg(reference);
    process::call(command)?.ok().context("cosign 2.4 on its own signature")?;
    Ok(())
}

/// It knows no trusted root: the keys come one by one.
fn cosign_2_4(bench: &Bench<'_>, stack: &Stack) -> anyhow::Result<Command> {
    let home = bench.folder("cosign-2.4")?;
    let mut command = process::command(&bench.toolbox.program("cosign-2.4", "cosign")?, &home);
    for (variable, url) in [
        ("SIGSTORE_ROOT_FILE", format!("{}/api/v1/rootCert", stack.fulcio)),
        ("SIGSTORE_REKOR_PUBLIC_KEY", format!("{}/api/v1/log/publicKey", stack.rekor_url)),
    ] {
        let answer = http::get(&url, &[])?;
        ensure!(answer.status == 200, "{url} answers {}", answer.status);
        let file = home.join(variable);
        fs::write(&file, &answer.body)?;
        command.env(variable, file);
    }
    command.env("COSIGN_EXPERIMENTAL", "1");
    Ok(command)
}

/// Signs an index and everything in it, with the first kind of bundle.
pub(super) fn sign_2_6(bench: &Bench<'_>, stack: &Stack, config: &Path, reference: &str) -> anyhow::Result<()> {
    let mut command = process::command(&bench.toolbox.program("cosign-2.6", "cosign")?, &bench.folder("cosign-2.6")?);
    command.args(["sign", "--yes", "--recursive", "--new-bundle-format", "--allow-http-registry"]);
    command.arg("--signing-config").arg(config).arg("--trusted-root").arg(&stack.trusted_root);
    command.args(["--identity-token", &stack.token()?, reference]);
    process::call(command)?.ok().map(|_| ())
}
