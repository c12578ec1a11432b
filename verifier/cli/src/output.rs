//! Data goes to standard output, everything else to standard error. Nothing that is printed here is a command of a CI system.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;
use crate::sarif::{self, Level, Tool};

mod annotation;
mod workflow_command;

pub use annotation::Annotation;

pub(crate) use workflow_command::WithoutCommands;
use workflow_command::{json_without_commands, without_commands};

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document, for failures too.
    Json,
}

/// How the result is written, where a program that judges others' code or images may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[non_exhaustive]
pub enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document, for failures too.
    Json,
    /// One SARIF 2.1.0 log, such as GitHub's code scanning takes, for failures too.
    Sarif,
    /// For a GitHub Actions job: text, annotations, and the page of the step.
    Github,
}

/// A failure as a document of its own: what `--output json` prints where there is no result to put it into.
#[derive(Debug, Serialize)]
pub struct FailureDocument<'a> {
    /// `countersign.dev/error/v1`.
    pub schema: &'static str,
    /// The failure.
    pub error: &'a Failure,
}

/// Writes text to standard output.
pub fn text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(without_commands(text).as_bytes())?;
    stdout.flush()
}

/// Writes a document to standard output.
pub fn json(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(json_without_commands(&text).as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Writes a failure: lines to standard error, and in JSON a document to standard output.
pub fn failure(failure: &Failure, format: OutputFormat) {
    if format == OutputFormat::Json {
        // A closed standard output leaves standard error, which follows.
        let _ = json(&FailureDocument { schema: "countersign.dev/error/v1", error: failure });
    }
    note_lines(&failure.lines());
}

/// Writes a failure that came before there was anything to report: lines to standard error, and what the format has for it to
/// standard output.
pub fn report_failure(tool: Tool, failure: &Failure, format: ReportFormat) {
    // A closed standard output leaves standard error, which follows.
    let _ = match format {
        ReportFormat::Text => Ok(()),
        ReportFormat::Json => json(&FailureDocument { schema: "countersign.dev/error/v1", error: failure }),
        ReportFormat::Sarif => json(&sarif::Log::of_failure(tool, failure).document()),
        ReportFormat::Github => annotations(&[Annotation {
            level: Level::Error,
            title: tool.name.to_owned(),
            message: failure.lines().join("\n"),
        }]),
    };
    note_lines(&failure.lines());
}

/// Writes annotations of a GitHub Actions job to standard output. They are the only commands that are ever printed.
pub fn annotations(annotations: &[Annotation]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for line in annotation::lines(annotations) {
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()
}

/// Writes lines to standard error.
pub fn note_lines(lines: &[String]) {
    let mut stderr = io::stderr().lock();
    for line in lines {
        // Nobody is left to be told.
        let _ = writeln!(stderr, "{}", without_commands(line));
    }
}

/// Writes one line to standard error.
pub fn note(line: &str) {
    note_lines(std::slice::from_ref(&line.to_owned()));
}
