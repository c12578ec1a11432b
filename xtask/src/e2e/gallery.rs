//! Gallery configs, indexes and policies for the steps.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::shell::root;

/// Whom a policy admits: written as a policy file and as a gallery's block, so that both say the same.
#[derive(Clone)]
pub(crate) struct Admitted {
    pub(crate) issuer: String,
    pub(crate) identity: String,
    pub(crate) repository: Option<String>,
    pub(crate) not_before: Option<String>,
    pub(crate) require_tag: bool,
    pub(crate) require_repository: bool,
}

impl Admitted {
    /// The document that `countersign-verifier --policy` reads.
    pub(crate) fn policy(&self) -> String {
        let mut text = String::from("version: 1\nsigners:\n  - name: release\n");
        let _ = writeln!(text, "    issuer: {}\n    identity: {}", self.issuer, self.identity);
        if let Some(repository) = &self.repository {
            let _ = writeln!(text, "    github:\n      repository: {repository}");
        }
        text + &self.windows("")
    }

    /// The `verification:` block of a gallery.
    pub(crate) fn block(&self) -> String {
        let mut text = String::from("  verification:\n");
        let _ = writeln!(text, "    issuer: {}\n    identity: {}", self.issuer, self.identity);
        if let Some(repository) = &self.repository {
            let _ = writeln!(text, "    github:\n      repository: {repository}");
        }
        text + &self.windows("    ")
    }

    fn windows(&self, indent: &str) -> String {
        let mut text = String::new();
        if let Some(time) = &self.not_before {
            let _ = writeln!(text, "{indent}not_before: {time}");
        }
        if self.require_tag || self.require_repository {
            let _ = writeln!(
                text,
                "{indent}require:\n{indent}  tag: {}\n{indent}  repository: {}",
                self.require_tag, self.require_repository
            );
        }
        text
    }
}

/// Where an index comes from.
pub(crate) enum Index {
    /// The real one, with 1,033 entries.
    Real(PathBuf),
    /// One written here, with the same constructs.
    Own(PathBuf),
}

impl Index {
    /// Returns the real index where it lies beside the project, else writes one of the same shape.
    pub(crate) fn find(folder: &std::path::Path) -> anyhow::Result<Self> {
        let real = root().join("../shared/data/localai-backend-index.yaml");
        if real.is_file() {
            return Ok(Self::Real(real.canonicalize()?));
        }
        let own = folder.join("index.yaml");
        fs::write(&own, OWN_INDEX).context("cannot write the index")?;
        Ok(Self::Own(own))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        match self {
            Self::Real(path) | Self::Own(path) => path,
        }
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real(_) => "the real index",
            Self::Own(_) => "an index written here (the real one is not beside this project)",
        })
    }
}

/// The entries that the round trip installs, as the real index has them.
const OWN_INDEX: &str = r#"---
- &llamacpp
  name: "llama-cpp"
  alias: "llama-cpp"
  license: mit
  description: |
    LLM inference in C/C++
  capabilities:
    default: "cpu-llama-cpp"
- !!merge <<: *llamacpp
  name: "cpu-llama-cpp"
  uri: "quay.io/go-skynet/local-ai-backends:latest-cpu-llama-cpp"
  mirrors:
    - localai/localai-backends:latest-cpu-llama-cpp
"#;
