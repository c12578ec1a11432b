//! What a certificate says, without its key, its serial number and its issuer.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use serde_json::{Map, Value, json};
use x509_cert::Certificate;
use x509_cert::ext::Extension;

use super::tree;

const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.2";
const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";

pub(super) fn shape(der: &[u8]) -> Option<Value> {
    let certificate = Certificate::from_der(der).ok()?;
    let body = &certificate.tbs_certificate;
    let (from, until) = (body.validity.not_before, body.validity.not_after);
    let valid = until.to_unix_duration().checked_sub(from.to_unix_duration())?;
    let key = &body.subject_public_key_info.algorithm;
    let curve = key.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    let mut extensions = Map::new();
    for extension in body.extensions.iter().flatten() {
        extensions.insert(extension.extn_id.to_string(), of_extension(extension));
    }
    Some(json!({ "certificate": {
        "version": format!("{:?}", body.version),
        "signature": certificate.signature_algorithm.oid.to_string(),
        "subject": if body.subject.0.is_empty() { "empty" } else { "name" },
        // Years of an authority may have leap days.
        "valid": if valid.as_secs() < 86400 { json!(valid.as_secs()) } else { json!("long") },
        "times": [format!("{:?}", from.to_der().ok()?.first()), format!("{:?}", until.to_der().ok()?.first())],
        "key": [key.oid.to_string(), curve.map(|curve| curve.to_string())],
        "extensions": extensions,
        "order": body.extensions.iter().flatten().map(|extension| extension.extn_id.to_string()).collect::<Vec<_>>(),
    } }))
}

fn of_extension(extension: &Extension) -> Value {
    let bytes = extension.extn_value.as_bytes();
    let value = match extension.extn_id.to_string().as_str() {
        // About this key and this issuer, by a hash.
        SUBJECT_KEY_IDENTIFIER | AUTHORITY_KEY_IDENTIFIER => {
            tree::shape(bytes).unwrap_or_else(|| json!(format!("{} bytes", bytes.len())))
        }
        SCT_LIST => sct_list(bytes).unwrap_or_else(|| json!("broken")),
        // What the token says must be in the certificate byte for byte.
        _ => json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    };
    json!({ "critical": extension.critical, "value": value })
}

/// The list of signed certificate timestamps (RFC 6962, section 3.3): version, extensions' length and signature's algorithm of each.
fn sct_list(bytes: &[u8]) -> Option<Value> {
    let (0x04, mut list) = octets(bytes)? else { return None };
    let length = take16(&mut list)?;
    (length == list.len()).then_some(())?;
    let mut shapes = Vec::new();
    while !list.is_empty() {
        let length = take16(&mut list)?;
        let (mut sct, rest) = list.split_at_checked(length)?;
        list = rest;
        let (head, after) = sct.split_at_checked(1 + 32 + 8)?;
        sct = after;
        let extensions = take16(&mut sct)?;
        let (extension, after) = sct.split_at_checked(extensions)?;
        sct = after;
        let (algorithm, after) = sct.split_at_checked(2)?;
        sct = after;
        let signature = take16(&mut sct)?;
        (signature == sct.len()).then_some(())?;
        // A leaf index begins with its type and length.
        let extension = extension.get(..3).map(|head| format!("{head:?} of {extensions} bytes"));
        shapes.push(json!({ "version": head[0], "extensions": extension, "algorithm": algorithm, "signature": tree::shape(sct) }));
    }
    Some(json!(shapes))
}

fn octets(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let any = der::AnyRef::from_der(bytes).ok()?;
    Some((u8::from(der::Tagged::tag(&any)), any.value()))
}

fn take16(bytes: &mut &[u8]) -> Option<usize> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    *bytes = rest;
    Some(usize::from(u16::from_be_bytes(*head)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::{CodeSigningChain, EcdsaKey};

    #[test]
    fn other_keys_make_no_difference_and_other_extensions_do() {
        let since = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let chain = || CodeSigningChain::new(&EcdsaKey::generate(), &EcdsaKey::generate(), since).unwrap();
        let (one, two) = (chain(), chain());
        assert_eq!(shape(one.der()[0]), shape(two.der()[0]));
        assert_ne!(shape(one.der()[0]), shape(one.der()[1]));
        assert!(shape(one.der()[0]).is_some());
        assert_eq!(shape(b"\x30\x00"), None);
    }
}
