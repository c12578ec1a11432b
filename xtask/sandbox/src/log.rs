//! The request log: what every service was asked, in order.

use std::sync::Mutex;

use bytes::Bytes;
use http::HeaderMap;

/// One of the servers of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// The certificate authority.
    Fulcio,
    /// The OIDC issuers and the GitHub ambient token route.
    Oidc,
    /// The OCI registry, its token endpoint included.
    Registry,
    /// The transparency log of the first generation.
    RekorV1,
    /// The transparency log of the second generation.
    RekorV2,
    /// The timestamp authority.
    Tsa,
    /// The TUF repository.
    Tuf,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 7] = [
        Service::Fulcio,
        Service::Oidc,
        Service::Registry,
        Service::RekorV1,
        Service::RekorV2,
        Service::Tsa,
        Service::Tuf,
    ];

    /// The largest request body that the service reads. Blobs are the only large thing; Rekor v1 and the timestamp authority have no
    /// limit of their own.
    pub(crate) fn body_limit(self) -> usize {
        match self {
            Service::Registry => 2 << 30,
            Service::Fulcio | Service::RekorV2 => 4 << 20,
            _ => 64 << 20,
        }
    }
}

/// One request that a service received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Who was asked.
    pub service: Service,
    /// The method, upper case.
    pub method: String,
    /// The path as sent, without the query.
    pub path: String,
    /// The query as sent, without `?`.
    pub query: Option<String>,
    /// The status answered; 0 while there is no answer (stalled) or none was given (closed).
    pub status: u16,
    /// The content type of the request.
    pub content_type: Option<String>,
    /// Whether the request carried an `Authorization` header.
    pub authorized: bool,
    /// Whether a fault changed the answer.
    pub faulted: bool,
    /// The headers of the request, credentials included: this is a log for tests.
    pub headers: HeaderMap,
    /// The body, if it has at most [`Request::KEPT_BODY`] bytes.
    pub body: Bytes,
    /// The length of the body.
    pub body_length: usize,
}

impl Request {
    /// Longer bodies (layers) are counted, not kept.
    pub const KEPT_BODY: usize = 1 << 20;

    /// Returns the value of a header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The log of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    requests: Vec<(u64, Request)>,
}

impl RequestLog {
    /// Adds a request at its arrival; the number answers it later.
    pub(crate) fn arrived(&self, request: Request) -> u64 {
        let mut entries = crate::lock(&self.0);
        let number = entries.next;
        entries.next += 1;
        entries.requests.push((number, request));
        number
    }

    pub(crate) fn answered(&self, number: u64, status: u16, faulted: bool) {
        let mut entries = crate::lock(&self.0);
        if let Some((_, request)) = entries.requests.iter_mut().rfind(|(at, _)| *at == number) {
            request.status = status;
            request.faulted = faulted;
        }
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        crate::lock(&self.0).requests.iter().map(|(_, request)| request.clone()).collect()
    }

    pub(crate) fn clear(&self) {
        crate::lock(&self.0).requests.clear();
    }
}
