//! Blob uploads: one request, two requests, chunks, and mounts from another repository.

use bytes::Bytes;
use http::header::{HeaderName, LOCATION, RANGE};
use http::{Method, StatusCode};

use super::Registry;
use super::auth::Right;
use super::blobs::CONTENT_DIGEST;
use super::envelope::{digest_invalid, method_not_allowed, refuse};
use super::store::{Store, Upload, digest_of, is_digest};
use crate::exchange::{Call, Reply};

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Registry {
    /// POST to the uploads of a repository.
    pub(super) fn new_upload(&self, call: &Call, repository: &str) -> Reply {
        if call.method != Method::POST {
            return method_not_allowed("POST");
        }
        if let Some(digest) = call.query_value("mount") {
            return self.mount(call, repository, &digest);
        }
        if let Some(digest) = call.query_value("digest").filter(|_| self.behaviour().inline_uploads) {
            let mut store = crate::lock(&self.store);
            return self.finished(&mut store, repository, &digest, call.body.clone());
        }
        self.begin(repository)
    }

    fn begin(&self, repository: &str) -> Reply {
        let mut store = crate::lock(&self.store);
        store.next_upload += 1;
        let id = format!("00000000-0000-4000-8000-{:012x}", store.next_upload);
        store.uploads.insert(id.clone(), Upload { repository: repository.to_owned(), bytes: Vec::new() });
        self.progress(StatusCode::ACCEPTED, repository, &id, 0)
    }

    /// A blob that is missing there, or that the caller may not read there, is uploaded as if no mount was asked for.
    fn mount(&self, call: &Call, repository: &str, digest: &str) -> Reply {
        if !is_digest(digest) {
            return digest_invalid(digest);
        }
        let from = call.query_value("from").filter(|from| self.permit(call, Some((from, Right::Pull))).is_ok());
        let mut store = crate::lock(&self.store);
        let held = from.is_some_and(|from| store.blob(&from, digest).is_some());
        if held && self.behaviour().mounts {
            store.content(repository).blobs.insert(digest.to_owned());
            return self.created(repository, digest);
        }
        drop(store);
        self.begin(repository)
    }

    /// PATCH, PUT, GET and DELETE of an upload.
    pub(super) fn upload(&self, call: &Call, repository: &str, id: &str) -> Reply {
        let mut store = crate::lock(&self.store);
        let Some(upload) = store.uploads.get_mut(id).filter(|upload| upload.repository == repository) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "BLOB_UPLOAD_UNKNOWN",
                &format!("blob upload {id} unknown to registry"),
            );
        };
        if call.query_value("_state").as_deref() != Some(id) {
            return refuse(
                StatusCode::BAD_REQUEST,
                "BLOB_UPLOAD_INVALID",
                "the query of the upload's Location was not sent back",
            );
        }
        match call.method {
            Method::GET => self.progress(StatusCode::NO_CONTENT, repository, id, upload.bytes.len()),
            Method::DELETE => {
                store.uploads.remove(id);
                Reply::new(StatusCode::NO_CONTENT)
            }
            Method::PATCH => match append(upload, call) {
                Ok(length) => self.progress(StatusCode::ACCEPTED, repository, id, length),
                Err(length) => self.progress(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, length),
            },
            Method::PUT => {
                let Some(digest) = call.query_value("digest") else { return digest_invalid("") };
                if let Err(length) = append(upload, call) {
                    return self.progress(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, length);
                }
                let bytes = Bytes::from(std::mem::take(&mut upload.bytes));
                store.uploads.remove(id);
                self.finished(&mut store, repository, &digest, bytes)
            }
            _ => method_not_allowed("GET, PATCH, PUT, DELETE"),
        }
    }

    fn finished(&self, store: &mut Store, repository: &str, digest: &str, bytes: Bytes) -> Reply {
        if digest_of(&bytes) != digest {
            return digest_invalid(digest);
        }
        store.put_blob(repository, bytes);
        self.created(repository, digest)
    }

    fn created(&self, repository: &str, digest: &str) -> Reply {
        Reply::new(StatusCode::CREATED)
            .header(LOCATION, self.location(&format!("/v2/{repository}/blobs/{digest}")))
            .header(CONTENT_DIGEST, digest)
    }

    /// Clients must keep the query of the Location, as distribution demands.
    fn progress(&self, status: StatusCode, repository: &str, id: &str, length: usize) -> Reply {
        Reply::new(status)
            .header(LOCATION, self.location(&format!("/v2/{repository}/blobs/uploads/{id}?_state={id}")))
            .header(RANGE, format!("0-{}", length.saturating_sub(1)))
            .header(UPLOAD_ID, id)
    }
}

/// Adds a chunk; `Ok` and `Err` both say how much is there. A chunk that states its range must start at the end.
fn append(upload: &mut Upload, call: &Call) -> Result<usize, usize> {
    let at = upload.bytes.len();
    if let Some(range) = call.header("content-range") {
        let first_and_last = range.strip_prefix("bytes ").unwrap_or(range).split_once('-');
        let stated =
            first_and_last.and_then(|(first, last)| Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?)));
        let fits = stated
            .is_some_and(|(first, last)| first == at && last.checked_sub(first) == call.body.len().checked_sub(1));
        if !fits {
            return Err(at);
        }
    }
    upload.bytes.extend_from_slice(&call.body);
    Ok(upload.bytes.len())
}
