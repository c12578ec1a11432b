//! Certificates: the authorities' own and how they are built.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use der::asn1::{BitString, GeneralizedTime, ObjectIdentifier, OctetString, UtcTime};
use der::{Decode as _, Encode};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate, Version};

use crate::keys::{EcdsaKey, random};

/// A certificate with the key that signs in its name.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) key: EcdsaKey,
    pub(crate) certificate: Certificate,
    pub(crate) der: Vec<u8>,
}

/// From when until when something is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Window {
    /// Ten years, which no test outlives.
    pub(crate) fn of_authority(start: Timestamp) -> Window {
        Window { start, end: start + SignedDuration::from_hours(24 * 3652) }
    }
}

impl Authority {
    /// An authority that signed itself.
    pub(crate) fn root(name: &str, key: &EcdsaKey, window: Window) -> anyhow::Result<Authority> {
        let name = Name::from_str(name).context("read a name")?;
        let extensions = vec![
            extension(BASIC_CONSTRAINTS, true, &BasicConstraints { ca: true, path_len_constraint: Some(1) })?,
            extension(KEY_USAGE, true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
            subject_key(&key.spki())?,
        ];
        let subject = Subject { name: name.clone(), spki: key.spki(), window, extensions };
        Authority::new(key, sign(key, tbs(&name, subject)?)?)
    }

    /// An authority below this one, restricted to a use.
    pub(crate) fn intermediate(
        &self,
        name: &str,
        key: &EcdsaKey,
        window: Window,
        usage: ObjectIdentifier,
    ) -> anyhow::Result<Authority> {
        let extensions = vec![
            extension(BASIC_CONSTRAINTS, true, &BasicConstraints { ca: true, path_len_constraint: Some(0) })?,
            extension(KEY_USAGE, true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
            extension(EXTENDED_KEY_USAGE, false, &vec![usage])?,
            subject_key(&key.spki())?,
            self.authority_key()?,
        ];
        let name = Name::from_str(name).context("read a name")?;
        let subject = Subject { name, spki: key.spki(), window, extensions };
        Authority::new(key, sign(&self.key, self.tbs(subject)?)?)
    }

    /// A signer of timestamps below this one; only its critical extended key usage allows that (RFC 3161, section 2.3).
    pub(crate) fn timestamp_signer(&self, name: &str, key: &EcdsaKey, window: Window) -> anyhow::Result<Authority> {
        let extensions = vec![
            extension(KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
            subject_key(&key.spki())?,
            self.authority_key()?,
            extension(EXTENDED_KEY_USAGE, true, &vec![TIME_STAMPING])?,
        ];
        let name = Name::from_str(name).context("read a name")?;
        let subject = Subject { name, spki: key.spki(), window, extensions };
        Authority::new(key, sign(&self.key, self.tbs(subject)?)?)
    }

    fn new(key: &EcdsaKey, certificate: Certificate) -> anyhow::Result<Authority> {
        let der = certificate.to_der()?;
        Ok(Authority { key: key.clone(), certificate, der })
    }

    /// What this authority will sign for a subject.
    pub(crate) fn tbs(&self, subject: Subject) -> anyhow::Result<TbsCertificate> {
        tbs(&self.certificate.tbs_certificate.subject, subject)
    }

    pub(crate) fn issue(&self, tbs: TbsCertificate) -> anyhow::Result<Certificate> {
        sign(&self.key, tbs)
    }

    pub(crate) fn authority_key(&self) -> anyhow::Result<Extension> {
        let key_identifier = Some(OctetString::new(key_identifier(&self.key.spki()))?);
        let value =
            AuthorityKeyIdentifier { key_identifier, authority_cert_issuer: None, authority_cert_serial_number: None };
        extension(AUTHORITY_KEY_IDENTIFIER, false, &value)
    }

    pub(crate) fn pem(&self) -> String {
        crate::pem("CERTIFICATE", &self.der)
    }
}

/// Whom a certificate is about.
pub(crate) struct Subject {
    pub(crate) name: Name,
    pub(crate) spki: Vec<u8>,
    pub(crate) window: Window,
    pub(crate) extensions: Vec<Extension>,
}

fn tbs(issuer: &Name, subject: Subject) -> anyhow::Result<TbsCertificate> {
    let mut serial: [u8; 20] = random();
    // Positive and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial)?,
        signature: ecdsa_with_sha256(),
        issuer: issuer.clone(),
        validity: Validity { not_before: time(subject.window.start)?, not_after: time(subject.window.end)? },
        subject: subject.name,
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&subject.spki)?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(subject.extensions),
    })
}

fn sign(key: &EcdsaKey, tbs: TbsCertificate) -> anyhow::Result<Certificate> {
    let signature = BitString::from_bytes(&key.sign(&tbs.to_der()?))?;
    Ok(Certificate { tbs_certificate: tbs, signature_algorithm: ecdsa_with_sha256(), signature })
}

pub(crate) fn extension(oid: ObjectIdentifier, critical: bool, value: &impl Encode) -> anyhow::Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value.to_der()?)? })
}

pub(crate) fn subject_key(spki: &[u8]) -> anyhow::Result<Extension> {
    extension(SUBJECT_KEY_IDENTIFIER, false, &SubjectKeyIdentifier(OctetString::new(key_identifier(spki))?))
}

/// RFC 5280, section 4.2.1.2, over the whole key info: any function of the key will do.
fn key_identifier(spki: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, spki).as_ref().to_vec()
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280, section 4.1.2.5).
fn time(at: Timestamp) -> anyhow::Result<Time> {
    let since_1970 = since_1970(at)?;
    match UtcTime::from_unix_duration(since_1970) {
        Ok(time) => Ok(Time::UtcTime(time)),
        Err(_) => Ok(Time::GeneralTime(GeneralizedTime::from_unix_duration(since_1970)?)),
    }
}

/// Whole seconds: certificates and timestamps have no others.
pub(crate) fn since_1970(at: Timestamp) -> anyhow::Result<Duration> {
    Ok(Duration::from_secs(u64::try_from(at.as_second()).context("a time before 1970")?))
}

pub(crate) fn ecdsa_with_sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None }
}

pub(crate) const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
pub(crate) const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
pub(crate) const TIME_STAMPING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
pub(crate) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(crate) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
