//! What `policy lint` prints: text, JSON, SARIF, annotations.

use std::io;

use countersign_cli::output::{self, Annotation, ReportFormat};
use countersign_cli::sarif::{self, Location, Log};
use countersign_cli::{Exit, Failure};
use countersign_policy::lint::{Finding, Form, Level, Rule, Together};
use serde::Serialize;

use super::{Looked, Refused};
use crate::commands::policy::{TOOL, line, plural};

/// Writes what was found to standard output.
pub(super) fn write(looked: &[Looked], format: ReportFormat, exit: Exit) -> io::Result<()> {
    match format {
        ReportFormat::Json => output::json(&document(looked)),
        ReportFormat::Sarif => output::json(&log(looked, exit).document()),
        ReportFormat::Github => {
            output::text(&text(looked))?;
            output::annotations(&annotations(looked))
        }
        _ => output::text(&text(looked)),
    }
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
    /// All corrections of each policy at once.
    together: Vec<TogetherDocument<'a>>,
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
struct TogetherDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery: Option<&'a str>,
    line: Option<u32>,
    write: &'a str,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    #[serde(flatten)]
    failure: &'a Failure,
    line: Option<u32>,
    column: Option<u32>,
    key: &'a str,
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
            together: linted.together.iter().map(together_document).collect(),
            error: None,
        },
        Err(Refused { failure, line, column, key }) => FileDocument {
            file,
            form: None,
            policies: 0,
            findings: Vec::new(),
            together: Vec::new(),
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

fn together_document(together: &Together) -> TogetherDocument<'_> {
    TogetherDocument { gallery: together.gallery.as_deref(), line: together.at.line, write: &together.write }
}

/// Nobody should believe that LocalAI asks for what it has no word for.
const OF_LOCALAI: &str = "enforced by countersign; LocalAI reads issuer, identity (each also as _regex) and not_before only, and has no \
    word for `github`, `require` and the others (policy/EXCHANGE.md: claim-repository)";

/// Warnings and notes in the shape of compilers, so that editors find the place.
fn text(looked: &[Looked]) -> String {
    let mut text = String::new();
    for Looked { file, result } in looked {
        let Ok(linted) = result else { continue };
        for finding in &linted.findings {
            let place = place(finding.at.line, finding.at.column);
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
        for together in &linted.together {
            let of = together.gallery.as_ref().map_or_else(String::new, |gallery| format!(" in gallery {gallery}"));
            let place = place(together.at.line, None);
            line(&mut text, &format!("{file}{place}: all together{of}, write:"));
            together.write.lines().for_each(|content| line(&mut text, &format!("    {content}")));
        }
        if linted.form != Form::Document && linted.policies > 0 {
            line(&mut text, &format!("{file}: {OF_LOCALAI}"));
        }
        let count = |level| linted.findings.iter().filter(|finding| finding.level == level).count();
        let policies = plural(linted.policies, "policy", "policies");
        let warnings = plural(count(Level::Warning), "warning", "warnings");
        line(&mut text, &format!("{file}: {policies}, {warnings}, {}", plural(count(Level::Note), "note", "notes")));
    }
    text
}

fn log(looked: &[Looked], exit: Exit) -> Log {
    let mut log = Log::new(TOOL);
    log.end_with(exit);
    for rule in Rule::ALL {
        log.rule(sarif::Rule {
            id: rule.code(),
            short_description: rule.code().replace('-', " "),
            full_description: rule.explanation().to_owned(),
            help: rule.explanation().to_owned(),
            level: level(rule.level()),
            security_severity: (rule.level() == Level::Warning).then_some("6.0"),
        });
    }
    for Looked { file, result } in looked {
        let place = |line: Option<u32>, column: Option<u32>| {
            Location::file(file).line_column(line.unwrap_or(1).into(), column.unwrap_or(1).into())
        };
        match result {
            Ok(linted) => {
                for finding in &linted.findings {
                    log.finding(sarif::Finding {
                        rule: finding.rule.code(),
                        level: level(finding.level),
                        message: format!("{}.\nWrite: {}", finding.why, finding.fix),
                        location: place(finding.at.line, finding.at.column),
                        about: about(finding),
                    });
                }
            }
            Err(Refused { failure, line, column, key }) => log.finding(sarif::Finding {
                rule: "policy-refused",
                level: sarif::Level::Error,
                message: failure.lines().join("\n"),
                location: place(*line, *column),
                about: key.clone(),
            }),
        }
    }
    log
}

fn annotations(looked: &[Looked]) -> Vec<Annotation> {
    let mut annotations = Vec::new();
    for Looked { file, result } in looked {
        match result {
            Ok(linted) => annotations.extend(linted.findings.iter().map(|finding| Annotation {
                level: level(finding.level),
                title: format!("{file}{}: {}", place(finding.at.line, finding.at.column), finding.rule.code()),
                message: format!("{}\nwrite: {}", finding.why, finding.fix),
            })),
            Err(refused) => annotations.push(Annotation {
                level: sarif::Level::Error,
                title: format!("{file}: {}", refused.failure.code),
                message: refused.failure.lines().join("\n"),
            }),
        }
    }
    annotations
}

fn level(level: Level) -> sarif::Level {
    match level {
        Level::Warning => sarif::Level::Warning,
        _ => sarif::Level::Note,
    }
}

/// What the finding is about: with rule and file it is the same in every run.
fn about(finding: &Finding) -> String {
    match &finding.gallery {
        Some(gallery) => format!("gallery {gallery}: {}", finding.at.key),
        None => finding.at.key.clone(),
    }
}

fn place(line: Option<u32>, column: Option<u32>) -> String {
    [line, column].into_iter().flatten().map(|number| format!(":{number}")).collect()
}
