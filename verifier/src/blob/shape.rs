//! The gate before cryptography, for files: wider than that for images in versions and shapes, and as strict in counts.

use serde::Deserialize;
use serde::de::IgnoredAny;
use sigstore_types::bundle::VerificationMaterialContent;
use sigstore_types::{Bundle, SignatureContent};

use crate::bundle::outline::{self, EntryOutline, MaterialOutline, Outline, malformed};
use crate::bundle::{BUNDLE_V0_3, BUNDLE_V0_3_EARLY, IN_TOTO_PAYLOAD, describes_envelope, has_checkpoint};
use crate::reason::{OlderForm, Reason};
use crate::sigstore;

const BUNDLE_V0_1: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const BUNDLE_V0_2: &str = "application/vnd.dev.sigstore.bundle+json;version=0.2";
/// Certificates of a chain: a leaf, and more intermediates than any authority has.
const CHAIN_LIMIT: usize = 8;

/// A bundle that has the shape of a file's signature. Nothing in it is verified yet.
#[derive(Debug)]
pub(super) struct ShapedBlob {
    pub(super) bundle: Bundle,
    pub(super) material: Material,
    /// The payload of the envelope, where the bundle has one.
    pub(super) statement: Option<Vec<u8>>,
    pub(super) log_index: u64,
}

/// What a bundle is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Material {
    Certificate,
    Key,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V0_1,
    V0_2,
    V0_3,
}

/// Returns the bundle when it has a shape that a file's signature may have.
///
/// Refuses, in this order: more bytes than a bundle may have; text that is no JSON object; cosign's own format
/// before bundles; another media type; other
/// than one certificate, chain or key; a chain in version 0.3, an empty or a long one; both or neither of message
/// signature and envelope; other than one log entry; an entry kind that is not of such a signature; an index below 0;
/// an entry without inclusion proof, or without inclusion promise in version 0.1; too many timestamps; other than one
/// signature; what the library cannot parse; a root certificate in the chain; another payload type; a proof without
/// checkpoint.
pub(super) fn shape(bytes: &[u8]) -> Result<ShapedBlob, Reason> {
    let (text, outline) = outline::read(bytes)?;
    let version = version(&outline).map_err(|reason| if is_older_cosign(text) { OLDER_COSIGN } else { reason })?;
    let none = || malformed(&"it has no verification material");
    let material = outline.verification_material.as_ref().ok_or_else(none)?;
    let signed_with = check_material(material, version)?;
    let has_envelope = check_content(&outline)?;
    check_entry(material.entry()?, version, has_envelope)?;
    material.check_timestamps()?;
    if let Some(envelope) = &outline.dsse_envelope {
        envelope.check_signatures()?;
    }

    let mut bundle = match (Bundle::from_json(text), without_line_breaks(text)) {
        (Ok(bundle), _) => bundle,
        // Judged from the beginning: what is joined is another document.
        (Err(_), Some(joined)) => return shape(joined.as_bytes()),
        (Err(cause), None) => return Err(malformed(&cause)),
    };
    keep_leaf(&mut bundle)?;
    let statement = statement(&bundle)?;
    let [entry] = bundle.verification_material.tlog_entries.as_slice() else {
        return Err(Reason::LogEntryCount { found: bundle.verification_material.tlog_entries.len() });
    };
    if !has_checkpoint(entry) {
        return Err(sigstore::without_checkpoint(entry));
    }
    let log_index = entry.log_index.get();
    Ok(ShapedBlob { material: signed_with, statement, log_index, bundle })
}

fn version(outline: &Outline) -> Result<Version, Reason> {
    match outline.media_type.as_deref() {
        Some(BUNDLE_V0_1) => Ok(Version::V0_1),
        Some(BUNDLE_V0_2) => Ok(Version::V0_2),
        Some(BUNDLE_V0_3 | BUNDLE_V0_3_EARLY) => Ok(Version::V0_3),
        found => Err(Reason::BundleVersion { accepted: "v0.1 to v0.3", found: found.map(ToOwned::to_owned) }),
    }
}

const OLDER_COSIGN: Reason = Reason::OlderCosign { form: OlderForm::BlobBundle };

/// Whether this is what cosign wrote with `--bundle` before it wrote bundles of Sigstore.
fn is_older_cosign(text: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OlderBundle {
        #[serde(rename = "base64Signature")]
        _signature: IgnoredAny,
    }
    serde_json::from_str::<OlderBundle>(text).is_ok()
}

fn check_material(material: &MaterialOutline, version: Version) -> Result<Material, Reason> {
    match (&material.certificate, &material.x509_certificate_chain, &material.public_key) {
        (Some(_), None, None) => Ok(Material::Certificate),
        (None, None, Some(_)) => Ok(Material::Key),
        (None, Some(_), None) if version == Version::V0_3 => Err(Reason::CertificateChain),
        (None, Some(chain), None) => match chain.len() {
            0 => Err(Reason::CertificateChainEmpty),
            found if found > CHAIN_LIMIT => Err(Reason::TooManyCertificates { found, limit: CHAIN_LIMIT }),
            _ => Ok(Material::Certificate),
        },
        (None, None, None) => Err(Reason::NoCertificate),
        _ => Err(malformed(&"it is signed with more than one of certificate, chain and key")),
    }
}

/// Returns whether the bundle holds an envelope.
fn check_content(outline: &Outline) -> Result<bool, Reason> {
    match (&outline.dsse_envelope, &outline.message_signature) {
        (Some(_), None) => Ok(true),
        (None, Some(_)) => Ok(false),
        (None, None) => Err(malformed(&"it holds no signature")),
        (Some(_), Some(_)) => Err(malformed(&"it holds both an envelope and a message signature")),
    }
}

fn check_entry(entry: &EntryOutline, version: Version, has_envelope: bool) -> Result<(), Reason> {
    let (kind, of_kind) = entry.kind();
    let fits = match has_envelope {
        true => describes_envelope(kind, of_kind),
        false => matches!((kind, of_kind), ("hashedrekord", "0.0.1" | "0.0.2")),
    };
    if !fits {
        return Err(Reason::UnsupportedLogEntry { kind: kind.to_owned(), version: of_kind.to_owned() });
    }
    entry.check_log_index()?;
    entry.check_proof()?;
    if version == Version::V0_1 && entry.inclusion_promise.is_none() {
        return Err(Reason::NoInclusionPromise);
    }
    Ok(())
}

/// Returns the text with the line breaks left out of its base64, where there are any: the program `base64` writes them,
/// and the readers of Go and Python skip them. Strings that hold anything else stay as they are.
fn without_line_breaks(text: &str) -> Option<String> {
    let mut joined = String::with_capacity(text.len());
    // No quote and no backslash stands outside of a string, so every second piece is one.
    for (position, piece) in unescaped_quotes(text).enumerate() {
        if position > 0 {
            joined.push('"');
        }
        let stripped = piece.replace("\\n", "").replace("\\r", "");
        let is_base64 = stripped.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        joined.push_str(if position % 2 == 1 && is_base64 { &stripped } else { piece });
    }
    (joined.len() < text.len()).then_some(joined)
}

/// Splits JSON at the quotes that begin and end its strings.
fn unescaped_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |character: char| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    })
}

/// Leaves of a chain only its first certificate, after having looked for roots: signers must not bring any.
fn keep_leaf(bundle: &mut Bundle) -> Result<(), Reason> {
    if let VerificationMaterialContent::X509CertificateChain { certificates } =
        &mut bundle.verification_material.content
    {
        for certificate in certificates.iter() {
            if sigstore::is_root_certificate(certificate.raw_bytes.as_bytes())? {
                return Err(Reason::RootInChain);
            }
        }
        certificates.truncate(1);
    }
    Ok(())
}

fn statement(bundle: &Bundle) -> Result<Option<Vec<u8>>, Reason> {
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) if envelope.payload_type == IN_TOTO_PAYLOAD => {
            Ok(Some(envelope.payload.as_bytes().to_vec()))
        }
        SignatureContent::DsseEnvelope(envelope) => Err(Reason::PayloadType { found: envelope.payload_type.clone() }),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_left_out_of_base64_and_of_nothing_else() {
        let table = [
            (r#"{"a":"QUJD\nREVG\r\n"}"#, Some(r#"{"a":"QUJDREVG"}"#)),
            (r#"{"a":"QUJD","b":"two\nlines here"}"#, None),
            (r#"{"a":"\\n"}"#, None),
            (r#"{"a":"x\"QUJD\n"}"#, None),
            (r#"{"a":"QUJD"}"#, None),
            ("", None),
            (r#"{"a\n":1}"#, Some(r#"{"a":1}"#)),
        ];
        for (text, expected) in table {
            assert_eq!(without_line_breaks(text).as_deref(), expected, "{text}");
        }
    }
}
