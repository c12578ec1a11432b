//! Manifests: stored as sent, served as stored.

use bytes::Bytes;
use http::header::{ETAG, HeaderName, LOCATION};
use http::{Method, StatusCode};
use serde_json::Value;

use super::blobs::CONTENT_DIGEST;
use super::envelope::{digest_invalid, method_not_allowed, refuse};
use super::store::{Content, Manifest, digest_of, is_digest, is_tag};
use super::{ReferrersApi, Registry, TagDeletion};
use crate::exchange::{Call, Reply};

/// The largest manifest that registries must take, and the largest that this one takes.
const MANIFEST_LIMIT: usize = 4 << 20;

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

impl Registry {
    pub(super) fn manifest(&self, call: &Call, repository: &str, reference: &str) -> Reply {
        if reference.contains(':') && !is_digest(reference) {
            return digest_invalid(reference);
        }
        if !reference.contains(':') && !is_tag(reference) {
            return refuse(StatusCode::BAD_REQUEST, "TAG_INVALID", &format!("invalid tag {reference:?}"));
        }
        match call.method {
            Method::GET | Method::HEAD => self.serve_manifest(call, repository, reference),
            Method::PUT => self.take_manifest(call, repository, reference),
            Method::DELETE => self.delete_manifest(repository, reference),
            _ => method_not_allowed("GET, HEAD, PUT, DELETE"),
        }
    }

    fn serve_manifest(&self, call: &Call, repository: &str, reference: &str) -> Reply {
        let mut store = crate::lock(&self.store);
        let Some(content) = store.repositories.get_mut(repository) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                &format!("repository {repository} not known to registry"),
            );
        };
        let seen = content.seen(reference);
        let Some((digest, manifest)) = seen.and_then(|digest| store.manifest(repository, &digest)) else {
            return manifest_unknown(reference);
        };
        let etag = format!("\"{digest}\"");
        if call.header("if-none-match").is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag)) {
            return Reply::new(StatusCode::NOT_MODIFIED).header(ETAG, etag);
        }
        Reply::bytes(StatusCode::OK, &manifest.media_type, manifest.bytes)
            .header(CONTENT_DIGEST, digest)
            .header(ETAG, etag)
    }

    fn take_manifest(&self, call: &Call, repository: &str, reference: &str) -> Reply {
        let behaviour = self.behaviour();
        let mut store = crate::lock(&self.store);
        let held = store.repositories.get(repository);
        let (digest, manifest, document) = match read(call, reference, held.unwrap_or(&Content::default())) {
            Ok(read) => read,
            Err(reply) => return reply,
        };
        let current = store.manifest(repository, reference).map(|(digest, _)| digest);
        if behaviour.compare_and_swap && !is_expected(call, current.as_deref()) {
            return refuse(StatusCode::PRECONDITION_FAILED, "DENIED", "the manifest is not the one expected");
        }
        let is_tag = !reference.contains(':');
        if let (Some(words), Some(_), true) = (behaviour.immutable_tags, &current, is_tag) {
            return words.refusal(repository, reference);
        }
        let manifest = Manifest { pushed_at: store.requests, ..manifest };
        let content = store.content(repository);
        let is_new = content.manifests.insert(digest.clone(), manifest).is_none();
        if is_tag {
            content.tags.insert(reference.to_owned(), digest.clone());
        }
        let moved = is_tag.then_some((reference, current));
        content.show_late(&digest, moved, if is_new || is_tag { behaviour.late } else { 0 });
        let reply = Reply::new(StatusCode::CREATED)
            .header(LOCATION, self.location(&format!("/v2/{repository}/manifests/{digest}")))
            .header(CONTENT_DIGEST, &digest);
        match document["subject"]["digest"].as_str() {
            Some(subject) if behaviour.referrers == ReferrersApi::Complete => reply.header(OCI_SUBJECT, subject),
            _ => reply,
        }
    }

    fn delete_manifest(&self, repository: &str, reference: &str) -> Reply {
        let deletion = self.behaviour().tag_deletion;
        match deletion {
            TagDeletion::Off => return method_not_allowed("GET, HEAD, PUT"),
            TagDeletion::ByDigestOnly if !reference.contains(':') => return digest_invalid(reference),
            TagDeletion::ByDigestOnly | TagDeletion::On => {}
        }
        let mut store = crate::lock(&self.store);
        let Some(content) = store.repositories.get_mut(repository) else { return manifest_unknown(reference) };
        let held = if reference.contains(':') {
            content.tags.retain(|_, digest| digest != reference);
            content.manifests.remove(reference).is_some()
        } else {
            content.tags.remove(reference).is_some()
        };
        if held { Reply::new(StatusCode::ACCEPTED) } else { manifest_unknown(reference) }
    }
}

fn manifest_unknown(reference: &str) -> Reply {
    refuse(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", &format!("manifest {reference:?} unknown"))
}

fn invalid(message: &str) -> Reply {
    refuse(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
}

/// Checks what a registry checks before it takes a manifest.
fn read(call: &Call, reference: &str, content: &Content) -> Result<(String, Manifest, Value), Reply> {
    if call.body.len() > MANIFEST_LIMIT {
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", "the manifest is larger than 4 MiB"));
    }
    let Some(media_type) = call.media_type() else { return Err(invalid("the request has no content type")) };
    let digest = digest_of(&call.body);
    if reference.contains(':') && reference != digest {
        return Err(digest_invalid(reference));
    }
    let document: Value = call.json().map_err(|error| invalid(&format!("the manifest is not JSON: {error}")))?;
    if document["schemaVersion"] != 2 {
        return Err(invalid("schemaVersion is not 2"));
    }
    if document.get("mediaType").is_some_and(|stated| *stated != *media_type) {
        return Err(invalid("the mediaType is not the content type"));
    }
    if let Some(subject) = document.get("subject")
        && !subject["digest"].as_str().is_some_and(is_digest)
    {
        return Err(invalid("the subject has no digest"));
    }
    has_all_parts(&document, content)?;
    Ok((digest, Manifest::new(&media_type, Bytes::clone(&call.body), 0), document))
}

/// Config and layers must be blobs of the repository, the entries of an index manifests of it.
fn has_all_parts(document: &Value, content: &Content) -> Result<(), Reply> {
    let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let blobs = document.get("config").into_iter().cloned().chain(listed(&document["layers"]));
    let manifests = listed(&document["manifests"]).into_iter();
    for (descriptor, is_manifest) in blobs.map(|blob| (blob, false)).chain(manifests.map(|manifest| (manifest, true))) {
        let Some(digest) = descriptor["digest"].as_str().filter(|digest| is_digest(digest)) else {
            return Err(invalid("a descriptor has no sha256 digest"));
        };
        let held = if is_manifest { content.manifests.contains_key(digest) } else { content.blobs.contains(digest) };
        if !held && descriptor.get("urls").is_none() {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "MANIFEST_BLOB_UNKNOWN",
                &format!("blob {digest} unknown to registry"),
            ));
        }
    }
    Ok(())
}

/// Whether the manifest that is there is the one that `If-Match` and `If-None-Match` of a writer ask for.
fn is_expected(call: &Call, current: Option<&str>) -> bool {
    let names = |header: &str| {
        let tags = call.header(header)?.split(',').map(|tag| tag.trim().trim_matches('"'));
        let mut tags = tags.map(|tag| current.is_some_and(|digest| tag == "*" || tag == digest));
        Some(tags.any(|is_current| is_current))
    };
    names("if-match").unwrap_or(true) && !names("if-none-match").unwrap_or(false)
}
