//! The Sigstore services. Everything that knows the sigstore crates lies in this module.
//!
//! Their wire types are used, their clients are not: those read answers without a bound and follow redirects with a token.

mod bundle;
mod config;
mod credentials;
mod fulcio;
mod key;
mod pauses;
mod rekor;
mod service;
mod timestamp;
mod transport;

use countersign_oci::http::{Budget, HttpOptions};
use futures_util::future::{try_join, try_join_all};
use sigstore_types::{TimestampToken, TransparencyLogEntry};
use url::Url;

use crate::error::SignError;

pub use bundle::SignedBundle;
pub(crate) use bundle::certificate_end;
use bundle::{SignedContent, SignedEnvelope, SignedFile};
pub(crate) use config::safe_url;
pub use config::{ConfigProblem, Log, RekorVersion, Selection, SigningConfig, Spares};
pub use credentials::Credentials;
pub use fulcio::Certificate;
pub use service::Service;
use transport::Stop;
pub(crate) use transport::{Attempts, Call, Transport};

/// A log that knows an entry before it was sent is asked again with a new signature, this often.
const SIGNATURES_PER_STATEMENT: usize = 3;

/// The services that one call uses, with the time that the whole call may take. Clones are the same services.
#[derive(Clone, Debug)]
pub struct Services {
    selection: Selection,
    transport: Transport,
}

impl Services {
    /// Prepares the services of a selection. Everything that is asked of them ends within `budget`, whose time is the time of
    /// certificates and tokens too.
    pub fn new(selection: Selection, options: &HttpOptions, budget: Budget) -> Result<Self, SignError> {
        Ok(Self { selection, transport: Transport::new(options, budget)? })
    }

    /// Which services they are.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The time that the whole call may take.
    pub fn budget(&self) -> &Budget {
        self.transport.budget()
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Signs a statement, logs it and has it timestamped. Where that takes longer than the certificate lives, it is signed again with a
    /// new one.
    pub async fn sign(&self, credentials: &Credentials, statement: &[u8]) -> Result<SignedBundle, SignError> {
        let sign = |certificate: &Certificate| SignedEnvelope::new(certificate, statement).map(SignedContent::Envelope);
        self.sign_content(credentials, sign).await
    }

    /// Signs a file, logs its digest and has the signature timestamped, as [`Self::sign`] does.
    pub async fn sign_file(&self, credentials: &Credentials, bytes: &[u8]) -> Result<SignedBundle, SignError> {
        let sign = |certificate: &Certificate| SignedFile::new(certificate, bytes).map(SignedContent::File);
        self.sign_content(credentials, sign).await
    }

    async fn sign_content(
        &self,
        credentials: &Credentials,
        sign: impl Fn(&Certificate) -> Result<SignedContent, SignError>,
    ) -> Result<SignedBundle, SignError> {
        let mut tries = Tries::default();
        let mut conflicts = 0;
        loop {
            let certificate = credentials.certificate().await?;
            let content = sign(&certificate)?;
            match self.publish(&certificate, &content, &mut tries).await {
                Ok(Published { entry: Some(entry), timestamps }) => {
                    return Ok(bundle::assemble(&certificate, content, *entry, timestamps));
                }
                Ok(Published { entry: None, .. }) => conflicts += 1,
                Err(Stop::Lapsed { now, .. }) => {
                    let not_after = certificate.not_after();
                    tracing::warn!(%not_after, %now, "the certificate ends before the signature is logged, signing again");
                    tries.lapses += 1;
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
            if conflicts == SIGNATURES_PER_STATEMENT {
                return Err(SignError::LogConflict { url: self.selection.log.url.to_string(), attempts: conflicts });
            }
        }
    }

    /// Has a signature logged and timestamped, both at once. After a certificate ended meanwhile, one after the other: an entry whose
    /// timestamps never came would be one too many.
    async fn publish(
        &self,
        certificate: &Certificate,
        content: &SignedContent,
        tries: &mut Tries,
    ) -> Result<Published, Stop> {
        let patient = tries.lapses > 0;
        let authorities = self.selection.timestamp_requests();
        tries.timestamps.resize_with(authorities.len(), Attempts::default);
        let requests = authorities.iter().zip(&mut tries.timestamps);
        let timestamps = try_join_all(requests.map(|(urls, attempts)| {
            timestamp::request(&self.transport, urls, (certificate, content.signature()), attempts)
        }));
        let entry = rekor::submit(&self.transport, &self.selection, certificate, content, &mut tries.log);
        let (timestamps, entry) = if patient {
            let timestamps = timestamps.await?;
            (timestamps, entry.await?)
        } else {
            try_join(timestamps, entry).await?
        };
        Ok(Published { entry, timestamps })
    }
}

/// How often what was tried for one signature.
#[derive(Default)]
struct Tries {
    lapses: u32,
    log: Attempts,
    timestamps: Vec<Attempts>,
}

/// What the services made of a signature.
struct Published {
    /// Absent where the log says it knows the entry but does not show it: a new signature is a new entry.
    entry: Option<Box<TransparencyLogEntry>>,
    timestamps: Vec<TimestampToken>,
}

/// Appends a path to a base URL, whether or not that ends in a slash.
fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!("{}/{path}", base.path().trim_end_matches('/'));
    url.set_path(&joined);
    url.set_query(None);
    url
}
