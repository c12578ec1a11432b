//! The short page about compatibility, written from the document of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;

/// The section that is for those who maintain the sandbox: one line of the page is enough for it.
pub(crate) const COMPARISON: &str = "sandbox and real servers";

/// What a reader has to know to find the cell that is about them.
const GUIDE: &str = "\
`yes` = it works, and refuses what it must; `limit` = the peer is known not to be able to, and says so (the note has its words); \
`no` = it fails; `-` = not tried there.

| you verify with | look at the column |
|---|---|
| cosign 3 | `cosign` |
| cosign 2.6, `--new-bundle-format` | `cosign-2.6` |
| sigstore-python, sigstore-js | `sigstore-python`, `sigstore-js`: the libraries; they read no registry and are given the bundle |
| Kubewarden and others on the Rust crate `sigstore` | `sigstore-rs VERSION, cosign`: its module `cosign`; without `, cosign`: its verifier of bundles |
| policy-controller, Kyverno | not run; they build on the Go libraries of `cosign` |

What follows for the crate `sigstore`: to have each platform's manifest accepted by itself, sign with `--statement digest`; entries of \
Rekor v2 it cannot read at all. The public-good instance signs to Rekor v1 unless its signing config says otherwise.

The registries are those that can be run here. Hosted ones (GHCR, Docker Hub, Quay, ECR) and Harbor and zot were not tried.

Rows: `ours (image)`, `ours (digest)`, `ours (release)` are the forms of `--statement`; `the index` is the first digest of an image index \
with two platforms and their attestations, `the others` are everything in it; `refused` rows are what must not be accepted: another \
signer's identity (`by another`), an image without signature (`unsigned`), one to which another image's signature was attached \
(`copied bundle`).
";

/// Returns `.github/COMPATIBILITY.md` for a document of schema `countersign.dev/peers/v1`.
pub(crate) fn page(document: &Value) -> anyhow::Result<String> {
    let date = document["date"].as_str().context("the document has no date")?;
    let count = |name: &str| document[name].as_u64().unwrap_or_default();
    let mut page = format!(
        "# Compatibility\n\n\
         Written by `cargo xtask peers --compatibility` on {date}, countersign {}: {} passed ({} of them limits of a peer), \
         {} failed, {} skipped. Do not edit by hand.\n\n{GUIDE}\n\
         | peer | version |\n|---|---|\n",
        env!("CARGO_PKG_VERSION"),
        count("passed"),
        count("limits"),
        count("failed"),
        count("skipped"),
    );
    for peer in array(&document["peers"]) {
        let missing = peer["missing"].as_str().map_or("", |_| " (missing)");
        writeln!(page, "| {} | {}{missing} |", text(&peer["name"]), text(&peer["version"]))?;
    }
    let mut notes = Vec::new();
    for section in array(&document["sections"]) {
        if text(&section["name"]) == COMPARISON {
            write_comparison(&mut page, section, &mut notes)?;
        } else {
            write_section(&mut page, section, &mut notes)?;
        }
    }
    if !notes.is_empty() {
        page.push_str("\n## Notes\n\nThe words of the peers.\n\n");
        for (number, note) in notes.iter().enumerate() {
            writeln!(page, "{}. {note}", number + 1)?;
        }
    }
    Ok(page)
}

/// How many requests were answered alike, and every one that was not.
fn write_comparison(page: &mut String, section: &Value, notes: &mut Vec<String>) -> anyhow::Result<()> {
    writeln!(
        page,
        "\n## {COMPARISON}\n\nThe same requests to both, good and bad ones: status, headers and shape of the answers.\n"
    )?;
    let mut alike: BTreeMap<&str, usize> = BTreeMap::new();
    let mut others = Vec::new();
    for cell in array(&section["cells"]) {
        let alike = alike.entry(text(&cell["column"])).or_default();
        match mark(cell, notes).as_str() {
            "yes" => *alike += 1,
            other => others.push(format!("- {} ({}): {other}", text(&cell["row"]), text(&cell["column"]))),
        }
    }
    for (server, number) in alike {
        writeln!(page, "- {server}: {number} alike")?;
    }
    for other in others {
        writeln!(page, "{other}")?;
    }
    Ok(())
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
        let comparison = [cell("token", "Fulcio", "pass", "200"), cell("no token", "Fulcio", "fail", "401 and 400")];
        let document = json!({
            "date": "2026-11-26", "passed": 2, "limits": 1, "failed": 1, "skipped": 0,
            "peers": [{"name": "cosign", "version": "v3.1.2", "missing": null}, {"name": "oras", "version": "v1", "missing": "no Go"}],
            "sections": [{"name": "part", "cells": cells}, {"name": COMPARISON, "cells": comparison}],
        });
        let page = page(&document)?;
        assert!(page.contains("2 passed (1 of them limits of a peer), 1 failed, 0 skipped"), "{page}");
        assert!(page.contains("| ours | yes | limit [1] |"), "{page}");
        assert!(page.contains("| theirs | no [2] | - |"), "{page}");
        assert!(page.contains("1. cannot   at all"), "{page}");
        assert!(page.contains("| oras | v1 (missing) |"), "{page}");
        assert!(page.contains("- Fulcio: 1 alike\n- no token (Fulcio): no [3]"), "{page}");
        Ok(())
    }
}
