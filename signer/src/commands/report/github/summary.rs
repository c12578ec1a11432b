//! The step summary: Markdown that no text from outside can break out of.
//!
//! Texts stand in code only: in spans in the table, in fenced blocks elsewhere. There neither HTML nor links, mentions or images mean
//! anything. What could end a span or a cell is replaced; a fence is longer than any that its text holds.

use std::fmt::Write as _;

use countersign_cli::Failure;
use countersign_oci::visible;

use super::{JobReport, JobRow};

/// Longer cells are cut: the text is in the job's log.
const CELL_CHARACTERS: usize = 300;
/// Longer lines of errors are cut.
const LINE_CHARACTERS: usize = 2_000;
/// What is left for the line that says how many rows are missing.
const MORE: usize = 64;
const HEAD: &str = "| state | reference | digest | kind | platform | log index |\n|---|---|---|---|---|---|\n";

/// Returns the summary, failures first, in no more than so many bytes.
pub(super) fn summary(report: &JobReport<'_>, room: usize) -> String {
    let mut text = format!("### countersign: {}\n\n", report.title);
    text.push_str(&errors(report.errors, room / 4));
    let command = report.verify_command.map(|command| format!("\nVerify with:\n\n{}", block("sh", command)));
    let command = match command {
        Some(command) if command.len() <= room / 2 => command,
        Some(_) => "\nThe command that verifies is in the output of the step.\n".to_owned(),
        None => String::new(),
    };
    let left = room.saturating_sub(text.len() + command.len());
    text.push_str(&table(&report.rows, left));
    text.push_str(&command);
    if text.len() > room { String::new() } else { text }
}

fn errors(errors: &[Failure], room: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    for failure in errors {
        let lines: Vec<String> =
            failure.lines().iter().flat_map(|lines| lines.lines()).map(|line| plain(line, LINE_CHARACTERS)).collect();
        let lines = lines.join("\n");
        // The fence cannot be longer than what it holds, so twice the length and a little is enough.
        if shown.len() + 3 * lines.len() + 2 * MORE > room {
            break;
        }
        shown.push_str(&lines);
        shown.push('\n');
        count += 1;
    }
    let more = match errors.len() - count {
        0 => String::new(),
        more => format!("{more} more errors are in the log of the step.\n\n"),
    };
    match shown.is_empty() {
        true => more,
        false => format!("{}\n{more}", block("text", shown.trim_end())),
    }
}

/// The rows that fit, those first that failed.
fn table(rows: &[JobRow], room: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let sorted = rows.iter().filter(|row| row.failed).chain(rows.iter().filter(|row| !row.failed));
    let mut text = HEAD.to_owned();
    let mut count = 0;
    for row in sorted {
        let line = line(row);
        if text.len() + line.len() + MORE > room {
            break;
        }
        text.push_str(&line);
        count += 1;
    }
    if count < rows.len() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{} more are in the log of the step.", rows.len() - count);
    }
    text
}

fn line(row: &JobRow) -> String {
    let log_index = row.log_index.map(|index| index.to_string()).unwrap_or_default();
    let cells = [&row.state, &row.reference, &row.digest, &row.kind, &row.platform, &log_index];
    let cells: Vec<String> = cells.into_iter().map(|text| cell(text)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A code span that ends neither itself nor its cell, whatever it is made of.
fn cell(text: &str) -> String {
    let harmless = |character: char| match character {
        '|' | '`' | '\\' => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    let text: String = plain(text, CELL_CHARACTERS).chars().map(harmless).collect();
    if text.is_empty() { "-".to_owned() } else { format!("`{text}`") }
}

/// A fenced block.
fn block(language: &str, text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}\n")
}

/// One line, without what nobody sees.
fn plain(text: &str, limit: usize) -> String {
    let shown: String = text.chars().take(limit).map(visible).collect();
    let cut = if text.chars().nth(limit).is_some() { "…" } else { "" };
    format!("{}{cut}", shown.trim_end())
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
    fn no_name_ends_its_cell_or_its_row() {
        let hostile = [
            "a|b",
            "a\\|b",
            "a`|b`",
            "a\n| x | y |",
            "a\r\n\n# heading",
            "<img src=x onerror=y>",
            "[x](https://evil.example)",
            "`<a href=x>`",
            "``` \n",
            "\u{202e}|\u{2028}|",
            "a\\",
        ];
        for text in hostile {
            let line = line(&row(text));
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert_eq!(line.matches('|').count(), 7, "{line:?}");
            assert_eq!(line.matches('`').count(), 12, "{line:?}");
            assert!(!line.contains('\\'), "{line:?}");
        }
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
