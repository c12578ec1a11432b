//! Keys that servers read from files.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use der::pem::LineEnding;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use sandbox::EcdsaKey;

/// The head of the `SubjectPublicKeyInfo` of an Ed25519 key (RFC 8410).
pub(crate) const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Writes a new P-256 key to a file as PKCS #8, and returns it.
pub(super) fn ecdsa(path: &Path) -> anyhow::Result<EcdsaKey> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let document = document.map_err(|_| anyhow!("no random numbers"))?;
    write(path, document.as_ref())?;
    EcdsaKey::from_pkcs8(document.as_ref())
}

/// Writes a new Ed25519 key to a file as PKCS #8, and returns the 32 bytes of its public key.
pub(super) fn ed25519(path: &Path) -> anyhow::Result<Vec<u8>> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no random numbers"))?;
    write(path, document.as_ref())?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|error| anyhow!("a key just made: {error}"))?;
    Ok(pair.public_key().as_ref().to_vec())
}

fn write(path: &Path, document: &[u8]) -> anyhow::Result<()> {
    fs::write(path, pem("PRIVATE KEY", document)?).with_context(|| format!("cannot write {}", path.display()))
}

/// PEM with 64 columns and a final newline.
pub(crate) fn pem(label: &str, document: &[u8]) -> anyhow::Result<String> {
    der::pem::encode_string(label, LineEnding::LF, document).map_err(|error| anyhow!("{label} as PEM: {error}"))
}

/// The content of the blocks of a PEM text, in order.
pub(crate) fn unpem(text: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut blocks = Vec::new();
    let mut rest = text.trim();
    while let Some(end) = rest.find("-----END ") {
        let end = rest[end..].find('\n').map_or(rest.len(), |line| end + line + 1);
        let (block, after) = rest.split_at(end);
        let (_, content) = der::pem::decode_vec(block.trim().as_bytes()).map_err(|error| anyhow!("PEM: {error}"))?;
        blocks.push(content);
        rest = after.trim_start();
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_comes_apart_into_its_blocks() {
        let chain = [pem("CERTIFICATE", b"leaf").unwrap(), pem("CERTIFICATE", b"root").unwrap()].concat();
        assert_eq!(unpem(&chain).unwrap(), [b"leaf".to_vec(), b"root".to_vec()]);
        assert!(unpem("").unwrap().is_empty());
    }
}
