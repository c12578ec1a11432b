//! The one line that matters, and the code that programs branch on.

use super::json::Failure;
use crate::platforms::{Conclusion, PlatformTree};
use crate::reason::{Class, Reason};
use crate::verify::{Findings, Verdict};

/// Returns why an image was not verified, in one line.
#[must_use]
pub fn headline(findings: &Findings) -> String {
    if let Some(gap) = findings.gaps.first() {
        return format!("cannot tell: {}", gap.detail);
    }
    if findings.not_examined > 0 {
        return format!("cannot tell: {} referrers were not examined", findings.not_examined);
    }
    let reasons = || findings.candidates.iter().filter_map(|finding| finding.outcome.as_ref().err());
    if let Some(reason) = reasons().find(|reason| reason.class() == Class::Undecided) {
        return format!("cannot tell: {reason}");
    }
    let (needed, have) = findings.threshold;
    let (logs_needed, logs) = findings.logs;
    if have >= needed && logs < logs_needed {
        return format!("signed, with entries in {logs} of {logs_needed} distinct transparency logs");
    }
    if have > 0 {
        return format!("{have} of {needed} distinct signers");
    }
    let nearest = reasons().max_by_key(|reason| nearness(reason));
    match (nearest, findings.candidates.len()) {
        (Some(Reason::Denied { denials }), _) => {
            let codes: Vec<&str> = denials.iter().map(countersign_policy::Denial::code).collect();
            format!("signed, but not as the policy wants it: {}", codes.join(", "))
        }
        (None, _) => "unsigned: no signature found".to_owned(),
        (Some(reason), 1) => reason.to_string(),
        (Some(reason), count) if reason.class() == Class::Other => {
            format!("unsigned: none of {count} referrers is a signature ({reason})")
        }
        (Some(reason), count) => format!("none of {count} candidates will do; the nearest: {reason}"),
    }
}

/// Returns whether nothing that was found is a signature of the image: not even one of somebody else.
#[must_use]
pub fn is_unsigned(findings: &Findings) -> bool {
    let mut reasons = findings.candidates.iter().map(|finding| finding.outcome.as_ref().err());
    findings.threshold.1 == 0 && reasons.all(|reason| reason.is_some_and(|reason| reason.class() != Class::Refused))
}

/// How close a refused candidate came: the nearest one is what a person wants to read about.
fn nearness(reason: &Reason) -> u8 {
    match reason {
        Reason::PlatformNotSigned { .. } => 6,
        Reason::Denied { .. } => 5,
        Reason::SubjectMismatch { .. } => 4,
        Reason::OlderCosign { .. } => 3,
        reason if reason.class() == Class::Refused => 2,
        Reason::NotASignature { .. } | Reason::MalformedBundle { .. } => 1,
        _ => 0,
    }
}

pub(super) fn failure(verdict: &Verdict) -> Option<Failure> {
    let findings = verdict.findings();
    let message = headline(findings);
    match verdict {
        Verdict::Verified(..) => None,
        Verdict::Rejected(_) => {
            let nearest =
                findings.candidates.iter().filter_map(|f| f.outcome.as_ref().err()).max_by_key(|r| nearness(r));
            let (needed, have) = findings.threshold;
            // As the line says it: what was accepted is the nearest, and what it lacks is company.
            let code = match nearest {
                _ if have >= needed => "too-few-logs",
                _ if have > 0 => "threshold-not-met",
                Some(reason) => reason.code(),
                None => "unsigned",
            };
            Some(Failure { code, class: "rejected", retryable: false, message })
        }
        Verdict::Undecided(_) => {
            let retryable = findings.gaps.iter().all(|gap| gap.retryable);
            Some(Failure { code: "undecided", class: "unreachable", retryable, message })
        }
    }
}

/// The verdict and the failure of a verified image of which something is not as it was asked for.
pub(super) fn platforms_failure(tree: &PlatformTree) -> Option<(&'static str, Failure)> {
    match tree.conclusion() {
        Conclusion::Covered => None,
        Conclusion::Rejected(detail) => {
            let message = format!("policy requires each platform to be signed itself: {detail}");
            Some(("rejected", Failure { code: "platform-not-signed", class: "rejected", retryable: false, message }))
        }
        Conclusion::Undecided(detail) => {
            let message = format!("cannot tell for all platforms: {detail}");
            Some(("undecided", Failure { code: "platforms-not-seen", class: "unreachable", retryable: true, message }))
        }
    }
}

pub(super) fn asked_text(findings: &Findings) -> String {
    let reference = &findings.asked.reference;
    match &findings.asked.tag {
        Some(tag) => format!("{}:{tag}@{}", reference.repository(), reference.digest()),
        None => reference.to_string(),
    }
}
