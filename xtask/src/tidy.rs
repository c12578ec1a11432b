//! Rules of the tree that no compiler knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::shell::root;

/// What lies at the top, dot entries aside.
const TOP: [&str; 9] =
    ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "gallery", "policy", "signer", "verifier"];
/// The longest file that a reader can hold in the head, in lines with its tests.
const LINES: usize = 700;

pub(crate) fn check() -> anyhow::Result<()> {
    eprintln!("== tidy");
    let root = root();
    let mut faults = Vec::new();
    let files = tracked(&root)?;
    check_top(&files, &mut faults);
    for file in &files {
        check_file(&root, file, &mut faults)?;
    }
    check_readme(&root, &mut faults)?;
    if !faults.is_empty() {
        bail!("the tree is not tidy:\n  {}", faults.join("\n  "));
    }
    eprintln!("== tidy: {} files", files.len());
    Ok(())
}

/// Every file of the work tree that git would keep.
fn tracked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().map(PathBuf::from).filter(|file| root.join(file).is_file()).collect())
}

fn check_top(files: &[PathBuf], faults: &mut Vec<String>) {
    let found: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.components().next()?.as_os_str().to_str())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let wanted: BTreeSet<&str> = TOP.into_iter().chain(["xtask"]).collect();
    for name in found.difference(&wanted) {
        faults.push(format!("{name}: not part of the top level"));
    }
    for name in wanted.difference(&found) {
        faults.push(format!("{name}: missing from the top level"));
    }
}

fn check_file(root: &Path, file: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let name = file.display();
    let is = |extension: &str| file.extension().is_some_and(|found| found == extension);
    if file.file_name().is_some_and(|name| name == "Cargo.toml") && file.components().count() > 1 {
        let text = fs::read_to_string(root.join(file))?;
        if !text.contains("[lints") {
            faults.push(format!("{name}: does not take the lints of the workspace"));
        }
    }
    if !is("rs") {
        return Ok(());
    }
    let text = fs::read_to_string(root.join(file))?;
    let lines = text.lines().count();
    if lines > LINES {
        faults.push(format!("{name}: {lines} lines, more than {LINES}"));
    }
    for (number, line) in text.lines().enumerate() {
        let ignored = concat!("#[", "ignore");
        if line.trim_start().starts_with(ignored) {
            faults.push(format!("{name}:{}: a test that never runs", number + 1));
        }
    }
    check_test_module(root, file, faults)
}

/// A file of an integration test that its `main.rs` does not name would be forgotten in silence.
fn check_test_module(root: &Path, file: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let Some(tests) = parts.iter().position(|part| *part == "tests") else { return Ok(()) };
    let [binary, module] = parts[tests + 1..] else { return Ok(()) };
    if module == "main.rs" {
        return Ok(());
    }
    let main: PathBuf = parts[..=tests].iter().chain([&binary, &"main.rs"]).collect();
    let module = module.trim_end_matches(".rs");
    if !fs::read_to_string(root.join(&main))?.contains(&format!("mod {module};")) {
        faults.push(format!("{}: no test binary names it", file.display()));
    }
    Ok(())
}

/// The two commands that the README promises are tasks that exist.
fn check_readme(root: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let readme = fs::read_to_string(root.join("README.md"))?;
    for command in ["cargo xtask e2e", "cargo xtask ci"] {
        if !readme.contains(command) {
            faults.push(format!("README.md: does not name `{command}`"));
        }
    }
    Ok(())
}
