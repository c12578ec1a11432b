//! A verdict for people and for programs.
//!
//! Text from outside (names, types, messages) is printed without control characters: a registry must not write to a
//! terminal.

use std::fmt::Write as _;

use countersign_oci::{ImageReference, visible};
use serde::Serialize;

use crate::evidence::{Gap, Place};
use crate::reason::{Class, Reason};
use crate::verified::AcceptedSignature;
use crate::verify::{Finding, Findings, Verdict};

/// The schema of the JSON document.
pub const SCHEMA: &str = "countersign.dev/verify/v1";

/// A verdict as a document. Stable within a major version: members may be added, never renamed.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// `verified`, `rejected` or `undecided`.
    pub verdict: &'static str,
    /// What was asked for, with its digest.
    pub reference: String,
    /// The repository that was asked for.
    pub repository: String,
    /// The digest, where it is known.
    pub digest: Option<String>,
    /// The tag that was asked for.
    pub tag: Option<String>,
    /// The policy's signers that were matched.
    pub signers: Vec<String>,
    /// The SHA-256 of the policy's canonical form, where it decided.
    pub policy: Option<String>,
    /// The signatures that were accepted.
    pub signatures: Vec<Signature>,
    /// What was not accepted, and why.
    pub refused: Vec<Refusal>,
    /// How many referrers were not looked at.
    pub not_examined: usize,
    /// Where signatures were looked for.
    pub looked_at: Vec<Place>,
    /// What could not be seen.
    pub gaps: Vec<Gap>,
    /// The failure, for everything but `verified`.
    pub error: Option<Failure>,
}

/// An accepted signature.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Signature {
    /// The OIDC issuer.
    pub issuer: String,
    /// The certificate's subject alternative name.
    pub identity: String,
    /// The repository that the signing workflow ran for.
    pub source_repository: Option<String>,
    /// The earliest verified time.
    pub signed_at: String,
    /// Every verified time.
    pub times: Vec<String>,
    /// The entry's index in the log, as the bundle states it.
    pub log_index: u64,
    /// The RFC 6962 leaf hash of the log entry.
    pub log_entry: String,
    /// The tags that were signed with the digest.
    pub tags: Vec<String>,
    /// The digest of the referrer manifest.
    pub referrer: Option<String>,
}

/// A candidate that was not accepted.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Where it comes from.
    pub origin: String,
    /// The digest of the referrer manifest.
    pub referrer: Option<String>,
    /// A stable name for the reason.
    pub code: &'static str,
    /// The reason in words.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
    /// For a policy's refusal: each field that did not fit.
    pub denials: Vec<Denial>,
    /// The tags that it was signed for, where it was authenticated.
    pub signed_tags: Vec<String>,
}

/// One field that did not fit.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Denial {
    /// A stable name.
    pub code: &'static str,
    /// What did not fit, in words: ``claim `github.repository` ``.
    pub field: String,
    /// The policy's signer.
    pub signer: Option<String>,
    /// What the policy wants.
    pub expected: String,
    /// What was found.
    pub found: Option<String>,
}

/// The failure, as every document of these programs has it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// A stable name.
    pub code: &'static str,
    /// `rejected`, or what kept it from being seen.
    pub class: &'static str,
    /// Whether the same call may answer differently later.
    pub retryable: bool,
    /// The line that matters.
    pub message: String,
}

/// Returns the verdict as a document.
#[must_use]
pub fn document(verdict: &Verdict) -> Report {
    let findings = verdict.findings();
    let (name, image) = match verdict {
        Verdict::Verified(image, _) => ("verified", Some(image)),
        Verdict::Rejected(_) => ("rejected", None),
        Verdict::Undecided(_) => ("undecided", None),
    };
    Report {
        schema: SCHEMA,
        verdict: name,
        reference: asked_text(findings),
        repository: findings.asked.reference.repository().to_string(),
        digest: Some(findings.asked.reference.digest().to_string()),
        tag: findings.asked.tag.as_ref().map(ToString::to_string),
        signers: image.map(|image| image.signers().to_vec()).unwrap_or_default(),
        policy: image.map(|image| image.policy_hash().to_string()),
        signatures: findings.candidates.iter().filter_map(|f| f.outcome.as_ref().ok()).map(signature).collect(),
        refused: findings.candidates.iter().filter_map(refusal).collect(),
        not_examined: findings.not_examined,
        looked_at: findings.looked_at.clone(),
        gaps: findings.gaps.clone(),
        error: failure(verdict),
    }
}

/// Returns the document of a reference that could not be judged at all: its error is the caller's to fill in.
#[must_use]
pub fn without_verdict(reference: &ImageReference, verdict: &'static str) -> Report {
    Report {
        schema: SCHEMA,
        verdict,
        reference: reference.to_string(),
        repository: reference.repository().to_string(),
        digest: reference.digest().map(|digest| digest.to_string()),
        tag: reference.tag().map(ToString::to_string),
        signers: Vec::new(),
        policy: None,
        signatures: Vec::new(),
        refused: Vec::new(),
        not_examined: 0,
        looked_at: Vec::new(),
        gaps: Vec::new(),
        error: None,
    }
}

/// Returns the verdict as text: the line that matters first, then what led to it.
#[must_use]
pub fn text(verdict: &Verdict) -> String {
    let findings = verdict.findings();
    let mut text = String::new();
    let asked = asked_text(findings);
    match verdict {
        Verdict::Verified(image, _) => {
            line(&mut text, &format!("verified  {asked}"));
            for signature in image.signatures() {
                accepted(&mut text, signature);
            }
            line(&mut text, &format!("  trusted root: {}", image.trusted_root()));
        }
        Verdict::Rejected(_) => line(&mut text, &format!("rejected  {asked}: {}", headline(findings))),
        Verdict::Undecided(_) => line(&mut text, &format!("undecided {asked}: {}", headline(findings))),
    }
    for refusal in findings.candidates.iter().filter_map(refusal) {
        refused(&mut text, &refusal);
    }
    for gap in &findings.gaps {
        line(&mut text, &format!("  not seen: {}", gap.detail));
    }
    if findings.not_examined > 0 {
        line(&mut text, &format!("  not examined: {} referrers", findings.not_examined));
    }
    if !matches!(verdict, Verdict::Verified(..)) {
        for place in &findings.looked_at {
            line(&mut text, &format!("  looked at {}: {}", place.place, place.found));
        }
    }
    text
}

/// Returns why an image was not verified, in one line.
#[must_use]
pub fn headline(findings: &Findings) -> String {
    if let Some(gap) = findings.gaps.first() {
        return format!("cannot tell: {}", gap.detail);
    }
    if findings.not_examined > 0 {
        return format!("cannot tell: {} referrers were not examined", findings.not_examined);
    }
    let reasons = || findings.candidates.iter().filter_map(|finding| finding.outcome.as_ref().err());
    if let Some(reason) = reasons().find(|reason| reason.class() == Class::Undecided) {
        return format!("cannot tell: {reason}");
    }
    let (needed, have) = findings.threshold;
    if have > 0 {
        return format!("{have} of {needed} distinct signers");
    }
    let nearest = reasons().max_by_key(|reason| nearness(reason));
    match (nearest, findings.candidates.len()) {
        (Some(Reason::Denied { denials }), _) => {
            let codes: Vec<&str> = denials.iter().map(countersign_policy::Denial::code).collect();
            format!("signed, and not as the policy wants it: {}", codes.join(", "))
        }
        (None, _) => "unsigned: no signature found".to_owned(),
        (Some(reason), 1) => reason.to_string(),
        (Some(reason), count) if reason.class() == Class::Other => {
            format!("unsigned: none of {count} referrers is a signature ({reason})")
        }
        (Some(reason), count) => format!("none of {count} candidates will do; the nearest: {reason}"),
    }
}

/// How close a refused candidate came: the nearest one is what a person wants to read about.
fn nearness(reason: &Reason) -> u8 {
    match reason {
        Reason::Denied { .. } => 5,
        Reason::SubjectMismatch { .. } => 4,
        Reason::OlderCosign { .. } => 3,
        reason if reason.class() == Class::Refused => 2,
        Reason::NotASignature { .. } | Reason::MalformedBundle { .. } => 1,
        _ => 0,
    }
}

fn failure(verdict: &Verdict) -> Option<Failure> {
    let findings = verdict.findings();
    let message = headline(findings);
    match verdict {
        Verdict::Verified(..) => None,
        Verdict::Rejected(_) => {
            let nearest =
                findings.candidates.iter().filter_map(|f| f.outcome.as_ref().err()).max_by_key(|r| nearness(r));
            let code = match nearest {
                Some(reason) => reason.code(),
                None if findings.threshold.1 > 0 => "threshold-not-met",
                None => "unsigned",
            };
            Some(Failure { code, class: "rejected", retryable: false, message })
        }
        Verdict::Undecided(_) => {
            let retryable = findings.gaps.iter().all(|gap| gap.retryable);
            Some(Failure { code: "undecided", class: "unreachable", retryable, message })
        }
    }
}

fn asked_text(findings: &Findings) -> String {
    let reference = &findings.asked.reference;
    match &findings.asked.tag {
        Some(tag) => format!("{}:{tag}@{}", reference.repository(), reference.digest()),
        None => reference.to_string(),
    }
}

fn signature(found: &AcceptedSignature) -> Signature {
    Signature {
        issuer: found.issuer().to_owned(),
        identity: found.identity().to_owned(),
        source_repository: found.source_repository().map(ToOwned::to_owned),
        signed_at: found.signed_at().to_string(),
        times: found.times().iter().map(ToString::to_string).collect(),
        log_index: found.log_index(),
        log_entry: found.log_entry().to_string(),
        tags: found.tags().to_vec(),
        referrer: found.referrer().map(|digest| digest.to_string()),
    }
}

fn refusal(finding: &Finding) -> Option<Refusal> {
    let reason = finding.outcome.as_ref().err()?;
    let denials = match reason {
        Reason::Denied { denials } => denials
            .iter()
            .map(|denial| Denial {
                code: denial.code(),
                field: denial.field.to_string(),
                signer: denial.signer.clone(),
                expected: denial.expected.clone(),
                found: denial.found.clone(),
            })
            .collect(),
        _ => Vec::new(),
    };
    Some(Refusal {
        origin: finding.origin.clone(),
        referrer: finding.referrer.map(|digest| digest.to_string()),
        code: reason.code(),
        reason: reason.to_string(),
        hint: reason.hint(),
        denials,
        signed_tags: finding.signed_tags.clone(),
    })
}

fn accepted(text: &mut String, signature: &AcceptedSignature) {
    line(text, &format!("  signed by {}", signature.identity()));
    line(text, &format!("    issuer {}", signature.issuer()));
    if let Some(repository) = signature.source_repository() {
        line(text, &format!("    source repository {repository}"));
    }
    line(text, &format!("    signed at {}, log index {}", signature.signed_at(), signature.log_index()));
    if !signature.tags().is_empty() {
        line(text, &format!("    signed for tags {}", signature.tags().join(", ")));
    }
    if let Some(referrer) = signature.referrer() {
        line(text, &format!("    referrer {referrer}"));
    }
}

fn refused(text: &mut String, refusal: &Refusal) {
    if refusal.denials.is_empty() {
        line(text, &format!("  not accepted: {} ({}): {}", refusal.origin, refusal.code, refusal.reason));
    } else {
        line(text, &format!("  not accepted: {} ({})", refusal.origin, refusal.code));
    }
    for denial in &refusal.denials {
        let signer = denial.signer.as_deref().unwrap_or("policy");
        line(text, &format!("    {signer}: {} ({})", denial.field, denial.code));
        line(text, &format!("      expected {}", denial.expected));
        line(text, &format!("      found    {}", denial.found.as_deref().unwrap_or("(nothing)")));
    }
    if !refusal.signed_tags.is_empty() {
        line(text, &format!("    signed for tags {}", refusal.signed_tags.join(", ")));
    }
    if let Some(hint) = refusal.hint {
        line(text, &format!("    hint: {hint}"));
    }
}

/// Adds a line in which nothing can move the cursor, colour the screen or turn the direction of writing.
pub(crate) fn line(text: &mut String, content: &str) {
    let clean: String = content.chars().map(visible).collect();
    let _ = writeln!(text, "{clean}");
}

#[cfg(test)]
mod tests {
    use countersign_oci::{Digest, ImageReference};
    use countersign_policy::Policy;

    use super::*;
    use crate::evidence::{Candidate, Content, Evidence};
    use crate::reason::OlderForm;
    use crate::verify::Asked;
    use crate::{TrustedRoot, Verifier};

    fn verdict(evidence: &Evidence) -> Verdict {
        let policy = "version: 1\nsigners:\n  - issuer: https://issuer.example\n    identity: someone@example.com\n";
        let policy = Policy::from_yaml("test", policy).unwrap();
        let reference: ImageReference = "registry.example/octo/app:v1".parse().unwrap();
        let asked =
            Asked { reference: reference.repository().pin(Digest::of(b"index")), tag: reference.tag().cloned() };
        let verifier = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap();
        verifier.verify(&asked, evidence, &policy, "2026-11-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_unsigned_image_is_told_with_the_places_that_were_looked_at() {
        let looked_at = vec![Place::new("referrers API", "404"), Place::new("referrers tag schema", "absent")];
        let verdict = verdict(&Evidence { looked_at, ..Evidence::default() });
        insta::assert_snapshot!(text(&verdict), @r"
        rejected  registry.example/octo/app:v1@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: unsigned: no signature found
          looked at referrers API: 404
          looked at referrers tag schema: absent
        ");
        assert_eq!(document(&verdict).error.unwrap().code, "unsigned");
    }

    #[test]
    fn each_candidate_is_told_with_its_reason_and_what_to_do() {
        let referrer = Digest::of(b"referrer");
        let candidates = vec![
            Candidate::from_referrer(referrer, Content::OlderCosign(OlderForm::Referrer)),
            Candidate::from_referrer(referrer, Content::Bundle(bytes::Bytes::from_static(b"\x1b[2J"))),
        ];
        let verdict = verdict(&Evidence { candidates, ..Evidence::default() });
        insta::assert_snapshot!(text(&verdict), @r"
        rejected  registry.example/octo/app:v1@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: unsigned: none of 2 referrers is a signature (signed in the form that cosign wrote before version 3 (simple-signing referrer))
          not accepted: referrer sha256:8a8decaffbb7c6cfc1c7ccba2fbb8d3ca6e174986920aefb7700dfc9dae5aa35 (older-cosign-format): signed in the form that cosign wrote before version 3 (simple-signing referrer)
            hint: sign the image again with cosign 3 or later, or with countersign-signer
          not accepted: referrer sha256:8a8decaffbb7c6cfc1c7ccba2fbb8d3ca6e174986920aefb7700dfc9dae5aa35 (malformed-bundle): bundle cannot be read: expected value at line 1 column 1
        ");
    }

    #[test]
    fn what_could_not_be_seen_is_undecided_and_says_whether_to_try_again() {
        let gaps = vec![Gap::new("listing: 503", "unexpected-answer", true)];
        let verdict = verdict(&Evidence { gaps, not_examined: 3, ..Evidence::default() });
        let failure = document(&verdict).error.unwrap();
        assert_eq!((failure.code, failure.class, failure.retryable), ("undecided", "unreachable", true));
        insta::assert_snapshot!(text(&verdict), @r"
        undecided registry.example/octo/app:v1@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6: cannot tell: listing: 503
          not seen: listing: 503
          not examined: 3 referrers
        ");
    }
}
