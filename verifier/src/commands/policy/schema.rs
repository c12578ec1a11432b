//! `policy schema`: the JSON schema of the policy document.

use clap::Args;
use countersign_cli::{Exit, output};
use countersign_policy::schema::POLICY_SCHEMA;

/// Prints the JSON schema of the policy document, for editors.
#[derive(Debug, Args)]
#[command(after_help = HINT)]
pub(crate) struct SchemaArguments {}

const HINT: &str = "\
For editors with a YAML language server, begin the policy with
  # yaml-language-server: $schema=policy-v1.schema.json";

pub(crate) fn run(_: &SchemaArguments) -> Exit {
    match output::text(POLICY_SCHEMA) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Undecided,
    }
}
