//! `sign-blob`: signs files, each with a bundle beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::flags::{self, OutputFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_signer::blob::{BlobSession, BlobSigner, SignedBlob};
use futures_util::stream::{self, StreamExt as _};

use super::bundle_file::{self, BundleFile};
use super::inputs::{self, STANDARD_INPUT};
use super::report;
use super::report::blob::{BlobView, FileOutcome};
use super::service_flags::ServiceFlags;
use super::setup::{Setup, SetupFlags};

/// Bytes of a file: it is in memory while it is signed.
const MAX_FILE: u64 = 1 << 30;
/// How many files are signed, and so in memory, at once.
const PARALLEL: usize = 4;

const EXAMPLES: &str = "\
Examples:
  countersign-signer sign-blob dist/app.tar.gz
  countersign-signer sign-blob dist/*.tar.gz dist/checksums.txt
  tar c app | tee app.tar | countersign-signer sign-blob - --bundle app.tar.sigstore.json
Verify with what the output shows, such as:
  cosign verify-blob --bundle app.tar.gz.sigstore.json --certificate-identity https://github.com/example/app/.github/workflows/release.yml@refs/heads/main \\
    --certificate-oidc-issuer https://token.actions.githubusercontent.com app.tar.gz

Environment: SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN, GITHUB_ACTIONS.

Exit codes: 0 every file is signed, 1 a bug, 2 usage or configuration, 3 the new signature would be rejected, 4 could not finish, safe to
run again with --force or the files that are left.";

/// Signs files: each gets a bundle beside it that cosign and every other client of Sigstore verifies.
///
/// One call uses one certificate; each file has a log entry of its own. No bundle is written that would be refused, none over another
/// one, and nothing is spent where a file cannot be read or a bundle has no place.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignBlobArguments {
    /// What to sign: files of up to 1 GiB. `-` is standard input, with --bundle.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Where the bundle of the one file goes. Without it each goes to FILE.sigstore.json.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Writes over bundles that are there already.
    #[arg(long)]
    force: bool,

    /// Accepted for scripts that call cosign; nothing asks.
    #[arg(short = 'y', long)]
    yes: bool,

    #[command(flatten)]
    setup: SetupFlags,

    #[command(flatten)]
    services: ServiceFlags,

    #[command(flatten)]
    output: OutputFlags,
}

/// A file, and where its bundle goes.
struct Job {
    file: PathBuf,
    bundle: BundleFile,
}

pub(crate) async fn run(arguments: SignBlobArguments) -> Exit {
    program::log(arguments.output.verbose);
    let progress = Progress::new(arguments.output.quiet);
    let outcome = arguments.sign(&progress).await;
    progress.finish();
    let view = BlobView { format: arguments.output.output, trust: &arguments.setup.trust };
    match outcome {
        Ok(files) => view.show(&files),
        Err(failure) => view.show_failure(&failure),
    }
}

impl SignBlobArguments {
    async fn sign(&self, progress: &Progress) -> Result<Vec<FileOutcome>, Failure> {
        let jobs = self.jobs()?;
        let budget = self.setup.budget();
        let setup = self.setup.load(&self.services.0, None, &budget, progress).await?;
        let signer = blob_signer(setup);
        let session = signer.begin().await.map_err(|error| report::failure(&error))?;
        progress.say(format!("signing {} files", jobs.len()));
        let outcomes = stream::iter(jobs).map(|job| async {
            let signed = sign_file(&session, &job).await;
            FileOutcome { file: job.file, bundle: job.bundle.path().to_owned(), signed }
        });
        Ok(outcomes.buffered(PARALLEL).collect().await)
    }

    /// Everything that can be found wrong before anything is spent.
    fn jobs(&self) -> Result<Vec<Job>, Failure> {
        if self.bundle.is_some() && self.files.len() > 1 {
            let hint = "leave it out: each bundle goes to FILE.sigstore.json";
            return Err(usage("one-bundle", "--bundle names one file, and there are several to sign", hint));
        }
        let jobs = self.files.iter().map(|file| self.job(file)).collect::<Result<Vec<_>, _>>()?;
        let mut bundles = BTreeSet::new();
        for job in &jobs {
            let bundle = job.bundle.path();
            if !bundles.insert(bundle) || jobs.iter().any(|other| other.file == bundle) {
                let message =
                    format!("the bundle {} would be written over another file of this call", bundle.display());
                return Err(usage("bundle-exists", message, "name each file once, and no bundle"));
            }
        }
        Ok(jobs)
    }

    fn job(&self, file: &Path) -> Result<Job, Failure> {
        let bundle = match &self.bundle {
            Some(bundle) => bundle.clone(),
            None if file == Path::new(STANDARD_INPUT) => {
                let hint = "name the file for the bundle with --bundle FILE";
                return Err(usage("no-bundle", "standard input has no name to put the bundle beside", hint));
            }
            None => bundle_file::beside(file),
        };
        if file != Path::new(STANDARD_INPUT) {
            match file.metadata() {
                Ok(metadata) if metadata.is_dir() => {
                    let message = format!("{} is a folder", file.display());
                    return Err(usage("file-unreadable", message, "sign an archive of it, or the files in it"));
                }
                Ok(_) => {}
                Err(cause) => {
                    let message = format!("cannot read the file {}: {cause}", file.display());
                    return Err(Failure::usage("file-unreadable", message, None));
                }
            }
        }
        Ok(Job { file: file.to_owned(), bundle: BundleFile::new(bundle, self.force)? })
    }
}

/// What signs files with what was set up.
pub(crate) fn blob_signer(setup: Setup) -> BlobSigner {
    let Setup { services, identity, verifier } = setup;
    BlobSigner { services, identity, verifier }
}

async fn sign_file(session: &BlobSession<'_>, job: &Job) -> Result<SignedBlob, Failure> {
    let bytes = if job.file == Path::new(STANDARD_INPUT) {
        inputs::standard_input(MAX_FILE)?
    } else {
        flags::read_file("file", &job.file, MAX_FILE)?
    };
    let signed = session.sign_file(&bytes).await.map_err(|error| report::failure(&error))?;
    job.bundle.write(&signed.bundle.json)?;
    Ok(signed)
}

fn usage(code: &str, message: impl Into<String>, hint: &str) -> Failure {
    Failure::usage(code, message, Some(hint.to_owned()))
}
