//! The decision: is this image signed as the policy wants it? Pure: bytes and values in, a verdict out.

use bytes::Bytes;
use countersign_oci::{Digest, PinnedReference, Tag};
use countersign_policy::{Accepted, Assessment, Decision, Policy, SignatureFacts};
use jiff::Timestamp;
use rayon::prelude::*;

use crate::bundle::{self, ShapedBundle};
use crate::error::Error;
use crate::evidence::{Candidate, Content, Evidence, Gap, Place};
use crate::reason::{Class, Reason};
use crate::sigstore::{self, Presented};
use crate::trusted_root::TrustedRoot;
use crate::verified::{AcceptedSignature, VerifiedImage};
use crate::{crypto, statement};

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
        let sigstore = sigstore_verify::Verifier::new(root.inner())
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
    /// A policy that requires a tag cannot be asked without one: that is [`Error::TagNotAsked`], an error of usage.
    pub fn verify(
        &self,
        asked: &Asked,
        evidence: &Evidence,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Verdict, Error> {
        if policy.require().tag && asked.tag.is_none() {
            return Err(Error::TagNotAsked { reference: asked.reference.clone() });
        }
        let mut judged = Judged::default();
        for one in self.judge_all(asked, &evidence.candidates, policy, now) {
            judged.push(one);
        }
        Ok(self.conclude(asked, judged, evidence, policy))
    }

    /// Judges candidates on all cores. The order of the answers is that of the candidates.
    pub(crate) fn judge_all(
        &self,
        asked: &Asked,
        candidates: &[Candidate],
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<JudgedOne> {
        match candidates {
            // The usual case needs no pool of threads.
            [only] => vec![self.judge(asked, only, policy, now)],
            several => several.par_iter().map(|candidate| self.judge(asked, candidate, policy, now)).collect(),
        }
    }

    /// Judges one candidate.
    pub(crate) fn judge(&self, asked: &Asked, candidate: &Candidate, policy: &Policy, now: Timestamp) -> JudgedOne {
        let (outcome, signed_tags) = match &candidate.content {
            Content::OlderCosign(form) => (Err(Reason::OlderCosign { form: *form }), Vec::new()),
            Content::NotABundle(reason) => (Err(reason.clone()), Vec::new()),
            Content::Bundle(bytes) => self.judge_bundle(asked, bytes, policy, now),
        };
        let (accepted, outcome) = match outcome {
            Ok((mut signature, accepted)) => {
                signature.referrer = candidate.referrer;
                (Some(accepted), Ok(signature))
            }
            Err(reason) => (None, Err(reason)),
        };
        let finding = Finding { referrer: candidate.referrer, origin: candidate.origin.clone(), outcome, signed_tags };
        JudgedOne { finding, accepted }
    }

    fn judge_bundle(
        &self,
        asked: &Asked,
        bytes: &Bytes,
        policy: &Policy,
        now: Timestamp,
    ) -> (Result<(AcceptedSignature, Accepted), Reason>, Vec<String>) {
        let authenticated =
            bundle::shape(bytes).and_then(|shaped| self.facts(asked, &shaped, now).map(|f| (shaped, f)));
        let (shaped, facts) = match authenticated {
            Ok(found) => found,
            Err(reason) => return (Err(reason), Vec::new()),
        };
        let tags = tags_of(&facts);
        let asked_text = countersign_policy::Asked {
            repository: asked.reference.repository().to_string(),
            tag: asked.tag.as_ref().map(ToString::to_string),
        };
        let outcome = match policy.assess(&facts, &asked_text, now) {
            Assessment::Accepted(accepted) => accept(&shaped, facts, &accepted, bytes, &tags).map(|s| (s, accepted)),
            Assessment::Denied(denials) => Err(Reason::Denied { denials }),
        };
        (outcome, tags)
    }

    fn facts(&self, asked: &Asked, shaped: &ShapedBundle, now: Timestamp) -> Result<SignatureFacts, Reason> {
        let digest = asked.reference.digest();
        let presented = Presented { bundle: &shaped.bundle, digest, bytes: None };
        let authenticated = sigstore::authenticate(&self.sigstore, self.root.inner(), presented, now)
            .map_err(|reason| self.blame_clock(reason, now))?;
        let subjects = statement::subjects_of(&shaped.payload, digest)?;
        Ok(SignatureFacts {
            issuer: authenticated.issuer,
            subject_alternative_name: authenticated.subject_alternative_name,
            subject_alternative_name_is_uri: authenticated.subject_alternative_name_is_uri,
            claims: authenticated.claims,
            times: authenticated.times,
            log_entry: authenticated.log_entry.to_string(),
            digest: digest.to_string(),
            subjects,
        })
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
            Decision::Unsatisfied { needed, have } => ((needed, have), None),
        };
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

fn accept(
    shaped: &ShapedBundle,
    facts: SignatureFacts,
    accepted: &Accepted,
    bytes: &Bytes,
    tags: &[String],
) -> Result<AcceptedSignature, Reason> {
    let no_time = || Reason::NoVerifiedTime { detail: "neither timestamp nor log time".into() };
    Ok(AcceptedSignature {
        issuer: facts.issuer.unwrap_or_default(),
        identity: facts.subject_alternative_name.unwrap_or_default(),
        source_repository: facts.claims.source_repository_uri,
        signed_at: facts.times.iter().min().copied().ok_or_else(no_time)?,
        times: facts.times,
        log_index: shaped.log_index,
        log_entry: facts.log_entry.parse().map_err(|_| no_time())?,
        referrer: None,
        bundle: bytes.clone(),
        tags: tags.to_vec(),
        signers: accepted.signers.clone(),
    })
}

fn tags_of(facts: &SignatureFacts) -> Vec<String> {
    let mut tags: Vec<String> = facts
        .subjects
        .iter()
        .filter_map(|subject| subject.annotations.get(TAGS_ANNOTATION))
        .flat_map(|tags| tags.split(','))
        .filter(|tag| !tag.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    tags.sort();
    tags.dedup();
    tags
}
