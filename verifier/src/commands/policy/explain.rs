//! `policy explain`: what a policy admits, in plain words.

use std::path::PathBuf;

use clap::Args;
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_policy::explain::{Section, explain};
use serde::Serialize;

use super::{line, policy};

/// Says in plain words what a policy admits, signer by signer, and what it does not check.
///
/// Examples of what a pattern admits and refuses were put to the matcher that decides.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The policy file (YAML).
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How the result is written.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    output: OutputFormat,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    file: String,
    sections: Vec<SectionDocument>,
}

#[derive(Serialize)]
struct SectionDocument {
    title: String,
    lines: Vec<String>,
}

pub(crate) fn run(arguments: &ExplainArguments) -> Exit {
    let written = match policy(&arguments.file) {
        Ok(policy) => show(arguments, &explain(&policy)),
        Err(failure) => return fail(&failure, arguments.output),
    };
    match written {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Undecided,
    }
}

fn fail(failure: &Failure, format: OutputFormat) -> Exit {
    output::failure(failure, format);
    failure.exit
}

fn show(arguments: &ExplainArguments, sections: &[Section]) -> std::io::Result<()> {
    if arguments.output == OutputFormat::Json {
        let shown = |section: &Section| SectionDocument { title: section.title.clone(), lines: section.lines.clone() };
        let sections = sections.iter().map(shown).collect();
        let file = arguments.file.display().to_string();
        return output::json(&Document { schema: "countersign.dev/policy-explain/v1", file, sections });
    }
    let mut text = String::new();
    for (number, section) in sections.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        line(&mut text, &section.title);
        for content in &section.lines {
            line(&mut text, &format!("  {content}"));
        }
    }
    output::text(&text)
}
