//! The timestamp authority: RFC 3161 over HTTP, asked in DER or in JSON.

mod token;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use der::asn1::{Int, ObjectIdentifier};
use der::{Decode as _, Encode as _, Sequence};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, StatusCode};
use serde::Deserialize;
use x509_cert::ext::Extensions;
use x509_tsp::MessageImprint;

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
            (Method::POST, PATH) => self.timestamp(call),
            (Method::GET, "/api/v1/timestamp/certchain") => Reply::bytes(
                StatusCode::OK,
                "application/pem-certificate-chain",
                self.chain().map(Authority::pem).concat(),
            ),
            (Method::GET, "/ping") => Reply::bytes(StatusCode::OK, "text/plain", "."),
            (_, PATH) => Problem::method_not_allowed().swagger().header(ALLOW, "POST"),
            (_, "/api/v1/timestamp/certchain") => Problem::method_not_allowed().swagger().header(ALLOW, "GET"),
            _ => Problem::not_found().swagger(),
        }
    }

    /// What cannot even be handed to the authority is refused as JSON; the authority itself calls everything a reply.
    fn timestamp(&self, call: &Call) -> Reply {
        let media_type = call.media_type().unwrap_or_default();
        let is_der = media_type == "application/timestamp-query";
        if !is_der && media_type != "application/json" {
            return Problem::unsupported_media_type(&media_type).swagger();
        }
        // Nobody produces a timestamp of another type, which is noticed late.
        if !call.accepts(REPLY) {
            let content_type = if call.accepts("application/json") { "application/json" } else { "" };
            return Reply::bytes(StatusCode::INTERNAL_SERVER_ERROR, content_type, "");
        }
        if call.body.is_empty() {
            return Problem::required("request in body").swagger();
        }
        let query = if is_der { der_query(&call.body) } else { json_query(call) };
        let granted = query.and_then(|query| {
            let reply = token::reply(&self.signer, &query, self.clock.now());
            reply.map_err(|_| Problem::internal(FAILED))
        });
        match granted {
            Ok(reply) => Reply::bytes(StatusCode::OK, REPLY, reply),
            Err(problem) => problem.swagger().header(CONTENT_TYPE, REPLY),
        }
    }
}

const REPLY: &str = "application/timestamp-reply";
const FAILED: &str = "Error generating timestamp response";

/// A `TimeStampReq` (RFC 3161, section 2.4.1) of any version: the real authority does not look at it.
#[derive(Sequence)]
struct DerRequest {
    version: u8,
    message_imprint: MessageImprint,
    #[asn1(optional = "true")]
    policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(default = "Default::default")]
    certificates: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

fn der_query(body: &[u8]) -> Result<Query, Problem> {
    let request = DerRequest::from_der(body).map_err(|_| Problem::invalid(FAILED))?;
    if request.extensions.is_some_and(|extensions| !extensions.is_empty()) {
        return Err(Problem::invalid("unaccepted extension: requested extensions are not supported by the TSA"));
    }
    let imprint = request.message_imprint;
    query(Query {
        hash: imprint.hash_algorithm.oid,
        digest: imprint.hashed_message.into_bytes(),
        nonce: request.nonce,
        policy: request.policy,
        certificates: request.certificates,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest {
    #[serde(default)]
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    nonce: Option<u64>,
    #[serde(rename = "tsaPolicyOID")]
    policy: Option<String>,
}

fn json_query(call: &Call) -> Result<Query, Problem> {
    let failed = || Problem::invalid(FAILED);
    let request: JsonRequest = call.json().map_err(|_| failed())?;
    let (_, hash, _) = HASHES
        .into_iter()
        .find(|(name, _, _)| *name == request.hash_algorithm)
        .ok_or_else(|| if request.hash_algorithm == "sha1" { Problem::invalid(WEAK) } else { failed() })?;
    let digest = BASE64_STANDARD.decode(&request.artifact_hash).map_err(|_| failed())?;
    let nonce = request.nonce.map(integer).transpose().map_err(|_| failed())?;
    let policy = request.policy.filter(|policy| !policy.is_empty()).map(|policy| policy.parse()).transpose();
    let policy = policy.map_err(|_| failed())?;
    query(Query { hash, digest, nonce, policy, certificates: request.certificates })
}

fn integer(number: u64) -> der::Result<Int> {
    Int::from_der(&number.to_der()?)
}

const WEAK: &str = "Weak hash algorithm in timestamp request";
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

fn query(query: Query) -> Result<Query, Problem> {
    let known = HASHES.into_iter().find(|(_, hash, _)| *hash == query.hash);
    let unknown = || Problem::invalid(if query.hash == SHA1 { WEAK } else { FAILED });
    let (_, _, length) = known.ok_or_else(unknown)?;
    if query.digest.len() != length {
        return Err(Problem::invalid("Message digest has incorrect length for specified algorithm"));
    }
    if query.policy.is_some_and(|policy| policy != POLICY) {
        return Err(Problem::invalid("unaccepted policy: requested TSA policy is not supported by the TSA"));
    }
    Ok(query)
}
