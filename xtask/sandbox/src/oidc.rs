//! The OIDC issuers: one for e-mail addresses, one for GitHub Actions and one for Buildkite, each with its token route.

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

/// Which of the issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    Buildkite,
    Email,
    Github,
}

impl Issuer {
    const ALL: [Issuer; 3] = [Issuer::Buildkite, Issuer::Email, Issuer::Github];

    fn path(self) -> &'static str {
        match self {
            Issuer::Buildkite => "/buildkite",
            Issuer::Email => "/email",
            Issuer::Github => "/gha",
        }
    }
}

/// The job that Buildkite knows.
const BUILDKITE_JOB: &str = "0190b3c4-5d6e-7f80-91a2-b3c4d5e6f708";

/// All issuers, with one key.
pub(crate) struct Oidc {
    base_url: String,
    clock: Clock,
    key: jwt::Rs256Key,
    /// The jobs that may ask for tokens, by the token that lets them ask.
    jobs: Mutex<HashMap<String, GithubIdentity>>,
    /// The pipelines whose jobs may, likewise.
    pipelines: Mutex<HashMap<String, String>>,
}

impl Oidc {
    pub(crate) fn new(base_url: String, clock: Clock) -> anyhow::Result<Oidc> {
        let key = jwt::Rs256Key::test_only()?;
        Ok(Oidc { base_url, clock, key, jobs: Mutex::default(), pipelines: Mutex::default() })
    }

    pub(crate) fn issuer(&self, issuer: Issuer) -> String {
        format!("{}{}", self.base_url, issuer.path())
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

    /// What a token of Buildkite says of a job of a pipeline, `organization/pipeline`.
    pub(crate) fn buildkite_claims(&self, pipeline: &str, audience: &str) -> Value {
        let (organization, name) = pipeline.split_once('/').unwrap_or((pipeline, ""));
        let claims = json!({
            "iss": self.issuer(Issuer::Buildkite),
            "sub": format!("organization:{organization}:pipeline:{name}:ref:refs/heads/main:commit:7fd1a60:step:release"),
            "organization_slug": organization,
            "pipeline_slug": name,
            "build_number": 42,
            "build_branch": "main",
            "build_commit": "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d",
            "build_source": "webhook",
            "job_id": BUILDKITE_JOB,
            "runner_environment": "buildkite-hosted",
            "step_key": "release",
        });
        self.dated(claims, audience)
    }

    /// Lets a job of a pipeline ask its agent for tokens: the variables of its environment.
    pub(crate) fn buildkite(&self, pipeline: &str) -> Vec<(String, String)> {
        let token = crate::hex(&random::<16>());
        crate::lock(&self.pipelines).insert(token.clone(), pipeline.to_owned());
        [
            ("BUILDKITE", "true".to_owned()),
            ("BUILDKITE_AGENT_ENDPOINT", format!("{}/buildkite/v3", self.base_url)),
            ("BUILDKITE_AGENT_ACCESS_TOKEN", token),
            ("BUILDKITE_JOB_ID", BUILDKITE_JOB.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
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
        let known = Issuer::ALL.map(Issuer::path);
        let known = known.into_iter().find_map(|issuer| Some((issuer, path.strip_prefix(issuer)?)));
        match (call.method.clone(), known) {
            (Method::GET, Some((issuer, "/.well-known/openid-configuration"))) => {
                let issuer = format!("{}{issuer}", self.base_url);
                Reply::json(StatusCode::OK, &configuration(&issuer))
            }
            (Method::GET, Some((_, "/keys"))) => Reply::json(StatusCode::OK, &json!({ "keys": [self.key.jwk()] })),
            (Method::GET, Some(("/gha", "/token"))) => self.job_token(call),
            (Method::POST, Some(("/buildkite", path))) if path == format!("/v3/jobs/{BUILDKITE_JOB}/oidc/tokens") => {
                self.buildkite_token(call)
            }
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

    /// The route of the agent's API: without an audience, the token is for Buildkite itself.
    fn buildkite_token(&self, call: &Call) -> Reply {
        let token = call.header("authorization").and_then(|header| header.strip_prefix("Token "));
        let pipeline = token.and_then(|token| crate::lock(&self.pipelines).get(token).cloned());
        let Some(pipeline) = pipeline else {
            return Reply::json(StatusCode::UNAUTHORIZED, &json!({ "message": "Invalid access token" }));
        };
        let asked: Value = call.json().unwrap_or_default();
        let audience = asked["audience"].as_str().unwrap_or("https://buildkite.com");
        let token = self.sign(&self.buildkite_claims(&pipeline, audience));
        Reply::json(StatusCode::OK, &json!({ "token": token }))
    }

    /// Verifies a token as Fulcio does: signature, issuer, audience, times.
    pub(crate) fn verify(&self, token: &str) -> anyhow::Result<(Issuer, Map<String, Value>)> {
        let claims = self.key.verify(token)?;
        let issuer = claims.get("iss").and_then(Value::as_str).context("the token has no issuer")?;
        let issuer = Issuer::ALL
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
