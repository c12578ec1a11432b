//! A verdict as a document for programs.

use countersign_oci::ImageReference;
use serde::Serialize;

use super::headline::{asked_text, failure, platforms_failure};
use super::near_miss::{self, FirstDifference, Nearest};
use crate::evidence::{Gap, Place};
use crate::platforms::{PlatformTree, VerifiedPlatform};
use crate::reason::Reason;
use crate::verified::AcceptedSignature;
use crate::verify::{Finding, Verdict};

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
    /// The image manifest for the platform that was asked for, where one was.
    pub platform: Option<ChosenPlatform>,
    /// What the image covers, where all platforms were asked for.
    pub platforms: Option<PlatformTree>,
    /// The failure, for everything but `verified`.
    pub error: Option<Failure>,
}

/// The image manifest for a platform.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ChosenPlatform {
    /// The platform, as the index or the image's configuration states it.
    pub platform: String,
    /// The digest of its image manifest: what to pull.
    pub digest: String,
    /// The repository that was asked for, with that digest.
    pub reference: String,
}

impl Report {
    /// Adds the image manifest for the platform that was asked for.
    #[must_use]
    pub fn with_platform(mut self, chosen: &VerifiedPlatform) -> Self {
        self.platform = Some(ChosenPlatform {
            platform: chosen.platform().to_string(),
            digest: chosen.digest().to_string(),
            reference: chosen.reference().to_string(),
        });
        self
    }

    /// Adds what a verified image covers. Where that is not what was asked for, the verdict is no longer `verified`.
    #[must_use]
    pub fn with_platforms(mut self, tree: &PlatformTree) -> Self {
        self.platforms = Some(tree.clone());
        if let (None, Some((verdict, failure))) = (&self.error, platforms_failure(tree)) {
            self.verdict = verdict;
            self.error = Some(failure);
        }
        self
    }
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
    /// The transparency log that vouches for the entry, as the trusted root names it.
    pub log: String,
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
    /// For a policy's refusal: the policy's signer that it came nearest to.
    pub nearest: Option<Nearest>,
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
    /// Where the two part, where one text only was expected.
    pub first_difference: Option<FirstDifference>,
    /// What to do about it.
    pub hint: Option<&'static str>,
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
        platform: None,
        platforms: None,
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
        platform: None,
        platforms: None,
        error: None,
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
        log: found.log().to_owned(),
        tags: found.tags().to_vec(),
        referrer: found.referrer().map(|digest| digest.to_string()),
    }
}

/// Returns the fields that did not fit as documents.
#[must_use]
pub fn denials(denied: &[countersign_policy::Denial]) -> Vec<Denial> {
    denied.iter().map(denial).collect()
}

pub(super) fn refusal(finding: &Finding) -> Option<Refusal> {
    let reason = finding.outcome.as_ref().err()?;
    let denied = match reason {
        Reason::Denied { denials } => denials.as_slice(),
        _ => &[],
    };
    Some(Refusal {
        origin: finding.origin.clone(),
        referrer: finding.referrer.map(|digest| digest.to_string()),
        code: reason.code(),
        reason: reason.to_string(),
        hint: reason.hint(),
        denials: denials(denied),
        nearest: near_miss::nearest(denied),
        signed_tags: finding.signed_tags.clone(),
    })
}

fn denial(denial: &countersign_policy::Denial) -> Denial {
    Denial {
        code: denial.code(),
        field: denial.field.to_string(),
        signer: denial.signer.clone(),
        expected: denial.expected.clone(),
        found: denial.found.clone(),
        first_difference: near_miss::difference(denial),
        hint: near_miss::hint(denial),
    }
}
