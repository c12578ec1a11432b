//! The page of a step in a GitHub Actions job: a file to which Markdown is appended.
//!
//! Texts from outside (names in an image's config, words of a server) reach it, and must neither break nor link out of it: [`markdown`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::output;

pub mod markdown;

/// The most that one step may write to its summary: beyond that the runner shows nothing of it. (actions/runner:
/// src/Runner.Worker/FileCommandManager.cs, `AttachmentSizeLimit`)
const STEP_SUMMARY_BYTES: u64 = 1024 * 1024;
/// What is left of it for what the runner adds: one that masks a secret writes three stars instead.
const SUMMARY_MARGIN: u64 = 16 * 1024;
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// The summary of the step, open for appending.
#[derive(Debug)]
pub struct StepSummary(File);

impl StepSummary {
    /// Opens the file that GITHUB_STEP_SUMMARY names. Nothing where it names none; one that cannot be written is a warning.
    #[must_use]
    pub fn open() -> Option<Self> {
        let path = variable(SUMMARY)?;
        match append(&path) {
            Ok(file) => Some(Self(file)),
            Err(cause) => {
                warn(SUMMARY, &cause);
                None
            }
        }
    }

    /// Appends what is made for the room that there is. A summary that cannot be written is a warning.
    pub fn write(&self, make: impl FnOnce(usize) -> String) {
        let mut file = &self.0;
        if let Err(cause) = self.room().and_then(|room| file.write_all(make(room).as_bytes())) {
            warn(SUMMARY, &cause);
        }
    }

    /// How much the summary may still take.
    fn room(&self) -> io::Result<usize> {
        let left = STEP_SUMMARY_BYTES.saturating_sub(SUMMARY_MARGIN).saturating_sub(self.0.metadata()?.len());
        Ok(usize::try_from(left).unwrap_or_default())
    }
}

/// Opens a file of the step, which the runner may have made or not.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

/// Returns the file that a variable of the runner names, where it is set.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the edge where the environment is read and passed in")]
pub fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn warn(variable: &str, cause: &io::Error) {
    output::note(&format!("warning: cannot write to the file that {variable} names: {cause}"));
}
