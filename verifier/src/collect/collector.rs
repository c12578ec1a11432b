//! The one reader of what lies beside a digest, for everybody who looks there.

use countersign_oci::index::{Descriptor, Manifest};
use countersign_oci::{
    Class, ImageReference, PinnedReference, RawManifest, Referrers, ReferrersSource, RegistryError, Tag, Truncation,
    limits, media_type,
};
use futures_util::{StreamExt as _, stream};

use super::budget::{ByteBudget, Deadline};
use super::{Source, chain, failed};
use crate::error::Error;
use crate::evidence::{Candidate, Content, Evidence, Gap, Place, bundle_layer, is_bundle_type};
use crate::reason::Reason;
use crate::statement::SIGNATURE_PREDICATE;

/// How many candidates are fetched where the first few were not enough.
pub(super) const WAVE: usize = 32;
/// How many are fetched first: where one signer signed often, or few signed, these are enough.
pub(super) const FIRST_WAVE: usize = 4;
/// How many are fetched at most before it is asked again: who lists thousands makes the waves grow.
pub(super) const LARGEST_WAVE: usize = 512;
/// How many of a first wave are fetched at the same time.
const CONCURRENT: usize = 16;
/// How many of a larger one: so much may be in memory beyond [`limits::EVIDENCE_BYTES`].
const MOST_CONCURRENT: usize = 32;

/// How many layers of a manifest that is no bundle's are kept, for those who show them.
const STATED_LAYERS: usize = 4;

/// What an unreadable candidate costs of [`limits::EVIDENCE_BYTES`]: 1,024 of them use it up.
pub(super) const UNREADABLE_BYTES: u64 = 64 << 10;

/// Reads what lies beside one digest, until a deadline.
pub(super) struct Collector<'a> {
    pub(super) registry: Source<'a>,
    pub(super) subject: &'a PinnedReference,
    pub(super) deadline: Deadline,
    /// Pays for what is read apart from candidates, which [`Collector::fetch_all`] counts.
    pub(super) read: &'a ByteBudget,
}

/// What a referrer's manifest says of itself.
#[derive(Default)]
struct Stated {
    artifact_type: Option<String>,
    layers: Vec<Descriptor>,
}

/// The referrers that are listed, and where.
pub(super) struct Listed {
    /// Those that claim to be signatures come first, then those that claim to be bundles; among equals the registry's order stays.
    pub(super) descriptors: Vec<Descriptor>,
    /// Whether there is a referrers API: then it alone counts.
    pub(super) by_api: bool,
    /// Which of the places that were looked at listed them.
    pub(super) place: usize,
}

/// Where cosign kept what belongs to an image before there were referrers: tags made of its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OlderTag {
    Attestation,
    Sbom,
    Signature,
}

impl OlderTag {
    pub(super) fn name(self, subject: &PinnedReference) -> String {
        let suffix = match self {
            Self::Attestation => "att",
            Self::Sbom => "sbom",
            Self::Signature => "sig",
        };
        format!("{}.{suffix}", Tag::of_referrers(subject.digest()))
    }
}

impl Collector<'_> {
    /// Lists the referrers. What could not be seen is noted as a gap; nothing is returned where the list failed.
    pub(super) async fn list(&self, evidence: &mut Evidence) -> Option<Listed> {
        match self.in_time(self.registry.referrers(self.subject)).await {
            Ok(referrers) => {
                self.read.spend(bytes_of(&referrers));
                note_places(&referrers, evidence);
                let mut descriptors = referrers.descriptors;
                // A claim, which real registries get wrong: it decides nothing but the order of work.
                descriptors.sort_by_cached_key(rank);
                // Nobody asks for these, and a hostile list is mostly that.
                for descriptor in &mut descriptors {
                    descriptor.annotations.clear();
                    descriptor.urls.clear();
                    descriptor.platform = None;
                }
                let by_api = referrers.source == ReferrersSource::Api;
                Some(Listed { descriptors, by_api, place: evidence.looked_at.len().saturating_sub(1) })
            }
            Err(gap) => {
                self.read.spend(UNREADABLE_BYTES);
                evidence.looked_at.push(Place::new("referrers", format!("the list failed: {}", gap.detail)));
                evidence.gaps.push(gap);
                None
            }
        }
    }

    /// Fetches referrers, several at a time, in their order; with the bytes that they cost.
    pub(super) async fn fetch_all(&self, wave: &[Descriptor]) -> (Vec<Candidate>, u64) {
        let fetched: Vec<(Candidate, u64)> =
            stream::iter(wave).map(|descriptor| self.fetch(descriptor)).buffered(CONCURRENT).collect().await;
        let (candidates, sizes): (Vec<Candidate>, Vec<u64>) = fetched.into_iter().unzip();
        (candidates, sizes.iter().sum())
    }

    /// Fetches referrers, several at a time, until the budget or the time is used up: what is then left is not among the candidates.
    pub(super) async fn fetch_within(&self, wave: &[Descriptor], budget: &ByteBudget) -> Vec<Candidate> {
        let fetch = |descriptor| async move {
            if budget.is_used_up() || self.deadline.is_past() {
                return None;
            }
            let (candidate, bytes) = self.fetch(descriptor).await;
            budget.spend(bytes);
            Some(candidate)
        };
        let concurrent = if wave.len() > WAVE { MOST_CONCURRENT } else { CONCURRENT };
        stream::iter(wave).map(fetch).buffered(concurrent).filter_map(std::future::ready).collect().await
    }

    /// Fetches one referrer. Whatever is wrong with it is said of it alone.
    async fn fetch(&self, descriptor: &Descriptor) -> (Candidate, u64) {
        let mut stated = Stated::default();
        let (content, bytes) = match self.content(descriptor, &mut stated).await {
            Ok((content, bytes)) => (content, bytes),
            // How much came before it went wrong is not known: as much as was let in.
            Err(reason @ Reason::Unreadable { .. }) => (Content::NotABundle(reason), UNREADABLE_BYTES),
            Err(reason) => (Content::NotABundle(reason), 0),
        };
        let mut candidate = Candidate::from_referrer(descriptor.digest, content);
        candidate.listed = Some(descriptor.clone());
        candidate.artifact_type = stated.artifact_type;
        candidate.layers = stated.layers;
        (candidate, bytes)
    }

    async fn content(&self, descriptor: &Descriptor, stated: &mut Stated) -> Result<(Content, u64), Reason> {
        if descriptor.size > limits::MANIFEST_BYTES {
            return Err(Reason::TooLarge { bytes: descriptor.size, limit: limits::MANIFEST_BYTES });
        }
        let pinned = self.subject.repository().pin(descriptor.digest);
        let raw = self.within(self.registry.manifest(&pinned)).await?;
        let size = raw.bytes.len() as u64;
        let Manifest::Image(manifest) = &raw.manifest else {
            return Ok((Content::NotABundle(Reason::Foreign { artifact_type: raw.media_type.clone() }), size));
        };
        stated.artifact_type = Some(manifest.effective_artifact_type().to_owned());
        let layer = match bundle_layer(manifest, self.subject.digest()) {
            Ok(layer) => layer,
            Err(content) => {
                stated.layers = manifest.layers.iter().take(STATED_LAYERS).cloned().collect();
                return Ok((content, size));
            }
        };
        if layer.size > limits::BUNDLE_BYTES {
            return Err(Reason::TooLarge { bytes: layer.size, limit: limits::BUNDLE_BYTES });
        }
        let blob = self.within(self.registry.blob(self.subject.repository(), layer, limits::BUNDLE_BYTES)).await?;
        let size = size + blob.len() as u64;
        Ok((Content::Bundle(blob), size))
    }

    /// Looks under a tag of cosign's older ways, and says of the place what was there.
    pub(super) async fn older_tag(&self, tag: OlderTag) -> (Place, Result<Option<RawManifest>, Gap>) {
        let name = tag.name(self.subject);
        let place = |found: String| Place::new(format!("cosign tag {name}"), found);
        let reference = match name.parse() {
            Ok(tag) => ImageReference::with_tag(self.subject.repository().clone(), tag),
            Err(error) => return (place(format!("{error}")), Ok(None)),
        };
        let answer = async {
            match self.registry.resolve(&reference).await {
                Ok(resolved) => Ok(resolved.manifest),
                Err(error) if error.class() == Class::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        match self.in_time(answer).await {
            Ok(Some(raw)) => {
                self.read.spend(raw.bytes.len() as u64);
                (place("present".to_owned()), Ok(Some(raw)))
            }
            Ok(None) => (place("absent".to_owned()), Ok(None)),
            Err(gap) => {
                self.read.spend(UNREADABLE_BYTES);
                (place(gap.detail.clone()), Err(gap))
            }
        }
    }

    /// Looks under the tag of the referrers tag schema although there is a referrers API, which alone counts: what is
    /// listed only here was attached and is seen by nobody.
    pub(super) async fn hidden(&self, listed: &Listed) -> (Place, Option<Gap>) {
        let place = |found: String| Place::new("referrers tag schema", found);
        match self.in_time(self.registry.referrers_tag(self.subject)).await {
            Ok(None) => (place("404".to_owned()), None),
            Ok(Some(referrers)) => {
                self.read.spend(bytes_of(&referrers));
                let known: std::collections::HashSet<_> = listed.descriptors.iter().map(|known| known.digest).collect();
                let hidden = referrers.descriptors.iter().filter(|entry| !known.contains(&entry.digest)).count();
                let answer = referrers.looked_at.first().map_or("200", |place| place.answer.as_str());
                let found = match hidden {
                    0 => format!("{answer}, all of them listed by the referrers API"),
                    _ => format!("{answer}, {hidden} of them not listed by the referrers API, which alone counts"),
                };
                (place(found), None)
            }
            Err(gap) => {
                self.read.spend(UNREADABLE_BYTES);
                (place(gap.detail.clone()), Some(gap))
            }
        }
    }

    /// Fails when the image is not in the registry: "unsigned" would be true and useless.
    pub(super) async fn subject_exists(&self) -> Result<(), Error> {
        match self.in_time(self.registry.manifest_exists(self.subject)).await {
            Ok(false) => Err(failed(self.subject, RegistryError::not_found(self.subject))),
            _ => Ok(()),
        }
    }

    pub(super) async fn in_time<T>(&self, request: impl Future<Output = Result<T, RegistryError>>) -> Result<T, Gap> {
        match tokio::time::timeout_at(self.deadline.at, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Gap::new(chain(&error), error.code(), error.retryable())),
            Err(_) => Err(Gap::new(self.deadline.used_up(), "evidence-timeout", true)),
        }
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T, RegistryError>>) -> Result<T, Reason> {
        match tokio::time::timeout_at(self.deadline.at, request).await {
            Ok(Ok(answer)) => Ok(answer),
            // What its author wrote is judged; what the registry did to it only keeps it from being seen.
            Ok(Err(error)) if matches!(error.code(), "manifest-malformed" | "too-large") => {
                Err(Reason::MalformedReferrer { detail: chain(&error) })
            }
            Ok(Err(error)) => Err(Reason::Unreadable { detail: chain(&error) }),
            Err(_) => Err(Reason::Unreadable { detail: self.deadline.used_up() }),
        }
    }
}

/// How late a referrer is opened, by what the listing says of it. Types that registries put in the place of the true one come before
/// those that are something else.
fn rank(descriptor: &Descriptor) -> u8 {
    let claims = |predicate: &str| descriptor.annotations.get(PREDICATE_TYPE).is_some_and(|found| found == predicate);
    match descriptor.artifact_type.as_deref() {
        Some(artifact_type) if is_bundle_type(artifact_type) && claims(SIGNATURE_PREDICATE) => 0,
        Some(artifact_type) if is_bundle_type(artifact_type) => 1,
        None | Some("" | media_type::EMPTY) => 2,
        Some(_) => 3,
    }
}

/// The annotation of a referrer with which signers say what its bundle is.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

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

/// What a list cost: one that is cut for its size as much as was let in.
fn bytes_of(referrers: &Referrers) -> u64 {
    match referrers.truncated {
        Some(Truncation::Bytes) => limits::REFERRERS_BYTES,
        _ => referrers.bytes,
    }
}
