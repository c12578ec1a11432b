//! `policy lint`: what is legal and dangerous.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure, flags, program};
use countersign_oci::{limits, visible};
use countersign_policy::lint::{Finding, Level, Linted, lint};
use serde::Serialize;

use super::failure;

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
    output: OutputFormat,
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

/// What is printed as JSON.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    files: Vec<FileDocument<'a>>,
}

#[derive(Serialize)]
struct FileDocument<'a> {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'static str>,
    policies: usize,
    findings: Vec<FindingDocument<'a>>,
    /// Why the file does not load.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument<'a>>,
}

#[derive(Serialize)]
struct FindingDocument<'a> {
    code: &'static str,
    level: &'static str,
    line: Option<u32>,
    column: Option<u32>,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery: Option<&'a str>,
    why: &'a str,
    fix: &'a str,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    #[serde(flatten)]
    failure: &'a Failure,
    line: Option<u32>,
    column: Option<u32>,
    key: &'a str,
}

/// One file, and what came of it.
struct Looked {
    file: String,
    result: Result<Linted, Refused>,
}

/// Why a file does not load, and where.
struct Refused {
    failure: Failure,
    line: Option<u32>,
    column: Option<u32>,
    key: String,
}

pub(crate) fn run(arguments: &LintArguments) -> Exit {
    let looked: Vec<Looked> = arguments.files.iter().map(|path| look(path)).collect();
    let exit = looked.iter().map(|looked| looked.exit(arguments.deny)).fold(Exit::Done, Exit::and);
    let written = match arguments.output {
        OutputFormat::Json => output::json(&document(&looked)),
        OutputFormat::Text => output::text(&text(&looked)),
    };
    if arguments.output == OutputFormat::Text {
        for refused in looked.iter().filter_map(|looked| looked.result.as_ref().err()) {
            output::failure(&refused.failure, OutputFormat::Text);
        }
    }
    match written {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
    }
}

fn look(path: &Path) -> Looked {
    let file = path.display().to_string();
    let unplaced = |failure| Refused { failure, line: None, column: None, key: String::new() };
    let result = flags::read_file("policy", path, limits::CONFIG_BYTES).map_err(unplaced).and_then(|bytes| {
        lint(&file, &String::from_utf8_lossy(&bytes), program::now()).map_err(|error| {
            let at = error.location();
            Refused { failure: failure(&error), line: at.line, column: at.column, key: at.key.clone() }
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

fn document(looked: &[Looked]) -> Document<'_> {
    Document { schema: "countersign.dev/policy-lint/v1", files: looked.iter().map(file_document).collect() }
}

fn file_document(looked: &Looked) -> FileDocument<'_> {
    let file = looked.file.clone();
    match &looked.result {
        Ok(linted) => FileDocument {
            file,
            form: Some(linted.form.as_str()),
            policies: linted.policies,
            findings: linted.findings.iter().map(finding_document).collect(),
            error: None,
        },
        Err(Refused { failure, line, column, key }) => FileDocument {
            file,
            form: None,
            policies: 0,
            findings: Vec::new(),
            error: Some(ErrorDocument { failure, line: *line, column: *column, key }),
        },
    }
}

fn finding_document(finding: &Finding) -> FindingDocument<'_> {
    FindingDocument {
        code: finding.rule.code(),
        level: finding.level.as_str(),
        line: finding.at.line,
        column: finding.at.column,
        key: &finding.at.key,
        gallery: finding.gallery.as_deref(),
        why: &finding.why,
        fix: &finding.fix,
    }
}

/// Warnings and notes in the shape of compilers, so that editors find the place.
fn text(looked: &[Looked]) -> String {
    let mut text = String::new();
    for Looked { file, result } in looked {
        let Ok(linted) = result else { continue };
        for finding in &linted.findings {
            let place = [finding.at.line, finding.at.column].into_iter().flatten();
            let place: String = place.map(|number| format!(":{number}")).collect();
            let Finding { rule, level, at, why, fix, .. } = finding;
            line(&mut text, &format!("{file}{place}: {}[{}]: {why}", level.as_str(), rule.code()));
            match (&finding.gallery, at.key.as_str()) {
                (Some(gallery), "") => line(&mut text, &format!("    at: gallery {gallery}")),
                (Some(gallery), key) => line(&mut text, &format!("    at: {key}, gallery {gallery}")),
                (None, "") => {}
                (None, key) => line(&mut text, &format!("    at: {key}")),
            }
            for (number, fix) in fix.lines().enumerate() {
                line(&mut text, &format!("    {}{fix}", if number == 0 { "write: " } else { "       " }));
            }
        }
        let count = |level| linted.findings.iter().filter(|finding| finding.level == level).count();
        let policies = plural(linted.policies, "policy", "policies");
        let warnings = plural(count(Level::Warning), "warning", "warnings");
        line(&mut text, &format!("{file}: {policies}, {warnings}, {}", plural(count(Level::Note), "note", "notes")));
    }
    text
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Adds a line in which nothing that a file says can move the cursor or turn the direction of writing.
fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "{}", content.chars().map(visible).collect::<String>());
}
