//! Reads evidence from a registry, in waves, until the policy is satisfied.
//!
//! Anyone who can push to a repository can attach anything to an image, so what is listed costs at most what the limits
//! allow: what is left out is counted, and then the answer is "could not decide", never "unsigned".

use countersign_oci::index::{Descriptor, Manifest};
use countersign_oci::{ImageReference, PinnedReference, Referrers, ReferrersSource, Registry, RegistryError, limits};
use countersign_policy::Policy;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::error::Error;
use crate::evidence::{Candidate, Content, Evidence, Gap, Place, bundle_layer, is_bundle_type};
use crate::reason::{OlderForm, Reason};
use crate::verify::{Asked, Judged, Verdict, Verifier};

/// How many candidates are fetched before it is asked whether they are enough.
const WAVE: usize = 32;
/// How many of them are fetched at the same time.
const CONCURRENT: usize = 16;

/// What an unreadable candidate costs of [`limits::EVIDENCE_BYTES`]: 1,024 of them use it up.
const UNREADABLE_BYTES: u64 = 64 << 10;

/// Returns what a person's reference asks for: a tag is resolved here, once, and everything after goes by digest.
pub async fn resolve(registry: &Registry, reference: &ImageReference) -> Result<Asked, Error> {
    let resolved = registry.resolve(reference).await.map_err(|cause| failed(reference, cause))?;
    Ok(Asked { reference: resolved.pinned, tag: reference.tag().cloned() })
}

/// Returns the verdict on what was asked, with evidence from the registry.
///
/// Candidates that claim to be bundles come first, but every referrer is opened: real registries report wrong types.
/// An error is returned only when the question itself has no answer: the image is not in the registry, or the policy
/// demands a tag and none was asked for.
pub async fn verify_image(
    registry: &Registry,
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    now: Timestamp,
) -> Result<Verdict, Error> {
    verify_image_from(registry, &asked.reference, verifier, policy, asked, now).await
}

/// Like [`verify_image`], with the evidence read beside the same digest in another repository: a mirror. What is
/// asked for, and so what must have been signed, stays what it was.
pub async fn verify_image_from(
    registry: &Registry,
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
    verifier.verify(asked, &Evidence::default(), policy, now)?;

    let collector = Collector { registry, subject: source, deadline: Instant::now() + limits::EVIDENCE_TIME };
    let mut evidence = Evidence::default();
    let referrers = match collector.in_time(registry.referrers(source)).await {
        Ok(referrers) => referrers,
        Err(gap) => {
            evidence.gaps.push(gap);
            return Ok(verifier.conclude(asked, Judged::default(), &evidence, policy));
        }
    };
    note_places(&referrers, &mut evidence);
    let mut judged = collector.judge_in_waves(referrers.descriptors, &mut evidence, verifier, policy, asked, now).await;
    if !judged.satisfies(policy) {
        if let Some(older) = collector.older_signature_tag(&mut evidence).await {
            judged.push(verifier.judge(asked, &older, policy, now));
        }
        collector.subject_exists().await?;
    }
    Ok(verifier.conclude(asked, judged, &evidence, policy))
}

struct Collector<'a> {
    registry: &'a Registry,
    subject: &'a PinnedReference,
    deadline: Instant,
}

impl Collector<'_> {
    async fn judge_in_waves(
        &self,
        mut listed: Vec<Descriptor>,
        evidence: &mut Evidence,
        verifier: &Verifier,
        policy: &Policy,
        asked: &Asked,
        now: Timestamp,
    ) -> Judged {
        // A stable sort: among equals the registry's order stays, and it decides nothing but the order of work.
        listed.sort_by_key(|descriptor| !claims_a_bundle(descriptor));
        let mut judged = Judged::default();
        let mut spent = 0_u64;
        let mut examined = 0;
        for wave in listed.chunks(WAVE) {
            if spent > limits::EVIDENCE_BYTES || Instant::now() >= self.deadline {
                break;
            }
            let fetched: Vec<(Candidate, u64)> =
                stream::iter(wave).map(|descriptor| self.fetch(descriptor)).buffered(CONCURRENT).collect().await;
            examined += wave.len();
            let (candidates, sizes): (Vec<Candidate>, Vec<u64>) = fetched.into_iter().unzip();
            spent += sizes.iter().sum::<u64>();
            for one in verifier.judge_all(asked, &candidates, policy, now) {
                judged.push(one);
            }
            if judged.satisfies(policy) {
                break;
            }
        }
        evidence.not_examined += listed.len() - examined;
        judged
    }

    /// Fetches one referrer. Whatever is wrong with it is said of it alone.
    async fn fetch(&self, descriptor: &Descriptor) -> (Candidate, u64) {
        let (content, bytes) = match self.content(descriptor).await {
            Ok((content, bytes)) => (content, bytes),
            // How much came before it went wrong is not known: as much as was let in.
            Err(reason @ Reason::Unreadable { .. }) => (Content::NotABundle(reason), UNREADABLE_BYTES),
            Err(reason) => (Content::NotABundle(reason), 0),
        };
        (Candidate::from_referrer(descriptor.digest, content), bytes)
    }

    async fn content(&self, descriptor: &Descriptor) -> Result<(Content, u64), Reason> {
        if descriptor.size > limits::MANIFEST_BYTES {
            return Err(Reason::TooLarge { bytes: descriptor.size, limit: limits::MANIFEST_BYTES });
        }
        let pinned = PinnedReference::new(self.subject.repository().clone(), descriptor.digest);
        let raw = self.within(self.registry.manifest(&pinned)).await?;
        let size = raw.bytes.len() as u64;
        let Manifest::Image(manifest) = &raw.manifest else {
            return Ok((Content::NotABundle(Reason::Foreign { artifact_type: raw.media_type.clone() }), size));
        };
        let layer = match bundle_layer(manifest, self.subject.digest()) {
            Ok(layer) => layer,
            Err(content) => return Ok((content, size)),
        };
        if layer.size > limits::BUNDLE_BYTES {
            return Err(Reason::TooLarge { bytes: layer.size, limit: limits::BUNDLE_BYTES });
        }
        let blob = self.within(self.registry.blob(self.subject.repository(), layer, limits::BUNDLE_BYTES)).await?;
        let size = size + blob.len() as u64;
        Ok((Content::Bundle(blob), size))
    }

    /// Looks for the tag under which cosign kept signatures before bundles. Only asked when nothing else will do.
    async fn older_signature_tag(&self, evidence: &mut Evidence) -> Option<Candidate> {
        let place = format!("cosign tag sha256-{}.sig", self.subject.digest().hex());
        match self.in_time(self.registry.cosign_signature_tag(self.subject)).await {
            Ok(Some(raw)) => {
                evidence.looked_at.push(Place::new(place, "present"));
                Some(Candidate::from_referrer(raw.digest, Content::OlderCosign(OlderForm::SignatureTag)))
            }
            Ok(None) => {
                evidence.looked_at.push(Place::new(place, "absent"));
                None
            }
            // It could only have said that the image was signed in a format that is not accepted.
            Err(gap) => {
                evidence.looked_at.push(Place::new(place, gap.detail));
                None
            }
        }
    }

    /// Fails when the image is not in the registry: "unsigned" would be true and useless.
    async fn subject_exists(&self) -> Result<(), Error> {
        match self.registry.manifest_exists(self.subject).await {
            Ok(false) => Err(failed(self.subject, RegistryError::not_found(self.subject))),
            _ => Ok(()),
        }
    }

    async fn in_time<T>(&self, request: impl Future<Output = Result<T, RegistryError>>) -> Result<T, Gap> {
        match tokio::time::timeout_at(self.deadline, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Gap::new(chain(&error), error.code(), error.retryable())),
            Err(_) => Err(Gap::new(out_of_time(), "evidence-timeout", true)),
        }
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T, RegistryError>>) -> Result<T, Reason> {
        match tokio::time::timeout_at(self.deadline, request).await {
            Ok(Ok(answer)) => Ok(answer),
            // What its author wrote is judged; what the registry did to it only keeps it from being seen.
            Ok(Err(error)) if matches!(error.code(), "manifest-malformed" | "too-large") => {
                Err(Reason::MalformedReferrer { detail: chain(&error) })
            }
            Ok(Err(error)) => Err(Reason::Unreadable { detail: chain(&error) }),
            Err(_) => Err(Reason::Unreadable { detail: out_of_time() }),
        }
    }
}

fn claims_a_bundle(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type.as_deref().is_some_and(is_bundle_type)
}

fn note_places(referrers: &Referrers, evidence: &mut Evidence) {
    let places = referrers.looked_at.iter().map(|place| Place::new(place.what.to_string(), place.answer.clone()));
    evidence.looked_at.extend(places);
    if let Some(reason) = &referrers.truncated {
        evidence.gaps.push(Gap::new(format!("the list of referrers is cut: {reason}"), "referrers-truncated", false));
    }
    if referrers.source == ReferrersSource::NotAnApi {
        let detail = "something answers in place of the referrers API and is none, and there is no tag schema";
        evidence.gaps.push(Gap::new(detail, "referrers-not-an-api", false));
    }
    if referrers.malformed > 0 {
        let detail = format!("{} entries of the list of referrers are no descriptors", referrers.malformed);
        evidence.gaps.push(Gap::new(detail, "referrers-malformed", false));
    }
}

fn failed(reference: &dyn std::fmt::Display, cause: RegistryError) -> Error {
    Error::Registry { reference: reference.to_string(), cause: Box::new(cause) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn out_of_time() -> String {
    format!("the time for looking at evidence ({} s) is used up", limits::EVIDENCE_TIME.as_secs())
}
