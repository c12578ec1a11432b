//! The one place that calls the Sigstore crates to verify.
//!
//! They authenticate: certificate chain at every verified time, SCT, log entry, timestamps, signature, and that the
//! entry is of this very bundle. What shape a bundle must have stands in [`crate::bundle`], whom it must come from in
//! the policy.

use countersign_oci::{Digest, limits};
use countersign_policy::{Claims, SignatureFacts};
use jiff::Timestamp;
use sigstore_crypto::{KeyAlgorithm, SubjectAltName};
use sigstore_trust_root::TrustedRoot as SigstoreRoot;
use sigstore_types::{Bundle, DerCertificate, DerPublicKey, Sha256Hash, SignatureContent, TransparencyLogEntry};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult, Verifier};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName as SanExtension, name::GeneralName};

use crate::reason::Reason;

pub(crate) mod authority;
mod diagnosis;
mod entry;
mod log;

/// A bundle of an accepted shape, and the artifact that it is put forward for.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) digest: Digest,
    /// The artifact itself, where it is at hand: only signatures of keys that hash by themselves need it.
    pub(crate) bytes: Option<&'a [u8]>,
}

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
    /// The log that holds the entry, as the trusted root names it.
    pub(crate) log: String,
}

/// What a bundle says that was authenticated by a managed key.
#[derive(Debug)]
pub(crate) struct AuthenticatedByKey {
    pub(crate) times: Vec<Timestamp>,
    /// RFC 6962 leaf hash of the log entry's body.
    pub(crate) log_entry: Digest,
}

/// Returns what the bundle says, once everything in it is authenticated against the trusted root.
pub(crate) fn authenticate(
    verifier: &Verifier,
    root: &SigstoreRoot,
    presented: Presented<'_>,
    now: Timestamp,
) -> Result<Authenticated, Reason> {
    let certificate = presented.bundle.signing_certificate().ok_or(Reason::NoCertificate)?;
    let names = subject_names(certificate.as_bytes())?;
    if names != 1 {
        return Err(Reason::SubjectNameCount { found: names });
    }
    let key = sigstore_crypto::parse_certificate_info(certificate)
        .map_err(|e| Reason::Certificate { detail: e.to_string() })?
        .public_key;
    let policy = VerificationPolicy::any_identity();
    let (result, log) = verify(verifier, root, presented, &key, &policy, now)?;

    // The policy above switches nothing off; should the library ever skip a step, that is a refusal, not a pass.
    let certificate = result.certificate().ok_or(Reason::NoCertificate)?;
    if !(result.certificate_verified() && result.sct_verified()) {
        return Err(Reason::UnsupportedBundle { detail: "the library left a check out".into() });
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
        times: result.verified_timestamps().to_vec(),
        log_entry: leaf_hash_of(presented.bundle)?,
        log,
    })
}

/// Returns what the bundle says, once everything in it is authenticated against the trusted root and this key.
pub(crate) fn authenticate_by_key(
    verifier: &Verifier,
    root: &SigstoreRoot,
    presented: Presented<'_>,
    key: &DerPublicKey,
    now: Timestamp,
) -> Result<AuthenticatedByKey, Reason> {
    let policy = PublicKeyVerificationPolicy::new(key.clone());
    let (result, _log) = verify(verifier, root, presented, key, &policy, now)?;
    Ok(AuthenticatedByKey { times: result.verified_timestamps().to_vec(), log_entry: leaf_hash_of(presented.bundle)? })
}

/// Authenticates everything, and holds for every bundle: it is logged, the log that it names vouches for it, and at least one time is verified
/// and none ahead of the clock. Returns the name of that log too.
fn verify(
    verifier: &Verifier,
    root: &SigstoreRoot,
    presented: Presented<'_>,
    key: &DerPublicKey,
    policy: &impl sigstore_verify::Policy,
    now: Timestamp,
) -> Result<(VerificationResult, String), Reason> {
    refuse_unsupported_key(presented.bundle, key)?;
    let verified = match presented.bytes {
        Some(bytes) => verifier.verify(bytes, presented.bundle, policy),
        None => verifier.verify(Sha256Hash::from(*presented.digest.bytes()), presented.bundle, policy),
    };
    let result = verified.map_err(|error| diagnosis::Case { root, presented, key, now }.reason(error))?;
    if !result.tlog_verified() {
        return Err(Reason::UnsupportedBundle { detail: "the library left a check out".into() });
    }
    if result.verified_timestamps().is_empty() {
        return Err(Reason::NoVerifiedTime { detail: "neither timestamp nor log time".into() });
    }
    if let Some(time) = result.verified_timestamps().iter().copied().find(|time| *time > now) {
        return Err(Reason::ClockBehind { time, now });
    }
    let [entry] = presented.bundle.verification_material.tlog_entries.as_slice() else {
        return Err(Reason::LogEntryCount { found: presented.bundle.verification_material.tlog_entries.len() });
    };
    entry::check_kind(entry)?;
    let log = log::vouching(root, entry, result.verified_timestamps())?;
    Ok((result, log))
}

/// A message signature is checked over the file's digest, which no backend here can do with RSA.
fn refuse_unsupported_key(bundle: &Bundle, key: &DerPublicKey) -> Result<(), Reason> {
    let unsupported = |detail: String| Reason::UnsupportedBundle { detail };
    let algorithm = KeyAlgorithm::from_spki(key).map_err(|e| unsupported(e.to_string()))?;
    match bundle.content {
        SignatureContent::MessageSignature(_) if algorithm == KeyAlgorithm::Rsa => {
            Err(unsupported("a file signed with an RSA key".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Returns why a log entry whose inclusion proof has no checkpoint is refused: the proof may be wrong as well.
pub(crate) fn without_checkpoint(entry: &TransparencyLogEntry) -> Reason {
    let Some(proof) = &entry.inclusion_proof else { return Reason::NoInclusionProof };
    let leaf = sigstore_merkle::hash_leaf(entry.canonicalized_body.as_bytes());
    let index = proof.log_index.get();
    match sigstore_merkle::verify_inclusion_proof(&leaf, index, proof.tree_size, &proof.hashes, &proof.root_hash) {
        Ok(()) => Reason::NoInclusionProof,
        Err(cause) => Reason::Inclusion { detail: cause.to_string() },
    }
}

/// Whether this is a certificate authority's own root: issued by itself, and to issue others.
pub(crate) fn is_root_certificate(der: &[u8]) -> Result<bool, Reason> {
    let malformed =
        |e: x509_cert::der::Error| Reason::MalformedBundle { detail: format!("a certificate cannot be parsed: {e}") };
    let certificate = x509_cert::Certificate::from_der(der).map_err(malformed)?.tbs_certificate;
    let constraints: Option<(bool, BasicConstraints)> = certificate.get().map_err(malformed)?;
    Ok(certificate.issuer == certificate.subject && constraints.is_some_and(|(_, constraints)| constraints.ca))
}

/// Returns the key's DER, once it is known to be one that signatures can be checked with.
pub(crate) fn public_key(pem: &str) -> Result<DerPublicKey, String> {
    let key = DerPublicKey::from_pem(pem).map_err(|e| e.to_string())?;
    sigstore_crypto::VerificationKey::from_spki(&key).map_err(|e| e.to_string())?;
    Ok(key)
}

/// Returns the issuer and the subject alternative name of a certificate, as claims: nothing is verified.
#[must_use]
pub fn claimed_identity(certificate: &[u8]) -> Option<(Option<String>, Option<String>)> {
    crate::crypto::install();
    let info = sigstore_crypto::parse_certificate_info(&DerCertificate::from_bytes(certificate)).ok()?;
    Some((info.issuer, info.identity.map(|name| name.as_str().to_owned())))
}

/// Returns what a certificate says of its holder, in the words of a policy, as claims: nothing is verified, and there is no time, no
/// log entry and no subject in it. For who holds a new certificate, and asks beforehand whether a signature with it can satisfy a policy.
#[must_use]
pub fn claimed_facts(certificate: &[u8]) -> Option<SignatureFacts> {
    crate::crypto::install();
    let info = sigstore_crypto::parse_certificate_info(&DerCertificate::from_bytes(certificate)).ok()?;
    Some(SignatureFacts {
        issuer: info.issuer,
        subject_alternative_name_is_uri: matches!(info.identity, Some(SubjectAltName::Uri(_))),
        subject_alternative_name: info.identity.map(|name| name.as_str().to_owned()),
        claims: claims(&info.ci_claims),
        times: Vec::new(),
        log_entry: String::new(),
        log: String::new(),
        digest: String::new(),
        subjects: Vec::new(),
    })
}

/// How many names the certificate has: the library reads the first e-mail or URI and ignores the others.
fn subject_names(certificate: &[u8]) -> Result<usize, Reason> {
    let malformed = |e: x509_cert::der::Error| Reason::Certificate { detail: format!("it cannot be parsed: {e}") };
    let certificate = x509_cert::Certificate::from_der(certificate).map_err(malformed)?;
    let extension: Option<(bool, SanExtension)> = certificate.tbs_certificate.get().map_err(malformed)?;
    let names = extension.map(|(_, names)| names.0).unwrap_or_default();
    if let Some(bytes) = names.iter().map(length).find(|bytes| *bytes > limits::NAME_BYTES) {
        let detail = format!("it has a name of {bytes} bytes, more than the limit of {}", limits::NAME_BYTES);
        return Err(Reason::Certificate { detail });
    }
    let readable =
        |name: &GeneralName| matches!(name, GeneralName::Rfc822Name(_) | GeneralName::UniformResourceIdentifier(_));
    if names.len() == 1 && !names.iter().all(readable) {
        return Ok(0);
    }
    Ok(names.len())
}

/// How many bytes a name of a kind that is read has.
fn length(name: &GeneralName) -> usize {
    match name {
        GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => text.as_str().len(),
        _ => 0,
    }
}

fn leaf_hash_of(bundle: &Bundle) -> Result<Digest, Reason> {
    let [entry] = bundle.verification_material.tlog_entries.as_slice() else {
        return Err(Reason::LogEntryCount { found: bundle.verification_material.tlog_entries.len() });
    };
    let body = entry.canonicalized_body.as_bytes();
    let mut leaf = Vec::with_capacity(body.len() + 1);
    leaf.push(0);
    leaf.extend_from_slice(body);
    Ok(Digest::of(&leaf))
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
    fn a_name_of_2048_bytes_is_read_and_one_more_is_refused() {
        let name = |bytes: usize| GeneralName::UniformResourceIdentifier(Ia5String::new(&"a".repeat(bytes)).unwrap());
        assert_eq!(subject_names(&certificate(vec![name(limits::NAME_BYTES)])).unwrap(), 1);
        let long = subject_names(&certificate(vec![name(limits::NAME_BYTES + 1)])).unwrap_err();
        assert_eq!(long.code(), "certificate-untrusted");
        let beside = subject_names(&certificate(vec![name(7), name(1 << 20)])).unwrap_err();
        assert_eq!(beside.code(), "certificate-untrusted");
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
