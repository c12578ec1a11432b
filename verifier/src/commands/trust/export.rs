//! `trust export`: for an archive, or for a machine that cannot reach the repository.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::flags::{OutputFlags, RegistryFlags, TrustFlags};
use countersign_cli::{Exit, Failure, program};
use countersign_oci::Class;
use countersign_verifier::trusted_root::{self, Material, Refresh, TrustCache, TrustSource};

use super::document::Document;
use super::{chosen, print};
use crate::commands::source_flags::OfflineFlag;
use crate::commands::verify::failure;

/// Writes the trusted root to a file: an archive keeps it beside its bundles, and verifies them with --trusted-root
/// years later, when certificates have expired and keys were rotated.
///
/// With --repository-copy it writes what `trust import` takes over: a copy that is verified from its TUF root, and
/// expires with its metadata.
#[derive(Debug, Args)]
#[group(id = "written", multiple = true, required = true, args = ["out", "signing_config", "repository_copy"])]
pub(crate) struct ExportArguments {
    /// Where the trusted root is written (trusted_root.json).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Where the signing config beside it is written: which services sign under this root.
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,

    /// Where a copy of the TUF repository is written, for `trust import`.
    #[arg(long, value_name = "FILE")]
    repository_copy: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustFlags,

    #[command(flatten)]
    offline: OfflineFlag,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

pub(super) async fn run(arguments: ExportArguments) -> Exit {
    program::log(arguments.output.verbose);
    print(export(&arguments).await, &arguments.output)
}

async fn export(arguments: &ExportArguments) -> Result<Document, Failure> {
    let (source, cache) = chosen(&arguments.trust, &arguments.registry)?;
    let (now, refresh) = (program::now(), arguments.offline.refresh());
    let material = material(arguments, &source, &cache, refresh).await?;
    let mut document = Document::new(&source, &material, now);
    let mut write = |path: &Path, bytes: &[u8]| {
        replace(path, bytes)?;
        document.written.push(path.display().to_string());
        Ok::<(), Failure>(())
    };
    if let Some(path) = &arguments.out {
        write(path, material.trusted_root.json().as_bytes())?;
    }
    if let Some(path) = &arguments.signing_config {
        let Some(text) = &material.signing_config else {
            let message =
                format!("there is no signing config beside the trusted root from {}", material.trusted_root.origin());
            return Err(Failure::usage("no-signing-config", message, None));
        };
        write(path, text.as_bytes())?;
    }
    if let Some(path) = &arguments.repository_copy {
        // What was just read is cached: nobody is asked again, so that all files are of one state.
        let copy = trusted_root::repository_copy(&source, &cache, Refresh::Never, now).await;
        write(path, &copy.map_err(|error| failure(&error))?)?;
    }
    Ok(document)
}

async fn material(
    arguments: &ExportArguments,
    source: &TrustSource,
    cache: &TrustCache,
    refresh: Refresh,
) -> Result<Material, Failure> {
    let with_signing_config = arguments.signing_config.is_some() || arguments.repository_copy.is_some();
    let material = match with_signing_config {
        true => trusted_root::load_material_with(source, cache, refresh, program::now()).await,
        false => trusted_root::load_with(source, cache, refresh, program::now()).await,
    };
    material.map_err(|error| failure(&error))
}

/// Written beside and renamed: a reader sees the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".partial");
    let written = fs::write(&staged, bytes).and_then(|()| fs::rename(&staged, path));
    written.map_err(|cause| {
        let _ = fs::remove_file(&staged);
        let mut failure = Failure::new(&cause, "output-unwritable", Class::Usage, false, None);
        failure.causes.insert(0, std::mem::replace(&mut failure.message, format!("cannot write {}", path.display())));
        failure
    })
}
