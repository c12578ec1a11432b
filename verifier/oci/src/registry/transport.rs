use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, LOCATION};
use reqwest::{Request, Response, StatusCode};
use rustls::AlertDescription;

use super::{RegistryOptions, locked};
use crate::auth::canonical_key;
use crate::error::RegistryError;
use crate::http::{self, HttpOptions, MAX_REDIRECTS, PlainHttp, RedirectRefusal, next_hop, same_origin, shown};

/// Sends requests and counts them.
pub(crate) struct Transport {
    /// For everybody that nothing is shown to.
    anonymous: Clients,
    /// For those that are shown a certificate, by the name under which credentials are looked up.
    certified: HashMap<String, Clients>,
    plain_http: PlainHttp,
    connect_timeout: Duration,
    idle_timeout: Duration,
    pub(super) requests: AtomicU64,
    /// By registry.
    counts: Mutex<BTreeMap<String, u64>>,
}

struct Clients {
    usual: reqwest::Client,
    /// For bodies that take longer to send than an answer may take to begin.
    uploader: OnceLock<reqwest::Client>,
    options: HttpOptions,
}

/// On whose behalf a request is sent, and how.
#[derive(Clone, Copy)]
pub(crate) struct Via<'a> {
    pub(crate) registry: &'a str,
    /// Whose certificate may be shown.
    pub(crate) certificate: Option<&'a str>,
    /// The body is long: whoever sends it watches over its progress.
    pub(crate) is_upload: bool,
}

/// The answer to a read, and whether it came from where the request was first sent.
pub(crate) struct Followed {
    pub(crate) response: Response,
    pub(crate) at_origin: bool,
}

impl Transport {
    pub(super) fn new(options: &RegistryOptions) -> Result<Self, RegistryError> {
        let certified = options.client_certificates.iter().map(|(registry, certificate)| {
            let clients = Clients::new(options.http(Some(certificate.clone())))?;
            Ok((canonical_key(registry), clients))
        });
        Ok(Self {
            anonymous: Clients::new(options.http(None))?,
            certified: certified.collect::<Result<_, RegistryError>>()?,
            plain_http: options.plain_http,
            connect_timeout: options.connect_timeout,
            idle_timeout: options.idle_timeout,
            requests: AtomicU64::new(0),
            counts: Mutex::default(),
        })
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        locked(&self.counts).clone()
    }

    /// Sends one request. A redirect is an answer like any other.
    pub(crate) async fn send(&self, request: Request, what: &str, via: Via<'_>) -> Result<Response, RegistryError> {
        let client = self.client(via)?;
        self.count(via.registry);
        let to = request.url().origin().ascii_serialization();
        tracing::debug!(method = %request.method(), url = shown(request.url()), "request");
        match client.execute(request).await {
            Ok(response) => {
                tracing::debug!(url = shown(response.url()), status = response.status().as_u16(), "answer");
                Ok(response)
            }
            Err(error) => Err(self.failure(error, what, to)),
        }
    }

    /// Sends a read and follows at most [`MAX_REDIRECTS`] redirects. The authorization goes to the first origin only:
    /// once left, it is not sent again, whoever the redirects come back to.
    pub(crate) async fn follow(
        &self,
        mut request: Request,
        what: &str,
        mut via: Via<'_>,
    ) -> Result<Followed, RegistryError> {
        let mut at_origin = true;
        for _ in 0..=MAX_REDIRECTS {
            let repeated = request.try_clone().expect("reads have no body, so they can be cloned");
            let response = self.send(request, what, via).await?;
            if !is_redirect(response.status()) {
                return Ok(Followed { response, at_origin });
            }
            let refused = |refusal| RegistryError::Redirect {
                what: what.to_owned(),
                from: response.url().origin().ascii_serialization(),
                refusal,
            };
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = next_hop(response.url(), location, self.plain_http).map_err(refused)?;
            at_origin &= same_origin(response.url(), &next);
            request = repeated;
            *request.url_mut() = next;
            if !at_origin {
                via.certificate = None;
                request.headers_mut().remove(AUTHORIZATION);
            }
        }
        Err(RegistryError::Redirect {
            what: what.to_owned(),
            from: request.url().origin().ascii_serialization(),
            refusal: RedirectRefusal::TooMany,
        })
    }

    fn client(&self, via: Via<'_>) -> Result<&reqwest::Client, RegistryError> {
        let certified = via.certificate.and_then(|registry| self.certified.get(&canonical_key(registry)));
        let clients = certified.unwrap_or(&self.anonymous);
        if via.is_upload { clients.uploader() } else { Ok(&clients.usual) }
    }

    fn count(&self, registry: &str) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        *locked(&self.counts).entry(registry.to_owned()).or_default() += 1;
    }

    fn failure(&self, error: reqwest::Error, what: &str, to: String) -> RegistryError {
        let what = what.to_owned();
        if error.is_timeout() {
            let limit = if error.is_connect() { self.connect_timeout } else { self.idle_timeout };
            return RegistryError::TimedOut { what, limit };
        }
        // The URL may carry a signature; the message names the host.
        let source = error.without_url();
        match tls_error(&source) {
            Some(rustls::Error::InvalidCertificate(_)) => RegistryError::Certificate { what, to, source },
            Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
                RegistryError::ClientCertificate { what, to, source }
            }
            _ => RegistryError::Unreachable { what, to, source },
        }
    }
}

impl Clients {
    fn new(options: HttpOptions) -> Result<Self, RegistryError> {
        let usual = http::client(&options).map_err(RegistryError::Client)?;
        Ok(Self { usual, uploader: OnceLock::new(), options })
    }

    fn uploader(&self) -> Result<&reqwest::Client, RegistryError> {
        if let Some(uploader) = self.uploader.get() {
            return Ok(uploader);
        }
        let uploader = http::client_without_idle_limit(&self.options).map_err(RegistryError::Client)?;
        Ok(self.uploader.get_or_init(|| uploader))
    }
}

/// 304 is no redirect, and 300 names nothing to go to.
pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Returns what TLS says, where it is the cause.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    // An I/O error passes over what it wraps when it is asked for its source.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => tls_error(wrapped),
        None => error.source().and_then(tls_error),
    }
}

/// Returns whether a server ended the connection over the certificate that it was shown, or not shown: another attempt
/// meets the same.
const fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}
