//! `sign`: attaches a signature to images and to everything inside them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, RegistryFlags, TrustChoice, TrustFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::{Class, Registry, limits};
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::sign::{self, SignFailure, SignReport, SignRequest, Signer};
use countersign_signer::statement::{Annotations, StatementForm};
use countersign_verifier::Verifier;
use countersign_verifier::trusted_root::{self, TrustCache, TrustSource, TrustedRoot};

use super::identity::IdentityFlags;
use super::report::github::GithubFlags;
use super::report::{self, View};
use super::verify_command::consumer_flags;

/// How long all services together may take: an outage of a log ends a job in minutes, not hours.
const SERVICE_BUDGET: Duration = Duration::from_secs(180);

pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 signed, 1 a bug, 2 usage or configuration, 3 the new signature would be rejected, 4 could not finish, safe to run again.";

const EXAMPLES: &str = "\
Examples:
  countersign-signer sign ghcr.io/example/app:v1
  countersign-signer sign ghcr.io/example/app:v1 ghcr.io/example/app:latest quay.io/example/app:v1 -a commit=7fd1a60
  countersign-signer sign --dry-run ghcr.io/example/app@sha256:4413...

A GitHub Actions job with `id-token: write` needs no flag. A token that is fetched there for a later call, and lives for minutes:
  curl -sSf -H \"Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\" \\
    \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sigstore\" | jq -rj .value > token
  countersign-signer sign --identity-token token ghcr.io/example/app:v1

Environment: SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN, GITHUB_ACTIONS.

Exit codes: 0 signed, 1 a bug, 2 usage or configuration, 3 the new signature would be rejected, 4 could not finish, safe to run again.";

/// Signs images: an index, everything in it, and every repository that it is named in.
///
/// One call uses one identity token and one certificate. Nothing is spent before every manifest was seen and every repository has
/// proven to take writes, and nothing is attached that the verifier would refuse.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignArguments {
    /// What to sign: REPOSITORY[:TAG][@DIGEST]. Tags are resolved once and signed together with the digest.
    #[arg(required = true, value_name = "REF")]
    references: Vec<String>,

    /// What one statement, and so one log entry, covers: an image with everything in it, one digest, or all of this call. Verifiers on
    /// the crate `sigstore` (Rust) look at the first digest of a statement only: `digest` serves them.
    #[arg(long, value_name = "image|digest|release", default_value = "image")]
    statement: StatementForm,

    /// Says something of every subject, under the signature. Each key once.
    #[arg(short = 'a', long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,

    /// Signs the index alone, not what it lists.
    #[arg(long, conflicts_with = "recursive")]
    index_only: bool,

    /// Refuses references without a digest.
    #[arg(long)]
    require_digest: bool,

    /// Says what would be signed; asks for no certificate, writes nothing. Identity, trust and write access are not checked.
    #[arg(long)]
    dry_run: bool,

    /// Which services to use (a signing config, JSON). Without it the one beside the trusted root.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_SIGNING_CONFIG")]
    signing_config: Option<PathBuf>,

    /// Accepted for scripts that call cosign; nothing asks.
    #[arg(short = 'y', long)]
    yes: bool,

    /// Accepted for scripts that call cosign; it is the default.
    #[arg(short = 'r', long)]
    recursive: bool,

    #[command(flatten)]
    identity: IdentityFlags,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,

    #[command(flatten)]
    github: GithubFlags,
}

pub(crate) async fn run(arguments: SignArguments) -> Exit {
    program::log(arguments.output.verbose);
    let mut view = View {
        format: arguments.output.output,
        consumer_flags: consumer_flags(&arguments.trust, &arguments.registry),
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
        Ok(done) => view.show(&done),
        Err(failure) => view.show_failure(failure),
    }
}

impl SignArguments {
    async fn sign(&self, progress: &Progress) -> Result<Result<SignReport, SignFailure>, Failure> {
        let request = self.request()?;
        let first = request.references.first().map(|reference| reference.repository().registry());
        let registry = Registry::new(self.registry.options(first)?)
            .map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), error.hint()))?;
        if self.dry_run {
            progress.say("reading the images");
            return Ok(sign::plan(&registry, &request).await);
        }
        // What needs no network is checked before anything that does.
        let identity = self.identity.source().map_err(|error| report::failure(&error))?;
        progress.say("loading the trusted root");
        let (root, config) = self.trust().await?;
        let verifier = Verifier::new(root).map_err(|error| verifier_failure(&error))?;
        let http = self.registry.http_options()?;
        let services = config
            .select(program::now())
            .and_then(|selection| Services::new(selection, &http, SERVICE_BUDGET))
            .map_err(|error| report::failure(&error))?;
        let signer =
            Signer { registry, services, identity, verifier: Arc::new(verifier), clock: Arc::new(program::now) };
        progress.say(format!("signing {} references", request.references.len()));
        Ok(signer.sign(&request).await)
    }

    fn request(&self) -> Result<SignRequest, Failure> {
        let mut request =
            SignRequest::new(self.references.iter().map(|text| flags::reference(text)).collect::<Result<_, _>>()?);
        request.form = self.statement;
        request.annotations = Annotations::parse(&self.annotations).map_err(|error| report::failure(&error))?;
        request.index_only = self.index_only;
        request.require_digest = self.require_digest;
        Ok(request)
    }

    /// The trusted root that judges the new signature, and the services that make it: they have to belong together.
    async fn trust(&self) -> Result<(TrustedRoot, SigningConfig), Failure> {
        let source = source(self.trust.choice()?.unwrap_or_default());
        let cache = TrustCache { folder: self.trust.cache_folder(), http: self.registry.service_client()? };
        if let Some(path) = &self.signing_config {
            let config = read_config(path)?;
            let root = trusted_root::load(&source, &cache, program::now()).await;
            return Ok((root.map_err(|error| verifier_failure(&error))?, config));
        }
        let material = trusted_root::load_material(&source, &cache, program::now()).await;
        let material = material.map_err(|error| verifier_failure(&error))?;
        let Some(text) = material.signing_config else {
            return Err(Failure::usage(
                "no-signing-config",
                format!("no signing config belongs to {}", material.trusted_root.origin()),
                Some("give --signing-config FILE: it says which services sign under this trusted root".to_owned()),
            ));
        };
        let config = SigningConfig::from_json(&text, "the signing config beside the trusted root");
        Ok((material.trusted_root, config.map_err(|error| report::failure(&error))?))
    }
}

fn read_config(path: &Path) -> Result<SigningConfig, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(limits::CONFIG_BYTES + 1).read_to_string(&mut text));
    read.map_err(|cause| {
        let message = format!("cannot read the signing config {}: {cause}", path.display());
        Failure::usage("signing-config-unreadable", message, None)
    })?;
    SigningConfig::from_json(&text, &path.display().to_string()).map_err(|error| report::failure(&error))
}

fn source(choice: TrustChoice) -> TrustSource {
    match choice {
        TrustChoice::Embedded => TrustSource::EmbeddedPublicGood,
        TrustChoice::File(path) => TrustSource::File(path),
        TrustChoice::PublicGood => TrustSource::PublicGoodTuf,
        TrustChoice::Tuf { url, root } => TrustSource::Tuf { url, root },
    }
}

fn verifier_failure(error: &countersign_verifier::Error) -> Failure {
    let retryable = matches!(error.class(), Class::Throttled | Class::Unreachable);
    Failure::new(error, error.code(), error.class(), retryable, error.hint())
}
