//! The gate before cryptography: is this a bundle of the shape that an image signature has?
//!
//! The `Image` profile is narrower than what the Sigstore libraries read: bundle v0.3, one certificate, one log entry
//! with an inclusion proof, one DSSE signature over an in-toto statement. Everything an attacker may repeat is
//! counted before the first signature is checked.

use sigstore_types::{Bundle, TransparencyLogEntry};

use crate::reason::Reason;
use crate::sigstore;

pub(crate) mod outline;

use outline::{EntryOutline, MaterialOutline, Outline, malformed};

/// The media type of a Sigstore bundle of version 0.3.
pub const BUNDLE_V0_3: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The same, as it was written at first.
pub(crate) const BUNDLE_V0_3_EARLY: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";
/// The payload type of a DSSE envelope that holds an in-toto statement.
pub const IN_TOTO_PAYLOAD: &str = "application/vnd.in-toto+json";

/// A bundle that has the shape of an image signature. Nothing in it is verified yet.
#[derive(Debug)]
pub(crate) struct ShapedBundle {
    pub(crate) bundle: Bundle,
    pub(crate) payload: Vec<u8>,
    pub(crate) log_index: u64,
}

/// Returns the bundle when it has the shape that an image signature must have.
///
/// Refuses, in this order: more than [`limits::BUNDLE_BYTES`](countersign_oci::limits::BUNDLE_BYTES) bytes; text that is no JSON object; another media type; a
/// public key or a certificate chain; other than one log entry; an entry kind that nothing can verify; an entry
/// without inclusion proof; one of Rekor v1 without inclusion promise; more than
/// [`limits::TIMESTAMPS`](countersign_oci::limits::TIMESTAMPS) timestamps; a message signature; other than one DSSE
/// signature; another payload type.
pub(crate) fn shape(bytes: &[u8]) -> Result<ShapedBundle, Reason> {
    let (text, outline) = outline::read(bytes)?;
    check(&outline)?;

    let bundle = Bundle::from_json(text).map_err(|e| malformed(&e))?;
    let sigstore_types::SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Err(Reason::MessageSignature);
    };
    if envelope.payload_type != IN_TOTO_PAYLOAD {
        return Err(Reason::PayloadType { found: envelope.payload_type.clone() });
    }
    let payload = envelope.payload.as_bytes().to_vec();
    let [entry] = bundle.verification_material.tlog_entries.as_slice() else {
        return Err(Reason::LogEntryCount { found: bundle.verification_material.tlog_entries.len() });
    };
    if !has_checkpoint(entry) {
        return Err(sigstore::without_checkpoint(entry));
    }
    let log_index = entry.log_index.get();
    Ok(ShapedBundle { payload, log_index, bundle })
}

fn check(outline: &Outline) -> Result<(), Reason> {
    match outline.media_type.as_deref() {
        Some(BUNDLE_V0_3 | BUNDLE_V0_3_EARLY) => {}
        found => return Err(Reason::BundleVersion { accepted: "v0.3", found: found.map(ToOwned::to_owned) }),
    }
    let material = outline.verification_material.as_ref().ok_or(Reason::NoCertificate)?;
    check_certificate(material)?;
    check_entry(material.entry()?)?;
    material.check_timestamps()?;
    match (&outline.dsse_envelope, &outline.message_signature) {
        (Some(envelope), None) => envelope.check_signatures(),
        _ => Err(Reason::MessageSignature),
    }
}

fn check_certificate(material: &MaterialOutline) -> Result<(), Reason> {
    if material.x509_certificate_chain.is_some() {
        return Err(Reason::CertificateChain);
    }
    if material.public_key.is_some() || material.certificate.is_none() {
        return Err(Reason::NoCertificate);
    }
    Ok(())
}

fn check_entry(entry: &EntryOutline) -> Result<(), Reason> {
    let (kind, version) = entry.kind();
    if !describes_envelope(kind, version) {
        return Err(Reason::UnsupportedLogEntry { kind: kind.to_owned(), version: version.to_owned() });
    }
    entry.check_log_index()?;
    entry.check_proof()?;
    // Without its promise an entry of Rekor v1 loses its time, and with it a time that the policy's windows are for.
    if version != "0.0.2" || kind == "intoto" {
        entry.inclusion_promise.as_ref().ok_or(Reason::NoInclusionPromise)?;
    }
    Ok(())
}

pub(crate) fn has_checkpoint(entry: &TransparencyLogEntry) -> bool {
    entry.inclusion_proof.as_ref().is_some_and(|proof| !proof.checkpoint.is_empty())
}

/// Whether entries of this kind can be of a DSSE envelope.
pub(crate) fn describes_envelope(kind: &str, version: &str) -> bool {
    matches!((kind, version), ("hashedrekord", "0.0.2") | ("dsse", "0.0.1") | ("intoto", "0.0.2"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_oci::limits;
    use serde_json::{Value, json};

    fn outline() -> Value {
        json!({
            "mediaType": BUNDLE_V0_3,
            "verificationMaterial": {
                "certificate": {"rawBytes": "AAAA"},
                "tlogEntries": [{
                    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
                    "inclusionPromise": {},
                    "inclusionProof": {},
                }],
            },
            "dsseEnvelope": {"payload": "", "payloadType": IN_TOTO_PAYLOAD, "signatures": [{"sig": "AAAA"}]},
        })
    }

    fn refusal(change: impl FnOnce(&mut Value)) -> &'static str {
        let mut value = outline();
        change(&mut value);
        shape(value.to_string().as_bytes()).unwrap_err().code()
    }

    #[test]
    fn each_departure_from_the_shape_is_refused_for_its_own_reason() {
        let entry = outline()["verificationMaterial"]["tlogEntries"][0].clone();
        let material = "verificationMaterial";
        assert_eq!(refusal(|b| b["mediaType"] = Value::Null), "bundle-version");
        assert_eq!(refusal(|b| drop(b.as_object_mut().unwrap().remove("mediaType"))), "bundle-version");
        assert_eq!(
            refusal(|b| b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.2")),
            "bundle-version"
        );
        assert_eq!(refusal(|b| b[material]["x509CertificateChain"] = json!({})), "certificate-chain");
        assert_eq!(refusal(|b| b[material]["publicKey"] = json!({})), "no-certificate");
        assert_eq!(refusal(|b| b[material]["certificate"] = Value::Null), "no-certificate");
        assert_eq!(refusal(|b| b[material]["tlogEntries"] = json!([])), "log-entry-count");
        assert_eq!(refusal(|b| b[material]["tlogEntries"] = json!([entry, entry])), "log-entry-count");
        assert_eq!(
            refusal(|b| b[material]["tlogEntries"][0]["kindVersion"]["version"] = json!("0.0.2")),
            "unsupported-log-entry"
        );
        assert_eq!(refusal(|b| b[material]["tlogEntries"][0]["inclusionProof"] = Value::Null), "no-inclusion-proof");
        assert_eq!(
            refusal(|b| b[material]["tlogEntries"][0]["inclusionPromise"] = Value::Null),
            "no-inclusion-promise"
        );
        assert_eq!(refusal(|b| b["dsseEnvelope"]["signatures"] = json!([])), "signature-count");
        assert_eq!(refusal(|b| b["dsseEnvelope"]["signatures"] = json!([{}, {}])), "signature-count");
        assert_eq!(refusal(|b| b["messageSignature"] = json!({})), "message-signature");
        assert_eq!(refusal(|b| b["dsseEnvelope"] = Value::Null), "message-signature");
        assert_eq!(refusal(|_| ()), "malformed-bundle", "an outline alone is not a bundle");
    }

    #[test]
    fn timestamps_are_counted_before_any_is_checked() {
        let with = |count: usize| {
            refusal(|b| {
                let stamps = vec![json!({"signedTimestamp": "AAAA"}); count];
                b["verificationMaterial"]["timestampVerificationData"] = json!({"rfc3161Timestamps": stamps});
            })
        };
        assert_eq!(with(limits::TIMESTAMPS + 1), "too-many-timestamps");
        assert_ne!(with(limits::TIMESTAMPS), "too-many-timestamps");
    }

    #[test]
    fn bytes_are_counted_before_they_are_parsed() {
        let limit = usize::try_from(limits::BUNDLE_BYTES).unwrap();
        assert_eq!(shape(&vec![b' '; limit + 1]).unwrap_err().code(), "bundle-too-large");
        assert_eq!(shape(&vec![b' '; limit]).unwrap_err().code(), "malformed-bundle");
        for text in ["", "[]", "{", "null", "\u{0}", "\"a\""] {
            assert_eq!(shape(text.as_bytes()).unwrap_err().class(), crate::reason::Class::Malformed, "{text:?}");
        }
        assert_eq!(shape(&[0xff, 0xfe]).unwrap_err().code(), "malformed-bundle");
        let deep = "[".repeat(100_000);
        assert_eq!(shape(deep.as_bytes()).unwrap_err().code(), "malformed-bundle");
    }
}
