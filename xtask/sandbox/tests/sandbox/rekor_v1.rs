//! Rekor v1: entries, their evidence, and what is refused.

use sandbox::{EcdsaKey, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

fn endpoint(sandbox: &Sandbox) -> String {
    format!("{}/api/v1/log/entries", sandbox.rekor_v1_url())
}

fn only(answer: &Value) -> (&String, &Value) {
    answer.as_object().unwrap().iter().next().unwrap()
}

fn hashedrekord(key: &EcdsaKey, message: &[u8]) -> Value {
    let hash: String = sha256(message).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hash } },
            "signature": {
                "content": base64(key.sign(message)),
                "publicKey": { "content": base64(pem("PUBLIC KEY", &key.spki())) },
            },
        },
    })
}

async fn is_refused(sandbox: &Sandbox, proposal: &Value) {
    let response = post(&endpoint(sandbox), proposal).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], 400);
}

#[tokio::test]
async fn an_entry_is_kept_in_canonical_form_with_its_evidence() {
    let sandbox = start();
    let signer = Signer::github(&sandbox).await;
    let envelope = envelope(&signer.key, b"{}");
    let mut proposal = dsse_entry(&envelope.document, &signer.leaf);
    // Without the final newline, which the log adds.
    proposal["spec"]["proposedContent"]["verifiers"] = json!([base64(pem("CERTIFICATE", &signer.leaf).trim_end())]);
    let response = post(&endpoint(&sandbox), &proposal).await;
    assert_eq!(response.status(), 201);
    let location = header(&response, "location").to_owned();
    let answer: Value = response.json().await.unwrap();
    let (uuid, entry) = only(&answer);
    assert_eq!(location, format!("/api/v1/log/entries/{uuid}"));
    assert_eq!(uuid.len(), 80);
    let body = String::from_utf8(unbase64(&entry["body"])).unwrap();
    assert!(
        body.starts_with(
            r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":""#
        )
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    let hex = |bytes: &[u8]| sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(body["spec"]["envelopeHash"]["value"], hex(envelope.document.to_string().as_bytes()));
    assert_eq!(body["spec"]["payloadHash"]["value"], hex(b"{}"));
    assert_eq!(unbase64(&body["spec"]["signatures"][0]["verifier"]), pem("CERTIFICATE", &signer.leaf).into_bytes());
    let proof = &entry["verification"]["inclusionProof"];
    assert_eq!((&proof["logIndex"], &proof["treeSize"]), (&json!(2), &json!(3)));
    assert!(entry["logIndex"].as_u64() > proof["logIndex"].as_u64(), "older shards come first");
    let checkpoint = proof["checkpoint"].as_str().unwrap();
    assert!(checkpoint.starts_with("127.0.0.1 - "));
    assert!(checkpoint.contains("\n\n\u{2014} 127.0.0.1 "));
}

#[tokio::test]
async fn a_hashedrekord_with_a_bare_key_is_accepted() {
    let sandbox = start();
    let response = post(&endpoint(&sandbox), &hashedrekord(&EcdsaKey::generate(), b"blob")).await;
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn the_same_entry_again_is_a_conflict_that_says_where() {
    let sandbox = start();
    let proposal = hashedrekord(&EcdsaKey::generate(), b"blob");
    let first: Value = post(&endpoint(&sandbox), &proposal).await.json().await.unwrap();
    let again = post(&endpoint(&sandbox), &proposal).await;
    assert_eq!(again.status(), 409);
    let found = get(&format!("{}{}", sandbox.rekor_v1_url(), header(&again, "location"))).await;
    let found: Value = found.json().await.unwrap();
    assert_eq!(only(&found).1["body"], only(&first).1["body"]);
    assert_eq!(only(&found).1["integratedTime"], only(&first).1["integratedTime"]);
}

#[tokio::test]
async fn an_entry_is_found_by_uuid_by_leaf_and_by_index() {
    let sandbox = start();
    let first: Value =
        post(&endpoint(&sandbox), &hashedrekord(&EcdsaKey::generate(), b"blob")).await.json().await.unwrap();
    let (uuid, entry) = only(&first);
    let index = &entry["logIndex"];
    for path in [format!("/{uuid}"), format!("/{}", &uuid[16..]), format!("?logIndex={index}")] {
        let response = get(&format!("{}{path}", endpoint(&sandbox))).await;
        assert_eq!(response.status(), 200, "{path}");
        let found: Value = response.json().await.unwrap();
        assert_eq!(only(&found).0, uuid);
    }
    for (path, status) in [
        (format!("/{}", "0".repeat(64)), 404),
        ("/junk".to_owned(), 422),
        ("?logIndex=1".to_owned(), 404),
        ("?logIndex=99999999999".to_owned(), 404),
        ("?logIndex=-1".to_owned(), 422),
        ("?logIndex=junk".to_owned(), 422),
        (String::new(), 422),
    ] {
        assert_eq!(get(&format!("{}{path}", endpoint(&sandbox))).await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn signatures_that_do_not_verify_are_refused() {
    let sandbox = start();
    let signer = Signer::github(&sandbox).await;
    let stranger = EcdsaKey::generate();
    let by_stranger = envelope(&stranger, b"{}");
    is_refused(&sandbox, &dsse_entry(&by_stranger.document, &signer.leaf)).await;
    let mut changed = envelope(&signer.key, b"{}").document;
    changed["payload"] = json!(base64(b"{ }"));
    is_refused(&sandbox, &dsse_entry(&changed, &signer.leaf)).await;
    let mut unsigned = envelope(&signer.key, b"{}").document;
    unsigned["signatures"] = json!([]);
    is_refused(&sandbox, &dsse_entry(&unsigned, &signer.leaf)).await;
    let mut two = envelope(&signer.key, b"{}").document;
    two["signatures"] = json!([two["signatures"][0], by_stranger.document["signatures"][0]]);
    is_refused(&sandbox, &dsse_entry(&two, &signer.leaf)).await;
    let mut other_blob = hashedrekord(&stranger, b"blob");
    other_blob["spec"]["data"] = hashedrekord(&stranger, b"another")["spec"]["data"].clone();
    is_refused(&sandbox, &other_blob).await;
}

#[tokio::test]
async fn other_kinds_and_malformed_proposals_are_refused() {
    let sandbox = start();
    let good = hashedrekord(&EcdsaKey::generate(), b"blob");
    let with = |pointer: &str, value: Value| {
        let mut proposal = good.clone();
        *proposal.pointer_mut(pointer).unwrap() = value;
        proposal
    };
    for proposal in [
        with("/kind", json!("intoto")),
        with("/kind", json!("dsse")),
        with("/apiVersion", json!("0.0.2")),
        with("/spec/data/hash/algorithm", json!("sha1")),
        with("/spec/data/hash/value", json!("00")),
        with("/spec/signature/content", json!("***")),
        with("/spec/signature/publicKey/content", json!(base64("junk"))),
    ] {
        is_refused(&sandbox, &proposal).await;
    }
    // The real log's own sense of what is whose mistake.
    for (proposal, status, code) in [
        (with("/kind", json!("nothing")).to_string(), 422, 422),
        ("{}".to_owned(), 422, 602),
        (String::new(), 422, 602),
        ("[]".to_owned(), 500, 500),
        ("junk".to_owned(), 500, 500),
    ] {
        let request = http().post(endpoint(&sandbox)).header("content-type", "application/json");
        let response = request.body(proposal.clone()).send().await.unwrap();
        assert_eq!(response.status(), status, "{proposal}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], code, "{proposal}");
    }
    let response = http().post(endpoint(&sandbox)).body(good.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 415);
    let response = http().delete(endpoint(&sandbox)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET,POST"));
}

#[tokio::test]
async fn the_log_tells_its_size_and_key() {
    let sandbox = start();
    let info: Value = get(&format!("{}/api/v1/log", sandbox.rekor_v1_url())).await.json().await.unwrap();
    assert_eq!(info["treeSize"], 2, "two entries are there from the start");
    assert!(info["signedTreeHead"].as_str().unwrap().starts_with("127.0.0.1 - "));
    let key = get(&format!("{}/api/v1/log/publicKey", sandbox.rekor_v1_url())).await.text().await.unwrap();
    let trusted: Value = serde_json::from_str(sandbox.trusted_root()).unwrap();
    assert_eq!(unbase64(&trusted["tlogs"][0]["publicKey"]["rawBytes"]), unpem(&key));
    assert_eq!(unbase64(&trusted["tlogs"][0]["logId"]["keyId"]), sha256(&unpem(&key)));
}

#[tokio::test]
async fn the_client_of_the_rust_library_accepts_the_answers() {
    crate::bundle::provider();
    let sandbox = start();
    let signer = Signer::github(&sandbox).await;
    let envelope = envelope(&signer.key, b"{}");
    let client =
        sigstore_rekor::RekorClient::builder(sandbox.rekor_v1_url()).with_http_client(http().clone()).build().unwrap();
    let entry = serde_json::from_value(dsse_entry(&envelope.document, &signer.leaf)).unwrap();
    let logged = client.create_dsse_entry(entry).await.unwrap();
    logged.to_bundle_entry(sigstore_types::KindVersion::DsseV001).unwrap();
    assert_eq!(client.get_entry_by_index(logged.log_index).await.unwrap().uuid, logged.uuid);
}
