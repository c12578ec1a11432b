//! The one place that calls the Sigstore crates to verify.
//!
//! They authenticate: certificate chain at every verified time, SCT, log entry, timestamps, signature, and that the
//! entry is of this very bundle. What shape a bundle must have stands in [`crate::bundle`], whom it must come from in
//! the policy.

use countersign_oci::Digest;
use countersign_policy::Claims;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use sigstore_crypto::SubjectAltName;
use sigstore_types::{DerCertificate, Sha256Hash};
use sigstore_verify::{CertificateError, Error, TimestampError, TransparencyLogError, VerificationPolicy};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::{SubjectAltName as SanExtension, name::GeneralName};

use crate::bundle::ShapedBundle;
use crate::reason::Reason;

/// What an authenticated bundle says. Every field is bound by a signature that was verified.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) issuer: Option<String>,
    pub(crate) subject_alternative_name: Option<String>,
    pub(crate) subject_alternative_name_is_uri: bool,
    pub(crate) claims: Claims,
    pub(crate) times: Vec<Timestamp>,
    /// RFC 6962 leaf hash of the log entry's body.
    pub(crate) log_entry: Digest,
}

/// Returns what the bundle says, once everything in it is authenticated against the trusted root.
pub(crate) fn authenticate(
    verifier: &sigstore_verify::Verifier,
    shaped: &ShapedBundle,
    subject: Digest,
    now: Timestamp,
) -> Result<Authenticated, Reason> {
    let names = subject_names(&shaped.certificate)?;
    if names != 1 {
        return Err(Reason::SubjectNameCount { found: names });
    }
    let artifact = Sha256Hash::from(*subject.bytes());
    let result = verifier
        .verify(artifact, &shaped.bundle, &VerificationPolicy::any_identity())
        .map_err(|error| reason(error, subject, shaped, now))?;

    // The policy above switches nothing off; should the library ever skip a step, that is a refusal, not a pass.
    let certificate = result.certificate().ok_or(Reason::NoCertificate)?;
    if !(result.certificate_verified() && result.sct_verified() && result.tlog_verified()) {
        return Err(Reason::UnsupportedBundle { detail: "the library left a check out".into() });
    }
    let times = result.verified_timestamps().to_vec();
    if times.is_empty() {
        return Err(Reason::NoVerifiedTime { detail: "neither timestamp nor log time".into() });
    }
    if let Some(time) = times.iter().copied().find(|time| *time > now) {
        return Err(Reason::ClockBehind { time, now });
    }
    let (name, is_uri) = match result.identity() {
        Some(SubjectAltName::Uri(uri)) => (Some(uri.clone()), true),
        Some(other) => (Some(other.as_str().to_owned()), false),
        None => (None, false),
    };
    Ok(Authenticated {
        issuer: result.issuer().map(ToOwned::to_owned),
        subject_alternative_name: name,
        subject_alternative_name_is_uri: is_uri,
        claims: claims(&certificate.ci_claims),
        times,
        log_entry: leaf_hash(&shaped.log_entry_body),
    })
}

/// Returns the issuer and the subject alternative name of a certificate, as claims: nothing is verified.
#[must_use]
pub fn claimed_identity(certificate: &[u8]) -> Option<(Option<String>, Option<String>)> {
    crate::crypto::install();
    let info = sigstore_crypto::parse_certificate_info(&DerCertificate::from_bytes(certificate)).ok()?;
    Some((info.issuer, info.identity.map(|name| name.as_str().to_owned())))
}

/// How many names the certificate has: the library reads the first e-mail or URI and ignores the others.
fn subject_names(certificate: &[u8]) -> Result<usize, Reason> {
    let malformed = |e: x509_cert::der::Error| Reason::Certificate { detail: format!("it cannot be parsed: {e}") };
    let certificate = x509_cert::Certificate::from_der(certificate).map_err(malformed)?;
    let extension: Option<(bool, SanExtension)> = certificate.tbs_certificate.get().map_err(malformed)?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    let readable =
        |name: &GeneralName| matches!(name, GeneralName::Rfc822Name(_) | GeneralName::UniformResourceIdentifier(_));
    if names.len() == 1 && !names.iter().all(readable) {
        return Ok(0);
    }
    Ok(names.len())
}

fn leaf_hash(body: &[u8]) -> Digest {
    let mut leaf = Vec::with_capacity(body.len() + 1);
    leaf.push(0);
    leaf.extend_from_slice(body);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, &leaf).as_ref());
    Digest::from_bytes(bytes)
}

fn reason(error: Error, subject: Digest, shaped: &ShapedBundle, now: Timestamp) -> Reason {
    match error {
        Error::ArtifactMismatch(_) => Reason::SubjectMismatch { expected: subject },
        Error::SignatureInvalid(detail) => Reason::Signature { detail },
        Error::Certificate(CertificateError::Sct(detail)) => Reason::Sct { detail },
        Error::Certificate(other) => Reason::Certificate { detail: other.to_string() },
        Error::TransparencyLog(TransparencyLogError::UnknownLog { log_id }) => Reason::UnknownLog { log: log_id },
        Error::TransparencyLog(
            TransparencyLogError::InclusionProof(detail) | TransparencyLogError::Checkpoint(detail),
        ) => Reason::Inclusion { detail },
        Error::TransparencyLog(TransparencyLogError::InclusionPromise(detail)) => Reason::InclusionPromise { detail },
        Error::TransparencyLog(TransparencyLogError::IntegratedTime(detail)) => integrated_time(detail, shaped, now),
        Error::TransparencyLog(
            TransparencyLogError::EntryMismatch(detail) | TransparencyLogError::MalformedEntry(detail),
        ) => Reason::EntryMismatch { detail },
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(detail)) => Reason::NoVerifiedTime { detail },
        Error::Timestamp(other) => Reason::Timestamp { detail: other.to_string() },
        Error::UnsupportedBundle(detail) => Reason::UnsupportedBundle { detail },
        other => Reason::MalformedBundle { detail: other.to_string() },
    }
}

/// The library refuses a log time ahead of the clock only after the log's promise over that very time has verified:
/// then it is the clock that is wrong, or cannot be told from wrong.
fn integrated_time(detail: String, shaped: &ShapedBundle, now: Timestamp) -> Reason {
    let entry = shaped.bundle.verification_material.tlog_entries.first();
    match entry.and_then(|entry| entry.integrated_time) {
        Some(time) if time > now => Reason::ClockBehind { time, now },
        _ => Reason::IntegratedTime { detail },
    }
}

fn claims(found: &sigstore_crypto::FulcioCiClaims) -> Claims {
    let found = found.clone();
    Claims {
        build_signer_uri: found.build_signer_uri,
        build_signer_digest: found.build_signer_digest,
        runner_environment: found.runner_environment,
        source_repository_uri: found.source_repository_uri,
        source_repository_digest: found.source_repository_digest,
        source_repository_ref: found.source_repository_ref,
        source_repository_identifier: found.source_repository_identifier,
        source_repository_owner_uri: found.source_repository_owner_uri,
        source_repository_owner_identifier: found.source_repository_owner_identifier,
        build_config_uri: found.build_config_uri,
        build_config_digest: found.build_config_digest,
        build_trigger: found.build_trigger,
        run_invocation_uri: found.run_invocation_uri,
        source_repository_visibility_at_signing: found.source_repository_visibility_at_signing,
        deployment_environment: found.deployment_environment,
        token_subject: found.token_subject,
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::Certificate;
    use x509_cert::der::asn1::{Ia5String, OctetString};
    use x509_cert::der::oid::AssociatedOid as _;
    use x509_cert::der::{Decode as _, Encode as _};
    use x509_cert::ext::Extension;

    use super::*;

    /// A certificate with these names: its signature does not fit, and nothing here looks at it.
    fn certificate(names: Vec<GeneralName>) -> Vec<u8> {
        let root = crate::TrustedRoot::embedded_public_good().unwrap();
        let authority = &root.inner().certificate_authorities[0].cert_chain.certificates[0];
        let mut certificate = Certificate::from_der(authority.raw_bytes.as_bytes()).unwrap();
        let extensions = certificate.tbs_certificate.extensions.as_mut().unwrap();
        extensions.retain(|extension| extension.extn_id != SanExtension::OID);
        if !names.is_empty() {
            let value = OctetString::new(SanExtension(names).to_der().unwrap()).unwrap();
            extensions.push(Extension { extn_id: SanExtension::OID, critical: true, extn_value: value });
        }
        certificate.to_der().unwrap()
    }

    #[test]
    fn a_certificate_speaks_for_exactly_one_name_that_can_be_read() {
        let name = |text: &str| Ia5String::new(text).unwrap();
        let uri = || GeneralName::UniformResourceIdentifier(name("https://github.com/octo/app"));
        let email = || GeneralName::Rfc822Name(name("octo@example.com"));
        let host = || GeneralName::DnsName(name("octo.example"));
        assert_eq!(subject_names(&certificate(vec![uri()])).unwrap(), 1);
        assert_eq!(subject_names(&certificate(vec![email()])).unwrap(), 1);
        assert_eq!(subject_names(&certificate(vec![])).unwrap(), 0);
        assert_eq!(subject_names(&certificate(vec![host()])).unwrap(), 0, "a name that nothing here reads");
        assert_eq!(subject_names(&certificate(vec![uri(), uri()])).unwrap(), 2);
        assert_eq!(subject_names(&certificate(vec![host(), email()])).unwrap(), 2, "the library would read the second");
        assert_eq!(subject_names(b"no certificate").unwrap_err().code(), "certificate-untrusted");
    }
}
