//! The short page about compatibility, written from the document of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

/// Returns `.github/COMPATIBILITY.md` for a document of schema `countersign.dev/peers/v1`.
pub(crate) fn page(document: &Value) -> anyhow::Result<String> {
    let date = document["date"].as_str().context("the document has no date")?;
    let count = |name: &str| document[name].as_u64().unwrap_or_default();
    let mut page = format!(
        "# Compatibility\n\n\
         Written by `cargo xtask peers --compatibility` on {date}: {} passed, {} failed, {} skipped. \
         Do not edit by hand.\n\n\
         `yes` = it works; `limit` = the peer is known not to be able to, and says so; `no` = it fails; \
         `-` = not tried there.\n\n\
         | peer | version |\n|---|---|\n",
        count("passed"),
        count("failed"),
        count("skipped"),
    );
    for peer in array(&document["peers"]) {
        let missing = peer["missing"].as_str().map_or(String::new(), |_| " (not installed)".to_owned());
        writeln!(page, "| {} | {}{missing} |", text(&peer["name"]), text(&peer["version"]))?;
    }
    let mut notes = Vec::new();
    for section in array(&document["sections"]) {
        write_section(&mut page, section, &mut notes)?;
    }
    if !notes.is_empty() {
        page.push_str("\n## Notes\n\n");
        for (number, note) in notes.iter().enumerate() {
            writeln!(page, "{}. {note}", number + 1)?;
        }
    }
    Ok(page)
}

fn write_section(page: &mut String, section: &Value, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let cells = array(&section["cells"]);
    let mut columns: Vec<&str> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    let mut marks: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for cell in cells {
        let (row, column) = (text(&cell["row"]), text(&cell["column"]));
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !rows.contains(&row) {
            rows.push(row);
        }
        let mark = mark(cell, notes);
        let worst = marks.entry((row, column)).or_insert_with(|| "yes".to_owned());
        if mark != "yes" && !worst.starts_with("no") {
            *worst = mark;
        }
    }
    writeln!(
        page,
        "\n## {}\n\n| | {} |\n|---|{}",
        text(&section["name"]),
        columns.join(" | "),
        "---|".repeat(columns.len())
    )?;
    for row in rows {
        write!(page, "| {row} |")?;
        for column in &columns {
            write!(page, " {} |", marks.get(&(row, *column)).map_or("-", String::as_str))?;
        }
        page.push('\n');
    }
    Ok(())
}

/// One word for a cell, with a note where there is more to say.
fn mark(cell: &Value, notes: &mut Vec<String>) -> String {
    let word = match (text(&cell["outcome"]), cell["limit"].as_bool()) {
        ("pass", Some(true)) => "limit",
        ("pass", _) => return "yes".to_owned(),
        ("skipped", _) => "skipped",
        _ => "no",
    };
    let note: String = text(&cell["text"]).replace(['|', '\n', '<', '>'], " ").chars().take(240).collect();
    let number = notes.iter().position(|found| *found == note).unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    });
    format!("{word} [{}]", number + 1)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_cell_is_on_the_page_and_every_exception_has_a_note() -> anyhow::Result<()> {
        let cell = |row: &str, column: &str, outcome: &str, text: &str| json!({"row": row, "column": column, "outcome": outcome, "text": text});
        let mut limit = cell("ours", "js", "pass", "cannot | at all");
        limit["limit"] = json!(true);
        let cells = [cell("ours", "cosign", "pass", "fine"), limit, cell("theirs", "cosign", "fail", "refused")];
        let document = json!({
            "date": "2026-11-26", "passed": 2, "failed": 1, "skipped": 0,
            "peers": [{"name": "cosign", "version": "v3.1.2", "missing": null}, {"name": "oras", "version": "v1", "missing": "no Go"}],
            "sections": [{"name": "part", "cells": cells}],
        });
        let page = page(&document)?;
        assert!(page.contains("on 2026-11-26: 2 passed, 1 failed, 0 skipped"), "{page}");
        assert!(page.contains("| ours | yes | limit [1] |"), "{page}");
        assert!(page.contains("| theirs | no [2] | - |"), "{page}");
        assert!(page.contains("1. cannot   at all"), "{page}");
        assert!(page.contains("| oras | v1 (not installed) |"), "{page}");
        Ok(())
    }
}
