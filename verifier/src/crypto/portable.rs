//! Pure Rust, to verify where `ring` needs a C compiler that is not there: in WebAssembly.
//!
//! It does not sign, and does not verify RSA: a trusted root with an RSA key cannot be used with it, and says so. It is
//! three times slower than `ring` or more.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sigstore_crypto::provider::{HashContext, SigningKeyPair};
use sigstore_crypto::{Error, KeyAlgorithm, SigningScheme};
use sigstore_types::HashAlgorithm;

use super::{invalid, p256_prehashed, p384_prehashed};

pub(super) fn hash(algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
    Ok(match algorithm {
        HashAlgorithm::Sha2256 => Box::new(Hash(Sha256::new())),
        HashAlgorithm::Sha2384 => Box::new(Hash(Sha384::new())),
        HashAlgorithm::Sha2512 => Box::new(Hash(Sha512::new())),
        other => return Err(Error::UnsupportedAlgorithm(format!("digest algorithm {other}"))),
    })
}

pub(super) fn verify(scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Error> {
    let verified = match scheme {
        SigningScheme::EcdsaP256Sha256 => p256_prehashed(key, &Sha256::digest(data), signature),
        SigningScheme::EcdsaP256Sha384 => p256_prehashed(key, &Sha384::digest(data), signature),
        SigningScheme::EcdsaP384Sha256 => p384_prehashed(key, &Sha256::digest(data), signature),
        SigningScheme::EcdsaP384Sha384 => p384_prehashed(key, &Sha384::digest(data), signature),
        SigningScheme::Ed25519 => ed25519(key, data, signature),
        other => return Err(Error::UnsupportedAlgorithm(other.name().to_owned())),
    };
    verified.ok_or_else(|| invalid(scheme))
}

pub(super) fn generate_key_pair(_: KeyAlgorithm) -> Result<Box<dyn SigningKeyPair>, Error> {
    Err(Error::UnsupportedAlgorithm("signing".into()))
}

#[cfg(target_family = "wasm")]
pub(super) fn key_pair_from_pkcs8_der(_: &[u8]) -> Result<Box<dyn SigningKeyPair>, Error> {
    Err(Error::UnsupportedAlgorithm("signing".into()))
}

fn ed25519(key: &[u8], data: &[u8], signature: &[u8]) -> Option<()> {
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    key.verify_strict(data, &Signature::from_slice(signature).ok()?).ok()
}

struct Hash<D>(D);

impl<D: sha2::Digest + Send> HashContext for Hash<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}
