//! Where evidence comes from when it is no registry, and whether anybody is asked for the trusted root.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use countersign_cli::Failure;
use countersign_oci::{Layout, Registry};
use countersign_verifier::Source;
use countersign_verifier::trusted_root::Refresh;

/// A directory in a registry's place.
#[derive(Debug, Args)]
pub(crate) struct LayoutFlag {
    /// Reads the image and what refers to it in this OCI image layout, a directory, and asks no registry. REF stays
    /// what is asked for: a tag is one that the layout's index.json names.
    #[arg(long, value_name = "DIR", help_heading = "Evidence")]
    layout: Option<PathBuf>,
}

impl LayoutFlag {
    /// Opens the layout that was named.
    pub(crate) fn open(&self) -> Result<Option<Layout>, Failure> {
        let opened = self.layout.as_deref().map(Layout::open).transpose();
        opened.map_err(|error| Failure::new(&error, error.code(), error.class(), false, error.hint()))
    }
}

/// What evidence is read from: the layout where there is one.
pub(crate) fn source<'a>(layout: Option<&'a Layout>, registry: &'a Registry) -> Source<'a> {
    match layout {
        Some(layout) => layout.into(),
        None => registry.into(),
    }
}

/// Whether a TUF repository may be asked.
#[derive(Debug, Args)]
pub(crate) struct OfflineFlag {
    /// Makes no connection but the registry's, and none at all with --bundle or --layout: the trusted root comes from
    /// the cache while its metadata has not expired (`trust update`, `trust import`), from --trusted-root, or from
    /// the copy inside this program (--trust embedded).
    #[arg(long, env = "COUNTERSIGN_OFFLINE", value_parser = BoolishValueParser::new(), help_heading = "Trusted root")]
    offline: bool,
}

impl OfflineFlag {
    /// Returns when the repository of the trusted root is asked.
    pub(crate) fn refresh(&self) -> Refresh {
        match self.offline {
            true => Refresh::Never,
            false => Refresh::default(),
        }
    }
}
