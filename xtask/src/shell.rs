//! Runs programs and says which one failed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

/// Returns the root of the workspace that this is run for: that of cargo's call or of the current folder, else the one it was built in.
#[expect(clippy::disallowed_methods, reason = "cargo says what it runs")]
pub(crate) fn root() -> PathBuf {
    let is_root = |folder: &Path| folder.join("xtask").join("Cargo.toml").is_file();
    let called =
        std::env::var_os("CARGO_MANIFEST_DIR").and_then(|xtask| Some(PathBuf::from(xtask).parent()?.to_owned()));
    let current = || std::env::current_dir().ok()?.ancestors().find(|folder| is_root(folder)).map(Path::to_owned);
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned);
    called.filter(|folder| is_root(folder)).or_else(current).unwrap_or_else(built)
}

/// Returns the cargo that runs this task, or the one that a shell finds where this program was started without it.
#[expect(clippy::disallowed_methods, reason = "cargo says where it is")]
pub(crate) fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Returns the cargo that runs this task, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_program());
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command with its output shown, and fails when it fails.
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    eprintln!("== {what}");
    let started = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{what} failed: {status} ({command:?})");
    }
    eprintln!("== {what}: done in {:.0?}", started.elapsed());
    Ok(())
}
