//! `verify-blob`: is this file signed as it has to be?

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::flags::{self, OutputFlags, TrustFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::{Class, Digest, limits};
use countersign_policy::{GALLERY_INDEX_PREDICATE, GalleryIndexTerms, Policy};
use countersign_verifier::Verifier;
use countersign_verifier::blob::{self, BlobContent, ExpectedSigner, ManagedKey, VerifiedBlob};
use countersign_verifier::reason::{self, Reason};
use countersign_verifier::statement::SIGNATURE_PREDICATE;
use countersign_verifier::trusted_root::{self, TrustCache, TrustSource};
use jiff::Timestamp;

use super::policy_flags::PolicyFlags;
use super::source_flags::OfflineFlag;
use super::verify::failure;

mod file;
mod view;

use file::Subject;

/// Verifies files: each must be signed as the policy wants it.
///
/// A file is signed itself (as cosign sign-blob and countersign-signer sign-blob do), or a signed in-toto statement names it (as that of a
/// gallery index does). Bundles of version 0.1 to 0.3 are read. For a gallery index its serial, its end and what it withdraws are shown, and
/// one that has expired is rejected.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyBlobArguments {
    /// What to verify: files, `-` for standard input, or the digest of a file (sha256:...). The last two need --bundle.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// The bundle of the one file. Without it the bundle lies beside each file: FILE.sigstore.json, else FILE.sigstore, else FILE.bundle.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Accepts a statement of this predicate type about the file, and nothing else. Without it: a signature of the file itself,
    /// a signing statement of cosign, or a gallery index. Any other statement says something about the file that may be bad news.
    #[arg(long, value_name = "TYPE")]
    predicate_type: Option<String>,

    /// The public key (PEM) that files are signed with, instead of a policy.
    #[arg(long, value_name = "FILE", help_heading = "Policy: a file, or one signer", conflicts_with_all = POLICY)]
    key: Option<PathBuf>,

    #[command(flatten)]
    policy: PolicyFlags,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    offline: OfflineFlag,

    #[command(flatten)]
    output: OutputFlags,
}

/// Beside a key these would be dropped in silence.
const POLICY: [&str; 7] = [
    "policy",
    "certificate_identity",
    "certificate_identity_regexp",
    "certificate_oidc_issuer",
    "certificate_github_workflow_repository",
    "certificate_github_workflow_ref",
    "certificate_github_workflow_trigger",
];

const EXAMPLES: &str = "\
Examples:
  countersign-verifier verify-blob app.tar.gz --policy policy.yaml
  countersign-verifier verify-blob index.yaml --bundle index.yaml.sigstore.json --trusted-root trusted_root.json \\
      --certificate-identity https://github.com/example/app/.github/workflows/release.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com
  countersign-verifier verify-blob sha256:4413... --bundle app.sigstore.json --key release.pub

With --offline, --trusted-root or --trust embedded no connection is made.

Exit codes: 0 every file is verified, 1 a bug, 2 usage or configuration, 3 rejected (unsigned included), 4 could not decide.";

pub(crate) async fn run(arguments: VerifyBlobArguments) -> Exit {
    program::log(arguments.output.verbose);
    let format = arguments.output.output;
    let progress = Progress::new(arguments.output.quiet);
    progress.say("loading the trusted root");
    let judge = match Judge::prepare(&arguments).await {
        Ok(judge) => judge,
        Err(failure) => return view::fail(&failure, format),
    };
    let answers = arguments.files.iter().map(|file| {
        progress.say(format!("verifying {file}"));
        judge.judge(&arguments, file)
    });
    let answers: Vec<Answer> = answers.collect();
    progress.finish();
    view::show(&answers, format)
}

/// What is known of a file in the end.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// As it was typed.
    pub(crate) file: String,
    pub(crate) digest: Option<String>,
    pub(crate) bundle: Option<PathBuf>,
    /// What the bundle says it is for, where it does not verify.
    pub(crate) signed: Option<Digest>,
    pub(crate) proof: Option<VerifiedBlob>,
    pub(crate) terms: Option<GalleryIndexTerms>,
    /// Why it is not verified.
    pub(crate) refusal: Option<Refusal>,
}

/// Why a file is not verified: for what its bundle is, or before that could be asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    Failure(Failure),
    Reason(Box<Reason>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Who must have signed.
enum Signer {
    Key(ManagedKey),
    Policy(Box<Policy>),
}

/// What is needed to judge any file.
struct Judge {
    verifier: Verifier,
    signer: Signer,
}

impl Judge {
    async fn prepare(arguments: &VerifyBlobArguments) -> Result<Self, Failure> {
        if arguments.bundle.is_some() && arguments.files.len() > 1 {
            return Err(Failure::usage(
                "one-bundle",
                "--bundle names one file, and there are several to verify",
                Some("leave it out: each bundle lies at FILE.sigstore.json".into()),
            ));
        }
        let (signer, named) = arguments.signer()?;
        let source = match (named, arguments.trust.choice()?) {
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
        let cache = TrustCache { folder: arguments.trust.cache_folder(), http: flags::service_client()? };
        let refresh = arguments.offline.refresh();
        let material = trusted_root::load_with(&source, &cache, refresh, program::now()).await;
        let root = material.map_err(|error| failure(&error))?.trusted_root;
        Ok(Self { verifier: Verifier::new(root).map_err(|error| failure(&error))?, signer })
    }

    fn judge(&self, arguments: &VerifyBlobArguments, file: &str) -> Answer {
        let mut answer = Answer { file: file.to_owned(), ..Answer::default() };
        if let Err(refusal) = self.verify(arguments, &mut answer) {
            answer.refusal = Some(refusal);
        }
        answer
    }

    fn verify(&self, arguments: &VerifyBlobArguments, answer: &mut Answer) -> Result<(), Refusal> {
        let needs_bytes = matches!(self.signer, Signer::Key(_));
        let path = file::bundle(&answer.file, arguments.bundle.as_deref())?;
        let subject = Subject::read(&answer.file, needs_bytes)?;
        answer.digest = Some(subject.artifact().digest().to_string());
        let path = path.ok_or_else(|| file::unsigned(&answer.file))?;
        let bundle = flags::read_file("bundle", &path, limits::BUNDLE_BYTES)?;
        answer.bundle = Some(path);
        let signer = match &self.signer {
            Signer::Key(key) => ExpectedSigner::ManagedKey(key),
            Signer::Policy(policy) => ExpectedSigner::Policy(policy),
        };
        // Asked after everything was read.
        let now = program::now();
        let proof = self.verifier.verify_blob(subject.artifact(), &bundle, signer, now);
        let proof = proof.map_err(|reason| {
            answer.signed = blob::claimed_digest(&bundle);
            Refusal::Reason(Box::new(reason))
        })?;
        check_content(proof.content(), arguments.predicate_type.as_deref())?;
        answer.terms = terms(&proof, now)?;
        answer.proof = Some(proof);
        Ok(())
    }
}

impl VerifyBlobArguments {
    /// Returns who must have signed, and the trusted root that a policy names.
    fn signer(&self) -> Result<(Signer, Option<TrustSource>), Failure> {
        let Some(path) = &self.key else {
            let named = self.policy.policy().map_err(|mut failure| {
                if failure.code == "no-policy" {
                    failure.hint = failure.hint.map(|hint| format!("{hint}, or --key FILE"));
                }
                failure
            })?;
            let trust = named.trust();
            return Ok((Signer::Policy(Box::new(named.policy)), trust));
        };
        let bytes = flags::read_file("key", path, limits::CONFIG_BYTES)?;
        let key = ManagedKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|error| failure(&error))?;
        Ok((Signer::Key(key), None))
    }
}

/// A signed statement that says something else of the file is no signature of it.
fn check_content(content: &BlobContent, wanted: Option<&str>) -> Result<(), Failure> {
    let found = match content {
        BlobContent::Statement { predicate_type, .. } => Some(predicate_type.as_str()),
        _ => None,
    };
    let (accepted, hint) = match (wanted, found) {
        (None, None | Some(SIGNATURE_PREDICATE | GALLERY_INDEX_PREDICATE)) => (true, None),
        (None, Some(found)) => (false, Some(format!("where that is what you want: --predicate-type {found}"))),
        (Some(wanted), found) => (Some(wanted) == found, None),
    };
    if accepted {
        return Ok(());
    }
    let found =
        found.map_or_else(|| "a signature of the file itself".into(), |kind| format!("a statement of type {kind}"));
    let wanted = wanted.map_or_else(|| "a signature".into(), |kind| format!("a statement of type {kind}"));
    Err(rejected("not-a-signature", format!("it is {found}, where {wanted} is needed"), hint))
}

/// Returns what the signer of a gallery index says of it, unless it is over.
fn terms(proof: &VerifiedBlob, now: Timestamp) -> Result<Option<GalleryIndexTerms>, Failure> {
    let Some(terms) = proof.gallery_index_terms() else { return Ok(None) };
    let terms = terms.map_err(|error| Failure::new(&error, "gallery-index-malformed", Class::Rejected, false, None))?;
    if terms.expires() <= now {
        let message = format!("the gallery index expired at {}, and it is {now}", terms.expires());
        let hint = "fetch the newest index, or ask its publisher to sign it again";
        return Err(rejected("gallery-index-expired", message, Some(hint.into())));
    }
    Ok(Some(terms))
}

fn rejected(code: &str, message: String, hint: Option<String>) -> Failure {
    let mut failure = Failure::usage(code, message, hint).with_exit(Exit::Rejected);
    failure.class = Class::Rejected.as_str();
    failure
}

impl Refusal {
    /// Returns how the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Failure(failure) => failure.exit,
            Self::Reason(reason) if reason.class() == reason::Class::Undecided => Exit::Undecided,
            // The operator gave the wrong kind of policy, or none where one is needed: the bundle was not judged by it.
            Self::Reason(reason) if matches!(**reason, Reason::PolicyOfImages) => Exit::Usage,
            Self::Reason(_) => Exit::Rejected,
        }
    }
}

/// Whether text is the name of something that is there.
fn is_file(text: &str) -> bool {
    Path::new(text).symlink_metadata().is_ok()
}
