//! The private keys of the authorities, made for each run or injected.

use std::sync::Arc;

use anyhow::anyhow;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

/// The keys of one Sigstore instance. Two sandboxes with the same keys trust each other's signatures.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The certificate transparency log.
    pub ct: EcdsaKey,
    /// Fulcio's intermediate certificate authority.
    pub fulcio_intermediate: EcdsaKey,
    /// Fulcio's root certificate authority.
    pub fulcio_root: EcdsaKey,
    /// Rekor v1.
    pub rekor_v1: EcdsaKey,
    /// Rekor v2.
    pub rekor_v2: Ed25519Key,
    /// The signer of timestamps.
    pub tsa: EcdsaKey,
    /// The timestamp authority's root certificate authority.
    pub tsa_root: EcdsaKey,
    /// All roles of the TUF repository.
    pub tuf: Ed25519Key,
}

impl Keys {
    /// New keys.
    #[must_use]
    pub fn generate() -> Keys {
        Keys {
            ct: EcdsaKey::generate(),
            fulcio_intermediate: EcdsaKey::generate(),
            fulcio_root: EcdsaKey::generate(),
            rekor_v1: EcdsaKey::generate(),
            rekor_v2: Ed25519Key::generate(),
            tsa: EcdsaKey::generate(),
            tsa_root: EcdsaKey::generate(),
            tuf: Ed25519Key::generate(),
        }
    }
}

/// An ECDSA key on P-256; signs with SHA-256.
#[derive(Clone)]
pub struct EcdsaKey(Arc<EcdsaKeyPair>);

impl EcdsaKey {
    /// A new key.
    #[must_use]
    pub fn generate() -> EcdsaKey {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .expect("the system has random numbers");
        EcdsaKey::from_pkcs8(document.as_ref()).expect("a key just made can be read")
    }

    /// A key from a PKCS#8 document with the public key inside.
    pub fn from_pkcs8(document: &[u8]) -> anyhow::Result<EcdsaKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document, &SystemRandom::new())
            .map_err(|error| anyhow!("read a P-256 key: {error}"))?;
        Ok(EcdsaKey(Arc::new(pair)))
    }

    /// Signs a message; the signature is DER.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message).expect("the system has random numbers");
        signature.as_ref().to_vec()
    }

    /// Returns the public key as a DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [&P256_SPKI[..], self.0.public_key().as_ref()].concat()
    }
}

impl std::fmt::Debug for EcdsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EcdsaKey({})", crate::hex(self.0.public_key().as_ref()))
    }
}

/// An Ed25519 key.
#[derive(Clone)]
pub struct Ed25519Key(Arc<Ed25519KeyPair>);

impl Ed25519Key {
    /// A new key.
    #[must_use]
    pub fn generate() -> Ed25519Key {
        Ed25519Key::from_seed(&random())
    }

    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Ed25519Key {
        Ed25519Key(Arc::new(Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed")))
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    /// Returns the 32 bytes of the public key.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Returns the public key as a DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [&ED25519_SPKI[..], self.public()].concat()
    }
}

impl std::fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ed25519Key({})", crate::hex(self.public()))
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// The head of the `SubjectPublicKeyInfo` of an uncompressed point on P-256 (RFC 5480).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The head of the `SubjectPublicKeyInfo` of an Ed25519 key (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
