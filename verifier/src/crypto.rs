//! The one crypto backend: `ring`, as the provider of the Sigstore crates.
//!
//! `ring` cannot verify a signature over a digest that somebody else computed. Only for that case (files signed
//! with a message signature) the pure-Rust crates `p256` and `p384` are used.

use std::sync::LazyLock;

use ring::{
    digest,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey, VerificationAlgorithm},
};
use sigstore_crypto::provider::{CryptoProvider, HashContext, SigningKeyPair, install_default_provider};
use sigstore_crypto::{Error, KeyAlgorithm, SigningScheme};
use sigstore_types::HashAlgorithm;

mod memo;

use memo::{Check, Memo};

/// Makes `ring` the crypto provider of the Sigstore crates, for the whole process.
///
/// Calling it again does nothing. [`crate::Verifier::new`] calls it, so a program that embeds the verifier need
/// not. A provider that the program installed before is left in place.
pub fn install() {
    // `Err` only says that a provider is there already.
    let _ = install_default_provider(&Ring);
}

#[derive(Debug)]
struct Ring;

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &digest::SHA256,
            HashAlgorithm::Sha2384 => &digest::SHA384,
            HashAlgorithm::Sha2512 => &digest::SHA512,
            other => return Err(Error::UnsupportedAlgorithm(format!("digest algorithm {other}"))),
        };
        Ok(Box::new(RingHash(digest::Context::new(algorithm))))
    }

    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
        bytes
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let check = Check::new(scheme, key, data, signature);
        if MEMO.succeeded(check) {
            return Ok(());
        }
        UnparsedPublicKey::new(algorithm(scheme)?, key).verify(data, signature).map_err(|_| invalid(scheme))?;
        MEMO.remember(check);
        Ok(())
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let verified = match scheme {
            SigningScheme::EcdsaP256Sha256 | SigningScheme::EcdsaP256Sha384 => p256_prehashed(key, digest, signature),
            SigningScheme::EcdsaP384Sha256 | SigningScheme::EcdsaP384Sha384 => p384_prehashed(key, digest, signature),
            other => return Err(Error::UnsupportedAlgorithm(format!("{} over a digest", other.name()))),
        };
        verified.ok_or_else(|| invalid(scheme))
    }

    fn generate_key_pair(&self, algorithm: KeyAlgorithm) -> Result<Box<dyn SigningKeyPair>, Error> {
        if algorithm != KeyAlgorithm::EcdsaP256 {
            return Err(Error::UnsupportedAlgorithm(format!("key generation for {algorithm:?}")));
        }
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| Error::KeyGeneration("the system's random source failed".into()))?;
        self.key_pair_from_pkcs8_der(pkcs8.as_ref())
    }

    fn key_pair_from_pkcs8_der(&self, pkcs8: &[u8]) -> Result<Box<dyn SigningKeyPair>, Error> {
        EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new())
            .map(|pair| Box::new(RingKeyPair(pair)) as Box<dyn SigningKeyPair>)
            .map_err(|rejected| Error::InvalidKeyFormat(rejected.to_string()))
    }
}

/// What was verified in this process, whoever asked.
static MEMO: LazyLock<Memo> = LazyLock::new(Memo::default);

struct RingHash(digest::Context);

impl HashContext for RingHash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

struct RingKeyPair(EcdsaKeyPair);

impl SigningKeyPair for RingKeyPair {
    fn algorithm(&self) -> KeyAlgorithm {
        KeyAlgorithm::EcdsaP256
    }

    fn public_key_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn sign_raw(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        self.0
            .sign(&SystemRandom::new(), data)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| Error::Signing("the system's random source failed".into()))
    }

    fn sign_prehashed(&self, _digest: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::UnsupportedAlgorithm("signing a digest".into()))
    }
}

fn algorithm(scheme: SigningScheme) -> Result<&'static dyn VerificationAlgorithm, Error> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &signature::ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &signature::ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &signature::ED25519,
        SigningScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        other => return Err(Error::UnsupportedAlgorithm(other.name().to_owned())),
    })
}

fn p256_prehashed(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
    let signature = Signature::from_der(signature).ok()?;
    VerifyingKey::from_sec1_bytes(key).ok()?.verify_prehash(digest, &signature).ok()
}

fn p384_prehashed(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    use p384::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
    // The curve's order has 48 bytes: a shorter digest is the number it spells, so it is padded on the left.
    let mut padded = [0; 48];
    padded.get_mut(48_usize.checked_sub(digest.len())?..)?.copy_from_slice(digest);
    let signature = Signature::from_der(signature).ok()?;
    VerifyingKey::from_sec1_bytes(key).ok()?.verify_prehash(&padded, &signature).ok()
}

fn invalid(scheme: SigningScheme) -> Error {
    Error::Verification(format!("{} signature is not valid", scheme.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_signs_what_its_public_key_verifies_and_nothing_else() {
        let pair = Ring.generate_key_pair(KeyAlgorithm::EcdsaP256).unwrap();
        let signature = pair.sign_raw(b"message").unwrap();
        let verify = |data: &[u8], signature: &[u8]| {
            Ring.verify_raw(SigningScheme::EcdsaP256Sha256, pair.public_key_bytes(), data, signature)
        };
        // The second time it is remembered, and nothing else with it.
        assert!(verify(b"message", &signature).is_ok());
        assert!(verify(b"message", &signature).is_ok());
        assert!(verify(b"massage", &signature).is_err());
        assert!(verify(b"massage", &signature).is_err());
        assert!(verify(b"message", &signature[1..]).is_err());
        assert!(verify(b"message", b"").is_err());
    }

    #[test]
    fn a_digest_verifies_like_the_message_it_came_from() {
        let pair = Ring.generate_key_pair(KeyAlgorithm::EcdsaP256).unwrap();
        let signature = pair.sign_raw(b"message").unwrap();
        let verify = |digest: &[u8]| {
            Ring.verify_prehashed(SigningScheme::EcdsaP256Sha256, pair.public_key_bytes(), digest, &signature)
        };
        assert!(verify(&Ring.sha256(b"message")).is_ok());
        assert!(verify(&Ring.sha256(b"massage")).is_err());
    }

    #[test]
    fn an_algorithm_that_ring_lacks_is_an_error_not_a_pass() {
        assert!(Ring.verify_raw(SigningScheme::MlDsa44, &[0; 1312], b"m", b"s").is_err());
        assert!(Ring.verify_prehashed(SigningScheme::RsaPkcs1Sha256, &[0; 300], &[0; 32], b"s").is_err());
        assert!(Ring.generate_key_pair(KeyAlgorithm::Ed25519).is_err());
        assert!(Ring.hash(HashAlgorithm::Sha2256).is_ok());
    }
}
