//! One way to speak HTTP: ring, the platform's roots, deadlines everywhere, no redirects, and bodies with a bound.
//!
//! Also for services that are not registries. [`client`] follows no redirect; who wants to follow one asks
//! [`next_hop`] for every step.

mod address;
mod budget;
mod redirect;
mod retry;
mod tls;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy};

pub(crate) use address::is_loopback;
pub use address::{PlainHttp, is_loopback_host};
pub use budget::{Budget, Time};
pub(crate) use redirect::shown;
pub use redirect::{MAX_REDIRECTS, RedirectRefusal, next_hop, same_origin};
pub use retry::{RetryPolicy, retry_after};

use crate::limits;
use crate::{Class, Secret};

/// What a client is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// The `User-Agent`.
    pub user_agent: String,
    /// Certificates in PEM that are trusted beside the platform's roots, one or more in each.
    pub ca_certificates: Vec<Vec<u8>>,
    /// The certificate that is shown to servers that ask for one.
    pub client_certificate: Option<ClientCertificate>,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Time without a byte: until the header, and between two pieces of a body.
    pub idle_timeout: Duration,
    /// Time for one request with its whole body; `None` where the caller keeps its own deadline.
    pub total_timeout: Option<Duration>,
    /// Proxies, as the caller found them in its environment; never used for loopback addresses.
    pub proxies: Proxies,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            user_agent: USER_AGENT.to_owned(),
            ca_certificates: Vec::new(),
            client_certificate: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Some(Duration::from_secs(60)),
            proxies: Proxies::default(),
        }
    }
}

/// Who we are in TLS.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate in PEM, and those between it and what the server trusts.
    pub chain: Vec<u8>,
    /// Its key in PEM, not encrypted.
    pub key: Secret,
}

/// Proxies by scheme, with the meaning of the usual environment variables.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Proxies {
    /// `HTTP_PROXY`: the proxy for plain http.
    pub http: Option<String>,
    /// `HTTPS_PROXY`: the proxy for https.
    pub https: Option<String>,
    /// `NO_PROXY`: hosts, domains and networks that are reached directly.
    pub except: Option<String>,
}

// A proxy's address may carry a password.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies")
            .field("http", &self.http.is_some())
            .field("https", &self.https.is_some())
            .field("except", &self.except)
            .finish()
    }
}

/// Builds a client: rustls with ring, no redirects, no cookies, no decompression, a deadline for every phase.
///
/// Clients without own certificates share one TLS configuration, whose roots are loaded at the first https connect.
pub fn client(options: &HttpOptions) -> Result<reqwest::Client, HttpError> {
    let builder = builder(options)?.read_timeout(options.idle_timeout);
    builder.build().map_err(HttpError::build)
}

/// Builds the client for long uploads: the limit on the time until an answer begins counts from the first byte of the
/// request, so who sends a long body keeps a limit of its own.
pub(crate) fn client_without_idle_limit(options: &HttpOptions) -> Result<reqwest::Client, HttpError> {
    builder(options)?.build().map_err(HttpError::build)
}

fn builder(options: &HttpOptions) -> Result<reqwest::ClientBuilder, HttpError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::configuration(&options.ca_certificates, options.client_certificate.as_ref())?)
        .user_agent(&options.user_agent)
        .redirect(Policy::none())
        .referer(false)
        // The digest is of the bytes on the wire, and a decompressor would undo every bound.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .no_proxy()
        .connect_timeout(options.connect_timeout);
    if let Some(total) = options.total_timeout {
        builder = builder.timeout(total);
    }
    let except = || {
        let named = options.proxies.except.as_deref().unwrap_or_default();
        NoProxy::from_string(&format!("{named},localhost,127.0.0.0/8,::1"))
    };
    if let Some(url) = &options.proxies.http {
        builder = builder.proxy(Proxy::http(url).map_err(HttpError::build)?.no_proxy(except()));
    }
    if let Some(url) = &options.proxies.https {
        builder = builder.proxy(Proxy::https(url).map_err(HttpError::build)?.no_proxy(except()));
    }
    Ok(builder)
}

/// Returns the whole body, or an error as soon as it has more than `limit` bytes; never holds more.
pub async fn read_bounded(mut response: reqwest::Response, limit: u64) -> Result<Bytes, HttpError> {
    let too_large = || HttpError::TooLarge { limit };
    let announced = response.content_length().unwrap_or(0);
    if announced > limit {
        return Err(too_large());
    }
    // What is announced is not believed further than a small manifest.
    let mut body = BytesMut::with_capacity(usize::try_from(announced.min(limits::ERROR_ANSWER_BYTES)).unwrap_or(0));
    while let Some(piece) = response.chunk().await.map_err(HttpError::body)? {
        if (body.len() + piece.len()) as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Why a client could not be built, or a body not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The body broke off.
    #[error("the answer broke off")]
    Body(#[source] reqwest::Error),
    /// The client could not be built: a proxy address or user agent that is none.
    #[error("the HTTP client cannot be set up")]
    Build(#[source] reqwest::Error),
    /// A certificate that was to be trusted is none.
    #[error("additional certificate {position} is not a certificate authority's certificate in PEM")]
    CaCertificate {
        /// Which one, counted from 1.
        position: usize,
    },
    /// A client certificate or a key that is none, or that do not belong together.
    #[error("the client certificate and its key cannot be used: {reason}")]
    ClientCertificate {
        /// What is wrong.
        reason: &'static str,
    },
    /// The body has more bytes than it may have.
    #[error("the answer has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}

impl HttpError {
    // URLs carry signed queries and proxy passwords: they stay out of errors.
    fn body(error: reqwest::Error) -> Self {
        Self::Body(error.without_url())
    }

    fn build(error: reqwest::Error) -> Self {
        Self::Build(error.without_url())
    }

    /// Returns who has to act.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Body(_) => Class::Unreachable,
            Self::Build(_) | Self::CaCertificate { .. } | Self::ClientCertificate { .. } => Class::Usage,
            Self::TooLarge { .. } => Class::Malformed,
        }
    }

    /// Returns the stable kebab-case name of the failure.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Body(_) => "answer-broke-off",
            Self::Build(_) => "http-client",
            Self::CaCertificate { .. } => "ca-certificate",
            Self::ClientCertificate { .. } => "client-certificate",
            Self::TooLarge { .. } => "answer-too-large",
        }
    }

    /// Returns whether the same request may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Body(_))
    }
}

/// The `User-Agent` where the caller sets none.
pub const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));
