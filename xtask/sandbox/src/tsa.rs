//! The timestamp authority: RFC 3161 over HTTP, asked in DER or in JSON.

mod token;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use der::asn1::{Int, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use http::{Method, StatusCode};
use serde::Deserialize;
use x509_tsp::TimeStampReq;

use crate::certificate::{Authority, Window};
use crate::clock::Clock;
use crate::exchange::{Call, Reply};
use crate::keys::Keys;
use crate::problem::Problem;

/// The path of the endpoint, which is part of the authority's URL in signing configs.
pub(crate) const PATH: &str = "/api/v1/timestamp";

/// Sigstore's policy for timestamps.
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

const HASHES: [(&str, ObjectIdentifier, usize); 3] = [
    ("sha256", ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), 32),
    ("sha384", ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), 48),
    ("sha512", ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), 64),
];

/// The authority.
pub(crate) struct Tsa {
    clock: Clock,
    root: Authority,
    signer: Authority,
}

/// What a timestamp is asked over.
struct Query {
    hash: ObjectIdentifier,
    digest: Vec<u8>,
    nonce: Option<Int>,
    policy: Option<ObjectIdentifier>,
    certificates: bool,
}

impl Tsa {
    pub(crate) fn new(keys: &Keys, clock: Clock, window: Window) -> anyhow::Result<Tsa> {
        let root = Authority::root("CN=sandbox timestamp root,O=sandbox", &keys.tsa_root, window)?;
        let signer = root.timestamp_signer("CN=sandbox timestamp,O=sandbox", &keys.tsa, window)?;
        Ok(Tsa { clock, root, signer })
    }

    /// The signer and what is above it, root last.
    pub(crate) fn chain(&self) -> [&Authority; 2] {
        [&self.signer, &self.root]
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        match (call.method.clone(), call.path.as_str()) {
            (Method::POST, PATH) => self.timestamp(call).unwrap_or_else(|problem| problem.swagger()),
            (Method::GET, "/api/v1/timestamp/certchain") => Reply::bytes(
                StatusCode::OK,
                "application/pem-certificate-chain",
                self.chain().map(Authority::pem).concat(),
            ),
            (Method::GET, "/ping") => Reply::text(StatusCode::OK, "."),
            (_, PATH | "/api/v1/timestamp/certchain") => Problem::method_not_allowed().swagger(),
            _ => Problem::not_found().swagger(),
        }
    }

    fn timestamp(&self, call: &Call) -> Result<Reply, Problem> {
        let query = match call.media_type().as_deref() {
            Some("application/timestamp-query") => der_query(&call.body)?,
            Some("application/json") => json_query(call)?,
            other => return Err(Problem::unsupported_media_type(other.unwrap_or_default())),
        };
        if query.policy.is_some_and(|policy| policy != POLICY) {
            return Err(Problem::invalid("the requested TSA policy is not supported"));
        }
        let reply = token::reply(&self.signer, &query, self.clock.now());
        let reply = reply.map_err(|_| Problem::internal("error generating timestamp response"))?;
        Ok(Reply::bytes(StatusCode::OK, "application/timestamp-reply", reply))
    }
}

fn der_query(body: &[u8]) -> Result<Query, Problem> {
    let request = TimeStampReq::from_der(body)
        .map_err(|error| Problem::invalid(&format!("error parsing timestamp request: {error}")))?;
    let imprint = request.message_imprint;
    query(Query {
        hash: imprint.hash_algorithm.oid,
        digest: imprint.hashed_message.into_bytes(),
        nonce: request.nonce,
        policy: request.req_policy,
        certificates: request.cert_req,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    nonce: Option<u64>,
    #[serde(rename = "tsaPolicyOID")]
    policy: Option<String>,
}

fn json_query(call: &Call) -> Result<Query, Problem> {
    let request: JsonRequest =
        call.json().map_err(|error| Problem::invalid(&format!("error parsing timestamp request: {error}")))?;
    let (_, hash, _) = HASHES
        .into_iter()
        .find(|(name, _, _)| *name == request.hash_algorithm)
        .ok_or_else(|| Problem::invalid(&format!("unsupported hash algorithm {:?}", request.hash_algorithm)))?;
    let digest =
        BASE64_STANDARD.decode(&request.artifact_hash).map_err(|_| Problem::invalid("artifactHash is not base64"))?;
    let nonce = request.nonce.map(integer).transpose().map_err(|_| Problem::invalid("nonce is not a number"))?;
    let policy = request.policy.filter(|policy| !policy.is_empty()).map(|policy| policy.parse()).transpose();
    let policy = policy.map_err(|_| Problem::invalid("tsaPolicyOID is not an object identifier"))?;
    query(Query { hash, digest, nonce, policy, certificates: request.certificates })
}

fn integer(number: u64) -> der::Result<Int> {
    Int::from_der(&number.to_der()?)
}

fn query(query: Query) -> Result<Query, Problem> {
    let known = HASHES.into_iter().find(|(_, hash, _)| *hash == query.hash);
    let (name, _, length) =
        known.ok_or_else(|| Problem::invalid(&format!("unsupported hash algorithm {}", query.hash)))?;
    if query.digest.len() != length {
        return Err(Problem::invalid(&format!("a digest of {name} has {length} bytes, not {}", query.digest.len())));
    }
    Ok(query)
}
