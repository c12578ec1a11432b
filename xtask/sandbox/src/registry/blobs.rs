//! Blobs: reading, whole or in part, and deleting.

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderName};
use http::{Method, StatusCode};

use super::envelope::{digest_invalid, method_not_allowed, refuse};
use super::{Registry, store};
use crate::exchange::{Call, Reply};

pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Registry {
    pub(super) fn blob(&self, call: &Call, repository: &str, digest: &str) -> Reply {
        if !store::is_digest(digest) {
            return digest_invalid(digest);
        }
        let mut store = crate::lock(&self.store);
        let Some(bytes) = store.blob(repository, digest) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "BLOB_UNKNOWN",
                &format!("blob {digest} unknown to repository {repository}"),
            );
        };
        match call.method {
            Method::GET | Method::HEAD => served(call, digest, &bytes),
            Method::DELETE => {
                store.content(repository).blobs.remove(digest);
                Reply::new(StatusCode::ACCEPTED)
            }
            _ => method_not_allowed("GET, HEAD, DELETE"),
        }
    }
}

fn served(call: &Call, digest: &str, bytes: &Bytes) -> Reply {
    let reply = |status, part: Bytes| {
        Reply::bytes(status, "application/octet-stream", part)
            .header(CONTENT_DIGEST, digest)
            .header(ETAG, format!("\"{digest}\""))
            .header(ACCEPT_RANGES, "bytes")
    };
    match call.header("range").map(|range| asked_range(range, bytes.len())) {
        None | Some(Range::Ignored) => reply(StatusCode::OK, bytes.clone()),
        Some(Range::Part(first, last)) => reply(StatusCode::PARTIAL_CONTENT, bytes.slice(first..=last))
            .header(CONTENT_RANGE, format!("bytes {first}-{last}/{}", bytes.len())),
        Some(Range::Unsatisfiable) => {
            let reply =
                refuse(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", "the requested range is outside of the blob");
            reply.header(CONTENT_RANGE, format!("bytes */{}", bytes.len()))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// Several ranges or another unit: a server may answer with everything.
    Ignored,
    Part(usize, usize),
    Unsatisfiable,
}

/// RFC 9110, section 14.1.2.
fn asked_range(range: &str, length: usize) -> Range {
    let Some((first, last)) =
        range.strip_prefix("bytes=").filter(|set| !set.contains(',')).and_then(|set| set.split_once('-'))
    else {
        return Range::Ignored;
    };
    let end = length.checked_sub(1);
    let asked = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => (Some(first), end.map(|end| end.min(last))),
        (Ok(first), Err(_)) if last.is_empty() => (Some(first), end),
        (Err(_), Ok(suffix)) if first.is_empty() && suffix > 0 => (Some(length.saturating_sub(suffix)), end),
        (Err(_), Ok(0)) if first.is_empty() => return Range::Unsatisfiable,
        _ => return Range::Ignored,
    };
    match asked {
        (Some(first), Some(last)) if first <= last => Range::Part(first, last),
        _ => Range::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        for (asked, expected) in [
            ("bytes=0-3", Range::Part(0, 3)),
            ("bytes=4-", Range::Part(4, 9)),
            ("bytes=-2", Range::Part(8, 9)),
            ("bytes=-20", Range::Part(0, 9)),
            ("bytes=5-100", Range::Part(5, 9)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=3-1", Range::Ignored),
            ("bytes=0-1,3-4", Range::Ignored),
            ("items=0-1", Range::Ignored),
            ("bytes=x-", Range::Ignored),
        ] {
            assert_eq!(asked_range(asked, 10), expected, "{asked}");
        }
        assert_eq!(asked_range("bytes=0-", 0), Range::Unsatisfiable);
    }
}
