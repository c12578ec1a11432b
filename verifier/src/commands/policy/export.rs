//! `policy export`: a policy for other verifiers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure, flags, program};
use countersign_oci::limits;
use countersign_policy::export::{self, ExportError, ExportOptions, Exported};
use countersign_policy::{Loss, LossCode, Policy};
use serde::Serialize;

use super::exchange::{LossDocument, note_losses};

/// Writes a policy for another verifier.
///
/// What the other side cannot say is named, on standard error and at the head of what is written. Where that would accept more than the policy
/// does, nothing is written until each such loss is allowed by its code. policy/EXCHANGE.md lists the codes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArguments {
    /// The policy file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Whom to write for.
    #[arg(long, value_enum, value_name = "KIND")]
    to: To,

    /// The image, or the pattern of images, that the policy is for. Kyverno and policy-controller want it.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,

    /// What to call the policy in a cluster.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Losses that may weaken the policy, by their codes.
    #[arg(long, value_name = "CODE", value_delimiter = ',', num_args = 1..)]
    allow_loss: Vec<LossCode>,

    /// How the result is written.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    output: OutputFormat,
}

/// For whom a policy is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// A `cosign verify` command line.
    Cosign,
    /// An ImageValidatingPolicy of Kyverno.
    Kyverno,
    /// The `verification` block of LocalAI.
    Localai,
    /// A ClusterImagePolicy of Sigstore's policy-controller.
    PolicyController,
}

const EXAMPLES: &str = "\
Examples:
  countersign-verifier policy export policy.yaml --to cosign --image ghcr.io/example/app:v1
  countersign-verifier policy export policy.yaml --to kyverno --image 'ghcr.io/example/*' \\
      --allow-loss claim-repository,claim-trigger,not-before
  countersign-verifier policy export policy.yaml --to localai --allow-loss reusable-workflow

Exit codes: 0 printed, 1 a bug, 2 usage, a file that cannot be read, a policy that does not load, or one that would be weaker there.";

/// What is printed as JSON.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    to: String,
    /// What the other verifier reads; none where it would be weaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    losses: Vec<LossDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

pub(super) fn run(arguments: &ExportArguments) -> Exit {
    program::log(0);
    let policy = match arguments.policy() {
        Ok(policy) => policy,
        Err(failure) => {
            output::failure(&failure, arguments.output);
            return failure.exit;
        }
    };
    match arguments.export(&policy) {
        Ok(exported) => {
            note_losses(&exported.losses);
            let written = match arguments.output {
                OutputFormat::Text => output::text(&exported.text),
                OutputFormat::Json => arguments.json(Some(&exported.text), &exported.losses, None),
            };
            written.map_or(Exit::Undecided, |()| Exit::Done)
        }
        Err(error) => arguments.refuse(&error),
    }
}

impl ExportArguments {
    fn policy(&self) -> Result<Policy, Failure> {
        let bytes = flags::read_file("policy", &self.file, limits::CONFIG_BYTES)?;
        let origin = self.file.display().to_string();
        let text =
            String::from_utf8(bytes).map_err(|_| Failure::usage("not-text", format!("{origin} is not UTF-8"), None))?;
        Policy::from_yaml(&origin, &text).map_err(|error| super::failure(&error))
    }

    fn export(&self, policy: &Policy) -> Result<Exported, ExportError> {
        let mut options = ExportOptions::default();
        options.image.clone_from(&self.image);
        options.name.clone_from(&self.name);
        options.allowed = self.allow_loss.iter().copied().collect();
        match self.to {
            To::Cosign => export::to_cosign(policy, &options),
            To::Kyverno => export::to_kyverno(policy, &options),
            To::Localai => export::to_localai(policy, &options),
            To::PolicyController => export::to_policy_controller(policy, &options),
        }
    }

    fn refuse(&self, error: &ExportError) -> Exit {
        note_losses(error.losses());
        let failure = Failure::new(error, error.code(), countersign_oci::Class::Usage, false, error.hint());
        if self.output == OutputFormat::Json {
            // A closed standard output leaves standard error, which follows.
            let _ = self.json(None, error.losses(), Some(&failure));
        }
        output::failure(&failure, OutputFormat::Text);
        failure.exit
    }

    fn json(&self, text: Option<&str>, losses: &[Loss], error: Option<&Failure>) -> std::io::Result<()> {
        output::json(&Document {
            schema: "countersign.dev/policy-export/v1",
            to: self.to.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
            text,
            losses: losses.iter().map(LossDocument::new).collect(),
            error,
        })
    }
}
