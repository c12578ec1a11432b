//! Evidence that was authenticated once, to be judged for one image and tag after another.
//!
//! What costs time, the signatures, depends on the bundle alone: which digest of its statement is put before the library
//! makes no difference, because all of them stand under the same signature. Which image a bundle is about is decided
//! here, by the subjects of its statement.

use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::Digest;
use countersign_policy::{Accepted, Assessment, Policy, SignatureFacts};
use jiff::Timestamp;
use rayon::prelude::*;

use super::{Asked, Finding, Judged, JudgedOne, TAGS_ANNOTATION, Verdict, Verifier, check_platforms, check_tag};
use crate::bundle;
use crate::error::Error;
use crate::evidence::{Candidate, Content, Evidence};
use crate::reason::Reason;
use crate::sigstore::{self, Authenticated, Presented};
use crate::statement::{self, SignedSubjects};
use crate::verified::AcceptedSignature;

/// Evidence of which every bundle was authenticated against the trusted root, at one time. Nothing is decided yet.
///
/// [`Verifier::authenticate`] makes it, [`verify`](Self::verify) asks it: about as many images, tags and policies as one
/// likes, each for microseconds. A statement about a thousand digests is the case that it is for.
#[derive(Debug)]
pub struct AuthenticatedEvidence<'a> {
    verifier: &'a Verifier,
    evidence: &'a Evidence,
    opened: Vec<Opened>,
    now: Timestamp,
}

impl AuthenticatedEvidence<'_> {
    /// Judges the evidence for what was asked, exactly as [`Verifier::verify`] does at the time of the authentication.
    pub fn verify(&self, asked: &Asked, policy: &Policy) -> Result<Verdict, Error> {
        judge_opened(self.verifier, asked, self.evidence, &self.opened, policy, self.now)
    }

    /// Like [`Self::verify`], for one digest alone: what the policy requires of the platforms of an index is the caller's to
    /// ask, of each of them. Signers, who judge every digest of an image, do.
    pub fn verify_digest(&self, asked: &Asked, policy: &Policy) -> Result<Verdict, Error> {
        judge_digest(self.verifier, asked, self.evidence, &self.opened, policy, self.now)
    }
}

impl Verifier {
    /// Authenticates every bundle of the evidence, on all cores.
    ///
    /// Never fails: a bundle that is none is refused for its own reason whenever it is asked. `now` is the time of every
    /// verdict that is drawn from it, so evidence that is kept for long is authenticated again, not kept.
    #[must_use]
    pub fn authenticate<'a>(&'a self, evidence: &'a Evidence, now: Timestamp) -> AuthenticatedEvidence<'a> {
        AuthenticatedEvidence { verifier: self, evidence, opened: self.open_all(&evidence.candidates, now), now }
    }

    /// The order of the answers is that of the candidates.
    pub(super) fn open_all(&self, candidates: &[Candidate], now: Timestamp) -> Vec<Opened> {
        match candidates {
            // The usual case needs no pool of threads.
            [only] => vec![self.open(&only.content, now)],
            several => several.par_iter().map(|candidate| self.open(&candidate.content, now)).collect(),
        }
    }

    /// Authenticates one candidate.
    pub(crate) fn open(&self, content: &Content, now: Timestamp) -> Opened {
        Opened(Arc::new(match content {
            Content::OlderCosign(form) => Err(Reason::OlderCosign { form: *form }),
            Content::NotABundle(reason) => Err(reason.clone()),
            Content::Bundle(bytes) => self.open_bundle(bytes, now),
        }))
    }

    fn open_bundle(&self, bytes: &Bytes, now: Timestamp) -> Result<AuthenticatedBundle, Reason> {
        let shaped = bundle::shape(bytes)?;
        let subjects = statement::signed_subjects(&shaped.payload);
        let some_digest = match &subjects {
            Ok(subjects) => subjects.first(),
            Err(_) => statement::first_subject(&shaped.payload).ok(),
        };
        // A statement without any digest is about nothing: for whatever digest it is put forward, that is the answer.
        let digest = some_digest.unwrap_or_else(|| Digest::of(&shaped.payload));
        let presented = Presented { bundle: &shaped.bundle, digest, bytes: None };
        let authenticated = match sigstore::authenticate(&self.sigstore, self.root.inner(), presented, now) {
            Ok(authenticated) => authenticated,
            Err(reason) if blames_statement(&reason) => return Err(subjects.err().unwrap_or(reason)),
            Err(reason) => return Err(self.blame_clock(reason, now)),
        };
        Ok(AuthenticatedBundle {
            authenticated,
            subjects: subjects?,
            log_index: shaped.log_index,
            bytes: bytes.clone(),
        })
    }
}

/// The library reads the statement too, for its subjects alone: where it finds none, what is wrong with the statement is the reason.
fn blames_statement(reason: &Reason) -> bool {
    matches!(reason, Reason::MalformedBundle { .. } | Reason::SubjectMismatch { .. })
}

/// A candidate that was authenticated, or why it cannot be.
#[derive(Debug, Clone)]
pub(crate) struct Opened(Arc<Result<AuthenticatedBundle, Reason>>);

impl Opened {
    /// How many bytes the bundle has, where it was authenticated.
    pub(crate) fn authenticated_bytes(&self) -> Option<usize> {
        self.0.as_ref().as_ref().ok().map(|bundle| bundle.bytes.len())
    }
}

#[derive(Debug)]
struct AuthenticatedBundle {
    authenticated: Authenticated,
    subjects: SignedSubjects,
    log_index: u64,
    bytes: Bytes,
}

/// Judges evidence whose candidates were opened, in their order.
pub(crate) fn judge_opened(
    verifier: &Verifier,
    asked: &Asked,
    evidence: &Evidence,
    opened: &[Opened],
    policy: &Policy,
    now: Timestamp,
) -> Result<Verdict, Error> {
    check_platforms(asked, policy)?;
    judge_digest(verifier, asked, evidence, opened, policy, now)
}

fn judge_digest(
    verifier: &Verifier,
    asked: &Asked,
    evidence: &Evidence,
    opened: &[Opened],
    policy: &Policy,
    now: Timestamp,
) -> Result<Verdict, Error> {
    check_tag(asked, policy)?;
    let mut judged = Judged::default();
    for (candidate, opened) in evidence.candidates.iter().zip(opened) {
        judged.push(judge(asked, candidate, opened, policy, now));
    }
    Ok(verifier.conclude(asked, judged, evidence, policy))
}

/// Judges one candidate that was opened.
pub(super) fn judge(
    asked: &Asked,
    candidate: &Candidate,
    opened: &Opened,
    policy: &Policy,
    now: Timestamp,
) -> JudgedOne {
    let (outcome, signed_tags) = match opened.0.as_ref() {
        Ok(bundle) => bundle.judge(asked, policy, now),
        Err(reason) => (Err(for_this(reason, asked)), Vec::new()),
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

/// A statement about nothing was put forward for a digest that nobody asked for.
fn for_this(reason: &Reason, asked: &Asked) -> Reason {
    match reason {
        Reason::SubjectMismatch { .. } => Reason::SubjectMismatch { expected: asked.reference.digest() },
        other => other.clone(),
    }
}

type Outcome = (Result<(AcceptedSignature, Accepted), Reason>, Vec<String>);

impl AuthenticatedBundle {
    fn judge(&self, asked: &Asked, policy: &Policy, now: Timestamp) -> Outcome {
        let facts = match self.facts(asked.reference.digest()) {
            Ok(facts) => facts,
            Err(reason) => return (Err(reason), Vec::new()),
        };
        let tags = tags_of(&facts);
        let asked_text = countersign_policy::Asked {
            repository: asked.reference.repository().to_string(),
            tag: asked.tag.as_ref().map(ToString::to_string),
        };
        let outcome = match policy.assess(&facts, &asked_text, now) {
            Assessment::Accepted(accepted) => self.accept(facts, &accepted, &tags).map(|s| (s, accepted)),
            Assessment::Denied(denials) => Err(Reason::Denied { denials }),
        };
        (outcome, tags)
    }

    fn facts(&self, digest: Digest) -> Result<SignatureFacts, Reason> {
        let subjects = self.subjects.with(digest)?.to_vec();
        let found = &self.authenticated;
        Ok(SignatureFacts {
            issuer: found.issuer.clone(),
            subject_alternative_name: found.subject_alternative_name.clone(),
            subject_alternative_name_is_uri: found.subject_alternative_name_is_uri,
            claims: found.claims.clone(),
            times: found.times.clone(),
            log_entry: found.log_entry.to_string(),
            log: found.log.clone(),
            digest: digest.to_string(),
            subjects,
        })
    }

    fn accept(&self, facts: SignatureFacts, accepted: &Accepted, tags: &[String]) -> Result<AcceptedSignature, Reason> {
        let no_time = || Reason::NoVerifiedTime { detail: "neither timestamp nor log time".into() };
        Ok(AcceptedSignature {
            issuer: facts.issuer.unwrap_or_default(),
            identity: facts.subject_alternative_name.unwrap_or_default(),
            source_repository: facts.claims.source_repository_uri,
            signed_at: facts.times.iter().min().copied().ok_or_else(no_time)?,
            times: facts.times,
            log_index: self.log_index,
            log_entry: self.authenticated.log_entry,
            log: facts.log,
            referrer: None,
            bundle: self.bytes.clone(),
            tags: tags.to_vec(),
            signers: accepted.signers.clone(),
        })
    }
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
