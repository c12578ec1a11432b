//! Blobs that are in hand: one request where the registry takes it, two where it does not.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::{Pusher, check};
use crate::error::RegistryError;
use crate::http::{read_bounded, same_origin};
use crate::limits::{BLOB_BYTES_PER_SECOND, ERROR_ANSWER_BYTES};
use crate::pull::{CONTENT_DIGEST, stated_digest};
use crate::registry::{Call, Target};
use crate::{Digest, Repository};

impl Pusher {
    /// Pushes a blob in one piece, without asking first whether it is there, once in the life of this writer's registry
    /// client: what it has pushed, or copied, is not sent again. Repeating it changes nothing, so outages are met by
    /// repeating it.
    ///
    /// A small blob goes with the first request, which most registries take; those that do not are remembered.
    pub async fn push_blob(&self, repository: &Repository, digest: Digest, bytes: Bytes) -> Result<(), RegistryError> {
        let what = format!("blob {repository}@{digest}");
        check(&what, digest, Digest::of(&bytes))?;
        let present = &self.registry.0.present;
        if present.has(repository, digest) {
            return Ok(());
        }
        let _turn = present.turn(repository, digest).await;
        if present.has(repository, digest) {
            return Ok(());
        }
        self.push_whole(&Upload { what: &what, repository, digest }, &bytes).await?;
        present.note(repository, digest);
        Ok(())
    }

    /// Pushes what is in hand, and again after outages.
    pub(super) async fn push_whole(&self, upload: &Upload<'_>, bytes: &Bytes) -> Result<(), RegistryError> {
        let mut tries = self.registry.tries(upload.what, self.time_for(bytes.len() as u64));
        loop {
            match tries.within(self.upload(upload, bytes)).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// The time for a blob of this size.
    pub(super) fn time_for(&self, size: u64) -> Duration {
        self.registry.0.total_timeout.saturating_add(Duration::from_secs(size / BLOB_BYTES_PER_SECOND))
    }

    async fn upload(&self, upload: &Upload<'_>, bytes: &Bytes) -> Result<(), RegistryError> {
        let present = &self.registry.0.present;
        let registry = upload.repository.registry();
        if bytes.len() > INLINE_BYTES || present.refuses_inline(registry) {
            let place = self.begin(upload).await?;
            return self.finish(upload, place, bytes).await;
        }
        match self.upload_inline(upload, bytes).await {
            Err(error) if is_misunderstood(&error) => {
                present.note_refuses_inline(registry);
                let place = self.begin(upload).await?;
                self.finish(upload, place, bytes).await
            }
            outcome => outcome,
        }
    }

    /// The whole blob with the request that opens the session; where only the session is opened, it goes there.
    async fn upload_inline(&self, upload: &Upload<'_>, bytes: &Bytes) -> Result<(), RegistryError> {
        let mut call = upload.call(format!("blobs/uploads/?digest={}", upload.digest));
        call.headers.insert(CONTENT_TYPE, OCTET_STREAM);
        call.body = bytes.clone();
        let answer = self.registry.exchange(&call).await?;
        if answer.status() == StatusCode::CREATED {
            return upload.stored(answer).await;
        }
        self.registry.0.present.note_refuses_inline(upload.repository.registry());
        let place = self.place(upload, &answer)?;
        self.finish(upload, place, bytes).await
    }

    /// Opens a session and returns where its blob goes.
    pub(super) async fn begin(&self, upload: &Upload<'_>) -> Result<Url, RegistryError> {
        let session = self.registry.exchange(&upload.call("blobs/uploads/".to_owned())).await?;
        self.place(upload, &session)
    }

    /// Returns where the blob of a session that was just opened goes.
    pub(super) fn place(&self, upload: &Upload<'_>, session: &Response) -> Result<Url, RegistryError> {
        let base = self.registry.endpoint(upload.repository.registry())?.base;
        let location = session.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let place = upload_place(&base, session.url(), location, upload.digest);
        place.ok_or_else(|| RegistryError::UploadLocation { what: upload.what.to_owned() })
    }

    async fn finish(&self, upload: &Upload<'_>, place: Url, bytes: &Bytes) -> Result<(), RegistryError> {
        let mut call = upload.put(place);
        call.body = bytes.clone();
        upload.stored(self.registry.exchange(&call).await?).await
    }
}

/// A blob on its way into a repository.
pub(super) struct Upload<'a> {
    pub(super) what: &'a str,
    pub(super) repository: &'a Repository,
    pub(super) digest: Digest,
}

impl<'a> Upload<'a> {
    pub(super) fn call(&self, path: String) -> Call<'a> {
        Call::write(self.what.to_owned(), self.repository, Method::POST, path)
    }

    pub(super) fn put(&self, place: Url) -> Call<'a> {
        let mut call = Call::write(self.what.to_owned(), self.repository, Method::PUT, String::new());
        call.target = Target::Url(place);
        call.headers.insert(CONTENT_TYPE, OCTET_STREAM);
        call
    }

    /// Compares the digest that the registry states, if it does, with ours.
    pub(super) async fn stored(&self, answer: Response) -> Result<(), RegistryError> {
        let stated = stated_digest(answer.headers(), &CONTENT_DIGEST);
        // Read to its end, so that the connection can be used again.
        let _ = read_bounded(answer, ERROR_ANSWER_BYTES).await;
        stated.map_or(Ok(()), |stated| check(self.what, self.digest, stated))
    }
}

/// Returns whether a registry may have stumbled over the form of the request: it does not know it, or put the blob of the
/// first request and that of the second behind each other.
fn is_misunderstood(error: &RegistryError) -> bool {
    match error {
        RegistryError::Answered { answer } => !error.retryable() && (400..=501).contains(&answer.status),
        RegistryError::NotFound { .. } => true,
        _ => false,
    }
}

/// Returns where the blob goes: the session's own address, which must be the registry's, and the digest behind it.
fn upload_place(base: &Url, asked: &Url, location: Option<&str>, digest: Digest) -> Option<Url> {
    let mut place = asked.join(location?).ok()?;
    place.set_fragment(None);
    let own = same_origin(base, &place) && place.username().is_empty() && place.password().is_none();
    own.then(|| {
        place.query_pairs_mut().append_pair("digest", &digest.to_string());
        place
    })
}

/// Blobs of at most this size go with the first request: sending one twice costs less than a round trip.
const INLINE_BYTES: usize = 64 << 10;

const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

#[cfg(test)]
mod tests {
    use super::*;

    fn place(location: Option<&str>) -> Option<String> {
        let base = "https://r.example/".parse().unwrap();
        let asked = "https://r.example/v2/octo/app/blobs/uploads/".parse().unwrap();
        upload_place(&base, &asked, location, Digest::of(b"{}")).map(String::from)
    }

    #[test]
    fn a_session_is_at_the_registry() {
        let query = "digest=sha256%3A44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        for (location, expected) in [
            ("/v2/x/1", format!("https://r.example/v2/x/1?{query}")),
            ("https://r.example/v2/x/1?_state=a%3D%3D", format!("https://r.example/v2/x/1?_state=a%3D%3D&{query}")),
            ("https://r.example:443/v2/x/1#f", format!("https://r.example/v2/x/1?{query}")),
            ("1", format!("https://r.example/v2/octo/app/blobs/uploads/1?{query}")),
        ] {
            assert_eq!(place(Some(location)), Some(expected), "{location}");
        }
    }

    #[test]
    fn a_session_elsewhere_is_refused() {
        for location in [
            "https://evil.example/v2/x/1",
            "//evil.example/v2/x/1",
            "http://r.example/v2/x/1",
            "https://r.example:444/v2/x/1",
            "https://user:password@r.example/v2/x/1",
            "https://",
        ] {
            assert_eq!(place(Some(location)), None, "{location}");
        }
        assert_eq!(place(None), None);
    }
}
