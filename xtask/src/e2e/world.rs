//! One sandbox with everything that a run needs around it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sandbox::image::{self, ImageSpec};
use sandbox::{GithubIdentity, Options, Sandbox, TrustFiles};

use super::gallery::Admitted;
use crate::programs::{Programs, Run};

/// Which log a run signs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rekor {
    V1,
    V2,
}

impl fmt::Display for Rekor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "Rekor v1",
            Self::V2 => "Rekor v2",
        })
    }
}

/// The host that the real index names; it is mapped to the sandbox's registry.
pub(crate) const HOST: &str = "quay.io";

pub(crate) struct World<'p> {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: PathBuf,
    pub(crate) trust: TrustFiles,
    pub(crate) rekor: Rekor,
    pub(crate) referrers_api: bool,
    programs: &'p Programs,
}

/// A pushed image, as a person names it.
pub(crate) struct Pushed {
    pub(crate) image: image::Image,
    pub(crate) repository: String,
    pub(crate) tag: String,
}

impl Pushed {
    /// `quay.io/REPOSITORY:TAG`
    pub(crate) fn reference(&self) -> String {
        format!("{HOST}/{}:{}", self.repository, self.tag)
    }

    /// `quay.io/REPOSITORY@DIGEST`
    pub(crate) fn at(&self, digest: &str) -> String {
        format!("{HOST}/{}@{digest}", self.repository)
    }
}

impl<'p> World<'p> {
    pub(crate) fn start(
        programs: &'p Programs,
        folder: &Path,
        referrers_api: bool,
        rekor: Rekor,
    ) -> anyhow::Result<Self> {
        let name = format!("{}-{}", if referrers_api { "api" } else { "tags" }, if rekor == Rekor::V1 { 1 } else { 2 });
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let sandbox = Sandbox::start(Options { referrers_api, ..Options::default() })?;
        let trust = sandbox.write_trust(&folder.join("trust"))?;
        Ok(Self { sandbox, folder, trust, rekor, referrers_api, programs })
    }

    /// Builds an image whose `run.sh` prints the name, and pushes it.
    pub(crate) fn push(&self, name: &str, repository: &str, tag: &str) -> Pushed {
        let script = format!("#!/bin/sh\necho {name} is running\n");
        let image = image::multi_platform(&ImageSpec::with_run_script(&script, Vec::new()));
        image.push(self.sandbox.registry(), repository, tag);
        Pushed { image, repository: repository.to_owned(), tag: tag.to_owned() }
    }

    /// Signs references as a release job does: with the identity that the ambient protocol gives it.
    pub(crate) fn sign(&self, references: &[String], identity: &GithubIdentity) -> anyhow::Result<Run> {
        let mut arguments = texts(&["sign", "--output", "json", "--signing-config"]);
        arguments.push(path(self.signing_config()));
        arguments.extend(self.trust_arguments(&self.trust.trusted_root));
        arguments.extend(self.registry_arguments());
        arguments.extend(references.iter().cloned());
        let mut environment = self.environment();
        environment.extend(self.sandbox.ambient(identity));
        self.programs.run("countersign-signer", &arguments, &environment)
    }

    /// Verifies a reference with a policy.
    pub(crate) fn verify(&self, reference: &str, admitted: &Admitted, trusted_root: &Path) -> anyhow::Result<Run> {
        let policy = self.folder.join("policy.yaml");
        fs::write(&policy, admitted.policy())?;
        let mut arguments = texts(&["verify", reference, "--output", "json", "--policy"]);
        arguments.push(path(&policy));
        arguments.extend(self.trust_arguments(trusted_root));
        arguments.extend(self.registry_arguments());
        self.programs.run("countersign-verifier", &arguments, &self.environment())
    }

    /// Signs a file as a release job does.
    pub(crate) fn sign_blob(&self, file: &str, identity: &GithubIdentity) -> anyhow::Result<Run> {
        let mut arguments = texts(&["sign-blob", file, "--signing-config"]);
        arguments.push(path(self.signing_config()));
        arguments.extend(self.trust_arguments(&self.trust.trusted_root));
        let mut environment = self.environment();
        environment.extend(self.sandbox.ambient(identity));
        self.programs.run("countersign-signer", &arguments, &environment)
    }

    /// Calls the verifier with nothing but these arguments.
    pub(crate) fn verifier(&self, arguments: &[impl AsRef<str>]) -> anyhow::Result<Run> {
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        self.programs.run("countersign-verifier", &arguments, &self.environment())
    }

    /// Installs an entry of a gallery whose config is given as text.
    pub(crate) fn install(
        &self,
        entry: &str,
        config: &str,
        trusted_root: &Path,
        further: &[&str],
    ) -> anyhow::Result<Run> {
        let galleries = self.folder.join("galleries.yaml");
        fs::write(&galleries, config).context("cannot write the gallery config")?;
        let mut arguments = texts(&["install", entry, "--output", "json", "--platform", "linux/amd64"]);
        arguments.extend(texts(&["--capability", "default", "--galleries"]));
        arguments.push(path(&galleries));
        arguments.push("--backends-path".to_owned());
        arguments.push(path(&self.backends()));
        arguments.extend(self.trust_arguments(trusted_root));
        arguments.extend(texts(further));
        self.programs.run("countersign-gallery", &arguments, &self.environment())
    }

    /// The folder that backends are installed into.
    pub(crate) fn backends(&self) -> PathBuf {
        self.folder.join("backends")
    }

    /// A config with one gallery, whose registry host is mapped to the sandbox.
    pub(crate) fn config(&self, index: &Path, trust: &str) -> String {
        format!(
            "- name: demo\n  url: file://{}\n  hosts:\n    {HOST}: {}\n{trust}",
            index.display(),
            self.sandbox.registry().host()
        )
    }

    /// The release job's policy: the workflow that the default identity of the sandbox runs.
    pub(crate) fn admitted(&self) -> Admitted {
        let identity = GithubIdentity::default();
        Admitted {
            issuer: self.sandbox.oidc_issuer(),
            identity: format!("https://github.com/{}", identity.job_workflow_ref),
            repository: None,
            not_before: None,
            require_tag: false,
            require_repository: false,
        }
    }

    fn signing_config(&self) -> &Path {
        match self.rekor {
            Rekor::V1 => &self.trust.signing_config_rekor_v1,
            Rekor::V2 => &self.trust.signing_config_rekor_v2,
        }
    }

    fn trust_arguments(&self, trusted_root: &Path) -> Vec<String> {
        vec!["--trusted-root".to_owned(), path(trusted_root)]
    }

    /// The flag that maps the host of the real index to the sandbox.
    pub(crate) fn registry_arguments(&self) -> Vec<String> {
        vec!["--registry-map".to_owned(), format!("{HOST}={}", self.sandbox.registry().host())]
    }

    fn environment(&self) -> Vec<(String, String)> {
        vec![("HOME".to_owned(), path(&self.folder.join("home"))), ("PATH".to_owned(), "/usr/bin:/bin".to_owned())]
    }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
