//! The client of the public TUF conformance suite: `init`, `refresh` and `download`, as its protocol says.
//!
//! It runs what the verifier runs to get a trusted root: the same updater with the same limits, started from the root
//! that was given first, the same cache, and the same HTTP client, which follows no redirects.
//!
//! Protocol: <https://github.com/theupdateframework/tuf-conformance/blob/main/CLIENT-CLI.md>

#![expect(clippy::print_stderr, reason = "it is a program")]

use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use countersign_oci::http::{self, HttpOptions};
use countersign_verifier::crypto;
use jiff::Timestamp;
use sigstore_tuf::cache::MetadataStore;
use sigstore_tuf::{FileStore, HttpRepository, Result, Updater};

/// Where the cache keeps what the suite does not expect beside the metadata.
const KEPT: &str = "kept";
/// The root that trust begins with, and always will: a cache is not believed.
const FIRST_ROOT: &str = "first-root";

#[derive(Parser)]
#[command(name = "tuf_conformance")]
struct Arguments {
    #[arg(long)]
    metadata_dir: PathBuf,
    #[arg(long, default_value = "")]
    metadata_url: String,
    #[arg(long)]
    target_name: Vec<String>,
    #[arg(long)]
    target_base_url: Option<String>,
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Begins to trust a repository.
    Init {
        /// Its first root.
        trusted_root: PathBuf,
    },
    /// Brings the metadata up to date.
    Refresh,
    /// Brings the metadata up to date and gets targets.
    Download,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut causes = vec![error.to_string()];
            let mut cause = error.source();
            while let Some(error) = cause {
                causes.push(error.to_string());
                cause = error.source();
            }
            eprintln!("{}", causes.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> std::result::Result<(), Box<dyn StdError>> {
    match &arguments.command {
        Command::Init { trusted_root } => init(&arguments.metadata_dir, trusted_root),
        Command::Refresh => Ok(updater(arguments)?.refresh(now()).await?),
        Command::Download => {
            let mut updater = updater(arguments)?;
            updater.refresh(now()).await?;
            for name in &arguments.target_name {
                updater.get_target(name, now()).await?;
            }
            Ok(())
        }
    }
}

fn init(metadata: &Path, root: &Path) -> std::result::Result<(), Box<dyn StdError>> {
    fs::create_dir_all(metadata.join(KEPT))?;
    fs::copy(root, metadata.join(KEPT).join(FIRST_ROOT))?;
    fs::copy(root, metadata.join("root.json"))?;
    Ok(())
}

fn updater(arguments: &Arguments) -> std::result::Result<Updater, Box<dyn StdError>> {
    crypto::install();
    // The repository builds an HTTP client of its own before it takes ours, and that needs a provider to be there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = fs::read(arguments.metadata_dir.join(KEPT).join(FIRST_ROOT))?;
    let client = http::client(&HttpOptions::default())?;
    let mut repository = HttpRepository::new(&arguments.metadata_url)?.with_http_client(client);
    if let Some(url) = &arguments.target_base_url {
        repository = repository.with_targets_base(url)?;
    }
    let store = Store {
        metadata: FileStore::new(&arguments.metadata_dir),
        targets: arguments.target_dir.as_ref().map(FileStore::new),
    };
    Ok(Updater::new(repository, &root)?.with_store(store))
}

/// The cache of the verifier, spread over the folders that the suite looks into.
struct Store {
    metadata: FileStore,
    targets: Option<FileStore>,
}

impl Store {
    fn place(&self, name: &str) -> (&FileStore, String) {
        match (name.strip_prefix("targets/"), &self.targets) {
            (Some(target), Some(targets)) => (targets, one_file(target)),
            _ if name.contains('/') || is_versioned(name) => (&self.metadata, format!("{KEPT}/{name}")),
            _ => (&self.metadata, name.to_owned()),
        }
    }
}

impl MetadataStore for Store {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let (store, name) = self.place(name);
        store.load(&name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (store, name) = self.place(name);
        store.store(&name, bytes)
    }
}

/// `2.snapshot.json` and the like, the only versioned name that the updater keeps: the suite takes every file for a role.
fn is_versioned(name: &str) -> bool {
    let version = name.strip_suffix(".snapshot.json");
    version.is_some_and(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A target's path as the name of one file.
fn one_file(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "programs read the clock, and the suite moves it")]
fn now() -> Timestamp {
    Timestamp::now()
}
