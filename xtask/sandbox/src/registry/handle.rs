//! The registry from the inside: what tests put, read, move and tamper with, without HTTP.

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::Value;

use super::store::{Manifest, digest_of};
use super::{Auth, ImmutableTags, ReferrersApi, Registry, TagDeletion};

/// A manifest as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredManifest {
    /// The digest that it is stored under.
    pub digest: String,
    /// The content type that it is served with.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// The registry of a sandbox. Clones share the registry; nothing here is checked, and nothing here is logged.
#[derive(Clone)]
pub struct RegistryHandle(pub(crate) Arc<Registry>);

impl std::fmt::Debug for RegistryHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryHandle({})", self.host())
    }
}

/// Content.
impl RegistryHandle {
    /// Returns host and port, as references spell them: `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Returns the base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.0.host)
    }

    /// Adds a blob to a repository and returns its digest.
    pub fn put_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> String {
        crate::lock(&self.0.store).put_blob(repository, bytes.into())
    }

    /// Adds a manifest under a tag or its digest and returns its digest. A digest that is not the content's is taken as it is.
    pub fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let is_digest = reference.contains(':');
        let digest = if is_digest { reference.to_owned() } else { digest_of(&bytes) };
        let mut store = crate::lock(&self.0.store);
        let manifest = Manifest::new(media_type, bytes, store.requests);
        let content = store.content(repository);
        content.manifests.insert(digest.clone(), manifest);
        if !is_digest {
            content.tags.insert(reference.to_owned(), digest.clone());
        }
        digest
    }

    /// Returns a blob, from whichever repository.
    #[must_use]
    pub fn get_blob(&self, digest: &str) -> Option<Bytes> {
        crate::lock(&self.0.store).blobs.get(digest).cloned()
    }

    /// Returns whether a blob is in a repository.
    #[must_use]
    pub fn has_blob(&self, repository: &str, digest: &str) -> bool {
        crate::lock(&self.0.store).blob(repository, digest).is_some()
    }

    /// Returns the manifest under a tag or digest.
    #[must_use]
    pub fn get_manifest(&self, repository: &str, reference: &str) -> Option<StoredManifest> {
        let (digest, manifest) = crate::lock(&self.0.store).manifest(repository, reference)?;
        Some(StoredManifest { digest, media_type: manifest.media_type, bytes: manifest.bytes })
    }

    /// Returns the digests of all manifests of a repository.
    #[must_use]
    pub fn manifests(&self, repository: &str) -> Vec<String> {
        let store = crate::lock(&self.0.store);
        store
            .repositories
            .get(repository)
            .map(|content| content.manifests.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Returns the names of all repositories.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        crate::lock(&self.0.store).repositories.keys().cloned().collect()
    }

    /// Returns the tags of a repository.
    #[must_use]
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let store = crate::lock(&self.0.store);
        store.repositories.get(repository).map(|content| content.tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// Returns the descriptors of the referrers of a manifest, whether the API is on or not.
    #[must_use]
    pub fn referrers(&self, repository: &str, subject: &str) -> Vec<Value> {
        super::referrers::descriptors(&crate::lock(&self.0.store), repository, subject, ReferrersApi::Complete)
    }

    /// Points a tag at a digest.
    pub fn set_tag(&self, repository: &str, tag: &str, digest: &str) {
        crate::lock(&self.0.store).content(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// Removes a tag.
    pub fn remove_tag(&self, repository: &str, tag: &str) {
        crate::lock(&self.0.store).content(repository).tags.remove(tag);
    }

    /// Removes a manifest (a referrer, say); tags that point at it dangle.
    pub fn remove_manifest(&self, repository: &str, digest: &str) {
        crate::lock(&self.0.store).content(repository).manifests.remove(digest);
    }

    /// Removes a blob from every repository.
    pub fn remove_blob(&self, digest: &str) {
        crate::lock(&self.0.store).blobs.remove(digest);
    }

    /// Tampers: serves other bytes under the digest of a blob, in every repository.
    pub fn overwrite_blob(&self, digest: &str, bytes: impl Into<Bytes>) {
        crate::lock(&self.0.store).blobs.insert(digest.to_owned(), bytes.into());
    }

    /// Tampers: serves other bytes under the digest of a manifest. The media type stays; an unknown digest becomes an OCI index.
    pub fn overwrite_manifest(&self, repository: &str, digest: &str, bytes: impl Into<Bytes>) {
        let mut store = crate::lock(&self.0.store);
        let pushed_at = store.requests;
        let unknown = || Manifest::new("application/vnd.oci.image.index.v1+json", Bytes::new(), pushed_at);
        let manifest = store.content(repository).manifests.entry(digest.to_owned()).or_insert_with(unknown);
        manifest.overwrite(bytes.into());
    }
}

/// Behaviour, changed while it runs.
impl RegistryHandle {
    /// Switches the referrers API on or off.
    pub fn set_referrers_api(&self, on: bool) {
        self.set_referrers(if on { ReferrersApi::Complete } else { ReferrersApi::Absent });
    }

    /// Chooses what the registry knows of the referrers API.
    pub fn set_referrers(&self, api: ReferrersApi) {
        crate::lock(&self.0.behaviour).referrers = api;
    }

    /// Asks for other credentials from now on.
    pub fn set_auth(&self, auth: Auth) {
        crate::lock(&self.0.behaviour).auth = auth;
    }

    /// Lets anyone read, or nobody without credentials.
    pub fn set_anonymous_pull(&self, on: bool) {
        crate::lock(&self.0.behaviour).anonymous_pull = on;
    }

    /// Sets the size of a page of tags, repositories and referrers.
    pub fn set_page_size(&self, size: Option<usize>) {
        crate::lock(&self.0.behaviour).page_size = size;
    }

    /// Lets mounts succeed (201), or answers each with an upload (202).
    pub fn set_mounts(&self, on: bool) {
        crate::lock(&self.0.behaviour).mounts = on;
    }

    /// Takes a blob with the POST that opens its upload (201), or only opens the upload (202) as many registries do.
    pub fn set_inline_uploads(&self, on: bool) {
        crate::lock(&self.0.behaviour).inline_uploads = on;
    }

    /// Lets no tag be overwritten, in somebody's words, or every tag.
    pub fn set_immutable_tags(&self, words: Option<ImmutableTags>) {
        crate::lock(&self.0.behaviour).immutable_tags = words;
    }

    /// Chooses what a deletion by tag does.
    pub fn set_tag_deletion(&self, deletion: TagDeletion) {
        crate::lock(&self.0.behaviour).tag_deletion = deletion;
    }

    /// Takes away what has been without a tag for that many requests, as Quay did between a build and its merge.
    pub fn set_reaper(&self, after: Option<u64>) {
        crate::lock(&self.0.behaviour).reaper = after;
    }

    /// Shows a manifest that is pushed from now on to nobody before that many have asked for it, and a tag that is moved where
    /// it pointed before.
    pub fn set_late(&self, reads: usize) {
        crate::lock(&self.0.behaviour).late = reads;
    }

    /// Makes tokens given out from now on live that long.
    pub fn set_token_lifetime(&self, lifetime: SignedDuration) {
        crate::lock(&self.0.grants).lifetime = lifetime;
    }

    /// Makes every token given out so far invalid.
    pub fn revoke_tokens(&self) {
        crate::lock(&self.0.grants).revoke();
    }
}
