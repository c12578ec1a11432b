//! Signature checks that succeeded, so that the same one is not made again: one bundle is judged for each of its subjects, and the
//! bundles of a release share a certificate.
//!
//! A failure is never remembered, and what is remembered is a hash of everything that the check was about: whoever could make another
//! check look like one of these has broken SHA-256.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use countersign_oci::DigestHasher;
use sigstore_crypto::SigningScheme;

/// How many checks are remembered: the newest.
const CHECKS: usize = 1_024;

/// One check: scheme, key, data and signature, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Check([u8; 32]);

impl Check {
    pub(super) fn new(scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Self {
        let mut hasher = DigestHasher::new();
        for part in [scheme.name().as_bytes(), key, data, signature] {
            // With its length in front, no part can pass for the beginning of the next.
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(*hasher.finish().bytes())
    }
}

/// The checks that succeeded.
#[derive(Debug, Default)]
pub(super) struct Memo(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    checks: HashSet<Check>,
    order: VecDeque<Check>,
}

impl Memo {
    pub(super) fn succeeded(&self, check: Check) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).checks.contains(&check)
    }

    /// Remembers a check that succeeded, and forgets the oldest where there are too many.
    pub(super) fn remember(&self, check: Check) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.checks.insert(check) {
            return;
        }
        kept.order.push_back(check);
        if kept.order.len() > CHECKS
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.checks.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8]) -> Check {
        Check::new(SigningScheme::Ed25519, b"key", data, b"signature")
    }

    #[test]
    fn every_part_of_a_check_counts_and_none_passes_for_another() {
        let scheme = SigningScheme::EcdsaP256Sha256;
        let checks = [
            Check::new(scheme, b"key", b"data", b"signature"),
            Check::new(SigningScheme::EcdsaP384Sha256, b"key", b"data", b"signature"),
            Check::new(scheme, b"kez", b"data", b"signature"),
            Check::new(scheme, b"key", b"date", b"signature"),
            Check::new(scheme, b"key", b"data", b"signaturf"),
            Check::new(scheme, b"keyd", b"ata", b"signature"),
            Check::new(scheme, b"key", b"datas", b"ignature"),
        ];
        let distinct: HashSet<Check> = checks.into_iter().collect();
        assert_eq!(distinct.len(), checks.len());
    }

    #[test]
    fn the_newest_are_kept_and_the_oldest_forgotten() {
        let memo = Memo::default();
        for number in 0..=CHECKS {
            memo.remember(check(&number.to_be_bytes()));
            memo.remember(check(&number.to_be_bytes()));
        }
        assert!(!memo.succeeded(check(&0_usize.to_be_bytes())));
        assert!(memo.succeeded(check(&1_usize.to_be_bytes())) && memo.succeeded(check(&CHECKS.to_be_bytes())));
        let kept = memo.0.lock().unwrap();
        assert_eq!((kept.checks.len(), kept.order.len()), (CHECKS, CHECKS));
    }
}
