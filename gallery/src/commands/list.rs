//! `list`: what there is to install, and what is installed.

use clap::Args;
use countersign_cli::flags::{OutputFlags, RegistryFlags};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure, program};
use countersign_gallery::catalogue::{Catalogue, Shelf};
use countersign_gallery::index::{Entry, EntryKind, Skipped};
use countersign_gallery::name::{EntryName, GalleryName};
use countersign_gallery::store::{Listed, State, Store};
use countersign_oci::Class;
use serde::Serialize;

use super::galleries::{self, GalleryFlags, warn};
use super::recovery;

/// Lists the entries of the galleries, and the backends that are installed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArguments {
    /// Lists installed backends only; no gallery is asked.
    #[arg(long)]
    installed: bool,

    #[command(flatten)]
    galleries: GalleryFlags,

    #[command(flatten)]
    registry: RegistryFlags,

    #[command(flatten)]
    output: OutputFlags,
}

const EXAMPLES: &str = "\
Examples:
  countersign-gallery list --galleries galleries.yaml
  countersign-gallery list --installed --backends-path /var/lib/backends --output json

Exit codes: 0 done, 1 a bug, 2 usage or configuration, 4 a gallery or backend could not be read.";

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    entries: Vec<Row>,
    /// Entries of the indexes that cannot be used.
    skipped: Vec<SkippedRow>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct SkippedRow {
    gallery: String,
    /// Its place in the index, from 0.
    position: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<EntryName>,
    reason: String,
}

#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    gallery: Option<String>,
    name: EntryName,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    installed: bool,
    /// Whether its receipt shows a verification; absent for what is not installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
}

pub(crate) async fn run(arguments: ListArguments) -> Exit {
    program::log(arguments.output.verbose);
    let format = arguments.output.output;
    match arguments.collect().await {
        Ok(document) => print(&document, format),
        Err(failure) => {
            output::failure(&failure, format);
            failure.exit
        }
    }
}

impl ListArguments {
    async fn collect(&self) -> Result<Document, Failure> {
        let store = self.galleries.store();
        recovery::recover(&store);
        let mut document = Document {
            schema: "countersign.dev/list/v1",
            entries: Vec::new(),
            skipped: Vec::new(),
            failures: Vec::new(),
        };
        if self.installed {
            document.add_installed(&store)?;
            return Ok(document);
        }
        let loaded = self.galleries.load(&self.registry, "list")?;
        let catalogue = galleries::catalogue(&loaded.config, &self.registry).await?;
        document.add_galleries(&catalogue, &store);
        Ok(document)
    }
}

impl Document {
    fn add_installed(&mut self, store: &Store) -> Result<(), Failure> {
        let list = store.list().map_err(|error| Failure::new(&error, "disk", Class::Unreachable, true, None))?;
        for Listed { name, state, .. } in list {
            match state {
                Ok(state @ (State::Backend(_) | State::Meta { .. })) => {
                    self.entries.push(Row::installed(name, &state));
                }
                Ok(_) => {}
                Err(error) => self.failures.push(Failure::new(&error, "disk", Class::Unreachable, true, None)),
            }
        }
        Ok(())
    }

    fn add_galleries(&mut self, catalogue: &Catalogue<'_>, store: &Store) {
        for Shelf { gallery, index, .. } in catalogue.shelves() {
            match index {
                Ok(fetched) => {
                    self.entries
                        .extend(fetched.index.entries().map(|entry| Row::of(gallery.name.to_string(), entry, store)));
                    self.skipped.extend(fetched.index.skipped().iter().map(|it| SkippedRow::of(&gallery.name, it)));
                }
                Err(error) => {
                    let retryable = matches!(error.class(), Class::Unreachable | Class::Throttled);
                    self.failures.push(Failure::new(error, error.code(), error.class(), retryable, None));
                }
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.entries {
            let mark = if row.installed { '*' } else { '-' };
            let gallery = row.gallery.as_ref().map(|gallery| format!("{gallery}@")).unwrap_or_default();
            let version = row.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            let state = match row.verified {
                Some(true) => " (installed, verified)",
                Some(false) => " (installed, not verified)",
                None if row.installed => " (installed)",
                None => "",
            };
            text.push_str(&format!(" {mark} {gallery}{}{version}{state}\n", row.name));
        }
        text
    }
}

impl SkippedRow {
    fn of(gallery: &GalleryName, skipped: &Skipped) -> Self {
        Self {
            gallery: gallery.to_string(),
            position: skipped.position,
            name: skipped.name.clone(),
            reason: skipped.reason.to_string(),
        }
    }
}

impl Row {
    fn of(gallery: String, entry: &Entry, store: &Store) -> Self {
        let kind = match entry.kind {
            EntryKind::Meta { .. } => "meta",
            _ => "concrete",
        };
        let row = match store.state(&entry.name) {
            Ok(state @ (State::Backend(_) | State::Meta { .. })) => Self::installed(entry.name.clone(), &state),
            _ => {
                Self { gallery: None, name: entry.name.clone(), kind, version: None, installed: false, verified: None }
            }
        };
        Self { gallery: Some(gallery), kind, version: entry.version.clone(), ..row }
    }

    fn installed(name: EntryName, state: &State) -> Self {
        let (kind, version, verified) = match state {
            State::Backend(installed) => {
                let verified = installed.receipt.as_ref().is_some_and(|receipt| receipt.verification.is_some());
                ("concrete", installed.metadata.version.clone(), Some(verified))
            }
            _ => ("meta", None, None),
        };
        Self { gallery: None, name, kind, version, installed: true, verified }
    }
}

fn print(document: &Document, format: OutputFormat) -> Exit {
    let printed = match format {
        OutputFormat::Json => output::json(document),
        OutputFormat::Text => output::text(&document.text()),
    };
    let mut exit = if printed.is_ok() { Exit::Done } else { Exit::Undecided };
    match document.skipped.len() {
        0 => {}
        1 => output::note("note: 1 entry cannot be used and is left out; --output json says why"),
        number => {
            output::note(&format!("note: {number} entries cannot be used and are left out; --output json says why"))
        }
    }
    for failure in &document.failures {
        warn(failure);
        exit = exit.and(failure.exit);
    }
    exit
}
