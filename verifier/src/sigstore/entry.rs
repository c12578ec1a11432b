//! Whether a log entry's body is of this very bundle: the same signature, by the same key, over the same digest.
//!
//! The library compares them too, as its last step. This is the same question asked on its own, so that the answer does
//! not depend on what else is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::Digest;
use serde::Deserialize;
use sigstore_rekor::body::RekorEntryBody;
use sigstore_types::{DerCertificate, DerPublicKey, SignatureContent, TransparencyLogEntry};

use super::Presented;
use crate::reason::Reason;

/// What the log says an entry is. The bundle says it too, and only the log's word is signed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedKind {
    kind: String,
    api_version: String,
}

/// Refuses an entry that is of another kind or version than the bundle says: it would be read by other rules than it was logged by.
pub(super) fn check_kind(entry: &TransparencyLogEntry) -> Result<(), Reason> {
    let mismatch = |detail: String| Reason::EntryMismatch { detail };
    let logged: LoggedKind = serde_json::from_slice(entry.canonicalized_body.as_bytes())
        .map_err(|cause| mismatch(format!("its body cannot be read: {cause}")))?;
    let stated = entry.kind_version;
    match (logged.kind.as_str(), logged.api_version.as_str()) == (stated.kind(), stated.version()) {
        true => Ok(()),
        false => Err(mismatch(format!(
            "it was logged as {} {}, and the bundle says {} {}",
            countersign_oci::printable(&logged.kind, 40),
            countersign_oci::printable(&logged.api_version, 40),
            stated.kind(),
            stated.version()
        ))),
    }
}

/// Returns in what the bundle's only log entry differs from the bundle.
pub(super) fn mismatch(presented: Presented<'_>, key: &DerPublicKey) -> Option<&'static str> {
    let [entry] = presented.bundle.verification_material.tlog_entries.as_slice() else {
        return Some("it is not the only one");
    };
    let Ok(body) = RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version) else {
        return Some("its body cannot be read");
    };
    let Some(logged) = Logged::of(body, &presented.bundle.content) else {
        return Some("it is of another kind of signature");
    };
    let (signature, digest) = match &presented.bundle.content {
        SignatureContent::MessageSignature(message) => (message.signature.as_bytes(), presented.digest),
        SignatureContent::DsseEnvelope(envelope) => match logged.digest_of {
            DigestOf::Payload => (envelope.signature.sig.as_bytes(), Digest::of(envelope.payload.as_bytes())),
            DigestOf::Signed => (envelope.signature.sig.as_bytes(), Digest::of(&envelope.pae())),
        },
        _ => return Some("the bundle's signature is of an unknown kind"),
    };
    let by_signer = match presented.bundle.signing_certificate() {
        Some(certificate) => logged.signer == Signer::Certificate(certificate.clone()),
        None => logged.signer == Signer::Key(key.clone()),
    };
    if logged.digest != digest.bytes() {
        Some("the digest differs")
    } else if logged.signature != signature {
        Some("the signature differs")
    } else if !by_signer {
        Some("the signer's key differs")
    } else {
        None
    }
}

/// What an entry says it is about, whatever its kind.
struct Logged {
    digest_of: DigestOf,
    digest: Vec<u8>,
    signature: Vec<u8>,
    signer: Signer,
}

enum DigestOf {
    /// The envelope's payload.
    Payload,
    /// What the signature is over: the file, or the envelope's pre-authentication encoding.
    Signed,
}

#[derive(PartialEq)]
enum Signer {
    Certificate(DerCertificate),
    Key(DerPublicKey),
}

impl Signer {
    fn parse<E, F>(certificate: Result<DerCertificate, E>, key: Result<DerPublicKey, F>) -> Option<Self> {
        certificate.ok().map(Self::Certificate).or_else(|| key.ok().map(Self::Key))
    }
}

impl Logged {
    fn of(body: RekorEntryBody, content: &SignatureContent) -> Option<Self> {
        let is_message = matches!(content, SignatureContent::MessageSignature(_));
        match body {
            RekorEntryBody::HashedRekordV001(body) if is_message => {
                let signature = body.spec.signature;
                Some(Self {
                    digest_of: DigestOf::Signed,
                    digest: body.spec.data.hash.value.decode().ok()?,
                    signer: Signer::parse(
                        signature.public_key.parse_certificate(),
                        signature.public_key.parse_public_key(),
                    )?,
                    signature: signature.content.as_bytes().to_vec(),
                })
            }
            RekorEntryBody::HashedRekordV002(body) => {
                let logged = body.spec.hashed_rekord_v002;
                let verifier = logged.signature.verifier;
                let signer = match (verifier.x509_certificate, verifier.public_key) {
                    (Some(certificate), None) => Signer::Certificate(certificate.raw_bytes),
                    (None, Some(key)) => Signer::Key(key.raw_bytes),
                    _ => return None,
                };
                let digest = logged.data.digest.as_bytes().to_vec();
                let signature = logged.signature.content.as_bytes().to_vec();
                Some(Self { digest_of: DigestOf::Signed, digest, signature, signer })
            }
            RekorEntryBody::DsseV001(body) if !is_message => {
                let [only] = body.spec.signatures.as_slice() else { return None };
                let pem = std::str::from_utf8(only.verifier.as_bytes()).ok()?;
                Some(Self {
                    digest_of: DigestOf::Payload,
                    digest: hex(&body.spec.payload_hash.value)?,
                    signature: only.signature.as_bytes().to_vec(),
                    signer: Signer::parse(only.parse_certificate(), DerPublicKey::from_pem(pem))?,
                })
            }
            RekorEntryBody::IntotoV002(body) if !is_message => {
                let content = body.spec.content;
                let [only] = content.envelope.signatures.as_slice() else { return None };
                Some(Self {
                    digest_of: DigestOf::Payload,
                    digest: content.payload_hash.value.decode().ok()?,
                    // Rekor keeps it in a second layer of base64.
                    signature: STANDARD.decode(only.sig.as_bytes()).unwrap_or_else(|_| only.sig.as_bytes().to_vec()),
                    signer: Signer::parse(only.parse_certificate(), only.parse_public_key())?,
                })
            }
            _ => None,
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    format!("sha256:{text}").parse::<Digest>().ok().map(|digest| digest.bytes().to_vec())
}
