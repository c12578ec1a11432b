use std::time::Duration;

use jiff::SignedDuration;
use toml::{Table, Value};

/// Bytes of a dump: containerd's defaults have some 9 KB.
pub const DUMP_BYTES: u64 = 1 << 20;

const BINDIR: &str = "io.containerd.image-verifier.v1.bindir";
const IMAGES: &str = "io.containerd.cri.v1.images";
const RUNTIME: &str = "io.containerd.cri.v1.runtime";
pub(super) const TRANSFER: &str = "io.containerd.transfer.v1.local";
const VERIFIERS: &str = "io.containerd.image-verifier.v1.";

/// The configuration of a containerd, as `containerd config dump` prints it.
#[derive(Debug, Clone)]
pub struct Dump(Table);

/// Why text is not such a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// It is TOML, and not of a containerd.
    #[error("this is not what `containerd config dump` prints: it has no `plugins`")]
    NoPlugins,
    /// It has more bytes than such a text has.
    #[error("the dump has more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It is not TOML.
    #[error("the dump is not TOML: {detail}")]
    Toml {
        /// What is wrong with it.
        detail: String,
    },
}

impl Dump {
    /// Reads what `containerd config dump` printed.
    pub fn parse(text: &str) -> Result<Self, DumpError> {
        if text.len() as u64 > DUMP_BYTES {
            return Err(DumpError::TooLarge { limit: DUMP_BYTES });
        }
        let table: Table =
            toml::from_str(text).map_err(|error| DumpError::Toml { detail: error.message().to_owned() })?;
        match table.get("plugins") {
            Some(Value::Table(_)) => Ok(Self(table)),
            _ => Err(DumpError::NoPlugins),
        }
    }

    /// Whether it has what containerd writes into every dump. A file that a person wrote has no defaults, so nothing that is absent
    /// there is absent from the node.
    #[must_use]
    pub fn has_defaults(&self) -> bool {
        ["root", "state", "disabled_plugins"].iter().all(|key| self.0.contains_key(*key))
    }

    /// Returns the folder whose programs are asked, as it is written.
    #[must_use]
    pub fn bin_dir(&self) -> Option<&str> {
        self.plugin(BINDIR)?.get("bin_dir")?.as_str()
    }

    /// Whether the configuration has the plugin that a kubelet pulls with.
    #[must_use]
    pub fn has_cri(&self) -> bool {
        self.plugin(IMAGES).is_some()
    }

    pub(super) fn has_verifier(&self) -> bool {
        self.plugin(BINDIR).is_some()
    }

    pub(super) fn has_transfer(&self) -> bool {
        self.plugin(TRANSFER).is_some()
    }

    pub(super) fn config_version(&self) -> Option<i64> {
        self.0.get("version")?.as_integer()
    }

    pub(super) fn disables(&self, plugin: &str) -> bool {
        let listed = self.0.get("disabled_plugins").and_then(Value::as_array);
        listed.is_some_and(|listed| listed.iter().any(|value| value.as_str() == Some(plugin)))
    }

    pub(super) fn disables_verifier(&self) -> bool {
        self.disables(BINDIR)
    }

    /// Names of verifier plugins that no containerd has.
    pub(super) fn unknown_verifiers(&self) -> impl Iterator<Item = &str> {
        let plugins = self.0.get("plugins").and_then(Value::as_table);
        let names = plugins.into_iter().flat_map(|plugins| plugins.keys());
        names.map(String::as_str).filter(|name| name.starts_with(VERIFIERS) && *name != BINDIR)
    }

    pub(super) fn max_verifiers(&self) -> Option<i64> {
        self.plugin(BINDIR)?.get("max_verifiers")?.as_integer()
    }

    /// The time for one verifier, and how it is written. An integer in the file is nanoseconds, and is printed as such.
    pub(super) fn verifier_timeout(&self) -> Option<(String, Option<Duration>)> {
        let value = self.plugin(BINDIR)?.get("per_verifier_timeout")?;
        let number = || value.as_integer().map(|number| number.to_string()).unwrap_or_default();
        let text = value.as_str().map_or_else(number, ToOwned::to_owned);
        let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
        Some((text, parsed))
    }

    /// A value of the CRI plugin that is `true` or `false`.
    pub(super) fn image_flag(&self, key: &str) -> Option<bool> {
        self.plugin(IMAGES)?.get(key)?.as_bool()
    }

    pub(super) fn image_number(&self, key: &str) -> Option<i64> {
        self.plugin(IMAGES)?.get(key)?.as_integer()
    }

    /// How many entries a table below the CRI plugin's `registry` has.
    pub(super) fn registry_entries(&self, key: &str) -> usize {
        let registry = self.plugin(IMAGES).and_then(|images| images.get("registry"));
        match registry.and_then(|registry| registry.get(key)) {
            Some(Value::Table(table)) => table.len(),
            Some(_) => 1,
            None => 0,
        }
    }

    pub(super) fn registry_config_path(&self) -> Option<&str> {
        let path = self.plugin(IMAGES)?.get("registry")?.get("config_path")?.as_str()?;
        (!path.is_empty()).then_some(path)
    }

    pub(super) fn pause_image(&self) -> Option<&str> {
        self.plugin(IMAGES)?.get("pinned_images")?.get("sandbox")?.as_str()
    }

    /// Every snapshotter that a kubelet's images are unpacked into.
    pub(super) fn snapshotters(&self) -> Vec<&str> {
        let of_images = self.plugin(IMAGES).and_then(|images| images.get("snapshotter")).and_then(Value::as_str);
        let runtimes = self.plugin(RUNTIME).and_then(|runtime| runtime.get("containerd")?.get("runtimes")?.as_table());
        let of_runtimes = runtimes.into_iter().flat_map(|runtimes| runtimes.values());
        let of_runtimes = of_runtimes.filter_map(|runtime| runtime.get("snapshotter")?.as_str());
        let mut all: Vec<&str> = of_images.into_iter().chain(of_runtimes).filter(|name| !name.is_empty()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The snapshotters that the transfer plugin unpacks into, where that is written down.
    pub(super) fn unpacked(&self) -> Option<Vec<&str>> {
        let configured = self.plugin(TRANSFER)?.get("unpack_config")?.as_array()?;
        let names = configured.iter().filter_map(|entry| entry.get("snapshotter")?.as_str());
        (!configured.is_empty()).then(|| names.collect())
    }

    fn plugin(&self, name: &str) -> Option<&Table> {
        self.0.get("plugins")?.as_table()?.get(name)?.as_table()
    }
}
