//! An RFC 3161 timestamp over the signature.

use countersign_oci::Digest;
use sigstore_types::{SignatureBytes, TimestampToken};
use url::Url;

use super::fulcio::Certificate;
use super::service::Service;
use super::transport::{Attempts, Call, Stop, Transport};

/// A `TimeStampReq` (RFC 3161 section 2.4.1) for a SHA-256 digest, up to the digest: version 1, the algorithm, an octet string of 32
/// bytes. Without a nonce (the signature is fresh) and without `certReq` (the authority's certificate comes from the trusted root), as
/// cosign asks.
const REQUEST_PREFIX: [u8; 24] = [
    0x30, 0x36, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
    0x01, 0x05, 0x00, 0x04, 0x20,
];
const SEQUENCE: u8 = 0x30;
const GRANTED: &[u8] = &[0x02, 0x01, 0x00];
const GRANTED_WITH_MODIFICATIONS: &[u8] = &[0x02, 0x01, 0x01];

/// Asks for a timestamp over the SHA-256 of the signature, while the certificate is valid. Refuses an answer that grants none; whether the
/// token is for this very signature, and by a trusted authority, is for the self-verification to say.
pub(super) async fn request(
    transport: &Transport,
    authorities: &[Url],
    (certificate, signature): (&Certificate, &SignatureBytes),
    attempts: &mut Attempts,
) -> Result<TimestampToken, Stop> {
    let body = query(Digest::of(signature.as_bytes()));
    let until = Some(certificate.usable_until());
    let call = Call { service: Service::TimestampAuthority, urls: authorities, conflict_is_answer: false, until };
    let answer = transport
        .send(&call, attempts, |client, url| {
            client
                .post(url.clone())
                .header("content-type", "application/timestamp-query")
                .header("accept", "application/timestamp-reply")
                .body(body.clone())
        })
        .await?;
    if !grants(&answer.body) {
        return Err(answer.from.malformed("not an RFC 3161 response that grants a timestamp").into());
    }
    Ok(TimestampToken::from_bytes(&answer.body))
}

fn query(digest: Digest) -> Vec<u8> {
    [REQUEST_PREFIX.as_slice(), digest.bytes()].concat()
}

/// Whether a `TimeStampResp` has a granting status and something after it.
fn grants(response: &[u8]) -> bool {
    let Some((SEQUENCE, content, [])) = element(response) else {
        return false;
    };
    let Some((SEQUENCE, status, token)) = element(content) else {
        return false;
    };
    let granted = status.starts_with(GRANTED) || status.starts_with(GRANTED_WITH_MODIFICATIONS);
    granted && matches!(element(token), Some((SEQUENCE, _, [])))
}

/// Splits off the first DER element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let length = length.iter().fold(0_u64, |length, byte| (length << 8) | u64::from(*byte));
            (usize::try_from(length).ok()?, rest)
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
    fn request_is_the_der_of_rfc_3161() {
        let request = query(Digest::of(b""));
        let (tag, content, rest) = element(&request).unwrap();
        assert_eq!((tag, content.len(), rest.len()), (SEQUENCE, 54, 0));
        let (tag, version, imprint) = element(content).unwrap();
        assert_eq!((tag, version), (2, [1].as_slice()));
        let (tag, imprint, rest) = element(imprint).unwrap();
        assert_eq!((tag, rest.len()), (SEQUENCE, 0));
        let (_, _, digest) = element(imprint).unwrap();
        let (tag, digest, rest) = element(digest).unwrap();
        assert_eq!((tag, rest.len()), (4, 0));
        assert_eq!(digest, Digest::of(b"").bytes());
    }

    #[test]
    fn only_a_granting_response_with_a_token_is_taken() {
        let table: [(&[u8], bool); 10] = [
            (&[0x30, 7, 0x30, 3, 2, 1, 0, 0x30, 0], true),
            (&[0x30, 7, 0x30, 3, 2, 1, 1, 0x30, 0], true),
            (&[0x30, 7, 0x30, 3, 2, 1, 2, 0x30, 0], false),
            (&[0x30, 5, 0x30, 3, 2, 1, 0], false),
            (&[0x30, 7, 0x30, 3, 2, 1, 0, 0x30, 0, 0], false),
            (&[0x30, 9, 0x30, 3, 2, 1, 0, 0x30, 0], false),
            (&[0x30, 0x85, 0, 0, 0, 0, 1, 0], false),
            (&[0x30], false),
            (&[], false),
            (b"<html>", false),
        ];
        for (response, expected) in table {
            assert_eq!(grants(response), expected, "{response:02x?}");
        }
    }
}
