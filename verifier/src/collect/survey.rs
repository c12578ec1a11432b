//! Looks at an image from all sides: the index, its children, and what is beside each of them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use countersign_oci::index::{Descriptor, ImageManifest, Manifest, Platform};
use countersign_oci::{Digest, ImageReference, PinnedReference, RawManifest, Registry, limits};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tokio::time::Instant;

use super::collector::{Collector, OlderTag, WAVE};
use super::failed;
use crate::error::Error;
use crate::evidence::{Evidence, Gap, Tally};
use crate::inspect::{Inspection, ManifestView, OlderTagView, ReferrerView};
use crate::inspect::{can_be_opened, is_attestation, is_image_config};

/// How many manifests are looked at from all sides at the same time.
const CONCURRENT: usize = 4;
/// How many children for one platform are looked at; versions of Windows are several.
const SAME_PLATFORM: usize = 16;

/// Returns what is in the registry under a name, with everything below and beside it. Checks no signature.
///
/// What could not be seen is said where it is missing, and makes the inspection not whole. An error is returned only
/// when there is nothing to show: the image is not there or cannot be read, or it has nothing for the platform. With a
/// platform, that child alone is looked at, and not what is beside the index.
pub async fn inspect_image(
    registry: &Registry,
    reference: &ImageReference,
    platform: Option<&Platform>,
) -> Result<Inspection, Error> {
    let resolved = registry.resolve(reference).await.map_err(|cause| failed(reference, cause))?;
    let root = match resolved.manifest {
        Some(manifest) => manifest,
        None => registry.manifest(&resolved.pinned).await.map_err(|cause| failed(&resolved.pinned, cause))?,
    };
    let survey = Survey::new(registry, &resolved.pinned);
    let view = match platform {
        None => survey.everything(root).await,
        Some(wanted) => survey.platform(root, wanted).await?,
    };
    let platform = platform.map(ToString::to_string);
    Ok(Inspection::new(&resolved.pinned, reference.tag(), platform, view))
}

/// Returns what is beside a digest, without a look at the manifest itself: it need not be in this registry.
pub async fn inspect_beside(registry: &Registry, subject: &PinnedReference) -> ManifestView {
    let survey = Survey::new(registry, subject);
    let mut view = ManifestView::of_digest(subject.digest());
    survey.look_beside(&survey.collector(subject), &mut view).await;
    view
}

struct Survey<'a> {
    registry: &'a Registry,
    pinned: &'a PinnedReference,
    deadline: Instant,
    bytes_left: AtomicU64,
    referrers_left: AtomicUsize,
}

/// A manifest to look at, and where it belongs.
struct Task {
    parent: Option<usize>,
    view: ManifestView,
    look_at: LookAt,
}

enum LookAt {
    /// What the index says is all that is said.
    Nothing,
    Entry(Box<Descriptor>),
    Read(Box<RawManifest>),
}

/// What was seen of one manifest.
struct Seen {
    parent: Option<usize>,
    view: ManifestView,
    entries: Vec<Descriptor>,
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

impl<'a> Survey<'a> {
    fn new(registry: &'a Registry, pinned: &'a PinnedReference) -> Self {
        Self {
            registry,
            pinned,
            deadline: Instant::now() + limits::INSPECT_TIME,
            bytes_left: AtomicU64::new(limits::INSPECT_BYTES),
            referrers_left: AtomicUsize::new(limits::INSPECT_REFERRERS),
        }
    }

    /// Goes down level by level: an index can name the same manifest in many places, and each is looked at once.
    async fn everything(&self, root: RawManifest) -> ManifestView {
        let mut known = HashSet::from([root.digest]);
        let mut seen: Vec<Seen> = Vec::new();
        let view = ManifestView::default();
        let mut level = vec![Task { parent: None, view, look_at: LookAt::Read(Box::new(root)) }];
        for depth in 0..=limits::INSPECT_DEPTH {
            let first = seen.len();
            seen.extend(stream::iter(level).map(|task| self.look(task)).buffered(CONCURRENT).collect::<Vec<_>>().await);
            level = Vec::new();
            for parent in first..seen.len() {
                let entries = std::mem::take(&mut seen[parent].entries);
                for (position, entry) in entries.iter().enumerate() {
                    let left = limits::INSPECT_MANIFESTS.saturating_sub(seen.len() + level.len());
                    if left == 0 || depth == limits::INSPECT_DEPTH {
                        seen[parent].view.children_omitted = entries.len() - position;
                        break;
                    }
                    level.push(Task::of(parent, entry, &mut known));
                }
            }
        }
        assemble(seen)
    }

    /// Looks at the one child for a platform, or at the image itself where that is what it is for.
    async fn platform(&self, root: RawManifest, wanted: &Platform) -> Result<ManifestView, Error> {
        let root_view = ManifestView::default().read(root.digest, root.bytes.len() as u64, &root.manifest);
        let Manifest::Index(index) = &root.manifest else {
            let task = Task { parent: None, view: ManifestView::default(), look_at: LookAt::Read(Box::new(root)) };
            let view = self.look(task).await.view;
            let found = view.platform.clone();
            let serves =
                found.as_deref().and_then(|text| text.parse::<Platform>().ok()).is_some_and(|p| p.serves(wanted));
            return if serves { Ok(view) } else { Err(self.no_platform(wanted, found.into_iter().collect())) };
        };
        let images = || index.manifests.iter().filter(|entry| !is_attestation(entry));
        let of_platform = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|found| found.serves(wanted));
        let chosen: Vec<&Descriptor> = images().filter(of_platform).collect();
        if chosen.is_empty() {
            let available = images().filter_map(|entry| entry.platform.as_ref().map(ToString::to_string));
            return Err(self.no_platform(wanted, available.take(20).collect()));
        }
        let mut known = HashSet::from([root.digest]);
        let mut view = root_view;
        view.children_omitted = chosen.len().saturating_sub(SAME_PLATFORM);
        for entry in chosen.into_iter().take(SAME_PLATFORM) {
            view.children.push(self.look(Task::of(0, entry, &mut known)).await.view);
        }
        Ok(view)
    }

    fn no_platform(&self, wanted: &Platform, available: Vec<String>) -> Error {
        Error::NoPlatform { reference: self.pinned.to_string(), wanted: wanted.to_string(), available }
    }

    async fn look(&self, task: Task) -> Seen {
        let Task { parent, mut view, look_at } = task;
        let raw = match look_at {
            LookAt::Nothing => return Seen { parent, view, entries: Vec::new() },
            LookAt::Read(raw) => raw,
            LookAt::Entry(entry) => match self.open(&entry).await {
                Ok(raw) => Box::new(raw),
                Err(gap) => {
                    view.unreadable = Some(gap);
                    return Seen { parent, view, entries: Vec::new() };
                }
            },
        };
        view = view.read(raw.digest, raw.bytes.len() as u64, &raw.manifest);
        let subject = self.pinned.repository().pin(raw.digest);
        let collector = self.collector(&subject);
        self.look_beside(&collector, &mut view).await;
        let entries = match &raw.manifest {
            Manifest::Index(index) => index.manifests.clone(),
            Manifest::Image(image) => {
                self.add_platform(&collector, image, &mut view).await;
                Vec::new()
            }
            _ => Vec::new(),
        };
        Seen { parent, view, entries }
    }

    async fn open(&self, entry: &Descriptor) -> Result<RawManifest, Gap> {
        if entry.size > limits::MANIFEST_BYTES {
            let detail = format!("{} bytes, more than the limit of {}", entry.size, limits::MANIFEST_BYTES);
            return Err(Gap::new(detail, "manifest-too-large", false));
        }
        let pinned = self.pinned.repository().pin(entry.digest);
        self.collector(&pinned).in_time(self.registry.manifest(&pinned)).await
    }

    /// A part of the time for the whole image is the time for one digest.
    fn collector<'b>(&'b self, subject: &'b PinnedReference) -> Collector<'b> {
        let deadline = self.deadline.min(Instant::now() + limits::EVIDENCE_TIME);
        Collector { registry: self.registry, subject, deadline }
    }

    /// Names every place where something can be beside a manifest, and opens what is there.
    async fn look_beside(&self, collector: &Collector<'_>, view: &mut ManifestView) {
        let mut evidence = Evidence::default();
        let referrers = async {
            let Some(listed) = collector.list(&mut evidence).await else { return (None, Vec::new()) };
            let hidden = async {
                match listed.by_api {
                    true => Some(collector.hidden(&listed).await),
                    false => None,
                }
            };
            let (hidden, (views, tally)) = tokio::join!(hidden, self.open_referrers(collector, &listed.descriptors));
            if let Some(place) = evidence.looked_at.get_mut(listed.place) {
                tally.note(place);
            }
            (hidden, views)
        };
        let tags = [OlderTag::Signature, OlderTag::Attestation, OlderTag::Sbom];
        let tags = stream::iter(tags).map(|tag| async move { (tag, collector.older_tag(tag).await) });
        let ((hidden, referrers), tags) = tokio::join!(referrers, tags.buffered(3).collect::<Vec<_>>());

        view.not_examined = referrers.iter().filter(|referrer| referrer.is == "not-examined").count();
        view.referrers = referrers;
        view.looked_at = evidence.looked_at;
        view.gaps.extend(evidence.gaps);
        if let Some((place, gap)) = hidden {
            view.looked_at.push(place);
            view.gaps.extend(gap);
        }
        for (tag, (place, answer)) in tags {
            view.looked_at.push(place);
            match answer {
                Ok(None) => {}
                Ok(Some(raw)) => {
                    let name = tag.name(collector.subject);
                    view.older_tags.push(OlderTagView::new(&name, raw.digest, raw.bytes.len() as u64, &raw.manifest));
                }
                Err(gap) => view.gaps.push(gap),
            }
        }
    }

    async fn open_referrers(&self, collector: &Collector<'_>, listed: &[Descriptor]) -> (Vec<ReferrerView>, Tally) {
        let allowed = listed.len().min(self.take_referrers(listed.len()));
        let (mut views, mut tally, mut spent) = (Vec::with_capacity(allowed), Tally::default(), 0_u64);
        let mut opened = 0;
        for wave in listed[..allowed].chunks(WAVE) {
            let left = self.bytes_left.load(Ordering::Relaxed);
            if spent > limits::EVIDENCE_BYTES || left == 0 || Instant::now() >= collector.deadline {
                break;
            }
            let (candidates, bytes) = collector.fetch_all(wave).await;
            spent += bytes;
            // Loses nothing that matters when two do it at once: it bounds, it does not account.
            self.bytes_left.store(left.saturating_sub(bytes), Ordering::Relaxed);
            opened += wave.len();
            for candidate in &candidates {
                tally.add(&candidate.content);
                views.push(ReferrerView::new(candidate, collector.subject.digest()));
            }
        }
        tally.leave_out(listed.len() - opened);
        views.extend(listed[opened..].iter().map(ReferrerView::unopened));
        (views, tally)
    }

    fn take_referrers(&self, wanted: usize) -> usize {
        let taken = self
            .referrers_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(wanted)));
        taken.unwrap_or_default()
    }

    /// An image that no index names a platform for says it in its configuration.
    async fn add_platform(&self, collector: &Collector<'_>, image: &ImageManifest, view: &mut ManifestView) {
        if view.platform.is_some() || !is_image_config(&image.config.media_type) {
            return;
        }
        let blob = self.registry.blob(collector.subject.repository(), &image.config, limits::MANIFEST_BYTES);
        match collector.in_time(blob).await {
            Ok(bytes) => view.platform = platform_of(&bytes),
            Err(gap) => view.gaps.push(gap),
        }
    }
}

impl Task {
    fn of(parent: usize, entry: &Descriptor, known: &mut HashSet<Digest>) -> Self {
        let mut view = ManifestView::entry(entry);
        let look_at = if !can_be_opened(entry) {
            view.note = Some("no manifest, so nothing can refer to it");
            LookAt::Nothing
        } else if known.insert(entry.digest) {
            LookAt::Entry(Box::new(entry.clone()))
        } else {
            view.note = Some("the same manifest is shown elsewhere");
            LookAt::Nothing
        };
        Self { parent: Some(parent), view, look_at }
    }
}

/// Puts every manifest below its parent. Children come after their parents, so the last have none of their own left.
fn assemble(mut seen: Vec<Seen>) -> ManifestView {
    while let Some(Seen { parent, mut view, .. }) = seen.pop() {
        view.children.reverse();
        match parent.and_then(|parent| seen.get_mut(parent)) {
            Some(parent) => parent.view.children.push(view),
            None => return view,
        }
    }
    ManifestView::default()
}

fn platform_of(config: &[u8]) -> Option<String> {
    let config: ImageConfig = serde_json::from_slice(config).ok()?;
    if config.os.is_empty() || config.architecture.is_empty() {
        return None;
    }
    let mut platform = Platform::new(config.os, config.architecture);
    platform.variant = config.variant.filter(|variant| !variant.is_empty());
    Some(platform.to_string())
}
