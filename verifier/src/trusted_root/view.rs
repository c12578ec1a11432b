//! What a trusted root holds, for people and programs: each authority and log with its key and its window.

use countersign_oci::{Digest, printable};
use jiff::Timestamp;
use serde::Serialize;
use sigstore_trust_root::trusted_root::{CertificateEntry, CertificateSubject, PublicKey};
use sigstore_types::TimeRange;
use x509_cert::der::Decode as _;

use super::TrustedRoot;

/// How many characters of a name from the document are shown.
const NAME_CHARACTERS: usize = 200;

/// What an authority does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuthorityKind {
    /// Issues signing certificates: Fulcio.
    CertificateAuthority,
    /// Logs those certificates.
    CertificateTransparencyLog,
    /// Signs timestamps.
    TimestampAuthority,
    /// Logs signatures: Rekor.
    TransparencyLog,
}

impl AuthorityKind {
    /// Returns the words for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::CertificateAuthority => "certificate authority",
            Self::CertificateTransparencyLog => "certificate transparency log",
            Self::TimestampAuthority => "timestamp authority",
            Self::TransparencyLog => "transparency log",
        }
    }
}

/// One authority or log of a trusted root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Authority {
    /// What it does.
    pub kind: AuthorityKind,
    /// What it is called, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Tells its key from others: a log's id, or the digest of a chain's first certificate, in hexadecimal.
    pub key_id: String,
    /// The algorithm of a log's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_details: Option<String>,
    /// What it did before counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// What it does afterwards counts for nothing; what it did in time still does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// The certificates of its chain, the one that signs first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateView>,
}

/// One certificate of an authority's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CertificateView {
    /// Its subject.
    pub subject: String,
    /// The SHA-256 of its DER form, in hexadecimal.
    pub sha256: String,
    /// Its own validity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Its own validity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Where a time lies, seen from a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WindowState {
    /// Inside: what is signed now counts.
    Current,
    /// After it: only what was signed in time counts.
    Expired,
    /// Before it: nothing counts yet.
    Future,
}

impl Authority {
    /// Returns where `now` lies. Both ends belong to the window.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> WindowState {
        match (self.valid_from, self.valid_until) {
            (Some(start), _) if now < start => WindowState::Future,
            (_, Some(end)) if now > end => WindowState::Expired,
            _ => WindowState::Current,
        }
    }

    fn of_chain(
        kind: AuthorityKind,
        subject: &CertificateSubject,
        url: Option<&str>,
        chain: &[CertificateEntry],
        window: Option<TimeRange>,
    ) -> Self {
        let certificates: Vec<CertificateView> = chain.iter().map(certificate).collect();
        let names = [subject.organization.as_deref(), subject.common_name.as_deref()];
        let names: Vec<&str> = names.into_iter().flatten().filter(|name| !name.is_empty()).collect();
        Self {
            kind,
            name: (!names.is_empty()).then(|| printable(&names.join(" "), NAME_CHARACTERS)),
            url: url.map(|url| printable(url, NAME_CHARACTERS)),
            key_id: certificates.first().map(|first| first.sha256.clone()).unwrap_or_default(),
            key_details: None,
            valid_from: window.map(|window| window.start),
            valid_until: window.and_then(|window| window.end),
            certificates,
        }
    }
}

impl TrustedRoot {
    /// Returns the authorities and logs in the document's order: certificate authorities, their logs, transparency
    /// logs, timestamp authorities.
    #[must_use]
    pub fn authorities(&self) -> Vec<Authority> {
        let log = |kind, url: &str, key: &PublicKey, id: &[u8]| Authority {
            kind,
            name: None,
            url: Some(printable(url, NAME_CHARACTERS)),
            key_id: hex(id),
            key_details: Some(printable(key.key_details.as_str(), NAME_CHARACTERS)),
            valid_from: key.valid_for.map(|window| window.start),
            valid_until: key.valid_for.and_then(|window| window.end),
            certificates: Vec::new(),
        };
        let mut authorities = Vec::new();
        for ca in &self.inner.certificate_authorities {
            let kind = AuthorityKind::CertificateAuthority;
            authorities.push(Authority::of_chain(
                kind,
                &ca.subject,
                Some(&ca.uri),
                &ca.cert_chain.certificates,
                ca.valid_for,
            ));
        }
        for ct in &self.inner.ctlogs {
            let kind = AuthorityKind::CertificateTransparencyLog;
            authorities.push(log(kind, &ct.base_url, &ct.public_key, ct.log_id.key_id.as_bytes()));
        }
        for rekor in &self.inner.tlogs {
            let kind = AuthorityKind::TransparencyLog;
            authorities.push(log(kind, &rekor.base_url, &rekor.public_key, rekor.log_id.key_id.as_bytes()));
        }
        for tsa in &self.inner.timestamp_authorities {
            let kind = AuthorityKind::TimestampAuthority;
            let chain = &tsa.cert_chain.certificates;
            authorities.push(Authority::of_chain(kind, &tsa.subject, tsa.uri.as_deref(), chain, tsa.valid_for));
        }
        authorities
    }
}

fn certificate(entry: &CertificateEntry) -> CertificateView {
    let der = entry.raw_bytes.as_bytes();
    let parsed = x509_cert::Certificate::from_der(der).ok().map(|parsed| parsed.tbs_certificate);
    let time = |time: &x509_cert::time::Time| {
        Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
    };
    CertificateView {
        subject: parsed.as_ref().map_or_else(
            || "not readable".to_owned(),
            |parsed| printable(&parsed.subject.to_string(), NAME_CHARACTERS),
        ),
        sha256: Digest::of(der).hex(),
        not_before: parsed.as_ref().and_then(|parsed| time(&parsed.validity.not_before)),
        not_after: parsed.as_ref().and_then(|parsed| time(&parsed.validity.not_after)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_good_root_shows_each_authority_with_its_window() {
        let root = TrustedRoot::embedded_public_good().unwrap();
        let authorities = root.authorities();
        let of = |kind| authorities.iter().filter(move |authority| authority.kind == kind).count();
        assert!(of(AuthorityKind::CertificateAuthority) >= 2);
        assert!(of(AuthorityKind::TransparencyLog) >= 1 && of(AuthorityKind::TimestampAuthority) >= 1);
        assert!(authorities.iter().all(|authority| authority.key_id.len() == 64 && authority.valid_from.is_some()));
        let chains = authorities.iter().filter(|authority| !authority.certificates.is_empty());
        for certificate in chains.flat_map(|authority| &authority.certificates) {
            assert!(certificate.subject.contains("sigstore"), "{}", certificate.subject);
            assert!(certificate.not_before < certificate.not_after);
        }
        let retired = authorities.iter().find(|authority| authority.valid_until.is_some()).unwrap();
        assert_eq!(retired.state("2040-01-01T00:00:00Z".parse().unwrap()), WindowState::Expired);
        assert_eq!(retired.state("2000-01-01T00:00:00Z".parse().unwrap()), WindowState::Future);
        assert_eq!(retired.state(retired.valid_until.unwrap()), WindowState::Current, "both ends belong to the window");
    }
}
