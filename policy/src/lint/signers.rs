//! What is looked for in issuer and identity of each signer.

use super::claims::{self, in_github};
use super::form::Subject;
use super::names::{FILLS, WorkflowName};
use super::patterns::{escape_dots, looks_like_a_pattern, quoted};
use super::refs::Refs;
use super::{Finding, Form, Level, Rule, sample, together};
use crate::claim::Claim;
use crate::difference::{DifferenceKind, first_difference};
use crate::draft::{Choice, SignerDraft, Text};
use crate::error::Location;
use crate::signer::Signer;
use crate::source_repository;

pub(super) fn findings(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, (signer, draft)) in subject.policy.signers().zip(&subject.drafts).enumerate() {
        let first = findings.len();
        let names = sample::samples(&signer.identity, &FILLS);
        findings.extend(issuer(signer, draft));
        findings.extend(looks(draft));
        findings.extend(never_matches(signer, draft));
        findings.extend(repository(signer, draft, &names));
        findings.extend(workflow(signer, draft, &names));
        let refs = Refs { signer, draft, names: &names };
        findings.extend(refs.findings());
        findings.extend(claims::findings(&refs));
        findings.extend(no_repository_claim(signer, draft, &names, subject.form));
        findings[first..].iter_mut().for_each(|finding| finding.signer = Some(index));
    }
    findings.extend(together::findings(subject));
    findings
}

fn issuer(signer: &Signer, draft: &SignerDraft) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(pattern) = &draft.issuer.pattern {
        let meant = sample::samples(&signer.issuer, &[""]).into_iter().next();
        let meant = meant.unwrap_or_else(|| "https://token.actions.githubusercontent.com".to_owned());
        let why = "more than one issuer may match, and each of them can vouch for any name";
        findings.push(Finding::new(Rule::IssuerPattern, &pattern.at, why, format!("issuer: {}", quoted(&meant))));
    }
    for issuer in draft.issuer.exact.iter().flatten() {
        if issuer.value.starts_with("http://") && !is_loopback(&issuer.value) {
            let why = "who sits on the way to this issuer can issue tokens for anybody";
            let fix = format!("issuer: {}", quoted(&issuer.value.replacen("http://", "https://", 1)));
            findings.push(Finding::new(Rule::HttpIssuer, &issuer.at, why, fix));
        }
        findings.extend(misspelt(issuer));
    }
    findings
}

fn misspelt(issuer: &Text) -> Option<Finding> {
    let slips = [DifferenceKind::Blank, DifferenceKind::Case, DifferenceKind::TrailingSlash];
    let (known, difference) = KNOWN_ISSUERS
        .into_iter()
        .filter_map(|known| Some((known, first_difference(known, &issuer.value)?)))
        .find(|(_, difference)| slips.contains(&difference.kind))?;
    let why = format!(
        "no certificate names it: the issuer is `{known}`, and differs in {} (character {})",
        difference.kind,
        difference.position + 1
    );
    Some(Finding::new(Rule::IssuerMisspelt, &issuer.at, why, format!("issuer: {}", quoted(known))))
}

/// Patterns in which a dot was not escaped, and texts that were meant as patterns.
fn looks(draft: &SignerDraft) -> Vec<Finding> {
    let claims = draft.github.iter().flat_map(|(_, claims)| claims.iter().map(|(_, choice)| choice));
    let all: Vec<&Choice> = [&draft.issuer, &draft.identity].into_iter().chain(claims).collect();
    let mut findings = Vec::new();
    for pattern in all.iter().filter_map(|choice| choice.pattern.as_ref()) {
        let Some((escaped, count)) = escape_dots(&pattern.value) else { continue };
        let (dots, stand) = if count == 1 { ("a bare dot", "stands") } else { ("bare dots", "stand") };
        let here = match last_key(&pattern.at) {
            "identity_regex" | "issuer_regex" => {
                "; the host (and an identity's owner) is compared to the letter here, but not in cosign or LocalAI"
            }
            _ => "",
        };
        let why = format!("{count} {dots} {stand} for any character{here}");
        let why = if count == 1 { why.replacen("1 a bare", "a bare", 1) } else { why };
        let fix = format!("{}: {}", last_key(&pattern.at), quoted(&escaped));
        findings.push(Finding::new(Rule::UnescapedDot, &pattern.at, why, fix));
    }
    for text in all.iter().flat_map(|choice| choice.exact.iter().flatten()) {
        if looks_like_a_pattern(&text.value) {
            let key = last_key(&text.at);
            let why = "is compared to the letter, and no certificate holds such a value: the signer admits nobody";
            findings.push(Finding::new(Rule::PatternAsText, &text.at, why, pattern_fix(key, &text.value)));
        }
    }
    findings
}

/// Keys without a pattern form need an exact value.
fn pattern_fix(key: &str, value: &str) -> String {
    match key {
        "issuer" => "issuer: https://token.actions.githubusercontent.com".to_owned(),
        "owner" | "owner_id" | "repository_id" | "visibility" => format!("{key}: VALUE"),
        _ => format!("{key}_regex: {}", quoted(value)),
    }
}

fn never_matches(signer: &Signer, draft: &SignerDraft) -> Option<Finding> {
    let text = draft.identity.exact.as_ref()?.first()?;
    if !signer.issuer.only().is_some_and(source_repository::is_github) || looks_like_a_pattern(&text.value) {
        return None;
    }
    let name = WorkflowName::parse(&text.value).filter(WorkflowName::is_github);
    let is_commit = |text: &str| text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let why = match name {
        Some(name) if !name.repository.starts_with("https://github.com/") => {
            "GitHub's names begin with `https://github.com/`"
        }
        Some(WorkflowName { reference: Some(reference), .. })
            if reference.starts_with("refs/") || is_commit(reference) =>
        {
            return None;
        }
        Some(_) => "GitHub's names end with the full ref of the workflow, such as `@refs/heads/main`",
        None => "GitHub's names are the URI of a workflow file with its ref",
    };
    let start = name.map_or_else(
        || "https://github.com/OWNER/REPOSITORY/.github/workflows/FILE.yml".to_owned(),
        |name| {
            let path = name.repository_path();
            format!("https://github.com/{path}/.github/workflows/{}", name.file)
        },
    );
    let reference = name.and_then(|name| name.reference).filter(|reference| !reference.is_empty()).unwrap_or("main");
    let reference = match reference.starts_with("refs/") {
        true => reference.to_owned(),
        false => format!("refs/heads/{reference}"),
    };
    let fix = format!("identity: {}", quoted(&format!("{start}@{reference}")));
    Some(Finding::new(Rule::NeverMatches, &text.at, format!("{why}: the signer admits nobody"), fix))
}

/// The repository in the identity, or the claim that stands in for it, is open.
fn repository(signer: &Signer, draft: &SignerDraft, names: &[String]) -> Option<Finding> {
    let claim = |wanted: Claim| signer.github.iter().find(|(claim, _)| *claim == wanted).map(|(_, matcher)| matcher);
    if claim(Claim::RepositoryId).is_some() {
        return None;
    }
    if let Some(matcher) = claim(Claim::Repository) {
        let choice = &draft.github.as_ref()?.1.iter().find(|(claim, _)| *claim == Claim::Repository)?.1;
        let admitted = sample::samples(matcher, &["anything"]).into_iter().find_map(|path| {
            let (owner, _) = path.rsplit_once('/')?;
            Some(format!("{owner}/anything")).filter(|path| matcher.matches(path))
        })?;
        let pattern = choice.pattern.as_ref()?;
        let why = format!("admits jobs of `{admitted}`, and of every other repository of that owner");
        let name =
            names.iter().find_map(|name| WorkflowName::parse(name)).map_or("OWNER/NAME", |name| name.repository_path());
        return Some(Finding::new(Rule::OpenRepository, &pattern.at, why, format!("repository: {}", quoted(name))));
    }
    let pattern = draft.identity.pattern.as_ref()?;
    let admitted = names.iter().filter_map(|name| WorkflowName::parse(name)).find_map(|name| {
        let own = name.repository_name();
        let others = ["anything".to_owned(), format!("{own}-anything")];
        let mut others = others.iter().filter_map(|other| name.with_repository(other));
        others.find(|other| signer.identity.matches(other))
    })?;
    let why = format!("admits `{admitted}`, the workflow of another repository");
    Some(Finding::new(Rule::OpenRepository, &pattern.at, why, in_github(draft, &[("repository", "OWNER/REPOSITORY")])))
}

fn workflow(signer: &Signer, draft: &SignerDraft, names: &[String]) -> Option<Finding> {
    let pattern = draft.identity.pattern.as_ref()?;
    let names: Vec<WorkflowName<'_>> = names.iter().filter_map(|name| WorkflowName::parse(name)).collect();
    let admitted =
        names.iter().map(|name| name.with_file("anything.yml")).find(|name| signer.identity.matches(name))?;
    let repository = names.first().map_or("https://github.com/OWNER/REPOSITORY", |name| name.repository);
    let why = format!("admits `{admitted}`: any workflow of the repository, those for tests among them");
    let fix = quoted(&format!("{repository}/.github/workflows/FILE.yml@refs/heads/main"));
    Some(Finding::new(Rule::OpenWorkflow, &pattern.at, why, format!("identity: {fix}")))
}

fn no_repository_claim(signer: &Signer, draft: &SignerDraft, names: &[String], form: Form) -> Option<Finding> {
    let name = names.iter().find_map(|name| WorkflowName::parse(name))?;
    if signer.github.iter().any(|(claim, _)| claim.names_repository()) {
        return None;
    }
    let at = draft.identity.pattern.as_ref().map_or(&draft.identity.at, |pattern| &pattern.at);
    let is_block = form != Form::Document;
    let elsewhere = match is_block {
        true => "; LocalAI, which reads the same block, does not ask, and admits every repository that calls it",
        false => "; say it, so that readers and other programs know",
    };
    let why = format!(
        "a workflow that others can call gives its name to all of them, and no claim says whose jobs may sign: \
         here the job must be of the workflow's own repository{elsewhere}"
    );
    let mut paths = names.iter().filter_map(|name| WorkflowName::parse(name)).map(|name| name.repository_path());
    let path =
        if paths.all(|path| path == name.repository_path()) { name.repository_path() } else { "OWNER/REPOSITORY" };
    let mut finding = Finding::new(Rule::NoRepositoryClaim, at, why, in_github(draft, &[("repository", path)]));
    if is_block {
        finding.level = Level::Warning;
    }
    Some(finding)
}

fn is_loopback(issuer: &str) -> bool {
    let host = issuer.trim_start_matches("http://").split(['/', ':']).next().unwrap_or_default();
    host == "localhost" || host.starts_with("127.") || issuer.starts_with("http://[::1]")
}

pub(super) fn last_key(at: &Location) -> &str {
    let key = at.key.rsplit('.').next().unwrap_or_default();
    key.split('[').next().unwrap_or_default()
}

const KNOWN_ISSUERS: [&str; 7] = [
    "https://accounts.google.com",
    "https://agent.buildkite.com",
    "https://github.com/login/oauth",
    "https://gitlab.com",
    "https://login.microsoftonline.com",
    "https://oauth2.sigstore.dev/auth",
    source_repository::GITHUB_ISSUER,
];
