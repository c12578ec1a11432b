//! `policy`: what a policy says, before it decides anything.

use clap::Subcommand;
use countersign_cli::{Exit, Failure};
use countersign_policy::PolicyError;

mod lint;

/// Checks and shows policies. Makes no connection.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    Lint(lint::LintArguments),
}

pub(crate) fn run(command: PolicyCommand) -> Exit {
    match command {
        PolicyCommand::Lint(arguments) => lint::run(&arguments),
    }
}

/// What a policy that does not load is, to whoever called.
pub(super) fn failure(error: &PolicyError) -> Failure {
    Failure::new(error, error.code(), countersign_oci::Class::Usage, false, error.hint())
}
