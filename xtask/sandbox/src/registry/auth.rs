//! Who may do what: nobody asked, basic credentials, or tokens of the registry's own token endpoint.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{HeaderName, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Registry;
use super::envelope::{method_not_allowed, refuse};
use crate::exchange::{Call, Reply};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The credentials that the registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// None.
    None,
    /// User name and password with every request.
    Basic {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// User name and password at the token endpoint, its token with every request.
    Bearer {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Right {
    Pull,
    Push,
    Delete,
}

impl Right {
    fn word(self) -> &'static str {
        match self {
            Right::Pull => "pull",
            Right::Push => "push",
            Right::Delete => "delete",
        }
    }

    /// What a challenge asks for: who pushes reads as well.
    fn scope(self, repository: &str) -> String {
        match self {
            Right::Pull => format!("repository:{repository}:pull"),
            Right::Push => format!("repository:{repository}:pull,push"),
            Right::Delete => format!("repository:{repository}:delete"),
        }
    }
}

/// The tokens given out.
pub(super) struct Grants {
    tokens: HashMap<String, Grant>,
    next: u64,
    pub(super) lifetime: SignedDuration,
}

impl Default for Grants {
    fn default() -> Grants {
        Grants { tokens: HashMap::new(), next: 0, lifetime: SignedDuration::from_secs(300) }
    }
}

impl Grants {
    pub(super) fn revoke(&mut self) {
        self.tokens.clear();
    }
}

struct Grant {
    expires: Timestamp,
    scopes: Vec<String>,
}

impl Grant {
    fn covers(&self, repository: &str, right: Right) -> bool {
        self.scopes.iter().any(|scope| match scope.split(':').collect::<Vec<_>>().as_slice() {
            ["repository", name, actions] => {
                *name == repository && actions.split(',').any(|action| action == right.word() || action == "*")
            }
            _ => false,
        })
    }
}

impl Registry {
    /// Whether the call may have a right in a repository, or (`None`) may call at all; else the challenge.
    pub(super) fn permit(&self, call: &Call, wanted: Option<(&str, Right)>) -> Result<(), Reply> {
        let behaviour = self.behaviour();
        let anonymous = behaviour.anonymous_pull && !call.headers.contains_key("authorization");
        match &behaviour.auth {
            Auth::None => Ok(()),
            Auth::Basic { .. } if anonymous && wanted.is_some_and(|(_, right)| right == Right::Pull) => Ok(()),
            Auth::Basic { user, password } => match basic(call) {
                Some(given) if given == (user.clone(), password.clone()) => Ok(()),
                _ => Err(challenge(&format!("Basic realm=\"{}\"", self.host))),
            },
            Auth::Bearer { .. } => self.permit_token(call, wanted),
        }
    }

    fn permit_token(&self, call: &Call, wanted: Option<(&str, Right)>) -> Result<(), Reply> {
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"{}\"", self.host, self.host);
        let scope =
            wanted.map(|(repository, right)| format!(",scope=\"{}\"", right.scope(repository))).unwrap_or_default();
        let grants = crate::lock(&self.grants);
        let now = self.clock.now();
        let error = match call.bearer().map(|token| grants.tokens.get(token)) {
            None => "",
            Some(Some(grant)) if grant.expires > now => {
                if wanted.is_none_or(|(repository, right)| grant.covers(repository, right)) {
                    return Ok(());
                }
                ",error=\"insufficient_scope\""
            }
            Some(_) => ",error=\"invalid_token\"",
        };
        Err(challenge(&format!("{realm}{scope}{error}")))
    }

    /// The token endpoint: GET with basic credentials or none, POST with a form (`grant_type=password`).
    pub(super) fn token(&self, call: &Call) -> Reply {
        let behaviour = self.behaviour();
        let Auth::Bearer { user, password } = behaviour.auth else { return Reply::not_found() };
        let form: HashMap<String, String> = match call.method {
            Method::GET => HashMap::new(),
            Method::POST => form_urlencoded::parse(&call.body).into_owned().collect(),
            _ => return method_not_allowed("GET, POST"),
        };
        let in_form = form.get("username").cloned().zip(form.get("password").cloned());
        let given = basic(call).or(in_form);
        let known = given.as_ref().is_some_and(|given| *given == (user, password));
        if !known && (given.is_some() || call.headers.contains_key("authorization") || !behaviour.anonymous_pull) {
            return challenge(&format!("Basic realm=\"{}\"", self.host));
        }
        let asked = match form.get("scope") {
            Some(scope) => vec![scope.clone()],
            None => call.query_values("scope"),
        };
        let scopes: Vec<String> =
            asked.iter().flat_map(|scopes| scopes.split_whitespace()).map(str::to_owned).collect();
        self.grant(if known { scopes } else { scopes.iter().filter_map(|scope| reading(scope)).collect() })
    }

    fn grant(&self, scopes: Vec<String>) -> Reply {
        let now = self.clock.now();
        let mut grants = crate::lock(&self.grants);
        grants.next += 1;
        let token = format!("sandbox-token-{}", grants.next);
        let lifetime = grants.lifetime;
        grants.tokens.insert(token.clone(), Grant { expires: now + lifetime, scopes });
        let body = json!({ "token": token, "access_token": token, "expires_in": lifetime.as_secs(), "issued_at": now.to_string() });
        Reply::json(StatusCode::OK, &body)
    }
}

/// The part of a scope that an anonymous caller gets.
fn reading(scope: &str) -> Option<String> {
    let (resource, actions) = scope.rsplit_once(':')?;
    actions.split(',').any(|action| action == "pull").then(|| format!("{resource}:pull"))
}

fn basic(call: &Call) -> Option<(String, String)> {
    let (scheme, encoded) = call.header("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn challenge(with: &str) -> Reply {
    refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required")
        .header(WWW_AUTHENTICATE, with)
        .header(API_VERSION, "registry/2.0")
}
