use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::error::RegistryError;
use crate::http::HttpError;
use crate::index::{Descriptor, Manifest};
use crate::registry::{Call, Fetched, RawManifest, Registry, Resolved};
use crate::{Digest, ImageReference, PinnedReference, Repository, Tag, limits};

impl Registry {
    /// Returns repository and digest of what a person named. A digest is taken as it is, without a request; a tag is
    /// looked up, and its digest is that of the very bytes that came.
    pub async fn resolve(&self, reference: &ImageReference) -> Result<Resolved, RegistryError> {
        let repository = reference.repository();
        if let Some(digest) = reference.digest() {
            return Ok(Resolved { pinned: repository.pin(digest), manifest: None });
        }
        let tag = reference.tag().expect("a reference without a digest has a tag, by its type");
        let manifest = self.manifest_at(repository, tag).await?;
        Ok(Resolved { pinned: repository.pin(manifest.digest), manifest: Some(manifest) })
    }

    /// Returns a manifest whose bytes, at most [`limits::MANIFEST_BYTES`], hash to the digest that was asked for.
    pub async fn manifest(&self, pinned: &PinnedReference) -> Result<RawManifest, RegistryError> {
        let what = format!("manifest {pinned}");
        let path = format!("manifests/{}", pinned.digest());
        let fetched = self.get_manifest(&what, pinned.repository(), path).await?;
        raw(what, fetched, Some(pinned.digest()))
    }

    /// Returns whether the registry has a manifest, by HEAD: its word, without a look at the bytes.
    pub async fn manifest_exists(&self, pinned: &PinnedReference) -> Result<bool, RegistryError> {
        let what = format!("manifest {pinned}");
        let mut call = Call::read(what, pinned.repository(), format!("manifests/{}", pinned.digest()));
        call.method = Method::HEAD;
        call.headers = accept_manifests();
        match self.open(&call).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns a manifest that was pushed just now: where the registry does not show it yet, it is waited for, as long as
    /// [`RegistryOptions::visible_within`](crate::RegistryOptions::visible_within) says.
    pub async fn wait_for_manifest(&self, pinned: &PinnedReference) -> Result<RawManifest, RegistryError> {
        let mut patience = self.patience(format!("manifest {pinned}"), self.0.visible_within);
        loop {
            match self.manifest(pinned).await {
                Err(absent @ RegistryError::NotFound { .. }) => {
                    if !patience.pause().await {
                        return Err(absent);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Returns what a tag points at, or `None` when it is not there: the registry's word, by HEAD, unless it says nothing
    /// of a digest; then that of the bytes.
    pub async fn tag_digest(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, RegistryError> {
        let what = format!("manifest {repository}:{tag}");
        let mut call = Call::read(what, repository, format!("manifests/{tag}"));
        call.method = Method::HEAD;
        call.headers = accept_manifests();
        match self.open(&call).await {
            Ok(answer) => {
                if let Some(digest) = stated_digest(answer.headers(), &CONTENT_DIGEST) {
                    return Ok(Some(digest));
                }
            }
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        match self.get_manifest(&call.what, repository, format!("manifests/{tag}")).await {
            Ok(fetched) => Ok(Some(Digest::of(&fetched.bytes))),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a repository has a blob, by HEAD: its word.
    pub(crate) async fn blob_exists(&self, repository: &Repository, digest: Digest) -> Result<bool, RegistryError> {
        let mut call = Call::read(format!("blob {repository}@{digest}"), repository, format!("blobs/{digest}"));
        call.method = Method::HEAD;
        match self.open(&call).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns what is under the tag where cosign kept signatures before bundles, `sha256-<hex>.sig`.
    pub async fn cosign_signature_tag(&self, subject: &PinnedReference) -> Result<Option<RawManifest>, RegistryError> {
        match self.manifest_at(subject.repository(), &Tag::of_cosign_signature(subject.digest())).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a blob of at most `limit` bytes whose size and digest are the descriptor's.
    pub async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        let what = blob_name(repository, descriptor);
        let (expected, size) = (descriptor.digest, descriptor.size);
        if size > limit {
            return Err(RegistryError::TooLarge { what, size, limit });
        }
        let call = Call::read(what.clone(), repository, format!("blobs/{expected}"));
        let bytes = match self.fetch(&call, size).await {
            Ok(fetched) => fetched.bytes,
            Err(RegistryError::Http { source: HttpError::TooLarge { .. }, .. }) => {
                return Err(RegistryError::SizeMismatch { what, expected: size, actual: size.saturating_add(1) });
            }
            Err(error) => return Err(error),
        };
        if bytes.len() as u64 != size {
            return Err(RegistryError::SizeMismatch { what, expected: size, actual: bytes.len() as u64 });
        }
        match Digest::of(&bytes) {
            actual if actual == expected => Ok(bytes),
            actual => Err(RegistryError::DigestMismatch { what, expected, actual }),
        }
    }

    async fn manifest_at(&self, repository: &Repository, tag: &Tag) -> Result<RawManifest, RegistryError> {
        let what = format!("manifest {repository}:{tag}");
        let fetched = self.get_manifest(&what, repository, format!("manifests/{tag}")).await?;
        raw(what, fetched, None)
    }

    async fn get_manifest(&self, what: &str, repository: &Repository, path: String) -> Result<Fetched, RegistryError> {
        let mut call = Call::read(what.to_owned(), repository, path);
        call.headers = accept_manifests();
        self.fetch(&call, limits::MANIFEST_BYTES).await
    }
}

/// The registry's own digest proves nothing, but where it differs something is wrong on the way.
fn raw(what: String, fetched: Fetched, asked: Option<Digest>) -> Result<RawManifest, RegistryError> {
    let actual = Digest::of(&fetched.bytes);
    let stated = stated_digest(&fetched.headers, &CONTENT_DIGEST);
    for expected in [asked, stated].into_iter().flatten() {
        if expected != actual {
            return Err(RegistryError::DigestMismatch { what, expected, actual });
        }
    }
    let content_type = fetched.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    match Manifest::parse(&fetched.bytes, content_type) {
        Ok(manifest) => Ok(RawManifest {
            media_type: manifest.media_type().to_owned(),
            bytes: fetched.bytes,
            digest: actual,
            manifest,
        }),
        Err(source) => Err(RegistryError::Manifest { what, source }),
    }
}

/// Returns the digest in a header, if it is one that we can compare.
pub(crate) fn stated_digest(headers: &HeaderMap, name: &HeaderName) -> Option<Digest> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

pub(crate) fn blob_name(repository: &Repository, descriptor: &Descriptor) -> String {
    format!("blob {repository}@{}", descriptor.digest)
}

fn accept_manifests() -> HeaderMap {
    let accept = HeaderValue::from_static(
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json",
    );
    HeaderMap::from_iter([(ACCEPT, accept)])
}

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
