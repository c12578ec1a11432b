//! The structure of DER: tags, object identifiers and small numbers, without the values that differ each time.

use der::asn1::ObjectIdentifier;
use serde_json::{Value, json};

use super::certificate;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONSTRUCTED: u8 = 0x20;

/// The most elements within elements: what is compared has fewer.
const DEPTH: usize = 24;

/// Returns the structure of one element that is all of the bytes, if it is constructed.
pub(super) fn shape(bytes: &[u8]) -> Option<Value> {
    let (tag, content, rest) = element(bytes)?;
    (rest.is_empty() && matches!(tag, SEQUENCE | SET)).then(|| constructed(tag, bytes, content, DEPTH))?
}

fn constructed(tag: u8, whole: &[u8], content: &[u8], depth: usize) -> Option<Value> {
    if let Some(shape) = certificate::shape(whole) {
        return Some(shape);
    }
    let depth = depth.checked_sub(1)?;
    let mut children = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        children.push(node(tag, &rest[..rest.len() - after.len()], content, depth)?);
        rest = after;
    }
    if is_name(&children) {
        return Some(json!("name"));
    }
    // The order in a set is that of the encodings; signed attributes are a set under an own tag.
    if tag == SET || tag == 0xa0 {
        children.sort_by_key(Value::to_string);
    }
    Some(json!({ name(tag): children }))
}

fn node(tag: u8, whole: &[u8], content: &[u8], depth: usize) -> Option<Value> {
    if tag & CONSTRUCTED != 0 {
        return constructed(tag, whole, content, depth);
    }
    Some(match tag {
        OBJECT_IDENTIFIER => json!(format!("OID {}", ObjectIdentifier::from_bytes(content).ok()?)),
        // Versions and states, not serial numbers.
        INTEGER if content.len() == 1 => json!(format!("INTEGER {}", content[0])),
        OCTET_STRING => shape(content).unwrap_or_else(|| json!(format!("OCTET STRING of {} bytes", content.len()))),
        // Booleans and the like; times have their length in their tag's rules.
        _ if content.len() <= 1 => json!(format!("{} {content:?}", name(tag))),
        _ => json!(name(tag)),
    })
}

/// A distinguished name: one attribute in each set. Who issues is no matter of shape.
fn is_name(children: &[Value]) -> bool {
    let is_attribute = |child: &Value| {
        let attribute = &child["SET"][0]["SEQUENCE"];
        attribute[0].as_str().is_some_and(|oid| oid.starts_with("OID 2.5.4.")) && attribute[1].is_string()
    };
    !children.is_empty() && children.iter().all(is_attribute)
}

fn name(tag: u8) -> String {
    match tag {
        0x01 => "BOOLEAN".to_owned(),
        INTEGER => "INTEGER".to_owned(),
        0x03 => "BIT STRING".to_owned(),
        OCTET_STRING => "OCTET STRING".to_owned(),
        0x05 => "NULL".to_owned(),
        0x0c => "UTF8String".to_owned(),
        0x13 => "PrintableString".to_owned(),
        0x17 => "UTCTime".to_owned(),
        0x18 => "GeneralizedTime".to_owned(),
        SEQUENCE => "SEQUENCE".to_owned(),
        SET => "SET".to_owned(),
        tag => format!("tag {tag:02x}"),
    }
}

/// Splits off the first element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            (length.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_of_any_length_have_one_shape() {
        let signature = |first: &[u8]| {
            let inner = [&[INTEGER, first.len() as u8][..], first, &[INTEGER, 2, 1, 1]].concat();
            [&[SEQUENCE, inner.len() as u8][..], &inner].concat()
        };
        assert_eq!(shape(&signature(&[1; 31])), shape(&signature(&[1; 32])));
        assert!(shape(&signature(&[1; 32])).is_some());
    }

    #[test]
    fn what_is_not_one_element_has_no_structure() {
        for bytes in [&[][..], &[SEQUENCE], &[SEQUENCE, 1], &[SEQUENCE, 0, 0], &[SEQUENCE, 3, INTEGER, 5, 1], b"text"] {
            assert_eq!(shape(bytes), None, "{bytes:?}");
        }
        assert_eq!(shape(&[SEQUENCE, 3, INTEGER, 1, 2]).unwrap(), json!({ "SEQUENCE": ["INTEGER 2"] }));
        assert_ne!(shape(&[SEQUENCE, 3, INTEGER, 1, 2]), shape(&[SEQUENCE, 3, INTEGER, 1, 3]));
    }
}
