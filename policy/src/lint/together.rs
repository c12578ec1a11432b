//! What is looked for in signers beside each other.

use std::collections::BTreeSet;

use super::form::Subject;
use super::names::{FILLS, WorkflowName};
use super::{Finding, Rule, sample};
use crate::claim::Claim;
use crate::matcher::Matcher;
use crate::signer::Signer;
use crate::source_repository;

pub(super) fn findings(subject: &Subject) -> Vec<Finding> {
    let mut findings = shadowed(subject);
    findings.extend(one_party(subject));
    findings
}

fn shadowed(subject: &Subject) -> Vec<Finding> {
    if subject.policy.threshold > 1 {
        return Vec::new();
    }
    let signers: Vec<&Signer> = subject.policy.signers().collect();
    let mut findings = Vec::new();
    for (index, (narrow, draft)) in signers.iter().zip(&subject.drafts).enumerate() {
        // Of two that admit the same, the later one is too much.
        let is_covering = |(other, wide): &(usize, &&Signer)| {
            *other != index && covers(wide, narrow) && (*other < index || !covers(narrow, wide))
        };
        if let Some((_, wide)) = signers.iter().enumerate().find(is_covering) {
            let why = format!(
                "signer `{}` admits all that `{}` admits, and one signer is enough: this entry changes nothing",
                wide.name, narrow.name
            );
            let at = draft.name.as_ref().map_or(&draft.identity.at, |name| &name.at);
            let fix = "# remove the one that you do not mean, or ask for both with `threshold: 2`";
            findings.push(Finding::new(Rule::ShadowedSigner, at, why, fix));
        }
    }
    findings
}

/// Tells whether one signer surely admits all that another admits. Of patterns only the same text is compared.
fn covers(wide: &Signer, narrow: &Signer) -> bool {
    let claim = |signer: &Signer, wanted: Claim| -> Option<Matcher> {
        signer.github.iter().find(|(claim, _)| *claim == wanted).map(|(_, matcher)| matcher.clone())
    };
    let names_repository = |signer: &Signer| signer.github.iter().any(|(claim, _)| claim.names_repository());
    let same_repository = || {
        let own = narrow.identity.only().and_then(WorkflowName::parse).map(|name| name.repository_path().to_owned());
        let claimed = claim(narrow, Claim::Repository);
        own.is_some() && claimed.as_ref().and_then(Matcher::only) == own.as_deref()
    };
    covers_value(&wide.issuer, &narrow.issuer)
        && covers_value(&wide.identity, &narrow.identity)
        && wide
            .github
            .iter()
            .all(|(key, matcher)| claim(narrow, *key).is_some_and(|narrow| covers_value(matcher, &narrow)))
        // An entry without such a claim asks for the workflow's own repository.
        && (names_repository(wide) || !names_repository(narrow) || same_repository())
}

fn covers_value(wide: &Matcher, narrow: &Matcher) -> bool {
    match (wide, narrow) {
        (wide, Matcher::Exact(values)) => values.iter().all(|value| wide.matches(value)),
        (Matcher::Pattern(wide), Matcher::Pattern(narrow)) => wide.text() == narrow.text(),
        (Matcher::Exact(_), Matcher::Pattern(_)) => false,
    }
}

/// Distinct principals are distinct names, and one repository has many: every workflow, and every ref of each.
fn one_party(subject: &Subject) -> Option<Finding> {
    let threshold = subject.policy.threshold;
    if threshold < 2 {
        return None;
    }
    let parties: Option<BTreeSet<String>> = subject.policy.signers().map(party).collect();
    let parties = parties?;
    if parties.len() >= threshold {
        return None;
    }
    let named = parties.iter().map(|party| format!("`{party}`")).collect::<Vec<_>>().join(", ");
    let why = format!(
        "{threshold} signatures are asked for, and all signers are of {named}: whoever controls one can give more than one"
    );
    let at = subject.places.threshold.as_ref().unwrap_or(&subject.places.root);
    Some(Finding::new(Rule::ThresholdOneParty, at, why, "# name signers of other repositories, or people, beside it"))
}

/// The repository, or the name where there is none; none where it is open.
fn party(signer: &Signer) -> Option<String> {
    let claimed = signer.github.iter().find(|(claim, _)| *claim == Claim::Repository);
    let names = sample::samples(&signer.identity, &FILLS);
    if let Some((_, matcher)) = claimed {
        let host = names.first().and_then(|name| source_repository::origin(name)).unwrap_or("https://github.com");
        return Some(format!("{host}/{}", matcher.only()?));
    }
    let parties: BTreeSet<&str> = names.iter().map(|name| source_repository::of_name(name).unwrap_or(name)).collect();
    match parties.len() {
        1 => parties.first().map(|party| (*party).to_owned()),
        _ => None,
    }
}
