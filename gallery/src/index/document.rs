//! The index document, in LocalAI's schema as it is in the wild.

use std::collections::BTreeMap;
use std::fmt;

use countersign_oci::limits::{GALLERY_INDEX_BYTES, GALLERY_INDEX_ENTRIES};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::limits;
use crate::name::{EntryName, NameError};

/// The entries of one gallery that can be named.
#[derive(Clone, Debug, Default)]
pub struct Index {
    entries: BTreeMap<EntryName, Entry>,
    skipped: Vec<Skipped>,
}

/// One entry. Nothing in it is trusted: a policy is never read from an index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// The name under which programs know the backend.
    pub alias: Option<EntryName>,
    /// Its version, if it states one.
    pub version: Option<String>,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// Something to install.
    Concrete {
        /// Where it is.
        uri: String,
        /// Other places of the same bytes.
        mirrors: Vec<String>,
    },
    /// A name for one concrete entry or another, by capability.
    Meta {
        /// The concrete entry for each capability.
        capabilities: BTreeMap<String, EntryName>,
    },
}

/// An entry that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its place in the list, from 0.
    pub position: usize,
    /// Its name, where it has one that can be one.
    pub name: Option<EntryName>,
    /// Why it was left out.
    pub reason: SkippedReason,
}

/// Why an entry was left out, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkippedReason {
    /// Its alias is unsafe.
    #[error("its alias is refused: {0}")]
    Alias(NameError),
    /// An entry before it has the same name.
    #[error("an entry before it has the same name")]
    Duplicate,
    /// It has neither a URI nor capabilities.
    #[error("it has neither a uri nor capabilities")]
    Empty,
    /// It has too many mirrors.
    #[error("it has more than {limit} mirrors", limit = limits::ENTRY_MIRRORS)]
    Mirrors,
    /// The list item is null.
    #[error("it is null")]
    Null,
    /// It has no name.
    #[error("it has no name")]
    Nameless,
    /// A capability of it names something that cannot be an entry.
    #[error("a capability names no entry: {0}")]
    Target(NameError),
    /// Its name is unsafe.
    #[error("its name is refused: {0}")]
    Unsafe(NameError),
}

/// Why a whole index was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The index has no entry.
    #[error("{origin}: the index has no entries")]
    Empty {
        /// Where the index came from.
        origin: String,
    },
    /// The index is not YAML, not a list of entries, or too complex.
    #[error("{origin}: the index is malformed at line {line}, column {column}")]
    Malformed {
        /// Where the index came from.
        origin: String,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What the reader says.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// The index is not UTF-8.
    #[error("{origin}: the index is not utf-8")]
    NotUtf8 {
        /// Where the index came from.
        origin: String,
        /// Where it stops to be.
        #[source]
        source: std::str::Utf8Error,
    },
    /// The index has too many bytes.
    #[error("{origin}: the index has more than {limit} bytes")]
    TooLarge {
        /// Where the index came from.
        origin: String,
        /// The bound.
        limit: u64,
    },
    /// The index has too many entries.
    #[error("{origin}: the index has {entries} entries, more than {limit}")]
    TooMany {
        /// Where the index came from.
        origin: String,
        /// Its entries.
        entries: usize,
        /// The bound.
        limit: usize,
    },
}

/// The keys that are read; every other key is LocalAI's to add.
#[derive(Deserialize)]
struct RawEntry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    mirrors: Option<Vec<String>>,
    #[serde(default)]
    capabilities: Option<BTreeMap<String, String>>,
}

impl Index {
    /// Reads an index; `origin` names it in errors.
    ///
    /// Anchors, aliases and `!!merge <<:` are resolved within bounds: 8 MiB, 20,000 entries, 500,000 nodes and 32 MiB of text
    /// after expansion. Entries that cannot be named safely are left out and listed; of two with one name the first counts.
    pub fn from_yaml(origin: &str, bytes: &[u8]) -> Result<Self, IndexError> {
        let origin = || origin.to_owned();
        if bytes.len() as u64 > GALLERY_INDEX_BYTES {
            return Err(IndexError::TooLarge { origin: origin(), limit: GALLERY_INDEX_BYTES });
        }
        let text = std::str::from_utf8(bytes).map_err(|source| IndexError::NotUtf8 { origin: origin(), source })?;
        let raw: RawIndex = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
            let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
            IndexError::Malformed { origin: origin(), line, column, source: Box::new(error) }
        })?;
        if raw.count > GALLERY_INDEX_ENTRIES {
            return Err(IndexError::TooMany { origin: origin(), entries: raw.count, limit: GALLERY_INDEX_ENTRIES });
        }
        if raw.count == 0 {
            return Err(IndexError::Empty { origin: origin() });
        }
        let mut index = Self::default();
        for (position, entry) in raw.entries.into_iter().enumerate() {
            index.add(position, entry);
        }
        Ok(index)
    }

    /// The entry of a name; names are compared as they are.
    #[must_use]
    pub fn entry(&self, name: &EntryName) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// All entries, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entries that were left out.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Why an entry of this name was left out, where none of the name was kept.
    #[must_use]
    pub fn skipped_entry(&self, name: &EntryName) -> Option<&Skipped> {
        let kept = self.entries.contains_key(name);
        self.skipped.iter().find(|skipped| !kept && skipped.name.as_ref() == Some(name))
    }

    fn add(&mut self, position: usize, raw: Option<RawEntry>) {
        let (name, raw) = match named(raw) {
            Ok(named) => named,
            Err(reason) => return self.skipped.push(Skipped { position, name: None, reason }),
        };
        let entry = match Entry::of(name.clone(), raw) {
            Ok(_) if self.entries.contains_key(&name) => Err(SkippedReason::Duplicate),
            entry => entry,
        };
        match entry {
            Ok(entry) => drop(self.entries.insert(name, entry)),
            Err(reason) => self.skipped.push(Skipped { position, name: Some(name), reason }),
        }
    }
}

fn named(raw: Option<RawEntry>) -> Result<(EntryName, RawEntry), SkippedReason> {
    let raw = raw.ok_or(SkippedReason::Null)?;
    let name = raw.name.as_ref().ok_or(SkippedReason::Nameless)?.parse().map_err(SkippedReason::Unsafe)?;
    Ok((name, raw))
}

impl Entry {
    fn of(name: EntryName, raw: RawEntry) -> Result<Self, SkippedReason> {
        let mirrors: Vec<String> = raw.mirrors.unwrap_or_default();
        if mirrors.len() > limits::ENTRY_MIRRORS {
            return Err(SkippedReason::Mirrors);
        }
        let kind = match (raw.uri.filter(|uri| !uri.is_empty()), raw.capabilities.unwrap_or_default()) {
            // Concrete entries inherit their meta's capabilities by merge; the URI decides.
            (Some(uri), _) => EntryKind::Concrete { uri, mirrors },
            (None, raw) if raw.is_empty() => return Err(SkippedReason::Empty),
            (None, raw) => {
                let target = |(key, target): (String, String)| Ok((key, target.parse()?));
                let capabilities = raw.into_iter().map(target).collect::<Result<_, _>>();
                EntryKind::Meta { capabilities: capabilities.map_err(SkippedReason::Target)? }
            }
        };
        let alias = raw.alias.filter(|alias| !alias.is_empty());
        let alias = alias.map(|alias| alias.parse()).transpose().map_err(SkippedReason::Alias)?;
        let version = raw.version.filter(|version| !version.is_empty() && !version.chars().any(char::is_control));
        Ok(Self { name, alias, version, kind })
    }
}

/// A list of entries, counted to its end but kept only up to the bound.
struct RawIndex {
    entries: Vec<Option<RawEntry>>,
    count: usize,
}

impl<'de> Deserialize<'de> for RawIndex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = RawIndex;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of gallery entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawIndex, A::Error> {
                let mut index = RawIndex { entries: Vec::new(), count: 0 };
                while index.count < GALLERY_INDEX_ENTRIES {
                    match list.next_element()? {
                        Some(entry) => index.entries.push(entry),
                        None => return Ok(index),
                    }
                    index.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    index.count += 1;
                }
                Ok(index)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: limits::INDEX_DEPTH,
            max_nodes: limits::INDEX_NODES,
            max_events: 2 * limits::INDEX_NODES,
            max_documents: 1,
            max_total_scalar_bytes: limits::INDEX_SCALAR_BYTES,
            max_merge_keys: GALLERY_INDEX_ENTRIES,
            // The real index has 958 aliases of 75 anchors; nodes and bytes after expansion are what costs.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 2 * limits::INDEX_NODES },
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn read(text: &str) -> Result<Index, IndexError> {
        Index::from_yaml("index.yaml", text.as_bytes())
    }

    fn names(index: &Index) -> Vec<&str> {
        index.entries().map(|entry| entry.name.as_str()).collect()
    }

    /// The index of LocalAI, where the folder of real inputs lies beside the repository.
    pub(crate) fn real_index() -> Option<Vec<u8>> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/localai-backend-index.yaml");
        let bytes = std::fs::read(&path).ok();
        if bytes.is_none() {
            println!("skipped: {} is not there", path.display());
        }
        bytes
    }

    #[test]
    fn the_real_index_reads_as_it_was_counted() {
        let Some(bytes) = real_index() else { return };
        let index = Index::from_yaml("real", &bytes).unwrap();
        assert_eq!(index.entries().count(), 1028);
        assert_eq!(index.skipped().len(), 5);
        assert!(index.skipped().iter().all(|skipped| skipped.reason == SkippedReason::Duplicate));
        let metas = index.entries().filter(|entry| matches!(entry.kind, EntryKind::Meta { .. })).count();
        assert_eq!(metas, 140);
        let meta = index.entry(&"llama-cpp".parse().unwrap()).unwrap();
        let EntryKind::Meta { capabilities } = &meta.kind else { panic!("{meta:?}") };
        assert_eq!(capabilities["default"].as_str(), "cpu-llama-cpp");
        for target in index.entries().filter_map(|entry| match &entry.kind {
            EntryKind::Meta { capabilities } => Some(capabilities.values()),
            EntryKind::Concrete { .. } => None,
        }) {
            for name in target {
                assert!(matches!(index.entry(name).unwrap().kind, EntryKind::Concrete { .. }), "{name}");
            }
        }
        let concrete = index.entry(&"cpu-llama-cpp".parse().unwrap()).unwrap();
        let EntryKind::Concrete { uri, mirrors } = &concrete.kind else { panic!("{concrete:?}") };
        assert_eq!(uri, "quay.io/go-skynet/local-ai-backends:latest-cpu-llama-cpp");
        assert_eq!(mirrors, &["localai/localai-backends:latest-cpu-llama-cpp"]);
        assert_eq!(concrete.alias.as_ref().unwrap().as_str(), "llama-cpp");
    }

    #[test]
    fn every_source_of_the_real_index_is_an_image() {
        let Some(bytes) = real_index() else { return };
        let index = Index::from_yaml("real", &bytes).unwrap();
        let mut sources = 0;
        for entry in index.entries() {
            if let EntryKind::Concrete { uri, mirrors } = &entry.kind {
                for uri in std::iter::once(uri).chain(mirrors) {
                    let source = crate::source::Source::classify(uri).unwrap();
                    source.require_public_host(uri).unwrap();
                    sources += 1;
                }
            }
        }
        assert_eq!(sources, 888 * 2 - 1);
    }

    #[test]
    fn both_yaml_readers_agree_on_the_real_index() {
        let Some(bytes) = real_index() else { return };
        let mut second: serde_yaml::Value = serde_yaml::from_slice(&bytes).unwrap();
        for entry in second.as_sequence_mut().unwrap() {
            entry.apply_merge().unwrap();
        }
        let second: Vec<RawEntry> = serde_yaml::from_value(second).unwrap();
        let first: RawIndex =
            serde_saphyr::from_str_with_options(std::str::from_utf8(&bytes).unwrap(), options()).unwrap();
        assert_eq!(first.count, 1033);
        let (mut metas, mut concrete) = (0, 0);
        for (first, second) in first.entries.into_iter().map(Option::unwrap).zip(second) {
            assert_eq!(first.name, second.name);
            assert_eq!(first.uri, second.uri);
            assert_eq!(first.alias, second.alias);
            assert_eq!(first.mirrors, second.mirrors);
            assert_eq!(first.capabilities, second.capabilities);
            match first.uri {
                Some(_) => concrete += 1,
                None => metas += 1,
            }
        }
        assert_eq!((metas, concrete), (140, 893));
    }

    #[test]
    fn an_unsafe_entry_is_left_out_and_the_rest_stays() {
        let index = read(
            "
- {name: good, uri: quay.io/a/b:c}
- {name: ../../etc, uri: quay.io/a/b:c}
- {name: .hidden, uri: quay.io/a/b:c}
- {uri: quay.io/a/b:c}
- {name: good, uri: quay.io/evil/b:c}
- {name: empty}
- ~
- {name: meta, capabilities: {default: ../x}}
- {name: aliased, uri: quay.io/a/b:c, alias: ../../x}
- {name: other, uri: quay.io/a/b:c, gallery: {verification: {issuer: evil}}, anything: [1, {x: y}]}
",
        )
        .unwrap();
        assert_eq!(names(&index), ["good", "other"]);
        let skipped: Vec<_> = index.skipped().iter().map(|it| (it.position, it.name.as_ref(), &it.reason)).collect();
        let name = |text: &str| text.parse::<EntryName>().unwrap();
        let (good, empty, meta, aliased) = (name("good"), name("empty"), name("meta"), name("aliased"));
        assert!(
            matches!(skipped[..], [
            (1, None, SkippedReason::Unsafe(_)),
            (2, None, SkippedReason::Unsafe(_)),
            (3, None, SkippedReason::Nameless),
            (4, Some(duplicate), SkippedReason::Duplicate),
            (5, Some(nothing), SkippedReason::Empty),
            (6, None, SkippedReason::Null),
            (7, Some(lost), SkippedReason::Target(_)),
            (8, Some(renamed), SkippedReason::Alias(_)),
        ] if [duplicate, nothing, lost, renamed] == [&good, &empty, &meta, &aliased]),
            "{skipped:?}"
        );
        assert_eq!(index.skipped_entry(&empty).unwrap().position, 5);
        assert_eq!(index.skipped_entry(&good), None, "the first of the two can be used");
        let EntryKind::Concrete { uri, .. } = &index.entry(&"good".parse().unwrap()).unwrap().kind else { panic!() };
        assert_eq!(uri, "quay.io/a/b:c", "the first of two counts");
    }

    #[test]
    fn merges_are_resolved_through_each_other_and_local_keys_win() {
        let index = read(
            "
- &a {name: a, uri: quay.io/x/a:1, alias: one}
- &b
  !!merge <<: *a
  name: b
- !!merge <<: *b
  name: c
  alias: two
",
        )
        .unwrap();
        let entry = |name: &str| index.entry(&name.parse().unwrap()).unwrap().clone();
        assert_eq!(entry("b").alias.unwrap().as_str(), "one");
        assert_eq!(entry("c").alias.unwrap().as_str(), "two");
        assert_eq!(entry("c").kind, entry("a").kind);
    }

    #[test]
    fn a_malformed_index_is_refused_with_its_place() {
        for text in [
            "name: a",
            "- name: a\n   uri: b\n  x",
            "- {name: a, name: b, uri: c}",
            "- {name: [a]}",
            "- {name: a, mirrors: x}",
            "- *missing",
            "[]\n---\n[]",
            "<html><body>502 Bad Gateway</body></html>",
        ] {
            assert!(matches!(read(text), Err(IndexError::Malformed { .. })), "{text:?}");
        }
        assert!(matches!(read("[]"), Err(IndexError::Empty { .. })));
        assert!(matches!(Index::from_yaml("x", b"\xff"), Err(IndexError::NotUtf8 { .. })));
    }

    #[test]
    fn bombs_are_refused_within_their_bounds() {
        let mut exponential = String::from("- &a0 {name: a}\n");
        for level in 1..30 {
            exponential += &format!("- &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1);
        }
        let deep = "- ".repeat(100) + "x";
        let flow = "[".repeat(2_000_000);
        let quadratic = format!("- &a {{name: x, uri: \"{}\"}}\n", "y".repeat(1 << 20)) + &"- *a\n".repeat(19_000);
        for text in [&exponential, &deep, &flow, &quadratic] {
            assert!(matches!(read(text), Err(IndexError::Malformed { .. })), "{} bytes", text.len());
        }
        let many = "- {name: a, uri: b}\n".repeat(GALLERY_INDEX_ENTRIES + 1);
        assert!(matches!(read(&many), Err(IndexError::TooMany { entries: 20_001, .. })));
        let large = "#".repeat(GALLERY_INDEX_BYTES as usize + 1);
        assert!(matches!(read(&large), Err(IndexError::TooLarge { .. })));
        let ten_thousand: String = (0..10_000).map(|i| format!("- {{name: n{i}, uri: quay.io/a/b:c}}\n")).collect();
        assert_eq!(read(&ten_thousand).unwrap().entries().count(), 10_000);
    }

    #[test]
    fn text_stays_text() {
        let index = read("- {name: no, uri: 'quay.io/a/b:1', version: 1.10, alias: on}").unwrap();
        let entry = index.entry(&"no".parse().unwrap()).unwrap();
        assert_eq!(entry.version.as_deref(), Some("1.10"));
        assert_eq!(entry.alias.as_ref().unwrap().as_str(), "on");
    }
}
