//! When an authority of the trusted root may have issued or stamped something.
//!
//! The trusted root gives each authority a window, and its certificates have their own. The library takes every certificate authority of the
//! root for an anchor and asks for the window alone, so that an intermediate certificate past its end would still vouch
//! for signatures (CVE-2026-24122 in cosign). Here both become one window.

use std::time::Duration;

use jiff::Timestamp;
use sigstore_trust_root::{TimeRange, TrustedRoot as SigstoreRoot};
use sigstore_types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Returns the root with each authority's window cut to the time in which all its certificates are valid. An authority for which no time is
/// left is left out: nothing can be by it.
pub(crate) fn narrowed(root: &SigstoreRoot) -> SigstoreRoot {
    let mut root = root.clone();
    root.certificate_authorities.retain_mut(|authority| {
        narrow(&mut authority.valid_for, authority.cert_chain.certificates.iter().map(|entry| &entry.raw_bytes))
    });
    root.timestamp_authorities.retain_mut(|authority| {
        narrow(&mut authority.valid_for, authority.cert_chain.certificates.iter().map(|entry| &entry.raw_bytes))
    });
    root
}

/// Whether any time is left.
fn narrow<'a>(window: &mut Option<TimeRange>, chain: impl Iterator<Item = &'a DerCertificate>) -> bool {
    for certificate in chain {
        // What cannot be read is for the library to name: it refuses the whole root.
        let Some(validity) = validity(certificate.as_bytes()) else { continue };
        let (start, end) = match window {
            Some(window) => (window.start.max(validity.start), earlier(window.end, validity.end)),
            None => (validity.start, validity.end),
        };
        if end.is_some_and(|end| end < start) {
            return false;
        }
        *window = Some(TimeRange::new(start, end));
    }
    true
}

/// The time in which a certificate is valid; none where it cannot be read.
pub(super) fn validity(der: &[u8]) -> Option<TimeRange> {
    let validity = Certificate::from_der(der).ok()?.tbs_certificate.validity;
    let time = |since_1970: Duration| Timestamp::from_second(since_1970.as_secs().try_into().ok()?).ok();
    let start = time(validity.not_before.to_unix_duration())?;
    Some(TimeRange::new(start, Some(time(validity.not_after.to_unix_duration())?)))
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> SigstoreRoot {
        crate::TrustedRoot::embedded_public_good().unwrap().inner().clone()
    }

    #[test]
    fn an_authority_is_valid_no_longer_than_each_of_its_certificates() {
        let root = embedded();
        for (narrowed, given) in narrowed(&root).certificate_authorities.iter().zip(&root.certificate_authorities) {
            let window = narrowed.valid_for.unwrap();
            for certificate in &given.cert_chain.certificates {
                let own = validity(certificate.raw_bytes.as_bytes()).unwrap();
                assert!(own.contains(window.start) && own.contains(window.end.unwrap()));
            }
            assert!(given.valid_for.is_none_or(|own| own.contains(window.start)));
        }
    }

    #[test]
    fn an_authority_that_ended_before_its_certificates_began_vouches_for_nothing() {
        let mut root = embedded();
        let count = root.certificate_authorities.len();
        let long_ago = Timestamp::from_second(1).unwrap();
        root.certificate_authorities[0].valid_for = Some(TimeRange::new(long_ago, Some(long_ago)));
        assert_eq!(narrowed(&root).certificate_authorities.len(), count - 1);
    }
}
