//! The certificate that is signed with, renewed before it ends.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Services;
use super::fulcio::{self, Certificate};
use super::transport::{Attempts, Stop};
use crate::error::SignError;
use crate::identity::{IdentitySource, IdentityToken, SignerIdentity};

/// What has to be left of an identity token where its source has another one.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// One signer's identity token and certificate, shared by everything that is signed at once. Both are renewed before they end, the
/// certificate with a new key; the identity stays the same.
#[derive(Debug)]
pub struct Credentials {
    services: Services,
    identity: IdentitySource,
    expected: Option<SignerIdentity>,
    held: tokio::sync::Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    token: IdentityToken,
    issued: Option<Issued>,
}

#[derive(Clone, Debug)]
struct Issued {
    certificate: Arc<Certificate>,
    signer: SignerIdentity,
}

impl Credentials {
    /// Gets an identity token and checks it. A certificate is asked for when the first one is needed.
    pub async fn new(services: &Services, identity: &IdentitySource) -> Result<Self, SignError> {
        let token = identity.fetch(services.transport()).await?;
        Ok(Self {
            services: services.clone(),
            identity: identity.clone(),
            expected: token.expected_identity(),
            held: tokio::sync::Mutex::new(Held { token, issued: None }),
        })
    }

    /// Who will sign, as far as the token tells without asking for a certificate.
    pub fn expected_identity(&self) -> Option<&SignerIdentity> {
        self.expected.as_ref()
    }

    /// Who signs, as the certificate names it. Asks for the certificate where there is none yet.
    pub async fn signer(&self) -> Result<SignerIdentity, SignError> {
        Ok(self.issued().await?.signer)
    }

    /// A certificate that lives long enough for one more signature.
    pub async fn certificate(&self) -> Result<Arc<Certificate>, SignError> {
        Ok(self.issued().await?.certificate)
    }

    /// One renewal at a time: whoever comes meanwhile waits for its outcome.
    async fn issued(&self) -> Result<Issued, SignError> {
        let mut held = self.held.lock().await;
        match &held.issued {
            Some(issued) if self.services.budget().now() < issued.certificate.usable_until() => Ok(issued.clone()),
            _ => {
                let issued = self.issue(&mut held).await?;
                held.issued = Some(issued.clone());
                Ok(issued)
            }
        }
    }

    async fn issue(&self, held: &mut Held) -> Result<Issued, SignError> {
        let (services, authorities) = (&self.services, self.services.selection().authorities());
        let mut attempts = Attempts::default();
        let (certificate, authority) = loop {
            self.renew_token(held).await?;
            match fulcio::request(services.transport(), &authorities, &held.token, &mut attempts).await {
                Ok(issued) => break issued,
                Err(Stop::Lapsed { .. }) => {
                    tracing::warn!("the identity token ended while the certificate authority was asked")
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        };
        let signer = SignerIdentity::new(&held.token, &certificate, authority.as_str())?;
        let first = held.issued.as_ref().map(|issued| &issued.signer);
        match first {
            Some(first) if *first != signer => {
                Err(SignError::IdentityChanged { first: first.identity.clone(), renewed: signer.identity.clone() })
            }
            _ => Ok(Issued { certificate: Arc::new(certificate), signer }),
        }
    }

    /// Replaces a token that is about to end, where there is another one.
    async fn renew_token(&self, held: &mut Held) -> Result<(), SignError> {
        let now = self.services.budget().now();
        let expiry = held.token.expiry();
        if self.identity.renewable() {
            if expiry.duration_since(now) < TOKEN_MARGIN {
                held.token = self.identity.fetch(self.services.transport()).await?;
            }
            return Ok(());
        }
        if now < expiry {
            return Ok(());
        }
        let outlived = SignError::IdentityTokenOutlived { expiry, now };
        match &held.issued {
            Some(issued) => Err(SignError::CertificateOutlived {
                not_after: issued.certificate.not_after(),
                now,
                source: Some(Box::new(outlived)),
            }),
            None => Err(outlived),
        }
    }
}
