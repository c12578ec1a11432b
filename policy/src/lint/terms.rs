//! What is looked for in a policy beside its signers.

use jiff::Timestamp;

use super::form::Subject;
use super::{Finding, Rule};

pub(super) fn findings(subject: &Subject, now: Timestamp) -> Vec<Finding> {
    let places = &subject.places;
    let window = &subject.policy.window;
    let mut findings = Vec::new();
    if window.not_before.is_none() && window.max_age.is_none() {
        findings.push(Finding::new(
            Rule::NoNotBefore,
            &places.root,
            "signatures count however old they are: nothing can be withdrawn by its age",
            format!("not_before: {}", now.strftime("%Y-%m-%dT00:00:00Z")),
        ));
    }
    if let (Some(cutoff), Some(at)) = (window.not_before.filter(|cutoff| *cutoff > now), &places.not_before) {
        let why = format!("it is {}, and nothing signed before {cutoff} is accepted", seconds(now));
        findings.push(Finding::new(Rule::NotBeforeAhead, at, why, format!("not_before: {}", seconds(now))));
    }
    if let (Some(cutoff), Some(at)) = (window.not_after.filter(|cutoff| *cutoff < now), &places.not_after) {
        let why = format!("it is {}, and nothing signed after {cutoff} is accepted", seconds(now));
        findings.push(Finding::new(Rule::NotAfterPassed, at, why, "not_after: null"));
    }
    let fix = |key: &str| match places.has_require {
        true => format!("{key}: true  # in `require`"),
        false => format!("require: {{{key}: true}}"),
    };
    let require = &subject.policy.require;
    if !require.tag {
        findings.push(Finding::new(
            Rule::NoTagBinding,
            &places.root,
            "an old signed image can be served under a new tag: the tags that were signed are not compared with the one asked for",
            fix("tag"),
        ));
    }
    if !require.repository {
        findings.push(Finding::new(
            Rule::NoRepositoryBinding,
            &places.root,
            "an image that was signed for one repository is accepted in every other",
            fix("repository"),
        ));
    }
    findings
}

/// The time without fractions of a second.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
