//! The public conformance suites, run against clients of ours: every case, no expected failure, and each refusal for the
//! reason that its case was made for.
//!
//! A suite is a copy of its public repository, given by path and never written to. Where the machine allows it, the
//! suite runs in a network of its own, in which there is nothing but itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

mod python;
mod reasons;
mod record;
mod sigstore;
mod tuf;

use crate::flags::ConformanceFlags;
use crate::programs;
use crate::shell::{cargo, run as run_command};

/// A suite of which a copy was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suite {
    Sigstore,
    Tuf,
}

impl Suite {
    /// Tells which suite lies in a folder.
    fn find(folder: &Path) -> anyhow::Result<Self> {
        if folder.join("test/assets/bundle-verify").is_dir() && folder.join("docs/cli_protocol.md").is_file() {
            return Ok(Self::Sigstore);
        }
        if folder.join("tuf_conformance").is_dir() && folder.join("CLIENT-CLI.md").is_file() {
            return Ok(Self::Tuf);
        }
        bail!("{} is a copy of neither sigstore-conformance nor tuf-conformance", folder.display())
    }
}

pub(crate) fn run(flags: &ConformanceFlags) -> anyhow::Result<()> {
    let folder = flags.suite.canonicalize().with_context(|| format!("cannot find {}", flags.suite.display()))?;
    let suite = Suite::find(&folder)?;
    let cache = crate::peers::cache(flags.cache.as_deref())?;
    match suite {
        Suite::Sigstore => sigstore::run(&folder, &cache),
        Suite::Tuf => tuf::run(&folder, &cache),
    }
}

/// Builds an example that is a suite's client, and returns where it is.
fn build(package: &str, example: &str, features: &str) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--locked", "-p", package, "--example", example, "--features", features];
    run_command(&format!("building the client {example}"), &mut cargo(&arguments))?;
    Ok(programs::target()?.join("debug").join("examples").join(example))
}

/// Returns a command that runs in a network where only its own loopback is, if this machine lets users make one.
fn isolated(program: &Path) -> Command {
    const SCRIPT: &str = "ip link set lo up && exec \"$@\"";
    let isolate = |command: &mut Command| {
        command.args(["-rn", "sh", "-c", SCRIPT, "sh"]);
    };
    let mut probe = Command::new("unshare");
    isolate(&mut probe);
    probe.arg("true");
    if probe.output().is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("unshare");
        isolate(&mut command);
        command.arg(program);
        return command;
    }
    eprintln!("   this machine makes no network for one program: the suite runs in the machine's own");
    Command::new(program)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_that_is_no_suite_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Suite::find(folder.path()).is_err());
        fs::create_dir_all(folder.path().join("test/assets/bundle-verify")).unwrap();
        assert!(Suite::find(folder.path()).is_err());
        fs::create_dir_all(folder.path().join("docs")).unwrap();
        fs::write(folder.path().join("docs/cli_protocol.md"), "").unwrap();
        assert_eq!(Suite::find(folder.path()).unwrap(), Suite::Sigstore);
    }
}
