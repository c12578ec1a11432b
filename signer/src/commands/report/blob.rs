//! What `sign-blob` and `sign-index` say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use countersign_cli::flags::TrustFlags;
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_oci::Digest;
use countersign_policy::{GALLERY_INDEX_PREDICATE, GalleryIndexTerms};
use countersign_signer::blob::SignedBlob;
use jiff::Timestamp;
use serde::Serialize;

use super::SignerDocument;
use crate::commands::verify_command::{SignedFile, verify_blob_command};

const BLOB_SCHEMA: &str = "countersign.dev/sign-blob/v1";
const INDEX_SCHEMA: &str = "countersign.dev/sign-index/v1";

/// How the result is shown.
pub(crate) struct BlobView<'a> {
    pub(crate) format: OutputFormat,
    /// The trusted root that was signed under: consumers need the same.
    pub(crate) trust: &'a TrustFlags,
}

/// A file, and what came of it.
pub(crate) struct FileOutcome {
    pub(crate) file: PathBuf,
    pub(crate) bundle: PathBuf,
    pub(crate) signed: Result<SignedBlob, Failure>,
}

/// `--output json`.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// `signed`, `incomplete` (not every file) or `failed`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<SignerDocument<'a>>,
    /// What is said of the index; absent where files are signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<TermsDocument<'a>>,
    files: Vec<FileDocument>,
    errors: Vec<&'a Failure>,
}

/// One file that was signed.
#[derive(Serialize)]
struct FileDocument {
    file: String,
    digest: Digest,
    bundle: String,
    log_index: u64,
    verify_command: String,
}

/// What is said of a gallery index, in the words of its predicate.
#[derive(Serialize)]
struct TermsDocument<'a> {
    serial: u64,
    expires: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    denied_digests: &'a BTreeSet<String>,
    denied_log_entries: &'a BTreeSet<String>,
}

impl<'a> TermsDocument<'a> {
    fn of(terms: &'a GalleryIndexTerms) -> Self {
        let cutoffs = terms.cutoffs();
        Self {
            serial: terms.serial(),
            expires: terms.expires(),
            not_before: cutoffs.not_before,
            denied_digests: &cutoffs.denied_digests,
            denied_log_entries: &cutoffs.denied_log_entries,
        }
    }
}

/// What was to be signed.
#[derive(Clone, Copy)]
enum Content<'a> {
    Files,
    Index(Option<&'a GalleryIndexTerms>),
}

impl BlobView<'_> {
    /// Prints what came of each file and says how the program ends.
    pub(crate) fn show(&self, files: &[FileOutcome]) -> Exit {
        let failures = files.iter().filter_map(|file| file.signed.as_ref().err());
        self.print(Content::Files, files, failures.collect())
    }

    /// Prints a failure that came before anything was signed.
    pub(crate) fn show_failure(&self, failure: &Failure) -> Exit {
        self.print(Content::Files, &[], vec![failure])
    }

    /// The same for a gallery index.
    pub(crate) fn show_index(&self, index: &FileOutcome, terms: &GalleryIndexTerms) -> Exit {
        let failures = index.signed.as_ref().err().into_iter();
        self.print(Content::Index(Some(terms)), std::slice::from_ref(index), failures.collect())
    }

    /// Prints a failure that came before the index was signed.
    pub(crate) fn show_index_failure(&self, failure: &Failure) -> Exit {
        self.print(Content::Index(None), &[], vec![failure])
    }

    fn print(&self, content: Content<'_>, files: &[FileOutcome], errors: Vec<&Failure>) -> Exit {
        let exit = errors.iter().map(|failure| failure.exit).fold(Exit::Done, Exit::and);
        let lines: Vec<String> = errors.iter().flat_map(|failure| failure.lines()).collect();
        let signed = files.iter().filter_map(|file| Some((file, file.signed.as_ref().ok()?)));
        let signed: Vec<(&FileOutcome, &SignedBlob)> = signed.collect();
        let printed = match self.format {
            OutputFormat::Json => output::json(&self.document(content, &signed, errors)),
            OutputFormat::Text => output::text(&self.text(content, &signed)),
        };
        output::note_lines(&lines);
        match printed {
            Ok(()) => exit,
            Err(_) => exit.and(Exit::Undecided),
        }
    }

    fn document<'a>(
        &self,
        content: Content<'a>,
        signed: &[(&'a FileOutcome, &'a SignedBlob)],
        errors: Vec<&'a Failure>,
    ) -> Document<'a> {
        let result = match (errors.is_empty(), signed.is_empty()) {
            (true, _) => "signed",
            (false, false) => "incomplete",
            (false, true) => "failed",
        };
        let file = |(file, blob): &(&'a FileOutcome, &'a SignedBlob)| FileDocument {
            file: file.file.display().to_string(),
            digest: blob.proof.digest(),
            bundle: file.bundle.display().to_string(),
            log_index: blob.bundle.log_index,
            verify_command: self.verify_command(content, file, blob),
        };
        let (schema, terms) = match content {
            Content::Files => (BLOB_SCHEMA, None),
            Content::Index(terms) => (INDEX_SCHEMA, terms),
        };
        Document {
            schema,
            result,
            terms: terms.map(TermsDocument::of),
            signer: signed.first().map(|(_, blob)| SignerDocument::of(&blob.signer)),
            files: signed.iter().map(file).collect(),
            errors,
        }
    }

    fn text(&self, content: Content<'_>, signed: &[(&FileOutcome, &SignedBlob)]) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (file, blob) in signed {
            let (name, bundle) = (file.file.display(), file.bundle.display());
            let _ = writeln!(text, "{name} is {}, log index {}", blob.proof.digest(), blob.bundle.log_index);
            let _ = writeln!(text, "  bundle: {bundle}");
            if let Content::Index(Some(terms)) = content {
                let _ = writeln!(text, "  serial {}, expires {}", terms.serial(), terms.expires());
            }
            let _ = writeln!(text, "  verify with:\n    {}", self.verify_command(content, file, blob));
        }
        if let Some((_, blob)) = signed.first() {
            let _ = writeln!(text, "signed by {} ({})", blob.signer.identity, blob.signer.issuer);
        }
        text
    }

    fn verify_command(&self, content: Content<'_>, file: &FileOutcome, blob: &SignedBlob) -> String {
        let predicate_type = match content {
            Content::Files => None,
            Content::Index(_) => Some(GALLERY_INDEX_PREDICATE),
        };
        let subject = SignedFile { file: &file.file, bundle: &file.bundle, predicate_type };
        verify_blob_command(&subject, &blob.signer, self.trust)
    }
}
