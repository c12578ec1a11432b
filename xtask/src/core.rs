//! The core that programs embed: what it must not need, and that it compiles where neither threads nor sockets are.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell::{cargo, root, run};

/// The packages that are the core, each without its default features.
const PACKAGES: [&str; 3] = ["countersign-oci", "countersign-policy", "countersign-verifier"];
/// What waits, talks or encrypts a connection: a program that only judges bytes needs none of it.
const ABSENT: [&str; 9] =
    ["clap", "hyper", "native-tls", "openssl", "reqwest", "rustls", "socket2", "tokio", "tokio-rustls"];
/// Where no C compiler, no thread and no socket is.
const TARGET: &str = "wasm32-wasip1";

pub(crate) fn check() -> anyhow::Result<()> {
    eprintln!("== core");
    for package in PACKAGES {
        let native = tree(package, None)?;
        let wasm = tree(package, Some(TARGET))?;
        let found: Vec<&str> =
            ABSENT.into_iter().filter(|name| native.contains(*name) || wasm.contains(*name)).collect();
        if !found.is_empty() {
            let found = found.join(", ");
            bail!("{package} without features needs {found} (cargo tree -p {package} --no-default-features -i CRATE)");
        }
        if wasm.contains("ring") {
            bail!("{package} needs ring for {TARGET}, whose C code needs a compiler for it");
        }
        eprintln!("== core: {package} needs {} crates, {} for {TARGET}", native.len() - 1, wasm.len() - 1);
    }
    install_target()?;
    let mut arguments = vec!["check", "--locked", "--no-default-features", "--target", TARGET];
    arguments.extend(PACKAGES.iter().flat_map(|package| ["-p", package]));
    run(&format!("core for {TARGET}"), &mut cargo(&arguments))
}

/// Everything that is compiled for a package without features, itself included.
fn tree(package: &str, target: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let mut arguments =
        vec!["tree", "--locked", "-p", package, "--no-default-features", "--edges", "normal,build", "--prefix", "none"];
    if let Some(target) = target {
        arguments.extend(["--target", target]);
    }
    let output = cargo(&arguments).output().context("cannot start cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).map(Into::into).collect())
}

/// Installs the target's standard library, where it is not there and rustup is.
fn install_target() -> anyhow::Result<()> {
    if is_installed()? {
        return Ok(());
    }
    eprintln!("== core: rustup target add {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()).status();
    match added {
        Ok(status) if status.success() && is_installed()? => Ok(()),
        Ok(status) => bail!(
            "the standard library for {TARGET} is not installed, and `rustup target add {TARGET}` ended with {status}"
        ),
        Err(cause) => {
            bail!("the standard library for {TARGET} is not installed, and rustup cannot be started to add it: {cause}")
        }
    }
}

fn is_installed() -> anyhow::Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root())
        .output()
        .context("cannot start rustc")?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && std::path::Path::new(folder.trim()).is_dir())
}
