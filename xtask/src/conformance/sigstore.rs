//! sigstore-conformance: every verify test offline, and a table of why each refused case was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::python::Environment;
use super::reasons::REASONS;
use super::record::{self, Count, Test};
use super::{build, reasons};

/// Each case is verified twice: by the file and by its digest.
const INPUTS: usize = 2;

pub(super) fn run(suite: &Path, cache: &Path) -> anyhow::Result<()> {
    let cases = cases(suite)?;
    let client = build("countersign-signer", "conformance", "conformance")?;
    let environment = Environment::prepare(cache, "sigstore-conformance")?;
    let folder = tempfile::Builder::new().prefix("countersign-conformance-").tempdir()?;
    let record = folder.path().join("record");
    eprintln!("== sigstore-conformance: {} cases", cases.len());
    let status = environment
        .pytest(suite, &client, &record)
        .args(["--skip-signing", "test"])
        .status()
        .context("cannot start the suite")?;

    let tests = record::read(&record)?;
    let verify: Vec<&Test> = tests.iter().filter(|test| test.case.is_some()).collect();
    let mut faults = reasons::print(&cases, &verify);
    let count = Count::of(verify.iter().copied());
    let wanted = cases.len() * INPUTS;
    println!("sigstore-conformance: {} of {wanted} verify tests passed, no failure is expected", count.passed);
    faults.extend(count.failed);
    if count.passed != wanted {
        faults.push(format!("{} tests passed, not {wanted}", count.passed));
    }
    if !status.success() {
        faults.push(format!("the suite ended with {status}"));
    }
    match faults.as_slice() {
        [] => Ok(()),
        faults => bail!("not conformant:\n  {}", faults.join("\n  ")),
    }
}

/// The names of the cases that the suite has.
fn cases(suite: &Path) -> anyhow::Result<BTreeSet<String>> {
    let folder = suite.join("test/assets/bundle-verify");
    let mut cases = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            cases.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    if cases.is_empty() {
        bail!("{} holds no case", folder.display());
    }
    Ok(cases)
}

/// The codes with which a case was refused, one for each input.
pub(super) fn codes(tests: &[&Test]) -> BTreeMap<String, BTreeSet<String>> {
    let mut codes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for test in tests {
        let case = test.case.clone().unwrap_or_default();
        let code = test.code.clone().unwrap_or_else(|| "none".to_owned());
        codes.entry(case).or_default().insert(code);
    }
    codes
}

/// Every case that has to be refused, in the suite or in our table.
pub(super) fn refused(cases: &BTreeSet<String>) -> BTreeSet<&str> {
    let of_suite = cases.iter().map(String::as_str).filter(|case| case.ends_with("_fail"));
    of_suite.chain(REASONS.iter().map(|reason| reason.case)).collect()
}
