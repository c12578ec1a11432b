use std::iter;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::credentials::Found;
use super::realm::{self, Trust};
use super::{Action, Authenticator, Challenge, Credential, Need, Used, basic, secret_header};
use crate::error::RegistryError;
use crate::http::{read_bounded, shown};
use crate::limits;
use crate::registry::{Shown, Transport, Via};
use crate::{Repository, Secret};

/// A token as it is sent, and how long it is used.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    expires: Instant,
}

impl Token {
    pub(super) fn is_fresh(&self) -> bool {
        Instant::now() < self.expires
    }
}

/// What makes two requests ask for the same token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    registry: String,
    realm: Url,
    service: Option<String>,
    scope: String,
    credentials: Option<String>,
}

/// A token to be asked for: where, for what, and as whom.
pub(super) struct TokenRequest<'a> {
    need: Need<'a>,
    realm: &'a Url,
    service: Option<&'a str>,
    /// One for each repository, that which is written first.
    scopes: Vec<String>,
    trust: Trust,
    found: Option<&'a Found>,
}

impl<'a> TokenRequest<'a> {
    pub(super) fn new(
        need: Need<'a>,
        challenge: &'a Challenge,
        found: Option<&'a Found>,
        authenticator: &Authenticator,
    ) -> Self {
        let (realm, service) = match challenge {
            Challenge::Bearer { realm, service, .. } => (realm, service.as_deref()),
            // Nobody asks for a token where Basic will do; the registry's own address is the harmless answer.
            Challenge::Basic => (&need.endpoint.base, None),
        };
        let named = authenticator.token_servers.get(&need.endpoint.registry).map(String::as_str);
        let actions = authenticator.learned().actions.get(need.repository).cloned().unwrap_or_default();
        Self {
            need,
            realm,
            service,
            scopes: scopes(need, authenticator.asks_to_delete(need), actions.iter().map(String::as_str)),
            trust: realm::trust(&need.endpoint.base, realm, named, need.endpoint.plain_http),
            found,
        }
    }

    pub(super) fn key(&self) -> TokenKey {
        TokenKey {
            registry: self.need.endpoint.registry.clone(),
            realm: self.realm.clone(),
            service: self.service.map(str::to_owned),
            scope: self.scopes.join(" "),
            credentials: self.shown_credentials().map(|found| found.key.to_owned()),
        }
    }

    /// The credentials that the token server gets to see.
    fn shown_credentials(&self) -> Option<&'a Found> {
        self.found.filter(|_| self.trust == Trust::Credentials)
    }

    pub(super) fn used(&self) -> Option<Used> {
        self.shown_credentials().map(Used::from)
    }

    pub(super) fn withheld(&self) -> Option<String> {
        (self.found.is_some() && self.trust != Trust::Credentials).then(|| shown(self.realm))
    }

    /// Fetches a token. Follows no redirect: this request carries what opens everything else.
    pub(super) async fn fetch(&self, transport: &Transport) -> Result<Token, RegistryError> {
        if self.trust == Trust::Nothing {
            return Err(RegistryError::RealmRefused {
                registry: self.need.endpoint.registry.clone(),
                realm: shown(self.realm),
            });
        }
        let what = format!("token for {}", self.need.repository);
        let asked_at = Instant::now();
        let request = self.request();
        let secrets = Shown::of(request.headers().get(AUTHORIZATION)).and(self.identity_token());
        let response = transport.send(request, &what, self.via()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(crate::registry::refusal(&what, response, &secrets).await));
        }
        let body = read_bounded(response, limits::SERVICE_ANSWER_BYTES).await;
        let body = body.map_err(|source| RegistryError::Http { what, source })?;
        self.read(&body, asked_at)
    }

    /// A token server that may see the credentials may see the certificate.
    fn via(&self) -> Via<'a> {
        let endpoint = self.need.endpoint;
        let certificate = (self.trust == Trust::Credentials).then_some(endpoint.credential_registry.as_str());
        Via { registry: &endpoint.registry, certificate, is_upload: false }
    }

    fn identity_token(&self) -> Option<&'a Secret> {
        match &self.shown_credentials()?.credential {
            Credential::IdentityToken(token) => Some(token),
            _ => None,
        }
    }

    fn request(&self) -> reqwest::Request {
        if let Some(token) = self.identity_token() {
            let mut request = reqwest::Request::new(Method::POST, self.realm.clone());
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT_ID);
            form.append_pair("scope", &self.scopes.join(" ")).append_pair("refresh_token", token.expose());
            if let Some(service) = self.service {
                form.append_pair("service", service);
            }
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form_type);
            *request.body_mut() = Some(form.finish().into());
            return request;
        }
        let mut url = self.realm.clone();
        if let Some(service) = self.service {
            url.query_pairs_mut().append_pair("service", service);
        }
        for scope in &self.scopes {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        let mut request = reqwest::Request::new(Method::GET, url);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(header) = self.shown_credentials().and_then(|found| basic(found).header) {
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        request
    }

    fn refusal(&self, error: RegistryError) -> RegistryError {
        match (error, self.used()) {
            (RegistryError::Denied { answer, .. }, Some(used)) => {
                RegistryError::CredentialsRejected { answer, origin: used.origin }
            }
            // Servers of the oauth2 form say `invalid_grant` with a 400.
            (RegistryError::Answered { answer }, Some(used)) if answer.status == 400 => {
                RegistryError::CredentialsRejected { answer, origin: used.origin }
            }
            (RegistryError::Denied { answer, .. }, None) => RegistryError::Denied { answer, withheld: self.withheld() },
            (error, _) => error,
        }
    }

    fn read(&self, body: &[u8], asked_at: Instant) -> Result<Token, RegistryError> {
        let unusable = |reason| RegistryError::Token {
            registry: self.need.endpoint.registry.clone(),
            realm: shown(self.realm),
            reason,
        };
        let answer: TokenAnswer =
            serde_json::from_slice(body).map_err(|_| unusable("it is not the JSON of a token"))?;
        let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
        let token = token.ok_or_else(|| unusable("it has no token"))?;
        if token.len() as u64 > limits::IDENTITY_TOKEN_BYTES {
            return Err(unusable("its token is too long"));
        }
        let header = secret_header(&Zeroizing::new(format!("Bearer {}", *token)));
        let header = header.ok_or_else(|| unusable("its token has characters that no header can have"))?;
        Ok(Token { header, expires: asked_at + lifetime(answer.expires_in) })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
    expires_in: Option<serde_json::Number>,
}

/// How long a token is used: a tenth is left for clocks and slow requests. One that says nothing lives 60 seconds.
fn lifetime(expires_in: Option<serde_json::Number>) -> Duration {
    let stated = expires_in.and_then(|number| number.as_f64()).filter(|seconds| *seconds > 0.0);
    Duration::from_secs_f64(stated.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME) * 0.9)
}

/// Returns the scopes to ask for: what the request needs, and what the registry added for this repository.
fn scopes<'a>(need: Need<'_>, deletes: bool, further: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scope = format!("repository:{}:pull", need.repository.path());
    if need.action != Action::Read {
        scope.push_str(",push");
    }
    if deletes {
        scope.push_str(",delete");
    }
    for action in further {
        scope.push(',');
        scope.push_str(action);
    }
    let source = need.also_read.filter(|source| *source != need.repository);
    iter::once(scope).chain(source.map(|source| format!("repository:{}:pull", source.path()))).collect()
}

/// Returns whether a challenge asks for the right to delete in this very repository. Some token servers do not know the
/// word, so it is not said before.
pub(super) fn asks_to_delete(scope: &str, repository: &Repository) -> bool {
    actions(scope, repository).any(|action| matches!(action.as_str(), "delete" | "*"))
}

/// Returns the actions that a challenge names for this very repository beside reading, writing and deleting: what a
/// request needs of those is known here, and no server talks us into more.
pub(super) fn further_actions(scope: &str, repository: &Repository) -> Vec<String> {
    let word = |action: &String| {
        (1..=32).contains(&action.len()) && action.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let known = |action: &String| matches!(action.as_str(), "pull" | "push" | "delete");
    actions(scope, repository).filter(|action| word(action) && !known(action)).collect()
}

fn actions(scope: &str, repository: &Repository) -> impl Iterator<Item = String> {
    let own = |scope: &str| {
        let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
        (name == repository.path()).then(|| actions.split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    scope.split_ascii_whitespace().filter_map(own).flatten()
}

/// What we call ourselves where a token server asks.
const CLIENT_ID: &str = "countersign";
/// Seconds, where the token server says nothing ([token specification]).
///
/// [token specification]: https://distribution.github.io/distribution/spec/auth/token/
const DEFAULT_LIFETIME: f64 = 60.0;
/// Seconds, whatever the token server says.
const LONGEST_LIFETIME: f64 = 24.0 * 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_what_the_request_needs() {
        let repository: Repository = "ghcr.io/octo/app".parse().unwrap();
        let source: Repository = "ghcr.io/octo/build".parse().unwrap();
        let endpoint = crate::registry::Endpoint::unmapped("ghcr.io");
        let of = |action, also_read, deletes, further: &[&str]| {
            let need = Need { endpoint: &endpoint, repository: &repository, action, also_read };
            scopes(need, deletes, further.iter().copied())
        };
        assert_eq!(of(Action::Read, None, false, &[]), ["repository:octo/app:pull"]);
        assert_eq!(of(Action::Write, None, false, &[]), ["repository:octo/app:pull,push"]);
        assert_eq!(of(Action::Delete, None, false, &[]), ["repository:octo/app:pull,push"]);
        assert_eq!(of(Action::Delete, None, true, &[]), ["repository:octo/app:pull,push,delete"]);
        assert_eq!(of(Action::Read, None, false, &["metadata_read"]), ["repository:octo/app:pull,metadata_read"]);
        let both = ["repository:octo/app:pull,push", "repository:octo/build:pull"];
        assert_eq!(of(Action::Write, Some(&source), false, &[]), both);
        assert_eq!(of(Action::Write, Some(&repository), false, &[]), both[..1]);
    }

    #[test]
    fn the_right_to_delete_is_asked_for_where_this_repository_is_meant() {
        let repository: Repository = "ghcr.io/octo/app".parse().unwrap();
        for scope in ["repository:octo/app:delete", "repository:octo/app:pull,push,delete", "repository:octo/app:*"] {
            assert!(asks_to_delete(scope, &repository), "{scope}");
        }
        for scope in ["", "repository:octo/app:pull,push", "repository:victim/app:delete", "registry:catalog:*"] {
            assert!(!asks_to_delete(scope, &repository), "{scope}");
        }
    }

    #[test]
    fn a_challenge_cannot_ask_for_other_repositories_or_more_rights() {
        let repository: Repository = "ghcr.io/octo/app".parse().unwrap();
        for (scope, expected) in [
            ("repository:octo/app:pull", &[][..]),
            ("repository:octo/app:pull,push,delete", &[]),
            ("repository:octo/app:*", &[]),
            ("repository:victim/app:pull,push", &[]),
            ("registry:catalog:*", &[]),
            ("repository:octo/app:metadata_read", &["metadata_read"]),
            ("repository:octo/app:pull,metadata_read repository:victim/app:metadata_write", &["metadata_read"]),
            ("repository:octo/app:x y", &["x"]),
            ("repository:octo/app:UPPER,a:b,", &[]),
            ("", &[]),
        ] {
            assert_eq!(further_actions(scope, &repository), expected, "{scope}");
        }
    }

    #[test]
    fn lifetimes_are_believed_within_reason() {
        let of = |text: &str| lifetime(serde_json::from_str(text).unwrap());
        assert_eq!(of("300"), Duration::from_secs(270));
        assert_eq!(of("null"), Duration::from_secs(54));
        assert_eq!(of("-5"), Duration::from_secs(54));
        assert_eq!(of("1e300"), Duration::from_secs(77_760));
        assert_eq!(of("18446744073709551615"), Duration::from_secs(77_760));
        assert_eq!(of("0"), Duration::from_secs(54));
    }
}
