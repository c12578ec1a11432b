//! What signers ask of Rekor v2, and what is wrong with other requests.

use sandbox::Sandbox;
use serde_json::{Value, json};

use super::case::{Case, Request};
use super::forge::{self, Signer, base64, sha256, with, without};

const ENTRIES: &str = "/api/v2/log/entries";
const INVALID: &str = "invalid hashedrekord request";
const P256: &str = "PKIX_ECDSA_P256_SHA_256";

pub(super) fn cases(sandbox: &Sandbox) -> anyhow::Result<Vec<Case>> {
    let (signer, other) = (Signer::new(sandbox)?, Signer::new(sandbox)?);
    let mut cases = good(&signer);
    cases.extend(bad_entries(&signer, &other)?);
    cases.extend(bad_forms(&signer));
    Ok(cases)
}

fn entry(signer: &Signer, text: &str) -> Value {
    let verifier = json!({ "x509Certificate": { "rawBytes": base64(&signer.certificate) }, "keyDetails": P256 });
    with_verifier(signer, text, verifier)
}

fn with_key(signer: &Signer, text: &str) -> Value {
    let verifier = json!({ "publicKey": { "rawBytes": base64(signer.key.spki()) }, "keyDetails": P256 });
    with_verifier(signer, text, verifier)
}

fn with_verifier(signer: &Signer, text: &str, verifier: Value) -> Value {
    json!({ "hashedRekordRequestV002": {
        "digest": base64(sha256(text.as_bytes())),
        "signature": { "content": base64(signer.key.sign(text.as_bytes())), "verifier": verifier },
    } })
}

fn post(entry: &Value) -> Request {
    Request::json(ENTRIES, entry).header("accept", "application/json")
}

fn good(signer: &Signer) -> Vec<Case> {
    let duplicate = post(&entry(signer, "with certificate"));
    vec![
        Case::good("hashedrekord entry with a certificate", duplicate.clone()),
        Case::bad("the same entry again", duplicate, 409, "already exists"),
        Case::good("hashedrekord entry with a key", post(&with_key(signer, "with key"))),
        Case::good("health", Request::get("/healthz")),
    ]
}

fn bad_entries(signer: &Signer, other: &Signer) -> anyhow::Result<Vec<Case>> {
    let bad = |row, entry: &Value, words| Case::bad(row, post(entry), 400, words);
    let digest = "/hashedRekordRequestV002/digest";
    let content = "/hashedRekordRequestV002/signature/content";
    let verifier = "/hashedRekordRequestV002/signature/verifier";
    let details = "/hashedRekordRequestV002/signature/verifier/keyDetails";
    let raw = "/hashedRekordRequestV002/signature/verifier/x509Certificate/rawBytes";
    let good = || entry(signer, "bad");
    let both = json!({
        "x509Certificate": { "rawBytes": base64(&signer.certificate) },
        "publicKey": { "rawBytes": base64(signer.key.spki()) },
        "keyDetails": P256,
    });
    let dsse = json!({ "dsseRequestV002": {
        "envelope": forge::envelope(&signer.key, &forge::statement("rekor v2")),
        "verifiers": [{ "x509Certificate": { "rawBytes": base64(&signer.certificate) }, "keyDetails": P256 }],
    } });
    Ok(vec![
        bad("entry: dsse, which is no longer taken", &dsse, "must be hashedrekord"),
        bad("entry: unknown kind", &json!({ "nothingRequestV002": {} }), "unknown field"),
        bad("entry: no kind", &json!({}), "must be hashedrekord"),
        bad("hash: of something else", &with(good(), digest, base64(sha256(b"else")))?, INVALID),
        bad("hash: too short", &with(good(), digest, base64("short"))?, INVALID),
        bad("hash: missing", &without(good(), digest)?, INVALID),
        bad("hash: not base64", &with(good(), digest, "%%%")?, "field digest"),
        bad("signature: by another key", &with(good(), content, base64(other.key.sign(b"bad")))?, INVALID),
        bad("signature: not base64", &with(good(), content, "%%%")?, "field content"),
        bad("signature: not one", &with(good(), content, base64("nonsense"))?, INVALID),
        bad("signature: missing", &without(good(), content)?, INVALID),
        bad("signature: without verifier", &without(good(), verifier)?, INVALID),
        bad("verifier: certificate of another", &with(good(), raw, base64(&other.certificate))?, INVALID),
        bad("verifier: not a certificate", &with(good(), raw, base64("nonsense"))?, INVALID),
        bad("verifier: certificate and key", &with(good(), verifier, both)?, "oneof"),
        bad("verifier: nothing", &with(good(), verifier, json!({ "keyDetails": P256 }))?, INVALID),
        bad("verifier: other algorithm", &with(good(), details, "PKIX_ED25519")?, INVALID),
        bad("verifier: other hash", &with(good(), details, "PKIX_ECDSA_P384_SHA_384")?, INVALID),
        bad("verifier: unknown algorithm", &with(good(), details, "NOTHING")?, "keyDetails"),
        bad("verifier: no algorithm", &without(good(), details)?, INVALID),
        bad(
            "verifier: key not one",
            &with_verifier(
                signer,
                "key",
                json!({ "publicKey": { "rawBytes": base64("nonsense") }, "keyDetails": P256 }),
            ),
            INVALID,
        ),
    ])
}

fn bad_forms(signer: &Signer) -> Vec<Case> {
    let good = |text: &str| post(&entry(signer, text));
    let mut unknown = entry(signer, "unknown");
    unknown["hashedRekordRequestV002"]["unknown"] = json!(true);
    vec![
        Case::bad("body: empty", good("a").body(""), 400, "must be hashedrekord"),
        Case::bad("body: not JSON", good("b").body("nonsense"), 400, "invalid character"),
        Case::bad("body: a list", good("c").body("[]"), 400, "unexpected token"),
        Case::bad("body: cut", good("d").body("{\"hashedRekordRequestV002\":"), 400, "unexpected EOF"),
        Case::bad(
            "body: wrong type of a member",
            good("e").body("{\"hashedRekordRequestV002\":7}"),
            400,
            "unexpected token",
        ),
        Case::bad("body: unknown member", post(&unknown), 400, "unknown field"),
        Case::good("body: followed by garbage", good("g").followed_by(b"garbage")),
        Case::good("body: padded to 100 KiB", good("h").padded(100 << 10)),
        Case::bad("body: too large", good("h").padded(5 << 20), 400, "too large"),
        Case::good("content type: text", good("i").header("content-type", "text/plain")),
        Case::good("content type: none", good("j").without_header("content-type")),
        Case::good("accept: text", good("l").header("accept", "text/plain")),
        Case::bad("method: GET", good("m").method("GET").body(""), 501, "Method Not Allowed"),
        Case::bad("method: PUT", good("m").method("PUT"), 501, "Method Not Allowed"),
        Case::bad("method: DELETE", good("n").method("DELETE").body(""), 501, "Method Not Allowed"),
        Case::bad("path: unknown", Request::get("/api/v2/nothing"), 404, "Not Found"),
        Case::bad("path: the root", Request::get("/"), 404, "Not Found"),
        Case::bad("path: an entry by its name", Request::get(&format!("{ENTRIES}/0")), 404, "Not Found"),
        Case::bad("checkpoint", Request::get("/api/v2/checkpoint"), 501, "not implemented"),
        Case::bad("tile", Request::get("/api/v2/tile/0/000"), 501, "not implemented"),
    ]
}
