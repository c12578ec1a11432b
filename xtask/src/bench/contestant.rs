//! Who signs, with which words.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::Services;
use crate::peers::process;

/// A program that signs an index and everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// Ours, with a form of statement.
    Ours(&'static str),
    /// cosign 3, `sign --recursive`.
    Cosign,
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(form) => f.pad(&format!("ours, {form}")),
            Self::Cosign => f.pad("cosign"),
        }
    }
}

/// Where the programs are. Without cosign only ours runs.
pub(crate) struct Programs {
    pub(crate) ours: PathBuf,
    pub(crate) cosign: Option<PathBuf>,
}

impl Programs {
    /// The call that signs. Ours asks the job's identity provider; cosign is given a token and saves that.
    pub(crate) fn command(
        &self,
        contestant: Contestant,
        services: &Services,
        references: &[String],
        home: &Path,
    ) -> anyhow::Result<Option<Command>> {
        fs::create_dir_all(home)?;
        let mut command = match (contestant, &self.cosign) {
            (Contestant::Ours(form), _) => {
                let mut command = process::command(&self.ours, home);
                command.args(["sign", "--output", "json", "--statement", form]);
                command.envs(services.ambient.iter().cloned());
                command
            }
            (Contestant::Cosign, Some(program)) => {
                let mut command = process::command(program, home);
                command.args(["sign", "--yes", "--recursive", "--allow-http-registry", "--allow-insecure-registry"]);
                command.args(["--identity-token", &services.token()?]);
                command
            }
            (Contestant::Cosign, None) => return Ok(None),
        };
        command.arg("--signing-config").arg(&services.signing_config);
        command.arg("--trusted-root").arg(&services.trusted_root).args(references);
        Ok(Some(command))
    }
}
