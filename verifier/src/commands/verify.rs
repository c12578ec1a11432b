//! `verify`: is this image signed as the policy wants it?

use std::path::PathBuf;

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, RegistryFlags, TrustFlags};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::{ImageReference, Layout, Registry, Repository, limits};
use countersign_verifier::trusted_root::{self, TrustCache};
use countersign_verifier::{Asked, Error, Evidence, Verdict, Verifier, report};
use jiff::Timestamp;
use serde::Serialize;

use super::policy_flags::PolicyFlags;
use super::source_flags::{self, LayoutFlag, OfflineFlag};

/// Verifies images: each must be signed as the policy wants it.
///
/// A tag is resolved once; what is verified is the digest. Name the tag and the digest together
/// (REPOSITORY:TAG@DIGEST) to check one while asking for the other.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArguments {
    /// What to verify: REPOSITORY[:TAG][@DIGEST].
    #[arg(required = true, value_name = "REF")]
    references: Vec<String>,

    #[command(flatten)]
    policy: PolicyFlags,

    /// The repository that holds the signatures, where they do not lie beside the image. COSIGN_REPOSITORY says the same.
    #[arg(long, value_name = "REPO", env = "COSIGN_REPOSITORY", help_heading = "Evidence")]
    signature_repository: Option<String>,

    /// Judges these bundles instead of what the registry has. The reference must hold a digest; no registry is asked.
    #[arg(long, value_name = "FILE", help_heading = "Evidence", conflicts_with = "layout")]
    bundle: Vec<PathBuf>,

    #[command(flatten)]
    layout: LayoutFlag,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    offline: OfflineFlag,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

const EXAMPLES: &str = "\
Examples:
  countersign-verifier verify ghcr.io/example/app:v1 --policy policy.yaml
  countersign-verifier verify ghcr.io/example/app@sha256:4413... \\
      --certificate-identity https://github.com/example/app/.github/workflows/release.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  countersign-verifier verify ghcr.io/example/app@sha256:4413... --bundle app.sigstore.json --policy policy.yaml
  countersign-verifier verify ghcr.io/example/app:v1 --layout DIR --offline --policy policy.yaml

Exit codes: 0 verified, 1 a bug, 2 usage or configuration, 3 rejected (unsigned included), 4 could not decide.";

/// The results of a call with several references.
#[derive(Serialize)]
struct Batch {
    schema: &'static str,
    results: Vec<serde_json::Value>,
}

/// What is needed to judge any reference.
struct Judge {
    verifier: Verifier,
    policy: countersign_policy::Policy,
    registry: Registry,
    layout: Option<Layout>,
    signatures: Option<Repository>,
    bundles: Vec<bytes::Bytes>,
}

pub(crate) async fn run(arguments: VerifyArguments) -> Exit {
    program::log(arguments.output.verbose);
    let format = arguments.output.output;
    let references = match arguments.references.iter().map(|text| flags::reference(text)).collect::<Result<Vec<_>, _>>()
    {
        Ok(references) => references,
        Err(failure) => return fail(&failure, format),
    };
    let progress = Progress::new(arguments.output.quiet);
    progress.say("loading the trusted root");
    let judge = match Judge::prepare(&arguments, &references).await {
        Ok(judge) => judge,
        Err(failure) => return fail(&failure, format),
    };
    let mut exit = Exit::Done;
    let mut results = Vec::new();
    for reference in &references {
        progress.say(format!("verifying {reference}"));
        let answer = judge.judge(reference).await;
        exit = exit.and(show(reference, &answer, format, &mut results));
    }
    progress.finish();
    if format == OutputFormat::Json && print_json(results).is_err() {
        return exit.and(Exit::Undecided);
    }
    exit
}

impl Judge {
    async fn prepare(arguments: &VerifyArguments, references: &[ImageReference]) -> Result<Self, Failure> {
        let named = arguments.policy.policy()?;
        let source = match (named.trust(), arguments.trust.choice()?) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "two-trusted-roots",
                    "the policy names its trusted root, and so do the flags",
                    Some("leave out --trusted-root, --tuf-url and --trust: a policy believes one root only".into()),
                ));
            }
            (Some(source), None) => source,
            (None, choice) => choice.unwrap_or_default().into(),
        };
        let http = arguments.registry.service_client()?;
        let cache = TrustCache { folder: arguments.trust.cache_folder(), http };
        let refresh = arguments.offline.refresh();
        let material = trusted_root::load_with(&source, &cache, refresh, program::now()).await;
        let root = material.map_err(|error| failure(&error))?.trusted_root;
        let verifier = Verifier::new(root).map_err(|error| failure(&error))?;
        let host = references.first().map(|reference| reference.repository().registry());
        let registry = Registry::new(arguments.registry.options(host)?)
            .map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), error.hint()))?;
        let bundles = arguments
            .bundle
            .iter()
            .map(|path| flags::read_file("bundle", path, limits::BUNDLE_BYTES).map(bytes::Bytes::from))
            .collect::<Result<_, _>>()?;
        let signatures = arguments.signature_repository.as_deref().map(flags::repository).transpose()?;
        let layout = arguments.layout.open()?;
        Ok(Self { verifier, policy: named.policy, registry, layout, signatures, bundles })
    }

    async fn judge(&self, reference: &ImageReference) -> Result<Verdict, Failure> {
        if !self.bundles.is_empty() {
            return self.judge_bundles(reference, program::now());
        }
        let place = source_flags::source(self.layout.as_ref(), &self.registry);
        let asked = countersign_verifier::resolve(place, reference).await.map_err(|error| failure(&error))?;
        let source = match &self.signatures {
            Some(repository) => repository.pin(asked.reference.digest()),
            None => asked.reference.clone(),
        };
        // Asked after everything was fetched, the clock cannot be behind a signature made meanwhile.
        let now = program::now();
        countersign_verifier::verify_image_from(place, &source, &self.verifier, &self.policy, &asked, now)
            .await
            .map_err(|error| failure(&error))
    }

    fn judge_bundles(&self, reference: &ImageReference, now: Timestamp) -> Result<Verdict, Failure> {
        let Some(digest) = reference.digest() else {
            return Err(Failure::usage(
                "no-digest",
                format!("{reference} holds no digest, and with --bundle no registry is asked for it"),
                Some("name the image as REPOSITORY@sha256:...".into()),
            ));
        };
        let asked = Asked { reference: reference.repository().pin(digest), tag: reference.tag().cloned() };
        let evidence = Evidence::from_bundles(self.bundles.iter().cloned());
        self.verifier.verify(&asked, &evidence, &self.policy, now).map_err(|error| failure(&error))
    }
}

fn show(
    reference: &ImageReference,
    answer: &Result<Verdict, Failure>,
    format: OutputFormat,
    results: &mut Vec<serde_json::Value>,
) -> Exit {
    let exit = match answer {
        Ok(Verdict::Verified(..)) => Exit::Done,
        Ok(Verdict::Rejected(_)) => Exit::Rejected,
        Ok(_) => Exit::Undecided,
        Err(failure) => failure.exit,
    };
    match (format, answer) {
        (OutputFormat::Json, answer) => results.push(value(reference, answer)),
        (OutputFormat::Text, Ok(verdict)) => {
            if output::text(&report::text(verdict)).is_err() {
                return exit.and(Exit::Undecided);
            }
        }
        (OutputFormat::Text, Err(failure)) => output::failure(failure, OutputFormat::Text),
    }
    exit
}

fn value(reference: &ImageReference, answer: &Result<Verdict, Failure>) -> serde_json::Value {
    let document = match answer {
        Ok(verdict) => serde_json::to_value(report::document(verdict)),
        Err(failure) => {
            let verdict = if failure.exit == Exit::Rejected { "rejected" } else { "undecided" };
            let mut document = serde_json::to_value(report::without_verdict(reference, verdict)).unwrap_or_default();
            document["error"] = serde_json::to_value(failure).unwrap_or_default();
            Ok(document)
        }
    };
    document.unwrap_or_default()
}

fn print_json(mut results: Vec<serde_json::Value>) -> std::io::Result<()> {
    match results.len() {
        1 => output::json(&results.remove(0)),
        _ => output::json(&Batch { schema: "countersign.dev/verify-batch/v1", results }),
    }
}

pub(super) fn failure(error: &Error) -> Failure {
    let retryable = matches!(error.class(), countersign_oci::Class::Throttled | countersign_oci::Class::Unreachable)
        // Without a connection it stays what it is.
        && !matches!(error, Error::TrustOffline { .. });
    Failure::new(error, error.code(), error.class(), retryable, error.hint())
}

fn fail(failure: &Failure, format: OutputFormat) -> Exit {
    output::failure(failure, format);
    failure.exit
}
