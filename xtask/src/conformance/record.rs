//! What became of every test, as our plugin noted it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// One test.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) name: String,
    /// `passed`, `failed` or `skipped`; an expected failure is none of them.
    pub(super) outcome: String,
    /// The folder of the case, for tests that have one.
    pub(super) case: Option<String>,
    /// What the client said when it refused: the code of its reason.
    pub(super) code: Option<String>,
}

impl Test {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not a note of our plugin: {line}"))?;
        let text = |key: &str| value[key].as_str().map(ToOwned::to_owned);
        let needed = |key: &str| text(key).with_context(|| format!("a note without {key}: {line}"));
        Ok(Self { name: needed("test")?, outcome: needed("outcome")?, case: text("case"), code: text("code") })
    }
}

/// Reads the notes. Refuses a run in which nothing was noted: that is never a success.
pub(super) fn read(record: &Path) -> anyhow::Result<Vec<Test>> {
    let notes = fs::read_to_string(record).context("the suite did not run: it noted nothing")?;
    let tests = notes.lines().map(Test::parse).collect::<anyhow::Result<Vec<_>>>()?;
    if tests.is_empty() {
        bail!("the suite ran no test");
    }
    Ok(tests)
}

/// Counts tests by outcome, and names those that neither passed nor were skipped.
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) skipped: usize,
    pub(super) failed: Vec<String>,
}

impl Count {
    pub(super) fn of<'a>(tests: impl IntoIterator<Item = &'a Test>) -> Self {
        let mut count = Self { passed: 0, skipped: 0, failed: Vec::new() };
        for test in tests {
            match test.outcome.as_str() {
                "passed" => count.passed += 1,
                "skipped" => count.skipped += 1,
                outcome => count.failed.push(format!("{} ({outcome})", test.name)),
            }
        }
        count
    }
}
