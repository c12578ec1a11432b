use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::{ClientCertificate, HttpError};

/// Returns the one shared configuration, or one of its own where certificates were added.
pub(super) fn configuration(
    ca_certificates: &[Vec<u8>],
    client: Option<&ClientCertificate>,
) -> Result<ClientConfig, HttpError> {
    static SHARED: OnceLock<ClientConfig> = OnceLock::new();
    if ca_certificates.is_empty() && client.is_none() {
        return Ok(SHARED.get_or_init(|| build(Vec::new())).clone());
    }
    let mut roots = Vec::new();
    for (index, pem) in ca_certificates.iter().enumerate() {
        let not_one = || HttpError::CaCertificate { position: index + 1 };
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.push(certificate.map_err(|_| not_one())?);
        }
        let usable = roots[before..].iter().all(|root| RootCertStore::empty().add(root.clone()).is_ok());
        if roots.len() == before || !usable {
            return Err(not_one());
        }
    }
    let mut config = build(roots);
    if let Some(client) = client {
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity(client, &config)?));
    }
    Ok(config)
}

/// Returns a certificate with the key that belongs to it.
fn identity(client: &ClientCertificate, config: &ClientConfig) -> Result<CertifiedKey, HttpError> {
    let unusable = |reason| HttpError::ClientCertificate { reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&client.chain).collect();
    let chain =
        chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| unusable("there is no certificate in PEM"))?;
    // The errors of these may quote what they read.
    let key = PrivateKeyDer::from_pem_slice(client.key.expose().as_bytes());
    let key = key.map_err(|_| unusable("there is no key in PEM, or it is encrypted"))?;
    let key = config.crypto_provider().key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, key.map_err(|_| unusable("the key is of no known kind"))?);
    certified.keys_match().map_err(|_| unusable("the key is not that of the certificate"))?;
    Ok(certified)
}

fn build(roots: Vec<CertificateDer<'static>>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = LazyVerifier { provider: provider.clone(), roots, loaded: OnceLock::new() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring implements the cipher suites of TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The platform's verifier, made at the first handshake: loading the roots costs more than a whole verification.
struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    roots: Vec<CertificateDer<'static>>,
    loaded: OnceLock<Result<Verifier, Error>>,
}

impl LazyVerifier {
    fn verifier(&self) -> Result<&Verifier, Error> {
        let load = || Verifier::new_with_extra_roots(self.roots.iter().cloned(), self.provider.clone());
        self.loaded.get_or_init(load).as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for LazyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyVerifier").field("own_roots", &self.roots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_certificate_is_refused_when_the_client_is_built() {
        let none = b"not a certificate".to_vec();
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        for pem in [Vec::new(), none, garbage] {
            assert!(matches!(configuration(&[pem], None), Err(HttpError::CaCertificate { position: 1 })));
        }
    }

    #[test]
    fn the_shared_configuration_speaks_http_2_and_loads_no_roots() {
        let config = configuration(&[], None).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
