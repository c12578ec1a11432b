//! The identity token: where it comes from and what it has to say.

mod ambient;

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_oci::{Secret, limits};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::error::SignError;
use crate::services::Transport;

/// The audience that the certificate authority accepts.
pub(crate) const AUDIENCE: &str = "sigstore";
/// How far this machine's clock may be behind the issuer's: what the certificate authority allows too.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What the environment offers: binaries read it, libraries are given it.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `SIGSTORE_ID_TOKEN`: a token that the CI system put there (GitLab's `id_tokens`, for example).
    pub sigstore_id_token: Option<Secret>,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: where a GitHub Actions job with `id-token: write` gets its token.
    pub actions_request_url: Option<String>,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`: what it shows there.
    pub actions_request_token: Option<Secret>,
    /// Whether `GITHUB_ACTIONS` is set.
    pub github_actions: bool,
}

/// Where the identity token comes from. Never a browser and never a device flow: a release job has neither.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IdentitySource {
    /// The GitHub Actions ambient protocol.
    GitHubActions {
        /// The address, with or without a query.
        url: String,
        /// What authorises the request.
        token: Secret,
    },
    /// A token that is there already.
    Token {
        /// What errors call its origin.
        origin: &'static str,
        /// The token.
        token: Secret,
    },
}

impl IdentitySource {
    /// Chooses the source: the flag, then `SIGSTORE_ID_TOKEN`, then GitHub Actions. An empty variable counts as absent. Without any of them
    /// the error names what is missing.
    pub fn choose(flag: Option<&Secret>, environment: &Environment) -> Result<Self, SignError> {
        if let Some(value) = flag {
            let token = read_flag(value)?;
            let origin = "--identity-token";
            return Ok(Self::Token { origin, token });
        }
        let filled = |secret: &&Secret| !secret.is_empty();
        if let Some(token) = environment.sigstore_id_token.as_ref().filter(filled) {
            return Ok(Self::Token { origin: "SIGSTORE_ID_TOKEN", token: token.clone() });
        }
        let url = environment.actions_request_url.as_ref().filter(|url| !url.is_empty());
        let token = environment.actions_request_token.as_ref().filter(filled);
        match (url, token) {
            (Some(url), Some(token)) => Ok(Self::GitHubActions { url: url.clone(), token: token.clone() }),
            _ => Err(SignError::IdentityTokenAbsent { github_actions: environment.github_actions }),
        }
    }

    /// Gets the token and checks it.
    pub(crate) async fn fetch(&self, transport: &Transport, now: Timestamp) -> Result<IdentityToken, SignError> {
        match self {
            Self::Token { origin, token } => IdentityToken::parse(origin, token.clone(), now),
            Self::GitHubActions { url, token } => {
                let token = ambient::request(transport, url, token).await?;
                IdentityToken::parse("GitHub Actions", token, now)
            }
        }
    }
}

/// The flag holds a token, or the path of a file that holds one.
fn read_flag(value: &Secret) -> Result<Secret, SignError> {
    let value = value.expose().trim();
    if looks_like_token(value) {
        return Ok(Secret::new(value.to_owned()));
    }
    // What is not a file may still be a damaged token: the error shows nothing of it.
    let failed = |source| SignError::IdentityTokenFile { source };
    let file = std::fs::File::open(Path::new(value)).map_err(failed)?;
    let mut text = String::new();
    file.take(limits::IDENTITY_TOKEN_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// What begins like a token, or like the answer that one comes in, is never taken for a path.
fn looks_like_token(text: &str) -> bool {
    text.starts_with("eyJ") || is_json(text)
}

/// Identity providers answer with a JSON document that the token is a member of; the token by itself never looks like one.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '"'])
}

/// Why a text is not a JSON Web Token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenProblem {
    /// Its claims are not the ones of an identity token.
    ForeignClaims,
    /// It is a JSON document: an identity provider's whole answer.
    JsonDocument,
    /// One of its parts is not base64url.
    NotBase64Url,
    /// It does not have three parts.
    NotThreeParts,
    /// It is larger than 64 KiB.
    TooLarge,
}

impl std::fmt::Display for TokenProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ForeignClaims => "its claims are not the ones of an identity token",
            Self::JsonDocument => "it is a JSON document",
            Self::NotBase64Url => "a part is not base64url",
            Self::NotThreeParts => "it does not have three parts",
            Self::TooLarge => "it is larger than 64 KiB",
        })
    }
}

/// An identity token that the certificate authority can be expected to accept. Its signature is for the authority to check.
///
/// It has no `Display`, and its `Debug` shows claims only.
#[derive(Clone)]
pub struct IdentityToken {
    text: Secret,
    claims: Claims,
}

/// The claims that are looked at; everything else is the authority's.
#[derive(Clone, Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    email: Option<String>,
    email_verified: Option<Verified>,
    federated_claims: Option<FederatedClaims>,
    repository: Option<String>,
    job_workflow_ref: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Verified {
    Flag(bool),
    Text(String),
}

#[derive(Clone, Debug, Deserialize)]
struct FederatedClaims {
    connector_id: Option<String>,
}

impl IdentityToken {
    /// Parses a token. Refuses what is not a JSON Web Token or larger than 64 KiB, a token for another audience, one that has expired or is
    /// not valid yet, and one without issuer or subject.
    pub fn parse(origin: &'static str, text: Secret, now: Timestamp) -> Result<Self, SignError> {
        let malformed = |problem| SignError::IdentityTokenMalformed { origin, problem };
        if text.expose().len() as u64 > limits::IDENTITY_TOKEN_BYTES {
            return Err(malformed(TokenProblem::TooLarge));
        }
        if is_json(text.expose()) {
            return Err(malformed(TokenProblem::JsonDocument));
        }
        let parts: Vec<&str> = text.expose().split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(malformed(TokenProblem::NotThreeParts));
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('='));
        if decode(header).is_err() || decode(signature).is_err() {
            return Err(malformed(TokenProblem::NotBase64Url));
        }
        let payload = decode(payload).map_err(|_| malformed(TokenProblem::NotBase64Url))?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| malformed(TokenProblem::ForeignClaims))?;
        let token = Self { text, claims };
        token.check(now)?;
        Ok(token)
    }

    fn check(&self, now: Timestamp) -> Result<(), SignError> {
        let claims = &self.claims;
        let refused =
            |claim, found: String, expected: String| Err(SignError::IdentityTokenClaim { claim, found, expected });
        let audiences = match &claims.aud {
            Some(Audience::One(audience)) => std::slice::from_ref(audience),
            Some(Audience::Many(audiences)) => audiences.as_slice(),
            None => &[],
        };
        if !audiences.iter().any(|audience| audience == AUDIENCE) {
            return refused("aud", shown(&audiences.join(", ")), format!("{AUDIENCE:?}"));
        }
        if claims.iss.is_empty() {
            return refused("iss", shown(""), "the issuer's URL".to_owned());
        }
        match claims.exp.map(time) {
            None => return refused("exp", "absent".to_owned(), "a time".to_owned()),
            Some(expiry) if expiry <= now => {
                return refused("exp", expiry.to_string(), format!("later than {now}"));
            }
            Some(_) => {}
        }
        if let Some(start) = claims.nbf.map(time)
            && start.duration_since(now) > SKEW
        {
            return refused("nbf", start.to_string(), format!("no later than {now}"));
        }
        if self.proof_of_possession().is_empty() {
            return refused("sub", shown(""), "the subject's name".to_owned());
        }
        Ok(())
    }

    /// What the certificate authority wants signed as proof of possession of the key: the verified e-mail address, else the subject.
    pub(crate) fn proof_of_possession(&self) -> &str {
        self.verified_email().or(self.claims.sub.as_deref()).unwrap_or_default()
    }

    pub(crate) fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The issuers under which a certificate for this token may be filed: the token's own, or the one that a federating issuer names.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        let federated = self.claims.federated_claims.as_ref().and_then(|claims| claims.connector_id.as_deref());
        std::iter::once(self.claims.iss.as_str()).chain(federated)
    }

    /// The e-mail address, if the issuer vouches for it.
    pub fn verified_email(&self) -> Option<&str> {
        let verified = match self.claims.email_verified.as_ref()? {
            Verified::Flag(verified) => *verified,
            Verified::Text(text) => text == "true",
        };
        let email = self.claims.email.as_deref()?;
        (verified && !email.is_empty()).then_some(email)
    }

    /// The repository that a GitHub Actions job runs for, as `owner/name`.
    pub fn github_repository(&self) -> Option<&str> {
        self.claims.job_workflow_ref.as_ref()?;
        self.claims.repository.as_deref()
    }

    /// The workflow that a GitHub Actions job was written in, as `owner/name/path@ref`.
    pub fn github_workflow(&self) -> Option<&str> {
        self.claims.job_workflow_ref.as_deref()
    }
}

impl std::fmt::Debug for IdentityToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityToken")
            .field("iss", &self.claims.iss)
            .field("sub", &self.claims.sub)
            .finish_non_exhaustive()
    }
}

/// Claims are what somebody else wrote: shortened, quoted, and without control characters.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    format!("{text:?}")
}

/// Numeric dates may have fractions (RFC 7519 section 2); what no calendar knows is clamped.
fn time(seconds: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float casts to the nearest integer there is, which is what clamping wants"
    )]
    let seconds = seconds as i64;
    let (earliest, latest) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds.clamp(earliest, latest)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn token(claims: &str) -> Secret {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        Secret::new(format!("{}.{}.{}", encode(r#"{"alg":"RS256"}"#), encode(claims), encode("signature")))
    }

    fn parse(claims: &str) -> Result<IdentityToken, SignError> {
        IdentityToken::parse("test", token(claims), now())
    }

    #[test]
    fn a_token_for_the_audience_that_is_valid_now_is_accepted() {
        for claims in [
            r#"{"iss":"https://i","sub":"s","aud":"sigstore","exp":1800000001}"#,
            r#"{"iss":"https://i","sub":"s","aud":["x","sigstore"],"exp":1800000001.5,"nbf":1800000300}"#,
        ] {
            let token = parse(claims).unwrap();
            assert_eq!(token.proof_of_possession(), "s");
            assert_eq!(token.issuers().collect::<Vec<_>>(), ["https://i"]);
        }
    }

    #[test]
    fn each_claim_that_the_authority_would_refuse_is_named() {
        let table = [
            (r#"{"iss":"i","sub":"s","aud":"https://github.com/octo","exp":1800000001}"#, "aud"),
            (r#"{"iss":"i","sub":"s","aud":[],"exp":1800000001}"#, "aud"),
            (r#"{"iss":"i","sub":"s","exp":1800000001}"#, "aud"),
            (r#"{"sub":"s","aud":"sigstore","exp":1800000001}"#, "iss"),
            (r#"{"iss":"i","sub":"s","aud":["sigstore.dev"],"exp":1800000001}"#, "aud"),
            (r#"{"iss":"i","sub":"s","aud":"sigstore","exp":1800000000}"#, "exp"),
            (r#"{"iss":"i","sub":"s","aud":"sigstore","exp":-1e300}"#, "exp"),
            (r#"{"iss":"i","sub":"s","aud":"sigstore"}"#, "exp"),
            (r#"{"iss":"i","sub":"s","aud":"sigstore","exp":1800000900,"nbf":1800000301}"#, "nbf"),
            (r#"{"iss":"","sub":"s","aud":"sigstore","exp":1800000001}"#, "iss"),
            (r#"{"iss":"i","sub":"","aud":"sigstore","exp":1800000001}"#, "sub"),
            (r#"{"iss":"i","aud":"sigstore","exp":1800000001}"#, "sub"),
        ];
        for (claims, expected) in table {
            match parse(claims) {
                Err(SignError::IdentityTokenClaim { claim, .. }) => assert_eq!(claim, expected),
                other => panic!("{claims}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let whole = token(r#"{"iss":"i","sub":"s","aud":"sigstore","exp":1800000001}"#);
        let cut = whole.expose().rsplit_once('.').unwrap().0.to_owned();
        for text in [
            String::new(),
            "a.b".to_owned(),
            "a.b.c.d".to_owned(),
            "!.e30.e30".to_owned(),
            "e30.W10.e30".to_owned(),
            "e30.eyJhdWQiOjF9.e30".to_owned(),
            cut,
            format!("{}{}", whole.expose(), "A".repeat(64 << 10)),
        ] {
            let error = IdentityToken::parse("test", Secret::new(text), now()).unwrap_err();
            assert!(matches!(error, SignError::IdentityTokenMalformed { .. }));
        }
    }

    #[test]
    fn the_whole_answer_of_a_provider_is_told_from_the_token_in_it() {
        let token = token(r#"{"iss":"i","sub":"s","aud":"sigstore","exp":1800000001}"#);
        let answer = format!(r#"{{"count":1,"value":"{}"}}"#, token.expose());
        for text in [answer.clone(), format!("\n{answer}"), format!("\"{}\"", token.expose())] {
            // As a flag it is not looked for on disk, whose errors would show it.
            let text = read_flag(&Secret::new(text)).unwrap();
            let error = IdentityToken::parse("test", text, now()).unwrap_err();
            assert!(matches!(error, SignError::IdentityTokenMalformed { problem: TokenProblem::JsonDocument, .. }));
            assert!(error.hint().unwrap().contains(r#"the member "value" of the answer"#));
            assert!(!error.to_string().contains(token.expose()));
        }
    }

    #[test]
    fn a_token_that_has_expired_is_to_be_replaced() {
        let error = parse(r#"{"iss":"i","sub":"s","aud":"sigstore","exp":1799999999}"#).unwrap_err();
        assert!(error.hint().unwrap().contains("a new token"), "{error:?}");
    }

    #[test]
    fn only_a_verified_email_is_what_possession_is_proven_over() {
        let table = [
            (r#""email":"a@b.c","email_verified":true"#, "a@b.c"),
            (r#""email":"a@b.c","email_verified":"true""#, "a@b.c"),
            (r#""email":"a@b.c","email_verified":false"#, "s"),
            (r#""email":"a@b.c""#, "s"),
            (r#""email":"","email_verified":true"#, "s"),
        ];
        for (claims, expected) in table {
            let token =
                parse(&format!(r#"{{"iss":"i","sub":"s","aud":"sigstore","exp":1800000001,{claims}}}"#)).unwrap();
            assert_eq!(token.proof_of_possession(), expected, "{claims}");
        }
    }

    #[test]
    fn debug_shows_nothing_that_could_be_sent() {
        let secret = token(r#"{"iss":"i","sub":"s","aud":"sigstore","exp":1800000001}"#);
        let parsed = IdentityToken::parse("test", secret.clone(), now()).unwrap();
        let source = IdentitySource::Token { origin: "test", token: secret.clone() };
        for text in [format!("{parsed:?}"), format!("{source:?}")] {
            assert!(!text.contains(secret.expose()), "{text}");
            assert!(!text.contains("eyJ"), "{text}");
        }
    }

    #[test]
    fn the_flag_outranks_the_variable_and_that_the_ambient_protocol() {
        let mut environment = Environment {
            sigstore_id_token: Some(Secret::new("eyJ.variable.x".to_owned())),
            actions_request_url: Some("https://example/token".to_owned()),
            actions_request_token: Some(Secret::new("t".to_owned())),
            github_actions: true,
        };
        let flag = Secret::new("eyJ.flag.x".to_owned());
        let chosen = IdentitySource::choose(Some(&flag), &environment).unwrap();
        assert!(matches!(chosen, IdentitySource::Token { origin: "--identity-token", .. }));
        let chosen = IdentitySource::choose(None, &environment).unwrap();
        assert!(matches!(chosen, IdentitySource::Token { origin: "SIGSTORE_ID_TOKEN", .. }));
        environment.sigstore_id_token = Some(Secret::new(String::new()));
        let chosen = IdentitySource::choose(None, &environment).unwrap();
        assert!(matches!(chosen, IdentitySource::GitHubActions { .. }));
        environment.actions_request_url = None;
        let error = IdentitySource::choose(None, &environment).unwrap_err();
        assert!(error.hint().unwrap().contains("id-token: write"));
        environment.github_actions = false;
        let error = IdentitySource::choose(None, &environment).unwrap_err();
        assert!(error.hint().unwrap().contains("SIGSTORE_ID_TOKEN"));
    }

    #[test]
    fn a_flag_that_is_no_token_is_a_file_of_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "eyJ.file.x\n").unwrap();
        let flag = Secret::new(path.to_str().unwrap().to_owned());
        assert_eq!(read_flag(&flag).unwrap().expose(), "eyJ.file.x");
        std::fs::write(&path, "a".repeat(1 << 20)).unwrap();
        assert_eq!(read_flag(&flag).unwrap().expose().len() as u64, limits::IDENTITY_TOKEN_BYTES + 1);
        let absent = Secret::new(folder.path().join("absent").to_str().unwrap().to_owned());
        assert!(matches!(read_flag(&absent), Err(SignError::IdentityTokenFile { .. })));
    }

    #[test]
    fn a_damaged_token_is_never_shown() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlQ0FOQVJZ";
        assert_eq!(read_flag(&Secret::new(format!(" \n{token}\n"))).unwrap().expose(), token);
        for damaged in
            [format!("Bearer {token}"), format!("'{token}'"), token.replacen("eyJ", "", 1), format!(".{token}")]
        {
            let error = read_flag(&Secret::new(damaged)).unwrap_err();
            let shown = format!("{error} {error:?} {:?} {:?}", error.hint(), std::error::Error::source(&error));
            assert!(!shown.contains("c2lnbmF0"), "{shown}");
        }
    }
}
