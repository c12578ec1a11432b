//! What makes a node pull without asking the hook, or refuse everything: read from what containerd says of its own configuration.
//!
//! `containerd config dump` merges imports and migrates older forms, but prints what was written and not what containerd makes of
//! it: the fallbacks of its CRI plugin have to be applied to the values. [`check`] does that; it opens no file and starts nothing.

mod dump;
mod rules;

use std::time::Duration;

use serde::Serialize;

pub use dump::{DUMP_BYTES, Dump, DumpError};

use super::settings::Settings;

/// The schema of the report as JSON.
pub const SCHEMA: &str = "countersign.dev/containerd-check/v1";

/// A node as far as it was looked at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Node {
    /// What `containerd config dump` printed.
    pub dump: Dump,
    /// What it printed on standard error; nothing where the dump comes from a file.
    pub warnings: Option<String>,
    /// What `containerd --version` prints.
    pub version: Option<String>,
    /// The folder of verifiers.
    pub folder: Folder,
    /// What the hook is set to, or why that cannot be used.
    pub settings: Result<Settings, String>,
}

impl Node {
    /// Puts together what was seen.
    #[must_use]
    pub fn new(
        dump: Dump,
        warnings: Option<String>,
        version: Option<String>,
        folder: Folder,
        settings: Result<Settings, String>,
    ) -> Self {
        Self { dump, warnings, version, folder, settings }
    }
}

/// The folder whose programs containerd asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Folder {
    /// It is not there.
    Absent,
    /// What is in it, in the order in which it is asked.
    Entries(Vec<Entry>),
    /// It is something else, or cannot be read.
    Unreadable(String),
    /// It is on another machine, or has no place.
    Unseen,
}

/// One thing in that folder: containerd runs it, whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Why it cannot answer, where it cannot: `is a folder`.
    pub problem: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether nothing was found.
    pub clean: bool,
    /// What lets images by, or keeps them all out.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub not_checked: Vec<String>,
}

/// One setting, what it does and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// A stable name.
    pub code: &'static str,
    /// What becomes of pulls.
    pub effect: Effect,
    /// The setting and its value, or the file.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// How to mend it.
    pub fix: String,
}

/// What a finding does to pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Effect {
    /// Images are not pulled.
    Blocks,
    /// Images are pulled, and the hook is never asked.
    Bypasses,
    /// One of the two, depending on what is not seen here.
    Uncertain,
}

impl Report {
    /// Returns the report for people: the worst first, each with its remedy.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text =
            match (self.findings.len(), self.findings.iter().filter(|f| f.effect == Effect::Bypasses).count()) {
                (0, _) => "clean: every pull asks the hook\n".to_owned(),
                (all, 0) => format!("{all} findings\n"),
                (all, bypassing) => {
                    format!("{all} findings, {bypassing} of them let images by without asking the hook\n")
                }
            };
        for finding in &self.findings {
            let effect = match finding.effect {
                Effect::Blocks => "blocks",
                Effect::Bypasses => "bypasses",
                Effect::Uncertain => "uncertain",
            };
            text.push_str(&format!("\n{effect} [{}] {}\n", finding.code, finding.what));
            text.push_str(&format!("  why: {}\n  fix: {}\n", finding.why, finding.fix));
        }
        if !self.not_checked.is_empty() {
            text.push('\n');
        }
        for note in &self.not_checked {
            text.push_str(&format!("not checked: {note}\n"));
        }
        text.split('\n')
            .map(|line| line.chars().map(countersign_oci::visible).collect())
            .collect::<Vec<String>>()
            .join("\n")
    }
}

/// Returns what is wrong with a node. Nothing found means: every pull through CRI or the transfer service asks the hook.
#[must_use]
pub fn check(node: &Node) -> Report {
    let mut findings = Vec::new();
    rules::apply(node, &mut findings);
    findings.sort_by_key(|finding| match finding.effect {
        Effect::Bypasses => 0,
        Effect::Uncertain => 1,
        Effect::Blocks => 2,
    });
    let mut not_checked = Vec::new();
    if node.warnings.is_none() {
        not_checked.push("misspelt keys: containerd names them on standard error when it prints the dump".to_owned());
    }
    if node.version.is_none() {
        not_checked.push("the version of containerd: it must be 2.1 or later".to_owned());
    }
    if node.folder == Folder::Unseen {
        not_checked.push("what is in bin_dir".to_owned());
    }
    if !node.dump.has_cri() {
        not_checked
            .push("the settings of the CRI plugin: the dump has none, so no kubelet pulls through it".to_owned());
    }
    Report { schema: SCHEMA, clean: findings.is_empty(), findings, not_checked }
}

/// How much later than the hook containerd must end it: what the hook prints at its last moment has to be read.
const MARGIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
