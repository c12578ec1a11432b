//! Markdown that no text from outside can break out of.
//!
//! Texts stand in code only: in spans in tables, in fenced blocks elsewhere. There neither HTML nor links, mentions or images mean
//! anything. What could end a span or a cell is replaced; a fence is longer than any that its text holds.

use std::fmt::Write as _;

use countersign_oci::visible;

use crate::failure::Failure;

/// Longer cells are cut: the text is in the job's log.
const CELL_CHARACTERS: usize = 300;
/// Longer lines of errors are cut.
const LINE_CHARACTERS: usize = 2_000;
/// What is left for the line that says how many rows are missing.
const MORE: usize = 64;

/// Returns a table of the rows that fit, and says how many do not. The heads are ours, the rows anybody's.
#[must_use]
pub fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]], room: usize) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n{}|\n", heads.join(" | "), "|---".repeat(N));
    let mut count = 0;
    for row in rows {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        let line = format!("| {} |\n", cells.join(" | "));
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

/// Returns the failures that fit in a fenced block, and says how many do not.
#[must_use]
pub fn failures(failures: &[&Failure], room: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    for failure in failures {
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
    let more = match failures.len() - count {
        0 => String::new(),
        more => format!("{more} more errors are in the log of the step.\n\n"),
    };
    match shown.is_empty() {
        true => more,
        false => format!("{}\n{more}", block("text", shown.trim_end())),
    }
}

/// Returns a code span that ends neither itself nor its cell, whatever it is made of.
#[must_use]
pub fn cell(text: &str) -> String {
    let harmless = |character: char| match character {
        '|' | '`' | '\\' => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    let text: String = plain(text, CELL_CHARACTERS).chars().map(harmless).collect();
    if text.is_empty() { "-".to_owned() } else { format!("`{text}`") }
}

/// Returns a fenced block.
#[must_use]
pub fn block(language: &str, text: &str) -> String {
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
            let table = table(["a", "b"], &[[text.to_owned(), "x".to_owned()]], 1 << 20);
            let line = table.lines().nth(2).unwrap();
            assert_eq!(table.matches('\n').count(), 3, "{table:?}");
            assert_eq!(line.matches('|').count(), 3, "{line:?}");
            assert_eq!(line.matches('`').count(), 4, "{line:?}");
            assert!(!line.contains('\\'), "{line:?}");
        }
    }

    #[test]
    fn no_error_ends_its_block() {
        for text in ["```\n# heading", "`````\n[x](y)", "a\n````sh\nb\n````"] {
            let block = failures(&[&Failure::usage("x", text, None)], 1 << 20);
            let fence = block.lines().next().unwrap().trim_end_matches("text").to_owned();
            let inside = block.lines().skip(1).position(|line| line.trim_start().starts_with(&fence)).unwrap();
            assert_eq!(inside, text.lines().count(), "{block}");
        }
    }

    #[test]
    fn neither_takes_more_room_than_there_is_and_both_say_what_is_missing() {
        let rows: Vec<[String; 2]> = (0..2_000).map(|number: u32| ["x".repeat(50), number.to_string()]).collect();
        let failure = Failure::usage("x", "```` error", None);
        let all = vec![&failure; 500];
        for room in (0..20_000).step_by(97).chain([100_000]).filter(|room| *room > 128) {
            assert!(table(["a", "b"], &rows, room).len() <= room, "{room}");
            assert!(failures(&all, room).len() <= room, "{room}");
        }
        let text = table(["a", "b"], &rows, 20_000);
        let shown = text.matches("| `xx").count();
        assert!(text.ends_with(&format!("\n{} more are in the log of the step.\n", 2_000 - shown)), "{text}");
    }
}
