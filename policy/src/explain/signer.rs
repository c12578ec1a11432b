//! One signer in plain words.

use super::Section;
use crate::claim::Claim;
use crate::lint::names::{FILLS, WorkflowName};
use crate::lint::sample;
use crate::matcher::Matcher;
use crate::signer::Signer;
use crate::source_repository;

pub(super) fn section(signer: &Signer) -> Section {
    let mut lines = vec![match &signer.issuer {
        Matcher::Exact(_) => format!("The issuer {} vouched for the signer, to the letter.", signer.issuer.expected()),
        Matcher::Pattern(pattern) => {
            format!("Any issuer that matches `{}` as a whole vouched for the signer.", pattern.text())
        }
    }];
    let names = sample::samples(&signer.identity, &FILLS);
    lines.extend(identity(signer, &names));
    lines.extend(source(signer, &names));
    lines.extend(signer.github.iter().map(|(claim, matcher)| claim_line(*claim, matcher)));
    lines.extend(not_asked(signer, &names));
    Section { title: format!("Signer `{}`", signer.name), lines }
}

fn identity(signer: &Signer, names: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    match &signer.identity {
        Matcher::Exact(_) => {
            let name = signer.identity.expected();
            lines.push(format!("The certificate holds the name `{name}`, to the letter."));
            if let Some(name) = WorkflowName::parse(&name) {
                let reference =
                    name.reference.map(|reference| format!(", as it is at {reference}")).unwrap_or_default();
                lines.push(format!("  That is the workflow {} of {}{reference}.", name.file, name.repository));
            }
        }
        Matcher::Pattern(pattern) => {
            lines.push(format!("The certificate's whole name matches `{}`.", pattern.text()));
            // The shortest of each alternative say the most.
            let mut shown: Vec<&String> = names.iter().collect();
            shown.sort_by_key(|name| (name.len(), (*name).clone()));
            lines.extend(shown.iter().take(MAX_EXAMPLES).map(|name| format!("  It admits, for example, `{name}`.")));
            if names.is_empty() {
                lines.push("  No example was found: it may admit nothing.".to_owned());
            }
        }
    }
    lines.extend(nearest_refused(signer, names).into_iter().map(|name| format!("  It refuses `{name}`.")));
    lines
}

/// Names that differ in one thing from one that is admitted, and are refused.
fn nearest_refused(signer: &Signer, names: &[String]) -> Vec<String> {
    let Some(name) = names.iter().find_map(|name| WorkflowName::parse(name)) else { return Vec::new() };
    let reference = name.reference.unwrap_or_default();
    let text = name.with_reference(reference);
    let other_extension = match text.contains(".yml@") {
        true => text.replacen(".yml@", ".yaml@", 1),
        false => text.replacen(".yaml@", ".yml@", 1),
    };
    let candidates = [
        Some(name.with_reference("refs/heads/another-branch")),
        Some(name.with_reference("refs/tags/another-tag")),
        Some(name.with_reference("refs/pull/7/merge")),
        Some(other_extension),
        name.with_repository(&format!("{}-fork", name.repository_name())),
    ];
    let refused = candidates.into_iter().flatten().filter(|candidate| !signer.identity.matches(candidate));
    refused.take(MAX_EXAMPLES).collect()
}

/// Whose job may use the name.
fn source(signer: &Signer, names: &[String]) -> Option<String> {
    if signer.github.iter().any(|(claim, _)| claim.names_repository()) {
        return None;
    }
    let is_github = signer.issuer.only().is_some_and(source_repository::is_github);
    let is_workflow = names.iter().any(|name| WorkflowName::parse(name).is_some());
    (is_github || is_workflow).then(|| {
        "The job that signed belongs to the workflow's own repository, not to another one that calls the workflow."
            .to_owned()
    })
}

fn claim_line(claim: Claim, matcher: &Matcher) -> String {
    let value = match matcher {
        Matcher::Exact(values) => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or "),
        Matcher::Pattern(pattern) => format!("something that matches `{}` as a whole", pattern.text()),
    };
    let what = match claim {
        Claim::BuildConfig => "The top-level workflow is",
        Claim::Environment => "The job's deployment environment is",
        Claim::Owner => "The job belongs to a repository of the owner",
        Claim::OwnerId => "The number of the repository's owner is",
        Claim::Ref => "The job ran for the ref",
        Claim::Repository => "The job belongs to the repository",
        Claim::RepositoryId => "The number of the job's repository is",
        Claim::RunnerEnvironment => "The job ran on a runner of the kind",
        Claim::Trigger => "The event that started the job is",
        Claim::Visibility => "The repository was, when it signed,",
    };
    format!("{what} {value}.")
}

/// What a certificate of a build says, and this signer does not ask.
fn not_asked(signer: &Signer, names: &[String]) -> Option<String> {
    names.iter().find_map(|name| WorkflowName::parse(name))?;
    let asked = |wanted: Claim| signer.github.iter().any(|(claim, _)| *claim == wanted);
    let open: Vec<&str> = [
        (Claim::Trigger, "the event that started the job"),
        (Claim::RunnerEnvironment, "the kind of runner"),
        (Claim::Ref, "the ref that the job ran for"),
        (Claim::RepositoryId, "the repository's number"),
        (Claim::OwnerId, "the owner's number"),
        (Claim::Environment, "the deployment environment"),
    ]
    .into_iter()
    .filter(|(claim, _)| !asked(*claim))
    .map(|(_, words)| words)
    .collect();
    (!open.is_empty()).then(|| format!("Not asked: {}.", open.join(", ")))
}

const MAX_EXAMPLES: usize = 4;
