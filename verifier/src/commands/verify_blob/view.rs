//! What `verify-blob` says.

use std::collections::BTreeSet;

use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure};
use countersign_oci::visible;
use countersign_verifier::blob::{BlobContent, BlobSigner, VerifiedBlob};
use countersign_verifier::reason::Reason;
use countersign_verifier::report;
use jiff::Timestamp;
use serde::Serialize;

use super::{Answer, Refusal};

const SCHEMA: &str = "countersign.dev/verify-blob/v1";
const BATCH_SCHEMA: &str = "countersign.dev/verify-blob-batch/v1";

/// The answer about one file.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// `verified`, `rejected` or `undecided`.
    verdict: &'static str,
    /// As it was typed.
    file: &'a str,
    digest: Option<&'a str>,
    bundle: Option<String>,
    content: Option<ContentDocument<'a>>,
    signer: Option<SignerDocument<'a>>,
    times: Vec<String>,
    log_index: Option<u64>,
    /// RFC 6962 leaf hash.
    log_entry: Option<String>,
    /// The SHA-256 of the policy's canonical form.
    policy: Option<String>,
    trusted_root: Option<&'a str>,
    /// What a gallery index says of itself.
    gallery_index: Option<TermsDocument<'a>>,
    error: Option<ErrorDocument<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum ContentDocument<'a> {
    File,
    Statement { predicate_type: &'a str, names: &'a [String] },
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum SignerDocument<'a> {
    Certificate { issuer: &'a str, identity: &'a str, source_repository: Option<&'a str>, signers: &'a [String] },
    Key { fingerprint: String },
}

#[derive(Serialize)]
struct TermsDocument<'a> {
    serial: u64,
    expires: Timestamp,
    not_before: Option<Timestamp>,
    denied_digests: &'a BTreeSet<String>,
    denied_log_entries: &'a BTreeSet<String>,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    code: &'a str,
    class: &'static str,
    retryable: bool,
    message: String,
    causes: Vec<String>,
    hint: Option<&'a str>,
    /// For a policy's refusal: each field that did not fit.
    denials: Vec<report::Denial>,
    /// For a policy's refusal: the policy's signer that it came nearest to.
    nearest: Option<report::Nearest>,
}

#[derive(Serialize)]
struct Batch<'a> {
    schema: &'static str,
    results: Vec<Document<'a>>,
}

/// Prints what is to be said of each file, and returns how the program ends.
pub(super) fn show(answers: &[Answer], format: OutputFormat) -> Exit {
    let exit = answers.iter().map(exit).fold(Exit::Done, Exit::and);
    let printed = match format {
        OutputFormat::Json => match answers {
            [answer] => output::json(&document(answer)),
            answers => output::json(&Batch { schema: BATCH_SCHEMA, results: answers.iter().map(document).collect() }),
        },
        _ => output::text(&answers.iter().map(text).collect::<String>()),
    };
    match printed {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
    }
}

/// Prints what kept every file from being judged.
pub(super) fn fail(failure: &Failure, format: OutputFormat) -> Exit {
    output::failure(failure, format);
    failure.exit
}

fn exit(answer: &Answer) -> Exit {
    match (&answer.proof, &answer.refusal) {
        (_, Some(refusal)) => refusal.exit(),
        (Some(_), None) => Exit::Done,
        (None, None) => Exit::Bug,
    }
}

fn verdict(answer: &Answer) -> &'static str {
    match exit(answer) {
        Exit::Done => "verified",
        Exit::Rejected => "rejected",
        _ => "undecided",
    }
}

fn document(answer: &Answer) -> Document<'_> {
    let proof = answer.proof.as_ref();
    Document {
        schema: SCHEMA,
        verdict: verdict(answer),
        file: &answer.file,
        digest: answer.digest.as_deref(),
        bundle: answer.bundle.as_ref().map(|path| path.display().to_string()),
        content: proof.map(content),
        signer: proof.and_then(signer),
        times: proof.map(|proof| proof.times().iter().map(ToString::to_string).collect()).unwrap_or_default(),
        log_index: proof.map(VerifiedBlob::log_index),
        log_entry: proof.map(|proof| proof.log_entry().to_string()),
        policy: proof.and_then(VerifiedBlob::policy_hash).map(|hash| hash.to_string()),
        trusted_root: proof.map(VerifiedBlob::trusted_root),
        gallery_index: answer.terms.as_ref().map(|terms| TermsDocument {
            serial: terms.serial(),
            expires: terms.expires(),
            not_before: terms.cutoffs().not_before,
            denied_digests: &terms.cutoffs().denied_digests,
            denied_log_entries: &terms.cutoffs().denied_log_entries,
        }),
        error: answer.refusal.as_ref().map(|refusal| error(answer, refusal)),
    }
}

fn content(proof: &VerifiedBlob) -> ContentDocument<'_> {
    match proof.content() {
        BlobContent::Statement { predicate_type, names } => ContentDocument::Statement { predicate_type, names },
        _ => ContentDocument::File,
    }
}

fn signer(proof: &VerifiedBlob) -> Option<SignerDocument<'_>> {
    match proof.signer() {
        BlobSigner::Certificate { issuer, identity, source_repository, signers } => {
            let source_repository = source_repository.as_deref();
            Some(SignerDocument::Certificate { issuer, identity, source_repository, signers })
        }
        BlobSigner::ManagedKey { fingerprint } => Some(SignerDocument::Key { fingerprint: fingerprint.to_string() }),
        _ => None,
    }
}

fn error<'a>(answer: &Answer, refusal: &'a Refusal) -> ErrorDocument<'a> {
    match refusal {
        Refusal::Failure(failure) => ErrorDocument {
            code: &failure.code,
            class: failure.class,
            retryable: failure.retryable,
            message: failure.message.clone(),
            causes: failure.causes.clone(),
            hint: failure.hint.as_deref(),
            denials: Vec::new(),
            nearest: None,
        },
        Refusal::Reason(reason) => ErrorDocument {
            code: reason.code(),
            class: match refusal.exit() {
                Exit::Undecided => "unreachable",
                Exit::Usage => "usage",
                _ => "rejected",
            },
            retryable: refusal.exit() == Exit::Undecided,
            message: other_file(answer, reason).unwrap_or_else(|| reason.to_string()),
            causes: Vec::new(),
            hint: hint(reason),
            denials: report::denials(denied(reason)),
            nearest: report::nearest(denied(reason)),
        },
    }
}

fn denied(reason: &Reason) -> &[countersign_policy::Denial] {
    match reason {
        Reason::Denied { denials } => denials,
        _ => &[],
    }
}

/// Both digests, where the bundle says which file it is for: in the same words for signatures and for statements.
fn other_file(answer: &Answer, reason: &Reason) -> Option<String> {
    let (Reason::ArtifactMismatch { .. } | Reason::SubjectMismatch { .. }) = reason else { return None };
    let (signed, file) = (answer.signed?.to_string(), answer.digest.as_deref()?);
    (signed != file).then(|| {
        format!("the bundle is for {signed}, the file is {file}: changed after it was signed, or another file's bundle")
    })
}

fn hint(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::ArtifactMismatch { .. } | Reason::SubjectMismatch { .. } => Some(
            "fetch the file and its bundle again, from the same release, or name the right bundle with --bundle FILE",
        ),
        Reason::PolicyOfImages => {
            Some("use a policy without `require.tag`, `require.repository` and `require.platforms` for files")
        }
        _ => reason.hint(),
    }
}

fn text(answer: &Answer) -> String {
    let mut text = Text(String::new());
    let name = match &answer.digest {
        Some(digest) if *digest != answer.file => format!("{} ({digest})", answer.file),
        _ => answer.file.clone(),
    };
    match (&answer.proof, &answer.refusal) {
        (_, Some(refusal)) => refused(&mut text, answer, &name, refusal),
        (Some(proof), None) => verified(&mut text, answer, &name, proof),
        (None, None) => text.line(format!("undecided {name}")),
    }
    text.0
}

fn refused(text: &mut Text, answer: &Answer, name: &str, refusal: &Refusal) {
    let error = error(answer, refusal);
    let verdict = verdict(answer);
    match error.denials.is_empty() {
        true => text.line(format!("{verdict:<9} {name}: {} ({})", error.message, error.code)),
        false => text.line(format!("{verdict:<9} {name}: signed, but not as the policy wants it ({})", error.code)),
    }
    if let Refusal::Reason(reason) = refusal {
        for line in report::text_of_denials(denied(reason)).lines() {
            text.line(line.strip_prefix("  ").unwrap_or(line));
        }
    }
    for cause in &error.causes {
        text.line(format!("  caused by: {cause}"));
    }
    if let Some(bundle) = &answer.bundle {
        text.line(format!("  bundle: {}", bundle.display()));
    }
    if let Some(hint) = error.hint {
        text.line(format!("  hint: {hint}"));
    }
}

fn verified(text: &mut Text, answer: &Answer, name: &str, proof: &VerifiedBlob) {
    text.line(format!("verified  {name}"));
    match proof.signer() {
        BlobSigner::Certificate { issuer, identity, source_repository, .. } => {
            text.line(format!("  signed by {identity}"));
            text.line(format!("    issuer {issuer}"));
            if let Some(repository) = source_repository {
                text.line(format!("    source repository {repository}"));
            }
        }
        BlobSigner::ManagedKey { fingerprint } => text.line(format!("  signed with the key {fingerprint}")),
        _ => {}
    }
    if let Some(time) = proof.times().iter().min() {
        text.line(format!("    signed at {time}, log index {}", proof.log_index()));
    }
    if let BlobContent::Statement { predicate_type, .. } = proof.content() {
        text.line(format!("  statement of type {predicate_type}"));
    }
    if let Some(terms) = &answer.terms {
        let cutoffs = terms.cutoffs();
        text.line(format!("  gallery index {}, to be believed until {}", terms.serial(), terms.expires()));
        if let Some(time) = cutoffs.not_before {
            text.line(format!("    withdraws images signed before {time}"));
        }
        for digest in &cutoffs.denied_digests {
            text.line(format!("    withdraws the image {digest}"));
        }
        for entry in &cutoffs.denied_log_entries {
            text.line(format!("    withdraws signatures with log entry {entry}"));
        }
    }
    if let Some(bundle) = &answer.bundle {
        text.line(format!("  bundle: {}", bundle.display()));
    }
    text.line(format!("  trusted root: {}", proof.trusted_root()));
}

/// Text in which nothing from outside can move the cursor.
struct Text(String);

impl Text {
    fn line(&mut self, content: impl AsRef<str>) {
        self.0.extend(content.as_ref().chars().map(visible));
        self.0.push('\n');
    }
}
