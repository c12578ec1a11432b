//! What the registry holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::habits::LateTag;

/// Returns the digest of content, `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", crate::hex(digest(&SHA256, bytes).as_ref()))
}

/// Blobs are kept once for all repositories; a repository has those that were pushed to it or mounted.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) repositories: BTreeMap<String, Content>,
    pub(crate) uploads: HashMap<String, Upload>,
    pub(crate) next_upload: u64,
    /// How many requests there were.
    pub(crate) requests: u64,
}

/// One repository.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) blobs: BTreeSet<String>,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(super) late_tags: BTreeMap<String, LateTag>,
}

#[derive(Clone)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
    /// What it says it refers to, noted once: a listing of referrers reads no manifest but its own.
    pub(super) subject: Option<String>,
    /// How many readers by digest do not see it yet.
    pub(super) hidden: usize,
    /// After how many requests it was pushed.
    pub(super) pushed_at: u64,
}

impl Manifest {
    pub(super) fn new(media_type: &str, bytes: Bytes, pushed_at: u64) -> Manifest {
        Manifest { media_type: media_type.to_owned(), subject: subject_of(&bytes), bytes, hidden: 0, pushed_at }
    }

    /// Serves other bytes from now on.
    pub(super) fn overwrite(&mut self, bytes: Bytes) {
        self.subject = subject_of(&bytes);
        self.bytes = bytes;
    }
}

fn subject_of(bytes: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    document["subject"]["digest"].as_str().map(str::to_owned)
}

/// A blob that is still coming.
pub(crate) struct Upload {
    pub(crate) repository: String,
    pub(crate) bytes: Vec<u8>,
}

impl Store {
    pub(crate) fn put_blob(&mut self, repository: &str, bytes: Bytes) -> String {
        let digest = digest_of(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        self.content(repository).blobs.insert(digest.clone());
        digest
    }

    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Bytes> {
        let content = self.repositories.get(repository)?;
        content.blobs.contains(digest).then(|| self.blobs.get(digest).cloned())?
    }

    pub(crate) fn content(&mut self, repository: &str) -> &mut Content {
        self.repositories.entry(repository.to_owned()).or_default()
    }

    /// The digest and the manifest under a tag or a digest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Manifest)> {
        let content = self.repositories.get(repository)?;
        let digest = if reference.contains(':') { reference } else { content.tags.get(reference)? };
        Some((digest.to_owned(), content.manifests.get(digest)?.clone()))
    }
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
pub(crate) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Components of lower case letters and digits, joined by `.`, `_`, `__` or dashes, divided by slashes.
pub(crate) fn is_repository(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_component)
}

fn is_component(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().copied().is_some_and(word) && bytes.last().copied().is_some_and(word);
    ends && part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_specification() {
        for good in ["a", "octo/app", "a/b/c-d", "a--b", "a__b", "a.b", "0/9"] {
            assert!(is_repository(good), "{good}");
        }
        for bad in ["", "A", "a//b", "/a", "a/", "a..b", "a___b", "-a", "a-", "a b", "a:b", "../a"] {
            assert!(!is_repository(bad), "{bad}");
        }
    }

    #[test]
    fn tags_follow_the_specification() {
        for good in ["latest", "v1.2", "_x", "sha256-0a"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a:b", &"a".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn digests_are_lower_case_sha256() {
        assert!(is_digest(&digest_of(b"")));
        for bad in [digest_of(b"").to_uppercase(), "sha256:00".to_owned(), format!("sha512:{}", "0".repeat(128))] {
            assert!(!is_digest(&bad), "{bad}");
        }
    }
}
