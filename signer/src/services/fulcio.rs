//! One certificate for a key pair, from the certificate authority.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::{Deserialize, Serialize};
use sigstore_crypto::{CertificateInfo, SubjectAltName, parse_certificate_info};
use sigstore_types::DerCertificate;
use url::Url;

use super::endpoint;
use super::key::KeyPair;
use super::service::Service;
use super::transport::{Address, Answer, Attempts, Call, Stop, Transport};
use crate::error::SignError;
use crate::identity::IdentityToken;

/// What has to be left of a certificate when something is signed with it: as long as one answer of a service may take.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);
/// What has to be left of a new one, which is to be of some use.
const LEAST_LIFETIME: SignedDuration = SignedDuration::from_secs(60);

/// A key pair and the certificate that was issued for it.
pub struct Certificate {
    pub(super) key: KeyPair,
    pub(super) der: DerCertificate,
    info: CertificateInfo,
}

impl Certificate {
    /// The identity provider that vouched for the signer.
    pub fn issuer(&self) -> Option<&str> {
        self.info.issuer.as_deref()
    }

    /// The signer's name: an e-mail address or a URI.
    pub fn subject_alternative_name(&self) -> Option<&str> {
        self.info.identity.as_ref().map(SubjectAltName::as_str)
    }

    /// The repository that the signing job ran for, where the provider says so.
    pub fn source_repository_uri(&self) -> Option<&str> {
        self.info.ci_claims.source_repository_uri.as_deref()
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        self.der.as_bytes()
    }

    /// The end of its validity.
    pub fn not_after(&self) -> Timestamp {
        self.info.not_after
    }

    /// When to sign nothing more with it, so that the log and the timestamp authority still answer within its validity.
    pub(super) fn usable_until(&self) -> Timestamp {
        self.info.not_after.saturating_sub(MARGIN).unwrap_or(Timestamp::MIN)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("issuer", &self.issuer())
            .field("subject_alternative_name", &self.subject_alternative_name())
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

/// Asks for a certificate for a new key pair, and says who issued it. Refuses one for another key, one without an embedded SCT, and one
/// about to expire; whether it chains to the trusted root is for the self-verification to say.
pub(super) async fn request(
    transport: &Transport,
    authorities: &[Url],
    token: &IdentityToken,
    attempts: &mut Attempts,
) -> Result<(Certificate, Url), Stop> {
    let key = KeyPair::generate()?;
    let proof = key.sign(token.proof_of_possession().as_bytes())?;
    let body = CertificateRequest {
        public_key_request: PublicKeyRequest {
            public_key: PublicKey { algorithm: "ECDSA", content: key.public_key().to_pem() },
            proof_of_possession: STANDARD.encode(proof.as_bytes()),
        },
    };
    let body = serde_json::to_vec(&body).expect("strings always serialise");
    let mut bearer =
        HeaderValue::from_str(&format!("Bearer {}", token.expose())).expect("a parsed token is base64url and dots");
    bearer.set_sensitive(true);

    let urls: Vec<Url> = authorities.iter().map(|authority| endpoint(authority, "api/v2/signingCert")).collect();
    let until = Some(token.expiry());
    let call = Call { service: Service::Fulcio, urls: &urls, conflict_is_answer: false, until };
    let answer = transport
        .send(&call, attempts, |client, url| {
            client
                .post(url.clone())
                .header(AUTHORIZATION, bearer.clone())
                .header("content-type", "application/json")
                .body(body.clone())
        })
        .await?;
    let der = leaf(&answer)?;
    let certificate = check(&answer.from, key, der, transport.budget().now())?;
    Ok((certificate, answer.from.url))
}

fn leaf(answer: &Answer) -> Result<DerCertificate, SignError> {
    let malformed = |what: &str| answer.from.malformed(what);
    let response: CertificateResponse =
        serde_json::from_slice(&answer.body).map_err(|error| malformed(&error.to_string()))?;
    let embedded =
        response.signed_certificate_embedded_sct.ok_or_else(|| malformed("no certificate with an embedded SCT"))?;
    let pem = embedded.chain.certificates.first().ok_or_else(|| malformed("the certificate chain is empty"))?;
    DerCertificate::from_pem(pem).map_err(|error| malformed(&error.to_string()))
}

fn check(from: &Address, key: KeyPair, der: DerCertificate, now: Timestamp) -> Result<Certificate, SignError> {
    let info = parse_certificate_info(&der).map_err(|error| from.malformed(error.to_string()))?;
    if info.public_key != key.public_key() {
        return Err(SignError::CertificateForAnotherKey { url: from.shown_url() });
    }
    if info.not_after.duration_since(now) < LEAST_LIFETIME {
        return Err(SignError::CertificateNotUsable { url: from.shown_url(), not_after: info.not_after, now });
    }
    Ok(Certificate { key, der, info })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateRequest {
    public_key_request: PublicKeyRequest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    public_key: PublicKey,
    proof_of_possession: String,
}

#[derive(Serialize)]
struct PublicKey {
    algorithm: &'static str,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CertificateResponse {
    signed_certificate_embedded_sct: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    chain: Certificates,
}

#[derive(Deserialize)]
struct Certificates {
    certificates: Vec<String>,
}
