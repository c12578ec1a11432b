//! The answers for a GitHub Actions job: annotations, and the page of the step.

use std::fmt::Write as _;

use countersign_cli::github::markdown::{block, table};
use countersign_cli::output::Annotation;
use countersign_cli::sarif::Level;

use super::answer::Outcome;

const HEADS: [&str; 5] = ["verdict", "reference", "digest", "signed by", "signed at"];
/// How many references that are not verified are explained on the page.
const EXPLAINED: usize = 20;

/// Returns an annotation for each reference that is not verified, and one that says how many are.
pub(super) fn annotations(outcomes: &[Outcome]) -> Vec<Annotation> {
    let mut annotations: Vec<Annotation> = Vec::new();
    for outcome in outcomes {
        if let Some(problem) = outcome.problem() {
            let title = format!("{}: {}", outcome.report().verdict, outcome.reference);
            let message = std::iter::once(problem.message).chain(problem.details).collect::<Vec<_>>().join("\n");
            annotations.push(Annotation { level: Level::Error, title, message });
        }
    }
    let verified = outcomes.len() - annotations.len();
    annotations.push(Annotation {
        level: Level::Note,
        title: "countersign-verifier".to_owned(),
        message: format!("{verified} of {} verified", outcomes.len()),
    });
    annotations
}

/// Returns the page of the step in no more than so many bytes: what failed first.
pub(super) fn summary(outcomes: &[Outcome], room: usize) -> String {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.problem().is_some()).collect();
    let verified = outcomes.len() - failed.len();
    let mut text = format!("### countersign: {verified} of {} verified\n\n", outcomes.len());
    let fine = outcomes.iter().filter(|outcome| outcome.problem().is_none());
    let rows: Vec<[String; 5]> = failed.iter().copied().chain(fine).map(row).collect();
    text.push_str(&table(HEADS, &rows, room / 2));
    let mut explained = 0;
    for outcome in failed.iter().take(EXPLAINED) {
        let Some(problem) = outcome.problem() else { continue };
        let lines: Vec<String> = std::iter::once(format!("{}: {}", outcome.reference, problem.message))
            .chain(problem.details)
            .map(|line| line.chars().map(countersign_oci::visible).collect())
            .collect();
        let block = format!("\n{}", block("text", &lines.join("\n")));
        if text.len() + block.len() + 64 > room {
            break;
        }
        text.push_str(&block);
        explained += 1;
    }
    if explained < failed.len() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{} more are explained in the log of the step.", failed.len() - explained);
    }
    if text.len() > room { String::new() } else { text }
}

fn row(outcome: &Outcome) -> [String; 5] {
    let report = outcome.report();
    let signature = report.signatures.first();
    [
        report.verdict.to_owned(),
        outcome.reference.to_string(),
        report.digest.unwrap_or_default(),
        signature.map(|signature| signature.identity.clone()).unwrap_or_default(),
        signature.map(|signature| signature.signed_at.clone()).unwrap_or_default(),
    ]
}
