//! The answers for code scanning: an alert for each image that is not verified, a note for each that is.

use std::path::Path;

use countersign_cli::Exit;
use countersign_cli::sarif::{Finding, Level, Location, Log, Note, Rule, Tool};
use serde_json::json;

use super::answer::{Outcome, Problem};

/// This program, as its logs name it.
pub(super) const TOOL: Tool = Tool { name: "countersign-verifier", version: env!("CARGO_PKG_VERSION") };

/// Returns the log. Every reference is in it: as a result where it is not verified, in a note where it is.
pub(super) fn log(outcomes: &[Outcome], policy: Option<&Path>) -> Log {
    let mut log = Log::new(TOOL);
    let mut verified = 0;
    for outcome in outcomes {
        log.end_with(outcome.exit());
        match outcome.problem() {
            Some(problem) => {
                log.rule(rule(problem.code));
                log.finding(finding(outcome, &problem, policy));
                if let Err(failure) = &outcome.answer {
                    let message = failure.lines().join("\n");
                    log.note(Note { id: failure.code.clone(), level: Level::Error, message });
                }
            }
            None => {
                verified += 1;
                log.note(Note { id: "verified".to_owned(), level: Level::Note, message: signed_by(outcome) });
            }
        }
    }
    let count = |exit: Exit| outcomes.iter().filter(|outcome| outcome.exit() == exit).count();
    let rejected = count(Exit::Rejected);
    log.property(
        "countersign",
        json!({
            "schema": "countersign.dev/verify-sarif/v1",
            "checked": outcomes.len(),
            "verified": verified,
            "rejected": rejected,
            "undecided": outcomes.len() - verified - rejected,
            "references": outcomes.iter().map(|outcome| outcome.report().reference).collect::<Vec<_>>(),
        }),
    );
    let message = format!("{verified} of {} verified", outcomes.len());
    log.note(Note { id: "checked".to_owned(), level: Level::Note, message });
    log
}

fn finding(outcome: &Outcome, problem: &Problem, policy: Option<&Path>) -> Finding {
    let name = outcome.reference.to_string();
    let location = match policy {
        Some(path) => Location::file(&path.display().to_string()),
        None => Location::of_resource(&outcome.reference.repository().to_string()),
    };
    let details = problem.details.join("\n");
    let message = format!("{name} is not verified: {}.\n{details}", problem.message);
    // A digest that is named is what is asked for; where a tag is, the alert stays the same while the tag moves.
    Finding { rule: problem.code, level: Level::Error, message, location, about: name }
}

fn signed_by(outcome: &Outcome) -> String {
    let report = outcome.report();
    let signers: Vec<&str> = report.signatures.iter().map(|signature| signature.identity.as_str()).collect();
    let platform = report.platform.as_ref().map(|chosen| format!(", for {} {}", chosen.platform, chosen.digest));
    format!("{} is verified, signed by {}{}", report.reference, signers.join(", "), platform.unwrap_or_default())
}

/// What a code means. The words are for whoever reads the alert, who may never have heard of this program.
fn rule(code: &'static str) -> Rule {
    let (short, full, help) = match code {
        "unsigned" => (
            "Image is not signed",
            "Nothing that was found beside the image is a signature of it.",
            "Sign the image where it is built, with countersign-signer or cosign 3. `countersign-verifier inspect` shows \
             everything that lies beside it.",
        ),
        "policy-denied" => (
            "Image is signed by somebody whom the policy does not admit",
            "The signature is genuine, and its signer, time or subject is not what the policy asks for.",
            "Compare what was expected with what was found: either the image came from elsewhere, or the policy is out of date.",
        ),
        "subject-mismatch" => (
            "Signature is of another image",
            "The signature is genuine, and the digest that was asked for is not among what it signs.",
            "Somebody put another image's signature beside this one, or the tag was moved after signing.",
        ),
        "older-cosign-format" => (
            "Image is signed in a form that is no longer accepted",
            "The signature is in the form that cosign wrote before version 3.",
            "Sign the image again with cosign 3 or later, or with countersign-signer.",
        ),
        "threshold-not-met" => (
            "Too few signers",
            "The policy asks for more distinct signers than have signed the image.",
            "Let the missing signers sign the same digest.",
        ),
        "platform-not-signed" => (
            "A platform of the image is not signed itself",
            "The index is verified, and the policy requires a signature of each of its image manifests.",
            "Sign the image with its children: countersign-signer does, cosign does with --recursive.",
        ),
        "undecided" | "platforms-not-seen" | "not-judged" => (
            "Image could not be verified",
            "Something could not be seen, so nothing is known: the registry, the trusted root, or a file.",
            "Run the job again when what failed can be reached. Do not use the image before.",
        ),
        _ => (
            "Image has a signature that does not verify",
            "What lies beside the image looks like a signature and is none that can be accepted: it may be damaged, forged, or \
             made under another Sigstore instance.",
            "Read the reason of each candidate in the alert.",
        ),
    };
    Rule {
        id: code,
        short_description: short.to_owned(),
        full_description: full.to_owned(),
        help: help.to_owned(),
        level: Level::Error,
        security_severity: Some("9.0"),
    }
}
