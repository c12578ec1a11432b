//! Who signs: what the certificate says, and what the token lets expect of it.

use countersign_policy::{GithubSpec, Policy, SignerSpec};

use super::token::IdentityToken;
use crate::error::SignError;
use crate::services::{Certificate, Service};

const GITHUB: &str = "https://github.com/";
const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Who the signer is, as the certificate names it; what consumers have to put into their policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignerIdentity {
    /// The issuer of the identity token.
    pub issuer: String,
    /// The certificate's subject alternative name.
    pub identity: String,
    /// The repository that a GitHub Actions job ran for, as `owner/name`. A workflow that others can call gives its name to all of
    /// them, so a policy needs both.
    pub github_repository: Option<String>,
}

impl SignerIdentity {
    /// Reads the identity from the certificate and compares it with what the token says: the certificate has to be for the token's
    /// issuer, and for its e-mail address or workflow.
    pub fn new(token: &IdentityToken, certificate: &Certificate, authority: &str) -> Result<Self, SignError> {
        let foreign = |what: &str, found: Option<&str>| SignError::ServiceMalformed {
            service: Service::Fulcio,
            url: authority.to_owned(),
            what: format!("the certificate's {what} {} is not the token's", found.unwrap_or("(none)")),
        };
        let issuer = certificate.issuer();
        if !issuer.is_some_and(|issuer| token.issuers().any(|named| named == issuer)) {
            return Err(foreign("issuer", issuer));
        }
        let name = certificate.subject_alternative_name();
        if !name.is_some_and(|name| matches_token(name, token)) {
            return Err(foreign("subject alternative name", name));
        }
        Ok(Self {
            issuer: issuer.unwrap_or_default().to_owned(),
            identity: name.unwrap_or_default().to_owned(),
            github_repository: token.github_repository().map(str::to_owned),
        })
    }

    /// The policy that admits this signer and nobody else.
    pub fn policy(&self) -> Result<Policy, SignError> {
        let claims = |repository: &String| GithubSpec { repository: Some(repository.clone()), ..GithubSpec::default() };
        let signer = SignerSpec {
            name: "self".to_owned(),
            issuer: Some(self.issuer.clone()),
            identity: Some(self.identity.clone()),
            github: self.github_repository.as_ref().map(claims),
            ..SignerSpec::default()
        };
        Policy::for_identity(signer).map_err(|source| SignError::IdentityUnusable { source: Box::new(source) })
    }
}

impl IdentityToken {
    /// Who will sign with this token, where that is known before a certificate is asked for: what Sigstore's certificate authorities write for
    /// jobs of GitHub Actions, GitLab, Buildkite and CircleCI, and for verified e-mail addresses.
    ///
    /// None for every other token, for a GitHub Enterprise server (its authority names its own host), and where the name has characters that
    /// might be written in another way.
    ///
    /// The templates: <https://github.com/sigstore/fulcio/blob/main/config/identity/config.yaml>
    pub fn expected_identity(&self) -> Option<SignerIdentity> {
        let claims = self.claims();
        let issuer = claims.iss.as_str();
        let known = |identity: String| SignerIdentity { issuer: issuer.to_owned(), identity, github_repository: None };
        if let Some(workflow) = &claims.job_workflow_ref {
            let repository = Some(claims.repository.clone()?);
            let plain = is_plain(workflow) && !issuer.ends_with("/_services/token");
            let signer = known(format!("{GITHUB}{workflow}"));
            return plain.then_some(SignerIdentity { github_repository: repository, ..signer });
        }
        if let Some(name) = self.name_by_pipeline() {
            return is_plain(&name).then(|| known(name));
        }
        let issuer = self.issuers().last()?.to_owned();
        let email = self.verified_email()?.to_owned();
        Some(SignerIdentity { issuer, identity: email, github_repository: None })
    }

    /// The name of a pipeline at an issuer whose template is known.
    fn name_by_pipeline(&self) -> Option<String> {
        let claims = self.claims();
        let host = claims.iss.strip_prefix("https://")?;
        if let Some(config) = &claims.ci_config_ref_uri {
            let there = config.strip_prefix(host).is_some_and(|rest| rest.starts_with('/'));
            return there.then(|| format!("https://{config}"));
        }
        if host == "agent.buildkite.com" {
            let (organization, pipeline) = (claims.organization_slug.as_ref()?, claims.pipeline_slug.as_ref()?);
            return Some(format!("https://buildkite.com/{organization}/{pipeline}"));
        }
        if host == "oidc.circleci.com" || host.starts_with("oidc.circleci.com/org/") {
            let (project, pipeline) = (claims.circleci_project.as_ref()?, claims.circleci_pipeline.as_ref()?);
            return Some(format!("https://circleci.com/api/v2/projects/{project}/pipeline-definitions/{pipeline}"));
        }
        None
    }
}

/// Whether a name has no character that an authority would write as `%20` or the like.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~/:@$&+,;=".contains(&byte))
}

/// A GitHub workflow is named by its address, a pipeline by what is made of its claims, an e-mail address by itself; other issuers' names
/// are the authority's to derive. A workflow's name may have spaces and the like in it, which the authority writes in percent.
fn matches_token(name: &str, token: &IdentityToken) -> bool {
    if let Some(workflow) = token.github_workflow() {
        let is_workflow = |path: &str| path == workflow || decoded(path).as_deref() == Some(workflow.as_bytes());
        let on_github = name.strip_prefix(GITHUB).is_some_and(is_workflow);
        let elsewhere = !token.issuers().any(|issuer| issuer.starts_with(GITHUB_ISSUER))
            && name
                .strip_prefix("https://")
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(_, path)| is_workflow(path));
        return on_github || elsewhere;
    }
    if let Some(expected) = token.name_by_pipeline() {
        return name == expected || decoded(name).as_deref() == Some(expected.as_bytes());
    }
    match token.verified_email() {
        Some(email) => name == email,
        None => true,
    }
}

/// Takes percent-encoding back; none where it is not well formed.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        plain.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use countersign_oci::Secret;

    use super::*;

    fn token(claims: &str) -> IdentityToken {
        let text = format!(r#"{{"aud":"sigstore","sub":"s","exp":2000000000,{claims}}}"#);
        let text = Secret::new(format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(text)));
        IdentityToken::parse("test", text, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_for_somebody_else_is_not_the_tokens() {
        let github = r#""iss":"https://token.actions.githubusercontent.com","repository":"o/r","job_workflow_ref":"o/r/.github/workflows/w.yml@refs/heads/main""#;
        let enterprise = github.replace("token.actions.githubusercontent.com", "ghe.example/_services/token");
        let email = r#""iss":"https://i","email":"mona@example.com","email_verified":true"#;
        let table = [
            (github, "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main", true),
            (github, "https://github.com/o/r/.github/workflows/w.yml@refs/heads/other", false),
            (github, "https://evil.example/o/r/.github/workflows/w.yml@refs/heads/main", false),
            (github, "mona@example.com", false),
            (&enterprise, "https://ghe.example/o/r/.github/workflows/w.yml@refs/heads/main", true),
            (&enterprise, "https://ghe.example/x/o/r/.github/workflows/w.yml@refs/heads/main", false),
            (email, "mona@example.com", true),
            (email, "lisa@example.com", false),
            (r#""iss":"https://gitlab.example""#, "https://gitlab.example/g/p//.gitlab-ci.yml@refs/heads/main", true),
        ];
        for (claims, name, expected) in table {
            assert_eq!(matches_token(name, &token(claims)), expected, "{claims} {name}");
        }
    }
}
