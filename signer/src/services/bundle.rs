//! The envelope that is signed and the bundle that is published.

use bytes::Bytes;
use countersign_oci::Digest;
use serde::Serialize;
use sigstore_bundle::BundleV03;
use sigstore_types::dsse::pae;
use sigstore_types::{
    DsseEnvelope, DsseSignature, KeyId, PayloadBytes, SignatureBytes, TimestampToken, TransparencyLogEntry,
};

use super::fulcio::Certificate;
use crate::error::SignError;
use crate::statement::PAYLOAD_TYPE;

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

    /// The SHA-256 of what was signed: what a Rekor v2 entry is about.
    pub(super) fn message_digest(&self) -> Digest {
        self.message_digest
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
    envelope: SignedEnvelope,
    entry: TransparencyLogEntry,
    timestamps: Vec<TimestampToken>,
) -> SignedBundle {
    let log_index = entry.log_index.get();
    let mut bundle =
        BundleV03::with_certificate_and_dsse(certificate.der.clone(), envelope.inner).with_tlog_entry(entry);
    for timestamp in timestamps {
        bundle = bundle.with_rfc3161_timestamp(timestamp);
    }
    let json = bundle.into_bundle().to_json().expect("strings, numbers and bytes always serialise");
    SignedBundle { json: json.into(), log_index }
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
