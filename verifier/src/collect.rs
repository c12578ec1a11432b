//! Reads evidence from a registry or an image layout, in waves, until the policy is satisfied.
//!
//! Anyone who can push to a repository can attach anything to an image, so what is listed costs at most what the limits
//! allow: what is left out is counted, and then the answer is "could not decide", never "unsigned".

mod budget;
mod collector;
mod source;
mod survey;

pub use budget::InspectBounds;
use budget::{ByteBudget, Deadline};
use collector::{Collector, FIRST_WAVE, LARGEST_WAVE, Listed, OlderTag, WAVE};
use countersign_oci::{ImageReference, PinnedReference, RegistryError, limits};
use countersign_policy::Policy;
use jiff::Timestamp;
pub use source::Source;
pub use survey::{inspect_beside, inspect_image, inspect_image_within};

use crate::error::Error;
use crate::evidence::{Candidate, Content, Evidence, Tally};
use crate::platforms;
use crate::reason::OlderForm;
use crate::verify::{Asked, Judged, Verdict, Verifier, check_tag};

/// Returns what a person's reference asks for: a tag is resolved here, once, and everything after goes by digest.
pub async fn resolve<'a>(registry: impl Into<Source<'a>>, reference: &ImageReference) -> Result<Asked, Error> {
    let resolved = registry.into().resolve(reference).await.map_err(|cause| failed(reference, cause))?;
    Ok(Asked { reference: resolved.pinned, tag: reference.tag().cloned() })
}

/// Returns the verdict on what was asked, with evidence from the registry or image layout.
///
/// Candidates that claim to be bundles come first, but every referrer is opened: real registries report wrong types.
/// An error is returned only when the question itself has no answer: the image is not in the registry, or the policy
/// demands a tag and none was asked for.
pub async fn verify_image<'a>(
    registry: impl Into<Source<'a>>,
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    now: Timestamp,
) -> Result<Verdict, Error> {
    verify_image_from(registry, &asked.reference, verifier, policy, asked, now).await
}

/// Like [`verify_image`], with the evidence read beside the same digest in another repository: a mirror. What is
/// asked for, and so what must have been signed, stays what it was.
pub async fn verify_image_from<'a>(
    registry: impl Into<Source<'a>>,
    source: &PinnedReference,
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    now: Timestamp,
) -> Result<Verdict, Error> {
    let registry = registry.into();
    match verify_digest_from(registry, source, verifier, policy, asked, now).await? {
        Verdict::Verified(image, findings) if policy.require().platforms => {
            // A mirror holds the manifests too; a repository of signatures holds them alone.
            let evidence = source.repository();
            let is_mirror = registry.manifest_exists(source).await.map_err(|cause| failed(source, cause))?;
            let manifests = if is_mirror { evidence } else { asked.reference.repository() };
            let walk = platforms::Walk { source: registry, manifests, evidence, verifier, policy, now };
            platforms::hold(walk, image, findings).await
        }
        verdict => Ok(verdict),
    }
}

/// The verdict on one digest by its own evidence, whatever the policy requires of the platforms of an index.
pub(crate) async fn verify_digest_from(
    registry: Source<'_>,
    source: &PinnedReference,
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    now: Timestamp,
) -> Result<Verdict, Error> {
    if source.digest() != asked.reference.digest() {
        return Err(failed(source, RegistryError::digest_mismatch(source, asked.reference.digest())));
    }
    // Usage errors first: the registry need not be asked.
    check_tag(asked, policy)?;

    // Nothing is cut here by the bytes of listings: what is judged is counted wave by wave.
    let read = ByteBudget::new(u64::MAX);
    let collector = Collector { registry, subject: source, deadline: Deadline::of_evidence(), read: &read };
    let mut evidence = Evidence::default();
    let Some(listed) = collector.list(&mut evidence).await else {
        return Ok(verifier.conclude(asked, Judged::default(), &evidence, policy));
    };
    let question = Question { verifier, policy, asked, now };
    let mut judged = question.judge_in_waves(&collector, &listed, &mut evidence).await;
    if !judged.satisfies(policy)
        && let Some(older) = question.look_elsewhere(&collector, &listed, &mut evidence).await?
    {
        judged.push(verifier.judge(asked, &older, policy, now));
    }
    Ok(verifier.conclude(asked, judged, &evidence, policy))
}

/// What candidates are judged by.
struct Question<'a> {
    verifier: &'a Verifier,
    policy: &'a Policy,
    asked: &'a Asked,
    now: Timestamp,
}

impl Question<'_> {
    async fn judge_in_waves(&self, collector: &Collector<'_>, listed: &Listed, evidence: &mut Evidence) -> Judged {
        let mut judged = Judged::default();
        let mut tally = Tally::default();
        let budget = ByteBudget::new(limits::EVIDENCE_BYTES);
        let mut examined = 0;
        let mut wave = FIRST_WAVE;
        let mut rest = listed.descriptors.as_slice();
        while !rest.is_empty() && !budget.is_used_up() && !collector.deadline.is_past() {
            let (now, later) = rest.split_at(wave.min(rest.len()));
            (rest, wave) = (later, (wave * 2).clamp(WAVE, LARGEST_WAVE));
            let candidates = collector.fetch_within(now, &budget).await;
            examined += candidates.len();
            candidates.iter().for_each(|candidate| tally.add(&candidate.content));
            for one in self.verifier.judge_all(self.asked, &candidates, self.policy, self.now) {
                judged.push(one);
            }
            if judged.satisfies(self.policy) {
                break;
            }
        }
        let left_out = listed.descriptors.len() - examined;
        evidence.not_examined += left_out;
        tally.leave_out(left_out);
        if let Some(place) = evidence.looked_at.get_mut(listed.place) {
            tally.note(place);
        }
        judged
    }

    /// Looks where signatures do not count, so that one that is there is named. Only asked when nothing else will do.
    ///
    /// Fails when the image is not in the registry.
    async fn look_elsewhere(
        &self,
        collector: &Collector<'_>,
        listed: &Listed,
        evidence: &mut Evidence,
    ) -> Result<Option<Candidate>, Error> {
        let hidden = async {
            match listed.by_api {
                true => Some(collector.hidden(listed).await.0),
                false => None,
            }
        };
        let (hidden, (place, older), exists) =
            tokio::join!(hidden, collector.older_tag(OlderTag::Signature), collector.subject_exists());
        // Where something refers to it, it is there, or was: what was judged says more than its absence. A repository that
        // holds signatures alone never has it.
        if listed.descriptors.is_empty() {
            exists?;
        }
        evidence.looked_at.extend(hidden);
        evidence.looked_at.push(place);
        // It could only have said that the image was signed in a format that is not accepted.
        let Ok(Some(raw)) = older else { return Ok(None) };
        Ok(Some(Candidate::from_referrer(raw.digest, Content::OlderCosign(OlderForm::SignatureTag))))
    }
}

pub(crate) fn failed(reference: &dyn std::fmt::Display, cause: RegistryError) -> Error {
    Error::Registry { reference: reference.to_string(), cause: Box::new(cause) }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
