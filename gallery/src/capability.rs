//! Which concrete entry a meta entry stands for on this machine, as an explicit table.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::name::EntryName;

/// What this machine can run: `default`, `nvidia-cuda-12`, `metal`, ...
///
/// The words are the index's own. A word that no index uses selects nothing by itself; [`select`] then falls back to
/// `default` and `cpu`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Capability(String);

/// A text is not a capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("capability {text:?} is not 1 to 64 of a-z, 0-9 and '-'")]
pub struct CapabilityError {
    text: String,
}

/// The entry chosen for a capability, and the key that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The key of the meta entry's table that matched.
    pub key: &'a str,
    /// The concrete entry under that key.
    pub entry: &'a EntryName,
}

/// What was seen of the machine, read at the edge and judged by [`detect`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// The operating system, as OCI platforms spell it.
    pub os: String,
    /// The architecture, as OCI platforms spell it.
    pub architecture: String,
    /// Whether an NVIDIA driver is loaded.
    pub nvidia: bool,
    /// Whether an AMD compute device is present.
    pub amd: bool,
    /// Whether an Intel graphics device is present.
    pub intel: bool,
    /// The highest major version of CUDA found under the usual folders.
    pub cuda: Option<u32>,
}

/// Returns the entry for a capability: the exact key, else `default`, else `cpu`; nothing else.
///
/// A capability never falls back to a shorter one (`nvidia-cuda-13` does not become `nvidia`): the builds differ, and
/// the person would not learn that the wrong one was installed.
#[must_use]
pub fn select<'a>(table: &'a BTreeMap<String, EntryName>, capability: &Capability) -> Option<Choice<'a>> {
    [capability.as_str(), DEFAULT, CPU]
        .into_iter()
        .find_map(|wanted| table.get_key_value(wanted))
        .map(|(key, entry)| Choice { key, entry })
}

/// Returns the capability of a machine.
#[must_use]
pub fn detect(machine: &Machine) -> Capability {
    let word = match (machine.os.as_str(), machine.architecture.as_str()) {
        ("darwin", "arm64") => "metal",
        ("darwin", _) => "darwin-x86",
        ("linux", "arm64") if machine.nvidia => match machine.cuda {
            Some(13) => "nvidia-l4t-cuda-13",
            Some(12) => "nvidia-l4t-cuda-12",
            _ => "nvidia-l4t",
        },
        _ if machine.nvidia => match machine.cuda {
            Some(13) => "nvidia-cuda-13",
            Some(12) => "nvidia-cuda-12",
            _ => "nvidia",
        },
        _ if machine.amd => "amd",
        _ if machine.intel => "intel",
        _ => DEFAULT,
    };
    Capability(word.to_owned())
}

impl Capability {
    /// The capability as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(CapabilityError { text: text.to_owned() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const DEFAULT: &str = "default";
const CPU: &str = "cpu";

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[(&str, &str)]) -> BTreeMap<String, EntryName> {
        pairs.iter().map(|(key, entry)| ((*key).to_owned(), entry.parse().unwrap())).collect()
    }

    #[test]
    fn the_exact_key_comes_before_default_and_default_before_cpu() {
        let all = table(&[("nvidia", "n"), ("default", "d"), ("cpu", "c")]);
        let chosen = |table: &BTreeMap<_, _>, capability: &str| {
            select(table, &capability.parse().unwrap()).map(|choice| (choice.key.to_owned(), choice.entry.to_string()))
        };
        assert_eq!(chosen(&all, "nvidia"), Some(("nvidia".into(), "n".into())));
        assert_eq!(chosen(&all, "amd"), Some(("default".into(), "d".into())));
        assert_eq!(chosen(&table(&[("cpu", "c"), ("metal", "m")]), "amd"), Some(("cpu".into(), "c".into())));
        assert_eq!(chosen(&table(&[("metal", "m")]), "amd"), None);
    }

    #[test]
    fn a_capability_never_falls_back_to_a_shorter_one() {
        assert_eq!(select(&table(&[("nvidia", "n")]), &"nvidia-cuda-13".parse().unwrap()), None);
    }

    #[test]
    fn machines_are_named_as_the_index_names_them() {
        let machine = |os: &str, architecture: &str| Machine {
            os: os.into(),
            architecture: architecture.into(),
            ..Machine::default()
        };
        let linux = machine("linux", "amd64");
        for (machine, capability) in [
            (machine("darwin", "arm64"), "metal"),
            (machine("darwin", "amd64"), "darwin-x86"),
            (linux.clone(), "default"),
            (Machine { nvidia: true, ..linux.clone() }, "nvidia"),
            (Machine { nvidia: true, cuda: Some(12), ..linux.clone() }, "nvidia-cuda-12"),
            (Machine { nvidia: true, cuda: Some(13), ..linux.clone() }, "nvidia-cuda-13"),
            (Machine { nvidia: true, cuda: Some(13), ..machine("linux", "arm64") }, "nvidia-l4t-cuda-13"),
            (Machine { cuda: Some(13), ..linux.clone() }, "default"),
            (Machine { amd: true, ..linux.clone() }, "amd"),
            (Machine { intel: true, ..linux }, "intel"),
        ] {
            assert_eq!(detect(&machine).as_str(), capability, "{machine:?}");
        }
    }

    #[test]
    fn a_capability_with_other_characters_is_refused() {
        for text in ["", "CPU", "a b", "a/b", &"a".repeat(65)] {
            assert!(text.parse::<Capability>().is_err(), "{text:?}");
        }
    }
}
