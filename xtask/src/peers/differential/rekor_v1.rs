//! What signers and verifiers ask of Rekor v1, and what is wrong with other requests.

use anyhow::Context as _;
use sandbox::Sandbox;
use serde_json::{Value, json};

use super::super::http::Answer;
use super::case::{Case, Request};
use super::forge::{self, Signer, base64, hex, sha256, with};

const ENTRIES: &str = "/api/v1/log/entries";

pub(super) fn cases(sandbox: &Sandbox) -> anyhow::Result<Vec<Case>> {
    let (signer, other) = (Signer::new(sandbox)?, Signer::new(sandbox)?);
    let mut cases = good(&signer)?;
    cases.extend(bad_entries(&signer, &other)?);
    cases.extend(bad_forms(&signer)?);
    cases.extend(bad_reads());
    Ok(cases)
}

fn dsse(envelope: &str, verifier: &str) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": { "proposedContent": { "envelope": envelope, "verifiers": [base64(verifier)] } },
    })
}

fn hashedrekord(signer: &Signer, text: &str, verifier: &str) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": hex(&sha256(text.as_bytes())) } },
            "signature": {
                "content": base64(signer.key.sign(text.as_bytes())),
                "publicKey": { "content": base64(verifier) },
            },
        },
    })
}

fn post(entry: &Value) -> Request {
    Request::json(ENTRIES, entry).header("accept", "application/json")
}

fn good(signer: &Signer) -> anyhow::Result<Vec<Case>> {
    let certificate = signer.certificate_pem()?;
    let envelope = forge::envelope(&signer.key, &forge::statement("rekor v1")).to_string();
    let wide =
        dsse(&forge::envelope(&signer.key, &forge::statement("columns")).to_string(), &in_one_line(&certificate));
    let duplicate = post(&dsse(&envelope, &certificate));
    Ok(vec![
        Case::good("dsse entry with a certificate", duplicate.clone()),
        Case::good("the entry by its location", Request::get_created(location)),
        Case::good("the entry by its index", Request::get_created(index)),
        Case::bad("the same entry again", duplicate, 409, "already exists"),
        Case::good("dsse entry, certificate in one line", post(&wide)),
        Case::good(
            "hashedrekord entry with a certificate",
            post(&hashedrekord(signer, "with certificate", &certificate)),
        ),
        Case::good("hashedrekord entry with a key", post(&hashedrekord(signer, "with key", &signer.key_pem()?))),
        Case::good("state of the log", Request::get("/api/v1/log")),
        Case::good("public key", Request::get("/api/v1/log/publicKey")),
        Case::good("health", Request::get("/ping")),
    ])
}

fn bad_entries(signer: &Signer, other: &Signer) -> anyhow::Result<Vec<Case>> {
    let certificate = signer.certificate_pem()?;
    let statement = forge::statement("bad");
    let envelope = forge::envelope(&signer.key, &statement);
    let enveloped = |envelope: &Value| dsse(&envelope.to_string(), &certificate);
    let record = |text: &str| hashedrekord(signer, text, &certificate);
    let bad = |row, entry: &Value, words| Case::bad(row, post(entry), 400, words);
    let hash = "/spec/data/hash/value";
    let key = "/spec/signature/publicKey/content";
    let signature = "/signatures/0/sig";
    let by_other = base64(other.key.sign(&forge::encoding(&statement)));
    Ok(vec![
        Case::bad("entry: unknown kind", post(&with(record("kind"), "/kind", "nothing")?), 422, "invalid kind value"),
        bad("entry: unknown version", &with(record("version"), "/apiVersion", "9.9.9")?, "version 9.9.9"),
        bad("entry: another kind's content", &with(record("content"), "/kind", "dsse")?, "must be present"),
        Case::bad("entry: no kind", post(&json!({})), 422, "kind in body is required"),
        bad("hash: of something else", &with(record("hash"), hash, hex(&sha256(b"else")))?, "verifying signature"),
        bad("hash: wrong algorithm", &with(record("algorithm"), "/spec/data/hash/algorithm", "md5")?, "hash.algorithm"),
        bad("hash: too short", &with(record("short"), hash, "abcd")?, "invalid value for hash"),
        bad("hash: not hexadecimal", &with(record("hexadecimal"), hash, "z".repeat(64))?, "invalid byte"),
        bad("signature: by another key", &hashedrekord(other, "another", &certificate), "verifying signature"),
        bad("signature: not base64", &with(record("base64"), "/spec/signature/content", "%%%")?, "illegal base64"),
        bad(
            "signature: not one",
            &with(record("signature"), "/spec/signature/content", base64("nonsense"))?,
            "verifying signature",
        ),
        bad("signature: missing", &with(record("missing"), "/spec/signature", json!({}))?, "missing public key"),
        bad("verifier: not PEM", &with(record("pem"), key, base64("nonsense"))?, "failure decoding PEM"),
        bad("verifier: PEM of nonsense", &with(record("nonsense"), key, base64(nonsense_pem()))?, "structure error"),
        bad(
            "envelope: signature by another key",
            &enveloped(&with(envelope.clone(), signature, by_other)?),
            "could not verify envelope",
        ),
        bad(
            "envelope: signature not one",
            &enveloped(&with(envelope.clone(), signature, base64("nonsense"))?),
            "could not verify envelope",
        ),
        bad(
            "envelope: other payload",
            &enveloped(&with(envelope.clone(), "/payload", base64("{}"))?),
            "could not verify envelope",
        ),
        bad(
            "envelope: no signature",
            &enveloped(&with(envelope.clone(), "/signatures", json!([]))?),
            "1 or more signatures",
        ),
        bad("envelope: not JSON", &dsse("nonsense", &certificate), "invalid character"),
        bad(
            "envelope: certificate of another",
            &dsse(&envelope.to_string(), &other.certificate_pem()?),
            "could not verify envelope",
        ),
        bad(
            "envelope: no verifier",
            &with(enveloped(&envelope), "/spec/proposedContent/verifiers", json!([]))?,
            "at least 1 items",
        ),
        bad("envelope: verifier not PEM", &dsse(&envelope.to_string(), "nonsense"), "failure decoding PEM"),
    ])
}

fn bad_forms(signer: &Signer) -> anyhow::Result<Vec<Case>> {
    let good = |text: &str| Ok::<_, anyhow::Error>(post(&hashedrekord(signer, text, &signer.certificate_pem()?)));
    let mut unknown = hashedrekord(signer, "unknown", &signer.certificate_pem()?);
    unknown["spec"]["unknown"] = json!(true);
    Ok(vec![
        Case::bad("body: empty", good("a")?.body(""), 422, "body is required"),
        Case::bad("body: not JSON", good("b")?.body("nonsense"), 500, "invalid character"),
        Case::bad("body: a list", good("c")?.body("[]"), 500, "cannot unmarshal"),
        Case::bad("body: cut", good("d")?.body("{\"kind\":"), 500, "unexpected EOF"),
        Case::bad("body: wrong type of a member", good("e")?.body("{\"kind\":7}"), 500, "cannot unmarshal"),
        Case::good("body: unknown member", post(&unknown)),
        Case::good("body: followed by garbage", good("g")?.followed_by(b"garbage")),
        Case::good("body: padded to 5 MiB", good("h")?.padded(5 << 20)),
        Case::bad("content type: text", good("i")?.header("content-type", "text/plain"), 415, "media type"),
        Case::bad("content type: none", good("j")?.without_header("content-type"), 415, "media type"),
        Case::good(
            "content type: with a parameter",
            good("k")?.header("content-type", "application/json; charset=utf-8"),
        ),
        Case::good("accept: text", good("l")?.header("accept", "text/plain")),
        Case::bad("method: PUT", good("m")?.method("PUT"), 405, "is not allowed"),
        Case::bad("method: DELETE", good("n")?.method("DELETE").body(""), 405, "is not allowed"),
        Case::bad("path: unknown", Request::get("/api/v1/nothing"), 404, "was not found"),
    ])
}

fn bad_reads() -> Vec<Case> {
    let entry = |uuid: &str| Request::get(&format!("{ENTRIES}/{uuid}"));
    let index = |query: &str| Request::get(&format!("{ENTRIES}{query}"));
    vec![
        Case::bad("read: no such entry", entry(&"ab".repeat(32)), 404, ""),
        Case::bad("read: not a name of an entry", entry("nonsense"), 422, "should match"),
        Case::bad("read: no such place", index("?logIndex=99999999"), 404, ""),
        Case::bad("read: place not a number", index("?logIndex=nonsense"), 422, "type int64"),
        Case::bad("read: place below zero", index("?logIndex=-1"), 422, "greater than"),
        Case::bad("read: no place", index(""), 422, "is required"),
    ]
}

/// The certificate without line breaks inside: Rekor writes it as it likes.
fn in_one_line(pem: &str) -> String {
    let lines: Vec<&str> = pem.lines().collect();
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return String::new() };
    format!("{first}\n{}\n{last}", lines[1..lines.len() - 1].concat())
}

fn nonsense_pem() -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64("nonsense"))
}

fn location(created: &Answer) -> anyhow::Result<String> {
    created.header("location").map(ToOwned::to_owned).context("no location")
}

fn index(created: &Answer) -> anyhow::Result<String> {
    let document = created.json()?;
    let entry = document.as_object().and_then(|entries| entries.values().next()).context("no entry")?;
    Ok(format!("{ENTRIES}?logIndex={}", entry["logIndex"].as_u64().context("no index")?))
}
