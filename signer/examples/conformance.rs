//! The client of the public Sigstore conformance suite: `verify-bundle` and `sign-bundle` as its protocol says.
//!
//! Exit code 0 is success and everything else is refusal. A refusal is told on stderr as one JSON document with the
//! stable code of its reason, so that whoever runs the suite can see whether a case failed for what it was made for.
//!
//! Protocol: <https://github.com/sigstore/sigstore-conformance/blob/main/docs/cli_protocol.md>

#![expect(clippy::print_stderr, reason = "it is a program")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use countersign_cli::program;
use countersign_oci::http::{Budget, HttpOptions};
use countersign_oci::{Digest, Secret, limits};
use countersign_signer::SignError;
use countersign_signer::blob::BlobSigner;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Services, SigningConfig};
use countersign_verifier::blob::{Artifact, ExpectedSigner, ManagedKey};
use countersign_verifier::reason::Reason;
use countersign_verifier::{TrustedRoot, Verifier};
use jiff::Timestamp;
use serde_json::json;
use tempfile::NamedTempFile;

/// Bytes of a file that is verified or signed: it is read whole.
const ARTIFACT_LIMIT: u64 = 1 << 30;
/// Bytes of a key or a configuration.
const SMALL_FILE_LIMIT: u64 = 1 << 20;
/// What all services together may take.
const SERVICE_BUDGET: Duration = Duration::from_secs(120);

#[derive(Parser)]
#[command(name = "conformance")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Signs a file, or an in-toto statement, and writes the bundle once it verifies.
    SignBundle(SignArguments),
    /// Verifies a bundle over a file or a digest.
    VerifyBundle(VerifyArguments),
}

#[derive(Args)]
#[command(group(ArgGroup::new("signer").required(true).multiple(true).args(["certificate_identity", "key"])))]
struct VerifyArguments {
    #[arg(long)]
    staging: bool,
    #[arg(long)]
    bundle: PathBuf,
    #[arg(long, requires = "certificate_oidc_issuer", conflicts_with = "key")]
    certificate_identity: Option<String>,
    #[arg(long, requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,
    #[arg(long)]
    key: Option<PathBuf>,
    #[arg(long)]
    trusted_root: Option<PathBuf>,
    file_or_digest: String,
}

#[derive(Args)]
struct SignArguments {
    #[arg(long)]
    staging: bool,
    #[arg(long)]
    in_toto: bool,
    #[arg(long)]
    identity_token: String,
    #[arg(long)]
    bundle: PathBuf,
    #[arg(long)]
    trusted_root: Option<PathBuf>,
    #[arg(long)]
    signing_config: Option<PathBuf>,
    file: PathBuf,
}

/// Why nothing was verified or signed.
struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    fn new(code: impl Into<String>, message: impl ToString) -> Self {
        Self { code: code.into(), message: message.to_string() }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason.code(), reason)
    }
}

impl From<countersign_verifier::Error> for Refusal {
    fn from(error: countersign_verifier::Error) -> Self {
        Self::new(error.code(), error)
    }
}

impl From<SignError> for Refusal {
    fn from(error: SignError) -> Self {
        Self::new(error.code(), error)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::SignBundle(arguments) => sign(arguments).await,
        Command::VerifyBundle(arguments) => verify(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal { code, message }) => {
            eprintln!("{}", json!({ "schema": "countersign.dev/conformance/v1", "code": code, "message": message }));
            ExitCode::FAILURE
        }
    }
}

fn verify(arguments: &VerifyArguments) -> Result<(), Refusal> {
    let verifier = verifier(arguments.staging, arguments.trusted_root.as_deref())?;
    let bundle = read(&arguments.bundle, limits::BUNDLE_BYTES)?;
    let key = arguments.key.as_deref().map(managed_key).transpose()?;
    let signer = match (&key, &arguments.certificate_identity, &arguments.certificate_oidc_issuer) {
        (Some(key), _, _) => ExpectedSigner::ManagedKey(key),
        (None, Some(identity), Some(issuer)) => ExpectedSigner::NameAlone { identity, issuer },
        _ => return Err(Refusal::new("usage", "neither a key nor an identity with its issuer was given")),
    };
    let path = Path::new(&arguments.file_or_digest);
    match arguments.file_or_digest.parse::<Digest>() {
        Ok(digest) if !path.exists() => verifier.verify_blob(Artifact::Digest(digest), &bundle, signer, now())?,
        _ => {
            let artifact = read(path, ARTIFACT_LIMIT)?;
            verifier.verify_blob(Artifact::Bytes(&artifact), &bundle, signer, now())?
        }
    };
    Ok(())
}

async fn sign(arguments: SignArguments) -> Result<(), Refusal> {
    let unwritable = |cause| Refusal::new("unwritable", format!("{}: {cause}", arguments.bundle.display()));
    // Before anything is logged, and in the folder where it belongs: what is written in part never gets the name.
    let folder = arguments.bundle.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(unwritable)?;
    let verifier = verifier(arguments.staging, arguments.trusted_root.as_deref())?;
    let config = match &arguments.signing_config {
        Some(path) => SigningConfig::from_json(&read_text(path)?, &path.display().to_string())?,
        None => SigningConfig::embedded_public_good(),
    };
    let signer = BlobSigner {
        services: Services::new(
            config.select(now())?,
            &HttpOptions::default(),
            Budget::new(program::time(), SERVICE_BUDGET),
        )?,
        identity: IdentitySource::Token { origin: "--identity-token", token: Secret::new(arguments.identity_token) },
        verifier: Arc::new(verifier),
    };
    let bytes = read(&arguments.file, ARTIFACT_LIMIT)?;
    let signed = match arguments.in_toto {
        true => signer.sign_statement(&bytes).await?,
        false => signer.sign_file(&bytes).await?,
    };
    // It is written only because it verified.
    file.write_all(&signed.bundle.json).and_then(|()| file.as_file().sync_all()).map_err(unwritable)?;
    file.persist(&arguments.bundle).map(|_| ()).map_err(|failed| unwritable(failed.error))
}

fn verifier(staging: bool, trusted_root: Option<&Path>) -> Result<Verifier, Refusal> {
    if staging {
        let message = "the staging instance is not built in: give its trusted root with --trusted-root";
        return Err(Refusal::new("staging-unsupported", message));
    }
    let root = match trusted_root {
        Some(path) => TrustedRoot::from_json(&read_text(path)?, &path.display().to_string())?,
        None => TrustedRoot::embedded_public_good()?,
    };
    Ok(Verifier::new(root)?)
}

fn managed_key(path: &Path) -> Result<ManagedKey, Refusal> {
    Ok(ManagedKey::from_pem(&read_text(path)?)?)
}

fn read_text(path: &Path) -> Result<String, Refusal> {
    String::from_utf8(read(path, SMALL_FILE_LIMIT)?)
        .map_err(|_| Refusal::new("unreadable", format!("{} is no text", path.display())))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Refusal> {
    let unreadable = |cause: std::io::Error| Refusal::new("unreadable", format!("{}: {cause}", path.display()));
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(Refusal::new("too-large", format!("{} has more than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "programs read the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
