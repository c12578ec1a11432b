//! What is looked for in the claims of each signer.

use super::names::WorkflowName;
use super::patterns::quoted;
use super::refs::{BRANCH, PULL, Refs};
use super::{Finding, Rule};
use crate::claim::Claim;
use crate::draft::{Choice, SignerDraft};
use crate::error::Location;
use crate::matcher::Matcher;

pub(super) fn findings(refs: &Refs<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some((at, all)) = &refs.draft.github {
        findings.extend(never_there(refs.draft, at));
        for (claim, choice) in all {
            let Some(matcher) = matcher(refs, *claim) else { continue };
            let at = choice.pattern.as_ref().map_or(&choice.at, |pattern| &pattern.at);
            match open(*claim, choice, matcher) {
                Some(finding) => findings.push(finding),
                None if *claim == Claim::Trigger => findings.extend(trigger(refs, matcher, at)),
                None if *claim == Claim::RunnerEnvironment && matcher.matches("self-hosted") => {
                    let why = "what an earlier job left on a self-hosted runner can reach into the one that signs";
                    findings.push(Finding::new(Rule::SelfHostedRunner, at, why, "runner_environment: github-hosted"));
                }
                None => {}
            }
        }
    }
    let name = refs.names.iter().find_map(|name| WorkflowName::parse(name));
    if let Some(name) = name {
        findings.extend(names_only(refs, name));
        findings.extend(unpinned(refs, name));
    }
    findings
}

/// Returns claims as lines to paste: with the block around them where there is none yet.
pub(super) fn in_github(draft: &SignerDraft, claims: &[(&str, &str)]) -> String {
    let value = |text: &str| match text.starts_with('[') {
        true => text.to_owned(),
        false if text.contains('/') => quoted(text),
        false => text.to_owned(),
    };
    let lines: Vec<String> = claims.iter().map(|(key, text)| format!("{key}: {}", value(text))).collect();
    match draft.github.is_some() {
        true => format!("{}  # in `github`", lines.join("\n")),
        false => format!("github: {{{}}}", lines.join(", ")),
    }
}

fn matcher<'signer>(refs: &Refs<'signer>, wanted: Claim) -> Option<&'signer Matcher> {
    refs.signer.github.iter().find(|(claim, _)| *claim == wanted).map(|(_, matcher)| matcher)
}

fn never_there(draft: &SignerDraft, at: &Location) -> Option<Finding> {
    let name = &draft.identity.exact.as_ref()?.first()?.value;
    let is_address = name.contains('@') && !name.contains("://");
    let why = "a certificate for an e-mail address carries no claims of a build: the signer admits nobody";
    is_address.then(|| Finding::new(Rule::ClaimsNeverThere, at, why, "# remove the `github` block"))
}

fn open(claim: Claim, choice: &Choice, matcher: &Matcher) -> Option<Finding> {
    let pattern = choice.pattern.as_ref()?;
    let any_ref = [BRANCH, "refs/tags/anything", PULL].into_iter().all(|reference| matcher.matches(reference));
    if !(matcher.matches("anything") || (claim == Claim::Ref && any_ref)) {
        return None;
    }
    let why = "admits anything: it only asks that the claim is there";
    let fix = match claim {
        Claim::Ref => "ref: refs/heads/main".to_owned(),
        Claim::Trigger => "trigger: [push]".to_owned(),
        Claim::RunnerEnvironment => "runner_environment: github-hosted".to_owned(),
        claim => format!("{claim}: VALUE"),
    };
    Some(Finding::new(Rule::OpenClaim, &pattern.at, why, fix))
}

fn trigger(refs: &Refs<'_>, matcher: &Matcher, at: &Location) -> Vec<Finding> {
    let mut findings = Vec::new();
    let outsiders: Vec<&str> = OUTSIDERS.into_iter().filter(|event| matcher.matches(event)).collect();
    let remaining = |without: &[&str]| match matcher {
        Matcher::Exact(events) => {
            let kept: Vec<&str> = events.iter().map(String::as_str).filter(|event| !without.contains(event)).collect();
            if kept.is_empty() { "push".to_owned() } else { kept.join(", ") }
        }
        Matcher::Pattern(_) => "push".to_owned(),
    };
    if !outsiders.is_empty() {
        let why = format!(
            "people without write access can cause {}: what they send may reach into what such a job builds",
            outsiders.iter().map(|event| format!("`{event}`")).collect::<Vec<_>>().join(", ")
        );
        let fix = format!("trigger: [{}]", remaining(&OUTSIDERS));
        findings.push(Finding::new(Rule::OutsidersTrigger, at, why, fix));
    }
    let requests: Vec<&str> = REQUESTS.into_iter().filter(|event| matcher.matches(event)).collect();
    // A workflow that is called keeps its own ref; else a pull request's job has the pull request's.
    let is_called = refs.signer.github.iter().any(|(claim, matcher)| {
        let own = |path: &str| {
            refs.names.iter().filter_map(|name| WorkflowName::parse(name)).any(|name| name.repository_path() == path)
        };
        *claim == Claim::Repository && !matcher.only().is_some_and(own)
    });
    let is_gitlab = refs.names.iter().filter_map(|name| WorkflowName::parse(name)).any(|name| !name.is_github());
    if !requests.is_empty() && (is_called || is_gitlab || refs.admitted(PULL).is_some()) {
        let why = "jobs of pull requests run the pull request's own version of what they build, before anybody has agreed to it";
        let fix = format!("trigger: [{}]", remaining(&REQUESTS));
        findings.push(Finding::new(Rule::PullRequest, at, why, fix));
    }
    findings
}

fn names_only(refs: &Refs<'_>, name: WorkflowName<'_>) -> Option<Finding> {
    if matcher(refs, Claim::RepositoryId).is_some() || matcher(refs, Claim::OwnerId).is_some() {
        return None;
    }
    let repository = matcher(refs, Claim::Repository).and_then(Matcher::only);
    let repository = repository.unwrap_or_else(|| name.repository_path());
    let why = "names of owners and repositories can be given up and registered again by others; their numbers cannot";
    let at = refs.draft.identity.pattern.as_ref().map_or(&refs.draft.identity.at, |pattern| &pattern.at);
    let mut fix = in_github(refs.draft, &[("repository_id", "'NUMBER'"), ("owner_id", "'NUMBER'")]);
    if name.is_github() {
        fix.push_str(&format!("\n# the numbers: gh api repos/{repository} --jq '.id, .owner.id'"));
    }
    Some(Finding::new(Rule::NamesOnly, at, why, fix))
}

fn unpinned(refs: &Refs<'_>, name: WorkflowName<'_>) -> Option<Finding> {
    if !name.is_github() {
        return None;
    }
    let known = [(Claim::Trigger, "[push]"), (Claim::RunnerEnvironment, "github-hosted")];
    let missing: Vec<(&str, &str)> = known
        .into_iter()
        .filter(|(claim, _)| matcher(refs, *claim).is_none())
        .map(|(claim, value)| (claim.key(), value))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let open = match missing.as_slice() {
        [_, _] => "any event may have started the job, and any kind of runner may have run it",
        [("trigger", _)] => "any event may have started the job",
        _ => "any kind of runner may have run the job, self-hosted ones among them",
    };
    let at = refs.draft.identity.pattern.as_ref().map_or(&refs.draft.identity.at, |pattern| &pattern.at);
    Some(Finding::new(Rule::UnpinnedClaims, at, open, in_github(refs.draft, &missing)))
}

/// Events that anybody with an account can cause, or that follow a run that anybody can cause.
const OUTSIDERS: [&str; 9] = [
    "discussion",
    "discussion_comment",
    "fork",
    "issue_comment",
    "issues",
    "pull_request_review_comment",
    "pull_request_target",
    "watch",
    "workflow_run",
];
/// Events of pull requests on GitHub and GitLab.
const REQUESTS: [&str; 2] = ["merge_request_event", "pull_request"];
