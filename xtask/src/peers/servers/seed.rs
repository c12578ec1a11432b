//! The first entries of a log: the place 0 and an empty proof are what some clients cannot read.

use anyhow::ensure;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::digest::{SHA256, digest};
use sandbox::EcdsaKey;
use serde_json::{Value, json};

use super::super::http;
use super::keys::pem;

const ENTRIES: [&str; 2] = ["first", "second"];

pub(super) fn rekor_v1(url: &str) -> anyhow::Result<()> {
    for text in ENTRIES {
        let key = EcdsaKey::generate();
        let hash: String = digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let entry = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hash } },
                "signature": {
                    "content": BASE64_STANDARD.encode(key.sign(text.as_bytes())),
                    "publicKey": { "content": BASE64_STANDARD.encode(pem("PUBLIC KEY", &key.spki())?) },
                },
            },
        });
        create(&format!("{url}/api/v1/log/entries"), &entry)?;
    }
    Ok(())
}

pub(super) fn rekor_v2(url: &str) -> anyhow::Result<()> {
    for text in ENTRIES {
        let key = EcdsaKey::generate();
        let entry = json!({ "hashedRekordRequestV002": {
            "digest": BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())),
            "signature": {
                "content": BASE64_STANDARD.encode(key.sign(text.as_bytes())),
                "verifier": {
                    "publicKey": { "rawBytes": BASE64_STANDARD.encode(key.spki()) },
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        } });
        create(&format!("{url}/api/v2/log/entries"), &entry)?;
    }
    Ok(())
}

fn create(url: &str, entry: &Value) -> anyhow::Result<()> {
    let answer = http::send("POST", url, &[("content-type", "application/json")], entry.to_string().as_bytes())?;
    ensure!(answer.status == 201, "{url} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    Ok(())
}
