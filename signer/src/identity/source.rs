//! Where the identity token comes from.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use countersign_oci::{Secret, limits};

use super::ci::{Ci, MissingToken};
use super::token::IdentityToken;
use super::{buildkite, github};
use crate::error::SignError;
use crate::services::Transport;

/// Where cosign, and what mounts tokens for it, has a token file.
pub const COSIGN_TOKEN_FILE: &str = "/var/run/sigstore/cosign/oidc-token";

/// What the environment offers: binaries read it, libraries are given it.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `SIGSTORE_ID_TOKEN`: a token that the CI system put there (GitLab's `id_tokens`, for example).
    pub sigstore_id_token: Option<Secret>,
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`: where a GitHub Actions job with `id-token: write` gets its token.
    pub actions_request_url: Option<String>,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`: what it shows there.
    pub actions_request_token: Option<Secret>,
    /// What a Buildkite job asks its agent's API with.
    pub buildkite: BuildkiteEnvironment,
    /// `CIRCLE_OIDC_TOKEN_V2`, else `CIRCLE_OIDC_TOKEN`.
    pub circleci_token: Option<Secret>,
    /// The file at [`COSIGN_TOKEN_FILE`], where there is one.
    pub token_file: Option<PathBuf>,
    /// The CI system that this runs in.
    pub ci: Option<Ci>,
}

/// The variables of a Buildkite job.
#[derive(Clone, Debug, Default)]
pub struct BuildkiteEnvironment {
    /// `BUILDKITE_AGENT_ENDPOINT`: the API, where it is not Buildkite's own.
    pub endpoint: Option<String>,
    /// `BUILDKITE_AGENT_ACCESS_TOKEN`: what the job shows there.
    pub access_token: Option<Secret>,
    /// `BUILDKITE_JOB_ID`: the job.
    pub job_id: Option<String>,
}

/// The name of a source, for who forces one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// The API of the Buildkite agent.
    Buildkite,
    /// CircleCI's variable.
    CircleCi,
    /// `SIGSTORE_ID_TOKEN`.
    Env,
    /// The file at [`COSIGN_TOKEN_FILE`].
    File,
    /// The GitHub Actions protocol.
    GitHubActions,
    /// GitLab's `id_tokens`, which fill `SIGSTORE_ID_TOKEN`.
    GitLab,
}

impl Provider {
    /// Every name that is accepted, cosign's among them.
    pub const NAMES: [&str; 9] =
        ["github-actions", "gitlab", "buildkite", "circleci", "file", "env", "buildkite-agent", "filesystem", "envvar"];
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "buildkite" | "buildkite-agent" => Ok(Self::Buildkite),
            "circleci" => Ok(Self::CircleCi),
            "env" | "envvar" => Ok(Self::Env),
            "file" | "filesystem" => Ok(Self::File),
            "github-actions" => Ok(Self::GitHubActions),
            "gitlab" => Ok(Self::GitLab),
            other => Err(format!("{other:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// Where the identity token comes from. Never a browser and never a device flow: a release job has neither.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum IdentitySource {
    /// The API of a Buildkite agent.
    Buildkite {
        /// The API.
        endpoint: String,
        /// The job.
        job: String,
        /// What authorises the request.
        token: Secret,
    },
    /// A file, which somebody may renew.
    File {
        /// What errors call its origin.
        origin: &'static str,
        /// Where it is.
        path: PathBuf,
    },
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
    /// Chooses the source: the flag (a token or the path of a file), then `SIGSTORE_ID_TOKEN`, then GitHub Actions, Buildkite, CircleCI,
    /// then cosign's file. An empty variable counts as absent. Without any of them the error names what is missing.
    pub fn choose(flag: Option<&Secret>, environment: &Environment) -> Result<Self, SignError> {
        if let Some(value) = flag {
            return read_flag(value);
        }
        environment
            .variable()
            .or_else(|| environment.github_actions())
            .or_else(|| environment.buildkite())
            .or_else(|| environment.circleci())
            .or_else(|| environment.file())
            .ok_or_else(|| SignError::IdentityTokenAbsent { missing: MissingToken::of(environment.ci) })
    }

    /// The source of that name and no other.
    pub fn of(provider: Provider, environment: &Environment) -> Result<Self, SignError> {
        let (source, missing) = match provider {
            Provider::Buildkite => (environment.buildkite(), MissingToken::Buildkite),
            Provider::CircleCi => (environment.circleci(), MissingToken::CircleCi),
            Provider::Env => (environment.variable(), MissingToken::Variable),
            Provider::File => (environment.file(), MissingToken::File),
            Provider::GitHubActions => {
                let fork = matches!(environment.ci, Some(Ci::GitHubActions { fork: true }));
                let missing = MissingToken::of(Some(Ci::GitHubActions { fork }));
                (environment.github_actions(), missing)
            }
            Provider::GitLab => (environment.variable(), MissingToken::GitLab),
        };
        source.ok_or(SignError::IdentityTokenAbsent { missing })
    }

    /// Whether there may be another token later than the one that it gave.
    pub(crate) const fn renewable(&self) -> bool {
        !matches!(self, Self::Token { .. })
    }

    /// Gets the token and checks it.
    pub(crate) async fn fetch(&self, transport: &Transport) -> Result<IdentityToken, SignError> {
        let (origin, token) = match self {
            Self::Buildkite { endpoint, job, token } => {
                ("Buildkite", buildkite::request(transport, endpoint, job, token).await?)
            }
            Self::File { origin, path } => (*origin, read_file(path)?),
            Self::GitHubActions { url, token } => ("GitHub Actions", github::request(transport, url, token).await?),
            Self::Token { origin, token } => (*origin, token.clone()),
        };
        IdentityToken::parse(origin, token, transport.budget().now())
    }
}

impl Environment {
    fn variable(&self) -> Option<IdentitySource> {
        let token = self.sigstore_id_token.clone().filter(filled)?;
        Some(IdentitySource::Token { origin: "SIGSTORE_ID_TOKEN", token })
    }

    fn github_actions(&self) -> Option<IdentitySource> {
        let url = self.actions_request_url.clone().filter(|url| !url.is_empty())?;
        let token = self.actions_request_token.clone().filter(filled)?;
        Some(IdentitySource::GitHubActions { url, token })
    }

    fn buildkite(&self) -> Option<IdentitySource> {
        let of = &self.buildkite;
        let job = of.job_id.clone().filter(|job| !job.is_empty())?;
        let token = of.access_token.clone().filter(filled)?;
        let endpoint = of.endpoint.clone().filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| buildkite::ENDPOINT.to_owned());
        Some(IdentitySource::Buildkite { endpoint, job, token })
    }

    fn circleci(&self) -> Option<IdentitySource> {
        let token = self.circleci_token.clone().filter(filled)?;
        Some(IdentitySource::Token { origin: CIRCLECI_ORIGIN, token })
    }

    fn file(&self) -> Option<IdentitySource> {
        let path = self.token_file.clone()?;
        Some(IdentitySource::File { origin: COSIGN_TOKEN_FILE, path })
    }
}

/// What errors call CircleCI's token, which is seldom for the right audience.
pub(crate) const CIRCLECI_ORIGIN: &str = "CIRCLE_OIDC_TOKEN_V2";

fn filled(secret: &Secret) -> bool {
    !secret.is_empty()
}

/// The flag holds a token, or the path of a file that holds one.
fn read_flag(value: &Secret) -> Result<IdentitySource, SignError> {
    let origin = "--identity-token";
    let value = value.expose().trim();
    if looks_like_token(value) {
        return Ok(IdentitySource::Token { origin, token: Secret::new(value.to_owned()) });
    }
    // What is not a file may still be a damaged token: it is looked at now, and the error shows nothing of it.
    let path = PathBuf::from(value);
    let token = read_file(&path)?;
    // What another program writes into a pipe can be read once.
    let renewable = std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file());
    Ok(if renewable { IdentitySource::File { origin, path } } else { IdentitySource::Token { origin, token } })
}

fn read_file(path: &Path) -> Result<Secret, SignError> {
    let failed = |source| SignError::IdentityTokenFile { source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(limits::IDENTITY_TOKEN_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// What begins like a token, or like the answer that one comes in, is never taken for a path.
fn looks_like_token(text: &str) -> bool {
    text.starts_with("eyJ") || is_json(text)
}

/// Identity providers answer with a JSON document that the token is a member of; the token by itself never looks like one.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '"'])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::identity::TokenProblem;

    #[test]
    fn the_flag_outranks_the_variable_and_that_the_ambient_protocol() {
        let mut environment = Environment {
            sigstore_id_token: Some(Secret::new("eyJ.variable.x".to_owned())),
            actions_request_url: Some("https://example/token".to_owned()),
            actions_request_token: Some(Secret::new("t".to_owned())),
            ci: Some(Ci::GitHubActions { fork: false }),
            ..Environment::default()
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
        environment.ci = None;
        let error = IdentitySource::choose(None, &environment).unwrap_err();
        assert!(error.hint().unwrap().contains("SIGSTORE_ID_TOKEN"));
    }

    #[test]
    fn a_flag_that_is_no_token_is_a_file_of_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "eyJ.file.x\n").unwrap();
        let flag = Secret::new(path.to_str().unwrap().to_owned());
        assert!(matches!(read_flag(&flag).unwrap(), IdentitySource::File { origin: "--identity-token", .. }));
        assert_eq!(read_file(&path).unwrap().expose(), "eyJ.file.x");
        std::fs::write(&path, "a".repeat(1 << 20)).unwrap();
        assert_eq!(read_file(&path).unwrap().expose().len() as u64, limits::IDENTITY_TOKEN_BYTES + 1);
        let absent = Secret::new(folder.path().join("absent").to_str().unwrap().to_owned());
        assert!(matches!(read_flag(&absent), Err(SignError::IdentityTokenFile { .. })));
    }

    #[test]
    fn a_damaged_token_is_never_shown() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlQ0FOQVJZ";
        let source = read_flag(&Secret::new(format!(" \n{token}\n"))).unwrap();
        assert!(matches!(source, IdentitySource::Token { token: kept, .. } if kept.expose() == token));
        for damaged in
            [format!("Bearer {token}"), format!("'{token}'"), token.replacen("eyJ", "", 1), format!(".{token}")]
        {
            let error = read_flag(&Secret::new(damaged)).unwrap_err();
            let shown = format!("{error} {error:?} {:?} {:?}", error.hint(), std::error::Error::source(&error));
            assert!(!shown.contains("c2lnbmF0"), "{shown}");
        }
    }

    #[test]
    fn the_whole_answer_of_a_provider_is_told_from_the_token_in_it() {
        let token = "e30.e30.e30";
        let answer = format!(r#"{{"count":1,"value":"{token}"}}"#);
        for text in [answer.clone(), format!("\n{answer}"), format!("\"{token}\"")] {
            // As a flag it is not looked for on disk, whose errors would show it.
            let IdentitySource::Token { origin, token: text } = read_flag(&Secret::new(text)).unwrap() else {
                panic!("{answer} is a file");
            };
            let error = IdentityToken::parse(origin, text, Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(matches!(error, SignError::IdentityTokenMalformed { problem: TokenProblem::JsonDocument, .. }));
            assert!(error.hint().unwrap().contains(r#"the member "value" of the answer"#));
            assert!(!error.to_string().contains(token));
        }
    }
}
