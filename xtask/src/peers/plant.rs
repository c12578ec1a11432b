//! Plants a fault in what our signer writes, and shows that the peers which need that part notice.
//!
//! The fault is an edit of one line in a copy of the sources, never a switch in the product. A matrix that stays green
//! with the fault in place compares nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::matrix::Section;
use crate::flags::Plant;
use crate::programs::Programs;
use crate::shell::{cargo, root, run};

/// An edit of one line, and the columns of the matrix that must fail because of it.
struct Fault {
    file: &'static str,
    line: &'static str,
    planted: &'static str,
    /// Parts of the names of columns: in each of them at least one cell fails.
    noticed_by: &'static [&'static str],
}

impl Plant {
    fn fault(self) -> Fault {
        match self {
            Self::Annotation => Fault {
                file: "signer/src/referrer.rs",
                line: "            (PREDICATE.to_owned(), PREDICATE_TYPE.to_owned()),\n",
                planted: "",
                noticed_by: &["cosign tree", "cosign load"],
            },
            Self::ArtifactType => Fault {
                file: "signer/src/referrer.rs",
                line: "            artifact_type: media_type::SIGSTORE_BUNDLE_V0_3,\n",
                planted: "            artifact_type: \"application/vnd.example.fault+json\",\n",
                noticed_by: &["oras discover", "regctl"],
            },
            Self::SubjectName => Fault {
                file: "signer/src/statement.rs",
                line: "    name: String,\n",
                planted: "    #[serde(skip)]\n    name: String,\n",
                noticed_by: &["sigstore-python"],
            },
        }
    }
}

/// Builds the signer with the fault in it, in a copy of the sources, and puts it beside the other programs as they are.
pub(crate) fn programs(plant: Plant, sound: &Programs, cache: &Path) -> anyhow::Result<Programs> {
    let fault = plant.fault();
    let copy = cache.join("planted").join("source");
    copy_sources(&copy)?;
    let file = copy.join(fault.file);
    let text = fs::read_to_string(&file)?;
    ensure!(
        text.matches(fault.line).count() == 1,
        "{} has no single line {:?} to plant the fault in: change the line in the list of faults",
        fault.file,
        fault.line.trim()
    );
    fs::write(&file, text.replace(fault.line, fault.planted))?;
    let target = cache.join("planted").join("target");
    let mut build = cargo(&["build", "--locked", "-p", "countersign-signer", "--bin", "countersign-signer"]);
    build.current_dir(&copy).env("CARGO_TARGET_DIR", &target);
    run("building a signer with the fault in it", &mut build)?;
    let folder = cache.join("planted").join("programs");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for name in ["countersign-gallery", "countersign-verifier", "examples"] {
        symlink(sound.path(name), folder.join(name))?;
    }
    symlink(target.join("debug").join("countersign-signer"), folder.join("countersign-signer"))?;
    Programs::in_folder(&folder)
}

/// Fails unless the fault was noticed by every peer that needs what is missing, and by nobody only because nothing worked.
pub(crate) fn judge(plant: Plant, sections: &[Section]) -> anyhow::Result<()> {
    let cells = || sections.iter().flat_map(Section::cells);
    ensure!(cells().any(|cell| cell.outcome.is_pass()), "nothing worked: that is another fault than the planted one");
    for peer in plant.fault().noticed_by {
        let mut column = cells().filter(|cell| cell.column.contains(peer)).peekable();
        ensure!(column.peek().is_some(), "no column {peer:?} was tried");
        if !column.any(|cell| cell.outcome.is_fail()) {
            bail!("{peer} did not notice the planted fault");
        }
        println!("planted fault {plant:?}: noticed by {peer}");
    }
    Ok(())
}

/// Makes the folder hold every file that git keeps and no other. A file that is right already keeps its time, so that only what
/// differs is built again.
fn copy_sources(to: &Path) -> anyhow::Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    ensure!(listed.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout)?;
    let names: BTreeSet<&Path> = listed.split('\0').filter(|name| !name.is_empty()).map(Path::new).collect();
    fs::create_dir_all(to)?;
    remove_others(to, to, &names)?;
    for name in names.iter().filter(|name| root().join(name).is_file()) {
        let (contents, copy) = (fs::read(root().join(name))?, to.join(name));
        if fs::read(&copy).is_ok_and(|found| found == contents) {
            continue;
        }
        fs::create_dir_all(copy.parent().unwrap_or(&copy))?;
        fs::write(&copy, contents).with_context(|| format!("cannot write {}", copy.display()))?;
    }
    Ok(())
}

fn remove_others(folder: &Path, top: &Path, names: &BTreeSet<&Path>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, top, names)?;
        } else if !path.strip_prefix(top).is_ok_and(|name| names.contains(name)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
