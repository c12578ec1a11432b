//! `policy`: what a policy says, before it decides anything.

use clap::Subcommand;
use countersign_cli::{Exit, Failure};
use countersign_policy::PolicyError;

mod exchange;
mod export;
mod import;
mod lint;

/// Checks and shows policies. Makes no connection.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    Export(Box<export::ExportArguments>),
    Import(import::ImportArguments),
    Lint(lint::LintArguments),
}

pub(crate) fn run(command: PolicyCommand) -> Exit {
    match command {
        PolicyCommand::Export(arguments) => export::run(&arguments),
        PolicyCommand::Import(arguments) => import::run(&arguments),
        PolicyCommand::Lint(arguments) => lint::run(&arguments),
    }
}

/// What a policy that does not load is, to whoever called.
pub(super) fn failure(error: &PolicyError) -> Failure {
    Failure::new(error, error.code(), countersign_oci::Class::Usage, false, error.hint())
}
