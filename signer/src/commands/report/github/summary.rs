//! The step summary: Markdown that no text from outside can break out of.

use countersign_cli::Failure;
use countersign_cli::github::markdown::{block, failures, table};

use super::{JobReport, JobRow};

const HEADS: [&str; 6] = ["state", "reference", "digest", "kind", "platform", "log index"];

/// Returns the summary, failures first, in no more than so many bytes.
pub(super) fn summary(report: &JobReport<'_>, room: usize) -> String {
    let mut text = format!("### countersign: {}\n\n", report.title);
    text.push_str(&failures(&report.errors.iter().collect::<Vec<&Failure>>(), room / 4));
    let command = report.verify_command.map(|command| format!("\nVerify with:\n\n{}", block("sh", command)));
    let command = match command {
        Some(command) if command.len() <= room / 2 => command,
        Some(_) => "\nThe command that verifies is in the output of the step.\n".to_owned(),
        None => String::new(),
    };
    let left = room.saturating_sub(text.len() + command.len());
    text.push_str(&table(HEADS, &rows(&report.rows), left));
    text.push_str(&command);
    if text.len() > room { String::new() } else { text }
}

/// Those first that failed.
fn rows(rows: &[JobRow]) -> Vec<[String; 6]> {
    rows.iter().filter(|row| row.failed).chain(rows.iter().filter(|row| !row.failed)).map(cells).collect()
}

fn cells(row: &JobRow) -> [String; 6] {
    let log_index = row.log_index.map(|index| index.to_string()).unwrap_or_default();
    let texts = [&row.state, &row.reference, &row.digest, &row.kind, &row.platform, &log_index];
    texts.map(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(platform: &str) -> JobRow {
        JobRow {
            reference: "ghcr.io/octo/app".to_owned(),
            digest: "sha256:44".to_owned(),
            kind: "image manifest".to_owned(),
            platform: platform.to_owned(),
            state: "signed".to_owned(),
            log_index: Some(7),
            ..JobRow::default()
        }
    }

    fn failure(message: &str) -> Failure {
        Failure::usage("x", message, None)
    }

    #[test]
    fn the_whole_summary() {
        let report = JobReport {
            title: "not everything was signed",
            rows: vec![row("linux/amd64"), JobRow { failed: true, state: "not attached".to_owned(), ..row("") }],
            verify_command: Some("countersign-verifier verify x"),
            errors: &[failure("cannot attach")],
            ..JobReport::default()
        };
        let expected = "\
### countersign: not everything was signed

```text
error: cannot attach
```

| state | reference | digest | kind | platform | log index |
|---|---|---|---|---|---|
| `not attached` | `ghcr.io/octo/app` | `sha256:44` | `image manifest` | - | `7` |
| `signed` | `ghcr.io/octo/app` | `sha256:44` | `image manifest` | `linux/amd64` | `7` |

Verify with:

```sh
countersign-verifier verify x
```
";
        assert_eq!(summary(&report, 1 << 20), expected);
    }

    #[test]
    fn no_error_ends_its_block() {
        for text in ["```\n# heading", "`````\n[x](y)", "a\n````sh\nb\n````"] {
            let report = JobReport { errors: &[failure(text)], ..JobReport::default() };
            let summary = summary(&report, 1 << 20);
            let fence = summary.lines().nth(2).unwrap().trim_end_matches("text").to_owned();
            let inside = summary.lines().skip(3).position(|line| line.trim_start().starts_with(&fence)).unwrap();
            assert_eq!(inside, text.lines().count(), "{summary}");
            assert!(!summary.lines().skip(3 + inside + 1).any(|line| line.contains(['#', '[', '`'])), "{summary}");
        }
    }

    #[test]
    fn it_never_takes_more_room_than_there_is_and_says_what_is_missing() {
        let rows: Vec<JobRow> =
            (0..2_000).map(|number| JobRow { failed: number == 1_999, ..row("linux/amd64") }).collect();
        let errors: Vec<Failure> = (0..500).map(|number| failure(&format!("```` {number}"))).collect();
        let command = "x".repeat(4_000);
        let report = JobReport {
            title: "signed",
            rows,
            verify_command: Some(&command),
            errors: &errors,
            ..JobReport::default()
        };
        for room in (0..20_000).step_by(97).chain([100_000, 1 << 20]) {
            let summary = summary(&report, room);
            assert!(summary.len() <= room, "{} of {room}", summary.len());
        }
        let summary = summary(&report, 20_000);
        assert!(summary.contains(" more errors are in the log of the step."), "{summary}");
        assert!(summary.contains(" more are in the log of the step."), "{summary}");
        let shown = summary.matches("| `signed` |").count();
        assert!(summary.contains(&format!("\n{} more are", 2_000 - shown)), "{summary}");
    }

    #[test]
    fn a_release_of_a_thousand_digests_is_shown_whole() {
        let rows: Vec<JobRow> = (0..1_000)
            .map(|_| JobRow {
                reference: format!("quay.io/{}", "x".repeat(120)),
                digest: countersign_oci::Digest::of(b"x").to_string(),
                ..row("linux/arm64/v8")
            })
            .collect();
        let summary = summary(&JobReport { rows, ..JobReport::default() }, (1 << 20) - (16 << 10));
        assert!(!summary.contains("more"), "{} bytes", summary.len());
    }
}
