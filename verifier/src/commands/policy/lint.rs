//! `policy lint`: what is legal and dangerous.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use countersign_cli::output::{self, ReportFormat};
use countersign_cli::{Exit, Failure, program};
use countersign_policy::lint::{Finding, Level, Linted, lint};

use super::{failure, read};

mod report;

/// Finds what is legal and dangerous in policies, in a gallery's `verification` block, and in lists of galleries.
///
/// Every finding has a code, a place, a reason and lines to write instead. policy/README.md lists the codes.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(crate) struct LintArguments {
    /// Files in YAML or JSON.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// From which level on findings end with 3.
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    deny: Deny,

    /// How the result is written.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    output: ReportFormat,
}

const EXITS: &str = "\
Exit codes: 0 nothing at or above the level of --deny, 1 a bug, 2 usage, or a file that does not load, 3 findings at or above that level.";

/// From which level on findings count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Notes and warnings.
    Note,
    /// Warnings.
    #[default]
    Warning,
    /// Findings are printed only.
    Never,
}

/// One file, and what came of it.
struct Looked {
    file: String,
    result: Result<Linted, Refused>,
}

/// Why a file does not load, and where.
struct Refused {
    failure: Box<Failure>,
    line: Option<u32>,
    column: Option<u32>,
    key: String,
}

pub(crate) fn run(arguments: &LintArguments) -> Exit {
    let looked: Vec<Looked> = arguments.files.iter().map(|path| look(path)).collect();
    let exit = looked.iter().map(|looked| looked.exit(arguments.deny)).fold(Exit::Done, Exit::and);
    let written = report::write(&looked, arguments.output, exit);
    for refused in looked.iter().filter_map(|looked| looked.result.as_ref().err()) {
        output::note_lines(&refused.failure.lines());
    }
    match written {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
    }
}

fn look(path: &Path) -> Looked {
    let file = path.display().to_string();
    let unplaced = |failure| Refused { failure: Box::new(failure), line: None, column: None, key: String::new() };
    let result = read("policy", path).map_err(unplaced).and_then(|text| {
        lint(&file, &text, program::now()).map_err(|error| {
            let at = error.location();
            Refused { failure: Box::new(failure(&error)), line: at.line, column: at.column, key: at.key.clone() }
        })
    });
    Looked { file, result }
}

impl Looked {
    fn exit(&self, deny: Deny) -> Exit {
        let counts = |finding: &Finding| match deny {
            Deny::Note => true,
            Deny::Warning => finding.level >= Level::Warning,
            Deny::Never => false,
        };
        match &self.result {
            Ok(linted) if linted.findings.iter().any(counts) => Exit::Rejected,
            Ok(_) => Exit::Done,
            Err(refused) => refused.failure.exit,
        }
    }
}
