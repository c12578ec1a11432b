//! A verdict for people.
//!
//! Text from outside (names, types, messages) is printed without control characters: a registry must not write to a
//! terminal.

use std::fmt::Write as _;

use countersign_oci::visible;
use countersign_policy::Denial;

use super::headline::{asked_text, headline, platforms_failure};
use super::json::{Refusal, refusal};
use super::near_miss::{self, Nearest};
use crate::platforms::{PlatformTree, VerifiedPlatform};
use crate::reason::Reason;
use crate::verified::AcceptedSignature;
use crate::verify::{Finding, Verdict};

/// How many refused candidates are printed; the JSON has them all.
const REFUSED: usize = 100;

/// Returns the verdict as text: the line that matters first, then what led to it.
#[must_use]
pub fn text(verdict: &Verdict) -> String {
    text_of(verdict, None)
}

/// Returns the verdict as text, with what the image covers.
#[must_use]
pub fn text_with_platforms(verdict: &Verdict, tree: &PlatformTree) -> String {
    text_of(verdict, Some(tree))
}

/// Returns the text of an image manifest for a platform: the line that is added to that of its image.
#[must_use]
pub fn text_of_platform(chosen: &VerifiedPlatform) -> String {
    let mut text = String::new();
    line(&mut text, &format!("  for {}: {}", chosen.platform(), chosen.reference()));
    text
}

/// Returns what did not fit the policy as text: the nearest signer field by field, the others in a line each.
#[must_use]
pub fn text_of_denials(denials: &[Denial]) -> String {
    let mut text = String::new();
    denied(&mut text, denials, near_miss::nearest(denials).as_ref());
    text
}

fn text_of(verdict: &Verdict, tree: Option<&PlatformTree>) -> String {
    let findings = verdict.findings();
    let mut text = String::new();
    let asked = asked_text(findings);
    match verdict {
        Verdict::Verified(image, _) => {
            match tree.and_then(platforms_failure) {
                Some((verdict, failure)) => line(&mut text, &format!("{verdict:<9} {asked}: {}", failure.message)),
                None => line(&mut text, &format!("verified  {asked}")),
            }
            for signature in image.signatures() {
                accepted(&mut text, signature);
            }
            line(&mut text, &format!("  trusted root: {}", image.trusted_root()));
            if let Some(tree) = tree {
                tree.print(&mut text);
            }
        }
        Verdict::Rejected(_) => line(&mut text, &format!("rejected  {asked}: {}", headline(findings))),
        Verdict::Undecided(_) => line(&mut text, &format!("undecided {asked}: {}", headline(findings))),
    }
    let refused_ones = || findings.candidates.iter().filter_map(|finding| Some((finding, refusal(finding)?)));
    for (finding, refusal) in refused_ones().take(REFUSED) {
        refused(&mut text, finding, &refusal);
    }
    let further = refused_ones().count().saturating_sub(REFUSED);
    if further > 0 {
        line(&mut text, &format!("  and {further} more that were not accepted: --output json lists them"));
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

fn refused(text: &mut String, finding: &Finding, refusal: &Refusal) {
    match finding.outcome.as_ref().err() {
        Some(Reason::Denied { denials }) => {
            line(text, &format!("  not accepted: {} ({})", refusal.origin, refusal.code));
            denied(text, denials, refusal.nearest.as_ref());
        }
        _ => line(text, &format!("  not accepted: {} ({}): {}", refusal.origin, refusal.code, refusal.reason)),
    }
    if !refusal.signed_tags.is_empty() {
        line(text, &format!("    signed for tags {}", refusal.signed_tags.join(", ")));
    }
    if let Some(hint) = refusal.hint {
        line(text, &format!("    hint: {hint}"));
    }
}

/// The nearest signer of the policy field by field, the others by the names of their fields.
fn denied(text: &mut String, denials: &[Denial], nearest: Option<&Nearest>) {
    let nearest = nearest.and_then(|nearest| nearest.signer.as_deref());
    let is_shown = |denial: &&Denial| denial.signer.is_none() || denial.signer.as_deref() == nearest;
    for denial in denials.iter().filter(is_shown) {
        let signer = denial.signer.as_deref().unwrap_or("policy");
        line(text, &format!("    {signer}: {} ({})", denial.field, denial.code()));
        match near_miss::difference(denial) {
            Some(difference) => {
                near_miss::lines(denial, &difference).iter().for_each(|shown| line(text, &format!("      {shown}")));
            }
            None => {
                line(text, &format!("      expected {}", denial.expected));
                line(text, &format!("      found    {}", denial.found.as_deref().unwrap_or("(nothing)")));
            }
        }
        if let Some(hint) = near_miss::hint(denial) {
            line(text, &format!("      hint: {hint}"));
        }
    }
    let mut others: Vec<(&str, Vec<String>)> = Vec::new();
    for denial in denials.iter().filter(|denial| !is_shown(denial)) {
        let Some(signer) = denial.signer.as_deref() else { continue };
        match others.iter_mut().find(|(name, _)| *name == signer) {
            Some((_, fields)) => fields.push(denial.field.to_string()),
            None => others.push((signer, vec![denial.field.to_string()])),
        }
    }
    for (signer, fields) in others {
        line(text, &format!("    {signer}: farther off, by {}", fields.join(", ")));
    }
}

/// Adds a line in which nothing can move the cursor, colour the screen or turn the direction of writing.
pub(crate) fn line(text: &mut String, content: &str) {
    let clean: String = content.chars().map(visible).collect();
    let _ = writeln!(text, "{clean}");
}
