//! Habits of real registries that writers meet: tags that stay, manifests that come late or go early.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::Value;

use super::envelope::refuse;
use super::store::{Content, Store};
use crate::exchange::Reply;

/// Whose words the registry uses when it lets no tag be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImmutableTags {
    /// Google's: 400 `MANIFEST_INVALID`.
    ArtifactRegistry,
    /// Amazon's: 400 `TAG_INVALID`.
    Ecr,
    /// 412 `PRECONDITION`.
    Harbor,
    /// 409 `TAG_IMMUTABLE`.
    Quay,
}

impl ImmutableTags {
    pub(super) fn refusal(self, repository: &str, tag: &str) -> Reply {
        let (status, code, message) = match self {
            Self::ArtifactRegistry => (
                StatusCode::BAD_REQUEST,
                "MANIFEST_INVALID",
                format!("cannot update tag {tag}. The repository has enabled tag immutability"),
            ),
            Self::Ecr => (
                StatusCode::BAD_REQUEST,
                "TAG_INVALID",
                format!(
                    "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the tag is immutable."
                ),
            ),
            Self::Harbor => (
                StatusCode::PRECONDITION_FAILED,
                "PRECONDITION",
                format!("Failed to process request due to '{repository}:{tag}' configured as immutable."),
            ),
            Self::Quay => (StatusCode::CONFLICT, "TAG_IMMUTABLE", format!("tag {tag} is immutable")),
        };
        refuse(status, code, &message)
    }
}

/// What the registry does when a manifest is deleted by tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagDeletion {
    /// 400, as distribution 2: it deletes by digest only.
    ByDigestOnly,
    /// 405, as where nothing is deleted at all.
    Off,
    /// The tag goes, the manifest stays.
    On,
}

/// What a tag pointed at before, for readers that are shown it late.
#[derive(Clone)]
pub(super) struct LateTag {
    before: Option<String>,
    reads: usize,
}

impl Content {
    /// Hides a manifest that was just pushed, and a tag that was just moved, from the next readers.
    pub(super) fn show_late(&mut self, digest: &str, moved: Option<(&str, Option<String>)>, reads: usize) {
        if let Some(manifest) = self.manifests.get_mut(digest) {
            manifest.hidden = reads;
        }
        if let Some((tag, before)) = moved.filter(|_| reads > 0) {
            self.late_tags.insert(tag.to_owned(), LateTag { before, reads });
        }
    }

    /// The digest under a tag or digest as this reader gets to see it, and one reader less to come.
    pub(super) fn seen(&mut self, reference: &str) -> Option<String> {
        if let Some(late) = self.late_tags.get_mut(reference).filter(|late| late.reads > 0) {
            late.reads -= 1;
            return late.before.clone();
        }
        let is_digest = reference.contains(':');
        let digest = if is_digest { reference.to_owned() } else { self.tags.get(reference)?.clone() };
        let manifest = self.manifests.get_mut(&digest)?;
        if is_digest && manifest.hidden > 0 {
            manifest.hidden -= 1;
            return None;
        }
        Some(digest)
    }

    /// The manifests that a tag keeps: tagged, part of what is kept, or about what is kept.
    fn kept(&self) -> BTreeSet<String> {
        let mut kept: BTreeSet<String> = self.tags.values().cloned().collect();
        loop {
            let before = kept.len();
            for (digest, manifest) in &self.manifests {
                let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
                if document["subject"]["digest"].as_str().is_some_and(|subject| kept.contains(subject)) {
                    kept.insert(digest.clone());
                }
                if kept.contains(digest) {
                    let children = document["manifests"].as_array().into_iter().flatten();
                    kept.extend(children.filter_map(|child| child["digest"].as_str()).map(str::to_owned));
                }
            }
            if kept.len() == before {
                return kept;
            }
        }
    }
}

impl Store {
    /// Counts a request, and takes away what has been without a tag for `after` of them.
    pub(super) fn reap(&mut self, after: Option<u64>) {
        self.requests += 1;
        let (Some(after), now) = (after, self.requests) else { return };
        for content in self.repositories.values_mut() {
            let kept = content.kept();
            content.manifests.retain(|digest, manifest| kept.contains(digest) || now - manifest.pushed_at <= after);
        }
    }
}
