//! Timestamps: asked in DER and in JSON, and what is refused.

use cms::signed_data::SignedData;
use der::asn1::{Int, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _, SliceReader};
use reqwest::Response;
use sandbox::Sandbox;
use serde_json::{Value, json};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_tsp::{MessageImprint, TimeStampReq, TspVersion, TstInfo};

use crate::support::*;

const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

fn query(digest: &[u8]) -> TimeStampReq {
    let hash_algorithm = AlgorithmIdentifierOwned { oid: SHA256, parameters: None };
    TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint { hash_algorithm, hashed_message: OctetString::new(digest).unwrap() },
        req_policy: None,
        nonce: None,
        cert_req: false,
        extensions: None,
    }
}

async fn ask(sandbox: &Sandbox, query: &[u8]) -> Response {
    let request = http().post(sandbox.tsa_url()).header("content-type", "application/timestamp-query");
    request.body(query.to_vec()).send().await.unwrap()
}

/// The signed data of a reply, and the information in it.
async fn granted(response: Response) -> (SignedData, TstInfo) {
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/timestamp-reply"));
    let reply = response.bytes().await.unwrap();
    let mut reader = SliceReader::new(&reply).unwrap();
    let (status, token) = der::Reader::sequence(&mut reader, |reader| {
        let status = der::asn1::Any::decode(reader)?;
        Ok((status, cms::content_info::ContentInfo::decode(reader)?))
    })
    .unwrap();
    assert_eq!(status.value(), [2, 1, 0], "granted");
    let signed: SignedData = token.content.decode_as().unwrap();
    let info = signed.encap_content_info.econtent.as_ref().unwrap().value().to_vec();
    (signed, TstInfo::from_der(&info).unwrap())
}

#[tokio::test]
async fn the_nonce_comes_back_and_certificates_when_asked() {
    let sandbox = start();
    let digest = sha256(b"signature");
    let nonce = Int::new(&[0x12, 0x34, 0x56]).unwrap();
    let asked = TimeStampReq { nonce: Some(nonce.clone()), cert_req: true, ..query(&digest) };
    let (signed, info) = granted(ask(&sandbox, &asked.to_der().unwrap()).await).await;
    assert_eq!(info.nonce, Some(nonce));
    assert_eq!(info.message_imprint.hashed_message.as_bytes(), digest);
    assert_eq!(signed.certificates.unwrap().0.len(), 1);
    let attributes = signed.signer_infos.0.get(0).unwrap().signed_attrs.clone().unwrap();
    let mut oids: Vec<_> = attributes.iter().map(|attribute| attribute.oid.to_string()).collect();
    oids.sort();
    let expected =
        ["1.2.840.113549.1.9.16.2.47", "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5"];
    assert_eq!(oids, expected);
}

#[tokio::test]
async fn without_asking_there_is_no_nonce_and_no_certificate() {
    let sandbox = start();
    let (signed, info) = granted(ask(&sandbox, &query(&sha256(b"signature")).to_der().unwrap()).await).await;
    assert_eq!(info.nonce, None);
    // The real authority leaves the set empty, it does not leave it out.
    assert_eq!(signed.certificates.unwrap().0.len(), 0);
}

#[tokio::test]
async fn a_query_in_json_is_answered_in_der() {
    let sandbox = start();
    let body = json!({
        "artifactHash": base64(sha256(b"signature")),
        "hashAlgorithm": "sha256",
        "certificates": true,
        "nonce": 1_193_046,
    });
    let (signed, info) = granted(post(&sandbox.tsa_url(), &body).await).await;
    assert_eq!(info.nonce.unwrap().as_bytes(), [0x12, 0x34, 0x56]);
    assert_eq!(info.message_imprint.hashed_message.as_bytes(), sha256(b"signature"));
    assert!(signed.certificates.is_some());
}

#[tokio::test]
async fn malformed_queries_are_refused() {
    let sandbox = start();
    let good = query(&sha256(b"signature"));
    let mut sha1 = good.clone();
    sha1.message_imprint.hash_algorithm.oid = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
    let short = query(b"short");
    let policy = TimeStampReq { req_policy: Some(ObjectIdentifier::new_unwrap("1.2.3")), ..good };
    for query in [sha1.to_der().unwrap(), short.to_der().unwrap(), policy.to_der().unwrap(), b"junk".to_vec()] {
        let response = ask(&sandbox, &query).await;
        let content_type = header(&response, "content-type").to_owned();
        assert_eq!((response.status().as_u16(), content_type.as_str()), (400, "application/timestamp-reply"));
        assert_eq!(response.json::<Value>().await.unwrap()["code"], 400);
    }
    let empty = ask(&sandbox, b"").await;
    assert_eq!(empty.status(), 422);
    assert_eq!(empty.json::<Value>().await.unwrap()["code"], 602);
    for body in [
        json!({}),
        json!({ "artifactHash": base64(b"short"), "hashAlgorithm": "sha256" }),
        json!({ "artifactHash": base64(sha256(b"")), "hashAlgorithm": "md5" }),
        json!({ "artifactHash": "***", "hashAlgorithm": "sha256" }),
    ] {
        assert_eq!(post(&sandbox.tsa_url(), &body).await.status(), 400, "{body}");
    }
}

#[tokio::test]
async fn other_content_types_and_methods_are_refused() {
    let sandbox = start();
    let response = http().post(sandbox.tsa_url()).body("junk").send().await.unwrap();
    assert_eq!(response.status(), 415);
    assert_eq!(get(&sandbox.tsa_url()).await.status(), 405);
}

#[tokio::test]
async fn the_chain_is_the_one_of_the_trusted_root() {
    let sandbox = start();
    let pem = get(&format!("{}/certchain", sandbox.tsa_url())).await.text().await.unwrap();
    let trusted: Value = serde_json::from_str(sandbox.trusted_root()).unwrap();
    let leaf = &trusted["timestampAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"];
    let (first, _) = pem.split_at(pem.find("-----END CERTIFICATE-----").unwrap() + 25);
    assert_eq!(unbase64(leaf), unpem(first));
}
