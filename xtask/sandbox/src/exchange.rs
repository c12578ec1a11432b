//! One request and its answer, as the services see them: whole, without sockets.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    /// The path with its query, as sent.
    pub(crate) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The parts of the path, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        path.split('/')
            .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect()
    }

    /// The first value of a query parameter, decoded.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        self.query_values(name).into_iter().next()
    }

    pub(crate) fn query_values(&self, name: &str) -> Vec<String> {
        let pairs = form_urlencoded::parse(self.query.as_deref().unwrap_or_default().as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The content type without parameters, lower case.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Whether the client takes an answer of this media type: it names it or its kind, or says nothing.
    pub(crate) fn accepts(&self, media_type: &str) -> bool {
        let kind = media_type.split('/').next().unwrap_or_default();
        self.header("accept").is_none_or(|accepted| {
            let mut names = accepted.split(',').map(|name| name.split(';').next().unwrap_or_default().trim());
            names.any(|name| name == "*/*" || name == media_type || name.strip_suffix("/*") == Some(kind))
        })
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The first JSON document of the body; servers that decode a stream never see what follows it.
    pub(crate) fn first_json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let mut documents = serde_json::Deserializer::from_slice(&self.body).into_iter();
        documents.next().unwrap_or_else(|| serde_json::from_slice(b"{}"))
    }

    /// The token of `Authorization: Bearer`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Boxed to keep answers small where they are errors.
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// An answer without body.
    pub(crate) fn new(status: StatusCode) -> Reply {
        Reply { status, headers: Box::default(), body: Bytes::new() }
    }

    pub(crate) fn bytes(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let reply = Reply { body: body.into(), ..Reply::new(status) };
        reply.header(CONTENT_TYPE, content_type)
    }

    pub(crate) fn text(status: StatusCode, body: &str) -> Reply {
        Reply::bytes(status, "text/plain; charset=utf-8", body.to_owned())
    }

    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(body).expect("the sandbox's documents have string keys");
        Reply::bytes(status, "application/json", body)
    }

    /// Sets a header; a value that HTTP cannot carry leaves it out.
    pub(crate) fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Reply {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn not_found() -> Reply {
        Reply::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }
}
