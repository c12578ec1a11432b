//! The timestamp itself: a CMS signature over a `TSTInfo` (RFC 3161, RFC 5652, RFC 5035).

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use der::asn1::{Any, GeneralizedTime, Int, ObjectIdentifier, OctetString, SetOfVec, UtcTime};
use der::{Decode as _, Encode, Sequence, Tag};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use x509_cert::attr::{Attribute, AttributeValue};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_tsp::{MessageImprint, TspVersion, TstInfo};

use super::{POLICY, Query};
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

/// RFC 5035, section 3: which certificate signs; its hash is SHA-256 unless another is named.
#[derive(Sequence)]
struct SigningCertificateV2 {
    certs: Vec<EssCertIdV2>,
}

#[derive(Sequence)]
struct EssCertIdV2 {
    cert_hash: OctetString,
}

pub(super) fn reply(signer: &Authority, query: &Query, now: Timestamp) -> anyhow::Result<Vec<u8>> {
    let info = tst_info(query, now)?.to_der()?;
    let certificates = if query.certificates {
        let certificate = CertificateChoices::Certificate(signer.certificate.clone());
        Some(CertificateSet(SetOfVec::try_from(vec![certificate])?))
    } else {
        None
    };
    let signed = SignedData {
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from(vec![sha256()])?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: TST_INFO,
            econtent: Some(Any::new(Tag::OctetString, info.as_slice())?),
        },
        certificates,
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer_info(signer, &info, now)?])?),
    };
    let token = ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&signed)? };
    Ok(Response { status: Status { status: 0 }, token }.to_der()?)
}

fn tst_info(query: &Query, now: Timestamp) -> anyhow::Result<TstInfo> {
    let mut serial: [u8; 16] = random();
    serial[0] = serial[0] & 0x7f | 0x40;
    let hash_algorithm = AlgorithmIdentifierOwned { oid: query.hash, parameters: None };
    Ok(TstInfo {
        version: TspVersion::V1,
        policy: POLICY,
        message_imprint: MessageImprint { hash_algorithm, hashed_message: OctetString::new(query.digest.clone())? },
        serial_number: Int::new(&serial)?,
        gen_time: GeneralizedTime::from_unix_duration(since_1970(now)?)?,
        accuracy: None,
        ordering: false,
        nonce: query.nonce.clone(),
        tsa: None,
        extensions: None,
    })
}

fn signer_info(signer: &Authority, info: &[u8], now: Timestamp) -> anyhow::Result<SignerInfo> {
    let identifier = EssCertIdV2 { cert_hash: OctetString::new(digest(&SHA256, &signer.der).as_ref())? };
    let attributes = SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, &TST_INFO)?,
        attribute(SIGNING_TIME, &UtcTime::from_unix_duration(since_1970(now)?)?)?,
        attribute(MESSAGE_DIGEST, &OctetString::new(digest(&SHA256, info).as_ref())?)?,
        attribute(SIGNING_CERTIFICATE_V2, &SigningCertificateV2 { certs: vec![identifier] })?,
    ])?;
    // Signed as a SET OF, whatever the tag that it is sent with (RFC 5652, section 5.4).
    let signature = signer.key.sign(&attributes.to_der()?);
    let tbs = &signer.certificate.tbs_certificate;
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

fn sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ID_SHA256, parameters: None }
}
