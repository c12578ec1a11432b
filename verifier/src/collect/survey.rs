//! Looks at an image from all sides: the index, its children, and what is beside each of them.

use std::collections::HashSet;

use countersign_oci::index::{Descriptor, Manifest, Platform};
use countersign_oci::{Digest, ImageReference, PinnedReference, RawManifest, limits};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;

use super::budget::{ByteBudget, CountBudget, Deadline, InspectBounds};
use super::collector::{Collector, OlderTag, UNREADABLE_BYTES, WAVE};
use super::{Source, failed};
use crate::error::Error;
use crate::evidence::{Evidence, Gap, Place, Tally};
use crate::inspect::{Inspection, ManifestView, OlderTagView, ReferrerView};
use crate::inspect::{can_be_opened, is_attestation, is_image_config};

/// How many manifests are looked at from all sides at the same time: so many lists are in memory at once.
const CONCURRENT: usize = 4;
/// How many children for one platform are looked at; versions of Windows are several.
const SAME_PLATFORM: usize = 16;

/// Returns what is in the registry under a name, with everything below and beside it. Checks no signature.
///
/// What could not be seen is said where it is missing, and makes the inspection not whole. An error is returned only
/// when there is nothing to show: the image is not there or cannot be read, or it has nothing for the platform. With a
/// platform, that child alone is looked at, and not what is beside the index.
pub async fn inspect_image<'a>(
    registry: impl Into<Source<'a>>,
    reference: &ImageReference,
    platform: Option<&Platform>,
) -> Result<Inspection, Error> {
    inspect_image_within(registry, reference, platform, &InspectBounds::default()).await
}

/// Like [`inspect_image`], within other bounds.
pub async fn inspect_image_within<'a>(
    registry: impl Into<Source<'a>>,
    reference: &ImageReference,
    platform: Option<&Platform>,
    bounds: &InspectBounds,
) -> Result<Inspection, Error> {
    let registry = registry.into();
    let resolved = registry.resolve(reference).await.map_err(|cause| failed(reference, cause))?;
    let root = match resolved.manifest {
        Some(manifest) => manifest,
        None => registry.manifest(&resolved.pinned).await.map_err(|cause| failed(&resolved.pinned, cause))?,
    };
    let survey = Survey::new(registry, &resolved.pinned, bounds);
    let view = match platform {
        None => survey.everything(root).await,
        Some(wanted) => survey.platform(root, wanted).await?,
    };
    let platform = platform.map(ToString::to_string);
    Ok(Inspection::new(&resolved.pinned, reference.tag(), platform, view))
}

/// Returns what is beside a digest, without a look at the manifest itself: it need not be in this registry.
pub async fn inspect_beside<'a>(registry: impl Into<Source<'a>>, subject: &PinnedReference) -> ManifestView {
    let survey = Survey::new(registry.into(), subject, &InspectBounds::default());
    let mut view = ManifestView::of_digest(subject.digest());
    survey.look_beside(&survey.collector(subject), &mut view).await;
    view
}

struct Survey<'a> {
    registry: Source<'a>,
    pinned: &'a PinnedReference,
    depth: usize,
    manifests: usize,
    deadline: Deadline,
    read: ByteBudget,
    referrers: CountBudget,
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
    Entry(Digest, u64),
    Read(Box<RawManifest>),
}

/// An entry of an index, cut to what is shown: an index of 4 MiB takes many times that once it is parsed.
struct Entry {
    view: ManifestView,
    digest: Digest,
    size: u64,
    can_be_opened: bool,
}

/// What was seen of one manifest.
struct Seen {
    parent: Option<usize>,
    view: ManifestView,
    entries: Vec<Entry>,
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
    fn new(registry: Source<'a>, pinned: &'a PinnedReference, bounds: &InspectBounds) -> Self {
        Self {
            registry,
            pinned,
            depth: bounds.depth,
            manifests: bounds.manifests,
            deadline: Deadline::of_image(bounds.time),
            read: ByteBudget::new(bounds.bytes),
            referrers: CountBudget::new(bounds.referrers),
        }
    }

    /// Goes down level by level: an index can name the same manifest in many places, and each is looked at once.
    ///
    /// Of what is read, no more is kept than is shown: entries become tasks as soon as their index was looked at.
    async fn everything(&self, root: RawManifest) -> ManifestView {
        let mut known = HashSet::from([root.digest]);
        let mut seen: Vec<Seen> = Vec::new();
        let view = ManifestView::default();
        let mut level = vec![Task { parent: None, view, look_at: LookAt::Read(Box::new(root)) }];
        for depth in 0..=self.depth {
            let known_of = seen.len() + level.len();
            let left = if depth == self.depth { 0 } else { self.manifests.saturating_sub(known_of) };
            let mut looks = stream::iter(level).map(|task| self.look(task, left)).buffered(CONCURRENT);
            let mut below: Vec<Task> = Vec::new();
            while let Some(mut one) = looks.next().await {
                let mut entries = std::mem::take(&mut one.entries);
                let shown = entries.len().min(left - below.len());
                one.view.children_omitted += entries.len() - shown;
                entries.truncate(shown);
                below.extend(entries.into_iter().map(|entry| Task::of(seen.len(), entry, &mut known)));
                seen.push(one);
            }
            level = below;
        }
        assemble(seen)
    }

    /// Looks at the one child for a platform, or at the image itself where that is what it is for.
    async fn platform(&self, root: RawManifest, wanted: &Platform) -> Result<ManifestView, Error> {
        let root_view = ManifestView::default().read(root.digest, root.bytes.len() as u64, &root.manifest);
        let Manifest::Index(index) = &root.manifest else {
            let task = Task { parent: None, view: ManifestView::default(), look_at: LookAt::Read(Box::new(root)) };
            let view = self.look(task, 0).await.view;
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
            view.children.push(self.look(Task::of(0, Entry::of(entry), &mut known), 0).await.view);
        }
        Ok(view)
    }

    fn no_platform(&self, wanted: &Platform, available: Vec<String>) -> Error {
        Error::NoPlatform { reference: self.pinned.to_string(), wanted: wanted.to_string(), available }
    }

    /// Looks at a manifest from all sides; of an index, at most so many entries are returned and the rest is counted.
    async fn look(&self, task: Task, most: usize) -> Seen {
        let Task { parent, mut view, look_at } = task;
        let raw = match look_at {
            LookAt::Nothing => return Seen { parent, view, entries: Vec::new() },
            LookAt::Read(raw) => *raw,
            LookAt::Entry(digest, size) => match self.open(digest, size).await {
                Ok(raw) => raw,
                Err(gap) => {
                    view.unreadable = Some(gap);
                    return Seen { parent, view, entries: Vec::new() };
                }
            },
        };
        let RawManifest { digest, bytes, manifest, .. } = raw;
        self.read.spend(bytes.len() as u64);
        view = view.read(digest, bytes.len() as u64, &manifest);
        drop(bytes);
        // Before anything else is waited for: others are read meanwhile.
        let (entries, config) = match manifest {
            Manifest::Index(index) => {
                view.children_omitted = index.manifests.len().saturating_sub(most);
                (index.manifests.iter().take(most).map(Entry::of).collect(), None)
            }
            Manifest::Image(image) => (Vec::new(), Some(image.config)),
            _ => (Vec::new(), None),
        };
        if self.read.is_used_up() {
            view.gaps.push(self.read.gap());
            return Seen { parent, view, entries };
        }
        let subject = self.pinned.repository().pin(digest);
        let collector = self.collector(&subject);
        self.look_beside(&collector, &mut view).await;
        if let Some(config) = config {
            self.add_platform(&collector, &config, &mut view).await;
        }
        Seen { parent, view, entries }
    }

    async fn open(&self, digest: Digest, size: u64) -> Result<RawManifest, Gap> {
        if size > limits::MANIFEST_BYTES {
            let detail = format!("{size} bytes, more than the limit of {}", limits::MANIFEST_BYTES);
            return Err(Gap::new(detail, "manifest-too-large", false));
        }
        if self.read.is_used_up() {
            return Err(self.read.gap());
        }
        let pinned = self.pinned.repository().pin(digest);
        let answer = self.collector(&pinned).in_time(self.registry.manifest(&pinned)).await;
        answer.inspect_err(|_| self.read.spend(UNREADABLE_BYTES))
    }

    /// A part of the time for the whole image is the time for one digest.
    fn collector<'b>(&'b self, subject: &'b PinnedReference) -> Collector<'b> {
        let deadline = self.deadline.min(Deadline::of_evidence());
        Collector { registry: self.registry, subject, deadline, read: &self.read }
    }

    /// Names every place where something can be beside a manifest, and opens what is there.
    async fn look_beside(&self, collector: &Collector<'_>, view: &mut ManifestView) {
        let mut evidence = Evidence::default();
        let referrers = async {
            let Some(listed) = collector.list(&mut evidence).await else { return (None, Opened::default()) };
            let hidden = async {
                match listed.by_api {
                    true => Some(collector.hidden(&listed).await),
                    false => None,
                }
            };
            let (hidden, opened) = tokio::join!(hidden, self.open_referrers(collector, &listed.descriptors));
            if let Some(place) = evidence.looked_at.get_mut(listed.place) {
                opened.note(place);
            }
            (hidden, opened)
        };
        let tags = [OlderTag::Signature, OlderTag::Attestation, OlderTag::Sbom];
        let tags = stream::iter(tags).map(|tag| async move {
            let (place, answer) = collector.older_tag(tag).await;
            // What is under the tag is described at once and let go.
            let name = tag.name(collector.subject);
            let described =
                |raw: RawManifest| OlderTagView::new(&name, raw.digest, raw.bytes.len() as u64, &raw.manifest);
            (place, answer.map(|raw| raw.map(described)))
        });
        let ((hidden, opened), tags) = tokio::join!(referrers, tags.buffered(3).collect::<Vec<_>>());

        view.not_examined = opened.unopened + opened.omitted;
        view.referrers_omitted = opened.omitted;
        view.referrers = opened.views;
        view.looked_at = evidence.looked_at;
        view.gaps.extend(evidence.gaps);
        if let Some((place, gap)) = hidden {
            view.looked_at.push(place);
            view.gaps.extend(gap);
        }
        for (place, answer) in tags {
            view.looked_at.push(place);
            match answer {
                Ok(None) => {}
                Ok(Some(described)) => view.older_tags.push(described),
                Err(gap) => view.gaps.push(gap),
            }
        }
    }

    async fn open_referrers(&self, collector: &Collector<'_>, listed: &[Descriptor]) -> Opened {
        let (shown, omitted) = listed.split_at(self.referrers.take(listed.len()));
        let mut opened = Opened { omitted: omitted.len(), ..Opened::default() };
        let mut spent = 0_u64;
        for wave in shown.chunks(WAVE) {
            if spent > limits::EVIDENCE_BYTES || self.read.is_used_up() || collector.deadline.is_past() {
                break;
            }
            let (candidates, bytes) = collector.fetch_all(wave).await;
            spent += bytes;
            self.read.spend(bytes);
            for candidate in &candidates {
                opened.tally.add(&candidate.content);
                opened.views.push(ReferrerView::new(candidate, collector.subject.digest()));
            }
        }
        let unopened = &shown[opened.views.len()..];
        opened.unopened = unopened.len();
        opened.tally.leave_out(unopened.len());
        opened.views.extend(unopened.iter().map(ReferrerView::unopened));
        opened
    }

    /// An image that no index names a platform for says it in its configuration.
    async fn add_platform(&self, collector: &Collector<'_>, config: &Descriptor, view: &mut ManifestView) {
        if view.platform.is_some() || !is_image_config(&config.media_type) {
            return;
        }
        let blob = self.registry.blob(collector.subject.repository(), config, limits::MANIFEST_BYTES);
        match collector.in_time(blob).await {
            Ok(bytes) => {
                self.read.spend(bytes.len() as u64);
                view.platform = platform_of(&bytes);
            }
            Err(gap) => {
                self.read.spend(UNREADABLE_BYTES);
                view.gaps.push(gap);
            }
        }
    }
}

/// The referrers of one manifest, as far as they are shown.
#[derive(Default)]
struct Opened {
    views: Vec<ReferrerView>,
    tally: Tally,
    /// How many of them were not opened.
    unopened: usize,
    /// How many more are listed.
    omitted: usize,
}

impl Opened {
    /// Adds what they are to what was said of the place that lists them.
    fn note(&self, place: &mut Place) {
        self.tally.note(place);
        if self.omitted > 0 {
            place.found.push_str(&format!(", {} more not shown", self.omitted));
        }
    }
}

impl Entry {
    fn of(entry: &Descriptor) -> Self {
        let can_be_opened = can_be_opened(entry);
        Self { view: ManifestView::entry(entry), digest: entry.digest, size: entry.size, can_be_opened }
    }
}

impl Task {
    fn of(parent: usize, entry: Entry, known: &mut HashSet<Digest>) -> Self {
        let Entry { mut view, digest, size, can_be_opened } = entry;
        let look_at = if !can_be_opened {
            view.note = Some("no manifest, so nothing can refer to it");
            LookAt::Nothing
        } else if known.insert(digest) {
            LookAt::Entry(digest, size)
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
        view.add_up();
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
