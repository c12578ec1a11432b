//! What a call keeps for the one that resumes it.

use std::path::PathBuf;

use clap::Args;
use countersign_cli::Failure;
use countersign_oci::{Class, Digest};
use countersign_signer::state::{StateError, StateFile};

/// Where a call notes what it did, and what is done again.
#[derive(Args)]
#[command(next_help_heading = "Repeating")]
pub(crate) struct RecordFlags {
    /// Goes on where an interrupted call of the same request stopped. Everything that it noted is checked again.
    #[arg(long)]
    resume: bool,
    /// Where a call notes what it did: no keys, no tokens. By default one file for each request below $XDG_STATE_HOME/countersign.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_STATE")]
    state: Option<PathBuf>,
    /// Does again what is done already: signs what is signed.
    #[arg(long)]
    pub(crate) force: bool,
}

impl RecordFlags {
    /// Opens the state of a request. Without a place for it there is none, which is an error only where it is to be resumed.
    pub(crate) fn open(&self, request: Digest) -> Result<Option<StateFile>, Failure> {
        let path = match (&self.state, state_folder()) {
            (Some(path), _) => path.clone(),
            (None, Some(folder)) => folder.join(format!("{}.json", request.hex())),
            (None, None) if self.resume => {
                let hint = "name the file with --state FILE".to_owned();
                let message = "there is nothing to resume from: neither XDG_STATE_HOME nor HOME says where it lies";
                return Err(Failure::usage("no-state", message, Some(hint)));
            }
            (None, None) => return Ok(None),
        };
        match StateFile::open(&path, request, self.resume) {
            Ok(state) => Ok(Some(state)),
            // Nobody asked for it, and it is a hint: a home that cannot be written to does not keep a release from being signed.
            Err(error @ StateError::Unusable { .. }) if self.state.is_none() && !self.resume => {
                tracing::warn!(%error, "nothing is kept for --resume");
                Ok(None)
            }
            Err(error) => Err(failure(&error)),
        }
    }
}

/// Everything is done: there is nothing to resume.
pub(crate) fn finish(state: Option<StateFile>) {
    if let Some(state) = state {
        let path = state.path().to_owned();
        if let Err(error) = state.finish() {
            tracing::warn!(%error, "{} is not needed any more and stays", path.display());
        }
    }
}

fn failure(error: &StateError) -> Failure {
    match error {
        StateError::Foreign { .. } => {
            let hint = "name a file that is not there yet with --state FILE".to_owned();
            Failure::new(error, "state-foreign", Class::Usage, false, Some(hint))
        }
        StateError::Locked { .. } => {
            let hint = "wait for it, or give this one another --state FILE".to_owned();
            Failure::new(error, "state-locked", Class::Unreachable, true, Some(hint))
        }
        _ => {
            let hint = "name a file that can be written with --state FILE".to_owned();
            Failure::new(error, "state-unusable", Class::Unreachable, false, Some(hint))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the binary, which reads the environment for the library")]
fn state_folder() -> Option<PathBuf> {
    // Relative paths in these variables are to be ignored, says the XDG base directory specification.
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME")
        .or_else(|| Some(folder("HOME")?.join(".local/state")))
        .or_else(|| folder("LOCALAPPDATA"))?;
    Some(state.join("countersign"))
}
