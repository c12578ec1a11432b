//! The ephemeral key pair: made for one call, never written down.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use sigstore_types::{DerPublicKey, SignatureBytes};

use crate::error::SignError;

/// SubjectPublicKeyInfo of a P-256 key up to the point itself (RFC 5480): the algorithm, the curve, and a bit string of 66 bytes.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An ECDSA P-256 key pair.
pub(crate) struct KeyPair {
    inner: EcdsaKeyPair,
    random: SystemRandom,
}

impl KeyPair {
    /// Makes a new key pair.
    pub(crate) fn generate() -> Result<Self, SignError> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| SignError::KeyGeneration)?;
        let inner =
            EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(|_| SignError::KeyGeneration)?;
        Ok(Self { inner, random })
    }

    /// The public key as SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> DerPublicKey {
        let point = self.inner.public_key().as_ref();
        DerPublicKey::new([P256_SPKI_PREFIX.as_slice(), point].concat())
    }

    /// Signs a message (its SHA-256) and returns the signature in ASN.1 form.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<SignatureBytes, SignError> {
        self.inner
            .sign(&self.random, message)
            .map(|signature| SignatureBytes::from_bytes(signature.as_ref()))
            .map_err(|_| SignError::KeyGeneration)
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(ECDSA P-256)")
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn public_key_is_a_p256_subject_public_key_info_that_verifies_what_was_signed() {
        let key = KeyPair::generate().unwrap();
        let spki = key.public_key();
        assert_eq!(spki.as_bytes().len(), 91);
        let algorithm = sigstore_crypto::KeyAlgorithm::from_spki(&spki).unwrap();
        assert_eq!(algorithm, sigstore_crypto::KeyAlgorithm::EcdsaP256);
        let signature = key.sign(b"message").unwrap();
        let point = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki.as_bytes()[26..]);
        point.verify(b"message", signature.as_bytes()).unwrap();
        assert!(point.verify(b"another", signature.as_bytes()).is_err());
    }
}
