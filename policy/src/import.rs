//! Reads the policies of other verifiers.
//!
//! The result is a policy that accepts no image which the other side refused for its signature, as far as the two can say the same things: what
//! would weaken it is an error, and what became tighter or has no place in a policy is a named [`Loss`]. See `EXCHANGE.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::claim::Claim;
use crate::error::{Location, PolicyError, Shown};
use crate::loss::{Loss, LossCode};
use crate::policy::Policy;
use crate::re2::{self, NotPortable};
use crate::source_repository;
use crate::write::WriteError;
use crate::write::node::Node;

mod cosign;
mod image_validating;
mod kyverno;
mod localai;
mod policy_controller;
mod shell;
mod tree;

pub use cosign::{from_cosign, from_cosign_text};
pub use kyverno::from_kyverno;
pub use localai::from_localai;
pub use policy_controller::from_policy_controller;

/// A policy that came from elsewhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Imported {
    /// The policy.
    pub policy: Policy,
    /// Its document.
    pub yaml: String,
    /// What is otherwise than it was, each by name.
    pub losses: Vec<Loss>,
}

/// Says why a policy of another verifier was not imported.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The document cannot be read.
    #[error("the document is refused")]
    Document(#[source] Box<PolicyError>),
    /// What it says cannot be said in a policy, and without it more would be accepted.
    #[error("{at}: {why}")]
    Inexpressible {
        /// Where it is said.
        at: Box<Location>,
        /// The stable name of the construct.
        construct: &'static str,
        /// What is said there.
        said: String,
        /// Why it cannot be taken over.
        why: &'static str,
        /// What to do, where there is anything.
        advice: Option<&'static str>,
    },
    /// A pattern does not mean the same here.
    #[error("{at}: `{}` cannot be taken over", Shown(.pattern))]
    Pattern {
        /// Where it is.
        at: Location,
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: NotPortable,
    },
    /// A policy may not say this.
    #[error("{at}: no policy may say this")]
    Policy {
        /// Where it is said.
        at: Location,
        /// The rule.
        #[source]
        source: Box<PolicyError>,
    },
    /// The policy has no document.
    #[error("the policy cannot be written")]
    Unwritable(#[source] WriteError),
}

impl ImportError {
    /// Returns the stable name of the problem, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Document(source) => source.code(),
            Self::Inexpressible { construct, .. } => construct,
            Self::Pattern { .. } => "pattern-not-portable",
            Self::Policy { source, .. } => source.code(),
            Self::Unwritable(source) => source.code(),
        }
    }

    /// Returns advice on how to go on, where there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Document(source) => source.hint(),
            Self::Inexpressible { advice, said, .. } => {
                let found = (!said.is_empty()).then(|| format!("found `{}`", Shown(said)));
                match (found, advice) {
                    (Some(found), Some(advice)) => Some(format!("{found}; {advice}")),
                    (found, advice) => found.or_else(|| advice.map(str::to_owned)),
                }
            }
            Self::Pattern { .. } => Some("write the classes of characters out, such as [0-9]".to_owned()),
            Self::Policy { source, .. } => source.hint(),
            Self::Unwritable(_) => None,
        }
    }
}

impl From<PolicyError> for ImportError {
    fn from(error: PolicyError) -> Self {
        Self::Document(Box::new(error))
    }
}

pub(crate) fn inexpressible(
    construct: &'static str,
    at: &Location,
    said: &str,
    why: &'static str,
    advice: Option<&'static str>,
) -> ImportError {
    ImportError::Inexpressible { at: Box::new(at.clone()), construct, said: said.to_owned(), why, advice }
}

/// A value as the other side gives it, with its place.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) at: Location,
}

/// Issuer and name as other verifiers give them: each exactly, or as a pattern that is searched for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) issuer: Option<Said>,
    pub(crate) issuer_pattern: Option<Said>,
    pub(crate) subject: Option<Said>,
    pub(crate) subject_pattern: Option<Said>,
    /// Whether `*` and `?` in exact texts stand for other characters.
    pub(crate) wildcards: bool,
}

/// One signer on its way into a document.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    at: Location,
    name: String,
    keys: Vec<(&'static str, String)>,
    claims: BTreeMap<String, Vec<String>>,
}

/// A policy on its way into a document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) entries: Vec<Entry>,
    /// More than one must agree.
    pub(crate) threshold: Option<(usize, Location)>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) trust_file: Option<String>,
    pub(crate) losses: Vec<Loss>,
}

impl Draft {
    pub(crate) fn lose(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    /// Adds a signer, or says what of it cannot be taken over.
    pub(crate) fn signer(
        &mut self,
        names: Names,
        name: Option<&str>,
        at: &Location,
    ) -> Result<&mut Entry, ImportError> {
        let issuer = self.issuer(&names, at)?;
        let subject = self.subject(&names, at)?;
        let default = format!("signer-{}", self.entries.len() + 1);
        let keys = vec![("issuer", issuer), subject];
        let name = name.filter(|name| !name.is_empty()).map_or(default, str::to_owned);
        self.entries.push(Entry { at: at.clone(), name, keys, claims: BTreeMap::new() });
        let last = self.entries.len() - 1;
        Ok(&mut self.entries[last])
    }

    fn issuer(&mut self, names: &Names, at: &Location) -> Result<String, ImportError> {
        match (&names.issuer, &names.issuer_pattern) {
            (None, None) => Err(inexpressible("no-issuer", at, "", "names no issuer, so that any would do", NAME_BOTH)),
            (Some(_), Some(pattern)) => {
                Err(inexpressible("two-issuers", &pattern.at, &pattern.text, BESIDE_EXACT, KEEP_EXACT))
            }
            (Some(exact), None) if names.wildcards && exact.text.contains(['*', '?']) => {
                Err(inexpressible("issuer-pattern", &exact.at, &exact.text, OPEN_ISSUER, ISSUER_ADVICE))
            }
            (Some(exact), None) => Ok(exact.text.clone()),
            (None, Some(pattern)) => {
                let foreign = portable(pattern)?;
                let anchored = foreign.begins && foreign.ends;
                let trimmed = match anchored {
                    true => foreign.text,
                    false => pattern.text.trim_start_matches('^').trim_end_matches('$').to_owned(),
                };
                let Some((text, dots)) = re2::only_text(&trimmed) else {
                    return Err(inexpressible(
                        "issuer-pattern",
                        &pattern.at,
                        &pattern.text,
                        OPEN_ISSUER,
                        ISSUER_ADVICE,
                    ));
                };
                if dots || !anchored {
                    let became = format!("the issuer is {text}, exactly");
                    self.lose(Loss::new(LossCode::PatternMadeExact, &pattern.at, &pattern.text, became));
                }
                Ok(text)
            }
        }
    }

    fn subject(&mut self, names: &Names, at: &Location) -> Result<(&'static str, String), ImportError> {
        match (&names.subject, &names.subject_pattern) {
            (None, None) => Err(inexpressible(
                "no-identity",
                at,
                "",
                "names no identity, so that anyone of the issuer would do",
                NAME_BOTH,
            )),
            (Some(_), Some(pattern)) => {
                Err(inexpressible("two-identities", &pattern.at, &pattern.text, BESIDE_EXACT, KEEP_EXACT))
            }
            (Some(exact), None) => match re2::from_wildcards(&exact.text).filter(|_| names.wildcards) {
                Some(pattern) => Ok(("identity_regex", pattern)),
                None => Ok(("identity", exact.text.clone())),
            },
            (None, Some(pattern)) => Ok(("identity_regex", self.pattern(pattern)?)),
        }
    }

    /// Takes over a pattern that was searched for: from now on it must match the whole value.
    pub(crate) fn pattern(&mut self, pattern: &Said) -> Result<String, ImportError> {
        let foreign = portable(pattern)?;
        if !(foreign.begins && foreign.ends) {
            let open_end = if foreign.ends { "" } else { ".*" };
            let advice = format!("if more may follow or come before, say so: `{}{open_end}`", foreign.text);
            let became = "matches the whole value";
            self.lose(Loss::new(LossCode::Anchored, &pattern.at, &pattern.text, became).advising(advice));
        }
        Ok(foreign.text)
    }

    /// Makes the policy and its document.
    pub(crate) fn finish(mut self, origin: &str) -> Result<Imported, ImportError> {
        let whole = Location::new(origin, "");
        if self.entries.is_empty() {
            return Err(inexpressible("no-signer", &whole, "", "names nobody who could have signed", None));
        }
        if let Some((threshold, at)) = &self.threshold
            && *threshold > 1
        {
            let became = "as many distinct signers must have signed, each for an entry of its own";
            let said = format!("{threshold} of {}", self.entries.len());
            let loss = Loss::new(LossCode::DistinctSigners, at, said, became);
            self.losses.push(loss);
        }
        self.unique_names();
        let text = self.document().print();
        let policy = Policy::from_yaml(origin, &text).map_err(|source| self.misplaced(source))?;
        for entry in &self.entries {
            self.losses.extend(entry.own_repository());
        }
        let yaml = policy.to_yaml().map_err(ImportError::Unwritable)?;
        Ok(Imported { policy, yaml, losses: self.losses })
    }

    fn unique_names(&mut self) {
        let mut taken = BTreeSet::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if !taken.insert(entry.name.clone()) {
                entry.name = format!("signer-{}", index + 1);
                taken.insert(entry.name.clone());
            }
        }
    }

    fn document(&self) -> Node {
        let mut document = Node::map([
            ("version", Node::Number(1)),
            ("signers", Node::List(self.entries.iter().map(Entry::node).collect())),
        ]);
        if let Some((threshold, _)) = &self.threshold {
            document.insert("threshold", Node::Number(*threshold as u64));
        }
        if !self.annotations.is_empty() {
            let entries =
                self.annotations.iter().map(|(key, value)| (key.clone(), Node::text(value.as_str()))).collect();
            document.insert("require", Node::map([("annotations", Node::Map(entries))]));
        }
        if let Some(file) = &self.trust_file {
            document.insert("trust", Node::map([("file", Node::text(file.as_str()))]));
        }
        document
    }

    /// Gives an error in the document the place in the text it was made of.
    fn misplaced(&self, source: PolicyError) -> ImportError {
        let key = &source.location().key;
        let index = key.strip_prefix("signers[").and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
        let entry = index.and_then(|index| self.entries.get(index)).or_else(|| self.entries.first());
        let at = entry.map_or_else(|| source.location().clone(), |entry| entry.at.clone());
        ImportError::Policy { at, source: Box::new(source) }
    }
}

impl Entry {
    /// Says what a claim must be.
    pub(crate) fn claim(&mut self, claim: Claim, value: &str) {
        self.claims.entry(claim.key().to_owned()).or_default().push(value.to_owned());
    }

    /// Says what pattern a claim must match.
    pub(crate) fn claim_pattern(&mut self, claim: Claim, pattern: &str) {
        self.claims.insert(format!("{}_regex", claim.key()), vec![pattern.to_owned()]);
    }

    fn node(&self) -> Node {
        let mut node = Node::map([("name", Node::text(self.name.as_str()))]);
        for (key, value) in &self.keys {
            node.insert(key, Node::text(value.as_str()));
        }
        if !self.claims.is_empty() {
            let mut claims = Vec::new();
            for (key, values) in &self.claims {
                let mut list: Vec<Node> = values.iter().map(|value| Node::text(value.as_str())).collect();
                let value = if list.len() == 1 { list.remove(0) } else { Node::List(list) };
                claims.push((key.clone(), value));
            }
            node.insert("github", Node::Map(claims));
        }
        node
    }

    /// Other verifiers accept whoever runs the workflow of that name.
    fn own_repository(&self) -> Option<Loss> {
        let names_repository = [Claim::Repository, Claim::RepositoryId]
            .iter()
            .any(|claim| self.claims.keys().any(|key| key.trim_end_matches("_regex") == claim.key()));
        let value = |key: &str| self.keys.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str());
        let is_workflow = match value("identity") {
            Some(name) => source_repository::of_name(name).is_some(),
            // A pattern may match the name of one.
            None => true,
        };
        let identity = value("identity").or_else(|| value("identity_regex"))?;
        let applies = value("issuer").is_some_and(source_repository::is_github) || is_workflow;
        if names_repository || !applies {
            return None;
        }
        let became = "jobs of other repositories that call this workflow are refused";
        let loss = Loss::new(LossCode::OwnRepository, &self.at, identity, became);
        Some(loss.advising("name the repository whose jobs may sign under `github.repository`"))
    }
}

pub(crate) fn portable(pattern: &Said) -> Result<re2::Foreign, ImportError> {
    re2::from_go(&pattern.text).map_err(|source| ImportError::Pattern {
        at: pattern.at.clone(),
        pattern: pattern.text.clone(),
        source,
    })
}

const NAME_BOTH: Option<&str> = Some("a signer is an issuer and an identity: name both");
const BESIDE_EXACT: &str = "stands beside an exact value, and verifiers differ in what that means";
const KEEP_EXACT: Option<&str> = Some("keep the exact value: it admits less");
const OPEN_ISSUER: &str = "more than one issuer could match";
const ISSUER_ADVICE: Option<&str> = Some("name the issuer exactly, or one signer for each issuer");
