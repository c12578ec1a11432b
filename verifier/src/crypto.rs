//! The crypto backend of the Sigstore crates: `ring`, and pure Rust where its C code does not go (WebAssembly).
//!
//! `ring` cannot verify a signature over a digest that somebody else computed. Only for that case (files signed
//! with a message signature) the pure-Rust crates `p256` and `p384` are used everywhere.

use std::sync::LazyLock;

use countersign_oci::Digest;
use sigstore_crypto::provider::{CryptoProvider, HashContext, SigningKeyPair, install_default_provider};
use sigstore_crypto::{Error, KeyAlgorithm, SigningScheme};
use sigstore_types::HashAlgorithm;

mod memo;
#[cfg(any(target_family = "wasm", test))]
mod portable;
#[cfg(not(target_family = "wasm"))]
mod ring;

#[cfg(not(target_family = "wasm"))]
use self::ring as backend;
use memo::{Check, Memo};
#[cfg(target_family = "wasm")]
use portable as backend;

/// Makes this crate's backend the crypto provider of the Sigstore crates, for the whole process.
///
/// Calling it again does nothing. [`crate::Verifier::new`] calls it, so a program that embeds the verifier need
/// not. A provider that the program installed before is left in place.
///
/// This and the memo behind it (signature checks that succeeded, 1,024 of them, known by a hash of everything that they
/// were about) are the only state of this crate that is not in a value that somebody holds: the Sigstore crates ask one
/// provider for each process and take none as an argument. No configuration, no trusted root and no verdict is in it.
pub fn install() {
    // `Err` only says that a provider is there already.
    let _ = install_default_provider(&Provider);
}

#[derive(Debug)]
struct Provider;

impl CryptoProvider for Provider {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        backend::hash(algorithm)
    }

    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        *Digest::of(data).bytes()
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Error> {
        let check = Check::new(scheme, key, data, signature);
        if MEMO.succeeded(check) {
            return Ok(());
        }
        backend::verify(scheme, key, data, signature)?;
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
        backend::generate_key_pair(algorithm)
    }

    fn key_pair_from_pkcs8_der(&self, pkcs8: &[u8]) -> Result<Box<dyn SigningKeyPair>, Error> {
        backend::key_pair_from_pkcs8_der(pkcs8)
    }
}

/// What was verified in this process, whoever asked.
static MEMO: LazyLock<Memo> = LazyLock::new(Memo::default);

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
        let pair = Provider.generate_key_pair(KeyAlgorithm::EcdsaP256).unwrap();
        let signature = pair.sign_raw(b"message").unwrap();
        let verify = |data: &[u8], signature: &[u8]| {
            Provider.verify_raw(SigningScheme::EcdsaP256Sha256, pair.public_key_bytes(), data, signature)
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
        let pair = Provider.generate_key_pair(KeyAlgorithm::EcdsaP256).unwrap();
        let signature = pair.sign_raw(b"message").unwrap();
        let verify = |digest: &[u8]| {
            Provider.verify_prehashed(SigningScheme::EcdsaP256Sha256, pair.public_key_bytes(), digest, &signature)
        };
        assert!(verify(&Provider.sha256(b"message")).is_ok());
        assert!(verify(&Provider.sha256(b"massage")).is_err());
    }

    #[test]
    fn the_portable_backend_and_ring_agree_on_every_signature() {
        use ::ring::rand::SystemRandom;
        use ::ring::signature::{
            ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        };
        let random = SystemRandom::new();
        let mut signed: Vec<(SigningScheme, Vec<u8>, Vec<u8>)> = Vec::new();
        for (scheme, algorithm) in [
            (SigningScheme::EcdsaP256Sha256, &ECDSA_P256_SHA256_ASN1_SIGNING),
            (SigningScheme::EcdsaP384Sha384, &ECDSA_P384_SHA384_ASN1_SIGNING),
        ] {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
            let signature = pair.sign(&random, b"message").unwrap();
            signed.push((scheme, pair.public_key().as_ref().to_vec(), signature.as_ref().to_vec()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let signature = pair.sign(b"message").as_ref().to_vec();
        signed.push((SigningScheme::Ed25519, pair.public_key().as_ref().to_vec(), signature));
        for (scheme, key, signature) in signed {
            let mut changed = signature.clone();
            *changed.last_mut().unwrap() ^= 1;
            let cases = [
                (&key[..], &b"message"[..], &signature[..], true),
                (&key, b"massage", &signature, false),
                (&key, b"message", &changed, false),
                (&key, b"message", &signature[1..], false),
                (&key[1..], b"message", &signature, false),
                (&key, b"message", b"", false),
                (b"", b"message", &signature, false),
            ];
            for (key, data, signature, good) in cases {
                assert_eq!(ring::verify(scheme, key, data, signature).is_ok(), good, "{scheme:?}");
                assert_eq!(portable::verify(scheme, key, data, signature).is_ok(), good, "{scheme:?}");
            }
        }
        for algorithm in [HashAlgorithm::Sha2256, HashAlgorithm::Sha2384, HashAlgorithm::Sha2512] {
            let digest = |mut context: Box<dyn HashContext>| {
                context.update(b"mess");
                context.update(b"age");
                context.finalize()
            };
            assert_eq!(digest(ring::hash(algorithm).unwrap()), digest(portable::hash(algorithm).unwrap()));
        }
        assert!(portable::verify(SigningScheme::RsaPkcs1Sha256, &[0; 300], b"m", b"s").is_err());
        assert!(portable::generate_key_pair(KeyAlgorithm::EcdsaP256).is_err(), "it only verifies");
    }

    #[test]
    fn an_algorithm_that_ring_lacks_is_an_error_not_a_pass() {
        assert!(Provider.verify_raw(SigningScheme::MlDsa44, &[0; 1312], b"m", b"s").is_err());
        assert!(Provider.verify_prehashed(SigningScheme::RsaPkcs1Sha256, &[0; 300], &[0; 32], b"s").is_err());
        assert!(Provider.generate_key_pair(KeyAlgorithm::Ed25519).is_err());
        assert!(Provider.hash(HashAlgorithm::Sha2256).is_ok());
    }
}
