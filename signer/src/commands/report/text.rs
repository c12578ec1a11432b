//! The result for people: a table, and what it does not show.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use countersign_oci::Digest;
use countersign_signer::sign::{SignReport, SignedStatement, SignedSubject};

const SIGNED: [&str; 6] = ["REPOSITORY", "DIGEST", "KIND", "PLATFORM", "REFERRER", "LOG INDEX"];
const ALREADY: [&str; 6] = ["REPOSITORY", "DIGEST", "KIND", "PLATFORM", "REFERRER", "TAGS"];
const PLANNED: [&str; 6] = ["STATEMENT", "REPOSITORY", "DIGEST", "KIND", "PLATFORM", "TAGS"];
const NOT_CHECKED: &str =
    "dry run: nothing was signed; the identity, the trusted root and write access were not checked";

/// The whole text, ending with what to do next.
pub(in crate::commands) fn text(report: &SignReport, verify_command: Option<&str>) -> String {
    let planned = report.signer.is_none();
    let rows = rows(report, if planned { planned_row } else { signed_row });
    let mut text = if rows.is_empty() { String::new() } else { table(if planned { &PLANNED } else { &SIGNED }, &rows) };
    // Writing to a string cannot fail.
    if !report.signed_already.is_empty() {
        let _ = writeln!(text, "signed already, well enough for this call:");
        text.push_str(&table(&ALREADY, &report.signed_already.iter().map(already_row).collect::<Vec<_>>()));
    }
    for image in &report.images {
        if image.reference.digest().is_none() {
            let _ = writeln!(text, "{} is {}", image.reference, image.digest);
        }
    }
    for (key, value) in report.annotations.iter() {
        let _ = writeln!(text, "annotation of every subject: {}={}", shown(key), shown(value));
    }
    if let Some(signer) = &report.signer {
        let _ = writeln!(text, "signed by {} ({})", signer.identity, signer.issuer);
    }
    text.push_str(&requests(&report.requests));
    if let Some(command) = verify_command {
        let _ = writeln!(text, "verify with:\n  {command}");
    }
    if planned && !rows.is_empty() {
        if let Some(requests) = report.planned_requests {
            let _ = writeln!(text, "signing takes about {requests} requests");
        }
        let _ = writeln!(text, "{NOT_CHECKED}");
    }
    text
}

type Row = [String; 6];

fn rows(report: &SignReport, row: impl Fn(usize, &SignedStatement, &SignedSubject) -> Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for (position, statement) in report.statements.iter().enumerate() {
        rows.extend(statement.subjects.iter().map(|subject| row(position, statement, subject)));
    }
    rows
}

fn signed_row(_position: usize, statement: &SignedStatement, subject: &SignedSubject) -> Row {
    let [repository, digest, kind, platform] = subject_cells(subject);
    let referrer = subject.referrer.map_or_else(absent, short);
    let log_index = statement.bundle.map_or_else(absent, |bundle| bundle.log_index.to_string());
    [repository, digest, kind, platform, referrer, log_index]
}

fn already_row(subject: &SignedSubject) -> [String; 6] {
    let [repository, digest, kind, platform] = subject_cells(subject);
    let tags: Vec<&str> = subject.tags.iter().map(|tag| tag.as_str()).collect();
    [repository, digest, kind, platform, subject.referrer.map_or_else(absent, short), tags.join(",")]
}

fn planned_row(position: usize, _statement: &SignedStatement, subject: &SignedSubject) -> Row {
    let [repository, digest, kind, platform] = subject_cells(subject);
    let tags: Vec<&str> = subject.tags.iter().map(|tag| tag.as_str()).collect();
    let tags = if tags.is_empty() { absent() } else { tags.join(",") };
    [(position + 1).to_string(), repository, digest, kind, platform, tags]
}

fn subject_cells(subject: &SignedSubject) -> [String; 4] {
    [
        subject.reference.repository().to_string(),
        short(subject.reference.digest()),
        subject.subject.kind.name().to_owned(),
        subject.subject.platform.as_ref().map_or_else(absent, ToString::to_string),
    ]
}

fn table(head: &[&str; 6], rows: &[Row]) -> String {
    let head = head.map(str::to_owned);
    let lines = || std::iter::once(&head).chain(rows);
    let mut widths = [0; 6];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines() {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn absent() -> String {
    "-".to_owned()
}

/// What registries limit, so that a job that is throttled finds out what it did.
pub(in crate::commands) fn requests(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(registry, count)| format!("{count} requests to {registry}\n")).collect()
}

/// Twelve digits tell digests apart for the eye; programs read the whole ones.
pub(in crate::commands) fn short(digest: Digest) -> String {
    format!("sha256:{}", digest.hex().chars().take(12).collect::<String>())
}

/// An annotation must not write to a terminal.
fn shown(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
