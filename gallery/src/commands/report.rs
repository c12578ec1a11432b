//! How an installation, or its refusal, is told.

use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_gallery::capability::Capability;
use countersign_gallery::catalogue::Target;
use countersign_gallery::install::Outcome;
use countersign_gallery::store::{Installed, Receipt};
use countersign_verifier::{Verdict, report};
use serde_json::{Value, json};

/// How it ended.
pub(super) enum Ended {
    Already(Box<Installed>),
    Done(Box<Outcome>),
}

/// What is printed.
pub(super) struct Document {
    ended: Ended,
    target: Value,
}

/// The entry, and how it was found.
pub(super) fn describe(target: &Target<'_>, capability: &Capability) -> Value {
    json!({
        "gallery": target.gallery.name,
        "entry": target.concrete.name,
        "meta": target.meta.map(|(meta, _)| &meta.name),
        "capability": target.meta.map(|_| capability),
        "capability_key": target.meta.map(|(_, key)| key),
    })
}

impl Document {
    pub(super) fn new(ended: Ended, target: Value) -> Self {
        Self { ended, target }
    }

    /// Tells also of backends that were put back before.
    pub(super) fn with_restored(mut self, restored: Vec<String>) -> Self {
        if let Ended::Done(outcome) = &mut self.ended {
            outcome.restored.extend(restored);
        }
        self
    }

    pub(super) fn print(&self, format: OutputFormat) -> Exit {
        let printed = match format {
            OutputFormat::Json => output::json(&self.json()),
            OutputFormat::Text => output::text(&self.text()),
        };
        if let Ended::Done(outcome) = &self.ended {
            for warning in &outcome.warnings {
                output::note(&format!("warning: {warning}"));
            }
        }
        match printed {
            Ok(()) => Exit::Done,
            // It is done, but nobody was told.
            Err(_) => Exit::Undecided,
        }
    }

    fn json(&self) -> Value {
        let (status, rest) = match &self.ended {
            Ended::Already(installed) => {
                let receipt = installed.receipt.as_ref().map(without_bundles);
                ("already-installed", json!({ "path": installed.path, "receipt": receipt }))
            }
            Ended::Done(outcome) => {
                let verification = outcome.verdict.as_ref().map(report::document);
                let rest = json!({
                    "path": outcome.path,
                    "meta_path": outcome.meta_path,
                    "receipt": outcome.receipt.as_ref().map(without_bundles),
                    "verification": verification,
                    "attempts": outcome.attempts,
                    "restored": outcome.restored,
                    "warnings": outcome.warnings,
                    "outdated": outcome.outdated.iter().map(ToString::to_string).collect::<Vec<_>>(),
                });
                ("installed", rest)
            }
        };
        let mut document = json!({ "schema": SCHEMA, "status": status });
        for part in [&self.target, &rest] {
            if let (Some(document), Some(part)) = (document.as_object_mut(), part.as_object()) {
                document.extend(part.clone());
            }
        }
        document
    }

    fn text(&self) -> String {
        let name = format!("{}@{}", text_of(&self.target, "gallery"), text_of(&self.target, "entry"));
        let mut lines = Vec::new();
        match &self.ended {
            Ended::Already(installed) => {
                lines.push(format!("already installed  {name}"));
                lines.push(format!("  at {}", installed.path.display()));
                lines.extend(installed.receipt.iter().flat_map(image));
                let verified = installed.receipt.as_ref().is_some_and(|receipt| receipt.verification.is_some());
                lines.push(format!("  {}", if verified { "verified when it was installed" } else { "not verified" }));
            }
            Ended::Done(outcome) => {
                lines.push(format!("installed  {name}"));
                lines.push(format!("  at {}", outcome.path.display()));
                if let Some(path) = &outcome.meta_path {
                    let key = text_of(&self.target, "capability_key");
                    lines.push(format!("  {} stands for it ({key})", path.display()));
                }
                if let Some(receipt) = &outcome.receipt {
                    lines.extend(image(receipt));
                    if receipt.verification.is_none() {
                        lines.push("  NOT VERIFIED: the gallery config says `unverified: warn`".to_owned());
                    }
                }
                lines.extend(
                    outcome
                        .attempts
                        .iter()
                        .map(|attempt| format!("  passed over {}: {}", attempt.source, attempt.reason)),
                );
                lines
                    .extend(outcome.restored.iter().map(|name| format!("  restored {name}, left by a killed process")));
                lines.extend(outcome.verdict.iter().map(|verdict| report::text(verdict).trim_end().to_owned()));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// The lines that name the image of a receipt. It was read from disk or made from an image config.
fn image(receipt: &Receipt) -> [String; 2] {
    [
        format!("  image {}@{}", receipt.served_by.escape_debug(), receipt.index_digest),
        format!("  platform {} {}", receipt.platform.escape_debug(), receipt.platform_digest),
    ]
}

/// A receipt as it is printed: the bundles stay in `receipt.json`, they are for machines that verify again.
fn without_bundles(receipt: &Receipt) -> Value {
    let mut receipt = json!(receipt);
    let signatures = receipt.pointer_mut("/verification/signatures").and_then(Value::as_array_mut);
    for signature in signatures.into_iter().flatten().filter_map(Value::as_object_mut) {
        signature.remove("bundle");
    }
    receipt
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Tells of a failure, with the verdict where it is one.
pub(super) fn refuse(failure: &Failure, verdict: Option<&Verdict>, format: OutputFormat) {
    if format == OutputFormat::Json {
        let status = match failure.exit {
            Exit::Rejected => "rejected",
            Exit::Usage => "refused",
            _ => "undecided",
        };
        let verification = verdict.map(report::document);
        let document = json!({ "schema": SCHEMA, "status": status, "verification": verification, "error": failure });
        // A closed standard output leaves standard error, which follows.
        let _ = output::json(&document);
    }
    output::note_lines(&failure.lines());
    if let Some(verdict) = verdict {
        output::note(report::text(verdict).trim_end());
    }
}

const SCHEMA: &str = "countersign.dev/install/v1";
