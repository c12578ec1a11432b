//! What `sign-blob` and `sign-index` say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use countersign_cli::flags::TrustFlags;
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_oci::Digest;
use countersign_signer::blob::SignedBlob;
use serde::Serialize;

use super::SignerDocument;
use crate::commands::verify_command::verify_blob_command;

const SCHEMA: &str = "countersign.dev/sign-blob/v1";

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
    files: Vec<FileDocument<'a>>,
    errors: Vec<&'a Failure>,
}

/// One file that was signed.
#[derive(Serialize)]
struct FileDocument<'a> {
    file: &'a Path,
    digest: Digest,
    bundle: &'a Path,
    log_index: u64,
    verify_command: String,
}

impl BlobView<'_> {
    /// Prints what came of each file and says how the program ends.
    pub(crate) fn show(&self, files: &[FileOutcome]) -> Exit {
        let failures = files.iter().filter_map(|file| file.signed.as_ref().err());
        self.print(files, failures.collect())
    }

    /// Prints a failure that came before anything was signed.
    pub(crate) fn show_failure(&self, failure: &Failure) -> Exit {
        self.print(&[], vec![failure])
    }

    fn print(&self, files: &[FileOutcome], errors: Vec<&Failure>) -> Exit {
        let exit = errors.iter().map(|failure| failure.exit).fold(Exit::Done, Exit::and);
        let lines: Vec<String> = errors.iter().flat_map(|failure| failure.lines()).collect();
        let signed = files.iter().filter_map(|file| Some((file, file.signed.as_ref().ok()?)));
        let signed: Vec<(&FileOutcome, &SignedBlob)> = signed.collect();
        let printed = match self.format {
            OutputFormat::Json => output::json(&self.document(&signed, errors)),
            OutputFormat::Text => output::text(&self.text(&signed)),
        };
        output::note_lines(&lines);
        match printed {
            Ok(()) => exit,
            Err(_) => exit.and(Exit::Undecided),
        }
    }

    fn document<'a>(&self, signed: &[(&'a FileOutcome, &'a SignedBlob)], errors: Vec<&'a Failure>) -> Document<'a> {
        let result = match (errors.is_empty(), signed.is_empty()) {
            (true, _) => "signed",
            (false, false) => "incomplete",
            (false, true) => "failed",
        };
        let file = |(file, blob): &(&'a FileOutcome, &'a SignedBlob)| FileDocument {
            file: &file.file,
            digest: blob.proof.digest(),
            bundle: &file.bundle,
            log_index: blob.bundle.log_index,
            verify_command: self.verify_command(file, blob),
        };
        Document {
            schema: SCHEMA,
            result,
            signer: signed.first().map(|(_, blob)| SignerDocument::of(&blob.signer)),
            files: signed.iter().map(file).collect(),
            errors,
        }
    }

    fn text(&self, signed: &[(&FileOutcome, &SignedBlob)]) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (file, blob) in signed {
            let (name, bundle) = (file.file.display(), file.bundle.display());
            let _ = writeln!(text, "{name} is {}, log index {}", blob.proof.digest(), blob.bundle.log_index);
            let _ = writeln!(text, "  bundle: {bundle}");
            let _ = writeln!(text, "  verify with:\n    {}", self.verify_command(file, blob));
        }
        if let Some((_, blob)) = signed.first() {
            let _ = writeln!(text, "signed by {} ({})", blob.signer.identity, blob.signer.issuer);
        }
        text
    }

    fn verify_command(&self, file: &FileOutcome, blob: &SignedBlob) -> String {
        verify_blob_command(&file.file, &file.bundle, &blob.signer, self.trust)
    }
}
