//! A key that somebody manages: given by whoever asks, never by the bundle.

use countersign_oci::Digest;
use sigstore_types::DerPublicKey;

use crate::error::Error;
use crate::{crypto, sigstore};

/// Characters of a PEM file with one key: RSA keys of 8,192 bits have under 2,000.
const KEY_LIMIT: usize = 16 << 10;

/// A public key that files are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedKey {
    der: DerPublicKey,
}

impl ManagedKey {
    /// Parses a PEM `PUBLIC KEY`. Refuses text over 16 KiB, other kinds of PEM (a private key among them), and keys of
    /// algorithms that cannot be verified.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        crypto::install();
        if text.len() > KEY_LIMIT {
            let detail = format!("it has {} bytes, more than the limit of {KEY_LIMIT}", text.len());
            return Err(Error::ManagedKey { detail });
        }
        if text.matches("-----BEGIN ").count() > 1 {
            return Err(Error::ManagedKey { detail: "it holds more than one key or certificate".to_owned() });
        }
        let der = sigstore::public_key(text).map_err(|detail| Error::ManagedKey { detail })?;
        Ok(Self { der })
    }

    /// Returns the SHA-256 of the key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.der.as_bytes())
    }

    pub(crate) fn der(&self) -> &DerPublicKey {
        &self.der
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWRsyGtnnFQC2Mp9hDeGf8bjGPmJD
oldkZFtF2ZrRQSDVmF+KENsfX+JB8APKkv41PLWBM2Y6RhCN0LSGQ7UB5A==
-----END PUBLIC KEY-----
";

    #[test]
    fn only_a_public_key_that_can_be_checked_with_is_one() {
        assert!(ManagedKey::from_pem(KEY).is_ok());
        let long = format!("{KEY}{}", " ".repeat(KEY_LIMIT));
        let cut = KEY.replace("oldkZFtF2ZrRQSDVmF", "");
        let two = format!("{KEY}{KEY}");
        for text in
            [&two, "", "no key", &KEY.replace("PUBLIC", "PRIVATE"), &KEY.replace("MFkwEw", "MFkwEA"), &cut, &long]
        {
            let error = ManagedKey::from_pem(text).unwrap_err();
            assert_eq!(error.code(), "managed-key-malformed", "{text}");
        }
    }
}
