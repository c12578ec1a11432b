//! A Python environment for a suite, made once for each list of packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::isolated;
use crate::shell::{root, run};

/// The file that is written when an environment is complete: the list that it was made from.
const MARKER: &str = "installed";
/// Our own pytest plugin.
const PLUGIN: &str = "conformance_plugin";

/// An environment with everything that a suite imports.
pub(super) struct Environment {
    python: PathBuf,
}

impl Environment {
    /// Makes the environment of a list in `xtask/peers/python`, or takes the one that is there.
    pub(super) fn prepare(cache: &Path, name: &str) -> anyhow::Result<Self> {
        let list = folder().join(format!("{name}.txt"));
        let wanted = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let lock = File::create(cache.join(format!("{name}.lock"))).context("cannot create the lock of the cache")?;
        lock.lock().context("cannot lock the cache")?;
        let environment = cache.join(name);
        let python = environment.join("bin").join("python");
        if fs::read_to_string(environment.join(MARKER)).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { python });
        }
        if environment.exists() {
            fs::remove_dir_all(&environment).with_context(|| format!("cannot clear {}", environment.display()))?;
        }
        run("making a Python environment", Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list);
        run("installing what the suite imports", &mut pip)?;
        fs::write(environment.join(MARKER), wanted)?;
        Ok(Self { python })
    }

    /// Returns pytest in the suite's folder, which stays as it is, with our plugin, which notes every test in `record`.
    pub(super) fn pytest(&self, suite: &Path, client: &Path, record: &Path) -> Command {
        let mut command = isolated(&self.python);
        command.args(["-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider"]);
        // In one argument: by itself the path would be taken for a folder with tests.
        command.arg(format!("--entrypoint={}", client.display()));
        command.current_dir(suite);
        command.env("PYTHONPATH", folder()).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("CONFORMANCE_RECORD", record);
        // What would select other tests, or let some fail.
        for variable in ["GITHUB_WORKSPACE", "GHA_SIGSTORE_CONFORMANCE_XFAIL", "PYTEST_ADDOPTS"] {
            command.env_remove(variable);
        }
        command
    }
}

fn folder() -> PathBuf {
    root().join("xtask").join("peers").join("python")
}
