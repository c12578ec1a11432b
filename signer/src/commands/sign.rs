//! `sign`: attaches a signature to images and to everything inside them.

use std::path::PathBuf;

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, RegistryFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::{ImageReference, Repository};
use countersign_signer::sign::{self, SignFailure, SignReport, SignRequest};
use countersign_signer::statement::{Annotations, StatementForm};

use super::bundle_file::BundleFile;
use super::inputs::InputFlags;
use super::record::{self, RecordFlags};
use super::report::github::GithubFlags;
use super::report::{self, View};
use super::setup::{self, ConsumerPolicy, SetupFlags};
use super::verify_command::consumer_flags;

pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 signed, 1 a bug, 2 usage or configuration, 3 the new signature would be rejected, 4 could not finish, safe to run again.";

const EXAMPLES: &str = "\
Examples:
  countersign-signer sign ghcr.io/example/app:v1
  countersign-signer sign ghcr.io/example/app:v1 ghcr.io/example/app:latest quay.io/example/app:v1 -a commit=7fd1a60
  countersign-signer sign --dry-run ghcr.io/example/app@sha256:4413...
  ko build --image-refs refs ./cmd/app && countersign-signer sign --image-refs refs
  docker buildx build --push --metadata-file built.json . && countersign-signer sign --metadata-file built.json
A GitHub Actions job with `id-token: write` needs no flag. A token that is fetched there for a later call, and lives for minutes:
  curl -sSf -H \"Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\" \\
    \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sigstore\" | jq -rj .value > token
  countersign-signer sign --identity-token token ghcr.io/example/app:v1

Environment: what gives an identity token (see --oidc-provider), COSIGN_REPOSITORY, DOCKER_METADATA_OUTPUT_JSON (with --digest),
XDG_STATE_HOME, GITHUB_OUTPUT and GITHUB_STEP_SUMMARY (with --github).

Exit codes: 0 signed, 1 a bug, 2 usage or configuration, 3 the new signature would be rejected, 4 could not finish, safe to run again.";

/// Signs images: an index, everything in it, and every repository that it is named in.
///
/// One call uses one identity token and one certificate. Nothing is spent before every manifest was seen and every repository has
/// proven to take writes, and nothing is attached that the verifier would refuse. What is signed already, well enough for this call, is
/// left alone.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignArguments {
    #[command(flatten)]
    inputs: InputFlags,

    #[command(flatten)]
    content: ContentFlags,

    /// Signs the index alone, not what it lists.
    #[arg(long, conflicts_with = "recursive")]
    index_only: bool,

    /// Refuses references without a digest.
    #[arg(long)]
    require_digest: bool,

    /// Says what would be signed, and how many requests that takes; asks for no certificate, writes nothing. Identity, trust, write
    /// access and what is signed already are not checked.
    #[arg(long)]
    dry_run: bool,

    /// Writes the bundle to a file, too. There has to be one statement: see --statement.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Accepted for scripts that call cosign; nothing asks.
    #[arg(short = 'y', long)]
    yes: bool,

    /// Accepted for scripts that call cosign; it is the default.
    #[arg(short = 'r', long)]
    recursive: bool,

    #[command(flatten)]
    record: RecordFlags,

    #[command(flatten)]
    setup: SetupFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,

    #[command(flatten)]
    github: GithubFlags,
}

/// What is said of the subjects, to whom, and where.
#[derive(Args)]
pub(crate) struct ContentFlags {
    /// What one statement, and so one log entry, covers: an image with everything in it, one digest, or all of this call. Verifiers on
    /// the crate `sigstore` (Rust) look at the first digest of a statement only: `digest` serves them.
    #[arg(long, value_name = "image|digest|release", default_value = "image")]
    pub(crate) statement: StatementForm,

    /// Says something of every subject, under the signature. Each key once.
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,

    /// The policy of the consumers (YAML). Each new bundle has to keep it before it is attached; what keeps it is not signed again.
    /// Without it the demand is a signature by this very signer.
    #[arg(long, value_name = "POLICY", env = "COUNTERSIGN_SELF_VERIFY")]
    self_verify: Option<PathBuf>,

    /// The repository that holds all signatures, instead of the one of each image. COSIGN_REPOSITORY says the same.
    #[arg(long, value_name = "REPO", env = "COSIGN_REPOSITORY")]
    signature_repository: Option<String>,
}

impl ContentFlags {
    pub(crate) fn annotations(&self) -> Result<Annotations, Failure> {
        Annotations::parse(&self.annotations).map_err(|error| report::failure(&error))
    }

    pub(crate) fn policy(&self) -> Result<Option<ConsumerPolicy>, Failure> {
        self.self_verify.as_deref().map(ConsumerPolicy::read).transpose()
    }

    /// The repository of all signatures, as it was written.
    pub(crate) fn signatures(&self) -> Option<&str> {
        self.signature_repository.as_deref()
    }

    pub(crate) fn signature_repository(&self) -> Result<Option<Repository>, Failure> {
        self.signature_repository.as_deref().map(flags::repository).transpose()
    }
}

pub(crate) async fn run(arguments: SignArguments) -> Exit {
    program::log(arguments.output.verbose);
    let mut view = View {
        format: arguments.output.output,
        consumer_flags: consumer_flags(&arguments.setup.trust, &arguments.registry, arguments.content.signatures()),
        github: None,
    };
    match arguments.github.files() {
        Ok(files) => view.github = files,
        Err(failure) => return view.show_failure(failure),
    }
    let progress = Progress::new(arguments.output.quiet);
    let outcome = arguments.sign(&progress).await;
    progress.finish();
    match outcome {
        Ok(done) => view.show(&done, arguments.write_bundle(&done)),
        Err(failure) => view.show_failure(failure),
    }
}

impl SignArguments {
    async fn sign(&self, progress: &Progress) -> Result<Result<SignReport, SignFailure>, Failure> {
        let references = self.inputs.references()?;
        self.bundle_file()?;
        let policy = self.content.policy()?;
        let request = self.request(references, policy.as_ref())?;
        let budget = self.setup.budget();
        let first = request.references.first().map(|reference| reference.repository().registry());
        let registry = setup::registry(&self.registry, first, &budget)?;
        if self.dry_run {
            progress.say("reading the images");
            return Ok(sign::plan(&registry, &request).await);
        }
        let setup = self.setup.load(&self.registry, policy.as_ref(), &budget, progress).await?;
        let signer = setup.signer(registry);
        let state = self.record.open(request.fingerprint())?;
        progress.say(format!("signing {} references", request.references.len()));
        let outcome = signer.sign_recorded(&request, state.as_ref()).await;
        if outcome.is_ok() {
            record::finish(state);
        }
        Ok(outcome)
    }

    /// The place of the bundle, looked at before anything is spent.
    fn bundle_file(&self) -> Result<Option<BundleFile>, Failure> {
        // Beside the registry a file is a copy: it is replaced.
        self.bundle.clone().map(|path| BundleFile::new(path, true)).transpose()
    }

    /// Writes what `--bundle` asks for. A failure does not hide that everything was signed.
    fn write_bundle(&self, outcome: &Result<SignReport, SignFailure>) -> Vec<Failure> {
        let (Some(path), Ok(report), false) = (&self.bundle, outcome, self.dry_run) else { return Vec::new() };
        let written = match report.bundles.as_slice() {
            [bundle] => self.bundle_file().and_then(|file| file.map_or(Ok(()), |file| file.write(bundle))),
            several => {
                let message = format!("there are {} bundles, so {} was not written", several.len(), path.display());
                let hint = "everything is signed, in part by an earlier call: --force signs it in one".to_owned();
                Err(Failure::usage("several-bundles", message, Some(hint)))
            }
        };
        written.err().map(|failure| failure.with_exit(Exit::Undecided)).into_iter().collect()
    }

    fn request(
        &self,
        references: Vec<ImageReference>,
        policy: Option<&ConsumerPolicy>,
    ) -> Result<SignRequest, Failure> {
        let mut request = SignRequest::new(references);
        request.form = self.content.statement;
        request.annotations = self.content.annotations()?;
        request.index_only = self.index_only;
        request.require_digest = self.require_digest;
        request.force = self.record.force;
        request.self_verify = policy.map(|policy| policy.policy.clone());
        request.signature_repository = self.content.signature_repository()?;
        request.one_statement = self.bundle.is_some();
        Ok(request)
    }
}
