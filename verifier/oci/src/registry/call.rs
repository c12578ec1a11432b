use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Body, Method, Request, StatusCode};
use url::Url;

use super::Endpoint;
use crate::Repository;
use crate::auth::{Access, Action};
use crate::error::RegistryError;
use crate::http::{same_origin, shown};

/// One request to a registry, to be made as often as it takes.
pub(crate) struct Call<'a> {
    /// What messages call it.
    pub(crate) what: String,
    pub(crate) repository: &'a Repository,
    /// A repository of the same registry that is read from on the way.
    pub(crate) also_read: Option<&'a Repository>,
    pub(crate) action: Action,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// A body that is never held as a whole, in place of `body`.
    pub(crate) stream: Option<StreamedBody>,
}

/// Where a request goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// Below `/v2/<repository>/`.
    Path(String),
    /// A place that the registry named, checked to be its own.
    Url(Url),
}

/// A body of known length that can be begun as often as the request has to be sent.
pub(crate) struct StreamedBody {
    pub(crate) size: u64,
    pub(crate) begin: Box<dyn Fn() -> Body + Send + Sync>,
}

/// A whole answer.
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) url: Url,
    pub(crate) bytes: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn read(what: String, repository: &'a Repository, path: String) -> Self {
        Self {
            what,
            repository,
            also_read: None,
            action: Action::Read,
            method: Method::GET,
            target: Target::Path(path),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            stream: None,
        }
    }

    pub(crate) fn write(what: String, repository: &'a Repository, method: Method, path: String) -> Self {
        Self { action: Action::Write, method, ..Self::read(what, repository, path) }
    }

    pub(super) fn url(&self, endpoint: &Endpoint) -> Result<Url, RegistryError> {
        match &self.target {
            // Whoever made it has checked it; the authorization goes with it, so it is checked again.
            Target::Url(url) if same_origin(&endpoint.base, url) => Ok(url.clone()),
            Target::Url(url) => Err(RegistryError::Address { address: shown(url) }),
            Target::Path(path) => {
                let path = format!("v2/{}/{path}", self.repository.path());
                endpoint.base.join(&path).map_err(|_| RegistryError::Address { address: endpoint.registry.clone() })
            }
        }
    }

    pub(super) fn request(&self, url: Url, access: &Access) -> Request {
        let mut request = Request::new(self.method.clone(), url);
        *request.headers_mut() = self.headers.clone();
        if let Some(header) = &access.header {
            request.headers_mut().insert(AUTHORIZATION, header.clone());
        }
        if let Some(stream) = &self.stream {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(stream.size));
            *request.body_mut() = Some((stream.begin)());
        } else if self.action == Action::Write {
            *request.body_mut() = Some(self.body.clone().into());
        }
        request
    }
}
