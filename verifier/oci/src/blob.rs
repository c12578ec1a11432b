use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::Repository;
use crate::error::RegistryError;
use crate::http::HttpError;
use crate::index::Descriptor;
use crate::limits::BLOB_BYTES_PER_SECOND;
use crate::pull::blob_name;
use crate::registry::{Call, Registry};

/// The bytes of a blob as they arrive. Their number is bounded by the descriptor; their digest is the caller's to check.
///
/// Ends early only with an error. One that is [`RegistryError::retryable`] may be resumed at the bytes that came.
pub struct BlobStream(Pin<Box<dyn Stream<Item = Result<Bytes, RegistryError>> + Send>>);

impl Registry {
    /// Opens a blob at `offset`. Never yields more than `descriptor.size - offset` bytes, and never fewer without an
    /// error; does not look at the digest.
    ///
    /// A registry that ignores the range is [`RegistryError::RangeIgnored`]: start again at 0.
    pub async fn blob_stream(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, RegistryError> {
        let what = blob_name(repository, descriptor);
        let mut tries = self.tries(&what, self.0.total_timeout);
        loop {
            match tries.within(self.blob_stream_once(repository, descriptor, offset)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// One attempt at opening a blob.
    pub(crate) async fn blob_stream_once(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, RegistryError> {
        let what = blob_name(repository, descriptor);
        let size = descriptor.size;
        if offset > size {
            return Err(RegistryError::SizeMismatch { what, expected: size, actual: offset });
        }
        if offset == size && offset > 0 {
            return Ok(BlobStream(Box::pin(stream::empty())));
        }
        let mut call = Call::read(what.clone(), repository, format!("blobs/{}", descriptor.digest));
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-")).expect("digits are visible ASCII");
            call.headers.insert(RANGE, range);
        }
        let response = self.exchange(&call).await?;
        check_head(&what, &response, offset, size)?;
        let slowest = Duration::from_secs((size - offset) / BLOB_BYTES_PER_SECOND);
        let limit = self.0.total_timeout.saturating_add(slowest);
        let deadline = Instant::now() + limit;
        let body = Body { what, response, size, position: offset, limit, deadline };
        Ok(BlobStream(Box::pin(stream::try_unfold(body, Body::next))))
    }
}

/// Checks that what begins is the part that was asked for, and as long as it must be.
fn check_head(what: &str, response: &Response, offset: u64, size: u64) -> Result<(), RegistryError> {
    let what = || what.to_owned();
    match (response.status(), offset) {
        (StatusCode::OK, 0) => {}
        (StatusCode::OK, _) => return Err(RegistryError::RangeIgnored { what: what(), offset }),
        (StatusCode::PARTIAL_CONTENT, 1..) => {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            if !range.is_some_and(|range| is_range(range, offset, size)) {
                return Err(RegistryError::RangeIgnored { what: what(), offset });
            }
        }
        _ => return Err(RegistryError::SizeMismatch { what: what(), expected: size, actual: 0 }),
    }
    match response.content_length() {
        Some(length) if length != size - offset => {
            Err(RegistryError::SizeMismatch { what: what(), expected: size, actual: offset.saturating_add(length) })
        }
        _ => Ok(()),
    }
}

/// Returns whether a `Content-Range` covers exactly the bytes from `offset` to the end.
fn is_range(text: &str, offset: u64, size: u64) -> bool {
    let parts = text.trim().strip_prefix("bytes ").and_then(|rest| rest.split_once('/'));
    let Some((range, total)) = parts else { return false };
    // The standard library takes a sign as well.
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some((first, last)) = range.split_once('-') else { return false };
    number(first) == Some(offset)
        && number(last) == size.checked_sub(1)
        && (total == "*" || number(total) == Some(size))
}

struct Body {
    what: String,
    response: Response,
    size: u64,
    position: u64,
    limit: Duration,
    deadline: Instant,
}

impl Body {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, RegistryError> {
        let piece = match timeout_at(self.deadline, self.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(source)) => {
                let source = HttpError::Body(source.without_url());
                return Err(RegistryError::Http { what: self.what, source });
            }
            Err(_) => return Err(RegistryError::TimedOut { what: self.what, limit: self.limit }),
        };
        let Some(piece) = piece else {
            if self.position < self.size {
                return Err(RegistryError::Truncated { what: self.what, expected: self.size, actual: self.position });
            }
            return Ok(None);
        };
        let position = self.position.saturating_add(piece.len() as u64);
        if position > self.size {
            return Err(RegistryError::SizeMismatch { what: self.what, expected: self.size, actual: position });
        }
        self.position = position;
        Ok(Some((piece, self)))
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, RegistryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobStream(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_is_taken() {
        assert!(is_range("bytes 5-9/10", 5, 10));
        assert!(is_range("bytes 5-9/*", 5, 10));
        for range in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 4-9/10",
            "bytes 5-8/10",
            "bytes 5-9/11",
            "bytes 0-9/10",
            "bytes */10",
            "items 5-9/10",
            "bytes 5-/10",
            "bytes -5/10",
            "bytes +5-9/10 ",
            "bytes 5-99999999999999999999/10",
        ] {
            assert!(!is_range(range, 5, 10), "{range}");
        }
    }
}
