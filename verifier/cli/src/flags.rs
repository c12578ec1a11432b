//! Flags that mean the same in every binary, and how they become settings.
//!
//! This is the one place that reads the environment: `COUNTERSIGN_*` for our flags, the variables of docker, containers
//! tools and proxies as their owners define them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use countersign_oci::http;
use countersign_oci::{Class, ImageReference, Repository};

use crate::failure::Failure;
use crate::output::{OutputFormat, ReportFormat};

mod environment;
mod files;
mod helper;
mod registry;

/// How the result is written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputFlags {
    /// How the result is written: text, or one JSON document, for failures too.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    pub output: OutputFormat,

    /// Shows no progress.
    #[arg(short, long)]
    pub quiet: bool,

    /// Logs more to standard error: -v what is done, -vv details, -vvv everything.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How the result is written, where jobs read it too.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct ReportFlags {
    /// How the result is written: text, one JSON document, one SARIF log, or what a GitHub Actions job shows.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    pub output: ReportFormat,

    /// Shows no progress.
    #[arg(short, long)]
    pub quiet: bool,

    /// Logs more to standard error: -v what is done, -vv details, -vvv everything.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Which trusted root is believed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Trusted root")]
pub struct TrustFlags {
    /// The trusted root, from a file.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_TRUSTED_ROOT", conflicts_with_all = ["tuf_root", "tuf_url", "trust"])]
    pub trusted_root: Option<PathBuf>,

    /// The address of a TUF repository that has the trusted root.
    #[arg(long, value_name = "URL", env = "COUNTERSIGN_TUF_URL", requires = "tuf_root", conflicts_with = "trust")]
    pub tuf_url: Option<String>,

    /// The TUF root (root.json) that trust in that repository begins with.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_TUF_ROOT", requires = "tuf_url", conflicts_with = "trust")]
    pub tuf_root: Option<PathBuf>,

    /// The public-good root, from its TUF repository (the default) or the copy inside this program.
    #[arg(long, value_enum, env = "COUNTERSIGN_TRUST")]
    pub trust: Option<KnownTrust>,

    /// Where TUF metadata is kept between runs.
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
}

/// A trusted root that needs no further words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KnownTrust {
    /// The public-good copy inside this program: it does not learn of rotated keys.
    Embedded,
    /// The public-good TUF repository.
    PublicGood,
}

/// The trusted root that was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TrustChoice {
    /// The public-good copy inside this program.
    Embedded,
    /// A file.
    File(PathBuf),
    /// The public-good TUF repository.
    #[default]
    PublicGood,
    /// Another TUF repository, and the file with its TUF root.
    Tuf {
        /// Its address.
        url: String,
        /// Its TUF root.
        root: PathBuf,
    },
}

impl TrustFlags {
    /// Returns the trusted root that the flags name, where they name one.
    pub fn choice(&self) -> Result<Option<TrustChoice>, Failure> {
        if let Some(path) = &self.trusted_root {
            return Ok(Some(TrustChoice::File(path.clone())));
        }
        if let (Some(url), Some(root)) = (&self.tuf_url, &self.tuf_root) {
            check_tuf_url(url)?;
            return Ok(Some(TrustChoice::Tuf { url: url.clone(), root: root.clone() }));
        }
        Ok(self.trust.map(|known| match known {
            KnownTrust::Embedded => TrustChoice::Embedded,
            KnownTrust::PublicGood => TrustChoice::PublicGood,
        }))
    }

    /// Returns the folder that caches lie in: the flag's, else the user's. Nothing without either.
    #[must_use]
    pub fn cache_folder(&self) -> Option<PathBuf> {
        self.cache_dir.clone().or_else(environment::cache_folder)
    }
}

/// TUF metadata is signed, so plain http would be safe from forgery but not from being watched or frozen.
fn check_tuf_url(url: &str) -> Result<(), Failure> {
    let plain_host = url.strip_prefix("http://").map(host_of);
    let fine = url.starts_with("https://") || plain_host.is_some_and(http::is_loopback_host);
    if fine {
        return Ok(());
    }
    let hint = "write https://..., or http:// with a loopback address".to_owned();
    Err(Failure::usage("malformed-flag", format!("--tuf-url {url}: no https address"), Some(hint)))
}

fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

pub use registry::{RegistryFlags, service_client};

pub(crate) use environment::{is_empty_variable, output_variable_asks_for_json};

/// Reads what a person typed as a reference. `--output json` and text say the same of a mistake.
pub fn reference(text: &str) -> Result<ImageReference, Failure> {
    text.parse::<ImageReference>().map_err(|error| {
        let hint = match text {
            _ if text.contains("://") => "leave out the scheme: a reference begins with the registry's host",
            _ if text.split(['@', ':']).next().is_some_and(|name| name.chars().any(char::is_uppercase)) => {
                "names of repositories are lower case"
            }
            _ if text.contains('@') => "a digest is sha256: and 64 hexadecimal digits in lower case",
            _ => "a reference is REPOSITORY[:TAG][@sha256:HEX]",
        };
        let message = format!("{text:?} is not a reference");
        let mut failure = Failure::new(&error, "malformed-reference", Class::Usage, false, Some(hint.to_owned()));
        failure.causes.insert(0, std::mem::replace(&mut failure.message, message));
        failure
    })
}

/// Reads the name of a repository.
pub fn repository(text: &str) -> Result<Repository, Failure> {
    text.parse::<Repository>().map_err(|error| {
        let hint = "a repository is HOST/PATH, without a tag or digest".to_owned();
        let mut failure = Failure::new(&error, "malformed-repository", Class::Usage, false, Some(hint));
        failure.causes.insert(0, std::mem::replace(&mut failure.message, format!("{text:?} is not a repository")));
        failure
    })
}

/// Reads the credentials of a docker `config.json`, with the helpers that it names. A file that is not there has none.
pub fn credentials_file(path: &Path) -> Result<countersign_oci::Credentials, Failure> {
    files::credentials(path)
}

/// Reads a file that the operator named, up to a bound.
pub fn read_file(what: &str, path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    files::read_bounded(what, path, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_reference_is_explained_by_what_is_wrong_with_it() {
        for (text, word) in [
            ("https://ghcr.io/octo/app:v1", "scheme"),
            ("ghcr.io/Octo/app:v1", "lower case"),
            ("ghcr.io/octo/app@sha256:123", "64 hexadecimal"),
            ("ghcr.io/octo/app:", "REPOSITORY"),
        ] {
            let failure = reference(text).unwrap_err();
            assert!(failure.hint.as_deref().is_some_and(|hint| hint.contains(word)), "{text}: {:?}", failure.hint);
            assert!(failure.message.contains(text), "{}", failure.message);
        }
        assert!(reference("ghcr.io/octo/app:v1").is_ok());
    }

    #[test]
    fn a_tuf_repository_is_reached_over_https_or_on_loopback() {
        for fine in ["https://tuf.example", "http://127.0.0.1:80/x", "http://localhost:1", "http://[::1]:80/"] {
            assert!(check_tuf_url(fine).is_ok(), "{fine}");
        }
        for refused in
            ["http://tuf.example", "ftp://127.0.0.1", "tuf.example", "http://127.0.0.1.example/", "http://a@127.0.0.1/"]
        {
            assert!(check_tuf_url(refused).is_err(), "{refused}");
        }
    }
}
