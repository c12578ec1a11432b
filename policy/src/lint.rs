//! Finds in a policy what is legal and dangerous: [`lint`].
//!
//! A finding is a fact about the policy, never a guess: what a pattern is said to admit was put to the very matcher that decides, and matched.
//! [`Rule`] lists what is looked for; `policy/README.md` says the same for readers.
//!
//! Three forms are read: a policy document, a gallery's `verification` block (alone, or in its gallery), and a list of galleries. Of a
//! gallery only the block is read, so that lists written for LocalAI need no change.

mod claims;
mod combined;
mod form;
pub(crate) mod names;
mod patterns;
mod refs;
mod rule;
pub(crate) mod sample;
mod signers;
mod terms;
mod together;

use jiff::Timestamp;

pub use rule::Rule;

use crate::error::{Location, PolicyError};

/// Says how grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// The policy could say more than it does.
    Note,
    /// The policy admits more than its author most likely means, or nobody at all.
    Warning,
}

impl Level {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
        }
    }
}

/// Holds one thing that is legal and dangerous.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked for.
    pub rule: Rule,
    /// How grave it is here.
    pub level: Level,
    /// Where.
    pub at: Location,
    /// The gallery whose block this is about, where the file has galleries with names.
    pub gallery: Option<String>,
    /// Why it matters, in one or two sentences. May quote the file: text of others.
    pub why: String,
    /// Lines of YAML to write instead or beside it: of one value, all its corrections. May quote the file.
    pub fix: String,
    /// Whose finding it is, in the order of the policy's signers.
    signer: Option<usize>,
}

/// Holds all corrections of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Together {
    /// The gallery whose block this is, where the file has galleries with names.
    pub gallery: Option<String>,
    /// Where the policy begins.
    pub at: Location,
    /// Keys, each whole, to write instead of those of the same name. What only people can fill in is a comment. May quote the file.
    pub write: String,
}

/// Holds what was found in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Linted {
    /// What the file holds.
    pub form: Form,
    /// How many policies were looked at. Galleries without a block have none.
    pub policies: usize,
    /// The findings, in the order of the file.
    pub findings: Vec<Finding>,
    /// For each policy with something to correct, all corrections at once.
    pub together: Vec<Together>,
}

/// Names what a file with a policy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// A policy document.
    Document,
    /// A list of galleries, or one gallery.
    Galleries,
    /// A gallery's `verification` block.
    GalleryBlock,
}

impl Form {
    /// Returns the stable word for it, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "policy",
            Self::Galleries => "galleries",
            Self::GalleryBlock => "gallery-block",
        }
    }
}

/// Returns every finding in `text`, or why it does not load. `origin` names the text in findings; `now` tells which times have passed.
pub fn lint(origin: &str, text: &str, now: Timestamp) -> Result<Linted, PolicyError> {
    let read = form::read(origin, text)?;
    let mut findings = read.findings;
    let mut together = Vec::new();
    for subject in &read.subjects {
        let mut of_subject = of_subject(subject, now);
        together.extend(combined::combine(subject, &mut of_subject, now));
        findings.append(&mut of_subject);
    }
    findings
        .sort_by_key(|finding| (finding.at.line, finding.at.column, std::cmp::Reverse(finding.level), finding.rule));
    Ok(Linted { form: read.form, policies: read.subjects.len(), findings, together })
}

fn of_subject(subject: &form::Subject, now: Timestamp) -> Vec<Finding> {
    let mut findings = signers::findings(subject);
    findings.extend(terms::findings(subject, now));
    for finding in &mut findings {
        finding.gallery.clone_from(&subject.gallery);
    }
    findings
}

impl Finding {
    fn new(rule: Rule, at: &Location, why: impl Into<String>, fix: impl Into<String>) -> Self {
        let (level, at) = (rule.level(), at.clone());
        Self { rule, level, at, gallery: None, why: why.into(), fix: fix.into(), signer: None }
    }
}
