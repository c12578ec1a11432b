//! The CI systems that are known, and what a job of each has to do to get an identity token.

use super::source::COSIGN_TOKEN_FILE;

/// Where a job runs, as far as its environment tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ci {
    /// `BUILDKITE`.
    Buildkite,
    /// `CIRCLECI`.
    CircleCi,
    /// `GITHUB_ACTIONS`.
    GitHubActions {
        /// Whether the run is for a pull request from another repository.
        fork: bool,
    },
    /// `GITLAB_CI`.
    GitLab,
    /// `CI`, and nothing else that is known.
    Other,
}

/// Why there is no identity token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingToken {
    /// A Buildkite job without access to its agent.
    Buildkite,
    /// A CircleCI job without a token.
    CircleCi,
    /// Some CI system that offers nothing that is known.
    Ci,
    /// No CI system at all.
    Elsewhere,
    /// There is no file where cosign looks for one.
    File,
    /// A pull request from a fork.
    GitHubFork,
    /// A GitHub Actions job without the permission.
    GitHubPermission,
    /// A GitLab job without the keyword.
    GitLab,
    /// `SIGSTORE_ID_TOKEN` was asked for, and is not set.
    Variable,
}

impl MissingToken {
    /// What a job of that system lacks.
    pub(super) fn of(ci: Option<Ci>) -> Self {
        match ci {
            Some(Ci::Buildkite) => Self::Buildkite,
            Some(Ci::CircleCi) => Self::CircleCi,
            Some(Ci::GitHubActions { fork: true }) => Self::GitHubFork,
            Some(Ci::GitHubActions { fork: false }) => Self::GitHubPermission,
            Some(Ci::GitLab) => Self::GitLab,
            Some(Ci::Other) => Self::Ci,
            None => Self::Elsewhere,
        }
    }

    /// What to do about it, in the words of the system.
    pub(crate) fn hint(self) -> String {
        match self {
            Self::Buildkite => {
                "let the job reach its agent (the docker plugin: `mount-buildkite-agent: true`), or run \
                 `export SIGSTORE_ID_TOKEN=\"$(buildkite-agent oidc request-token --audience sigstore)\"` before"
            }
            Self::CircleCi => CIRCLECI_HINT,
            Self::Ci | Self::Elsewhere => {
                "give --identity-token, or set SIGSTORE_ID_TOKEN to a token with the audience sigstore"
            }
            Self::File => return format!("nothing lies at {COSIGN_TOKEN_FILE}"),
            Self::GitHubFork => {
                "GitHub never gives a token to the pull request of a fork: sign after the merge, in a run for `push`, or skip the \
                 job with `if: github.event.pull_request.head.repo.full_name == github.repository`"
            }
            Self::GitHubPermission => {
                "give the job `permissions: id-token: write`, beside those that it has; a workflow that is called by another needs \
                 it from its caller too"
            }
            Self::GitLab => "add to the job in .gitlab-ci.yml: `id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore`",
            Self::Variable => "set SIGSTORE_ID_TOKEN to a token with the audience sigstore",
        }
        .to_owned()
    }
}

/// How a CircleCI job gets a token for another audience than its organization.
pub(crate) const CIRCLECI_HINT: &str = "a job's own token is for its organization; run \
     `export SIGSTORE_ID_TOKEN=\"$(circleci run oidc get --claims '{\"aud\": \"sigstore\"}')\"` before";

impl std::fmt::Display for MissingToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Buildkite => "this Buildkite job has no BUILDKITE_AGENT_ACCESS_TOKEN and BUILDKITE_JOB_ID",
            Self::CircleCi => "this CircleCI job has neither SIGSTORE_ID_TOKEN nor CIRCLE_OIDC_TOKEN_V2",
            Self::Ci => "this CI job has none in its environment",
            Self::Elsewhere => "none was given",
            Self::File => "there is no token file",
            Self::GitHubFork => "this run is for a pull request from a fork",
            Self::GitHubPermission => "this GitHub Actions job lacks the permission `id-token: write`",
            Self::GitLab => "this GitLab job has no `id_tokens` with SIGSTORE_ID_TOKEN",
            Self::Variable => "SIGSTORE_ID_TOKEN is not set",
        })
    }
}
