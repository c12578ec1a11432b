//! Prints answers: text as they come, documents when all are there.

use std::io;
use std::path::{Path, PathBuf};

use countersign_cli::github::StepSummary;
use countersign_cli::output::{self, OutputFormat, ReportFormat};
use countersign_cli::{Exit, Failure};
use serde::Serialize;

use super::answer::Outcome;
use super::sarif::TOOL;
use super::{github, sarif};

/// The results of a call with several references.
#[derive(Serialize)]
struct Batch {
    schema: &'static str,
    results: Vec<serde_json::Value>,
}

/// Prints answers in one of the formats.
pub(super) struct View {
    format: ReportFormat,
    policy: Option<PathBuf>,
    outcomes: Vec<Outcome>,
    exit: Exit,
}

impl View {
    pub(super) fn new(format: ReportFormat, policy: Option<&Path>) -> Self {
        Self { format, policy: policy.map(Path::to_path_buf), outcomes: Vec::new(), exit: Exit::Done }
    }

    /// Prints what came before anything was judged.
    pub(super) fn fail(&self, failure: &Failure) -> Exit {
        output::report_failure(TOOL, failure, self.format);
        failure.exit
    }

    /// Takes an answer, and prints it where it is text.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.exit = self.exit.and(outcome.exit());
        if matches!(self.format, ReportFormat::Text | ReportFormat::Github) {
            match &outcome.answer {
                Ok(answer) => {
                    if output::text(&answer.text()).is_err() {
                        self.exit = self.exit.and(Exit::Undecided);
                    }
                }
                Err(failure) => output::failure(failure, OutputFormat::Text),
            }
        }
        self.outcomes.push(outcome);
    }

    /// Prints what is one document for all, and says how the program ends. Nothing judged is a mistake of the caller.
    pub(super) fn finish(self) -> Exit {
        if self.outcomes.is_empty() {
            return self.fail(&Failure::usage("nothing-to-verify", "no reference: nothing was verified", None));
        }
        match self.print() {
            Ok(()) => self.exit,
            Err(_) => self.exit.and(Exit::Undecided),
        }
    }

    fn print(&self) -> io::Result<()> {
        match self.format {
            ReportFormat::Json => match self.outcomes.as_slice() {
                [only] => output::json(&only.value()),
                several => output::json(&Batch {
                    schema: "countersign.dev/verify-batch/v1",
                    results: several.iter().map(Outcome::value).collect(),
                }),
            },
            ReportFormat::Sarif => output::json(&sarif::log(&self.outcomes, self.policy.as_deref()).document()),
            ReportFormat::Github => {
                if let Some(page) = StepSummary::open() {
                    page.write(|room| github::summary(&self.outcomes, room));
                }
                output::annotations(&github::annotations(&self.outcomes))
            }
            _ => Ok(()),
        }
    }
}
