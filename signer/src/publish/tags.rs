//! Tags: where they were, where they go, and those that only hold what a registry would collect.

use std::collections::BTreeMap;

use bytes::Bytes;
use countersign_oci::{
    Deleted, Digest, ImageReference, ManifestTarget, PinnedReference, Pusher, Registry, Repository, Tag, media_type,
};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use super::PublishError;
use super::children::Entry;

const PARALLEL: usize = 8;
/// Digits of a digest that tell the manifests of a release apart.
const DIGITS: usize = 16;

/// The beginning of the tags that hold manifests until their index is tagged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldPrefix(String);

impl HoldPrefix {
    /// Takes a prefix that makes tags with the digits of a digest behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let prefix = Self(text.to_owned());
        (!text.is_empty()).then(|| prefix.tag(Digest::of(b"")))??;
        Some(prefix)
    }

    fn tag(&self, digest: Digest) -> Option<Tag> {
        format!("{}-{}", self.0, digest.hex().get(..DIGITS)?).parse().ok()
    }
}

/// A tag that holds a manifest.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) repository: Repository,
    pub(super) tag: Tag,
    pub(super) digest: Digest,
}

impl Held {
    pub(super) fn reference(&self) -> ImageReference {
        named(&self.repository, &self.tag)
    }
}

/// Gives every manifest in the repository a tag of its own. Returns those that are there, where one fails too.
pub(super) async fn hold(
    pusher: &Pusher,
    prefix: &HoldPrefix,
    repository: &Repository,
    manifests: &[(Digest, Bytes, &str)],
) -> (Vec<Held>, Option<PublishError>) {
    let outcomes: Vec<Result<Held, PublishError>> = stream::iter(manifests)
        .map(|(digest, bytes, media_type)| async move {
            let tag = prefix.tag(*digest).ok_or(PublishError::NoTag)?;
            let pushed = pusher.push_manifest(repository, ManifestTarget::Tag(&tag), bytes.clone(), media_type).await;
            pushed.map_err(|source| PublishError::Registry {
                action: "hold",
                what: format!("{repository}@{digest} under the tag {tag}"),
                source: Box::new(source),
            })?;
            Ok(Held { repository: repository.clone(), tag, digest: *digest })
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    let (mut held, mut failure) = (Vec::new(), None);
    for outcome in outcomes {
        match outcome {
            Ok(one) => held.push(one),
            Err(error) => failure = Some(error),
        }
    }
    (held, failure)
}

/// The entries, as they are held.
pub(super) fn entries(entries: &[Entry]) -> Vec<(Digest, Bytes, &str)> {
    entries.iter().map(|one| (one.descriptor.digest, one.raw.bytes.clone(), one.raw.media_type.as_str())).collect()
}

/// What came of taking the holding tags away.
#[derive(Default)]
pub(super) struct Released {
    /// Tags that stay: some registries delete no tags.
    pub(super) left: Vec<ImageReference>,
    /// Manifests that went with their tag: some registries delete more than they are asked to.
    pub(super) lost: Vec<PinnedReference>,
}

/// Takes the holding tags away, one after the other in each repository, and looks after each whether what it held is still there. Where it
/// is not, the others stay.
pub(super) async fn release(pusher: &Pusher, held: Vec<Held>) -> Released {
    let mut by_repository: BTreeMap<Repository, Vec<Held>> = BTreeMap::new();
    for one in held {
        by_repository.entry(one.repository.clone()).or_default().push(one);
    }
    let outcomes = by_repository.into_values().map(|held| release_in(pusher, held));
    let mut all = Released::default();
    for one in join_all(outcomes).await {
        all.left.extend(one.left);
        all.lost.extend(one.lost);
    }
    all
}

async fn release_in(pusher: &Pusher, held: Vec<Held>) -> Released {
    let mut released = Released::default();
    for one in held {
        let reference = one.reference();
        if !released.lost.is_empty() {
            released.left.push(reference);
            continue;
        }
        let left = match pusher.delete_tag(&one.repository, &one.tag).await {
            Ok(Deleted::Removed | Deleted::Absent) => None,
            Ok(_) => Some("the registry deletes no tags".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(left) = left {
            tracing::warn!("{reference} only held a manifest and stays: {left}");
            released.left.push(reference);
            continue;
        }
        let pinned = one.repository.pin(one.digest);
        if let Ok(false) = pusher.registry().manifest_exists(&pinned).await {
            tracing::warn!("{pinned} went with the tag that held it, the other holding tags stay");
            released.lost.push(pinned);
        }
    }
    released
}

/// What a tag points at.
pub(super) async fn target(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<Digest>, PublishError> {
    registry.tag_digest(repository, tag).await.map_err(|source| PublishError::Registry {
        action: "resolve",
        what: format!("{repository}:{tag}"),
        source: Box::new(source),
    })
}

/// Returns whether a tag is at the release already; it may be nowhere else than there and where it was before.
pub(super) async fn check(
    registry: &Registry,
    (repository, tag): (&Repository, &Tag),
    before: Option<Digest>,
    digest: Digest,
    force: bool,
) -> Result<bool, PublishError> {
    let found = target(registry, repository, tag).await?;
    if found == Some(digest) {
        return Ok(true);
    }
    if found != before && !force {
        return Err(PublishError::TagTaken { reference: named(repository, tag), before, found });
    }
    Ok(false)
}

/// Moves one tag, unless somebody else did meanwhile. Returns whether it had to be moved.
pub(super) async fn advance(
    pusher: &Pusher,
    (repository, tag): (&Repository, &Tag),
    before: Option<Digest>,
    (digest, bytes): (Digest, &Bytes),
    force: bool,
) -> Result<bool, PublishError> {
    if check(pusher.registry(), (repository, tag), before, digest, force).await? {
        return Ok(false);
    }
    let reference = named(repository, tag);
    let moved = pusher.move_tag(repository, tag, bytes.clone(), media_type::OCI_INDEX, digest).await;
    moved.map(|()| true).map_err(|source| PublishError::TagStayed { reference, digest, source: Box::new(source) })
}

fn named(repository: &Repository, tag: &Tag) -> ImageReference {
    ImageReference::with_tag(repository.clone(), tag.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_prefix_makes_tags() {
        let prefix = HoldPrefix::parse("hold").unwrap();
        assert_eq!(prefix.tag(Digest::of(b"")).unwrap().as_str(), "hold-e3b0c44298fc1c14");
        for refused in ["", "a b", "-a", "a/b", &"a".repeat(120)] {
            assert_eq!(HoldPrefix::parse(refused), None, "{refused}");
        }
    }
}
