//! `sign-index`: signs a gallery index, and says how long and instead of which older one it is to be believed.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use countersign_cli::flags::{self, OutputFlags};
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_oci::{Class, Digest, limits};
use countersign_policy::{Cutoffs, GalleryIndexError, GalleryIndexTerms};
use countersign_signer::signed_index::{self, SignedIndexError};
use jiff::{Span, SpanRelativeTo, Timestamp};

use super::bundle_file::{self, BundleFile};
use super::report;
use super::report::blob::{BlobView, FileOutcome};
use super::service_flags::ServiceFlags;
use super::setup::SetupFlags;
use super::sign_blob::blob_signer;

const EXAMPLES: &str = "\
Examples:
  countersign-signer sign-index index.yaml --serial 42 --expires 30d
  countersign-signer sign-index index.yaml --serial \"$GITHUB_RUN_NUMBER\" --expires 2027-01-01T00:00:00Z \\
    --not-before 2026-06-01T00:00:00Z --deny-digest sha256:4413... --force
What is signed is a statement with the predicate type https://countersign.dev/gallery-index/v1 over the index's sha256. It
is made for galleries that keep the highest serial that they saw, refuse less, and believe no index after its end: sign again before that.
countersign-gallery of this version does not ask for it yet.

Environment: SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN, GITHUB_ACTIONS.

Exit codes: 0 signed, 1 a bug, 2 usage or configuration, 3 the new signature would be rejected, 4 could not finish, safe to run again.";

/// Signs a gallery index: what a gallery needs to notice that a mirror changed it, keeps an old one or brings back what was withdrawn.
///
/// Checked are the size (8 MiB, what galleries read), that it is UTF-8 text and not empty. Not checked is whether it is a gallery index, and
/// whether its backends can be installed: `countersign-gallery` tells.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignIndexArguments {
    /// The index. Its bundle goes to FILE.sigstore.json.
    #[arg(value_name = "FILE")]
    index: PathBuf,

    /// The number of this index, from 1: higher than that of every one before it.
    #[arg(long, value_name = "N")]
    serial: u64,

    /// When it stops being believed: a time such as 2027-01-01T00:00:00Z, or how far ahead, such as 30d or 12h.
    #[arg(long, value_name = "TIME")]
    expires: When,

    /// Withdraws every image that was signed before this time. Like everything that is withdrawn here, it adds to what the operator's
    /// policy refuses and never takes from it.
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,

    /// Withdraws the image with this digest.
    #[arg(long, value_name = "DIGEST")]
    deny_digest: Vec<Digest>,

    /// Withdraws the signatures with this log entry, as verifiers report it.
    #[arg(long, value_name = "DIGEST")]
    deny_log_entry: Vec<Digest>,

    /// Where the bundle goes instead.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Writes over a bundle that is there already.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    setup: SetupFlags,

    #[command(flatten)]
    services: ServiceFlags,

    #[command(flatten)]
    output: OutputFlags,
}

pub(crate) async fn run(arguments: SignIndexArguments) -> Exit {
    program::log(arguments.output.verbose);
    let progress = Progress::new(arguments.output.quiet);
    let outcome = arguments.sign(&progress).await;
    progress.finish();
    let view = BlobView { format: arguments.output.output, trust: &arguments.setup.trust };
    match outcome {
        Ok((signed, terms)) => view.show_index(&signed, &terms),
        Err(failure) => view.show_index_failure(&failure),
    }
}

impl SignIndexArguments {
    async fn sign(&self, progress: &Progress) -> Result<(FileOutcome, GalleryIndexTerms), Failure> {
        let terms = self.terms()?;
        let bundle = self.bundle.clone().unwrap_or_else(|| bundle_file::beside(&self.index));
        if bundle == self.index {
            let message = format!("the bundle {} would be written over the index", bundle.display());
            return Err(Failure::usage("bundle-exists", message, None));
        }
        let bundle = BundleFile::new(bundle, self.force)?;
        let index = flags::read_file("index", &self.index, limits::GALLERY_INDEX_BYTES)?;
        let statement = signed_index::statement(&name(&self.index), &index, &terms, program::now())
            .map_err(|error| unsigned(&error))?;
        let budget = self.setup.budget();
        let setup = self.setup.load(&self.services.0, None, &budget, progress).await?;
        progress.say("signing the index");
        let signed = blob_signer(setup).sign_statement(&statement).await;
        let signed = signed.map_err(|error| report::failure(&error)).and_then(|signed| {
            bundle.write(&signed.bundle.json)?;
            Ok(signed)
        });
        Ok((FileOutcome { file: self.index.clone(), bundle: bundle.path().to_owned(), signed }, terms))
    }

    fn terms(&self) -> Result<GalleryIndexTerms, Failure> {
        let texts = |digests: &[Digest]| digests.iter().map(ToString::to_string).collect();
        let mut cutoffs = Cutoffs::default();
        cutoffs.not_before = self.not_before;
        cutoffs.denied_digests = texts(&self.deny_digest);
        cutoffs.denied_log_entries = texts(&self.deny_log_entry);
        GalleryIndexTerms::new(self.serial, self.expires.after(program::now())?, cutoffs).map_err(|error| {
            let code = match error {
                GalleryIndexError::Serial { .. } => "serial",
                _ => "cutoffs",
            };
            Failure::new(&error, code, Class::Usage, false, None)
        })
    }
}

/// The name of the statement's subject: what people read, and no reader compares.
fn name(index: &Path) -> String {
    index.file_name().map_or_else(|| "index".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn unsigned(error: &SignedIndexError) -> Failure {
    Failure::new(error, error.code(), error.class(), false, error.hint())
}

/// A time, or how far ahead it is.
#[derive(Clone, Debug)]
enum When {
    Ahead(Span),
    At(Timestamp),
}

impl When {
    fn after(&self, now: Timestamp) -> Result<Timestamp, Failure> {
        let ahead = match self {
            Self::At(time) => return Ok(*time),
            Self::Ahead(span) => span.to_duration(SpanRelativeTo::days_are_24_hours()),
        };
        // Whole seconds are what people read.
        let time = ahead.and_then(|ahead| now.checked_add(ahead)).and_then(|time| time.round(jiff::Unit::Second));
        time.map_err(|cause| Failure::usage("malformed-flag", format!("--expires: {cause}"), None))
    }
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = || text.parse::<Span>().ok().filter(|span| span.is_positive());
        let time = text.parse().map(Self::At).ok();
        time.or_else(|| span().map(Self::Ahead)).ok_or("write a time such as 2027-01-01T00:00:00Z, or 30d")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_how_far_ahead_it_is() {
        let now: Timestamp = "2026-11-01T00:00:00.5Z".parse().unwrap();
        let table = [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T01:00:00+01:00", "2027-01-01T00:00:00Z"),
            ("30d", "2026-12-01T00:00:01Z"),
            ("2w", "2026-11-15T00:00:01Z"),
            ("12h", "2026-11-01T12:00:01Z"),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<When>().unwrap().after(now).unwrap().to_string(), expected, "{text}");
        }
        for refused in ["", "30", "-30d", "0d", "soon", "2027-01-01", "2027-01-01T00:00:00"] {
            assert!(refused.parse::<When>().is_err(), "{refused}");
        }
        for refused in ["1mo", "9999y"] {
            assert!(refused.parse::<When>().is_ok_and(|when| when.after(now).is_err()), "{refused}");
        }
    }
}
