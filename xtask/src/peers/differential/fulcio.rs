//! What signers ask of Fulcio, and what is wrong with other requests.

use anyhow::anyhow;
use der::asn1::{BitString, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sandbox::{EcdsaKey, GithubIdentity, Sandbox};
use serde_json::{Value, json};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::super::servers::{ED25519_SPKI, pem};
use super::case::{Case, Request};
use super::forge::{self, base64, with, without};

const PATH: &str = "/api/v2/signingCert";
const UNVERIFIED: &str = "The signature supplied in the request could not be verified";
const UNPARSED: &str = "The public key supplied in the request could not be parsed";
const NO_REQUEST: &str = "The certificate signing request could not be parsed";
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// What the requests have in common.
struct Asker<'a> {
    sandbox: &'a Sandbox,
    identity: GithubIdentity,
    key: EcdsaKey,
    token: String,
}

pub(super) fn cases(sandbox: &Sandbox) -> anyhow::Result<Vec<Case>> {
    let identity = GithubIdentity::default();
    let token = sandbox.github_token(&identity);
    let asker = Asker { sandbox, identity, key: EcdsaKey::generate(), token };
    let mut cases = asker.good()?;
    cases.extend(asker.bad_tokens()?);
    cases.extend(asker.bad_proofs()?);
    cases.extend(asker.bad_forms()?);
    Ok(cases)
}

impl Asker<'_> {
    fn body(&self) -> anyhow::Result<Value> {
        forge::public_key_request(&self.key, &self.identity.subject())
    }

    fn by(token: &str, body: &Value) -> Request {
        Request::json(PATH, body).header("authorization", &format!("Bearer {token}"))
    }

    fn request(&self, body: &Value) -> Request {
        Self::by(&self.token, body)
    }

    fn with_claim(&self, name: &str, value: Value) -> anyhow::Result<Request> {
        let mut claims = self.sandbox.github_claims(&self.identity);
        claims[name] = value;
        Ok(Self::by(&self.sandbox.sign_token(&claims), &self.body()?))
    }

    fn good(&self) -> anyhow::Result<Vec<Case>> {
        let mut in_body = self.body()?;
        in_body["credentials"] = json!({ "oidcIdentityToken": self.token });
        let mail = "someone@example.com";
        let mail_body = forge::public_key_request(&self.key, mail)?;
        let mut deployed = self.identity.clone();
        deployed.environment = Some("release".to_owned());
        let deployed_body = forge::public_key_request(&self.key, &deployed.subject())?;
        let reusable = GithubIdentity {
            job_workflow_ref: "octo/shared/.github/workflows/build.yml@refs/tags/v1".to_owned(),
            git_ref: "refs/tags/v2".to_owned(),
            ..self.identity.clone()
        };
        let reusable_body = forge::public_key_request(&self.key, &reusable.subject())?;
        let csr = json!({ "certificateSigningRequest": base64(self.csr(&self.key)?) });
        let get = |row, path| Case::good(row, Request::get(path));
        Ok(vec![
            Case::good("certificate for a key, token in the header", self.request(&self.body()?)),
            Case::good("certificate for a key, token in the body", Request::json(PATH, &in_body)),
            Case::good("certificate for a signing request", self.request(&csr)),
            Case::good("certificate for an e-mail address", Self::by(&self.sandbox.email_token(mail), &mail_body)),
            Case::good("certificate for a deployment", Self::by(&self.sandbox.github_token(&deployed), &deployed_body)),
            Case::good(
                "certificate for a reusable workflow",
                Self::by(&self.sandbox.github_token(&reusable), &reusable_body),
            ),
            Case::good("certificate for an Ed25519 key", self.request(&self.ed25519()?)),
            Case::good("the older path", self.older_request(&self.token)?),
            get("trust bundle", "/api/v2/trustBundle"),
            get("root certificate", "/api/v1/rootCert"),
            get("configuration", "/api/v2/configuration"),
            get("health", "/healthz"),
        ])
    }

    fn bad_tokens(&self) -> anyhow::Result<Vec<Case>> {
        let now = self.sandbox.github_claims(&self.identity)["iat"].as_i64().unwrap_or_default();
        let (head, signature) = self.token.rsplit_once('.').ok_or_else(|| anyhow!("a token has a signature"))?;
        let other = self.sandbox.sign_token(&json!({ "iss": self.sandbox.oidc_issuer() }));
        let (_, other) = other.rsplit_once('.').ok_or_else(|| anyhow!("a token has a signature"))?;
        let body = self.body()?;
        let bad = |row, request| Case::bad(row, request, 400, "error processing the identity token");
        let mail = "someone@example.com";
        let mut unverified = self.sandbox.email_claims(mail);
        unverified["email_verified"] = json!(false);
        let unverified = Self::by(&self.sandbox.sign_token(&unverified), &forge::public_key_request(&self.key, mail)?);
        let mut nameless = self.sandbox.github_claims(&self.identity);
        if let Some(claims) = nameless.as_object_mut() {
            claims.remove("job_workflow_ref");
        }
        let unsigned = format!("{}.{}.", forge_header(), head.split('.').nth(1).unwrap_or_default());
        Ok(vec![
            bad("token: expired", self.with_claim("exp", json!(now - 60))?),
            bad("token: for another audience", self.with_claim("aud", json!("https://github.com/octo"))?),
            bad("token: for several audiences", self.with_claim("aud", json!(["a", "b"]))?),
            bad("token: not valid yet", self.with_claim("nbf", json!(now + 3600))?),
            bad("token: of an unknown issuer", self.with_claim("iss", json!("http://127.0.0.1:1/gha"))?),
            bad("token: without issuer", self.with_claim("iss", Value::Null)?),
            bad("token: without expiry", self.with_claim("exp", Value::Null)?),
            bad("token: signature of another", Self::by(&format!("{head}.{other}"), &body)),
            bad("token: signature cut", Self::by(&format!("{head}.{}", &signature[..40]), &body)),
            bad("token: not signed", Self::by(&unsigned, &body)),
            bad("token: no token at all", Request::json(PATH, &body)),
            bad("token: not a token", Self::by("nonsense", &body)),
            bad("token: e-mail address not verified", unverified),
            Case::bad(
                "token: without the workflow",
                Self::by(&self.sandbox.sign_token(&nameless), &body),
                400,
                "job_workflow_ref",
            ),
            bad("token: other scheme than bearer", Request::json(PATH, &body).header("authorization", "Basic eDp5")),
        ])
    }

    fn bad_proofs(&self) -> anyhow::Result<Vec<Case>> {
        let body = || self.body();
        let bad = |row, body: &Value, words| Case::bad(row, self.request(body), 400, words);
        let key = "/publicKeyRequest/publicKey/content";
        let proof = "/publicKeyRequest/proofOfPossession";
        let other = EcdsaKey::generate();
        let csr = |csr: &str| json!({ "certificateSigningRequest": csr });
        let forged = self.csr_signed(&self.key, &other)?;
        let cut = self.csr(&self.key)?.replace('M', "N");
        Ok(vec![
            bad("proof: over another subject", &forge::public_key_request(&self.key, "repo:octo/other")?, UNVERIFIED),
            bad(
                "proof: by another key",
                &with(body()?, proof, base64(other.sign(self.identity.subject().as_bytes())))?,
                UNVERIFIED,
            ),
            bad("proof: missing", &without(body()?, proof)?, UNVERIFIED),
            bad("proof: empty", &with(body()?, proof, "")?, UNVERIFIED),
            bad("proof: not base64", &with(body()?, proof, "%%%")?, "proofOfPossession"),
            bad("proof: not a signature", &with(body()?, proof, base64("nonsense"))?, UNVERIFIED),
            bad("key: not PEM", &with(body()?, key, "nonsense")?, UNPARSED),
            bad("key: empty", &with(body()?, key, "")?, UNPARSED),
            bad("key: PEM of nonsense", &with(body()?, key, pem("PUBLIC KEY", b"nonsense")?)?, UNPARSED),
            bad("key: missing", &json!({ "publicKeyRequest": {} }), UNPARSED),
            bad("neither key nor signing request", &json!({}), UNPARSED),
            bad("signing request: by another key", &csr(&base64(forged)), UNVERIFIED),
            bad("signing request: broken", &csr(&base64(cut)), NO_REQUEST),
            bad("signing request: not PEM", &csr(&base64("nonsense")), NO_REQUEST),
            bad("signing request: not base64", &csr("%%%"), "certificateSigningRequest"),
        ])
    }

    fn bad_forms(&self) -> anyhow::Result<Vec<Case>> {
        let good = || Ok::<_, anyhow::Error>(self.request(&self.body()?));
        let mut unknown = self.body()?;
        unknown["unknown"] = json!(true);
        let path = |path: &str| Request { target: super::case::Target::Path(path.to_owned()), ..Request::get(path) };
        Ok(vec![
            Case::bad("body: empty", good()?.body(""), 400, UNPARSED),
            Case::bad("body: not JSON", good()?.body("nonsense"), 400, "invalid character"),
            Case::bad("body: a list", good()?.body("[]"), 400, "unexpected token"),
            Case::bad("body: cut", good()?.body("{\"publicKeyRequest\":"), 400, "unexpected EOF"),
            Case::bad(
                "body: wrong type of a member",
                good()?.body("{\"publicKeyRequest\":7}"),
                400,
                "unexpected token",
            ),
            Case::good("body: unknown member", self.request(&unknown)),
            Case::good("body: followed by garbage", good()?.followed_by(b"garbage")),
            Case::good("body: padded to 100 KiB", good()?.padded(100 << 10)),
            Case::bad("body: too large", good()?.padded(5 << 20), 400, "too large"),
            Case::good("content type: text", good()?.header("content-type", "text/plain")),
            Case::good("content type: none", good()?.without_header("content-type")),
            Case::bad("method: GET", good()?.method("GET").body(""), 501, "Method Not Allowed"),
            Case::bad("method: PUT", good()?.method("PUT"), 501, "Method Not Allowed"),
            Case::bad("method: DELETE", good()?.method("DELETE").body(""), 501, "Method Not Allowed"),
            Case::bad("path: unknown", path("/api/v2/nothing"), 404, "Not Found"),
            Case::bad("path: the root", path("/"), 404, "Not Found"),
            Case::bad("the older path, bad token", self.older_request("nonsense")?, 400, "identity token"),
            Case::bad(
                "the older path, no token",
                self.older_request("")?.without_header("authorization"),
                400,
                "identity token",
            ),
        ])
    }

    fn older_request(&self, token: &str) -> anyhow::Result<Request> {
        let body = json!({
            "publicKey": { "content": base64(self.key.spki()), "algorithm": "ecdsa" },
            "signedEmailAddress": base64(self.key.sign(self.identity.subject().as_bytes())),
        });
        Ok(Request::json("/api/v1/signingCert", &body).header("authorization", &format!("Bearer {token}")))
    }

    fn ed25519(&self) -> anyhow::Result<Value> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).map_err(|error| anyhow!("a seed: {error}"))?;
        let spki = [&ED25519_SPKI[..], pair.public_key().as_ref()].concat();
        Ok(json!({ "publicKeyRequest": {
            "publicKey": { "algorithm": "ED25519", "content": pem("PUBLIC KEY", &spki)? },
            "proofOfPossession": base64(pair.sign(self.identity.subject().as_bytes())),
        } }))
    }

    fn csr(&self, key: &EcdsaKey) -> anyhow::Result<String> {
        self.csr_signed(key, key)
    }

    fn csr_signed(&self, key: &EcdsaKey, by: &EcdsaKey) -> anyhow::Result<String> {
        let info = CertReqInfo {
            version: Version::V1,
            subject: Name::default(),
            public_key: SubjectPublicKeyInfoOwned::from_der(&key.spki())?,
            attributes: Default::default(),
        };
        let request = CertReq {
            algorithm: AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None },
            signature: BitString::from_bytes(&by.sign(&info.to_der()?))?,
            info,
        };
        pem("CERTIFICATE REQUEST", &request.to_der()?)
    }
}

/// The header of a token that says that it is not signed.
fn forge_header() -> String {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#)
}
