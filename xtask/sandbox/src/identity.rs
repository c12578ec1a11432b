//! The identity of a GitHub Actions job.

use serde_json::{Value, json};

/// What a token of GitHub Actions says about the job that asked for it. The default is the release workflow of `octo/app` on `main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubIdentity {
    /// The repository whose workflow runs: `owner/name`.
    pub repository: String,
    /// The number of the repository.
    pub repository_id: String,
    /// The number of the owner.
    pub owner_id: String,
    /// `public`, `internal` or `private`.
    pub visibility: String,
    /// The workflow that the run started with, with its ref.
    pub workflow_ref: String,
    /// The workflow that holds the job, with its ref: another one than `workflow_ref` if it is reusable.
    pub job_workflow_ref: String,
    /// The name of the workflow.
    pub workflow: String,
    /// The ref that the run is about.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// What started the run.
    pub event_name: String,
    /// `github-hosted` or `self-hosted`.
    pub runner_environment: String,
    /// The number of the run.
    pub run_id: String,
    /// Which attempt of the run.
    pub run_attempt: String,
    /// Who started the run.
    pub actor: String,
    /// The deployment environment, if the job names one.
    pub environment: Option<String>,
}

impl Default for GithubIdentity {
    fn default() -> GithubIdentity {
        GithubIdentity::of("octo/app")
    }
}

impl GithubIdentity {
    /// The release workflow of a repository, on `main`.
    #[must_use]
    pub fn of(repository: &str) -> GithubIdentity {
        let workflow = format!("{repository}/.github/workflows/release.yml@refs/heads/main");
        GithubIdentity {
            repository: repository.to_owned(),
            repository_id: "1296269".to_owned(),
            owner_id: "583231".to_owned(),
            visibility: "public".to_owned(),
            workflow_ref: workflow.clone(),
            job_workflow_ref: workflow,
            workflow: "release".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            sha: "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d".to_owned(),
            event_name: "push".to_owned(),
            runner_environment: "github-hosted".to_owned(),
            run_id: "9876543210".to_owned(),
            run_attempt: "1".to_owned(),
            actor: "octocat".to_owned(),
            environment: None,
        }
    }

    /// Returns the subject alternative name that Fulcio gives this identity.
    #[must_use]
    pub fn subject_alternative_name(&self) -> String {
        format!("https://github.com/{}", self.job_workflow_ref)
    }

    /// Returns the `sub` claim.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.environment {
            Some(environment) => format!("repo:{}:environment:{environment}", self.repository),
            None if self.event_name == "pull_request" => format!("repo:{}:pull_request", self.repository),
            None => format!("repo:{}:ref:{}", self.repository, self.git_ref),
        }
    }

    /// The claims that are about the job, all text as GitHub sends them.
    pub(crate) fn claims(&self) -> Value {
        let owner = self.repository.split('/').next().unwrap_or_default();
        let ref_type = if self.git_ref.starts_with("refs/tags/") { "tag" } else { "branch" };
        let mut claims = json!({
            "actor": self.actor,
            "actor_id": "583231",
            "base_ref": "",
            "event_name": self.event_name,
            "head_ref": "",
            "job_workflow_ref": self.job_workflow_ref,
            "job_workflow_sha": self.sha,
            "ref": self.git_ref,
            "ref_protected": "true",
            "ref_type": ref_type,
            "repository": self.repository,
            "repository_id": self.repository_id,
            "repository_owner": owner,
            "repository_owner_id": self.owner_id,
            "repository_visibility": self.visibility,
            "run_attempt": self.run_attempt,
            "run_id": self.run_id,
            "run_number": "42",
            "runner_environment": self.runner_environment,
            "sha": self.sha,
            "sub": self.subject(),
            "workflow": self.workflow,
            "workflow_ref": self.workflow_ref,
            "workflow_sha": self.sha,
        });
        if let Some(environment) = &self.environment {
            claims["environment"] = json!(environment);
        }
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_follows_environment_event_and_ref() {
        let on_main = GithubIdentity::default();
        assert_eq!(on_main.subject(), "repo:octo/app:ref:refs/heads/main");
        let pull_request = GithubIdentity { event_name: "pull_request".to_owned(), ..on_main.clone() };
        assert_eq!(pull_request.subject(), "repo:octo/app:pull_request");
        let deployed = GithubIdentity { environment: Some("release".to_owned()), ..on_main };
        assert_eq!(deployed.subject(), "repo:octo/app:environment:release");
    }
}
