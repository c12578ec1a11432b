//! Verifiers that are libraries: our short programs around them judge many bundles in one call.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::Bench;
use super::install;
use super::judges::Answer;
use super::process;

/// A library that verifies bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// sigstore-python's.
    Python,
    /// sigstore-js's.
    Js,
    /// The verifier of bundles of the crate `sigstore`, by its version.
    Rust(&'static str),
    /// The same crate's module `cosign`, which admission controllers use. It reads the registry.
    RustCosign(&'static str),
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python => f.write_str("sigstore-python"),
            Self::Js => f.write_str("sigstore-js"),
            Self::Rust(version) => write!(f, "sigstore-rs {version}"),
            Self::RustCosign(version) => write!(f, "sigstore-rs {version}, cosign"),
        }
    }
}

/// What a library is asked: whether an identity signed something.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) about: About,
    pub(crate) identity: String,
    pub(crate) issuer: String,
}

/// What is asked about.
#[derive(Clone, Debug)]
pub(crate) enum About {
    /// A bundle, and the file that must have been signed: of an image its manifest.
    Bundle { bundle: PathBuf, artifact: PathBuf },
    /// `HOST/REPOSITORY@DIGEST`
    Image(String),
}

impl Library {
    /// Returns the program with our judge in it, or the error that makes a cell skipped.
    pub(crate) fn judge(self, bench: &Bench<'_>) -> anyhow::Result<Command> {
        match self {
            Self::Python => python(bench, "judge.py"),
            Self::Js => js(bench, "judge.mjs"),
            Self::Rust(version) => rust(bench, version, "bundles"),
            Self::RustCosign(version) => rust(bench, version, "images"),
        }
    }

    /// Returns the program with our signer in it, which takes trust, token, form, input and bundle.
    pub(crate) fn signer(self, bench: &Bench<'_>) -> anyhow::Result<Command> {
        match self {
            Self::Python => python(bench, "sign.py"),
            Self::Js => js(bench, "sign.mjs"),
            Self::Rust(_) | Self::RustCosign(_) => bail!("the crate sigstore is asked to verify only"),
        }
    }

    /// Asks everything at once. A bundle that cannot even be read is an error here, not a refusal.
    pub(crate) fn ask(
        self,
        bench: &Bench<'_>,
        trusted_root: &Path,
        questions: &[Question],
    ) -> anyhow::Result<Vec<Answer>> {
        let file = bench.folder("questions")?.join("questions.json");
        let list: Vec<Value> = questions.iter().map(Question::to_json).collect();
        fs::write(&file, Value::Array(list).to_string())?;
        let mut command = self.judge(bench)?;
        command.arg(trusted_root).arg(&file);
        let run = process::call(command)?.ok().with_context(|| format!("{self} could not judge"))?;
        let answers = run.stdout.lines().map(answer).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(answers.len() == questions.len(), "{} answers to {} questions", answers.len(), questions.len());
        Ok(answers)
    }
}

impl Question {
    fn to_json(&self) -> Value {
        let (identity, issuer) = (&self.identity, &self.issuer);
        match &self.about {
            About::Bundle { bundle, artifact } => {
                json!({"bundle": bundle, "artifact": artifact, "identity": identity, "issuer": issuer})
            }
            About::Image(reference) => json!({"reference": reference, "identity": identity, "issuer": issuer}),
        }
    }
}

fn answer(line: &str) -> anyhow::Result<Answer> {
    let answer: Value = serde_json::from_str(line).with_context(|| format!("not an answer: {line}"))?;
    match (answer["accepted"].as_bool(), answer["why"].as_str()) {
        (Some(true), None) => Ok(Answer::Accepted("accepted".to_owned())),
        (Some(false), Some(why)) => Ok(Answer::Refused(why.to_owned())),
        _ => bail!("not an answer: {line}"),
    }
}

/// Our judge with the crate `sigstore`, which goes one of two ways.
fn rust(bench: &Bench<'_>, version: &str, way: &str) -> anyhow::Result<Command> {
    let program = bench.toolbox.program("sigstore-rs", "bin/sigstore-rs-judge")?;
    let mut command = process::command(&program, &bench.folder("sigstore-rs")?);
    // Which of the two it is: the judge knows them without the last number.
    command.arg(version.rsplit_once('.').map_or(version, |(release, _)| release)).arg(way);
    Ok(command)
}

/// One of our scripts, run by the Python that has sigstore-python.
fn python(bench: &Bench<'_>, script: &str) -> anyhow::Result<Command> {
    let program = bench.toolbox.program("sigstore-python", "bin/python")?;
    let mut command = process::command(&program, &bench.folder("python")?);
    command.arg(install::sources().join("python").join(script));
    Ok(command)
}

/// One of our scripts, told where the packages of sigstore-js are.
fn js(bench: &Bench<'_>, script: &str) -> anyhow::Result<Command> {
    let packages = bench.toolbox.folder("sigstore-js")?;
    let mut command = process::command(&node()?, &bench.folder("node")?);
    command.arg(install::sources().join("js").join(script)).arg(packages);
    Ok(command)
}

/// Node, where the path of this program finds it: it installed the packages.
#[expect(clippy::disallowed_methods, reason = "programs of the machine are where the environment says")]
fn node() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs = std::env::split_paths(&path).map(|folder| folder.join("node"));
    programs.into_iter().find(|program| program.is_file()).context("node is not in the path")
}

#[cfg(test)]
mod tests {
    use super::super::versions;
    use super::*;

    #[test]
    fn the_judge_of_sigstore_rs_is_built_with_the_versions_in_the_list() {
        let manifest = fs::read_to_string(install::sources().join("sigstore-rs").join("Cargo.toml")).unwrap();
        let listed = versions::peer("sigstore-rs").unwrap().version;
        let built: Vec<&str> = manifest.lines().filter(|line| line.contains("package = \"sigstore\"")).collect();
        assert_eq!(built.len(), listed.split(", ").count());
        for version in listed.split(", ") {
            assert!(
                built.iter().any(|line| line.contains(&format!("version = \"={version}\""))),
                "{version}: {built:?}"
            );
        }
    }

    #[test]
    fn only_a_clear_answer_is_an_answer() {
        assert!(matches!(answer(r#"{"accepted": true}"#), Ok(Answer::Accepted(_))));
        assert!(
            matches!(answer(r#"{"accepted": false, "why": "identity"}"#), Ok(Answer::Refused(why)) if why == "identity")
        );
        for line in [r#"{"accepted": false}"#, r#"{"accepted": true, "why": "?"}"#, "{}", "Traceback"] {
            assert!(answer(line).is_err(), "{line}");
        }
    }
}
