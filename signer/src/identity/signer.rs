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

    const GITHUB_CLAIMS: &str = r#""iss":"https://token.actions.githubusercontent.com","repository":"o/r","job_workflow_ref":"o/r/.github/workflows/w.yml@refs/heads/main""#;
    const GITLAB_CLAIMS: &str =
        r#""iss":"https://gitlab.com","ci_config_ref_uri":"gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main""#;
    const EMAIL_CLAIMS: &str = r#""iss":"https://i","email":"mona@example.com","email_verified":true"#;

    fn token(claims: &str) -> IdentityToken {
        let text = format!(r#"{{"aud":"sigstore","sub":"s","exp":2000000000,{claims}}}"#);
        let text = Secret::new(format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(text)));
        IdentityToken::parse("test", text, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_for_somebody_else_is_not_the_tokens() {
        let (github, gitlab, email) = (GITHUB_CLAIMS, GITLAB_CLAIMS, EMAIL_CLAIMS);
        let enterprise = github.replace("token.actions.githubusercontent.com", "ghe.example/_services/token");
        let spaces = github.replace("w.yml", "my w\u{e9}.yml");
        let elsewhere = gitlab.replace("https://gitlab.com", "https://gitlab.example");
        let table = [
            (github, "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main", true),
            (github, "https://github.com/o/r/.github/workflows/w.yml@refs/heads/other", false),
            (github, "https://evil.example/o/r/.github/workflows/w.yml@refs/heads/main", false),
            (github, "mona@example.com", false),
            (&spaces, "https://github.com/o/r/.github/workflows/my%20w%C3%A9.yml@refs/heads/main", true),
            (&spaces, "https://github.com/o/r/.github/workflows/my%20w%C3.yml@refs/heads/main", false),
            (&spaces, "https://github.com/o/r/.github/workflows/my%2", false),
            (&enterprise, "https://ghe.example/o/r/.github/workflows/w.yml@refs/heads/main", true),
            (&enterprise, "https://ghe.example/x/o/r/.github/workflows/w.yml@refs/heads/main", false),
            (email, "mona@example.com", true),
            (email, "lisa@example.com", false),
            (gitlab, "https://gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main", true),
            (gitlab, "https://gitlab.com/g/q//.gitlab-ci.yml@refs/heads/main", false),
            (&elsewhere, "https://gitlab.example/anything", true),
        ];
        for (claims, name, expected) in table {
            assert_eq!(matches_token(name, &token(claims)), expected, "{claims} {name}");
        }
    }

    #[test]
    fn who_will_sign_is_known_where_the_authoritys_template_is() {
        let buildkite = r#""iss":"https://agent.buildkite.com","organization_slug":"acme","pipeline_slug":"app""#;
        let circleci = r#""iss":"https://oidc.circleci.com/org/1f","oidc.circleci.com/project-id":"2a","oidc.circleci.com/pipeline-definition-id":"3b""#;
        let dex = r#""iss":"https://oauth2.sigstore.dev/auth","email":"mona@example.com","email_verified":true,"federated_claims":{"connector_id":"https://github.com/login/oauth"}"#;
        let table = [
            (
                GITHUB_CLAIMS,
                "https://token.actions.githubusercontent.com",
                "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main",
            ),
            (GITLAB_CLAIMS, "https://gitlab.com", "https://gitlab.com/g/p//.gitlab-ci.yml@refs/heads/main"),
            (buildkite, "https://agent.buildkite.com", "https://buildkite.com/acme/app"),
            (
                circleci,
                "https://oidc.circleci.com/org/1f",
                "https://circleci.com/api/v2/projects/2a/pipeline-definitions/3b",
            ),
            (EMAIL_CLAIMS, "https://i", "mona@example.com"),
            (dex, "https://github.com/login/oauth", "mona@example.com"),
        ];
        for (claims, issuer, identity) in table {
            let expected = token(claims).expected_identity().unwrap();
            assert_eq!((expected.issuer.as_str(), expected.identity.as_str()), (issuer, identity));
            let repository = claims.contains("job_workflow_ref").then_some("o/r");
            assert_eq!(expected.github_repository.as_deref(), repository);
            assert!(matches_token(identity, &token(claims)), "{identity}");
        }
        for unknown in [
            GITHUB_CLAIMS.replace("token.actions.githubusercontent.com", "ghe.example/_services/token"),
            GITHUB_CLAIMS.replace("w.yml", "my workflow.yml"),
            GITHUB_CLAIMS.replace(r#""repository":"o/r","#, ""),
            GITLAB_CLAIMS.replace("https://gitlab.com", "https://gitlab.example"),
            buildkite.replace("agent.buildkite.com", "agent.example"),
            buildkite.replace("organization_slug", "x"),
            circleci.replace("oidc.circleci.com/project-id", "x"),
            EMAIL_CLAIMS.replace("true", "false"),
            r#""iss":"https://i""#.to_owned(),
        ] {
            assert_eq!(token(&unknown).expected_identity(), None, "{unknown}");
        }
    }
}
