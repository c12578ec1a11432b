//! Who may have signed: a policy file, or one signer from flags.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::{Failure, flags};
use countersign_oci::limits;
use countersign_policy::{GithubSpec, Policy, PolicyError, SignerSpec, Trust};
use countersign_verifier::trusted_root::TrustSource;

/// The flags that describe one signer: beside a policy file they would be dropped or doubted, so they are refused.
const ONE_SIGNER: [&str; 6] = [
    "certificate_identity",
    "certificate_identity_regexp",
    "certificate_oidc_issuer",
    "certificate_github_workflow_repository",
    "certificate_github_workflow_ref",
    "certificate_github_workflow_trigger",
];

/// Who may have signed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy: a file, or one signer")]
pub(crate) struct PolicyFlags {
    /// The policy file (YAML).
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_POLICY", conflicts_with_all = ONE_SIGNER)]
    policy: Option<PathBuf>,

    /// The name that the signing certificate must hold, exactly.
    #[arg(long, value_name = "NAME", conflicts_with = "certificate_identity_regexp")]
    certificate_identity: Option<String>,

    /// A pattern that the whole of that name must match.
    #[arg(long, value_name = "REGEX")]
    certificate_identity_regexp: Option<String>,

    /// The OIDC issuer that vouched for the signer, exactly.
    #[arg(long, value_name = "URL")]
    certificate_oidc_issuer: Option<String>,

    /// The repository that the signing workflow must have run for, as OWNER/NAME.
    #[arg(long, value_name = "OWNER/NAME", requires = "certificate_oidc_issuer")]
    certificate_github_workflow_repository: Option<String>,

    /// The git reference that the signing workflow must have run on.
    #[arg(long, value_name = "REF", requires = "certificate_oidc_issuer")]
    certificate_github_workflow_ref: Option<String>,

    /// The event that must have started the signing workflow.
    #[arg(long, value_name = "EVENT", requires = "certificate_oidc_issuer")]
    certificate_github_workflow_trigger: Option<String>,
}

/// A policy, and where it was read from.
pub(crate) struct NamedPolicy {
    pub(crate) policy: Policy,
    pub(crate) folder: Option<PathBuf>,
}

impl PolicyFlags {
    /// Returns the policy file, where one was named.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.policy.as_deref()
    }

    /// Returns the policy, or says that there is none: without one nothing can be verified.
    pub(crate) fn policy(&self) -> Result<NamedPolicy, Failure> {
        if let Some(path) = &self.policy {
            let bytes = flags::read_file("policy", path, limits::CONFIG_BYTES)?;
            let text = String::from_utf8_lossy(&bytes);
            let policy = Policy::from_yaml(&path.display().to_string(), &text).map_err(|error| failure(&error))?;
            return Ok(NamedPolicy { policy, folder: path.parent().map(Path::to_path_buf) });
        }
        let identity = self.certificate_identity.is_some() || self.certificate_identity_regexp.is_some();
        if identity != self.certificate_oidc_issuer.is_some() {
            let (given, missing) = match identity {
                true => ("--certificate-identity", "--certificate-oidc-issuer URL"),
                false => ("--certificate-oidc-issuer", "--certificate-identity NAME"),
            };
            return Err(Failure::usage(
                "half-a-signer",
                format!("{given} alone says too little: a name means nothing without the issuer that vouched for it"),
                Some(format!("add {missing}")),
            ));
        }
        if !identity {
            return Err(Failure::usage(
                "no-policy",
                "no policy: nothing says who may have signed",
                Some("give --policy FILE, or --certificate-identity NAME with --certificate-oidc-issuer URL".into()),
            ));
        }
        let policy = Policy::for_identity(self.signer()).map_err(|error| failure(&error))?;
        Ok(NamedPolicy { policy, folder: None })
    }

    fn signer(&self) -> SignerSpec {
        let github = GithubSpec {
            repository: self.certificate_github_workflow_repository.clone(),
            reference: self.certificate_github_workflow_ref.clone(),
            trigger: self.certificate_github_workflow_trigger.iter().cloned().collect(),
            ..GithubSpec::default()
        };
        let stated = github.repository.is_some() || github.reference.is_some() || !github.trigger.is_empty();
        SignerSpec {
            name: "from the command line".into(),
            issuer: self.certificate_oidc_issuer.clone(),
            issuer_regex: None,
            identity: self.certificate_identity.clone(),
            identity_regex: self.certificate_identity_regexp.clone(),
            github: stated.then_some(github),
        }
    }
}

impl NamedPolicy {
    /// Returns the trusted root that the policy names: the only one that it believes.
    pub(crate) fn trust(&self) -> Option<TrustSource> {
        let beside = |path: &str| match &self.folder {
            Some(folder) => folder.join(path),
            None => PathBuf::from(path),
        };
        match self.policy.trust()? {
            Trust::PublicGood => Some(TrustSource::PublicGoodTuf),
            Trust::File(path) => Some(TrustSource::File(beside(path))),
            Trust::Tuf { url, root } => Some(TrustSource::Tuf { url: url.clone(), root: beside(root) }),
        }
    }
}

fn failure(error: &PolicyError) -> Failure {
    Failure::new(error, error.code(), countersign_oci::Class::Usage, false, error.hint())
}
