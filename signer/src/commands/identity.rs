//! Where the identity token comes from: a flag, else what the CI system put into the environment.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use countersign_oci::Secret;
use countersign_signer::SignError;
use countersign_signer::identity::{
    BuildkiteEnvironment, COSIGN_TOKEN_FILE, Ci, Environment, IdentitySource, Provider,
};
use serde::Deserialize;

/// Bytes of the file in which GitHub describes the event that a run is for.
const EVENT_BYTES: u64 = 4 << 20;

/// Who signs.
#[derive(Args)]
#[command(next_help_heading = "Identity")]
pub(crate) struct IdentityFlags {
    /// The identity token, with the audience `sigstore`, or a file that holds it. A token on the command line shows in the list of
    /// processes: prefer a file, which is read again when the token in it ends, or the variable SIGSTORE_ID_TOKEN. Without the flag the first
    /// of these counts: SIGSTORE_ID_TOKEN (GitLab's `id_tokens`), the token of a GitHub Actions job with the permission
    /// `id-token: write`, the one of a Buildkite job, CIRCLE_OIDC_TOKEN_V2 of a CircleCI job, the file
    /// /var/run/sigstore/cosign/oidc-token. There is no browser and no device flow.
    #[arg(long, value_name = "TOKEN|FILE", env = "COUNTERSIGN_IDENTITY_TOKEN", hide_env_values = true)]
    identity_token: Option<String>,

    /// Takes the identity token from there and from nowhere else. `buildkite-agent`, `envvar` and `filesystem` are cosign's names.
    ///
    /// The variables that are read: SIGSTORE_ID_TOKEN (`env`, `gitlab`); ACTIONS_ID_TOKEN_REQUEST_URL and
    /// ACTIONS_ID_TOKEN_REQUEST_TOKEN; BUILDKITE_AGENT_ACCESS_TOKEN, BUILDKITE_JOB_ID and BUILDKITE_AGENT_ENDPOINT;
    /// CIRCLE_OIDC_TOKEN_V2, else CIRCLE_OIDC_TOKEN. To say what is missing: CI, GITHUB_ACTIONS, GITHUB_EVENT_NAME, GITHUB_EVENT_PATH,
    /// GITLAB_CI, BUILDKITE, CIRCLECI.
    #[arg(
        long,
        value_name = "NAME",
        env = "COUNTERSIGN_OIDC_PROVIDER",
        conflicts_with = "identity_token",
        value_parser = PossibleValuesParser::new(Provider::NAMES)
    )]
    oidc_provider: Option<String>,
}

impl IdentityFlags {
    /// Chooses the source of the token.
    pub(crate) fn source(&self) -> Result<IdentitySource, SignError> {
        let environment = environment();
        match self.oidc_provider.as_deref().map(str::parse) {
            Some(Ok(provider)) => IdentitySource::of(provider, &environment),
            _ => {
                let flag = self.identity_token.clone().map(Secret::new);
                IdentitySource::choose(flag.as_ref(), &environment)
            }
        }
    }
}

fn environment() -> Environment {
    Environment {
        sigstore_id_token: secret("SIGSTORE_ID_TOKEN"),
        actions_request_url: variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
        actions_request_token: secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        buildkite: BuildkiteEnvironment {
            endpoint: variable("BUILDKITE_AGENT_ENDPOINT"),
            access_token: secret("BUILDKITE_AGENT_ACCESS_TOKEN"),
            job_id: variable("BUILDKITE_JOB_ID"),
        },
        circleci_token: secret("CIRCLE_OIDC_TOKEN_V2").or_else(|| secret("CIRCLE_OIDC_TOKEN")),
        token_file: Some(PathBuf::from(COSIGN_TOKEN_FILE)).filter(|path| path.exists()),
        ci: ci(),
    }
}

fn ci() -> Option<Ci> {
    let set = |name| variable(name).is_some_and(|value| value != "false");
    if set("GITHUB_ACTIONS") {
        return Some(Ci::GitHubActions { fork: is_for_a_fork() });
    }
    let known =
        [("GITLAB_CI", Ci::GitLab), ("BUILDKITE", Ci::Buildkite), ("CIRCLECI", Ci::CircleCi), ("CI", Ci::Other)];
    known.into_iter().find(|(name, _)| set(name)).map(|(_, ci)| ci)
}

/// Whether a GitHub Actions job runs for a pull request from another repository. What cannot be read says no.
fn is_for_a_fork() -> bool {
    let pull_request = variable("GITHUB_EVENT_NAME").is_some_and(|event| event == "pull_request");
    let event = variable("GITHUB_EVENT_PATH").filter(|_| pull_request);
    event.and_then(|path| is_from_elsewhere(Path::new(&path))).unwrap_or_default()
}

#[derive(Deserialize)]
struct Event {
    pull_request: PullRequest,
}

#[derive(Deserialize)]
struct PullRequest {
    head: Side,
    base: Side,
}

/// One side of a pull request. The repository of a head may be gone.
#[derive(Deserialize)]
struct Side {
    repo: Option<Repository>,
}

#[derive(Deserialize, PartialEq, Eq)]
struct Repository {
    id: u64,
}

fn is_from_elsewhere(event: &Path) -> Option<bool> {
    let mut text = Vec::new();
    File::open(event).ok()?.take(EVENT_BYTES).read_to_end(&mut text).ok()?;
    let Event { pull_request: PullRequest { head, base } } = serde_json::from_slice(&text).ok()?;
    Some(head.repo != base.repo)
}

fn secret(name: &str) -> Option<Secret> {
    variable(name).map(Secret::new)
}

#[expect(clippy::disallowed_methods, reason = "this is the binary, which reads the environment for the library")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_request_from_another_repository_is_told_from_one_of_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        let table = [
            (r#"{"pull_request":{"head":{"repo":{"id":2}},"base":{"repo":{"id":1}}}}"#, Some(true)),
            (r#"{"pull_request":{"head":{"repo":null},"base":{"repo":{"id":1}}}}"#, Some(true)),
            (r#"{"pull_request":{"head":{"repo":{"id":1}},"base":{"repo":{"id":1}}},"x":[]}"#, Some(false)),
            (r#"{"ref":"refs/heads/main"}"#, None),
            ("", None),
        ];
        for (event, expected) in table {
            std::fs::write(&path, event).unwrap();
            assert_eq!(is_from_elsewhere(&path), expected, "{event}");
        }
        let endless = format!("{{\"x\":\"{}\"", "x".repeat(5 << 20));
        std::fs::write(&path, endless).unwrap();
        assert_eq!(is_from_elsewhere(&path), None);
        assert_eq!(is_from_elsewhere(&folder.path().join("absent")), None);
    }
}
