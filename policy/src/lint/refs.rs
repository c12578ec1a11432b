//! What is looked for in the refs that a signer admits.

use super::names::{FILLS, WorkflowName};
use super::patterns::quoted;
use super::{Finding, Rule, sample};
use crate::claim::Claim;
use crate::draft::SignerDraft;
use crate::error::Location;
use crate::matcher::{Fixed, Matcher, Pattern};
use crate::signer::Signer;

/// What a signer says of refs.
pub(super) struct Refs<'signer> {
    pub(super) signer: &'signer Signer,
    pub(super) draft: &'signer SignerDraft,
    /// Names that the identity admits.
    pub(super) names: &'signer [String],
}

impl Refs<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let at = self.draft.identity.pattern.as_ref().map_or(&self.draft.identity.at, |pattern| &pattern.at);
        let mut findings = Vec::new();
        for (rule, reference, who, narrow) in [
            (
                Rule::AnyBranch,
                BRANCH,
                "whoever can push a branch can change the workflow there, and sign",
                "refs/heads/main",
            ),
            (
                Rule::AnyTag,
                TAG,
                "whoever can push a tag can put it on any commit, and sign (only a ruleset for tags keeps that to few)",
                TAGS_OF_VERSIONS,
            ),
            (Rule::PullRequest, PULL, "a pull request's own version of the workflow may sign", "refs/heads/main"),
        ] {
            if let Some(name) = self.admitted(reference) {
                let why = format!("admits `{name}`: {who}");
                findings.push(Finding::new(rule, at, why, self.fix(reference, narrow)));
            }
        }
        findings.extend(self.open_ref(at));
        findings.extend(self.caller_ref());
        findings
    }

    /// A ref of which only the beginning is named: milder than any ref, and as open to those who may push one.
    fn open_ref(&self, at: &Location) -> Option<Finding> {
        let pattern = self.draft.identity.pattern.as_ref()?;
        let admitted = self.open_end()?;
        let why = format!("admits `{admitted}`: whoever can push a ref that begins so can sign");
        // Digits and dots, as versions have them, where that can be done in its text.
        let digits = |open: &str, digits: &str| {
            let narrowed = pattern.value.replace(&format!("/{open}"), &format!("/v{digits}"));
            let narrowed = if narrowed == pattern.value { pattern.value.replace(open, digits) } else { narrowed };
            let compiled = Pattern::compile(&narrowed, &Location::default(), Fixed::Owner).ok()?;
            let signer = Signer { identity: Matcher::Pattern(compiled), ..self.signer.clone() };
            let names = sample::samples(&signer.identity, &FILLS);
            let is_closed = Refs { signer: &signer, draft: self.draft, names: &names }.open_end().is_none();
            (is_closed && !names.is_empty()).then(|| format!("identity_regex: {}", quoted(&narrowed)))
        };
        let fix = digits(".*", "[0-9.]*").or_else(|| digits(".+", "[0-9.]+"));
        let fix = fix.unwrap_or_else(|| format!("# end the refs, such as {TAGS_OF_VERSIONS}"));
        Some(Finding::new(Rule::OpenRef, at, why, fix))
    }

    /// A name that ends with what nobody named, after more than `refs/heads/` or `refs/tags/`.
    fn open_end(&self) -> Option<String> {
        let any = [BRANCH, TAG].map(|reference| self.admitted(reference).is_some());
        self.names.iter().filter_map(|name| WorkflowName::parse(name)).find_map(|name| {
            let reference = name.reference?;
            let is_said = |start: &str, any: bool| !any && reference.starts_with(start);
            if !is_said("refs/heads/", any[0]) && !is_said("refs/tags/", any[1]) {
                return None;
            }
            let other = format!("{}another", reference.strip_suffix("anything")?);
            let claimed = self.claim(Claim::Ref).is_none_or(|matcher| matcher.matches(&other));
            let other = name.with_reference(&other);
            (claimed && self.signer.identity.matches(&other)).then_some(other)
        })
    }

    /// Returns a name with this ref that may sign; none when the claims keep it out.
    pub(super) fn admitted(&self, reference: &str) -> Option<String> {
        let claim = |claim: Claim, value: &str| self.claim(claim).is_none_or(|matcher| matcher.matches(value));
        if !claim(Claim::Ref, reference) || (reference == PULL && !claim(Claim::Trigger, "pull_request")) {
            return None;
        }
        self.names
            .iter()
            .filter_map(|name| Some(WorkflowName::parse(name)?.with_reference(reference)))
            .find(|name| self.signer.identity.matches(name))
    }

    fn claim(&self, wanted: Claim) -> Option<&Matcher> {
        self.signer.github.iter().find(|(claim, _)| *claim == wanted).map(|(_, matcher)| matcher)
    }

    /// The identity's own repository is not the one whose jobs may sign: its ref is the called workflow's.
    fn caller_ref(&self) -> Option<Finding> {
        let caller = self.claim(Claim::Repository)?.only()?;
        let called: Vec<&str> =
            self.names.iter().filter_map(|name| WorkflowName::parse(name)).map(|name| name.repository_path()).collect();
        if called.contains(&caller) {
            return None;
        }
        let called = called.first()?;
        if self.claim(Claim::Ref).is_some_and(|matcher| !matcher.matches(BRANCH)) {
            return None;
        }
        let claims = self.draft.github.as_ref().map_or(&self.draft.identity.at, |(at, _)| at);
        let why =
            format!("a workflow of {called} that jobs of {caller} call: any branch of {caller} may call it, and sign");
        Some(Finding::new(Rule::CallerRef, claims, why, "ref: refs/heads/main  # in `github`"))
    }

    /// The pattern with its open ref replaced, where that can be done in its text; else an exact identity.
    fn fix(&self, reference: &str, narrow: &str) -> String {
        let exact = || {
            let name = self.names.iter().find_map(|name| WorkflowName::parse(name));
            let repository = name.map_or("https://github.com/OWNER/REPOSITORY", |name| name.repository);
            let name = match name.filter(|name| !name.file.contains("anything")) {
                Some(name) => name.with_reference("refs/heads/main"),
                None => format!("{repository}/.github/workflows/FILE.yml@refs/heads/main"),
            };
            format!("identity: {}", quoted(&name))
        };
        let Some(pattern) = &self.draft.identity.pattern else { return exact() };
        let parts = ["refs/heads/", "refs/tags/", "heads/", "tags/", "refs/", "@"];
        let opens = parts.iter().flat_map(|part| [".*", ".+"].map(|open| (*part, format!("{part}{open}"))));
        for (part, open) in opens {
            let Some(at) = pattern.value.find(&open) else { continue };
            let ends = narrow.find(part).map_or(0, |at| at + part.len());
            let end = if part == "@" { narrow } else { &narrow[ends..] };
            let narrowed = format!("{}{part}{end}{}", &pattern.value[..at], &pattern.value[at + open.len()..]);
            let Ok(compiled) = Pattern::compile(&narrowed, &Location::default(), Fixed::Owner) else { continue };
            let signer = Signer { identity: Matcher::Pattern(compiled), ..self.signer.clone() };
            if (Refs { signer: &signer, ..*self }).admitted(reference).is_none() {
                return format!("identity_regex: {}", quoted(&narrowed));
            }
        }
        exact()
    }
}

/// A branch that nobody named.
pub(super) const BRANCH: &str = "refs/heads/anything";
/// A tag that nobody named.
const TAG: &str = "refs/tags/anything";
/// What is checked out for a pull request.
pub(super) const PULL: &str = "refs/pull/7/merge";
const TAGS_OF_VERSIONS: &str = r"refs/tags/v[0-9]+\.[0-9]+\.[0-9]+";
