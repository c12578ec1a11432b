//! Writes a policy for other verifiers.
//!
//! What the other side cannot say is a named [`Loss`]. One that weakens the policy stops the export unless it is allowed by name; all of them stand
//! at the head of what is written. See `EXCHANGE.md`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::claim::Claim;
use crate::error::{Location, Shown};
use crate::loss::{Effect, Loss, LossCode};
use crate::matcher::Matcher;
use crate::policy::Policy;
use crate::re2::{self, NotPortable};
use crate::require::Trust;
use crate::signer::Signer;
use crate::source_repository;
use crate::write::KEYS;

mod cosign;
mod kyverno;
mod localai;
mod policy_controller;

pub use cosign::to_cosign;
pub use kyverno::to_kyverno;
pub use localai::to_localai;
pub use policy_controller::to_policy_controller;

/// Says what to write beside the policy.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The image, or the pattern of images, that the policy is for.
    pub image: Option<String>,
    /// What to call the policy, where the other side wants a name.
    pub name: Option<String>,
    /// The losses that may weaken the policy.
    pub allowed: BTreeSet<LossCode>,
}

/// A policy for another verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// What the other verifier reads, after comments that name the losses.
    pub text: String,
    /// What is otherwise than it was, each by name.
    pub losses: Vec<Loss>,
}

/// Says why a policy was not exported.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The other side wants to know which images the policy is for.
    #[error("{target} wants to know which images the policy is for")]
    ImageMissing {
        /// The other side.
        target: &'static str,
    },
    /// The other side has no form for a value.
    #[error("{at}: {target} has no form for `{}`", Shown(.value))]
    Inexpressible {
        /// Where the policy says it.
        at: Location,
        /// The other side.
        target: &'static str,
        /// The value.
        value: String,
    },
    /// The name or image to write is not of the form that is wanted.
    #[error("`{}` is not {expected}", Shown(.found))]
    InvalidOption {
        /// What is wanted.
        expected: &'static str,
        /// The text.
        found: String,
    },
    /// A pattern does not mean the same there.
    #[error("{at}: `{}` cannot be written for {target}", Shown(.pattern))]
    Pattern {
        /// Where the policy says it.
        at: Location,
        /// The other side.
        target: &'static str,
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: NotPortable,
    },
    /// The other side takes one signer.
    #[error("{target} takes one signer, and the policy has {count}")]
    SeveralSigners {
        /// The other side.
        target: &'static str,
        /// How many there are.
        count: usize,
    },
    /// The other side cannot count signers in this way.
    #[error("{target} cannot demand {threshold} of these {count} signers")]
    Threshold {
        /// The other side.
        target: &'static str,
        /// How many must have signed.
        threshold: usize,
        /// How many there are.
        count: usize,
    },
    /// The policy says something that the exporter does not know.
    #[error("`{}` cannot be written for {target}", Shown(.key))]
    UnknownTerm {
        /// The other side.
        target: &'static str,
        /// The key.
        key: String,
    },
    /// More would be accepted than the policy accepts.
    #[error("{target} would accept more than the policy does: {}", codes(.losses))]
    Weakened {
        /// The other side.
        target: &'static str,
        /// What it cannot say, as far as it was not allowed.
        losses: Vec<Loss>,
    },
}

impl ExportError {
    /// Returns the stable name of the problem, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ImageMissing { .. } => "image-missing",
            Self::Inexpressible { .. } => "inexpressible",
            Self::InvalidOption { .. } => "invalid-option",
            Self::Pattern { .. } => "pattern-not-portable",
            Self::SeveralSigners { .. } => "several-signers",
            Self::Threshold { .. } => "threshold-inexpressible",
            Self::UnknownTerm { .. } => "unknown-term",
            Self::Weakened { .. } => "weakened",
        }
    }

    /// Returns the losses that were not allowed.
    pub fn losses(&self) -> &[Loss] {
        match self {
            Self::Weakened { losses, .. } => losses,
            _ => &[],
        }
    }

    /// Returns advice on how to go on, where there is any.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ImageMissing { .. } => "name them: --image 'registry.example/owner/app*'".to_owned(),
            Self::Pattern { .. } => "write the pattern without it, or name the identity exactly".to_owned(),
            Self::SeveralSigners { .. } => "make a policy of each signer, and export it by itself".to_owned(),
            Self::Threshold { .. } => "make a policy of each signer, and demand all of them there".to_owned(),
            Self::Weakened { losses, .. } => {
                format!("where that is what you want, allow each by name: --allow-loss {}", codes(losses))
            }
            Self::Inexpressible { .. } | Self::InvalidOption { .. } | Self::UnknownTerm { .. } => return None,
        })
    }
}

fn codes(losses: &[Loss]) -> String {
    let codes: BTreeSet<&str> = losses.iter().map(|loss| loss.code.as_str()).collect();
    codes.into_iter().collect::<Vec<_>>().join(",")
}

/// An export under way.
struct Export<'policy> {
    target: &'static str,
    policy: &'policy Policy,
    options: &'policy ExportOptions,
    losses: Vec<Loss>,
}

/// A name for Go's engine.
enum Name {
    Exact(String),
    Pattern(String),
}

impl<'policy> Export<'policy> {
    /// Begins an export. A policy that says what this module has never heard of is not exported.
    fn new(
        target: &'static str,
        policy: &'policy Policy,
        options: &'policy ExportOptions,
    ) -> Result<Self, ExportError> {
        let canonical: Value = serde_json::from_str(&policy.canonical()).unwrap_or_default();
        let known = |key: &&String| !KEYS.contains(&key.as_str());
        if let Some(key) = canonical.as_object().and_then(|terms| terms.keys().find(known)) {
            return Err(ExportError::UnknownTerm { target, key: key.clone() });
        }
        Ok(Self { target, policy, options, losses: Vec::new() })
    }

    fn lose(&mut self, code: LossCode, key: &str, said: impl Into<String>) {
        let at = Location::new("policy", key);
        self.losses.push(Loss::new(code, &at, said, format!("{} has no word for it", self.target)));
    }

    /// Names the conditions that have no place there: all of times, denials and `require`, but for what is kept.
    fn lose_terms(&mut self, kept: &[LossCode]) {
        let policy = self.policy;
        let window = &policy.window;
        let annotations = policy.require.annotations.iter().map(|(key, value)| format!("{key}={value}"));
        let annotations: Vec<String> = annotations.collect();
        let count = |list: &BTreeSet<String>| (!list.is_empty()).then(|| format!("{} of them", list.len()));
        let said = [
            (
                LossCode::DistinctLogs,
                "distinct_logs",
                (policy.distinct_logs > 1).then(|| policy.distinct_logs.to_string()),
            ),
            (LossCode::NotBefore, "not_before", window.not_before.map(|time| time.to_string())),
            (LossCode::NotAfter, "not_after", window.not_after.map(|time| time.to_string())),
            (LossCode::MaxAge, "max_age", window.max_age.map(|age| format!("{} s", age.as_secs()))),
            (LossCode::DenyDigests, "deny.digests", count(&policy.deny.digests)),
            (LossCode::DenyLogEntries, "deny.log_entries", count(&policy.deny.log_entries)),
            (LossCode::RequireTag, "require.tag", policy.require.tag.then(|| "true".to_owned())),
            (LossCode::RequirePlatforms, "require.platforms", policy.require.platforms.then(|| "true".to_owned())),
            (LossCode::RequireRepository, "require.repository", policy.require.repository.then(|| "true".to_owned())),
            (
                LossCode::RequireAnnotations,
                "require.annotations",
                (!annotations.is_empty()).then(|| annotations.join(", ")),
            ),
        ];
        for (code, key, said) in said {
            if let Some(said) = said.filter(|_| !kept.contains(&code)) {
                self.lose(code, key, said);
            }
        }
    }

    /// Names the trusted root, where there is no word for it.
    fn lose_trust(&mut self) {
        let said = match &self.policy.trust {
            None | Some(Trust::PublicGood) => return,
            Some(Trust::File(path)) => path.clone(),
            Some(Trust::Tuf { url, .. }) => url.clone(),
        };
        self.lose(LossCode::Trust, "trust", said);
    }

    /// Names the claims that have no place there.
    fn lose_claims(&mut self, signer: &Signer, index: usize, kept: &[Claim]) {
        for (claim, matcher) in &signer.github {
            if !kept.contains(claim) {
                let key = format!("signers[{index}].github.{claim}");
                self.lose(LossCode::Claim(*claim), &key, matcher.expected());
            }
        }
    }

    /// Names the rule that only the workflow's own repository may run it, where it holds and has no place there.
    fn lose_own_repository(&mut self, signer: &Signer, index: usize) {
        if own_repository_counts(signer) {
            let at = Location::new("policy", &format!("signers[{index}].identity"));
            let became = format!("{} accepts other repositories too, where they can call that workflow", self.target);
            let advice = "it is no loss where no job of that workflow begins with `on: workflow_call`";
            let loss = Loss::new(LossCode::ReusableWorkflow, &at, signer.identity.expected(), became);
            self.losses.push(loss.advising(advice));
        }
    }

    /// Names a signer's name, where it is not the one that a policy gives by itself.
    fn lose_name(&mut self, signer: &Signer, index: usize) {
        if signer.name != format!("signer-{}", index + 1) {
            self.lose(LossCode::SignerName, &format!("signers[{index}].name"), &signer.name);
        }
    }

    fn name(&mut self, matcher: &Matcher, key: &str) -> Result<Name, ExportError> {
        let at = Location::new("policy", key);
        match matcher {
            Matcher::Exact(values) => Ok(Name::Exact(values.first().cloned().unwrap_or_default())),
            Matcher::Pattern(pattern) => {
                let written = re2::for_go(pattern).map_err(|source| ExportError::Pattern {
                    at: at.clone(),
                    target: self.target,
                    pattern: pattern.text().to_owned(),
                    source,
                })?;
                if written.narrower {
                    let became = "classes such as \\d mean ASCII there";
                    self.losses.push(Loss::new(LossCode::AsciiClass, &at, pattern.text(), became));
                }
                Ok(Name::Pattern(written.text))
            }
        }
    }

    /// Says that counting signers is as good as matching them one to one: no certificate can be two of them.
    fn signers_are_distinct(&self) -> bool {
        let names = |signer: &Signer| Some((signer.issuer.only()?.to_owned(), signer.identity.only()?.to_owned()));
        let all: Option<BTreeSet<(String, String)>> = self.policy.signers().map(names).collect();
        all.is_some_and(|all| all.len() == self.policy.signers().count())
    }

    fn lose_distinctness(&mut self) {
        if self.policy.threshold > 1 && !self.signers_are_distinct() {
            let said = self.policy.threshold.to_string();
            self.lose(LossCode::SignersNotDistinct, "threshold", said);
        }
    }

    fn lose_predicate(&mut self) {
        let at = Location::new("policy", "");
        let became = format!("{} takes any statement of the signer about the image for a signature", self.target);
        self.losses.push(Loss::new(LossCode::AnyPredicate, &at, "", became));
    }

    fn image(&self) -> Result<Option<&'policy str>, ExportError> {
        let Some(image) = self.options.image.as_deref() else { return Ok(None) };
        let plain = image.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"._-/:@*".contains(&letter));
        match plain && !image.is_empty() && !image.starts_with('-') {
            true => Ok(Some(image)),
            false => {
                Err(ExportError::InvalidOption { expected: "an image or a pattern of images", found: image.to_owned() })
            }
        }
    }

    /// Returns the name of a resource of a cluster.
    fn resource_name(&self) -> Result<&'policy str, ExportError> {
        let name = self.options.name.as_deref().unwrap_or("signed");
        let letters =
            name.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-');
        match letters && !name.is_empty() && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-') {
            true => Ok(name),
            false => Err(ExportError::InvalidOption { expected: "the name of a resource", found: name.to_owned() }),
        }
    }

    /// Hands the text out, unless it would accept more than was allowed.
    fn finish(self, text: &str) -> Result<Exported, ExportError> {
        let weakens =
            |loss: &&Loss| loss.code.effect() == Effect::Weakens && !self.options.allowed.contains(&loss.code);
        let refused: Vec<Loss> = self.losses.iter().filter(weakens).cloned().collect();
        if !refused.is_empty() {
            return Err(ExportError::Weakened { target: self.target, losses: refused });
        }
        let head: String = self.losses.iter().map(|loss| format!("# {loss}\n")).collect();
        Ok(Exported { text: format!("{head}{text}"), losses: self.losses })
    }
}

/// Says whether the rule of the workflow's own repository can refuse anything.
fn own_repository_counts(signer: &Signer) -> bool {
    if signer.github.iter().any(|(claim, _)| claim.names_repository()) {
        return false;
    }
    let github = match signer.issuer.only() {
        Some(issuer) => source_repository::is_github(issuer),
        None => true,
    };
    github || signer.identity.only().is_none_or(|name| source_repository::of_name(name).is_some())
}
