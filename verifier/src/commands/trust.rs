//! `trust`: what is believed, since when, and how long.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use countersign_cli::flags::{OutputFlags, RegistryFlags, TrustFlags};
use countersign_cli::output;
use countersign_cli::progress::Progress;
use countersign_cli::{Exit, Failure, program};
use countersign_verifier::trusted_root::{self, Material, Refresh, TrustCache, TrustSource};

use super::source_flags::OfflineFlag;
use super::verify::failure;
use document::Document;

mod document;
mod export;
mod text;

/// Shows, refreshes and carries the trusted root: the keys that `verify` believes.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    Export(Box<export::ExportArguments>),
    Import(Box<ImportArguments>),
    Show(Box<ShowArguments>),
    Update(Box<UpdateArguments>),
}

/// Shows the trusted root that `verify` would believe now: its source and age, and each authority and log with its key
/// and its window.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    offline: OfflineFlag,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

/// Asks the TUF repository now, whatever the age of the cache, and says which keys came, went, or were retired.
#[derive(Debug, Args)]
pub(crate) struct UpdateArguments {
    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

/// Takes over a copy of the TUF repository, for a machine that cannot reach it.
///
/// The copy is a directory as the repository serves it (a mirror), or a file of `trust export --repository-copy`. It is
/// verified as the repository itself would be: from the TUF root that this program pins (or --tuf-root), unexpired, and
/// in nothing older than what is cached. A copy expires with its metadata: take a newer one over in time, or give each
/// call a file with --trusted-root.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The copy.
    #[arg(value_name = "PATH")]
    copy: PathBuf,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    output: OutputFlags,
}

pub(crate) async fn run(command: TrustCommand) -> Exit {
    match command {
        TrustCommand::Export(arguments) => export::run(*arguments).await,
        TrustCommand::Import(arguments) => import(*arguments).await,
        TrustCommand::Show(arguments) => show(*arguments).await,
        TrustCommand::Update(arguments) => update(*arguments).await,
    }
}

async fn show(arguments: ShowArguments) -> Exit {
    program::log(arguments.output.verbose);
    let answer = async {
        let (source, cache) = chosen(&arguments.trust, &arguments.registry)?;
        let refresh = arguments.offline.refresh();
        let material = trusted_root::load_with(&source, &cache, refresh, program::now()).await;
        Ok(Document::new(&source, &material.map_err(|error| failure(&error))?, program::now()))
    };
    print(answer.await, &arguments.output)
}

async fn update(arguments: UpdateArguments) -> Exit {
    program::log(arguments.output.verbose);
    let progress = Progress::new(arguments.output.quiet);
    let answer = async {
        let (source, cache) = chosen(&arguments.trust, &arguments.registry)?;
        let now = program::now();
        // Nothing at hand is no failure: then everything is new.
        let before = trusted_root::load_with(&source, &cache, Refresh::Never, now).await.ok();
        progress.say("asking the TUF repository");
        let after = match &source {
            TrustSource::File(_) | TrustSource::EmbeddedPublicGood => Err(countersign_verifier::Error::NoRepository),
            _ => trusted_root::load_with(&source, &cache, Refresh::Always, now).await,
        };
        progress.finish();
        let after = after.map_err(|error| failure(&error))?;
        kept(&source, &cache, &after, now).await?;
        Ok(Document::new(&source, &after, now).with_changes(before.as_ref(), &after))
    };
    print(answer.await, &arguments.output)
}

/// Fails unless what the repository answered can be used without it from now on: that is what people refresh for.
async fn kept(
    source: &TrustSource,
    cache: &TrustCache,
    answered: &Material,
    now: jiff::Timestamp,
) -> Result<(), Failure> {
    let Some(folder) = &cache.folder else {
        return Err(Failure::usage(
            "no-cache-folder",
            "the repository answered, and there is no folder to keep that in",
            Some("name one with --cache-dir, or set HOME".into()),
        ));
    };
    let refreshed = |material: &Material| material.repository.as_ref().and_then(|state| state.refreshed);
    let read = trusted_root::load_with(source, cache, Refresh::Never, now).await;
    // Another process may have asked even later.
    match read {
        Ok(read) if refreshed(&read) >= refreshed(answered) => Ok(()),
        _ => {
            let cause = std::io::Error::other("what the repository answered could not be kept");
            Err(failure(&countersign_verifier::Error::Cache { path: folder.display().to_string(), cause }))
        }
    }
}

async fn import(arguments: ImportArguments) -> Exit {
    program::log(arguments.output.verbose);
    let answer = async {
        let source = named(&arguments.trust)?;
        let cache = TrustCache { folder: arguments.trust.cache_folder(), http: quiet_client()? };
        let now = program::now();
        let before = trusted_root::load_with(&source, &cache, Refresh::Never, now).await.ok();
        let imported = trusted_root::import(&source, &cache, &arguments.copy, now).await;
        let imported: Material = imported.map_err(|error| failure(&error))?;
        Ok(Document::new(&source, &imported, now).with_changes(before.as_ref(), &imported))
    };
    print(answer.await, &arguments.output)
}

/// The source that the flags name, and the cache that goes with it.
fn chosen(trust: &TrustFlags, registry: &RegistryFlags) -> Result<(TrustSource, TrustCache), Failure> {
    Ok((named(trust)?, TrustCache { folder: trust.cache_folder(), http: registry.service_client()? }))
}

fn named(trust: &TrustFlags) -> Result<TrustSource, Failure> {
    Ok(trust.choice()?.unwrap_or_default().into())
}

/// A client that is never used: what is imported is read from files.
fn quiet_client() -> Result<reqwest::Client, Failure> {
    let client = countersign_oci::http::client(&countersign_oci::http::HttpOptions::default());
    client.map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), None))
}

fn print(answer: Result<Document, Failure>, flags: &OutputFlags) -> Exit {
    let document = match answer {
        Ok(document) => document,
        Err(failure) => {
            output::failure(&failure, flags.output);
            return failure.exit;
        }
    };
    let written = match flags.output {
        output::OutputFormat::Json => output::json(&document),
        output::OutputFormat::Text => output::text(&text::of(&document)),
    };
    match written {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Undecided,
    }
}
