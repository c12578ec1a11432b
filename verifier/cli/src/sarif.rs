//! Findings as SARIF 2.1.0, in the form that GitHub's code scanning takes.
//!
//! GitHub takes a part of the format and refuses more than the schema does: every result needs a location with the address of a
//! file, every rule three descriptions, and an upload with too much of anything is refused whole. It also takes each result for an
//! alert, those of kind `pass` too, so what went well is told in notes and properties.
//! (docs.github.com: "SARIF support for code scanning")
//!
//! Texts from outside lose what could write to a terminal and what a viewer would take for a link.

use std::collections::{BTreeMap, BTreeSet};

use countersign_oci::visible;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;

mod location;

pub use location::Location;

/// The schema that documents name.
pub const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// GitHub refuses a run with more results, and shows the gravest 5,000.
pub const MAX_RESULTS: usize = 25_000;
/// What results and notes may take together. GitHub refuses more than 10 MB of gzip, which is never longer than this by so much.
pub const MAX_BYTES: usize = 9_000_000;
/// Longer texts of results and notes are cut.
const MESSAGE_CHARACTERS: usize = 4_000;
/// GitHub takes no longer descriptions of a rule.
const DESCRIPTION_CHARACTERS: usize = 1_024;
/// Notes beyond this are left out and counted.
const MAX_NOTES: usize = 1_000;

/// A program, as results name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

/// How grave a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It must not stay so.
    Error,
    /// It is worth knowing.
    Note,
    /// It should not stay so.
    Warning,
}

/// A kind of result: its id never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A stable name.
    pub id: &'static str,
    /// What it is, in a few words.
    pub short_description: String,
    /// What it is, in a sentence or two.
    pub full_description: String,
    /// What to do about it.
    pub help: String,
    /// How grave it is where a result does not say.
    pub level: Level,
    /// From 0.1 to 10.0: with it, GitHub counts its results among those of security.
    pub security_severity: Option<&'static str>,
}

/// One result: an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id. A rule that was not added is described by its id alone.
    pub rule: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What was found. Viewers show the first sentence where there is little room.
    pub message: String,
    /// The place that a person looks at to mend it.
    pub location: Location,
    /// What it is about: an image, a key of a policy. Together with rule and file it says which results of two runs are the same.
    pub about: String,
}

/// Something that is no result: what was looked at, or what kept the program from looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable name.
    pub id: String,
    /// How grave it is.
    pub level: Level,
    /// What there is to say.
    pub message: String,
}

/// The log of one run of a program.
#[derive(Debug, Clone)]
pub struct Log {
    tool: Tool,
    exit: Exit,
    rules: BTreeMap<&'static str, Rule>,
    findings: Vec<Finding>,
    notes: Vec<Note>,
    properties: BTreeMap<String, Value>,
}

impl Log {
    /// Returns the log of a run in which nothing was found yet.
    #[must_use]
    pub fn new(tool: Tool) -> Self {
        let (rules, properties) = (BTreeMap::new(), BTreeMap::new());
        Self { tool, exit: Exit::Done, rules, findings: Vec::new(), notes: Vec::new(), properties }
    }

    /// Returns the log of a run that ended before anything was looked at.
    #[must_use]
    pub fn of_failure(tool: Tool, failure: &Failure) -> Self {
        let mut log = Self::new(tool);
        log.end_with(failure.exit);
        log.note(Note { id: failure.code.clone(), level: Level::Error, message: failure.lines().join("\n") });
        log
    }

    /// Describes a kind of result. Only rules that are added here have descriptions.
    pub fn rule(&mut self, rule: Rule) {
        self.rules.entry(rule.id).or_insert(rule);
    }

    /// Adds a result.
    pub fn finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds something to say that is no result.
    pub fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Says how the program ends, beside what was said before: the graver of two stays.
    pub fn end_with(&mut self, exit: Exit) {
        self.exit = self.exit.and(exit);
    }

    /// Adds a member to the properties of the run: what programs read that are made for ours.
    pub fn property(&mut self, name: &str, value: Value) {
        self.properties.insert(name.to_owned(), value);
    }

    /// Returns the document. It says everything, or how many results it leaves out: the gravest stay.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|finding| gravity(finding.level));
        let mut room = MAX_BYTES;
        let mut notes = self.shown_notes(&mut room);
        let named: BTreeSet<&str> =
            sorted.iter().map(|finding| finding.rule).chain(self.rules.keys().copied()).collect();
        let indices: BTreeMap<&str, usize> = named.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        let mut results = Vec::new();
        for finding in &sorted {
            let result = result(finding, indices[finding.rule]);
            let size = result.to_string().len();
            if results.len() == MAX_RESULTS || size > room {
                break;
            }
            room -= size;
            results.push(result);
        }
        if results.len() < sorted.len() {
            let message = format!("{} more results are left out", sorted.len() - results.len());
            notes.push(notification(&Note { id: "results-left-out".to_owned(), level: Level::Warning, message }));
        }
        let rules: Vec<Value> = named.iter().map(|id| self.described(id)).collect();
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": self.tool.name,
                    "semanticVersion": self.tool.version,
                    "version": self.tool.version,
                    "rules": rules,
                }},
                "columnKind": "unicodeCodePoints",
                "invocations": [{
                    "executionSuccessful": matches!(self.exit, Exit::Done | Exit::Rejected),
                    "exitCode": self.exit.code(),
                    "toolExecutionNotifications": notes,
                }],
                "results": results,
                "properties": self.properties,
            }],
        })
    }

    /// The notes that there is room for, the gravest first: they may take a third of it.
    fn shown_notes(&self, room: &mut usize) -> Vec<Value> {
        let least = *room - *room / 3;
        let mut sorted: Vec<&Note> = self.notes.iter().collect();
        sorted.sort_by_key(|note| gravity(note.level));
        let mut shown = Vec::new();
        for note in &sorted {
            let note = notification(note);
            let size = note.to_string().len();
            if shown.len() == MAX_NOTES || *room - least < size {
                break;
            }
            *room -= size;
            shown.push(note);
        }
        if shown.len() < sorted.len() {
            let message = format!("{} more notes are left out", sorted.len() - shown.len());
            shown.push(notification(&Note { id: "notes-left-out".to_owned(), level: Level::Note, message }));
        }
        shown
    }

    fn described(&self, id: &str) -> Value {
        let Some(rule) = self.rules.get(id) else {
            let text = json!({"text": id});
            return json!({"id": id, "shortDescription": text, "fullDescription": text, "help": text});
        };
        let text = |text: &str| json!({"text": shown(text, DESCRIPTION_CHARACTERS)});
        let mut described = json!({
            "id": rule.id,
            "name": rule.id,
            "shortDescription": text(&rule.short_description),
            "fullDescription": text(&rule.full_description),
            "help": {"text": shown(&rule.help, MESSAGE_CHARACTERS)},
            "defaultConfiguration": {"level": name(rule.level)},
        });
        if let Some(severity) = rule.security_severity {
            described["properties"] =
                json!({"tags": ["security", "supply-chain"], "precision": "very-high", "security-severity": severity});
        }
        described
    }
}

fn result(finding: &Finding, index: usize) -> Value {
    let mut location = finding.location.document();
    if !finding.about.is_empty() {
        let about = shown(&finding.about, DESCRIPTION_CHARACTERS);
        location["logicalLocations"] = json!([{"fullyQualifiedName": about, "kind": "resource"}]);
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": name(finding.level),
        "message": {"text": shown(&finding.message, MESSAGE_CHARACTERS)},
        "locations": [location],
        // The one member that GitHub looks at. Made by us, because two images share a line of one policy.
        "partialFingerprints": {"primaryLocationLineHash": fingerprint(finding)},
    })
}

fn notification(note: &Note) -> Value {
    json!({
        "descriptor": {"id": shown(&note.id, DESCRIPTION_CHARACTERS)},
        "level": name(note.level),
        "message": {"text": shown(&note.message, MESSAGE_CHARACTERS)},
    })
}

/// The same for the same thing in every run, wherever the line has moved to.
fn fingerprint(finding: &Finding) -> String {
    let text = [finding.rule, finding.location.uri(), &finding.about].join("\n");
    let digest = countersign_oci::Digest::of(text.as_bytes());
    format!("{}:1", &digest.hex()[..16])
}

/// Never empty, never a link, and nothing that nobody sees.
fn shown(text: &str, limit: usize) -> String {
    let mut plain = String::new();
    for character in text.trim().chars().take(limit) {
        if character == '(' && plain.ends_with(']') {
            plain.push(' ');
        }
        plain.push(if character == '\n' { character } else { visible(character) });
    }
    if text.trim().chars().nth(limit).is_some() {
        plain.push('…');
    }
    if plain.is_empty() { "(nothing)".to_owned() } else { plain }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Note => "note",
        Level::Warning => "warning",
    }
}

fn gravity(level: Level) -> u8 {
    match level {
        Level::Error => 0,
        Level::Warning => 1,
        Level::Note => 2,
    }
}

#[cfg(test)]
mod tests;
