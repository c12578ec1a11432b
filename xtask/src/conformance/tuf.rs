//! tuf-conformance: the TUF client that the verifier gets its trusted root with, against every attack of the suite.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::build;
use super::python::Environment;
use super::record::{self, Count};

pub(super) fn run(suite: &Path, cache: &Path) -> anyhow::Result<()> {
    let client = build("countersign-verifier", "tuf_conformance", "tuf")?;
    let environment = Environment::prepare(cache, "tuf-conformance")?;
    let folder = tempfile::Builder::new().prefix("countersign-conformance-").tempdir()?;
    let record = folder.path().join("record");
    eprintln!("== tuf-conformance");
    let status = environment
        .pytest(suite, &client, &record)
        .arg("tuf_conformance")
        .status()
        .context("cannot start the suite")?;

    let tests = record::read(&record)?;
    let count = Count::of(&tests);
    println!("tuf-conformance: {} of {} tests passed, no failure is expected", count.passed, tests.len());
    let mut faults = count.failed;
    if count.skipped > 0 {
        faults.push(format!("{} tests were skipped", count.skipped));
    }
    if !status.success() {
        faults.push(format!("the suite ended with {status}"));
    }
    match faults.as_slice() {
        [] => Ok(()),
        faults => bail!("not conformant:\n  {}", faults.join("\n  ")),
    }
}
