//! Walks through what a verified image covers, in a registry or an image layout.

use std::collections::HashSet;
use std::time::Duration;

use countersign_oci::index::{Descriptor, Manifest, Platform};
use countersign_oci::{Digest, PinnedReference, RawManifest, Repository, limits};
use countersign_policy::Policy;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::tree::{ChildView, Conclusion, OwnSignature, PlatformTree};
use super::{ChildKind, PlatformsError, VerifiedChild, VerifiedManifest, VerifiedPlatform};
use crate::collect::{self, Source};
use crate::error::Error;
use crate::evidence::{Gap, Place};
use crate::inspect::is_image_config;
use crate::reason::{Class, Reason};
use crate::report::headline;
use crate::verified::VerifiedImage;
use crate::verify::{Asked, Finding, Findings, Verdict, Verifier};

/// How many manifests are looked at at the same time: each is a list of referrers and what is in it.
const CONCURRENT: usize = 8;
/// How many nested indexes are opened to find a platform: real ones nest once, with a handful.
const NESTED: usize = 64;
/// How many children of an index that is not signed are asked whether they are.
const CHILDREN_OF_UNSIGNED: usize = 32;
/// How many platforms are named where the one that is wanted is not among them.
const NAMED: usize = 20;

/// What the children of an image are judged by.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "whoever walks says all of it")]
pub struct Walk<'a> {
    /// Where manifests and evidence are read.
    pub source: Source<'a>,
    /// The repository that holds the manifests: that of the image, or a mirror's.
    pub manifests: &'a Repository,
    /// The repository that holds the evidence: the same, or one that holds all signatures.
    pub evidence: &'a Repository,
    /// What authenticates.
    pub verifier: &'a Verifier,
    /// What admits.
    pub policy: &'a Policy,
    /// The time that decides `max_age`.
    pub now: Timestamp,
}

/// Returns the image manifest of a verified image for a platform.
///
/// The first one that the index names for it, before nested indexes; an image that no index names a platform for says it in
/// its configuration. Fails with [`Error::NoPlatform`] where there is none, naming those that there are.
pub async fn platform_of<'a>(
    source: impl Into<Source<'a>>,
    manifests: &Repository,
    image: &VerifiedImage,
    wanted: &Platform,
) -> Result<VerifiedPlatform, Error> {
    let place = Shelf { source: source.into(), manifests };
    let root = place.root(image).await?;
    let mut available = Vec::new();
    let mut level = vec![root];
    let mut opened = 0;
    while !level.is_empty() {
        let mut nested = Vec::new();
        for manifest in &level {
            if let Some(found) = manifest.platform(wanted) {
                return Ok(found);
            }
            if let Some(found) = place.configured(manifest, wanted, &mut available).await? {
                return Ok(found);
            }
            for child in manifest.children() {
                let platform = child.descriptor().platform.as_ref();
                match child.kind() {
                    ChildKind::Image => available.extend(platform.map(ToString::to_string)),
                    ChildKind::Index if platform.is_none_or(|platform| platform.serves(wanted)) => nested.push(child),
                    _ => {}
                }
            }
        }
        opened += nested.len();
        if opened > NESTED {
            return Err(unusable(image.reference(), PlatformsError::TooManyIndexes { limit: NESTED }));
        }
        level = Vec::new();
        for child in nested {
            level.push(place.open(&child).await?);
        }
    }
    available.truncate(NAMED);
    Err(Error::NoPlatform { reference: image.reference().to_string(), wanted: wanted.to_string(), available })
}

/// Returns everything that a verified image covers, and what signature each manifest has of its own.
///
/// Looked at are at most [`limits::INSPECT_MANIFESTS`] manifests on [`limits::INSPECT_DEPTH`] levels within
/// [`limits::INSPECT_TIME`]; what is left out is counted, and then the [conclusion](PlatformTree::conclusion) is that it
/// cannot be told. An error is returned only where the image's own manifest cannot be read.
pub async fn platform_tree(walk: Walk<'_>, image: &VerifiedImage) -> Result<PlatformTree, Error> {
    let place = Shelf { source: walk.source, manifests: walk.manifests };
    let root = place.root(image).await?;
    let deadline = Instant::now() + limits::INSPECT_TIME;
    let mut nodes: Vec<(Option<usize>, ChildView)> = Vec::new();
    let mut known = HashSet::from([root.digest()]);
    let mut omitted = 0;
    let mut level: Vec<(Option<usize>, VerifiedChild)> = root.children().map(|child| (None, child)).collect();
    while !level.is_empty() {
        let room = limits::INSPECT_MANIFESTS.saturating_sub(nodes.len());
        omitted += level.len().saturating_sub(room);
        level.truncate(room);
        let looks = level.into_iter().map(|(parent, child)| {
            let is_new = known.insert(child.digest());
            async move { (parent, walk.look(&child, is_new, deadline).await) }
        });
        let mut looks = stream::iter(looks).buffered(CONCURRENT);
        let mut below = Vec::new();
        while let Some((parent, (view, nested))) = looks.next().await {
            let position = nodes.len();
            nodes.push((parent, view));
            below.extend(nested.iter().flat_map(VerifiedManifest::children).map(|child| (Some(position), child)));
        }
        level = below;
    }
    Ok(assemble(&root, walk.policy.require().platforms, nodes, omitted))
}

/// Says how many children of an index that is not signed are: whoever signed them forgot the index, or the tag was moved to
/// an index of one's own. Nothing where there is no index, or no child is signed.
pub async fn signed_children(walk: Walk<'_>, asked: &Asked) -> Option<Place> {
    let deadline = Instant::now() + limits::EVIDENCE_TIME;
    let raw = walk.source.manifest(&walk.manifests.pin(asked.reference.digest())).await.ok()?;
    let Manifest::Index(index) = &raw.manifest else { return None };
    let images: HashSet<Digest> =
        index.manifests.iter().filter(|entry| !super::is_attestation(entry)).map(digest).collect();
    let all = images.len();
    let asked_of = images.into_iter().take(CHILDREN_OF_UNSIGNED);
    let looks = asked_of.map(|digest| walk.own_signature(asked.reference.repository().pin(digest), asked, deadline));
    let own: Vec<_> = stream::iter(looks).buffered(CONCURRENT).collect().await;
    let is = |wanted: fn(&OwnSignature) -> bool| own.iter().flatten().filter(|own| wanted(own)).count();
    let accepted = is(|own| matches!(own, OwnSignature::Accepted { .. }));
    let signed = accepted + is(|own| matches!(own, OwnSignature::Rejected { .. }));
    if signed == 0 {
        return None;
    }
    let looked = if own.len() < all { format!(" (of {} that were looked at)", own.len()) } else { String::new() };
    let carry = if signed == 1 { "carries a signature" } else { "carry signatures" };
    let found = format!(
        "{signed} of its {all} children {carry}{looked}, {accepted} as the policy wants it; the index itself has none"
    );
    Some(Place::new("children of the index", found))
}

/// Holds a verified image against what its policy requires of its platforms: each of its image manifests is signed itself.
pub(crate) async fn hold(walk: Walk<'_>, image: VerifiedImage, mut findings: Findings) -> Result<Verdict, Error> {
    match platform_tree(walk, &image).await?.conclusion() {
        Conclusion::Covered => Ok(Verdict::Verified(image, findings)),
        Conclusion::Rejected(detail) => {
            let outcome = Err(Reason::PlatformNotSigned { detail });
            let origin = "platforms of the index".to_owned();
            findings.candidates.push(Finding { referrer: None, origin, outcome, signed_tags: Vec::new() });
            findings.threshold.1 = 0;
            Ok(Verdict::Rejected(findings))
        }
        Conclusion::Undecided(detail) => {
            findings.gaps.push(Gap::new(detail, "platforms-not-seen", true));
            Ok(Verdict::Undecided(findings))
        }
    }
}

impl Walk<'_> {
    async fn look(
        self,
        child: &VerifiedChild,
        is_new: bool,
        deadline: Instant,
    ) -> (ChildView, Option<VerifiedManifest>) {
        let mut view = ChildView::of(child);
        view.repeated = !is_new;
        if !is_new || !matches!(child.kind(), ChildKind::Image | ChildKind::Index) {
            return (view, None);
        }
        let asked = Asked { reference: child.reference(), tag: child.tag().cloned() };
        let place = Shelf { source: self.source, manifests: self.manifests };
        let seen = async {
            let answer = match child.kind() {
                ChildKind::Index => timeout_at(deadline, place.open(child))
                    .await
                    .map(|nested| nested.map(Some).map_err(|error| chain(&error))),
                _ => timeout_at(deadline, place.exists(child)).await.map(|exists| exists.map(|()| None)),
            };
            answer.unwrap_or_else(|_| Err(used_up()))
        };
        let (seen, own) = tokio::join!(seen, self.own_signature(child.reference(), &asked, deadline));
        view.own_signature = own;
        match seen {
            Ok(nested) => (view, nested),
            Err(reason) => {
                view.unseen = Some(reason);
                (view, None)
            }
        }
    }

    /// What one manifest's own evidence says. Nothing where the registry does not have the manifest.
    async fn own_signature(self, of: PinnedReference, asked: &Asked, deadline: Instant) -> Option<OwnSignature> {
        let question = Asked { reference: of.clone(), tag: asked.tag.clone() };
        let at = self.evidence.pin(of.digest());
        let verdict = collect::verify_digest_from(self.source, &at, self.verifier, self.policy, &question, self.now);
        let unknown = |reason: String| Some(OwnSignature::Unknown { reason });
        match timeout_at(deadline, verdict).await {
            Err(_) => unknown(used_up()),
            Ok(Ok(Verdict::Verified(image, _))) => {
                let signed_by = image.signatures().first().map(|found| found.identity().to_owned());
                Some(OwnSignature::Accepted { signed_by: signed_by.unwrap_or_default() })
            }
            Ok(Ok(Verdict::Rejected(findings))) => {
                let reasons = || findings.candidates.iter().filter_map(|finding| finding.outcome.as_ref().err());
                match findings.threshold.1 > 0 || reasons().any(|reason| reason.class() == Class::Refused) {
                    true => Some(OwnSignature::Rejected { reason: headline(&findings) }),
                    false => Some(OwnSignature::None),
                }
            }
            Ok(Ok(Verdict::Undecided(findings))) => unknown(headline(&findings)),
            // A repository that holds signatures alone does not have the manifest.
            Ok(Err(error)) if error.code() == "not-found" && self.evidence != self.manifests => {
                Some(OwnSignature::None)
            }
            Ok(Err(error)) if error.code() == "not-found" => None,
            Ok(Err(error)) => unknown(chain(&error)),
        }
    }
}

/// Where manifests are read.
#[derive(Clone, Copy)]
struct Shelf<'a> {
    source: Source<'a>,
    manifests: &'a Repository,
}

impl Shelf<'_> {
    async fn read(self, digest: Digest) -> Result<RawManifest, Error> {
        let pinned = self.manifests.pin(digest);
        self.source.manifest(&pinned).await.map_err(|cause| collect::failed(&pinned, cause))
    }

    async fn root(self, image: &VerifiedImage) -> Result<VerifiedManifest, Error> {
        let raw = self.read(image.digest()).await?;
        let read = VerifiedManifest::of_image(image, &raw.bytes, Some(&raw.media_type));
        read.map_err(|cause| unusable(image.reference(), cause))
    }

    async fn open(self, child: &VerifiedChild) -> Result<VerifiedManifest, Error> {
        let raw = self.read(child.digest()).await?;
        VerifiedManifest::of_child(child, &raw.bytes).map_err(|cause| unusable(&child.reference(), cause))
    }

    async fn exists(self, child: &VerifiedChild) -> Result<(), String> {
        match self.source.manifest_exists(&self.manifests.pin(child.digest())).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the registry does not have it".to_owned()),
            Err(error) => Err(chain(&error)),
        }
    }

    /// The image that states its platform in its configuration only: the manifest itself, or the only one of an index.
    async fn configured(
        self,
        manifest: &VerifiedManifest,
        wanted: &Platform,
        available: &mut Vec<String>,
    ) -> Result<Option<VerifiedPlatform>, Error> {
        let below;
        let manifest = match manifest.manifest() {
            Manifest::Image(_) => manifest,
            _ => {
                let mut images = manifest.children().filter(|child| child.kind() == ChildKind::Image);
                let (Some(only), None) = (images.next(), images.next()) else { return Ok(None) };
                if only.descriptor().platform.is_some() {
                    return Ok(None);
                }
                below = self.open(&only).await?;
                &below
            }
        };
        let Manifest::Image(image) = manifest.manifest() else { return Ok(None) };
        if !is_image_config(&image.config.media_type) {
            return Ok(None);
        }
        let blob = self.source.blob(self.manifests, &image.config, limits::MANIFEST_BYTES).await;
        let bytes = blob.map_err(|cause| collect::failed(&self.manifests.pin(image.config.digest), cause))?;
        let Some(platform) = stated(&bytes) else { return Ok(None) };
        if platform.serves(wanted) {
            return Ok(Some(manifest.itself(platform)));
        }
        available.push(platform.to_string());
        Ok(None)
    }
}

/// The part of an image's configuration that says what it runs on.
#[derive(Deserialize)]
struct ImageConfig {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

fn stated(config: &[u8]) -> Option<Platform> {
    let config: ImageConfig = serde_json::from_slice(config).ok()?;
    if config.os.is_empty() || config.architecture.is_empty() {
        return None;
    }
    let mut platform = Platform::new(config.os, config.architecture);
    platform.variant = config.variant.filter(|variant| !variant.is_empty());
    Some(platform)
}

/// Puts every manifest below its index. Children come after their parents, so the last have none of their own left.
fn assemble(
    root: &VerifiedManifest,
    required: bool,
    mut nodes: Vec<(Option<usize>, ChildView)>,
    omitted: usize,
) -> PlatformTree {
    let of_image = |view: &&(Option<usize>, ChildView)| view.1.kind == "image manifest" && !view.1.repeated;
    let signed =
        |view: &&(Option<usize>, ChildView)| matches!(view.1.own_signature, Some(OwnSignature::Accepted { .. }));
    let (platforms, signed) =
        (nodes.iter().filter(of_image).count(), nodes.iter().filter(of_image).filter(signed).count());
    let mut children = Vec::new();
    while let Some((parent, mut view)) = nodes.pop() {
        view.children.reverse();
        match parent.and_then(|parent| nodes.get_mut(parent)) {
            Some((_, parent)) => parent.children.push(view),
            None => children.push(view),
        }
    }
    children.reverse();
    let is_image = matches!(root.manifest(), Manifest::Image(_));
    PlatformTree {
        kind: if is_image { "image manifest" } else { "image index" },
        digest: root.digest().to_string(),
        own_signatures_required: required,
        platforms: if is_image { 1 } else { platforms },
        signed_themselves: if is_image { 1 } else { signed },
        children,
        omitted,
    }
}

fn unusable(reference: &PinnedReference, cause: PlatformsError) -> Error {
    Error::Platforms { reference: reference.to_string(), cause }
}

fn used_up() -> String {
    let limit: Duration = limits::INSPECT_TIME;
    format!("the time for looking at an image with its children ({} s) is used up", limit.as_secs())
}

fn chain(error: &dyn std::error::Error) -> String {
    collect::chain(error)
}

fn digest(descriptor: &Descriptor) -> Digest {
    descriptor.digest
}
