//! `--github`: what a call did, for the steps that follow in a GitHub Actions job, and for the page of the job.
//!
//! The runner reads two files when the step has ended: outputs as names and values, and a summary as Markdown. Texts from outside (names
//! in an image's config, words of a server) reach both, and must neither add an output nor break or link out of the summary.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use clap::Args;
use countersign_cli::github::{StepSummary, append, variable};
use countersign_cli::{Exit, Failure, output};
use countersign_oci::Digest;
use countersign_signer::sign::{SignReport, SignedSubject};
use ring::rand::{SecureRandom as _, SystemRandom};

mod outputs;
mod summary;

/// What a job gets to know.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct GithubFlags {
    /// In a GitHub Actions job: appends the step outputs `digest`, `bundle`, `log-index` and `verify-command` (a line for each image
    /// or bundle) to the file that GITHUB_OUTPUT names, and a table to that of GITHUB_STEP_SUMMARY.
    #[arg(long)]
    github: bool,
}

/// The files of the step, open for appending.
pub(crate) struct GithubFiles {
    outputs: File,
    summary: Option<StepSummary>,
}

/// What a call did, whichever it was.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobReport<'r> {
    /// What was done, in a few words of ours.
    pub(crate) title: &'static str,
    /// Whether it is only what would be done: then no step is told anything.
    pub(crate) planned: bool,
    /// A row for everything that was, or should have been, signed.
    pub(crate) rows: Vec<JobRow>,
    /// The digest of each image that was named, or of the image index that was published.
    pub(crate) digests: Vec<Digest>,
    /// The digest of each bundle.
    pub(crate) bundles: Vec<Digest>,
    /// The index of each bundle in the log.
    pub(crate) log_indexes: Vec<u64>,
    /// How a consumer verifies it.
    pub(crate) verify_command: Option<&'r str>,
    /// What went wrong.
    pub(crate) errors: &'r [Failure],
}

/// One line of the table. Texts may come from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobRow {
    /// Whether it is one that failed: such rows come first.
    pub(crate) failed: bool,
    /// The repository, and the tag where it is about one.
    pub(crate) reference: String,
    /// The digest.
    pub(crate) digest: String,
    /// What it is.
    pub(crate) kind: String,
    /// Its platform, where it has one.
    pub(crate) platform: String,
    /// What became of it: `signed`, `skipped`, `moved`, ...
    pub(crate) state: String,
    /// The index of its log entry, where it has one.
    pub(crate) log_index: Option<u64>,
}

impl GithubFlags {
    /// Opens the files of the step, where the flag asks for them, before anything is spent.
    pub(crate) fn files(&self) -> Result<Option<GithubFiles>, Failure> {
        if !self.github {
            return Ok(None);
        }
        let Some(outputs) = variable("GITHUB_OUTPUT") else {
            let message = "--github is for GitHub Actions jobs: GITHUB_OUTPUT is not set";
            return Err(Failure::usage("no-github-output", message, None));
        };
        let outputs = append(&outputs).map_err(|cause| {
            let message = format!("cannot write to the file that GITHUB_OUTPUT names, {}: {cause}", outputs.display());
            Failure::usage("github-output-unwritable", message, None)
        })?;
        Ok(Some(GithubFiles { outputs, summary: StepSummary::open() }))
    }
}

impl GithubFiles {
    /// Tells the job. A summary that cannot be written is a warning; outputs that cannot be are an error, for the steps that follow would
    /// go on with empty ones. Outputs are written only where everything was done, so that one that is there means that.
    pub(crate) fn tell(&self, report: &JobReport<'_>) -> Exit {
        if let Some(page) = &self.summary {
            page.write(|room| summary::summary(report, room));
        }
        if !report.errors.is_empty() || report.planned {
            return Exit::Done;
        }
        let written = delimiter().and_then(|delimiter| {
            let text = outputs::outputs(report, &delimiter).ok_or(io::ErrorKind::InvalidData)?;
            // What another step left without an end of line would swallow the first output.
            let gap = if ends_a_line(&self.outputs)? { "" } else { "\n" };
            (&self.outputs).write_all(format!("{gap}{text}").as_bytes())
        });
        match written {
            Ok(()) => Exit::Done,
            Err(cause) => {
                output::note(&format!("error: cannot write to the file that GITHUB_OUTPUT names: {cause}"));
                output::note("  hint: everything was done; what the steps after this one need stands above");
                Exit::Undecided
            }
        }
    }
}

impl<'r> JobReport<'r> {
    /// What `sign` did.
    pub(crate) fn of_sign(report: &SignReport, verify_command: Option<&'r str>, errors: &'r [Failure]) -> Self {
        let planned = report.statements.iter().any(|statement| statement.bundle.is_none());
        let mut rows = Vec::new();
        for statement in &report.statements {
            let log_index = statement.bundle.map(|bundle| bundle.log_index);
            rows.extend(statement.subjects.iter().map(|subject| {
                let state = match (planned, subject.referrer) {
                    (true, _) => "planned",
                    (false, Some(_)) => "signed",
                    (false, None) => "not attached",
                };
                JobRow { failed: !planned && subject.referrer.is_none(), log_index, ..JobRow::of(subject, state) }
            }));
        }
        rows.extend(report.signed_already.iter().map(|subject| JobRow::of(subject, "signed before")));
        let bundles = || report.statements.iter().filter_map(|statement| statement.bundle);
        Self {
            title: match (errors.is_empty(), planned) {
                (true, false) => "signed",
                (true, true) => "would sign",
                (false, _) => "not everything was signed",
            },
            planned,
            rows,
            digests: report.images.iter().map(|image| image.digest).collect(),
            bundles: bundles().map(|bundle| bundle.digest).collect(),
            log_indexes: bundles().map(|bundle| bundle.log_index).collect(),
            verify_command,
            errors,
        }
    }
}

impl JobRow {
    /// The row of a subject.
    pub(crate) fn of(subject: &SignedSubject, state: &str) -> Self {
        Self {
            failed: false,
            reference: subject.reference.repository().to_string(),
            digest: subject.reference.digest().to_string(),
            kind: subject.subject.kind.name().to_owned(),
            platform: subject.subject.platform.as_ref().map(ToString::to_string).unwrap_or_default(),
            state: state.to_owned(),
            log_index: None,
        }
    }
}

/// What ends a value with more than one line: nobody outside this process can know it beforehand.
fn delimiter() -> io::Result<String> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("this machine has no random numbers"))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("end-{digits}"))
}

/// Whether nothing stands on the last line.
fn ends_a_line(mut file: &File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
