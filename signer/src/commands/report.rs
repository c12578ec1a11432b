//! The result for people and for programs.

use std::fmt::Write as _;

use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_oci::{Digest, ImageReference};
use countersign_signer::SignError;
use countersign_signer::self_verification::SignerIdentity;
use countersign_signer::sign::{SignFailure, SignReport, SignedStatement, SignedSubject};
use serde::Serialize;

const SCHEMA: &str = "countersign.dev/sign/v1";

/// Prints the outcome and says how the program ends.
pub(crate) fn show(outcome: &Result<SignReport, SignFailure>, format: OutputFormat) -> Exit {
    let (report, errors) = match outcome {
        Ok(report) => (report, Vec::new()),
        Err(failed) => (&failed.report, failed.errors.iter().map(failure).collect()),
    };
    print(report, &errors, format)
}

/// Prints a failure that came before anything was looked at.
pub(crate) fn show_failure(failure: Failure, format: OutputFormat) -> Exit {
    print(&SignReport::default(), &[failure], format)
}

fn print(report: &SignReport, errors: &[Failure], format: OutputFormat) -> Exit {
    let exit = errors.iter().map(|failure| failure.exit).fold(Exit::Done, Exit::and);
    let printed = match format {
        OutputFormat::Json => output::json(&document(report, errors)),
        OutputFormat::Text => output::text(&text(report)),
    };
    for failure in errors {
        output::note_lines(&failure.lines());
    }
    match printed {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
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
    /// `signed`, `planned` (a dry run), `incomplete` (logged but not attached everywhere) or `failed`.
    result: &'static str,
    images: Vec<ImageDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<SignerDocument<'a>>,
    statements: Vec<StatementDocument>,
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

fn document<'a>(report: &'a SignReport, errors: &'a [Failure]) -> Document<'a> {
    let result = match (errors.is_empty(), report.statements.is_empty(), report.signer.is_some()) {
        (true, _, true) => "signed",
        (true, _, false) => "planned",
        (false, false, _) => "incomplete",
        (false, true, _) => "failed",
    };
    Document {
        schema: SCHEMA,
        result,
        images: report
            .images
            .iter()
            .map(|image| ImageDocument { reference: image.reference.to_string(), digest: image.digest })
            .collect(),
        signer: report.signer.as_ref().map(|signer| SignerDocument {
            issuer: &signer.issuer,
            identity: &signer.identity,
            github_repository: signer.github_repository.as_deref(),
        }),
        statements: report.statements.iter().map(statement).collect(),
        verify_command: verify_command(report),
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

fn text(report: &SignReport) -> String {
    let mut text = String::new();
    let rows = rows(report);
    let mut widths = [0; COLUMNS.len()];
    for row in std::iter::once(&COLUMNS.map(str::to_owned)).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    if !rows.is_empty() {
        for row in std::iter::once(&COLUMNS.map(str::to_owned)).chain(&rows) {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
    }
    for image in &report.images {
        if image.reference.digest().is_none() {
            let _ = writeln!(text, "{} is {}", image.reference, image.digest);
        }
    }
    if let Some(signer) = &report.signer {
        let _ = writeln!(text, "signed by {} ({})", signer.identity, signer.issuer);
    }
    if let Some(command) = verify_command(report) {
        let _ = writeln!(text, "verify with:\n  {command}");
    }
    text
}

const COLUMNS: [&str; 6] = ["REPOSITORY", "DIGEST", "KIND", "PLATFORM", "REFERRER", "LOG INDEX"];

fn rows(report: &SignReport) -> Vec<[String; COLUMNS.len()]> {
    let row = |statement: &SignedStatement, subject: &SignedSubject| {
        let log_index = statement.bundle.map(|bundle| bundle.log_index.to_string());
        [
            subject.reference.repository().to_string(),
            short(subject.reference.digest()),
            subject.subject.kind.name().to_owned(),
            subject.subject.platform.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            subject.referrer.map_or_else(|| "-".to_owned(), short),
            log_index.unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let of = |statement| move |subject| row(statement, subject);
    report.statements.iter().flat_map(|statement| statement.subjects.iter().map(of(statement))).collect()
}

/// Twelve digits tell digests apart for the eye; programs read the whole ones.
fn short(digest: Digest) -> String {
    format!("sha256:{}", digest.hex().chars().take(12).collect::<String>())
}

/// What a consumer has to run. It always names the repository that the job ran for: a workflow that others can call gives its name to
/// all of them.
fn verify_command(report: &SignReport) -> Option<String> {
    let signer = report.signer.as_ref()?;
    let mut words = vec!["countersign-verifier".to_owned(), "verify".to_owned()];
    words.extend(report.images.iter().map(|image| pinned(&image.reference, image.digest)));
    words.extend(identity_flags(signer));
    Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

fn identity_flags(signer: &SignerIdentity) -> Vec<String> {
    let mut flags = vec![
        "--certificate-identity".to_owned(),
        signer.identity.clone(),
        "--certificate-oidc-issuer".to_owned(),
        signer.issuer.clone(),
    ];
    if let Some(repository) = &signer.github_repository {
        flags.push("--certificate-github-workflow-repository".to_owned());
        flags.push(repository.clone());
    }
    flags
}

fn pinned(reference: &ImageReference, digest: Digest) -> String {
    match reference.tag() {
        Some(tag) => format!("{}:{tag}@{digest}", reference.repository()),
        None => format!("{}@{digest}", reference.repository()),
    }
}

/// Quotes a word for a POSIX shell where it has anything in it that a shell would read.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%_+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_every_word_as_it_is() {
        let table = [
            ("https://github.com/o/r/.github/workflows/x.yml@refs/heads/main", None),
            ("mona@example.com", None),
            ("", Some("''")),
            ("a b", Some("'a b'")),
            ("$(x)", Some("'$(x)'")),
            ("it's", Some(r"'it'\''s'")),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected.unwrap_or(word));
        }
    }
}
