//! `inspect`: what is there, and what does it claim?

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, RegistryFlags};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::index::Platform;
use countersign_oci::{Class, ImageReference, Layout, Registry};
use countersign_verifier::inspect::{self, Inspection};

use super::source_flags::{self, LayoutFlag};
use super::verify::failure;

/// Shows an image, its children, and what is beside each: every place that was looked at, every referrer, and what its
/// bundle claims. Checks nothing: `verify` does.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArguments {
    /// What to show: REPOSITORY[:TAG][@DIGEST].
    #[arg(value_name = "REF")]
    reference: String,

    /// Looks at the child for this platform only, and not at what is beside the index.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,

    #[command(flatten)]
    layout: LayoutFlag,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

const EXAMPLES: &str = "\
Examples:
  countersign-verifier inspect ghcr.io/example/app:v1
  countersign-verifier inspect ghcr.io/example/app:v1 --platform linux/arm64
  countersign-verifier inspect ghcr.io/example/app@sha256:4413... --output json

Everything shown is an unverified claim of the registry, of whoever pushed, or of a bundle.

Exit codes: 0 shown, 1 a bug, 2 usage or configuration, 4 something could not be seen.";

pub(crate) async fn run(arguments: InspectArguments) -> Exit {
    program::log(arguments.output.verbose);
    let format = arguments.output.output;
    let Prepared { reference, platform, registry, layout } = match prepare(&arguments) {
        Ok(prepared) => prepared,
        Err(failure) => {
            output::failure(&failure, format);
            return failure.exit;
        }
    };
    let progress = Progress::new(arguments.output.quiet);
    progress.say(format!("looking at {reference}"));
    let answer = countersign_verifier::inspect_image(
        source_flags::source(layout.as_ref(), &registry),
        &reference,
        platform.as_ref(),
    )
    .await;
    progress.finish();
    show(&reference, &answer.map_err(|error| unseen(failure(&error))), format)
}

/// Nothing is judged here, so nothing is rejected: what does not have its digest was not seen.
fn unseen(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Rejected => failure.with_exit(Exit::Undecided),
        _ => failure,
    }
}

/// What is looked at, and where.
struct Prepared {
    reference: ImageReference,
    platform: Option<Platform>,
    registry: Registry,
    layout: Option<Layout>,
}

fn prepare(arguments: &InspectArguments) -> Result<Prepared, Failure> {
    let reference = flags::reference(&arguments.reference)?;
    let platform = arguments.platform.as_deref().map(str::parse).transpose().map_err(|error| {
        Failure::new(&error, "malformed-platform", Class::Usage, false, Some("such as linux/amd64".to_owned()))
    })?;
    let registry = Registry::new(arguments.registry.options(Some(reference.repository().registry()))?)
        .map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), error.hint()))?;
    Ok(Prepared { reference, platform, registry, layout: arguments.layout.open()? })
}

fn show(reference: &ImageReference, answer: &Result<Inspection, Failure>, format: OutputFormat) -> Exit {
    let exit = match answer {
        Ok(inspection) if inspection.is_whole() => Exit::Done,
        Ok(_) => Exit::Undecided,
        Err(failure) => failure.exit,
    };
    let written = match (format, answer) {
        (OutputFormat::Text, Ok(inspection)) => output::text(&inspect::text(inspection)),
        (OutputFormat::Text, Err(failure)) => {
            output::failure(failure, OutputFormat::Text);
            Ok(())
        }
        (OutputFormat::Json, Ok(inspection)) => output::json(inspection),
        (OutputFormat::Json, Err(failure)) => {
            let nothing = Inspection::without_manifest(reference);
            let mut document = serde_json::to_value(nothing).unwrap_or_default();
            document["error"] = serde_json::to_value(failure).unwrap_or_default();
            output::json(&document)
        }
    };
    match written {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
    }
}
