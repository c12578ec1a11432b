//! Looks at the workflows, the action and its scripts with the linters that people use, where this machine can have them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::flags::WorkflowsFlags;
use crate::peers::cache;
use crate::peers::install;
use crate::peers::versions::LINTERS;
use crate::shell::{root, run};

/// Runs every linter that can be had, and says which could not.
pub(crate) fn check(flags: &WorkflowsFlags) -> anyhow::Result<()> {
    eprintln!("== workflows");
    let cache = cache(flags.cache.as_deref())?;
    let mut missing = Vec::new();
    let mut found = |name: &str| match linter(&cache, name) {
        Ok(program) => Some(program),
        Err(error) => {
            missing.push(format!("{name} was not run: {error:#}"));
            None
        }
    };
    let shellcheck = found("shellcheck");
    let actionlint = found("actionlint");
    let zizmor = found("zizmor");
    if let Some(shellcheck) = &shellcheck {
        let arguments = ["--external-sources", "--source-path=SCRIPTDIR"];
        run("shellcheck", Command::new(shellcheck).args(arguments).args(scripts()?).current_dir(root()))?;
    }
    if let Some(actionlint) = &actionlint {
        let shellcheck = shellcheck.as_ref().map(|program| program.display().to_string()).unwrap_or_default();
        let arguments = ["-no-color", "-pyflakes", "", "-shellcheck", &shellcheck];
        run("actionlint", Command::new(actionlint).args(arguments).current_dir(root()))?;
    }
    if let Some(zizmor) = &zizmor {
        // What it knows without asking anybody: the same tree gives the same answer.
        let arguments = ["--offline", "--no-progress", "--quiet", "--strict-collection", "."];
        run("zizmor", Command::new(zizmor).args(arguments).current_dir(root()))?;
    }
    for line in &missing {
        eprintln!("== workflows: {line}");
    }
    if flags.require && !missing.is_empty() {
        bail!("{}", missing.join("; "));
    }
    Ok(())
}

fn linter(cache: &Path, name: &str) -> anyhow::Result<std::path::PathBuf> {
    let linter = LINTERS.iter().find(|linter| linter.name == name).context("it is not in the list of linters")?;
    let folder = install::one(cache, linter)?;
    // A virtual environment has its programs a level deeper than what Go installs.
    let program = [folder.join("bin").join(name), folder.join(name)].into_iter().find(|program| program.is_file());
    program.with_context(|| format!("{} has no {name}", folder.display()))
}

/// Every shell script of the tree.
fn scripts() -> anyhow::Result<Vec<String>> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard", "*.sh", ".ci/run"]).current_dir(root());
    let output = command.output().context("cannot start git")?;
    let scripts: Vec<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    if scripts.len() < 2 {
        bail!("git lists no scripts: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(scripts)
}
