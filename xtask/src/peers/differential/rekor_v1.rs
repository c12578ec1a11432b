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
    let bad = |row, entry: &Value| Case::bad(row, post(entry), 400, "");
    let hash = "/spec/data/hash/value";
    let key = "/spec/signature/publicKey/content";
    let signature = "/signatures/0/sig";
    let by_other = base64(other.key.sign(&forge::encoding(&statement)));
    Ok(vec![
        bad("entry: unknown kind", &with(record("kind"), "/kind", "nothing")?),
        bad("entry: unknown version", &with(record("version"), "/apiVersion", "9.9.9")?),
        bad("entry: another kind's content", &with(record("content"), "/kind", "dsse")?),
        bad("entry: no kind", &json!({})),
        bad("hash: of something else", &with(record("hash"), hash, hex(&sha256(b"else")))?),
        bad("hash: wrong algorithm", &with(record("algorithm"), "/spec/data/hash/algorithm", "md5")?),
        bad("hash: too short", &with(record("short"), hash, "abcd")?),
        bad("hash: not hexadecimal", &with(record("hexadecimal"), hash, "z".repeat(64))?),
        bad("signature: by another key", &hashedrekord(other, "another", &certificate)),
        bad("signature: not base64", &with(record("base64"), "/spec/signature/content", "%%%")?),
        bad("signature: not one", &with(record("signature"), "/spec/signature/content", base64("nonsense"))?),
        bad("signature: missing", &with(record("missing"), "/spec/signature", json!({}))?),
        bad("verifier: not PEM", &with(record("pem"), key, base64("nonsense"))?),
        bad("verifier: PEM of nonsense", &with(record("nonsense"), key, base64(nonsense_pem()))?),
        bad("envelope: signature by another key", &enveloped(&with(envelope.clone(), signature, by_other)?)),
        bad("envelope: signature not one", &enveloped(&with(envelope.clone(), signature, base64("nonsense"))?)),
        bad("envelope: other payload", &enveloped(&with(envelope.clone(), "/payload", base64("{}"))?)),
        bad("envelope: no signature", &enveloped(&with(envelope.clone(), "/signatures", json!([]))?)),
        bad("envelope: not JSON", &dsse("nonsense", &certificate)),
        bad("envelope: certificate of another", &dsse(&envelope.to_string(), &other.certificate_pem()?)),
        bad("envelope: no verifier", &with(enveloped(&envelope), "/spec/proposedContent/verifiers", json!([]))?),
        bad("envelope: verifier not PEM", &dsse(&envelope.to_string(), "nonsense")),
    ])
}

fn bad_forms(signer: &Signer) -> anyhow::Result<Vec<Case>> {
    let good = |text: &str| Ok::<_, anyhow::Error>(post(&hashedrekord(signer, text, &signer.certificate_pem()?)));
    let mut unknown = hashedrekord(signer, "unknown", &signer.certificate_pem()?);
    unknown["spec"]["unknown"] = json!(true);
    Ok(vec![
        Case::bad("body: empty", good("a")?.body(""), 400, ""),
        Case::bad("body: not JSON", good("b")?.body("nonsense"), 400, ""),
        Case::bad("body: a list", good("c")?.body("[]"), 400, ""),
        Case::bad("body: cut", good("d")?.body("{\"kind\":"), 400, ""),
        Case::bad("body: wrong type of a member", good("e")?.body("{\"kind\":7}"), 400, ""),
        Case::bad("body: unknown member", post(&unknown), 400, ""),
        Case::good("body: followed by garbage", good("g")?.followed_by(b"garbage")),
        Case::bad("body: too large", good("h")?.body(vec![b' '; 5 << 20]), 400, ""),
        Case::bad("content type: text", good("i")?.header("content-type", "text/plain"), 415, ""),
        Case::bad("content type: none", good("j")?.without_header("content-type"), 415, ""),
        Case::good(
            "content type: with a parameter",
            good("k")?.header("content-type", "application/json; charset=utf-8"),
        ),
        Case::bad("accept: text", good("l")?.header("accept", "text/plain"), 406, ""),
        Case::bad("method: PUT", good("m")?.method("PUT"), 405, ""),
        Case::bad("method: DELETE", good("n")?.method("DELETE").body(""), 405, ""),
        Case::bad("path: unknown", Request::get("/api/v1/nothing"), 404, ""),
        Case::bad("path: the root", Request::get("/"), 404, ""),
    ])
}

fn bad_reads() -> Vec<Case> {
    let entry = |uuid: &str| Request::get(&format!("{ENTRIES}/{uuid}"));
    let index = |query: &str| Request::get(&format!("{ENTRIES}{query}"));
    vec![
        Case::bad("read: no such entry", entry(&"ab".repeat(32)), 404, ""),
        Case::bad("read: not a name of an entry", entry("nonsense"), 400, ""),
        Case::bad("read: no such place", index("?logIndex=99999999"), 404, ""),
        Case::bad("read: place not a number", index("?logIndex=nonsense"), 422, ""),
        Case::bad("read: place below zero", index("?logIndex=-1"), 422, ""),
        Case::bad("read: no place", index(""), 422, ""),
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
