//! The real binaries, run as a user runs them: in an environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::shell::{cargo, root, run};

/// Where the binaries are.
pub(crate) struct Programs {
    folder: PathBuf,
}

/// What a program did.
pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Programs {
    pub(crate) fn build() -> anyhow::Result<Self> {
        let arguments = ["build", "--locked", "--workspace", "--bins", "--examples", "--all-features"];
        run("building the binaries", &mut cargo(&arguments))?;
        Self::in_folder(&target()?.join("debug"))
    }

    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        for name in ["countersign-gallery", "countersign-signer", "countersign-verifier"] {
            let program = folder.join(name);
            if !program.is_file() {
                bail!("{} is not there", program.display());
            }
        }
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// The programs beside this one, whether they are there or not.
    pub(crate) fn beside(program: &Path) -> Self {
        Self { folder: program.parent().map(Path::to_path_buf).unwrap_or_default() }
    }

    /// Where a program is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs a program with nothing in its environment but what is given.
    pub(crate) fn run(
        &self,
        name: &str,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Run> {
        let mut command = Command::new(self.folder.join(name));
        command.args(arguments).env_clear().envs(environment.iter().cloned());
        let output = command.output().with_context(|| format!("cannot start {name}"))?;
        Ok(Run {
            exit: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Run {
    /// Fails, with what the program printed, when it ended otherwise.
    pub(crate) fn expect(&self, exit: i32) -> anyhow::Result<&Self> {
        if self.exit != exit {
            bail!("exit {} instead of {exit}\n{}\n{}", self.exit, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// Returns the document that the program printed.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("standard output is no document\n{}\n{}", self.stdout, self.stderr))
    }

    /// Fails unless one of the document's codes is among those that are right.
    pub(crate) fn expect_code(&self, right: &[&str]) -> anyhow::Result<String> {
        let codes = codes(&self.json()?);
        match codes.iter().find(|code| right.contains(&code.as_str())) {
            Some(code) => Ok(code.clone()),
            None => bail!("none of {right:?} among the codes {codes:?}\n{}\n{}", self.stdout, self.stderr),
        }
    }
}

/// Every code in a document, wherever it is.
pub(crate) fn codes(document: &Value) -> Vec<String> {
    let mut codes = Vec::new();
    collect_codes(document, &mut codes);
    codes
}

fn collect_codes(value: &Value, codes: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(code) if key == "code" => codes.push(code.clone()),
                    value => collect_codes(value, codes),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_codes(item, codes)),
        _ => {}
    }
}

/// Where cargo puts what it builds, whatever the configuration says.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(metadata["target_directory"].as_str().map_or_else(|| root().join("target"), PathBuf::from))
}
