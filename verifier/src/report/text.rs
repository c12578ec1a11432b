//! A verdict for people.
//!
//! Text from outside (names, types, messages) is printed without control characters: a registry must not write to a
//! terminal.

use std::fmt::Write as _;

use countersign_oci::visible;

use super::headline::{asked_text, headline};
use super::json::{Refusal, refusal};
use crate::verified::AcceptedSignature;
use crate::verify::Verdict;

/// Returns the verdict as text: the line that matters first, then what led to it.
#[must_use]
pub fn text(verdict: &Verdict) -> String {
    let findings = verdict.findings();
    let mut text = String::new();
    let asked = asked_text(findings);
    match verdict {
        Verdict::Verified(image, _) => {
            line(&mut text, &format!("verified  {asked}"));
            for signature in image.signatures() {
                accepted(&mut text, signature);
            }
            line(&mut text, &format!("  trusted root: {}", image.trusted_root()));
        }
        Verdict::Rejected(_) => line(&mut text, &format!("rejected  {asked}: {}", headline(findings))),
        Verdict::Undecided(_) => line(&mut text, &format!("undecided {asked}: {}", headline(findings))),
    }
    for refusal in findings.candidates.iter().filter_map(refusal) {
        refused(&mut text, &refusal);
    }
    for gap in &findings.gaps {
        line(&mut text, &format!("  not seen: {}", gap.detail));
    }
    if findings.not_examined > 0 {
        line(&mut text, &format!("  not examined: {} referrers", findings.not_examined));
    }
    if !matches!(verdict, Verdict::Verified(..)) {
        for place in &findings.looked_at {
            line(&mut text, &format!("  looked at {}: {}", place.place, place.found));
        }
    }
    text
}

fn accepted(text: &mut String, signature: &AcceptedSignature) {
    line(text, &format!("  signed by {}", signature.identity()));
    line(text, &format!("    issuer {}", signature.issuer()));
    if let Some(repository) = signature.source_repository() {
        line(text, &format!("    source repository {repository}"));
    }
    line(text, &format!("    signed at {}, log index {}", signature.signed_at(), signature.log_index()));
    if !signature.tags().is_empty() {
        line(text, &format!("    signed for tags {}", signature.tags().join(", ")));
    }
    if let Some(referrer) = signature.referrer() {
        line(text, &format!("    referrer {referrer}"));
    }
}

fn refused(text: &mut String, refusal: &Refusal) {
    if refusal.denials.is_empty() {
        line(text, &format!("  not accepted: {} ({}): {}", refusal.origin, refusal.code, refusal.reason));
    } else {
        line(text, &format!("  not accepted: {} ({})", refusal.origin, refusal.code));
    }
    for denial in &refusal.denials {
        let signer = denial.signer.as_deref().unwrap_or("policy");
        line(text, &format!("    {signer}: {} ({})", denial.field, denial.code));
        line(text, &format!("      expected {}", denial.expected));
        line(text, &format!("      found    {}", denial.found.as_deref().unwrap_or("(nothing)")));
    }
    if !refusal.signed_tags.is_empty() {
        line(text, &format!("    signed for tags {}", refusal.signed_tags.join(", ")));
    }
    if let Some(hint) = refusal.hint {
        line(text, &format!("    hint: {hint}"));
    }
}

/// Adds a line in which nothing can move the cursor, colour the screen or turn the direction of writing.
pub(crate) fn line(text: &mut String, content: &str) {
    let clean: String = content.chars().map(visible).collect();
    let _ = writeln!(text, "{clean}");
}
