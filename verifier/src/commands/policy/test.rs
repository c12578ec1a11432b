//! `policy test`: a table of certificates that a policy must accept or deny.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_policy::Denial;
use countersign_policy::cases::{CaseResult, Cases, Expected};
use serde::Serialize;

use super::{failure, line, plural, policy, read};

/// Puts a table of certificates to a policy: each must be accepted or denied as the table says.
///
/// Made for CI: it needs no image, no registry and no clock. policy/README.md describes the table.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(crate) struct TestArguments {
    /// Tables of cases (YAML).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The policy file (YAML), instead of the one that the table names.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// How the result is written.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    output: OutputFormat,
}

const EXITS: &str = "\
Exit codes: 0 every case as expected, 1 a bug, 2 usage, a file that does not load or a table without cases, 3 some case not as expected.";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    files: Vec<FileDocument<'a>>,
}

#[derive(Serialize)]
struct FileDocument<'a> {
    file: String,
    policy: Option<String>,
    cases: Vec<CaseDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

#[derive(Serialize)]
struct CaseDocument<'a> {
    name: &'a str,
    line: Option<u32>,
    as_expected: bool,
    expected: OutcomeDocument<'a>,
    found: OutcomeDocument<'a>,
    denials: Vec<DenialDocument<'a>>,
}

/// Codes and signers are absent where a case does not ask for them.
#[derive(Serialize)]
struct OutcomeDocument<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    codes: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signers: Option<Vec<&'a str>>,
}

#[derive(Serialize)]
struct DenialDocument<'a> {
    code: &'static str,
    signer: Option<&'a str>,
    field: String,
    expected: &'a str,
    found: Option<&'a str>,
}

/// One table, and what came of it.
struct Tested {
    file: String,
    policy: Option<String>,
    result: Result<Table, Failure>,
}

struct Table {
    results: Vec<CaseResult>,
    expects_a_denial: bool,
}

pub(crate) fn run(arguments: &TestArguments) -> Exit {
    let tested: Vec<Tested> = arguments.files.iter().map(|file| test(file, arguments.policy.as_deref())).collect();
    let exit = tested.iter().map(Tested::exit).fold(Exit::Done, Exit::and);
    let written = match arguments.output {
        OutputFormat::Json => {
            let files = tested.iter().map(Tested::document).collect();
            output::json(&Document { schema: "countersign.dev/policy-test/v1", files })
        }
        OutputFormat::Text => output::text(&text(&tested)),
    };
    for failure in tested.iter().filter_map(|tested| tested.result.as_ref().err()) {
        output::note_lines(&failure.lines());
    }
    match written {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
    }
}

fn test(file: &Path, given: Option<&Path>) -> Tested {
    let mut tested = Tested { file: file.display().to_string(), policy: None, result: Err(no_policy(file)) };
    let cases =
        read("table", file).and_then(|text| Cases::from_yaml(&tested.file, &text).map_err(|error| failure(&error)));
    let cases = match cases {
        Ok(cases) => cases,
        Err(failure) => return Tested { result: Err(failure), ..tested },
    };
    // A relative path begins at the table's folder.
    let named = cases.policy().map(|path| file.parent().unwrap_or(Path::new("")).join(path));
    let Some(path) = given.map(Path::to_path_buf).or(named) else { return tested };
    tested.policy = Some(path.display().to_string());
    tested.result = policy(&path).and_then(|policy| {
        let results = cases.run(&policy).map_err(|error| failure(&error))?;
        Ok(Table { results, expects_a_denial: cases.expects_a_denial() })
    });
    tested
}

fn no_policy(file: &Path) -> Failure {
    Failure::usage(
        "no-policy",
        format!("{}: names no policy", file.display()),
        Some("write `policy: FILE` into the table, or give --policy FILE".to_owned()),
    )
}

impl Tested {
    fn exit(&self) -> Exit {
        match &self.result {
            Ok(table) if table.results.iter().all(CaseResult::is_as_expected) => Exit::Done,
            Ok(_) => Exit::Rejected,
            Err(failure) => failure.exit,
        }
    }

    fn document(&self) -> FileDocument<'_> {
        let (cases, error) = match &self.result {
            Ok(table) => (table.results.iter().map(case_document).collect(), None),
            Err(failure) => (Vec::new(), Some(failure)),
        };
        FileDocument { file: self.file.clone(), policy: self.policy.clone(), cases, error }
    }
}

fn case_document(result: &CaseResult) -> CaseDocument<'_> {
    let (codes, signers) = match &result.expected {
        Expected::Accepted { signers } => (None, signers.as_ref().map(listed)),
        Expected::Denied { codes } => (codes.as_ref().map(listed), None),
        _ => (None, None),
    };
    CaseDocument {
        name: &result.name,
        line: result.at.line,
        as_expected: result.is_as_expected(),
        expected: OutcomeDocument { outcome: expected(result), codes, signers },
        found: OutcomeDocument {
            outcome: found(result),
            codes: (!result.accepted).then(|| result.codes.clone()),
            signers: result.accepted.then(|| result.signers.iter().map(String::as_str).collect()),
        },
        denials: result.denials.iter().map(denial_document).collect(),
    }
}

fn listed(values: &BTreeSet<String>) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

fn denial_document(denial: &Denial) -> DenialDocument<'_> {
    DenialDocument {
        code: denial.code(),
        signer: denial.signer.as_deref(),
        field: denial.field.to_string(),
        expected: &denial.expected,
        found: denial.found.as_deref(),
    }
}

fn expected(result: &CaseResult) -> &'static str {
    if matches!(result.expected, Expected::Accepted { .. }) { "accepted" } else { "denied" }
}

fn found(result: &CaseResult) -> &'static str {
    if result.accepted { "accepted" } else { "denied" }
}

/// A line for each case, and below each that went wrong what was expected and what was there.
fn text(tested: &[Tested]) -> String {
    let mut text = String::new();
    for Tested { file, policy, result } in tested {
        let Ok(table) = result else { continue };
        let policy = policy.as_deref().unwrap_or_default();
        line(&mut text, &format!("{file} against {policy}"));
        for result in &table.results {
            let mark = if result.is_as_expected() { "ok    " } else { "WRONG " };
            line(
                &mut text,
                &format!("  {mark} {}: {}", result.name, said(found(result), &result.codes, &result.signers)),
            );
            if !result.is_as_expected() {
                wrong(&mut text, result);
            }
        }
        let wrong = table.results.iter().filter(|result| !result.is_as_expected()).count();
        line(&mut text, &format!("  {}, {wrong} not as expected", plural(table.results.len(), "case", "cases")));
        if !table.expects_a_denial {
            line(&mut text, "  note: no case expects a denial, so a policy that admits everybody would pass too");
        }
    }
    text
}

fn wrong(text: &mut String, result: &CaseResult) {
    let expected = match &result.expected {
        Expected::Accepted { signers: Some(signers) } => said("accepted", &NONE, &signers.iter().collect::<Vec<_>>()),
        Expected::Denied { codes: Some(codes) } => said("denied", &codes.iter().collect::<Vec<_>>(), &NONE),
        _ => expected(result).to_owned(),
    };
    let place = result.at.line.map(|line| format!("line {line}, ")).unwrap_or_default();
    line(text, &format!("         {place}expected: {expected}"));
    for denial in &result.denials {
        line(text, &format!("         {}: {denial}", denial.code()));
    }
}

fn said(outcome: &str, codes: &[impl AsRef<str>], signers: &[impl AsRef<str>]) -> String {
    let list = |values: Vec<&str>| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
    match outcome {
        "accepted" => format!("accepted, signers: {}", list(signers.iter().map(AsRef::as_ref).collect())),
        outcome => format!("{outcome}, codes: {}", list(codes.iter().map(AsRef::as_ref).collect())),
    }
}

const NONE: [&str; 0] = [];
