//! Certificates: what they say, and who gets none.

use der::{Decode as _, Encode as _};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Clock, EcdsaKey, GithubIdentity, Sandbox};
use serde_json::{Value, json};
use x509_cert::Certificate;

use crate::support::*;

fn endpoint(sandbox: &Sandbox) -> String {
    format!("{}/api/v2/signingCert", sandbox.fulcio_url())
}

/// Status and message of an answer.
async fn ask(sandbox: &Sandbox, body: &Value) -> (u16, Value) {
    let response = post(&endpoint(sandbox), body).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn is_refused(sandbox: &Sandbox, body: &Value, message: &str) {
    let (status, answer) = ask(sandbox, body).await;
    assert_eq!((status, &answer["code"]), (400, &json!(3)), "{answer}");
    assert_eq!(answer["message"], message);
}

const BAD_TOKEN: &str = "There was an error processing the identity token";
const BAD_PROOF: &str = "The signature supplied in the request could not be verified";
const BAD_KEY: &str = "The public key supplied in the request could not be parsed";

fn extension(certificate: &Certificate, oid: &str) -> Option<Vec<u8>> {
    let extensions = certificate.tbs_certificate.extensions.as_ref().unwrap();
    let found = extensions.iter().find(|extension| extension.extn_id.to_string() == oid)?;
    Some(found.extn_value.as_bytes().to_vec())
}

fn claim(certificate: &Certificate, arc: u32) -> Option<String> {
    let value = extension(certificate, &format!("1.3.6.1.4.1.57264.1.{arc}"))?;
    Some(if arc < 8 { String::from_utf8(value).unwrap() } else { String::from_der(&value).unwrap() })
}

#[tokio::test]
async fn a_certificate_has_the_claims_of_the_job() {
    let sandbox = start();
    let identity = GithubIdentity { environment: Some("release".to_owned()), ..GithubIdentity::default() };
    let signer = Signer::of(&sandbox, &sandbox.github_token(&identity), &identity.subject()).await;
    let leaf = Certificate::from_der(&signer.leaf).unwrap();
    let workflow = "octo/app/.github/workflows/release.yml@refs/heads/main";
    let url = |path: &str| format!("https://github.com/{path}");
    for (arc, expected) in [
        (1, sandbox.oidc_issuer()),
        (2, "push".to_owned()),
        (3, identity.sha.clone()),
        (4, "release".to_owned()),
        (5, "octo/app".to_owned()),
        (6, "refs/heads/main".to_owned()),
        (8, sandbox.oidc_issuer()),
        (9, url(workflow)),
        (10, identity.sha.clone()),
        (11, "github-hosted".to_owned()),
        (12, url("octo/app")),
        (13, identity.sha.clone()),
        (14, "refs/heads/main".to_owned()),
        (15, identity.repository_id.clone()),
        (16, url("octo")),
        (17, identity.owner_id.clone()),
        (18, url(workflow)),
        (19, identity.sha.clone()),
        (20, "push".to_owned()),
        (21, url("octo/app/actions/runs/9876543210/attempts/1")),
        (22, "public".to_owned()),
        (23, "release".to_owned()),
        (24, "repo:octo/app:environment:release".to_owned()),
    ] {
        assert_eq!(claim(&leaf, arc), Some(expected), "{arc}");
    }
    let name = extension(&leaf, "2.5.29.17").unwrap();
    assert!(name.ends_with(url(workflow).as_bytes()));
    assert!(leaf.tbs_certificate.subject.0.is_empty());
    let validity = leaf.tbs_certificate.validity;
    let life = validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration();
    assert_eq!(life.as_secs(), 600);
}

#[tokio::test]
async fn a_job_without_environment_has_no_such_claim() {
    let sandbox = start();
    let leaf = Certificate::from_der(&Signer::github(&sandbox).await.leaf).unwrap();
    assert_eq!(claim(&leaf, 23), None);
}

#[tokio::test]
async fn a_token_in_the_authorization_header_is_taken() {
    let sandbox = start();
    let key = EcdsaKey::generate();
    let mut body = certificate_request("", &key, "mona@example.com");
    body.as_object_mut().unwrap().remove("credentials");
    let token = sandbox.email_token("mona@example.com");
    let response = http().post(endpoint(&sandbox)).bearer_auth(token).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_certificate_signing_request_is_taken() {
    let sandbox = start();
    let (key, other) = (EcdsaKey::generate(), EcdsaKey::generate());
    let token = sandbox.email_token("mona@example.com");
    let body = |csr: &[u8]| {
        let pem = pem("CERTIFICATE REQUEST", csr);
        json!({ "credentials": { "oidcIdentityToken": token }, "certificateSigningRequest": base64(pem) })
    };
    let (status, answer) = ask(&sandbox, &body(&signing_request(&key, &key))).await;
    assert_eq!(status, 200);
    let leaf = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0].as_str().unwrap();
    let leaf = Certificate::from_der(&unpem(leaf)).unwrap();
    assert_eq!(leaf.tbs_certificate.subject_public_key_info.to_der().unwrap(), key.spki());
    is_refused(&sandbox, &body(&signing_request(&key, &other)), BAD_PROOF).await;
    is_refused(&sandbox, &body(b"junk"), "The certificate signing request could not be parsed").await;
}

/// A request for the key, signed by another (or the same) one.
fn signing_request(key: &EcdsaKey, signer: &EcdsaKey) -> Vec<u8> {
    use x509_cert::request::{CertReq, CertReqInfo, Version};
    let info = CertReqInfo {
        version: Version::V1,
        subject: Default::default(),
        public_key: x509_cert::spki::SubjectPublicKeyInfoOwned::from_der(&key.spki()).unwrap(),
        attributes: Default::default(),
    };
    let signature = signer.sign(&info.to_der().unwrap());
    let request = CertReq {
        info,
        algorithm: x509_cert::spki::AlgorithmIdentifierOwned {
            oid: der::asn1::ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
            parameters: None,
        },
        signature: der::asn1::BitString::from_bytes(&signature).unwrap(),
    };
    request.to_der().unwrap()
}

#[tokio::test]
async fn proof_of_possession_by_another_key_or_over_another_name_is_refused() {
    let sandbox = start();
    let identity = GithubIdentity::default();
    let token = sandbox.github_token(&identity);
    let (key, other) = (EcdsaKey::generate(), EcdsaKey::generate());
    is_refused(&sandbox, &certificate_request(&token, &key, "repo:octo/app:ref:refs/heads/other"), BAD_PROOF).await;
    let mut stolen = certificate_request(&token, &key, &identity.subject());
    stolen["publicKeyRequest"]["proofOfPossession"] = json!(base64(other.sign(identity.subject().as_bytes())));
    is_refused(&sandbox, &stolen, BAD_PROOF).await;
    let mut none = certificate_request(&token, &key, &identity.subject());
    none["publicKeyRequest"]["proofOfPossession"] = json!("");
    is_refused(&sandbox, &none, BAD_PROOF).await;
}

#[tokio::test]
async fn tokens_that_are_expired_early_foreign_or_for_others_are_refused() {
    let sandbox = start();
    let identity = GithubIdentity::default();
    let key = EcdsaKey::generate();
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    for (claim, value) in [
        ("exp", json!((now - hour).as_second())),
        ("nbf", json!((now + hour).as_second())),
        ("iss", json!("http://127.0.0.1:1/gha")),
        ("aud", json!("https://github.com/octo")),
        ("aud", json!(["someone", "else"])),
        ("sub", json!("")),
        ("exp", Value::Null),
    ] {
        let mut claims = sandbox.github_claims(&identity);
        claims[claim] = value;
        let body = certificate_request(&sandbox.sign_token(&claims), &key, &identity.subject());
        is_refused(&sandbox, &body, BAD_TOKEN).await;
    }
    let mut forged = sandbox.github_token(&identity);
    forged.pop();
    for token in [forged.as_str(), "", "junk", "a.b.c"] {
        is_refused(&sandbox, &certificate_request(token, &key, &identity.subject()), BAD_TOKEN).await;
    }
}

#[tokio::test]
async fn an_audience_among_several_is_accepted() {
    let sandbox = start();
    let mut claims = sandbox.email_claims("mona@example.com");
    claims["aud"] = json!(["other", "sigstore"]);
    let body = certificate_request(&sandbox.sign_token(&claims), &EcdsaKey::generate(), "mona@example.com");
    assert_eq!(ask(&sandbox, &body).await.0, 200);
}

#[tokio::test]
async fn an_unverified_email_is_refused() {
    let sandbox = start();
    let mut claims = sandbox.email_claims("mona@example.com");
    claims["email_verified"] = json!(false);
    let body = certificate_request(&sandbox.sign_token(&claims), &EcdsaKey::generate(), "mona@example.com");
    is_refused(&sandbox, &body, BAD_TOKEN).await;
}

#[tokio::test]
async fn a_token_without_a_claim_that_the_certificate_needs_is_refused() {
    let sandbox = start();
    let identity = GithubIdentity::default();
    let mut claims = sandbox.github_claims(&identity);
    claims.as_object_mut().unwrap().remove("job_workflow_sha");
    let body = certificate_request(&sandbox.sign_token(&claims), &EcdsaKey::generate(), &identity.subject());
    is_refused(&sandbox, &body, "the token has no claim job_workflow_sha").await;
}

#[tokio::test]
async fn unreadable_keys_and_bodies_are_refused() {
    let sandbox = start();
    let token = sandbox.email_token("mona@example.com");
    let mut body = certificate_request(&token, &EcdsaKey::generate(), "mona@example.com");
    for content in ["", "junk", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        body["publicKeyRequest"]["publicKey"]["content"] = json!(content);
        is_refused(&sandbox, &body, BAD_KEY).await;
    }
    let response = http().post(endpoint(&sandbox)).body("{").send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(get(&endpoint(&sandbox)).await.status(), 501);
    assert_eq!(get(&format!("{}/nothing", sandbox.fulcio_url())).await.status(), 404);
}

#[tokio::test]
async fn the_clock_decides_about_tokens_and_certificates() {
    let then = Timestamp::now() - SignedDuration::from_hours(48);
    let sandbox = start_with(|options| options.clock = Clock::fixed(then));
    let leaf = Certificate::from_der(&Signer::github(&sandbox).await.leaf).unwrap();
    let since = leaf.tbs_certificate.validity.not_before.to_unix_duration().as_secs();
    assert_eq!(i64::try_from(since).unwrap(), then.as_second());
}

#[tokio::test]
async fn the_trust_bundle_is_the_chain_of_certificates() {
    let sandbox = start();
    let bundle: Value = get(&format!("{}/api/v2/trustBundle", sandbox.fulcio_url())).await.json().await.unwrap();
    let pem = get(&format!("{}/api/v1/rootCert", sandbox.fulcio_url())).await.text().await.unwrap();
    let [intermediate, root] = [0, 1].map(|at| bundle["chains"][0]["certificates"][at].as_str().unwrap());
    assert_eq!(pem, format!("{intermediate}{root}").trim_end());
    let trusted: Value = serde_json::from_str(sandbox.trusted_root()).unwrap();
    let chain = &trusted["certificateAuthorities"][0]["certChain"]["certificates"];
    assert_eq!(unbase64(&chain[0]["rawBytes"]), unpem(intermediate));
    assert_eq!(unbase64(&chain[1]["rawBytes"]), unpem(root));
}

#[tokio::test]
async fn the_configuration_names_every_issuer() {
    let sandbox = start();
    let answer: Value = get(&format!("{}/api/v2/configuration", sandbox.fulcio_url())).await.json().await.unwrap();
    let issuers: Vec<_> = answer["issuers"].as_array().unwrap().iter().map(|one| one["issuerUrl"].clone()).collect();
    let expected = [sandbox.email_issuer(), sandbox.oidc_issuer(), sandbox.buildkite_issuer()];
    assert_eq!(issuers, expected.map(|issuer| json!(issuer)));
    let health = get(&format!("{}/healthz", sandbox.fulcio_url())).await;
    assert_eq!(health.json::<Value>().await.unwrap(), json!({ "status": "SERVING" }));
}

#[tokio::test]
async fn the_older_endpoint_answers_201_with_pem() {
    let sandbox = start();
    let key = EcdsaKey::generate();
    let url = format!("{}/api/v1/signingCert", sandbox.fulcio_url());
    let body = json!({
        "publicKey": { "content": base64(key.spki()), "algorithm": "ecdsa" },
        "signedEmailAddress": base64(key.sign(b"mona@example.com")),
    });
    let token = sandbox.email_token("mona@example.com");
    let response = http().post(&url).bearer_auth(token).json(&body).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (201, "application/pem-certificate-chain")
    );
    assert_eq!(response.text().await.unwrap().matches("BEGIN CERTIFICATE").count(), 3);
    let refused = post(&url, &body).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], 3);
}
