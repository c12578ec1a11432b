//! The envelope that is signed and the bundle that is published.

use bytes::Bytes;
use countersign_oci::Digest;
use jiff::Timestamp;
use serde::Serialize;
use sigstore_bundle::BundleV03;
use sigstore_crypto::parse_certificate_info;
use sigstore_types::dsse::pae;
use sigstore_types::{
    Bundle, DsseEnvelope, DsseSignature, KeyId, PayloadBytes, Sha256Hash, SignatureBytes, TimestampToken,
    TransparencyLogEntry,
};

use super::fulcio::Certificate;
use crate::error::SignError;
use crate::statement::PAYLOAD_TYPE;

/// What was signed, with its signature.
pub(super) enum SignedContent {
    /// A statement in its envelope.
    Envelope(SignedEnvelope),
    /// A file, which stays where it is.
    File(SignedFile),
}

impl SignedContent {
    /// The signature, raw.
    pub(super) fn signature(&self) -> &SignatureBytes {
        match self {
            Self::Envelope(envelope) => envelope.signature(),
            Self::File(file) => &file.signature,
        }
    }

    /// The SHA-256 of what the signature is over.
    pub(super) fn message_digest(&self) -> Digest {
        match self {
            Self::Envelope(envelope) => envelope.message_digest,
            Self::File(file) => file.digest,
        }
    }
}

/// A file's digest and signature.
pub(super) struct SignedFile {
    signature: SignatureBytes,
    digest: Digest,
}

impl SignedFile {
    /// Signs a file.
    pub(super) fn new(certificate: &Certificate, bytes: &[u8]) -> Result<Self, SignError> {
        Ok(Self { signature: certificate.key.sign(bytes)?, digest: Digest::of(bytes) })
    }
}

/// A statement with its signature.
pub(super) struct SignedEnvelope {
    inner: DsseEnvelope,
    message_digest: Digest,
}

impl SignedEnvelope {
    /// Signs the pre-authentication encoding of a statement.
    pub(super) fn new(certificate: &Certificate, payload: &[u8]) -> Result<Self, SignError> {
        let message = pae(PAYLOAD_TYPE, payload);
        let signature = DsseSignature::new(certificate.key.sign(&message)?, KeyId::default());
        Ok(Self {
            inner: DsseEnvelope::new(PAYLOAD_TYPE, PayloadBytes::from_bytes(payload), signature),
            message_digest: Digest::of(&message),
        })
    }

    /// The signature, raw.
    pub(super) fn signature(&self) -> &SignatureBytes {
        &self.inner.signature.sig
    }

    /// The statement.
    pub(super) fn payload(&self) -> &[u8] {
        self.inner.payload.as_bytes()
    }

    /// The envelope as JSON in cosign's key order: Rekor v1 keeps a digest of this very text, which other clients compute anew.
    pub(super) fn to_json(&self) -> String {
        let document = EnvelopeDocument {
            payload: self.inner.payload.to_base64(),
            payload_type: &self.inner.payload_type,
            signatures: [SignatureDocument { sig: self.signature().to_base64() }],
        };
        serde_json::to_string(&document).expect("strings always serialise")
    }
}

/// A finished bundle.
#[derive(Clone, Debug)]
pub struct SignedBundle {
    /// Its JSON.
    pub json: Bytes,
    /// The index of its log entry, as the log reported it.
    pub log_index: u64,
}

/// Puts everything into one bundle of version 0.3, with nothing in it that readers do not know.
pub(super) fn assemble(
    certificate: &Certificate,
    content: SignedContent,
    entry: TransparencyLogEntry,
    timestamps: Vec<TimestampToken>,
) -> SignedBundle {
    let log_index = entry.log_index.get();
    let certificate = certificate.der.clone();
    let bundle = match content {
        SignedContent::Envelope(envelope) => BundleV03::with_certificate_and_dsse(certificate, envelope.inner),
        SignedContent::File(SignedFile { signature, digest }) => {
            let digest = Sha256Hash::new(*digest.bytes());
            BundleV03::with_certificate_and_signature(certificate, signature, digest)
        }
    };
    let mut bundle = bundle.with_tlog_entry(entry);
    for timestamp in timestamps {
        bundle = bundle.with_rfc3161_timestamp(timestamp);
    }
    let json = bundle.into_bundle().to_json().expect("strings, numbers and bytes always serialise");
    SignedBundle { json: json.into(), log_index }
}

/// The end of the validity of the certificate in a bundle.
pub(crate) fn certificate_end(bundle: &[u8]) -> Option<Timestamp> {
    let bundle = Bundle::from_json(std::str::from_utf8(bundle).ok()?).ok()?;
    Some(parse_certificate_info(bundle.signing_certificate()?).ok()?.not_after)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeDocument<'a> {
    payload: String,
    payload_type: &'a str,
    signatures: [SignatureDocument; 1],
}

#[derive(Serialize)]
struct SignatureDocument {
    sig: String,
}
