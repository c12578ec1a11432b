//! What signers ask of the timestamp authority, and what is wrong with other requests.

use ring::digest::{SHA384, SHA512, digest};
use serde_json::{Value, json};

use super::case::{Case, Request};
use super::forge::{base64, sha256};

const PATH: &str = "/api/v1/timestamp";
const QUERY: &str = "application/timestamp-query";

/// Object identifiers as DER.
const OF_SHA256: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const OF_SHA384: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const OF_SHA512: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
const OF_SHA1: &[u8] = &[0x06, 5, 0x2b, 0x0e, 3, 2, 0x1a];
const OF_MD5: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5];
/// Sigstore's policy, 1.3.6.1.4.1.57264.2, and one of nobody.
const POLICY: &[u8] = &[0x06, 9, 0x2b, 6, 1, 4, 1, 0x83, 0xbf, 0x30, 2];
const OTHER_POLICY: &[u8] = &[0x06, 4, 0x2a, 3, 4, 5];

/// A `TimeStampReq` (RFC 3161, section 2.4.1) in the making.
struct Query {
    version: u8,
    algorithm: &'static [u8],
    digest: Vec<u8>,
    /// Policy, nonce, whether certificates are wanted, extensions: each DER already.
    further: Vec<u8>,
}

impl Query {
    fn of(algorithm: &'static [u8], digest: impl Into<Vec<u8>>) -> Self {
        Self { version: 1, algorithm, digest: digest.into(), further: Vec::new() }
    }

    fn sha256() -> Self {
        Self::of(OF_SHA256, sha256(b"signature"))
    }

    fn with(mut self, der: &[u8]) -> Self {
        self.further.extend_from_slice(der);
        self
    }

    fn der(&self) -> Vec<u8> {
        let algorithm = element(0x30, &[self.algorithm, &[5, 0]].concat());
        let imprint = element(0x30, &[algorithm, element(4, &self.digest)].concat());
        element(0x30, &[&[2, 1, self.version][..], &imprint, &self.further].concat())
    }

    fn request(&self) -> Request {
        Request::post(PATH, QUERY, self.der()).header("accept", "application/timestamp-reply")
    }
}

const FAILED: &str = "Error generating timestamp response";
const LENGTH: &str = "Message digest has incorrect length";
const NONCE: &[u8] = &[2, 8, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x08];
const WITH_CERTIFICATES: &[u8] = &[1, 1, 0xff];

pub(super) fn cases() -> anyhow::Result<Vec<Case>> {
    let mut cases = good();
    cases.extend(bad_queries());
    cases.extend(bad_forms());
    Ok(cases)
}

fn json_query() -> Value {
    json!({ "artifactHash": base64(sha256(b"signature")), "hashAlgorithm": "sha256" })
}

fn json_with(name: &str, value: impl Into<Value>) -> Value {
    let mut query = json_query();
    query[name] = value.into();
    query
}

fn post(query: &Value) -> Request {
    Request::json(PATH, query)
}

fn good() -> Vec<Case> {
    let sha384 = Query::of(OF_SHA384, digest(&SHA384, b"signature").as_ref());
    let sha512 = Query::of(OF_SHA512, digest(&SHA512, b"signature").as_ref());
    vec![
        Case::good("timestamp of SHA-256", Query::sha256().request()),
        Case::good("timestamp with nonce", Query::sha256().with(NONCE).request()),
        Case::good("timestamp with certificates", Query::sha256().with(WITH_CERTIFICATES).request()),
        Case::good("timestamp with all", Query::sha256().with(POLICY).with(NONCE).with(WITH_CERTIFICATES).request()),
        Case::good("timestamp of SHA-384", sha384.request()),
        Case::good("timestamp of SHA-512", sha512.request()),
        Case::good("timestamp by JSON", post(&json_query())),
        Case::good("timestamp by JSON with nonce", post(&json_with("nonce", 1234567890123_u64))),
        Case::good("timestamp by JSON with certificates", post(&json_with("certificates", true))),
        Case::good("certificates", Request::get("/api/v1/timestamp/certchain")),
        Case::good("health", Request::get("/ping")),
    ]
}

fn bad_queries() -> Vec<Case> {
    let bad = |row, request, words| Case::bad(row, request, 400, words);
    let mut version_2 = Query::sha256();
    version_2.version = 2;
    let extension = |critical: &[u8]| {
        let extension = element(0x30, &[&[0x06, 3, 0x2a, 3, 4][..], critical, &[4, 2, 5, 0]].concat());
        Query::sha256().with(&element(0xa0, &extension))
    };
    vec![
        bad("hash: SHA-1", Query::of(OF_SHA1, vec![1; 20]).request(), "Weak hash algorithm"),
        bad("hash: MD5", Query::of(OF_MD5, vec![1; 16]).request(), FAILED),
        bad("hash: unknown algorithm", Query::of(OTHER_POLICY, vec![1; 32]).request(), FAILED),
        bad("hash: too short", Query::of(OF_SHA256, vec![1; 31]).request(), LENGTH),
        bad("hash: too long", Query::of(OF_SHA256, vec![1; 33]).request(), LENGTH),
        bad("hash: empty", Query::of(OF_SHA256, vec![]).request(), FAILED),
        bad("policy: another", Query::sha256().with(OTHER_POLICY).request(), "unaccepted policy"),
        Case::good("version: 2", version_2.request()),
        bad("extension: critical", extension(WITH_CERTIFICATES).request(), "unaccepted extension"),
        bad("extension: not critical", extension(&[]).request(), "unaccepted extension"),
        bad("JSON: unknown algorithm", post(&json_with("hashAlgorithm", "md5")), FAILED),
        bad("JSON: SHA-1", post(&json_with("hashAlgorithm", "sha1")), "Weak hash algorithm"),
        bad("JSON: hash too short", post(&json_with("artifactHash", base64("short"))), LENGTH),
        bad("JSON: hash not base64", post(&json_with("artifactHash", "%%%")), FAILED),
        bad("JSON: no hash", post(&json!({ "hashAlgorithm": "sha256" })), LENGTH),
        bad("JSON: no algorithm", post(&json!({ "artifactHash": base64(sha256(b"signature")) })), FAILED),
        bad("JSON: nonce not a number", post(&json_with("nonce", "nonsense")), FAILED),
        bad("JSON: policy not one", post(&json_with("tsaPolicyOID", "nonsense")), "OID"),
        Case::good("JSON: unknown member", post(&json_with("unknown", true))),
    ]
}

fn bad_forms() -> Vec<Case> {
    let good = || Query::sha256().request();
    vec![
        Case::bad("body: empty", good().body(""), 422, "body is required"),
        Case::bad("body: not DER", good().body("nonsense"), 400, FAILED),
        Case::bad("body: cut", good().body(&Query::sha256().der()[..20]), 400, FAILED),
        Case::bad("body: followed by garbage", good().followed_by(b"garbage"), 400, FAILED),
        Case::bad("body: too large", good().body(vec![b' '; 5 << 20]), 400, FAILED),
        Case::bad("JSON: empty", post(&json_query()).body(""), 422, "body is required"),
        Case::bad("JSON: not JSON", post(&json_query()).body("nonsense"), 400, FAILED),
        Case::bad("JSON: a list", post(&json_query()).body("[]"), 400, FAILED),
        Case::bad("JSON: followed by garbage", post(&json_query()).followed_by(b"garbage"), 400, FAILED),
        Case::bad("content type: text", good().header("content-type", "text/plain"), 415, "media type"),
        Case::bad("content type: none", good().without_header("content-type"), 415, "media type"),
        Case::bad("content type: JSON", good().header("content-type", "application/json"), 400, FAILED),
        Case::bad("accept: text", good().header("accept", "text/plain"), 500, ""),
        Case::bad("accept: JSON", good().header("accept", "application/json"), 500, ""),
        Case::good("accept: anything", good().header("accept", "*/*")),
        Case::bad("method: GET", good().method("GET").body(""), 405, "is not allowed"),
        Case::bad("method: PUT", good().method("PUT"), 405, "is not allowed"),
        Case::bad("method: DELETE", good().method("DELETE").body(""), 405, "is not allowed"),
        Case::bad("path: unknown", Request::get("/api/v1/nothing"), 404, "was not found"),
        Case::bad("path: the root", Request::get("/"), 404, "was not found"),
    ]
}

/// A DER element with less than 64 KiB in it.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match u8::try_from(length) {
        Ok(short @ 0..0x80) => vec![tag, short],
        Ok(long) => vec![tag, 0x81, long],
        Err(_) => vec![tag, 0x82, (length >> 8) as u8, (length & 0xff) as u8],
    };
    [&head, content].concat()
}
