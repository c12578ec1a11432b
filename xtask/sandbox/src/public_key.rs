//! The public keys of clients: read from what they send, and what they signed verified.

use anyhow::{Context as _, bail};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_cert::Certificate;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// A public key of a kind that the services take.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey {
    kind: Kind,
    info: SubjectPublicKeyInfoOwned,
    der: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl PublicKey {
    pub(crate) fn from_der(der: &[u8]) -> anyhow::Result<PublicKey> {
        let info = SubjectPublicKeyInfoOwned::from_der(der).context("read a public key")?;
        PublicKey::from_info(info)
    }

    pub(crate) fn from_info(info: SubjectPublicKeyInfoOwned) -> anyhow::Result<PublicKey> {
        let curve = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
        let kind = match (info.algorithm.oid, curve) {
            (EC_PUBLIC_KEY, Some(PRIME256V1)) => Kind::P256,
            (EC_PUBLIC_KEY, Some(SECP384R1)) => Kind::P384,
            (ED25519_KEY, None) => Kind::Ed25519,
            (RSA_ENCRYPTION, _) => Kind::Rsa,
            (other, _) => bail!("keys of algorithm {other} are not supported"),
        };
        let der = info.to_der()?;
        Ok(PublicKey { kind, info, der })
    }

    pub(crate) fn of(certificate: &Certificate) -> anyhow::Result<PublicKey> {
        PublicKey::from_info(certificate.tbs_certificate.subject_public_key_info.clone())
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Verifies a signature over a message, with the hash that belongs to the key.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> anyhow::Result<()> {
        let algorithm: &'static dyn VerificationAlgorithm = match self.kind {
            Kind::P256 => &ECDSA_P256_SHA256_ASN1,
            Kind::P384 => &ECDSA_P384_SHA384_ASN1,
            Kind::Ed25519 => &ED25519,
            Kind::Rsa => &RSA_PKCS1_2048_8192_SHA256,
        };
        let key = UnparsedPublicKey::new(algorithm, self.info.subject_public_key.raw_bytes());
        key.verify(message, signature).ok().context("the signature does not verify")
    }

    /// Verifies a signature over a SHA-256 digest; only ECDSA on P-256 signs those.
    pub(crate) fn verify_digest(&self, digest: &[u8], signature: &[u8]) -> anyhow::Result<()> {
        if self.kind != Kind::P256 {
            bail!("only keys on P-256 are supported here");
        }
        let point = self.info.subject_public_key.raw_bytes();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).context("read a point on P-256")?;
        let signature = p256::ecdsa::Signature::from_der(signature).context("read an ECDSA signature")?;
        key.verify_prehash(digest, &signature).context("the signature does not verify")
    }
}

/// A certificate or a bare public key, as logs take either in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    pub(crate) key: PublicKey,
    /// The PEM text as Rekor writes it: 64 columns, a final newline.
    pub(crate) pem: String,
}

impl Verifier {
    /// Reads exactly one certificate or public key.
    pub(crate) fn from_pem(text: &str) -> anyhow::Result<Verifier> {
        let (label, der) = crate::unpem(text)?;
        let key = match label.as_str() {
            "CERTIFICATE" => PublicKey::of(&Certificate::from_der(&der).context("read a certificate")?)?,
            "PUBLIC KEY" => PublicKey::from_der(&der)?,
            other => bail!("PEM of {other} is neither a certificate nor a public key"),
        };
        Ok(Verifier { key, pem: crate::pem(&label, &der) })
    }
}

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
