//! What `attest` says: what `sign` says, in a document of its own, with another command that verifies.

use countersign_cli::flags::{RegistryFlags, TrustFlags};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_signer::predicate::PredicateType;
use countersign_signer::sign::{SignFailure, SignReport};

use super::{Document, document, failure, text};
use crate::commands::verify_command::verify_attestation_command;

const SCHEMA: &str = "countersign.dev/attest/v1";

/// How the result is shown.
pub(crate) struct AttestView<'a> {
    pub(crate) format: OutputFormat,
    /// The trusted root that was attested under: consumers need the same.
    pub(crate) trust: &'a TrustFlags,
    /// How registries were reached.
    pub(crate) registry: &'a RegistryFlags,
    /// The repository of all signatures, as it was written.
    pub(crate) signatures: Option<&'a str>,
    /// What kind of thing was said, where that is known.
    pub(crate) predicate_type: Option<PredicateType>,
}

impl AttestView<'_> {
    /// Prints the outcome and says how the program ends.
    pub(crate) fn show(&self, outcome: &Result<SignReport, SignFailure>) -> Exit {
        match outcome {
            Ok(report) => self.print(report, &[]),
            Err(failed) => {
                let errors: Vec<Failure> = failed.errors.iter().map(failure).collect();
                self.print(&failed.report, &errors)
            }
        }
    }

    /// Prints a failure that came before anything was looked at.
    pub(crate) fn show_failure(&self, failure: &Failure) -> Exit {
        self.print(&SignReport::default(), std::slice::from_ref(failure))
    }

    fn print(&self, report: &SignReport, errors: &[Failure]) -> Exit {
        let exit = errors.iter().map(|failure| failure.exit).fold(Exit::Done, Exit::and);
        let predicate_type = self.predicate_type.as_ref().map(PredicateType::uri);
        let verify = predicate_type.and_then(|uri| {
            let command = verify_attestation_command(report, uri, self.trust, self.registry)?;
            Some(
                self.signatures.map_or_else(|| command.clone(), |place| format!("COSIGN_REPOSITORY={place} {command}")),
            )
        });
        let printed = match self.format {
            OutputFormat::Json => {
                output::json(&Document { schema: SCHEMA, predicate_type, ..document(report, verify, errors) })
            }
            OutputFormat::Text => output::text(&text::text(report, verify.as_deref())),
        };
        for failure in errors {
            output::note_lines(&failure.lines());
        }
        match printed {
            Ok(()) => exit,
            Err(_) => exit.and(Exit::Undecided),
        }
    }
}
