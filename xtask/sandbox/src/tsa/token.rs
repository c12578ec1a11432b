//! The timestamp itself: a CMS signature over a `TSTInfo` (RFC 3161, RFC 5652, RFC 5035).

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{Any, GeneralizedTime, Int, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use der::{Decode as _, Encode, Sequence, Tag};
use jiff::Timestamp;
use ring::digest::{SHA256, SHA384, SHA512, digest};
use x509_cert::attr::{Attribute, AttributeValue};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_tsp::{Accuracy, MessageImprint, TspVersion, TstInfo};

use super::{HASHES, POLICY, Query};
use crate::certificate::{Authority, ecdsa_with_sha256, since_1970};
use crate::keys::random;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const ID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// A `TimeStampResp` that grants.
#[derive(Sequence)]
struct Response {
    status: Status,
    token: ContentInfo,
}

/// `PKIStatusInfo` with nothing but a status.
#[derive(Sequence)]
struct Status {
    status: u8,
}

/// RFC 5035, section 3: which certificate signs.
#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

#[derive(Sequence)]
struct EssCertIdV2 {
    /// SHA-256 where it is not said.
    #[asn1(optional = "true")]
    hash_algorithm: Option<AlgorithmIdentifierOwned>,
    cert_hash: OctetString,
    issuer_serial: IssuerSerial,
}

#[derive(Sequence)]
struct IssuerSerial {
    issuer: Vec<GeneralName>,
    serial_number: SerialNumber,
}

pub(super) fn reply(signer: &Authority, query: &Query, now: Timestamp) -> anyhow::Result<Vec<u8>> {
    let info = tst_info(signer, query, now)?.to_der()?;
    let certificate = query.certificates.then(|| CertificateChoices::Certificate(signer.certificate.clone()));
    // The set is there even where nobody asked for what is in it.
    let certificates = Some(CertificateSet(SetOfVec::try_from(Vec::from_iter(certificate))?));
    let signed = SignedData {
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from(vec![sha256()])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: TST_INFO,
            econtent: Some(Any::new(Tag::OctetString, info.as_slice())?),
        },
        certificates,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer_info(signer, &info, query.hash, now)?])?),
    };
    let token = ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&signed)? };
    Ok(Response { status: Status { status: 0 }, token }.to_der()?)
}

fn tst_info(signer: &Authority, query: &Query, now: Timestamp) -> anyhow::Result<TstInfo> {
    let mut serial: [u8; 16] = random();
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(TstInfo {
        version: TspVersion::V1,
        policy: POLICY,
        message_imprint: MessageImprint {
            hash_algorithm: with_null(query.hash),
            hashed_message: OctetString::new(query.digest.clone())?,
        },
        serial_number: Int::new(&serial)?,
        gen_time: GeneralizedTime::from_unix_duration(since_1970(now)?)?,
        accuracy: Some(Accuracy { seconds: Some(1), millis: None, micros: None }),
        ordering: false,
        nonce: query.nonce.clone(),
        tsa: Some(GeneralName::DirectoryName(signer.certificate.tbs_certificate.subject.clone())),
        extensions: None,
    })
}

/// The hash of the request is also the one that names the certificate.
fn signer_info(signer: &Authority, info: &[u8], hash: ObjectIdentifier, now: Timestamp) -> anyhow::Result<SignerInfo> {
    let tbs = &signer.certificate.tbs_certificate;
    let algorithm =
        HASHES.into_iter().find(|(_, known, _)| *known == hash).map_or(&SHA256, |(name, _, _)| match name {
            "sha384" => &SHA384,
            "sha512" => &SHA512,
            _ => &SHA256,
        });
    let identifier = EssCertIdV2 {
        hash_algorithm: (hash != ID_SHA256).then(|| with_null(hash)),
        cert_hash: OctetString::new(digest(algorithm, &signer.der).as_ref())?,
        issuer_serial: IssuerSerial {
            issuer: vec![GeneralName::DirectoryName(tbs.issuer.clone())],
            serial_number: tbs.serial_number.clone(),
        },
    };
    let attributes = SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, &TST_INFO)?,
        attribute(SIGNING_TIME, &UtcTime::from_unix_duration(since_1970(now)?)?)?,
        attribute(MESSAGE_DIGEST, &OctetString::new(digest(&SHA256, info).as_ref())?)?,
        attribute(SIGNING_CERTIFICATE_V2, &SigningCertificateV2 { certs: vec![identifier] })?,
    ])?;
    // Signed as a SET OF, whatever the tag that it is sent with (RFC 5652, section 5.4).
    let signature = signer.key.sign(&attributes.to_der()?);
    Ok(SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: tbs.issuer.clone(),
            serial_number: tbs.serial_number.clone(),
        }),
        digest_alg: sha256(),
        signed_attrs: Some(attributes),
        signature_algorithm: ecdsa_with_sha256(),
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    })
}

fn attribute(oid: ObjectIdentifier, value: &impl Encode) -> anyhow::Result<Attribute> {
    let value = AttributeValue::from_der(&value.to_der()?)?;
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// With parameters that say nothing, as Go writes them.
fn with_null(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Any::null()) }
}

fn sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ID_SHA256, parameters: None }
}
