//! Rekor v2: entries, their evidence, and what is refused.

use sandbox::{EcdsaKey, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

fn endpoint(sandbox: &Sandbox) -> String {
    format!("{}/api/v2/log/entries", sandbox.rekor_v2_url())
}

async fn proposal(sandbox: &Sandbox) -> Value {
    let signer = Signer::github(sandbox).await;
    hashedrekord_v2(&sha256(b"blob"), &signer.key.sign(b"blob"), &signer.leaf)
}

async fn is_refused(sandbox: &Sandbox, proposal: &Value) {
    let response = post(&endpoint(sandbox), proposal).await;
    assert_eq!(response.status(), 400, "{proposal}");
    assert_eq!(response.json::<Value>().await.unwrap()["code"], 3);
}

#[tokio::test]
async fn an_entry_comes_back_with_proof_and_checkpoint_and_without_time() {
    let sandbox = start();
    let proposal = proposal(&sandbox).await;
    let response = post(&endpoint(&sandbox), &proposal).await;
    assert_eq!(response.status(), 201);
    let entry: Value = response.json().await.unwrap();
    assert_eq!(entry["logIndex"], "2");
    assert_eq!(entry["integratedTime"], "0");
    assert_eq!(entry["kindVersion"], json!({ "kind": "hashedrekord", "version": "0.0.2" }));
    assert_eq!(entry["inclusionProof"]["treeSize"], "3");
    assert!(entry["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap().starts_with("localhost\n3\n"));
    let sent = &proposal["hashedRekordRequestV002"];
    let expected = format!(
        concat!(
            r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"#,
            r#""data":{{"algorithm":"SHA2_256","digest":{}}},"signature":{{"content":{},"verifier":{{"#,
            r#""keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{{"rawBytes":{}}}}}}}}}}}}}"#
        ),
        sent["digest"], sent["signature"]["content"], sent["signature"]["verifier"]["x509Certificate"]["rawBytes"],
    );
    assert_eq!(String::from_utf8(unbase64(&entry["canonicalizedBody"])).unwrap(), expected);
}

#[tokio::test]
async fn a_bare_key_is_accepted() {
    let sandbox = start();
    let key = EcdsaKey::generate();
    let mut proposal = hashedrekord_v2(&sha256(b"blob"), &key.sign(b"blob"), b"");
    let verifier = &mut proposal["hashedRekordRequestV002"]["signature"]["verifier"];
    *verifier = json!({ "publicKey": { "rawBytes": base64(key.spki()) }, "keyDetails": "PKIX_ECDSA_P256_SHA_256" });
    assert_eq!(post(&endpoint(&sandbox), &proposal).await.status(), 201);
}

#[tokio::test]
async fn the_same_entry_again_is_a_conflict_that_says_where() {
    let sandbox = start();
    let proposal = proposal(&sandbox).await;
    post(&endpoint(&sandbox), &proposal).await;
    let again = post(&endpoint(&sandbox), &proposal).await;
    assert_eq!((again.status().as_u16(), header(&again, "x-log-index")), (409, "2"));
    assert_eq!(again.json::<Value>().await.unwrap()["code"], 6);
}

#[tokio::test]
async fn entries_of_other_types_are_refused() {
    let sandbox = start();
    let good = proposal(&sandbox).await;
    is_refused(&sandbox, &json!({ "dsseRequestV002": good["hashedRekordRequestV002"] })).await;
    is_refused(&sandbox, &json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {} })).await;
    is_refused(&sandbox, &json!({})).await;
    is_refused(&sandbox, &json!([])).await;
}

#[tokio::test]
async fn wrong_signatures_digests_and_algorithms_are_refused() {
    let sandbox = start();
    let good = proposal(&sandbox).await;
    let stranger = EcdsaKey::generate();
    for (pointer, value) in [
        ("/digest", json!(base64(sha256(b"another")))),
        ("/digest", json!(base64(b"short"))),
        ("/digest", json!("***")),
        ("/signature/content", json!(base64(stranger.sign(b"blob")))),
        ("/signature/content", json!("")),
        ("/signature/verifier/keyDetails", json!("PKIX_ED25519")),
        ("/signature/verifier/x509Certificate/rawBytes", json!(base64("junk"))),
        ("/signature/verifier/x509Certificate", Value::Null),
    ] {
        let mut proposal = good.clone();
        *proposal["hashedRekordRequestV002"].pointer_mut(pointer).unwrap() = value;
        is_refused(&sandbox, &proposal).await;
    }
    let response = http().post(endpoint(&sandbox)).body("{").send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(get(&endpoint(&sandbox)).await.status(), 501);
}

#[tokio::test]
async fn the_checkpoint_covers_the_entries_so_far() {
    let sandbox = start();
    let url = format!("{}/api/v2/checkpoint", sandbox.rekor_v2_url());
    assert!(get(&url).await.text().await.unwrap().starts_with("localhost\n2\n"));
    post(&endpoint(&sandbox), &proposal(&sandbox).await).await;
    assert!(get(&url).await.text().await.unwrap().starts_with("localhost\n3\n"));
}

#[tokio::test]
async fn the_client_of_the_rust_library_accepts_the_answers() {
    crate::bundle::provider();
    let sandbox = start();
    let client = sigstore_rekor::RekorV2Client::builder(sandbox.rekor_v2_url())
        .with_http_client(http().clone())
        .build()
        .unwrap();
    let entry = serde_json::from_value(proposal(&sandbox).await).unwrap();
    client.create_entry(entry).await.unwrap();
    assert_eq!(client.get_checkpoint().await.unwrap().tree_size(), 3);
}
