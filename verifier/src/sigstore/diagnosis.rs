//! What is wrong with a bundle that the library refuses.
//!
//! The library stops at the first check that fails, and its order is not that of blame: a log entry in which the key was
//! exchanged fails as a promise that does not verify, a certificate used after its end as a broken chain. Here the
//! refused bundle is asked again, the plainest fault first. Nothing here can accept anything: a reason comes in and a
//! reason goes out, and what they are read from is not trusted.

use countersign_oci::Digest;
use jiff::Timestamp;
use sigstore_bundle::Error as BundleError;
use sigstore_crypto::{CertificateInfo, KeyAlgorithm};
use sigstore_trust_root::{CertificateAuthority, TrustedRoot as SigstoreRoot};
use sigstore_types::{DerPublicKey, HashAlgorithm, SignatureBytes, SignatureContent, TransparencyLogEntry};
use sigstore_verify::{CertificateError, Error, TimestampError, TransparencyLogError};

use super::authority::validity;
use super::{Presented, entry};
use crate::reason::Reason;

/// A bundle that was refused, with everything it was judged by.
pub(super) struct Case<'a> {
    pub(super) root: &'a SigstoreRoot,
    pub(super) presented: Presented<'a>,
    /// The key of the certificate, or the managed key.
    pub(super) key: &'a DerPublicKey,
    pub(super) now: Timestamp,
}

impl Case<'_> {
    /// Returns the reason that names the plainest fault, and otherwise what the library said.
    pub(super) fn reason(&self, error: Error) -> Reason {
        self.clock_behind(&error)
            .or_else(|| self.another_artifact())
            .or_else(|| self.unknown_log())
            .or_else(|| self.retired_log(&error))
            .or_else(|| self.invalid_signature())
            .or_else(|| self.foreign_entry())
            .or_else(|| self.untimely(&error))
            .or_else(|| self.bad_timestamp(&error))
            .unwrap_or_else(|| self.translate(error))
    }

    /// The library refuses a log time ahead of the clock only after the log's promise over that very time has
    /// verified: then it is the clock that is wrong, or cannot be told from wrong.
    fn clock_behind(&self, error: &Error) -> Option<Reason> {
        let Error::TransparencyLog(TransparencyLogError::IntegratedTime(_)) = error else { return None };
        let time = self.entry()?.integrated_time.filter(|time| *time > self.now)?;
        Some(Reason::ClockBehind { time, now: self.now })
    }

    fn another_artifact(&self) -> Option<Reason> {
        let SignatureContent::MessageSignature(message) = &self.presented.bundle.content else { return None };
        let stated = message.message_digest.as_ref().filter(|digest| digest.algorithm == HashAlgorithm::Sha2256)?;
        let differs = stated.digest.as_bytes() != self.presented.digest.bytes();
        differs.then_some(Reason::ArtifactMismatch { expected: self.presented.digest })
    }

    fn unknown_log(&self) -> Option<Reason> {
        let id = &self.entry()?.log_id.key_id;
        let known = self.root.tlogs.iter().any(|log| log.log_id.key_id == *id);
        (!known).then(|| Reason::UnknownLog { log: id.to_string() })
    }

    /// The log's key was not in use at the time that the log is said to have signed: the library looks for no other key then.
    fn retired_log(&self, error: &Error) -> Option<Reason> {
        let Error::TransparencyLog(TransparencyLogError::InclusionPromise(_)) = error else { return None };
        let entry = self.entry()?;
        let time = entry.integrated_time?;
        let log = self.root.tlogs.iter().find(|log| log.log_id.key_id == entry.log_id.key_id)?;
        let in_use = log.public_key.valid_for.is_none_or(|window| window.contains(time));
        (!in_use).then(|| Reason::LogKeyValidity { log: log.base_url.clone(), time })
    }

    fn invalid_signature(&self) -> Option<Reason> {
        let algorithm = KeyAlgorithm::from_spki(self.key).ok()?;
        let verified = match &self.presented.bundle.content {
            SignatureContent::DsseEnvelope(envelope) => {
                let scheme = algorithm.default_signing_scheme();
                sigstore_crypto::verify_signature(self.key, &envelope.pae(), &envelope.signature.sig, scheme)
            }
            SignatureContent::MessageSignature(message) => {
                let stated = message.message_digest.as_ref().map(|digest| digest.algorithm);
                let scheme = stated.map_or_else(
                    || Some(algorithm.default_signing_scheme()),
                    |stated| algorithm.resolve_signing_scheme(stated).ok(),
                )?;
                match (scheme.hash_algorithm(), self.presented.bytes) {
                    (Some(HashAlgorithm::Sha2256), _) => {
                        let digest = self.presented.digest;
                        sigstore_crypto::verify_signature_prehashed(
                            self.key,
                            digest.bytes(),
                            &message.signature,
                            scheme,
                        )
                    }
                    (_, Some(bytes)) => sigstore_crypto::verify_signature(self.key, bytes, &message.signature, scheme),
                    _ => return None,
                }
            }
            _ => return None,
        };
        match verified {
            Err(sigstore_crypto::Error::Verification(detail)) => Some(Reason::Signature { detail }),
            _ => None,
        }
    }

    fn foreign_entry(&self) -> Option<Reason> {
        entry::mismatch(self.presented, self.key).map(|detail| Reason::EntryMismatch { detail: detail.to_owned() })
    }

    /// The certificate does not hold at one of the times. Which, and is it the time or the certificate that is out of place?
    fn untimely(&self, error: &Error) -> Option<Reason> {
        let Error::Certificate(
            CertificateError::ChainInvalid(_)
            | CertificateError::Expired { .. }
            | CertificateError::NoValidAuthority { .. }
            | CertificateError::NotYetValid { .. },
        ) = error
        else {
            return None;
        };
        let certificate = self.certificate()?;
        if !self.root.certificate_authorities.iter().any(|authority| was_valid(authority, certificate.not_before)) {
            let detail = format!("issued at {}, when no authority of the root was valid", certificate.not_before);
            return Some(Reason::Certificate { detail });
        }
        let outside = |time: &Timestamp| *time < certificate.not_before || *time > certificate.not_after;
        let promised = self.entry().filter(|entry| entry.inclusion_promise.is_some());
        if let Some(time) = promised.and_then(|entry| entry.integrated_time).filter(outside) {
            let detail = format!(
                "{time} is outside the certificate's validity from {} to {}",
                certificate.not_before, certificate.not_after
            );
            return Some(Reason::IntegratedTime { detail });
        }
        let time = self.stamps().filter_map(Result::ok).find(outside)?;
        let CertificateInfo { not_before, not_after, .. } = certificate;
        Some(Reason::TimestampOutsideCertificate { time, not_before, not_after })
    }

    fn bad_timestamp(&self, error: &Error) -> Option<Reason> {
        let Error::Timestamp(TimestampError::Invalid(_) | TimestampError::OutsideAuthorityValidity { .. }) = error
        else {
            return None;
        };
        let mut mismatch = None;
        for refused in self.stamps().filter_map(Result::err) {
            match refused {
                sigstore_tsa::Error::TimestampOutsideValidity { .. }
                | sigstore_tsa::Error::CertificateValidationError(_) => {
                    return Some(Reason::TimestampAuthority { detail: refused.to_string() });
                }
                sigstore_tsa::Error::HashMismatch { .. } => mismatch = Some(Reason::TimestampMismatch),
                _ => {}
            }
        }
        mismatch
    }

    /// What each authority of the trusted root says of each timestamp.
    fn stamps(&self) -> impl Iterator<Item = Result<Timestamp, sigstore_tsa::Error>> {
        let authorities = self.root.tsa_authorities();
        let stamps = &self.presented.bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
        let signature = self.signature();
        stamps.iter().flat_map(move |stamp| {
            let of_authority = |authority| {
                sigstore_tsa::verify_timestamp_for_authority(&stamp.signed_timestamp, &signature, authority)
            };
            authorities.iter().map(of_authority).collect::<Vec<_>>()
        })
    }

    fn signature(&self) -> SignatureBytes {
        match &self.presented.bundle.content {
            SignatureContent::MessageSignature(message) => message.signature.clone(),
            SignatureContent::DsseEnvelope(envelope) => envelope.signature.sig.clone(),
            _ => SignatureBytes::new(Vec::new()),
        }
    }

    fn entry(&self) -> Option<&TransparencyLogEntry> {
        self.presented.bundle.verification_material.tlog_entries.first()
    }

    fn certificate(&self) -> Option<CertificateInfo> {
        sigstore_crypto::parse_certificate_info(self.presented.bundle.signing_certificate()?).ok()
    }

    fn translate(&self, error: Error) -> Reason {
        match error {
            Error::ArtifactMismatch(_) => self.subject_mismatch(self.presented.digest),
            Error::Bundle(error) => bundle_reason(&error),
            Error::SignatureInvalid(detail) => Reason::Signature { detail },
            Error::Certificate(CertificateError::Sct(detail)) => Reason::Sct { detail },
            Error::Certificate(other) => Reason::Certificate { detail: other.to_string() },
            Error::TransparencyLog(error) => log_reason(error),
            Error::Timestamp(TimestampError::NoVerifiedTimestamp(detail)) => Reason::NoVerifiedTime { detail },
            Error::Timestamp(error @ TimestampError::OutsideAuthorityValidity { .. }) => {
                Reason::TimestampAuthority { detail: error.to_string() }
            }
            Error::Timestamp(other) => Reason::Timestamp { detail: other.to_string() },
            Error::UnsupportedArtifact(detail) | Error::UnsupportedBundle(detail) => {
                Reason::UnsupportedBundle { detail }
            }
            other => Reason::MalformedBundle { detail: other.to_string() },
        }
    }

    fn subject_mismatch(&self, expected: Digest) -> Reason {
        match self.presented.bundle.content {
            SignatureContent::DsseEnvelope(_) => Reason::SubjectMismatch { expected },
            _ => Reason::ArtifactMismatch { expected },
        }
    }
}

/// Whether an authority may have issued something then: its window in the trusted root and its own certificates allow it.
fn was_valid(authority: &CertificateAuthority, time: Timestamp) -> bool {
    let in_window = authority.valid_for.is_none_or(|window| window.contains(time));
    let holds = |der: &[u8]| validity(der).is_some_and(|validity| validity.contains(time));
    in_window && authority.cert_chain.certificates.iter().all(|certificate| holds(certificate.raw_bytes.as_bytes()))
}

fn log_reason(error: TransparencyLogError) -> Reason {
    match error {
        TransparencyLogError::Checkpoint(detail) => Reason::Checkpoint { detail },
        TransparencyLogError::EntryMismatch(detail) | TransparencyLogError::MalformedEntry(detail) => {
            Reason::EntryMismatch { detail }
        }
        TransparencyLogError::InclusionPromise(detail) => Reason::InclusionPromise { detail },
        TransparencyLogError::InclusionProof(detail) => Reason::Inclusion { detail },
        TransparencyLogError::IntegratedTime(detail) => Reason::IntegratedTime { detail },
        TransparencyLogError::UnknownLog { log_id } => Reason::UnknownLog { log: log_id },
        other => Reason::UnsupportedBundle { detail: other.to_string() },
    }
}

fn bundle_reason(error: &BundleError) -> Reason {
    match error {
        BundleError::CheckpointRootMismatch => Reason::Checkpoint { detail: error.to_string() },
        BundleError::LogIndexOutOfRange { .. } => Reason::Inclusion { detail: error.to_string() },
        BundleError::MissingCheckpoint | BundleError::MissingInclusionProof(_) => Reason::NoInclusionProof,
        BundleError::MissingInclusionPromise(_) => Reason::NoInclusionPromise,
        _ => Reason::MalformedBundle { detail: error.to_string() },
    }
}
