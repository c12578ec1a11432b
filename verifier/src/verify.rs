//! The decision: is this image signed as the policy wants it? Pure: bytes and values in, a verdict out.

use std::collections::BTreeSet;

use countersign_oci::{Digest, PinnedReference, Tag};
use countersign_policy::{Accepted, Decision, Policy};
use jiff::Timestamp;

use crate::crypto;
use crate::error::Error;
#[cfg(feature = "registry")]
use crate::evidence::Candidate;
use crate::evidence::{Evidence, Gap, Place};
use crate::reason::{Class, Reason};
use crate::sigstore::authority::narrowed;
use crate::trusted_root::TrustedRoot;
use crate::verified::{AcceptedSignature, VerifiedImage};

mod authenticated;

pub use authenticated::AuthenticatedEvidence;
#[cfg(feature = "registry")]
use authenticated::judge;
pub(crate) use authenticated::{Opened, judge_opened};

/// The annotation of a statement's subject that lists the tags it was signed for, comma separated.
pub const TAGS_ANNOTATION: &str = "dev.countersign.tags";

/// What a person or a gallery entry asks for: never what a mirror or a fallback calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The repository that was named, and the digest that its reference resolved to.
    pub reference: PinnedReference,
    /// The tag that was named, where one was.
    pub tag: Option<Tag>,
}

/// Verifies signatures of images against one trusted root. Make it once, share it between threads.
pub struct Verifier {
    pub(crate) root: TrustedRoot,
    pub(crate) sigstore: sigstore_verify::Verifier,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("trusted_root", &self.root.origin()).finish_non_exhaustive()
    }
}

/// The answer to "is this image signed as the policy wants it?".
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one is made for an image, after milliseconds of cryptography")]
pub enum Verdict {
    /// Yes.
    Verified(VerifiedImage, Findings),
    /// No: everything listed was judged, and nothing will do.
    Rejected(Findings),
    /// It cannot be told: something could not be seen.
    Undecided(Findings),
}

impl Verdict {
    /// Returns what was found, whatever the answer.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        match self {
            Self::Verified(_, findings) | Self::Rejected(findings) | Self::Undecided(findings) => findings,
        }
    }
}

/// What led to a verdict: each candidate with its own.
#[derive(Debug)]
#[non_exhaustive]
pub struct Findings {
    /// What was asked for.
    pub asked: Asked,
    /// Every candidate, with what was said of it.
    pub candidates: Vec<Finding>,
    /// How many referrers were not looked at.
    pub not_examined: usize,
    /// Where signatures were looked for.
    pub looked_at: Vec<Place>,
    /// Why something could not be seen.
    pub gaps: Vec<Gap>,
    /// How many distinct signers the policy needs, and how many were found.
    pub threshold: (usize, usize),
    /// How many distinct transparency logs the policy needs, and how many hold the accepted signatures.
    pub logs: (usize, usize),
}

/// One candidate and what was said of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The digest of the referrer manifest that it came with.
    pub referrer: Option<Digest>,
    /// Where it comes from.
    pub origin: String,
    /// The signature, or why it is not one that will do.
    pub outcome: Result<AcceptedSignature, Reason>,
    /// For a candidate that was authenticated, accepted or not: the tags that it was signed for.
    pub signed_tags: Vec<String>,
}

impl Verifier {
    /// Returns a verifier that believes this trusted root and no other.
    ///
    /// Fails when the root holds a key, a certificate or a validity window that cannot be used: one such item makes
    /// the whole root unusable, because leaving it out would change what is trusted.
    pub fn new(root: TrustedRoot) -> Result<Self, Error> {
        crypto::install();
        let sigstore = sigstore_verify::Verifier::new(&narrowed(root.inner()))
            .map_err(|e| Error::TrustedRoot { origin: root.origin().to_owned(), detail: e.to_string() })?;
        Ok(Self { root, sigstore })
    }

    /// Returns where the trusted root came from.
    #[must_use]
    pub fn trusted_root(&self) -> &TrustedRoot {
        &self.root
    }

    /// Judges the evidence for what was asked.
    ///
    /// Every candidate is authenticated against the trusted root and then put before the policy; the order of
    /// candidates never matters, and no candidate hides another. The verdict is `Verified` when the accepted ones
    /// satisfy the policy's threshold; else `Undecided` when anything could not be seen or the clock is behind; else
    /// `Rejected`. `now` decides only `max_age` and whether a verified time lies in the future.
    ///
    /// A policy that requires a tag cannot be asked without one: that is [`Error::TagNotAsked`], an error of usage. One that
    /// requires each platform of an index to be signed itself cannot be decided by the evidence of one digest:
    /// [`Error::PlatformsNotAsked`].
    ///
    /// The cost is the cryptography: 1 to 3 ms of one core for each bundle. Where the same evidence is asked about
    /// several images or tags, [`Verifier::authenticate`] pays it once; for many images see [`Verifier::verify_batch`].
    pub fn verify(
        &self,
        asked: &Asked,
        evidence: &Evidence,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Verdict, Error> {
        check_platforms(asked, policy)?;
        check_tag(asked, policy)?;
        self.authenticate(evidence, now).verify(asked, policy)
    }

    /// Judges one candidate.
    #[cfg(feature = "registry")]
    pub(crate) fn judge(&self, asked: &Asked, candidate: &Candidate, policy: &Policy, now: Timestamp) -> JudgedOne {
        judge(asked, candidate, &self.open(&candidate.content, now), policy, now)
    }

    /// Judges candidates on all cores. The order of the answers is that of the candidates.
    #[cfg(feature = "registry")]
    pub(crate) fn judge_all(
        &self,
        asked: &Asked,
        candidates: &[Candidate],
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<JudgedOne> {
        let opened = self.open_all(candidates, now);
        candidates.iter().zip(&opened).map(|(candidate, opened)| judge(asked, candidate, opened, policy, now)).collect()
    }

    /// Before the trusted root began, its keys are not used yet: then the clock is wrong, not the bundle.
    pub(crate) fn blame_clock(&self, reason: Reason, now: Timestamp) -> Reason {
        let of_unused_keys = matches!(
            reason,
            Reason::Checkpoint { .. } | Reason::Inclusion { .. } | Reason::Timestamp { .. } | Reason::UnknownLog { .. }
        );
        match self.root.begins() {
            Some(begins) if of_unused_keys && now < begins => Reason::RootNotBegun { begins, now },
            _ => reason,
        }
    }

    /// Draws the verdict from what was judged.
    pub(crate) fn conclude(&self, asked: &Asked, judged: Judged, evidence: &Evidence, policy: &Policy) -> Verdict {
        let accepted: Vec<&Accepted> = judged.accepted.iter().collect();
        let decision = policy.decide(&accepted);
        let (threshold, signers) = match decision {
            Decision::Satisfied { signers } => ((signers.len(), signers.len()), Some(signers)),
            Decision::TooFewLogs { .. } => ((policy.threshold(), policy.threshold()), None),
            Decision::Unsatisfied { needed, have } => ((needed, have), None),
        };
        let logs: BTreeSet<&str> = accepted.iter().map(|accepted| accepted.log.as_str()).collect();
        let logs = (policy.distinct_logs(), logs.len());
        let unseen = evidence.not_examined > 0
            || !evidence.gaps.is_empty()
            || judged
                .findings
                .iter()
                .any(|finding| finding.outcome.as_ref().is_err_and(|reason| reason.class() == Class::Undecided));
        let signatures: Vec<AcceptedSignature> =
            judged.findings.iter().filter_map(|finding| finding.outcome.as_ref().ok()).cloned().collect();
        let findings = Findings {
            asked: asked.clone(),
            candidates: judged.findings,
            not_examined: evidence.not_examined,
            looked_at: evidence.looked_at.clone(),
            gaps: evidence.gaps.clone(),
            threshold,
            logs,
        };
        match signers {
            Some(signers) if !signatures.is_empty() => {
                let policy_hash = Digest::of(policy.canonical().as_bytes());
                let root = self.root.origin().to_owned();
                Verdict::Verified(VerifiedImage::new(asked.clone(), signatures, signers, policy_hash, root), findings)
            }
            _ if unseen => Verdict::Undecided(findings),
            _ => Verdict::Rejected(findings),
        }
    }
}

/// A candidate that was judged.
#[derive(Debug)]
pub(crate) struct JudgedOne {
    finding: Finding,
    accepted: Option<Accepted>,
}

/// Candidates that were judged, until the policy is satisfied or nothing is left.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    findings: Vec<Finding>,
    accepted: Vec<Accepted>,
}

impl Judged {
    pub(crate) fn push(&mut self, one: JudgedOne) {
        self.findings.push(one.finding);
        self.accepted.extend(one.accepted);
    }

    /// Whether what was accepted so far is enough.
    #[cfg(feature = "registry")]
    pub(crate) fn satisfies(&self, policy: &Policy) -> bool {
        matches!(policy.decide(&self.accepted.iter().collect::<Vec<_>>()), Decision::Satisfied { .. })
    }
}

/// A policy that requires signatures of platforms cannot be asked with the evidence of one digest.
pub(crate) fn check_platforms(asked: &Asked, policy: &Policy) -> Result<(), Error> {
    match policy.require().platforms {
        true => Err(Error::PlatformsNotAsked { reference: asked.reference.clone() }),
        false => Ok(()),
    }
}

/// A policy that requires a tag cannot be asked without one.
pub(crate) fn check_tag(asked: &Asked, policy: &Policy) -> Result<(), Error> {
    match policy.require().tag && asked.tag.is_none() {
        true => Err(Error::TagNotAsked { reference: asked.reference.clone() }),
        false => Ok(()),
    }
}
