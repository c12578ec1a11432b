//! The result for people and for programs.

use std::collections::BTreeMap;

use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_oci::Digest;
use countersign_signer::SignError;
use countersign_signer::self_verification::SignerIdentity;
use countersign_signer::sign::{SignFailure, SignReport, SignedStatement, SignedSubject};
use serde::Serialize;

use self::github::{GithubFiles, JobReport};
use super::verify_command::verify_command;

pub(super) mod attest;
pub(super) mod blob;
pub(super) mod github;
pub(super) mod publish;
mod text;

const SCHEMA: &str = "countersign.dev/sign/v1";

/// How the result is shown.
pub(crate) struct View {
    /// For people or for programs.
    pub(crate) format: OutputFormat,
    /// What consumers have to add to the command that verifies, because this call did not use the defaults.
    pub(crate) consumer_flags: Vec<String>,
    /// Where a GitHub Actions job is told, with `--github`.
    pub(crate) github: Option<GithubFiles>,
}

impl View {
    /// Prints the outcome, and what failed beside it, and says how the program ends.
    pub(crate) fn show(&self, outcome: &Result<SignReport, SignFailure>, mut errors: Vec<Failure>) -> Exit {
        let report = match outcome {
            Ok(report) => report,
            Err(failed) => {
                errors.extend(failed.errors.iter().map(failure));
                &failed.report
            }
        };
        self.print(report, &errors)
    }

    /// Prints a failure that came before anything was looked at.
    pub(crate) fn show_failure(&self, failure: Failure) -> Exit {
        self.print(&SignReport::default(), &[failure])
    }

    fn print(&self, report: &SignReport, errors: &[Failure]) -> Exit {
        let exit = errors.iter().map(|failure| failure.exit).fold(Exit::Done, Exit::and);
        let verify_command = verify_command(report, &self.consumer_flags);
        let told = self
            .github
            .as_ref()
            .map_or(Exit::Done, |files| files.tell(&JobReport::of_sign(report, verify_command.as_deref(), errors)));
        let printed = match self.format {
            OutputFormat::Json => output::json(&document(report, verify_command, errors)),
            OutputFormat::Text => output::text(&text::text(report, verify_command.as_deref())),
        };
        for failure in errors {
            output::note_lines(&failure.lines());
        }
        match printed {
            Ok(()) => exit.and(told),
            Err(cause) => {
                output::note(&format!("error: the result cannot be written to standard output: {cause}"));
                exit.and(Exit::Undecided)
            }
        }
    }
}

/// What an error of the library is for the program.
pub(crate) fn failure(error: &SignError) -> Failure {
    Failure::new(error, error.code(), error.class(), error.retryable(), error.hint())
}

/// `--output json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// `signed` (or signed already), `planned` (a dry run), `incomplete` (logged but not attached everywhere) or `failed`.
    result: &'static str,
    /// What kind of attestation it is; absent for signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<&'a str>,
    images: Vec<ImageDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<SignerDocument<'a>>,
    /// What is said of every subject, beside its tags.
    annotations: BTreeMap<&'a str, &'a str>,
    statements: Vec<StatementDocument>,
    /// What was signed before, well enough to be left alone, with the referrer that says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signed_already: Vec<SubjectDocument>,
    /// How many requests a call without `--dry-run` makes, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_requests: Option<usize>,
    /// How many requests were made of each registry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    requests: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_command: Option<String>,
    errors: &'a [Failure],
}

#[derive(Serialize)]
struct ImageDocument {
    reference: String,
    digest: Digest,
}

#[derive(Serialize)]
struct SignerDocument<'a> {
    issuer: &'a str,
    identity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    github_repository: Option<&'a str>,
}

impl<'a> SignerDocument<'a> {
    fn of(signer: &'a SignerIdentity) -> Self {
        Self {
            issuer: &signer.issuer,
            identity: &signer.identity,
            github_repository: signer.github_repository.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct StatementDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_index: Option<u64>,
    subjects: Vec<SubjectDocument>,
}

#[derive(Serialize)]
struct SubjectDocument {
    reference: String,
    digest: Digest,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    tags: Vec<String>,
    referrer: Option<Digest>,
}

fn document<'a>(report: &'a SignReport, verify_command: Option<String>, errors: &'a [Failure]) -> Document<'a> {
    let result = match (errors.is_empty(), report.statements.is_empty(), report.signer.is_some()) {
        (true, _, true) => "signed",
        (true, _, false) => "planned",
        (false, false, _) => "incomplete",
        (false, true, _) => "failed",
    };
    Document {
        schema: SCHEMA,
        result,
        predicate_type: None,
        images: report
            .images
            .iter()
            .map(|image| ImageDocument { reference: image.reference.to_string(), digest: image.digest })
            .collect(),
        signer: report.signer.as_ref().map(SignerDocument::of),
        annotations: report.annotations.iter().collect(),
        statements: report.statements.iter().map(statement).collect(),
        signed_already: report.signed_already.iter().map(subject).collect(),
        planned_requests: report.planned_requests,
        requests: &report.requests,
        verify_command,
        errors,
    }
}

fn statement(statement: &SignedStatement) -> StatementDocument {
    StatementDocument {
        bundle: statement.bundle.map(|bundle| bundle.digest),
        log_index: statement.bundle.map(|bundle| bundle.log_index),
        subjects: statement.subjects.iter().map(subject).collect(),
    }
}

fn subject(subject: &SignedSubject) -> SubjectDocument {
    SubjectDocument {
        reference: subject.reference.to_string(),
        digest: subject.reference.digest(),
        kind: subject.subject.kind.name(),
        platform: subject.subject.platform.as_ref().map(ToString::to_string),
        tags: subject.tags.iter().map(ToString::to_string).collect(),
        referrer: subject.referrer,
    }
}
