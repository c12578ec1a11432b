//! Bundles that lie in a folder: how many a second one core verifies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Bench;
use super::case::Who;
use super::signed::Signed;
use super::table::Report;
use crate::bench::child;
use crate::bench::world::Load;
use crate::peers::process;

/// Bundles in each folder: more than the library remembers checks of, so that every bundle costs what a new one does.
const BUNDLES: usize = 400;
/// How often a folder is verified in one run.
const ROUNDS: usize = 1;

/// What is in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificates {
    /// Each bundle has its own.
    Distinct,
    /// All were made with one: a release with a statement for each digest.
    Shared,
}

/// One rate.
pub(super) struct Rate {
    pub(super) who: Who,
    pub(super) certificates: Certificates,
    /// Verifications in each second of processor time.
    pub(super) per_second: f64,
}

impl Rate {
    pub(super) fn text(&self) -> String {
        let certificates = match self.certificates {
            Certificates::Distinct => "a certificate each",
            Certificates::Shared => "one certificate",
        };
        format!("stored bundles, {certificates:18}  {:12} {:6.0} /s on one core", self.who, self.per_second)
    }

    pub(super) fn json(&self) -> Value {
        let certificates = match self.certificates {
            Certificates::Distinct => "distinct",
            Certificates::Shared => "shared",
        };
        json!({ "who": self.who.to_string(), "certificates": certificates, "verificationsPerCoreSecond": self.per_second })
    }
}

/// Lets our library and sigstore-go verify the same folders in turn.
pub(super) fn measure(bench: &mut Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder.join("stored");
    let policy = folder.join("policy.yaml");
    fs::create_dir_all(&folder)?;
    let signer =
        format!("version: 1\nsigners:\n  - issuer: {}\n    identity: {}\n", bench.stack.issuer, bench.stack.identity);
    fs::write(&policy, signer)?;
    for (certificates, folder) in [
        (Certificates::Distinct, distinct(bench, &folder.join("distinct"))?),
        (Certificates::Shared, shared(bench, &folder.join("shared"))?),
    ] {
        let home = bench.home()?;
        let mut ours = process::command(&bench.programs.stored, &home);
        ours.arg(&bench.stack.trusted_root).arg(&policy);
        let mut callers = vec![(Who::Ours, ours)];
        if let Some(program) = &bench.programs.sigstore_go {
            let mut theirs = process::command(program, &home);
            theirs.arg("stored").arg(&bench.stack.trusted_root).args([&bench.stack.issuer, &bench.stack.identity]);
            callers.push((Who::SigstoreGo, theirs));
        }
        for (who, mut command) in callers {
            command.arg(&folder).arg(ROUNDS.to_string());
            report.add_rate(Rate { who, certificates, per_second: rate(command)? });
        }
    }
    Ok(())
}

/// Runs a program that says what it verified, and how long that took.
fn rate(command: Command) -> anyhow::Result<f64> {
    let (_, said) = child::run(command)?;
    let said: Value = serde_json::from_str(&said).with_context(|| format!("not a document: {said}"))?;
    let verified = said["verified"].as_f64().context("no number of verifications")?;
    let seconds = said["seconds"].as_f64().context("no time")?;
    anyhow::ensure!(verified >= (BUNDLES * ROUNDS) as f64, "only {verified} were verified");
    Ok(verified / seconds)
}

fn distinct(bench: &mut Bench<'_>, folder: &Path) -> anyhow::Result<PathBuf> {
    let signed = Signed::new(bench, BUNDLES)?;
    let bundles = signed.bundles(bench)?;
    write(folder, bundles.iter().map(|bundle| (signed.digest(), bundle)))
}

/// One call signs many images, each in a statement of its own.
fn shared(bench: &mut Bench<'_>, folder: &Path) -> anyhow::Result<PathBuf> {
    let references = bench.world.push(Load { images: BUNDLES, children: 2, registries: 1 });
    let home = bench.home()?;
    let mut command = process::command(&bench.programs.signer, &home);
    command.args(["sign", "--quiet", "--force", "--index-only", "--statement", "digest"]).args(&references);
    command.envs(bench.stack.ambient.iter().cloned());
    command.arg("--signing-config").arg(&bench.stack.signing_config);
    command.arg("--trusted-root").arg(&bench.stack.trusted_root);
    child::run(command)?;
    let mut found = Vec::new();
    for reference in &references {
        let signed = Signed::at(bench, reference)?;
        found.extend(signed.bundles(bench)?.into_iter().map(|bundle| (signed.digest().to_owned(), bundle)));
    }
    write(folder, found.iter().map(|(digest, bundle)| (digest.as_str(), bundle)))
}

/// Writes bundles under the digests that they are of.
fn write<'b>(folder: &Path, bundles: impl Iterator<Item = (&'b str, &'b Vec<u8>)>) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    for (number, (digest, bundle)) in bundles.enumerate() {
        let hex = digest.strip_prefix("sha256:").context("not a sha256")?;
        fs::write(folder.join(format!("{hex}-{number}.json")), bundle)?;
    }
    Ok(folder.to_path_buf())
}
