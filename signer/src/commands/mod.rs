//! The command line: arguments become a request, the library signs, the result is printed.

use clap::{CommandFactory as _, Parser, Subcommand};
use countersign_cli::{Exit, program};

mod attest;
mod bundle_file;
mod identity;
mod inputs;
mod publish;
mod record;
mod report;
mod service_flags;
mod setup;
mod sign;
mod sign_blob;
mod sign_index;
mod verify_command;

/// Signs OCI images where they are built, without keys: an identity token becomes a certificate that lives for minutes.
#[derive(Parser)]
#[command(name = "countersign-signer", version, max_term_width = 110, after_help = sign::EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sign(Box<sign::SignArguments>),
    Publish(Box<publish::PublishArguments>),
    Attest(Box<attest::AttestArguments>),
    SignBlob(Box<sign_blob::SignBlobArguments>),
    SignIndex(Box<sign_index::SignIndexArguments>),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: program::Shell,
    },
}

pub(crate) fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::Sign(arguments) => program::block_on(sign::run(*arguments)),
        Command::Publish(arguments) => program::block_on(publish::run(*arguments)),
        Command::Attest(arguments) => program::block_on(attest::run(*arguments)),
        Command::SignBlob(arguments) => program::block_on(sign_blob::run(*arguments)),
        Command::SignIndex(arguments) => program::block_on(sign_index::run(*arguments)),
        Command::Completions { shell } => program::completions(&mut Arguments::command(), shell),
    }
}
