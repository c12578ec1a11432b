//! The galleries of a call: config, indexes, backends path.

use std::path::{Path, PathBuf};

use clap::Args;
use countersign_cli::flags::{self, RegistryFlags};
use countersign_cli::{Failure, output};
use countersign_gallery::catalogue::Catalogue;
use countersign_gallery::config::{Config, ConfigError};
use countersign_gallery::index;
use countersign_gallery::store::Store;
use countersign_oci::http::PlainHttp;
use countersign_oci::{Class, limits};

/// Where backends come from, and where they go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Galleries")]
pub(crate) struct GalleryFlags {
    /// The gallery config (YAML or JSON), or the document itself where it begins with a bracket.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_GALLERIES")]
    galleries: Option<String>,

    /// Where backends are installed.
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_BACKENDS_PATH", default_value = "backends")]
    backends_path: PathBuf,
}

/// A config, and the folder that relative paths in it begin at.
pub(crate) struct LoadedConfig {
    pub(crate) config: Config,
    pub(crate) folder: Option<PathBuf>,
}

impl GalleryFlags {
    /// The backends path.
    pub(crate) fn store(&self) -> Store {
        Store::new(&self.backends_path)
    }

    /// Reads the config. Without one there is nothing to do for the `purpose` that completes this sentence.
    pub(crate) fn load(&self, registry: &RegistryFlags, purpose: &str) -> Result<LoadedConfig, Failure> {
        let Some(galleries) = self.galleries.as_deref().filter(|text| !text.is_empty()) else {
            let hint = "give --galleries FILE, or set COUNTERSIGN_GALLERIES".to_owned();
            let message = format!("no gallery config: there is nothing to {purpose}");
            return Err(Failure::usage("no-galleries", message, Some(hint)));
        };
        let (mut config, folder) = if galleries.trim_start().starts_with('[') {
            (Config::from_yaml("COUNTERSIGN_GALLERIES", galleries), None)
        } else {
            let path = Path::new(galleries);
            let bytes = flags::read_file("gallery-config", path, limits::CONFIG_BYTES)?;
            let text = String::from_utf8(bytes).map_err(|_| {
                Failure::usage("gallery-config-malformed", format!("the gallery config {galleries} is not utf-8"), None)
            })?;
            let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
            (Config::from_yaml(galleries, &text).map(|config| config.relative_to(&folder)), Some(folder))
        };
        if let Ok(config) = &mut config {
            for (host, address) in registry.registry_map.iter().filter_map(|mapping| mapping.split_once('=')) {
                config.map_host(host, address);
            }
        }
        match config {
            Ok(config) => Ok(LoadedConfig { config, folder }),
            Err(error) => Err(config_failure(&error)),
        }
    }
}

/// Fetches the index of every gallery, and logs what was left out of each.
pub(crate) async fn catalogue<'a>(config: &'a Config, registry: &RegistryFlags) -> Result<Catalogue<'a>, Failure> {
    let client = registry.service_client()?;
    let plain_http = if registry.allow_http_registry { PlainHttp::Any } else { PlainHttp::LoopbackOnly };
    let mut shelves = Vec::new();
    for gallery in config.galleries() {
        let fetched = index::fetch(gallery, &client, plain_http).await;
        for skipped in fetched.iter().flat_map(|fetched| fetched.index.skipped()) {
            let (name, position) = (&gallery.name, skipped.position);
            tracing::info!(gallery = %name, position, reason = %skipped.reason, "an entry is left out");
        }
        shelves.push((gallery, fetched));
    }
    Ok(Catalogue::new(shelves))
}

/// Prints a failure that does not end the program to standard error.
pub(crate) fn warn(failure: &Failure) {
    output::note(&format!("warning: {}", failure.message));
    output::note_lines(failure.lines().get(1..).unwrap_or_default());
}

fn config_failure(error: &ConfigError) -> Failure {
    Failure::new(error, error.code(), Class::Usage, false, error.hint())
}
