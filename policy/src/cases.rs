//! Tables of certificates that a policy must accept or deny: its tests.
//!
//! A table says what verification would have found out and what the policy must say to it, with the codes of the denials where they matter.
//! `policy/README.md` describes its keys.
//!
//! ```
//! use countersign_policy::{Policy, cases::Cases};
//!
//! let policy = Policy::from_yaml("policy.yaml", "
//! version: 1
//! signers:
//!   - issuer: https://token.actions.githubusercontent.com
//!     identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
//!     github: {repository: octo/app}
//! ")?;
//! let cases = Cases::from_yaml("cases.yaml", "
//! version: 1
//! defaults:
//!   certificate:
//!     issuer: https://token.actions.githubusercontent.com
//!     identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
//!     github: {repository: octo/app}
//!   times: [2026-07-01T12:00:00Z]
//! cases:
//!   - {name: the release job, expect: accepted}
//!   - name: a fork
//!     certificate: {github: {repository: evil/app}}
//!     expect: denied
//!     codes: [github-claim-mismatch]
//! ")?;
//! assert!(cases.run(&policy)?.iter().all(|result| result.is_as_expected()));
//! # Ok::<(), countersign_policy::PolicyError>(())
//! ```

mod facts;
mod table;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::assessment::{Accepted, Assessment, Decision};
use crate::denial::Denial;
use crate::error::{Location, PolicyError};
use crate::facts::{Asked, SignatureFacts};
use crate::policy::Policy;

/// Holds a table: never empty.
#[derive(Clone, Debug)]
pub struct Cases {
    policy: Option<String>,
    all: Vec<Case>,
}

#[derive(Clone, Debug)]
struct Case {
    name: String,
    at: Location,
    now: Option<Timestamp>,
    asked: Asked,
    signatures: Vec<SignatureFacts>,
    expected: Expected,
}

/// What a case expects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// The signatures are enough.
    Accepted {
        /// The entries that must have been counted, where the case says so.
        signers: Option<BTreeSet<String>>,
    },
    /// They are not.
    Denied {
        /// The codes of the denials, all of them, where the case says so.
        codes: Option<BTreeSet<String>>,
    },
}

/// What the policy said to one case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// What it expects.
    pub expected: Expected,
    /// Whether the signatures are enough.
    pub accepted: bool,
    /// The entries that were counted, where they are.
    pub signers: Vec<String>,
    /// The codes of everything that was denied, sorted, without repetitions. `threshold-unmet` where
    /// accepted signatures are too few, `too-few-logs` where they are in too few logs.
    pub codes: Vec<&'static str>,
    /// Everything that was denied, signature by signature.
    pub denials: Vec<Denial>,
}

impl Cases {
    /// Reads a table of `version: 1`, as strictly as a policy. `origin` names it in errors.
    pub fn from_yaml(origin: &str, text: &str) -> Result<Self, PolicyError> {
        table::read(origin, text)
    }

    /// Returns the policy that the table is for, as it is written there: a path that begins at the table's folder.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Tells whether some case expects a denial. A table without one would be content with a policy that admits everybody.
    pub fn expects_a_denial(&self) -> bool {
        self.all.iter().any(|case| matches!(case.expected, Expected::Denied { .. }))
    }

    /// Puts every case to the policy. Refuses a table without `now` for a policy with `max_age`: its results would change with the clock.
    pub fn run(&self, policy: &Policy) -> Result<Vec<CaseResult>, PolicyError> {
        self.all.iter().map(|case| case.run(policy)).collect()
    }
}

impl Case {
    fn run(&self, policy: &Policy) -> Result<CaseResult, PolicyError> {
        let now = match (self.now, policy.window.max_age) {
            (None, Some(_)) => return Err(PolicyError::MissingKey { at: self.at.below("now") }),
            // Nothing else asks for it.
            (now, _) => now.unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let mut denials = Vec::new();
        let mut accepted: Vec<Accepted> = Vec::new();
        for facts in &self.signatures {
            match policy.assess(facts, &self.asked, now) {
                Assessment::Accepted(one) => accepted.push(one),
                Assessment::Denied(reasons) => denials.extend(reasons),
            }
        }
        let mut codes: BTreeSet<&'static str> = denials.iter().map(Denial::code).collect();
        let (is_enough, signers) = match policy.decide(&accepted.iter().collect::<Vec<_>>()) {
            Decision::Satisfied { signers } => (true, signers),
            Decision::TooFewLogs { .. } => {
                codes.insert(TOO_FEW_LOGS);
                (false, Vec::new())
            }
            Decision::Unsatisfied { .. } => {
                codes.extend((!accepted.is_empty()).then_some(THRESHOLD_UNMET));
                (false, Vec::new())
            }
        };
        Ok(CaseResult {
            name: self.name.clone(),
            at: self.at.clone(),
            expected: self.expected.clone(),
            accepted: is_enough,
            signers,
            codes: codes.into_iter().collect(),
            denials,
        })
    }
}

impl CaseResult {
    /// Tells whether the policy said what the case expects.
    pub fn is_as_expected(&self) -> bool {
        match &self.expected {
            Expected::Accepted { signers } => {
                self.accepted && signers.as_ref().is_none_or(|signers| signers.iter().eq(&self.sorted_signers()))
            }
            Expected::Denied { codes } => {
                !self.accepted
                    && codes
                        .as_ref()
                        .is_none_or(|codes| codes.iter().map(String::as_str).eq(self.codes.iter().copied()))
            }
        }
    }

    fn sorted_signers(&self) -> BTreeSet<String> {
        self.signers.iter().cloned().collect()
    }
}

/// The code of signatures that are accepted, and too few.
pub const THRESHOLD_UNMET: &str = "threshold-unmet";
/// The code of signatures that are accepted, and in too few transparency logs.
pub const TOO_FEW_LOGS: &str = "too-few-logs";
