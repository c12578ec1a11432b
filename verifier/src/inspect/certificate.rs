//! What a signing certificate says, read without asking who issued it.

use jiff::Timestamp;
use serde::Serialize;
use x509_cert::der::asn1::Utf8StringRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
use x509_cert::time::Time;

use super::shown;

/// How many names of a certificate are shown; Fulcio writes one.
const NAMES: usize = 8;

/// What a certificate claims: nobody has looked at its signature.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct CertificateClaims {
    /// The subject alternative names: who is said to have signed.
    pub identities: Vec<String>,
    /// The OIDC issuer that is said to have vouched for that.
    pub oidc_issuer: Option<String>,
    /// The repository that the signing workflow is said to have run for.
    pub source_repository: Option<String>,
    /// Further claims of a workflow, in the order of Fulcio's list.
    pub workflow: Vec<WorkflowClaim>,
    /// Who is said to have issued the certificate.
    pub issued_by: Option<String>,
    /// When its validity is said to begin.
    pub not_before: Option<String>,
    /// When its validity is said to end.
    pub not_after: Option<String>,
    /// What could not be read of it, and why.
    pub problems: Vec<String>,
}

/// One of the claims that Fulcio writes for a workflow
/// ([list](https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkflowClaim {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// The claims that are shown by name, by the last number of their object identifier.
const WORKFLOW: [(u32, &str); 13] = [
    (9, "build signer"),
    (10, "build signer digest"),
    (11, "runner environment"),
    (13, "source repository digest"),
    (14, "source repository ref"),
    (15, "source repository id"),
    (16, "source repository owner"),
    (17, "source repository owner id"),
    (18, "build config"),
    (20, "build trigger"),
    (21, "run"),
    (22, "source repository visibility"),
    (23, "deployment environment"),
];
const ISSUER_OLD: u32 = 1;
const ISSUER: u32 = 8;
const SOURCE_REPOSITORY: u32 = 12;
const FULCIO: &str = "1.3.6.1.4.1.57264.1";

impl CertificateClaims {
    /// Reads as much as can be read of a certificate in DER; what cannot is named among the problems.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut claims = Self::default();
        let certificate = match x509_cert::Certificate::from_der(der) {
            Ok(certificate) => certificate.tbs_certificate,
            Err(error) => {
                claims.problems.push(format!("the certificate cannot be parsed: {error}"));
                return claims;
            }
        };
        claims.issued_by = Some(shown(&certificate.issuer.to_string()));
        claims.not_before = time(certificate.validity.not_before);
        claims.not_after = time(certificate.validity.not_after);
        match certificate.get::<SubjectAltName>() {
            Ok(names) => claims.read_names(&names.map(|(_, names)| names.0).unwrap_or_default()),
            Err(error) => claims.problems.push(format!("its subject alternative name cannot be parsed: {error}")),
        }
        let extensions = certificate.extensions.unwrap_or_default();
        let claim = |number: u32| claim(&extensions, number);
        // The newer extension counts where there is one.
        claims.oidc_issuer = claim(ISSUER).or_else(|| claim(ISSUER_OLD));
        claims.source_repository = claim(SOURCE_REPOSITORY);
        claims.workflow = WORKFLOW
            .iter()
            .filter_map(|(number, name)| claim(*number).map(|value| WorkflowClaim { name, value }))
            .collect();
        claims
    }

    fn read_names(&mut self, names: &[GeneralName]) {
        self.identities = names.iter().take(NAMES).map(name).collect();
        match names.len() {
            0 => self.problems.push("it has no subject alternative name".to_owned()),
            1 => {}
            count => self.problems.push(format!("it has {count} subject alternative names, where 1 is needed")),
        }
    }
}

fn name(name: &GeneralName) -> String {
    match name {
        GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) | GeneralName::DnsName(text) => {
            shown(text.as_str())
        }
        GeneralName::OtherName(other) => {
            // Fulcio's user name: an UTF8String, tagged.
            let value = other.value.to_der().ok();
            let text = value.as_deref().and_then(|der| Utf8StringRef::from_der(der).ok());
            text.map_or_else(|| "(a name of another kind)".to_owned(), |text| shown(text.as_str()))
        }
        _ => "(a name of another kind)".to_owned(),
    }
}

/// The text of one of Fulcio's extensions: an UTF8String in the newer ones, the bare bytes in the first.
fn claim(extensions: &[Extension], number: u32) -> Option<String> {
    let oid = ObjectIdentifier::new(&format!("{FULCIO}.{number}")).ok()?;
    let value = extensions.iter().find(|extension| extension.extn_id == oid)?.extn_value.as_bytes();
    let text = match Utf8StringRef::from_der(value) {
        Ok(text) => text.as_str().to_owned(),
        Err(_) if number == ISSUER_OLD => String::from_utf8_lossy(value).into_owned(),
        Err(error) => format!("(cannot be parsed: {error})"),
    };
    Some(shown(&text))
}

fn time(time: Time) -> Option<String> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_a_problem_and_no_failure() {
        for der in [&b""[..], b"\x30", b"not a certificate", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]] {
            let claims = CertificateClaims::of(der);
            assert!(claims.problems[0].starts_with("the certificate cannot be parsed: "), "{:?}", claims.problems);
            assert!(claims.identities.is_empty() && claims.not_after.is_none());
        }
    }

    #[test]
    fn a_certificate_without_fulcios_extensions_still_has_a_validity() {
        let root = crate::TrustedRoot::embedded_public_good().unwrap();
        let authority = &root.inner().certificate_authorities[0].cert_chain.certificates[0];
        let claims = CertificateClaims::of(authority.raw_bytes.as_bytes());
        assert_eq!(claims.issued_by.as_deref(), Some("CN=sigstore,O=sigstore.dev"));
        assert_eq!(claims.not_before.as_deref(), Some("2021-03-07T03:20:29Z"));
        assert_eq!((claims.oidc_issuer, claims.workflow.len()), (None, 0));
        assert_eq!(claims.problems, ["it has no subject alternative name"]);
    }
}
