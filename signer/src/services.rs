//! The Sigstore services. Everything that knows the sigstore crates lies in this module.
//!
//! Their wire types are used, their clients are not: those read answers without a bound and follow redirects with a token.

mod bundle;
mod config;
mod fulcio;
mod key;
mod rekor;
mod service;
mod timestamp;
mod transport;

use countersign_oci::http::HttpOptions;
use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use std::time::Duration;
use url::Url;

use crate::error::SignError;
use crate::identity::IdentityToken;

pub use bundle::SignedBundle;
use bundle::{SignedContent, SignedEnvelope, SignedFile};
pub(crate) use config::safe_url;
pub use config::{ConfigProblem, Log, RekorVersion, Selection, SigningConfig};
pub use fulcio::Certificate;
pub use service::Service;
pub(crate) use transport::{Call, Transport};

/// A log that knows an entry before it was sent is asked again with a new signature, this often.
const SIGNATURES_PER_STATEMENT: usize = 3;

/// The services that one call uses, with the time that all of them together may take.
#[derive(Clone, Debug)]
pub struct Services {
    selection: Selection,
    transport: Transport,
}

impl Services {
    /// Prepares the services of a selection. Everything that is asked of them ends within `budget`.
    pub fn new(selection: Selection, options: &HttpOptions, budget: Duration) -> Result<Self, SignError> {
        Ok(Self { selection, transport: Transport::new(options, budget)? })
    }

    /// Which services they are.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Gets one certificate for a new key pair.
    pub async fn certificate(&self, token: &IdentityToken, now: Timestamp) -> Result<Certificate, SignError> {
        fulcio::request(&self.transport, &self.selection.fulcio, token, now).await
    }

    /// Signs a statement, logs it and has it timestamped.
    pub async fn sign(&self, certificate: &Certificate, statement: &[u8]) -> Result<SignedBundle, SignError> {
        self.sign_content(certificate, || SignedEnvelope::new(certificate, statement).map(SignedContent::Envelope))
            .await
    }

    /// Signs a file, logs its digest and has the signature timestamped.
    pub async fn sign_file(&self, certificate: &Certificate, bytes: &[u8]) -> Result<SignedBundle, SignError> {
        self.sign_content(certificate, || SignedFile::new(certificate, bytes).map(SignedContent::File)).await
    }

    async fn sign_content(
        &self,
        certificate: &Certificate,
        sign: impl Fn() -> Result<SignedContent, SignError>,
    ) -> Result<SignedBundle, SignError> {
        let log = &self.selection.log;
        for _ in 0..SIGNATURES_PER_STATEMENT {
            let content = sign()?;
            let timestamps = try_join_all(
                self.selection
                    .timestamp_authorities
                    .iter()
                    .map(|authority| timestamp::request(&self.transport, authority, content.signature())),
            );
            let entry = rekor::submit(&self.transport, log, certificate, &content);
            let (entry, timestamps) = try_join(entry, timestamps).await?;
            if let rekor::Submitted::Entry(entry) = entry {
                return Ok(bundle::assemble(certificate, content, *entry, timestamps));
            }
        }
        Err(SignError::LogConflict { url: log.url.to_string(), attempts: SIGNATURES_PER_STATEMENT })
    }
}

/// Appends a path to a base URL, whether or not that ends in a slash.
fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!("{}/{path}", base.path().trim_end_matches('/'));
    url.set_path(&joined);
    url.set_query(None);
    url
}
