//! `verify`: is this image signed as the policy wants it?

use std::path::PathBuf;

use clap::Args;
use countersign_cli::flags::{self, RegistryFlags, ReportFlags, TrustFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::index::Platform;
use countersign_oci::{Class, ImageReference, Layout, PinnedReference, Registry, Repository, limits};
use countersign_verifier::evidence::Place;
use countersign_verifier::platforms::{self, Walk};
use countersign_verifier::trusted_root::{self, TrustCache};
use countersign_verifier::{Asked, Error, Evidence, Source, Verdict, Verifier, report};
use jiff::Timestamp;

use self::answer::{Answer, Outcome};
use self::show::View;
use super::policy_flags::PolicyFlags;
use super::source_flags::{self, LayoutFlag, OfflineFlag};

mod answer;
mod github;
mod sarif;
mod show;

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

    /// Shows everything that the verified image covers: each manifest of its index, and what signature it has of its own. A
    /// manifest needs none, unless the policy says `require.platforms`; one that the registry does not have is "could not
    /// decide".
    #[arg(long, conflicts_with_all = ["bundle", "platform"], help_heading = "Platforms")]
    all_platforms: bool,

    /// Picks the image manifest for this platform from the verified image, and reports its digest.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with = "bundle", help_heading = "Platforms")]
    platform: Option<Platform>,

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
    output: ReportFlags,
}

const EXAMPLES: &str = "\
Examples:
  countersign-verifier verify ghcr.io/example/app:v1 --policy policy.yaml
  countersign-verifier verify ghcr.io/example/app@sha256:4413... \\
      --certificate-identity https://github.com/example/app/.github/workflows/release.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  countersign-verifier verify ghcr.io/example/app:v1 --all-platforms --policy policy.yaml
  countersign-verifier verify ghcr.io/example/app:v1 --output sarif --policy policy.yaml > verify.sarif
  countersign-verifier verify ghcr.io/example/app@sha256:4413... --bundle app.sigstore.json --policy policy.yaml
  countersign-verifier verify ghcr.io/example/app:v1 --layout DIR --offline --policy policy.yaml

Exit codes: 0 verified, 1 a bug, 2 usage or configuration, 3 rejected (unsigned included), 4 could not decide.";

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
    let mut view = View::new(arguments.output.output, arguments.policy.file());
    let references = match arguments.references.iter().map(|text| flags::reference(text)).collect::<Result<Vec<_>, _>>()
    {
        Ok(references) => references,
        Err(failure) => return view.fail(&failure),
    };
    let progress = Progress::new(arguments.output.quiet);
    progress.say("loading the trusted root");
    let judge = match Judge::prepare(&arguments, &references).await {
        Ok(judge) => judge,
        Err(failure) => return view.fail(&failure),
    };
    for reference in references {
        progress.say(format!("verifying {reference}"));
        let answer = judge.answer(&reference, &arguments).await;
        view.add(Outcome { reference, answer });
    }
    progress.finish();
    view.finish()
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

    /// Where manifests and evidence are read.
    fn place(&self) -> Source<'_> {
        source_flags::source(self.layout.as_ref(), &self.registry)
    }

    /// The verdict, and what was asked beside it: of an image that is verified its platforms, of one that is not signed
    /// whether something below it is.
    async fn answer(&self, reference: &ImageReference, arguments: &VerifyArguments) -> Result<Answer, Failure> {
        let mut answer = Answer { verdict: self.judge(reference).await?, platform: None, tree: None };
        if !self.bundles.is_empty() {
            return Ok(answer);
        }
        let evidence = self.signatures.as_ref().unwrap_or_else(|| reference.repository()).clone();
        let (verifier, policy, now) = (&self.verifier, &self.policy, program::now());
        let manifests = reference.repository();
        let walk = Walk { source: self.place(), manifests, evidence: &evidence, verifier, policy, now };
        match &mut answer.verdict {
            Verdict::Verified(image, _) => {
                if let Some(wanted) = &arguments.platform {
                    let chosen = platforms::platform_of(self.place(), manifests, image, wanted).await;
                    answer.platform = Some(chosen.map_err(|error| failure(&error))?);
                }
                if arguments.all_platforms {
                    answer.tree = Some(platforms::platform_tree(walk, image).await.map_err(|error| failure(&error))?);
                }
            }
            Verdict::Rejected(findings) if report::is_unsigned(findings) => {
                let asked = findings.asked.clone();
                findings.looked_at.extend(platforms::signed_children(walk, &asked).await);
            }
            _ => {}
        }
        if let Some(repository) = &self.signatures {
            answer.name_repository(repository);
        }
        Ok(answer)
    }

    async fn judge(&self, reference: &ImageReference) -> Result<Verdict, Failure> {
        if !self.bundles.is_empty() {
            return self.judge_bundles(reference, program::now());
        }
        let place = self.place();
        let asked = countersign_verifier::resolve(place, reference).await.map_err(|error| failure(&error))?;
        let source = match &self.signatures {
            Some(repository) => repository.pin(asked.reference.digest()),
            None => asked.reference.clone(),
        };
        // Asked after everything was fetched, the clock cannot be behind a signature made meanwhile.
        let now = program::now();
        let verdict =
            countersign_verifier::verify_image_from(place, &source, &self.verifier, &self.policy, &asked, now).await;
        match verdict {
            // A repository of signatures never has the image: then nothing there refers to it, which is an answer.
            Err(error) if error.code() == "not-found" && self.is_there(&asked, &source).await => {
                let mut nothing = Evidence::default();
                nothing.looked_at.push(Place::new("referrers", "none for this digest"));
                self.verifier.verify(&asked, &nothing, &self.policy, now).map_err(|error| failure(&error))
            }
            verdict => verdict.map_err(|error| failure(&error)),
        }
    }

    /// Whether the image is in its own repository, where its signatures are looked for in another.
    async fn is_there(&self, asked: &Asked, source: &PinnedReference) -> bool {
        let elsewhere = self.layout.is_none() && source.repository() != asked.reference.repository();
        elsewhere && matches!(self.registry.manifest_exists(&asked.reference).await, Ok(true))
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

pub(super) fn failure(error: &Error) -> Failure {
    let retryable = matches!(error.class(), Class::Throttled | Class::Unreachable)
        // Without a connection it stays what it is.
        && !matches!(error, Error::TrustOffline { .. });
    Failure::new(error, error.code(), error.class(), retryable, error.hint())
}
