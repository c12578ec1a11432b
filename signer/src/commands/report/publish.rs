//! What `publish` did, for people, for programs, and for the job.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_oci::Digest;
use countersign_signer::publish::{PublishError, PublishFailure, PublishReport, PublishedTag, TagState};
use countersign_signer::sign::SignReport;
use serde::Serialize;

use super::github::{GithubFiles, JobReport, JobRow};
use super::text;
use crate::commands::verify_command;

const SCHEMA: &str = "countersign.dev/publish/v1";

/// How the result is shown.
pub(crate) struct PublishView {
    pub(crate) format: OutputFormat,
    /// What consumers have to add to the command that verifies.
    pub(crate) consumer_flags: Vec<String>,
    /// Where a GitHub Actions job is told, with `--github`.
    pub(crate) github: Option<GithubFiles>,
}

impl PublishView {
    /// Prints the outcome and says how the program ends.
    pub(crate) fn show(&self, outcome: &Result<PublishReport, PublishFailure>) -> Exit {
        match outcome {
            Ok(report) => self.print(report, &[]),
            Err(failed) => self.print(&failed.report, &failed.errors.iter().map(failure).collect::<Vec<_>>()),
        }
    }

    /// Prints a failure that came before anything was looked at.
    pub(crate) fn show_failure(&self, failure: Failure) -> Exit {
        self.print(&PublishReport::default(), &[failure])
    }

    fn print(&self, report: &PublishReport, errors: &[Failure]) -> Exit {
        let exit = errors.iter().map(|failure| failure.exit).fold(Exit::Done, Exit::and);
        let verify = self.verify_command(report).filter(|_| errors.is_empty());
        let told =
            self.github.as_ref().map_or(Exit::Done, |files| files.tell(&job_report(report, verify.as_deref(), errors)));
        let printed = match self.format {
            OutputFormat::Json => output::json(&Document::of(report, verify, errors)),
            OutputFormat::Text => output::text(&as_text(report, verify.as_deref(), errors.is_empty())),
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

    /// The release in every repository, asked for by each of its tags.
    fn verify_command(&self, report: &PublishReport) -> Option<String> {
        let (index, signer) = (report.index.as_ref()?, report.signed.signer.as_ref()?);
        let images = report.repositories.iter().flat_map(|place| {
            place.tags.iter().map(|tag| format!("{}:{}@{}", place.repository, tag.tag, index.digest))
        });
        Some(verify_command::command(images, signer, &self.consumer_flags))
    }
}

fn failure(error: &PublishError) -> Failure {
    Failure::new(error, error.code(), error.class(), error.retryable(), error.hint())
}

fn name(state: TagState, planned: bool) -> &'static str {
    match state {
        TagState::InPlace => "in-place",
        TagState::Moved => "moved",
        _ if planned => "planned",
        _ => "unmoved",
    }
}

/// A dry run has built an index and nothing else.
fn is_planned(report: &PublishReport, done: bool) -> bool {
    done && report.signed.signer.is_none()
}

fn as_text(report: &PublishReport, verify: Option<&str>, done: bool) -> String {
    let mut text = String::new();
    let planned = is_planned(report, done);
    // Writing to a string cannot fail.
    if let Some(index) = &report.index {
        let platforms: Vec<String> = index.platforms.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "index {} for {}", index.digest, platforms.join(", "));
    }
    if !planned && (!report.signed.statements.is_empty() || !report.signed.signed_already.is_empty()) {
        text.push_str(&text::text(&report.signed, None));
    }
    for place in &report.repositories {
        for tag in &place.tags {
            let before = match tag.before {
                Some(before) if Some(before) != report.index.as_ref().map(|index| index.digest) => {
                    format!(" (before: {})", text::short(before))
                }
                _ => String::new(),
            };
            let _ = writeln!(text, "tag {}:{}: {}{before}", place.repository, tag.tag, name(tag.state, planned));
        }
    }
    for tag in &report.holding_tags_left {
        let _ = writeln!(
            text,
            "tag {tag}: holds a manifest; the run that ends the release takes it away, where the registry deletes tags"
        );
    }
    text.push_str(&text::requests(&report.requests));
    if let Some(command) = verify {
        let _ = writeln!(text, "verify with:\n  {command}");
    }
    if planned && report.index.is_some() {
        let _ = writeln!(
            text,
            "dry run: nothing was pushed or signed; the identity, the trusted root and write access were not checked"
        );
    }
    text
}

fn job_report<'r>(report: &PublishReport, verify: Option<&'r str>, errors: &'r [Failure]) -> JobReport<'r> {
    let done = errors.is_empty();
    let planned = is_planned(report, done);
    let signed: JobReport<'_> = JobReport::of_sign(&report.signed, None, &[]);
    let digest = report.index.as_ref().map(|index| index.digest);
    let mut rows = signed.rows;
    for place in &report.repositories {
        rows.extend(place.tags.iter().map(|tag| JobRow {
            failed: !planned && tag.state == TagState::Unmoved,
            reference: format!("{}:{}", place.repository, tag.tag),
            digest: digest.map(|digest| digest.to_string()).unwrap_or_default(),
            kind: "tag".to_owned(),
            state: name(tag.state, planned).to_owned(),
            ..JobRow::default()
        }));
    }
    JobReport {
        title: match (done, planned) {
            (true, false) => "published",
            (true, true) => "would publish",
            (false, _) => "not everything was published",
        },
        planned,
        rows,
        digests: digest.into_iter().collect(),
        bundles: signed.bundles,
        log_indexes: signed.log_indexes,
        verify_command: verify,
        errors,
    }
}

/// `--output json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// `published`, `planned` (a dry run), or `failed`: then each tag says where it stands.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<IndexDocument>,
    repositories: Vec<RepositoryDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<super::Document<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holding_tags_left: Vec<String>,
    /// How many requests were made of each registry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    requests: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify_command: Option<String>,
    errors: &'a [Failure],
}

#[derive(Serialize)]
struct IndexDocument {
    digest: Digest,
    size: u64,
    platforms: Vec<String>,
}

#[derive(Serialize)]
struct RepositoryDocument {
    repository: String,
    copied_manifests: usize,
    tags: Vec<TagDocument>,
}

#[derive(Serialize)]
struct TagDocument {
    tag: String,
    /// `moved`, `in-place`, `unmoved`, or `planned`.
    state: &'static str,
    before: Option<Digest>,
}

impl<'a> Document<'a> {
    fn of(report: &'a PublishReport, verify_command: Option<String>, errors: &'a [Failure]) -> Self {
        let planned = is_planned(report, errors.is_empty());
        let tag = |tag: &PublishedTag| TagDocument {
            tag: tag.tag.to_string(),
            state: name(tag.state, planned),
            before: tag.before,
        };
        let signed = |signed: &'a SignReport| super::document(signed, None, &[]);
        Self {
            schema: SCHEMA,
            result: match (errors.is_empty(), planned) {
                (true, false) => "published",
                (true, true) => "planned",
                (false, _) => "failed",
            },
            index: report.index.as_ref().map(|index| IndexDocument {
                digest: index.digest,
                size: index.size,
                platforms: index.platforms.iter().map(ToString::to_string).collect(),
            }),
            repositories: report
                .repositories
                .iter()
                .map(|place| RepositoryDocument {
                    repository: place.repository.to_string(),
                    copied_manifests: place.copied,
                    tags: place.tags.iter().map(tag).collect(),
                })
                .collect(),
            signed: report.signed.signer.is_some().then(|| signed(&report.signed)),
            requests: &report.requests,
            holding_tags_left: report.holding_tags_left.iter().map(ToString::to_string).collect(),
            verify_command,
            errors,
        }
    }
}
