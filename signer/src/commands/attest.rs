//! `attest`: says something of images, under a signature.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, RegistryFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_signer::predicate::{Predicate, PredicateError, PredicateType};
use countersign_signer::sign::{SignFailure, SignReport, SignRequest};
use countersign_signer::statement::{Annotations, StatementForm};

use super::inputs::{self, InputFlags, STANDARD_INPUT};
use super::report;
use super::report::attest::AttestView;
use super::setup::{self, SetupFlags};

/// Bytes of a predicate's file. What is left of it without spaces has to fit into a bundle, which is less.
const MAX_PREDICATE: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  countersign-signer attest ghcr.io/example/app:v1 --type slsaprovenance1 --predicate provenance.json
  countersign-signer attest --index-only ghcr.io/example/app@sha256:4413... --type spdxjson --predicate sbom.spdx.json
  scan | countersign-signer attest ghcr.io/example/app:v1 --type https://example.com/scan/v1 --predicate -
Types: slsaprovenance, slsaprovenance02, slsaprovenance1, spdx, spdxjson, cyclonedx, openvex, vuln, link, custom (any text), or a URI.
Attestations are stored as cosign stores them: cosign verify-attestation and cosign tree find them.

Environment: SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN, GITHUB_ACTIONS, COSIGN_REPOSITORY,
DOCKER_METADATA_OUTPUT_JSON (with --digest).

Exit codes: 0 attested, 1 a bug, 2 usage or configuration, 3 the new attestation would be rejected, 4 could not finish, safe to run again.";

/// Attaches an attestation to images: a predicate about an index and everything in it, or about the index alone.
///
/// One call uses one certificate. Nothing is spent before every manifest was seen, the predicate was read and every repository has proven
/// to take writes; nothing is attached that does not verify. Attestations that are there already stay, and are not looked at.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AttestArguments {
    #[command(flatten)]
    inputs: InputFlags,

    /// What is said: a file with a JSON object; `-` is standard input. With everything around it, it has to fit into the mebibyte that
    /// verifiers read of a bundle.
    #[arg(long, value_name = "FILE")]
    predicate: PathBuf,

    /// What kind of thing the predicate is: one of cosign's names, or a URI.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,

    /// What one statement, and so one log entry, covers: an image with everything in it, one digest, or all of this call.
    #[arg(long, value_name = "image|digest|release", default_value = "image")]
    statement: StatementForm,

    /// Says something of every subject, beside the predicate. Each key once.
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,

    /// Says it of the index alone, not of what it lists.
    #[arg(long)]
    index_only: bool,

    /// Refuses references without a digest.
    #[arg(long)]
    require_digest: bool,

    /// The repository that holds all attestations, instead of the one of each image. COSIGN_REPOSITORY says the same.
    #[arg(long, value_name = "REPO", env = "COSIGN_REPOSITORY")]
    signature_repository: Option<String>,

    /// Accepted for scripts that call cosign; nothing asks.
    #[arg(short = 'y', long)]
    yes: bool,

    #[command(flatten)]
    setup: SetupFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

pub(crate) async fn run(arguments: AttestArguments) -> Exit {
    program::log(arguments.output.verbose);
    let view = AttestView {
        format: arguments.output.output,
        trust: &arguments.setup.trust,
        registry: &arguments.registry,
        signatures: arguments.signature_repository.as_deref(),
        predicate_type: arguments.kind.parse::<PredicateType>().ok(),
    };
    let progress = Progress::new(arguments.output.quiet);
    let outcome = arguments.attest(&progress).await;
    progress.finish();
    match outcome {
        Ok(done) => view.show(&done),
        Err(failure) => view.show_failure(&failure),
    }
}

impl AttestArguments {
    async fn attest(&self, progress: &Progress) -> Result<Result<SignReport, SignFailure>, Failure> {
        let kind: PredicateType = self.kind.parse().map_err(|error| unusable(&error))?;
        let request = self.request()?;
        let predicate = Predicate::new(kind, &self.content()?, program::now()).map_err(|error| unusable(&error))?;
        let budget = self.setup.budget();
        let first = request.references.first().map(|reference| reference.repository().registry());
        let registry = setup::registry(&self.registry, first, &budget)?;
        let setup = self.setup.load(&self.registry, None, &budget, progress).await?;
        progress.say(format!("attesting {} references", request.references.len()));
        Ok(setup.signer(registry).attest(&request, &predicate).await)
    }

    fn request(&self) -> Result<SignRequest, Failure> {
        if self.predicate == Path::new(STANDARD_INPUT) && self.inputs.reads_standard_input() {
            let message = "standard input cannot hold both the references and the predicate";
            return Err(Failure::usage("standard-input-twice", message, Some("give one of them in a file".to_owned())));
        }
        let mut request = SignRequest::new(self.inputs.references()?);
        request.form = self.statement;
        request.annotations = Annotations::parse(&self.annotations).map_err(|error| report::failure(&error))?;
        request.index_only = self.index_only;
        request.require_digest = self.require_digest;
        request.signature_repository = self.signature_repository.as_deref().map(flags::repository).transpose()?;
        Ok(request)
    }

    fn content(&self) -> Result<Vec<u8>, Failure> {
        if self.predicate == Path::new(STANDARD_INPUT) {
            return inputs::standard_input(MAX_PREDICATE);
        }
        flags::read_file("predicate", &self.predicate, MAX_PREDICATE)
    }
}

fn unusable(error: &PredicateError) -> Failure {
    Failure::new(error, error.code(), error.class(), false, error.hint())
}
