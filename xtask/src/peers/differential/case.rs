//! One row: a request, and what the real server is known to say to it.

use super::super::http::Answer;

/// A request that both servers get.
pub(super) struct Case {
    pub(super) row: &'static str,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

/// How the real server must take it for the row to mean what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It is answered with 2xx.
    Good,
    /// It is answered with this status, and with these words in the body.
    Bad(u16, &'static str),
}

/// A request without the host.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: Target,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// Where a request goes.
#[derive(Clone)]
pub(super) enum Target {
    Path(String),
    /// Where the last entry that was created is, by what the server answered then.
    Created(fn(&Answer) -> anyhow::Result<String>),
}

impl Case {
    pub(super) fn good(row: &'static str, request: Request) -> Self {
        Self { row, request, expected: Expected::Good }
    }

    pub(super) fn bad(row: &'static str, request: Request, status: u16, words: &'static str) -> Self {
        Self { row, request, expected: Expected::Bad(status, words) }
    }
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self { method: "GET", target: Target::Path(path.to_owned()), headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn get_created(path: fn(&Answer) -> anyhow::Result<String>) -> Self {
        Self { target: Target::Created(path), ..Self::get("") }
    }

    pub(super) fn post(path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { method: "POST", target: Target::Path(path.to_owned()), headers, body: body.into() }
    }

    pub(super) fn json(path: &str, body: &serde_json::Value) -> Self {
        Self::post(path, "application/json", body.to_string())
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self
    }

    pub(super) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(super) fn followed_by(mut self, garbage: &[u8]) -> Self {
        self.body.extend_from_slice(garbage);
        self
    }

    /// With blanks before the body, until it is that long.
    pub(super) fn padded(mut self, length: usize) -> Self {
        let blanks = length.saturating_sub(self.body.len());
        self.body.splice(0..0, std::iter::repeat_n(b' ', blanks));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}
