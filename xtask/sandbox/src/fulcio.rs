//! Fulcio: short-lived certificates for identity tokens, with proof of possession and an embedded SCT.

mod leaf;
mod sct;

use anyhow::Context as _;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use der::{Decode as _, Encode as _};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use x509_cert::request::CertReq;

use crate::certificate::{Authority, CODE_SIGNING, ECDSA_WITH_SHA256, Window};
use crate::clock::Clock;
use crate::exchange::{Call, Reply};
use crate::keys::{EcdsaKey, Keys};
use crate::oidc::{AUDIENCE, Issuer, Oidc};
use crate::problem::Problem;
use crate::public_key::PublicKey;

/// The certificate authority with its certificate transparency log.
pub(crate) struct Fulcio {
    clock: Clock,
    root: Authority,
    intermediate: Authority,
    ct: EcdsaKey,
    leaf_index: bool,
}

impl Fulcio {
    pub(crate) fn new(keys: &Keys, clock: Clock, window: Window, leaf_index: bool) -> anyhow::Result<Fulcio> {
        let root = Authority::root("CN=sandbox fulcio root,O=sandbox", &keys.fulcio_root, window)?;
        let name = "CN=sandbox fulcio intermediate,O=sandbox";
        let intermediate = root.intermediate(name, &keys.fulcio_intermediate, window, CODE_SIGNING)?;
        Ok(Fulcio { clock, root, intermediate, ct: keys.ct.clone(), leaf_index })
    }

    /// The chain above leaves, root last.
    pub(crate) fn chain(&self) -> [&Authority; 2] {
        [&self.intermediate, &self.root]
    }

    pub(crate) fn answer(&self, oidc: &Oidc, call: &Call) -> Reply {
        match (call.method.clone(), call.path.as_str()) {
            (Method::POST, "/api/v2/signingCert") => {
                self.signing_certificate(oidc, call).unwrap_or_else(|problem| problem.grpc())
            }
            (Method::POST, "/api/v1/signingCert") => {
                self.signing_certificate_v1(oidc, call).unwrap_or_else(|problem| problem.grpc())
            }
            (Method::GET, "/api/v2/trustBundle") => {
                let certificates = self.chain().map(Authority::pem);
                Reply::json(StatusCode::OK, &json!({ "chains": [{ "certificates": certificates }] }))
            }
            (Method::GET, "/api/v1/rootCert") => Reply::bytes(
                StatusCode::OK,
                "application/pem-certificate-chain",
                self.chain().map(Authority::pem).concat().trim_end().to_owned(),
            ),
            (Method::GET, "/api/v2/configuration") => Reply::json(StatusCode::OK, &configuration(oidc)),
            (Method::GET, "/healthz") => Reply::json(StatusCode::OK, &json!({ "status": "SERVING" })),
            (_, "/api/v1/rootCert" | "/api/v1/signingCert") => Problem::method_not_allowed().grpc(),
            (_, "/api/v2/configuration" | "/api/v2/signingCert" | "/api/v2/trustBundle") => {
                Problem::method_not_allowed().grpc()
            }
            _ => Problem::not_found().grpc(),
        }
    }

    fn signing_certificate(&self, oidc: &Oidc, call: &Call) -> Result<Reply, Problem> {
        let request: Request =
            call.first_json().map_err(|error| Problem::invalid(&format!("proto: syntax error: {error}")))?;
        let credentials = request
            .credentials
            .and_then(|credentials| credentials.oidc_identity_token)
            .filter(|token| !token.is_empty());
        let token = credentials.or_else(|| call.bearer().map(str::to_owned)).unwrap_or_default();
        let caller = Caller::of(oidc, &token)?;
        let key = match (request.certificate_signing_request, request.public_key_request) {
            (Some(csr), _) if !csr.is_empty() => requested_key(&csr)?,
            (_, asked) => proven_key(asked.unwrap_or_default(), &caller.challenge)?,
        };
        let certificates = self.issue(&caller, &key)?;
        Ok(Reply::json(
            StatusCode::OK,
            &json!({ "signedCertificateEmbeddedSct": { "chain": { "certificates": certificates } } }),
        ))
    }

    /// The older form: a bearer token, 201, the chain as PEM.
    fn signing_certificate_v1(&self, oidc: &Oidc, call: &Call) -> Result<Reply, Problem> {
        let request: RequestV1 =
            call.first_json().map_err(|error| Problem::invalid(&format!("invalid request: {error}")))?;
        let caller = Caller::of(oidc, call.bearer().unwrap_or_default())?;
        let key = match request.certificate_signing_request {
            Some(csr) => requested_key(&csr)?,
            None => {
                let key = request.public_key.unwrap_or_default();
                proven_key(
                    PublicKeyRequest { public_key: Some(key), proof_of_possession: request.signed_email_address },
                    &caller.challenge,
                )?
            }
        };
        let certificates = self.issue(&caller, &key)?;
        Ok(Reply::bytes(StatusCode::CREATED, "application/pem-certificate-chain", certificates.join("\n")))
    }

    /// The chain for a caller and a key, leaf first.
    fn issue(&self, caller: &Caller, key: &PublicKey) -> Result<Vec<String>, Problem> {
        let extensions = leaf::extensions(&self.intermediate, caller, key.der())
            .map_err(|error| Problem::invalid(&format!("{error:#}")))?;
        let leaf =
            self.certificate(extensions, key).map_err(|_| Problem::internal("error communicating with CA backend"))?;
        let above = self.chain().map(|authority| authority.der.as_slice());
        // Without the newline at the end, as Fulcio writes them.
        let pem = |der: &[u8]| crate::pem("CERTIFICATE", der).trim_end().to_owned();
        Ok(std::iter::once(leaf.as_slice()).chain(above).map(pem).collect())
    }

    /// The log signs the certificate without its own promise, then the promise is put in and the certificate signed.
    fn certificate(&self, extensions: Vec<x509_cert::ext::Extension>, key: &PublicKey) -> anyhow::Result<Vec<u8>> {
        let now = self.clock.now();
        let mut tbs = self.intermediate.tbs(leaf::subject(key.der(), now, extensions))?;
        let log = sct::Log { key: &self.ct, leaf_index: self.leaf_index };
        let promise = log.extension(&tbs.to_der()?, &self.intermediate.key.spki(), now)?;
        tbs.extensions.get_or_insert_default().push(promise);
        Ok(self.intermediate.issue(tbs)?.to_der()?)
    }
}

/// Whoever the token stands for.
struct Caller {
    issuer: Issuer,
    claims: Map<String, Value>,
    /// What the proof of possession must be a signature over.
    challenge: String,
}

impl Caller {
    fn of(oidc: &Oidc, token: &str) -> Result<Caller, Problem> {
        let refused = |_| Problem::invalid("There was an error processing the identity token");
        let (issuer, claims) = oidc.verify(token).map_err(refused)?;
        let text =
            |name: &str| claims.get(name).and_then(Value::as_str).filter(|value| !value.is_empty()).map(str::to_owned);
        let challenge = match issuer {
            Issuer::Email if claims.get("email_verified") != Some(&Value::Bool(true)) => None,
            Issuer::Email => text("email"),
            Issuer::Buildkite | Issuer::Github => text("sub"),
        };
        let challenge = challenge.context("the token names nobody").map_err(refused)?;
        Ok(Caller { issuer, claims, challenge })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    credentials: Option<Credentials>,
    public_key_request: Option<PublicKeyRequest>,
    certificate_signing_request: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    oidc_identity_token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    public_key: Option<PublicKeyContent>,
    proof_of_possession: Option<String>,
}

#[derive(Default, Deserialize)]
struct PublicKeyContent {
    #[serde(default)]
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestV1 {
    public_key: Option<PublicKeyContent>,
    signed_email_address: Option<String>,
    certificate_signing_request: Option<String>,
}

/// The key of a request with proof of possession.
fn proven_key(asked: PublicKeyRequest, challenge: &str) -> Result<PublicKey, Problem> {
    let unreadable = |_| Problem::invalid("The public key supplied in the request could not be parsed");
    let key = read_key(&asked.public_key.unwrap_or_default().content).map_err(unreadable)?;
    let unverified = |_| Problem::invalid("The signature supplied in the request could not be verified");
    let proof = BASE64_STANDARD
        .decode(asked.proof_of_possession.unwrap_or_default())
        .map_err(anyhow::Error::from)
        .map_err(unverified)?;
    key.verify(challenge.as_bytes(), &proof).map_err(unverified)?;
    Ok(key)
}

/// PEM, or base64 of DER or of PEM.
fn read_key(content: &str) -> anyhow::Result<PublicKey> {
    let decoded;
    let pem = if content.contains("-----BEGIN") {
        content
    } else {
        let bytes = BASE64_STANDARD.decode(content)?;
        if !bytes.starts_with(b"-----BEGIN") {
            return PublicKey::from_der(&bytes);
        }
        decoded = String::from_utf8(bytes)?;
        &decoded
    };
    let (label, der) = crate::unpem(pem)?;
    anyhow::ensure!(label == "PUBLIC KEY", "PEM of {label} is not a public key");
    PublicKey::from_der(&der)
}

/// The key of a certificate signing request, which proves possession by its own signature.
fn requested_key(csr: &str) -> Result<PublicKey, Problem> {
    let unreadable = |_| Problem::invalid("The certificate signing request could not be parsed");
    let request = read_csr(csr).map_err(unreadable)?;
    let key = PublicKey::from_info(request.info.public_key.clone()).map_err(unreadable)?;
    let unverified = |_| Problem::invalid("The signature supplied in the request could not be verified");
    let signed = request.info.to_der().map_err(anyhow::Error::from).map_err(unverified)?;
    if request.algorithm.oid != ECDSA_WITH_SHA256 {
        return Err(Problem::invalid("The signature supplied in the request could not be verified"));
    }
    key.verify(&signed, request.signature.raw_bytes()).map_err(unverified)?;
    Ok(key)
}

fn read_csr(csr: &str) -> anyhow::Result<CertReq> {
    let (label, der) = crate::unpem(&String::from_utf8(BASE64_STANDARD.decode(csr)?)?)?;
    anyhow::ensure!(label.ends_with("CERTIFICATE REQUEST"), "PEM of {label} is not a certificate signing request");
    Ok(CertReq::from_der(&der)?)
}

fn configuration(oidc: &Oidc) -> Value {
    let issuer = |issuer, challenge_claim, issuer_type| {
        json!({
            "issuerUrl": oidc.issuer(issuer),
            "audience": AUDIENCE,
            "challengeClaim": challenge_claim,
            "spiffeTrustDomain": "",
            "issuerType": issuer_type,
            "skipEmailVerification": false,
            "subjectDomain": "",
        })
    };
    json!({ "issuers": [
        issuer(Issuer::Email, "email", "email"),
        issuer(Issuer::Github, "sub", "ci-provider"),
        issuer(Issuer::Buildkite, "sub", "ci-provider"),
    ] })
}
