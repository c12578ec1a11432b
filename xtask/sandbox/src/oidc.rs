//! The OIDC issuers: one for e-mail addresses, one for GitHub Actions with its ambient token route.

mod jwt;

use std::collections::HashMap;
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::exchange::{Call, Reply};
use crate::identity::GithubIdentity;
use crate::keys::random;

/// How long identity tokens live. GitHub's live five minutes.
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// How far clocks may differ, as go-oidc allows for `nbf`.
const LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// The audience that Fulcio demands.
pub(crate) const AUDIENCE: &str = "sigstore";

/// Which of the two issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    Email,
    Github,
}

/// Both issuers, with one key.
pub(crate) struct Oidc {
    base_url: String,
    clock: Clock,
    key: jwt::Rs256Key,
    /// The jobs that may ask for tokens, by the token that lets them ask.
    jobs: Mutex<HashMap<String, GithubIdentity>>,
}

impl Oidc {
    pub(crate) fn new(base_url: String, clock: Clock) -> anyhow::Result<Oidc> {
        Ok(Oidc { base_url, clock, key: jwt::Rs256Key::test_only()?, jobs: Mutex::default() })
    }

    pub(crate) fn issuer(&self, issuer: Issuer) -> String {
        match issuer {
            Issuer::Email => format!("{}/email", self.base_url),
            Issuer::Github => format!("{}/gha", self.base_url),
        }
    }

    /// Signs whatever claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.key.sign(claims)
    }

    pub(crate) fn github_claims(&self, identity: &GithubIdentity, audience: &str) -> Value {
        let mut claims = identity.claims();
        claims["iss"] = json!(self.issuer(Issuer::Github));
        self.dated(claims, audience)
    }

    pub(crate) fn email_claims(&self, email: &str) -> Value {
        let claims = json!({ "iss": self.issuer(Issuer::Email), "sub": email, "email": email, "email_verified": true });
        self.dated(claims, AUDIENCE)
    }

    fn dated(&self, mut claims: Value, audience: &str) -> Value {
        let now = self.clock.now();
        claims["aud"] = json!(audience);
        claims["iat"] = json!(now.as_second());
        claims["nbf"] = json!(now.as_second());
        claims["exp"] = json!((now + TOKEN_LIFETIME).as_second());
        claims["jti"] = json!(crate::hex(&random::<16>()));
        claims
    }

    /// Lets a job ask for tokens: the variables of its environment.
    pub(crate) fn ambient(&self, identity: &GithubIdentity) -> Vec<(String, String)> {
        let token = crate::hex(&random::<16>());
        crate::lock(&self.jobs).insert(token.clone(), identity.clone());
        // Clients append `&audience=`: the URL has a query already, as GitHub's has.
        let url = format!("{}/gha/token?api-version=2.0", self.base_url);
        [
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", token),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        let path = call.path.as_str();
        let known = ["/email", "/gha"].into_iter().find_map(|issuer| Some((issuer, path.strip_prefix(issuer)?)));
        match (call.method.clone(), known) {
            (Method::GET, Some((issuer, "/.well-known/openid-configuration"))) => {
                let issuer = format!("{}{issuer}", self.base_url);
                Reply::json(StatusCode::OK, &configuration(&issuer))
            }
            (Method::GET, Some((_, "/keys"))) => Reply::json(StatusCode::OK, &json!({ "keys": [self.key.jwk()] })),
            (Method::GET, Some(("/gha", "/token"))) => self.job_token(call),
            (_, Some(_)) if call.method != Method::GET => Reply::new(StatusCode::METHOD_NOT_ALLOWED),
            _ => Reply::not_found(),
        }
    }

    /// The route that a job asks: without an audience, the token is for the owner, and Fulcio refuses it.
    fn job_token(&self, call: &Call) -> Reply {
        let identity = call.bearer().and_then(|token| crate::lock(&self.jobs).get(token).cloned());
        let Some(identity) = identity else {
            let message = json!({ "$id": "1", "message": "The request token is not one of a running job", "typeKey": "UnauthorizedRequestException" });
            return Reply::json(StatusCode::UNAUTHORIZED, &message);
        };
        let owner = identity.repository.split('/').next().unwrap_or_default();
        let audience = call.query_value("audience").unwrap_or_else(|| format!("https://github.com/{owner}"));
        let token = self.sign(&self.github_claims(&identity, &audience));
        Reply::json(StatusCode::OK, &json!({ "count": 1, "value": token }))
    }

    /// Verifies a token as Fulcio does: signature, issuer, audience, times.
    pub(crate) fn verify(&self, token: &str) -> anyhow::Result<(Issuer, Map<String, Value>)> {
        let claims = self.key.verify(token)?;
        let issuer = claims.get("iss").and_then(Value::as_str).context("the token has no issuer")?;
        let issuer = [Issuer::Email, Issuer::Github]
            .into_iter()
            .find(|known| self.issuer(*known) == issuer)
            .with_context(|| format!("the issuer {issuer:?} is unknown"))?;
        let audience = claims.get("aud").context("the token has no audience")?;
        let is_ours = match audience {
            Value::Array(all) => all.iter().any(|one| one == AUDIENCE),
            one => one == AUDIENCE,
        };
        if !is_ours {
            bail!("the token is for {audience}");
        }
        let now = self.clock.now();
        if at(&claims, "exp").context("the token has no expiry")? <= now {
            bail!("the token has expired");
        }
        if at(&claims, "nbf").is_some_and(|from| from > now + LEEWAY) {
            bail!("the token is not valid yet");
        }
        Ok((issuer, claims))
    }
}

fn at(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    Timestamp::from_second(claims.get(name)?.as_i64()?).ok()
}

fn configuration(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "subject_types_supported": ["public"],
        "response_types_supported": ["id_token"],
        "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
    })
}
