//! The identity token: what it has to say, and what becomes of it in a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_oci::{Secret, limits};
use jiff::{SignedDuration, Timestamp};

use super::AUDIENCE;
use super::claims::{Audience, Claims};
use super::source::is_json;
use crate::error::SignError;

/// How far this machine's clock may be behind the issuer's: what the certificate authority allows too.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

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
    expiry: Timestamp,
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
        let expiry = check(origin, &claims, now)?;
        Ok(Self { text, claims, expiry })
    }

    /// What the certificate authority wants signed as proof of possession of the key: the verified e-mail address, else the subject.
    pub(crate) fn proof_of_possession(&self) -> &str {
        self.claims.proof_of_possession()
    }

    pub(crate) fn expose(&self) -> &str {
        self.text.expose()
    }

    /// When it ends.
    pub const fn expiry(&self) -> Timestamp {
        self.expiry
    }

    /// The issuers under which a certificate for this token may be filed: the token's own, or the one that a federating issuer names.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        let federated = self.claims.federated_claims.as_ref().and_then(|claims| claims.connector_id.as_deref());
        std::iter::once(self.claims.iss.as_str()).chain(federated)
    }

    /// The e-mail address, if the issuer vouches for it.
    pub fn verified_email(&self) -> Option<&str> {
        self.claims.verified_email()
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

    pub(super) const fn claims(&self) -> &Claims {
        &self.claims
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

/// Refuses what the certificate authority would refuse, and returns the expiry.
fn check(origin: &'static str, claims: &Claims, now: Timestamp) -> Result<Timestamp, SignError> {
    let refused =
        |claim, found: String, expected: String| Err(SignError::IdentityTokenClaim { origin, claim, found, expected });
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
    let expiry = match claims.exp.map(time) {
        None => return refused("exp", "absent".to_owned(), format!("later than {now}, the time now")),
        Some(expiry) if expiry <= now => {
            return refused("exp", expiry.to_string(), format!("later than {now}, the time now"));
        }
        Some(expiry) => expiry,
    };
    if let Some(start) = claims.nbf.map(time)
        && start.duration_since(now) > SKEW
    {
        return refused("nbf", start.to_string(), format!("no later than {now}, the time now"));
    }
    if claims.proof_of_possession().is_empty() {
        return refused("sub", shown(""), "the subject's name".to_owned());
    }
    Ok(expiry)
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
    use super::super::IdentitySource;
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
}
