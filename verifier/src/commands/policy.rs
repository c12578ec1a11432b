//! `policy`: what a policy says, before it decides anything.

use std::fmt::Write as _;
use std::path::Path;

use clap::Subcommand;
use countersign_cli::sarif::Tool;
use countersign_cli::{Exit, Failure, flags, program};
use countersign_oci::{limits, visible};
use countersign_policy::lint::{Form, lint};
use countersign_policy::{Policy, PolicyError};

mod exchange;
mod explain;
mod export;
mod import;
mod lint;
mod schema;
mod test;

/// Checks and shows policies. Makes no connection.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    Explain(explain::ExplainArguments),
    Export(Box<export::ExportArguments>),
    Import(import::ImportArguments),
    Lint(lint::LintArguments),
    Schema(schema::SchemaArguments),
    Test(test::TestArguments),
}

pub(crate) fn run(command: PolicyCommand) -> Exit {
    match command {
        PolicyCommand::Explain(arguments) => explain::run(&arguments),
        PolicyCommand::Export(arguments) => export::run(&arguments),
        PolicyCommand::Import(arguments) => import::run(&arguments),
        PolicyCommand::Lint(arguments) => lint::run(&arguments),
        PolicyCommand::Schema(arguments) => schema::run(&arguments),
        PolicyCommand::Test(arguments) => test::run(&arguments),
    }
}

/// Reads a policy document.
fn policy(path: &Path) -> Result<Policy, Failure> {
    let text = read("policy", path)?;
    let origin = path.display().to_string();
    Policy::from_yaml(&origin, &text).map_err(|error| {
        let mut failure = failure(&error);
        if lint(&origin, &text, program::now()).is_ok_and(|linted| linted.form != Form::Document) {
            let hint =
                "this is of a gallery: `countersign-verifier policy import --from localai FILE` makes a policy of it";
            failure.hint = Some(hint.to_owned());
        }
        failure
    })
}

/// Reads a file of text.
fn read(what: &str, path: &Path) -> Result<String, Failure> {
    let bytes = flags::read_file(what, path, limits::CONFIG_BYTES)?;
    // Broken text stays visible as such: the strict reader refuses it where it would be part of a value that matters.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a policy that does not load is, to whoever called.
pub(super) fn failure(error: &PolicyError) -> Failure {
    Failure::new(error, error.code(), countersign_oci::Class::Usage, false, error.hint())
}

/// Adds a line in which nothing that a file says can move the cursor or turn the direction of writing.
fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "{}", content.chars().map(visible).collect::<String>());
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// This program, in reports.
const TOOL: Tool = Tool { name: "countersign-verifier", version: env!("CARGO_PKG_VERSION") };
