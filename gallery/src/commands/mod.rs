//! The command line: arguments become a request, the library decides, the result is printed.

use clap::{CommandFactory as _, Parser, Subcommand};
use countersign_cli::{Exit, program};

mod galleries;
mod install;
mod interruption;
mod list;
mod machine;
mod recovery;
mod report;

/// Installs backends from galleries: nothing that does not trace back to its release job reaches the disk.
#[derive(Parser)]
#[command(name = "countersign-gallery", version, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Install(Box<install::InstallArguments>),
    List(Box<list::ListArguments>),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: program::Shell,
    },
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 a bug, 2 usage or configuration, 3 rejected (unsigned included), 4 could not decide or finish.";

pub(crate) fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::Install(arguments) => program::block_on(install::run(*arguments)),
        Command::List(arguments) => program::block_on(list::run(*arguments)),
        Command::Completions { shell } => program::completions(&mut Arguments::command(), shell),
    }
}
