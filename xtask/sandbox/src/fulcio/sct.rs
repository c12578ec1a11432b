//! Signed certificate timestamps: the promise of a certificate transparency log, made before the certificate is (RFC 6962).

use der::asn1::{ObjectIdentifier, OctetString};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use x509_cert::ext::Extension;

use crate::certificate::extension;
use crate::keys::{EcdsaKey, random};

const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

/// SHA-256 and ECDSA, as TLS 1.2 numbers them.
const SHA256_ECDSA: [u8; 2] = [4, 3];

pub(super) struct Log<'a> {
    pub(super) key: &'a EcdsaKey,
    /// Whether promises name the place in the log, as the logs of static-ct-api do.
    pub(super) leaf_index: bool,
}

impl Log<'_> {
    /// The extension that goes into the certificate.
    pub(super) fn extension(&self, tbs: &[u8], issuer_spki: &[u8], now: Timestamp) -> anyhow::Result<Extension> {
        let milliseconds = u64::try_from(now.as_millisecond())?;
        let extensions = if self.leaf_index { leaf_index() } else { Vec::new() };
        let mut signed = vec![0, 0];
        signed.extend(milliseconds.to_be_bytes());
        // A precertificate entry.
        signed.extend([0, 1]);
        signed.extend(digest(&SHA256, issuer_spki).as_ref());
        signed.extend(&u32::try_from(tbs.len())?.to_be_bytes()[1..]);
        signed.extend(tbs);
        signed.extend(prefixed(&extensions)?);

        let mut sct = vec![0];
        sct.extend(digest(&SHA256, &self.key.spki()).as_ref());
        sct.extend(milliseconds.to_be_bytes());
        sct.extend(prefixed(&extensions)?);
        sct.extend(SHA256_ECDSA);
        sct.extend(prefixed(&self.key.sign(&signed))?);
        let list = prefixed(&prefixed(&sct)?)?;
        extension(SCT_LIST, false, &OctetString::new(list)?)
    }
}

/// The leaf_index extension of static-ct-api: type 0, length 5, a number of 40 bits.
fn leaf_index() -> Vec<u8> {
    let index: [u8; 4] = random();
    [&[0, 0, 5, 0][..], &index].concat()
}

/// Bytes behind their length in 16 bits.
fn prefixed(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok([&u16::try_from(bytes.len())?.to_be_bytes()[..], bytes].concat())
}
