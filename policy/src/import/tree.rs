//! Documents of other systems, read without knowing all of their keys: what is not asked for is never passed over in silence.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::{ImportError, Said};
use crate::error::{Location, PolicyError};
use crate::write::node::Node;
use crate::yaml;

/// A value of a document.
#[derive(Clone, Debug)]
enum Tree {
    Flag(bool),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(String, Spanned<Tree>)>),
    /// Only for the keys of our own whose `null` says the same as their absence.
    Null,
    Number(u64),
    Text(String),
}

/// A value and its place. Reading is strict: `null`, anchors, tags and second documents are refused by [`yaml::from_str`].
#[derive(Clone, Debug)]
pub(super) struct Reader {
    tree: Tree,
    at: Location,
}

/// The entries of a mapping that were not asked for yet.
pub(super) struct Fields {
    entries: Vec<(String, Reader)>,
    at: Location,
}

impl Reader {
    pub(super) fn document(origin: &str, text: &str) -> Result<Self, ImportError> {
        let tree: Spanned<Tree> = yaml::from_str(origin, text)?;
        Ok(Self::placed(tree, &Location::new(origin, "")))
    }

    fn placed(tree: Spanned<Tree>, at: &Location) -> Self {
        let at = at.clone().at(tree.referenced.line(), tree.referenced.column());
        Self { tree: tree.value, at }
    }

    pub(super) fn at(&self) -> &Location {
        &self.at
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.tree, Tree::List(_))
    }

    pub(super) fn mapping(self) -> Result<Fields, ImportError> {
        let Tree::Map(entries) = self.tree else { return Err(wrong(&self.at, "a mapping")) };
        let entries = entries
            .into_iter()
            .map(|(key, value)| {
                let at = self.at.below(&key);
                (key, Self::placed(value, &at))
            })
            .collect();
        Ok(Fields { entries, at: self.at })
    }

    pub(super) fn list(self) -> Result<Vec<Self>, ImportError> {
        let Tree::List(values) = self.tree else { return Err(wrong(&self.at, "a list")) };
        let place = |(index, value)| Self::placed(value, &self.at.below(&format!("[{index}]")));
        Ok(values.into_iter().enumerate().map(place).collect())
    }

    pub(super) fn text(self) -> Result<Said, ImportError> {
        match self.tree {
            Tree::Text(text) => Ok(Said { text, at: self.at }),
            _ => Err(wrong(&self.at, "text")),
        }
    }

    pub(super) fn flag(self) -> Result<bool, ImportError> {
        match self.tree {
            Tree::Flag(flag) => Ok(flag),
            _ => Err(wrong(&self.at, "true or false")),
        }
    }

    pub(super) fn number(self) -> Result<u64, ImportError> {
        match self.tree {
            Tree::Number(number) => Ok(number),
            _ => Err(wrong(&self.at, "a whole number")),
        }
    }

    /// Returns the value on one line, for reports.
    pub(super) fn shown(&self) -> String {
        match &self.tree {
            Tree::Flag(flag) => flag.to_string(),
            Tree::Number(number) => number.to_string(),
            Tree::Text(text) => text.clone(),
            Tree::List(values) => {
                let texts = values.iter().filter_map(|value| match &value.value {
                    Tree::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                texts.collect::<Vec<_>>().join(", ")
            }
            Tree::Map(_) | Tree::Null => String::new(),
        }
    }
}

impl Fields {
    pub(super) fn at(&self) -> &Location {
        &self.at
    }

    /// Takes an entry out.
    pub(super) fn optional(&mut self, key: &str) -> Option<Reader> {
        let index = self.entries.iter().position(|(known, _)| known == key)?;
        Some(self.entries.remove(index).1)
    }

    pub(super) fn required(&mut self, key: &str) -> Result<Reader, ImportError> {
        self.optional(key).ok_or_else(|| PolicyError::MissingKey { at: self.at.below(key) }.into())
    }

    pub(super) fn optional_text(&mut self, key: &str) -> Result<Option<Said>, ImportError> {
        self.optional(key).map(Reader::text).transpose()
    }

    /// Takes a switch out; absent is off.
    pub(super) fn switch(&mut self, key: &str) -> Result<Option<(bool, Location)>, ImportError> {
        let Some(reader) = self.optional(key) else { return Ok(None) };
        let at = reader.at.clone();
        Ok(Some((reader.flag()?, at)))
    }

    /// Returns all entries, which must be texts.
    pub(super) fn texts(self) -> Result<BTreeMap<String, String>, ImportError> {
        self.entries.into_iter().map(|(key, reader)| Ok((key, reader.text()?.text))).collect()
    }

    /// Says that every entry was asked for.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        match self.entries.into_iter().next() {
            None => Ok(()),
            Some((_, reader)) => Err(PolicyError::UnknownKey { at: reader.at, suggestion: None }.into()),
        }
    }

    /// Returns the entries that were not asked for.
    pub(super) fn rest(self) -> Node {
        let entries = self.entries.into_iter().filter(|(_, reader)| !matches!(reader.tree, Tree::Null));
        Node::Map(entries.map(|(key, reader)| (key, node(&reader.tree))).collect())
    }
}

fn node(tree: &Tree) -> Node {
    match tree {
        Tree::Flag(flag) => Node::Flag(*flag),
        Tree::Number(number) => Node::Number(*number),
        Tree::Text(text) => Node::text(text.as_str()),
        Tree::List(values) => Node::List(values.iter().map(|value| node(&value.value)).collect()),
        Tree::Null => Node::Map(Vec::new()),
        Tree::Map(entries) => Node::Map(entries.iter().map(|(key, value)| (key.clone(), node(&value.value))).collect()),
    }
}

fn wrong(at: &Location, expected: &str) -> ImportError {
    PolicyError::WrongType { at: at.clone(), expected: expected.to_owned() }.into()
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping, a list, text, a whole number, true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Flag(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Tree, E> {
        let number = u64::try_from(value);
        number.map(Tree::Number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = values.next_element()? {
            all.push(value);
        }
        Ok(Tree::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Tree::Map(all))
    }
}
