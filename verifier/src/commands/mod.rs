//! The command line: arguments become a request, the library decides, the result is printed.

use clap::{CommandFactory as _, Parser, Subcommand};
use countersign_cli::{Exit, program};

pub(crate) mod containerd_hook;
mod inspect;
mod policy;
mod policy_flags;
mod source_flags;
mod trust;
mod verify;
mod verify_blob;

/// Verifies, at install time, that an OCI image came out of your own release job.
#[derive(Parser)]
#[command(name = "countersign-verifier", version, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    ContainerdHook(Box<containerd_hook::ContainerdHookArguments>),
    Inspect(Box<inspect::InspectArguments>),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    Verify(Box<verify::VerifyArguments>),
    VerifyBlob(Box<verify_blob::VerifyBlobArguments>),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: program::Shell,
    },
}

const EXIT_CODES: &str = "\
Exit codes: 0 verified, 1 a bug, 2 usage or configuration, 3 rejected (unsigned included), 4 could not decide.";

pub(crate) fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::ContainerdHook(arguments) => containerd_hook::run(&arguments),
        Command::Inspect(arguments) => program::block_on(inspect::run(*arguments)),
        Command::Policy(command) => policy::run(command),
        Command::Trust(command) => program::block_on(trust::run(command)),
        Command::Verify(arguments) => program::block_on(verify::run(*arguments)),
        Command::VerifyBlob(arguments) => program::block_on(verify_blob::run(*arguments)),
        Command::Completions { shell } => program::completions(&mut Arguments::command(), shell),
    }
}
