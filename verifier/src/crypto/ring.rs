//! `ring`.

use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey, VerificationAlgorithm};
use sigstore_crypto::provider::{HashContext, SigningKeyPair};
use sigstore_crypto::{Error, KeyAlgorithm, SigningScheme};
use sigstore_types::HashAlgorithm;

use super::invalid;

pub(super) fn hash(algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
    let algorithm = match algorithm {
        HashAlgorithm::Sha2256 => &digest::SHA256,
        HashAlgorithm::Sha2384 => &digest::SHA384,
        HashAlgorithm::Sha2512 => &digest::SHA512,
        other => return Err(Error::UnsupportedAlgorithm(format!("digest algorithm {other}"))),
    };
    Ok(Box::new(RingHash(digest::Context::new(algorithm))))
}

pub(super) fn verify(scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Error> {
    UnparsedPublicKey::new(algorithm(scheme)?, key).verify(data, signature).map_err(|_| invalid(scheme))
}

pub(super) fn generate_key_pair(algorithm: KeyAlgorithm) -> Result<Box<dyn SigningKeyPair>, Error> {
    if algorithm != KeyAlgorithm::EcdsaP256 {
        return Err(Error::UnsupportedAlgorithm(format!("key generation for {algorithm:?}")));
    }
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map_err(|_| Error::KeyGeneration("the system's random source failed".into()))?;
    key_pair_from_pkcs8_der(pkcs8.as_ref())
}

pub(super) fn key_pair_from_pkcs8_der(pkcs8: &[u8]) -> Result<Box<dyn SigningKeyPair>, Error> {
    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new())
        .map(|pair| Box::new(RingKeyPair(pair)) as Box<dyn SigningKeyPair>)
        .map_err(|rejected| Error::InvalidKeyFormat(rejected.to_string()))
}

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
