//! Layers applied one over the other into one directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::ops::Bound;

use countersign_oci::Digest;

use super::archive::{Archive, Entry, Kind};
use super::layer::{Compression, LayerStream};
use super::{Counted, Fault, Refusal, UnpackError};
use crate::confine::{self, RelativePath, Root};
use crate::limits;

/// Layers on their way into one directory.
///
/// After an error the directory holds a part of the image and must be thrown away.
#[derive(Debug)]
pub(crate) struct Extraction {
    root: Root,
    nodes: BTreeMap<String, Node>,
    layer: usize,
    /// The paths that the current layer removes from the layers below it.
    removed: BTreeSet<String>,
    /// The names at the top, upper and lower case taken for the same.
    top: BTreeMap<String, String>,
    entries: u64,
    names: u64,
    bytes: u64,
}

/// What an image unpacked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Files and links, without directories.
    pub(crate) files: u64,
    /// Uncompressed bytes of all layers.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Node {
    /// The layer that last named it.
    layer: usize,
    /// Made because something lies beneath it, not by an entry of its own.
    implied: bool,
    kind: NodeKind,
}

#[derive(Debug)]
enum NodeKind {
    Directory,
    File,
    /// Not on disk before the last layer is done.
    Link(String),
}

impl Extraction {
    /// Starts with an empty directory.
    #[must_use]
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            nodes: BTreeMap::new(),
            layer: 0,
            removed: BTreeSet::new(),
            top: BTreeMap::new(),
            entries: 0,
            names: 0,
            bytes: 0,
        }
    }

    /// Applies the next layer, whose compressed bytes were verified before.
    ///
    /// `compressed` is the size of the blob: with it grows what may come out. `diff_id` is the image config's digest of the
    /// uncompressed layer; that it matches is known only when this returns.
    pub(crate) fn apply(
        &mut self,
        layer: impl Read,
        compression: Compression,
        compressed: u64,
        diff_id: Digest,
    ) -> Result<(), UnpackError> {
        let applied = self.apply_stream(layer, compression, compressed, diff_id);
        let number = self.layer;
        self.layer += 1;
        self.removed.clear();
        applied.map_err(|fault| fault.in_layer(number))
    }

    /// Makes the symbolic links, all of which must stay inside the directory, and returns the directory.
    pub(crate) fn finish(mut self) -> Result<(Root, Summary), UnpackError> {
        let last = self.layer.saturating_sub(1);
        let summary = self.link().map_err(|fault| fault.in_layer(last))?;
        Ok((self.root, summary))
    }

    fn apply_stream(
        &mut self,
        layer: impl Read,
        compression: Compression,
        compressed: u64,
        diff_id: Digest,
    ) -> Result<(), Fault> {
        let ratio = compressed.saturating_mul(limits::RATIO).max(limits::RATIO_FLOOR);
        let limit = ratio.min(limits::TREE_BYTES.saturating_sub(self.bytes));
        let mut archive = Archive::new(LayerStream::new(layer, compression, limit)?);
        while let Some(entry) = archive.next()? {
            self.count_entry()?;
            self.apply_entry(entry, &mut archive)?;
        }
        let (actual, bytes) = archive.finish()?.finish();
        self.bytes += bytes;
        if actual != diff_id {
            return Err(Refusal::DiffId { expected: diff_id, actual }.into());
        }
        Ok(())
    }

    fn count_entry(&mut self) -> Result<(), Refusal> {
        self.entries += 1;
        if self.entries > limits::TREE_ENTRIES {
            return Err(Refusal::Limit { what: Counted::Entries, limit: limits::TREE_ENTRIES });
        }
        Ok(())
    }

    /// Counts a path or a link's target, for all layers: what is removed again was held and compared before.
    fn count_name(&mut self, name: &str) -> Result<(), Refusal> {
        self.names += name.len() as u64;
        if self.names > limits::NAME_BYTES {
            return Err(Refusal::Limit { what: Counted::Names, limit: limits::NAME_BYTES });
        }
        Ok(())
    }

    fn apply_entry(&mut self, entry: Entry, archive: &mut Archive<'_>) -> Result<(), Fault> {
        let Some(path) = entry.path else {
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err(Refusal::Root.into()),
            };
        };
        self.count_name(path.as_str())?;
        if let Some(name) = path.split().1.strip_prefix(WHITEOUT) {
            return match entry.kind {
                Kind::File { size: 0, .. } => self.whiteout(&path, name),
                _ => Err(Refusal::Whiteout { path: path.to_string() }.into()),
            };
        }
        if !self.make_room(&path, matches!(entry.kind, Kind::Directory))? {
            return Ok(());
        }
        let disk = |source| Fault::Disk { path: path.to_string(), source };
        let kind = match entry.kind {
            Kind::Directory => {
                self.root.create_directory(&path).map_err(disk)?;
                NodeKind::Directory
            }
            Kind::File { executable, modified, size: _ } => {
                let mut file = self.root.create_file(&path).map_err(disk)?;
                archive.content_to(&mut file).map_err(|fault| match fault {
                    Fault::Disk { source, .. } => disk(source),
                    refused => refused,
                })?;
                confine::seal(&file, executable, modified).map_err(disk)?;
                NodeKind::File
            }
            Kind::HardLink { target } => {
                if !matches!(self.nodes.get(target.as_str()), Some(Node { kind: NodeKind::File, .. })) {
                    return Err(Refusal::HardLink { path: path.to_string(), target: target.to_string() }.into());
                }
                self.root.create_hard_link(&path, &target).map_err(disk)?;
                NodeKind::File
            }
            Kind::SymbolicLink { target } => {
                self.count_name(&target)?;
                NodeKind::Link(target)
            }
        };
        self.nodes.insert(path.as_str().to_owned(), Node { layer: self.layer, implied: false, kind });
        Ok(())
    }

    /// Makes sure that a path is free and its directories exist; `false` where the directory asked for is there already.
    fn make_room(&mut self, path: &RelativePath, directory: bool) -> Result<bool, Fault> {
        let collision = |path: &str| Refusal::Collision { path: path.to_owned() };
        if self.removed.contains(path.as_str()) {
            return Err(collision(path.as_str()).into());
        }
        for ancestor in path.ancestors() {
            if self.removed.contains(ancestor.as_str()) {
                return Err(collision(ancestor.as_str()).into());
            }
            match self.nodes.get_mut(ancestor.as_str()) {
                Some(node) if matches!(node.kind, NodeKind::Directory) => {
                    if node.layer != self.layer {
                        (node.layer, node.implied) = (self.layer, true);
                    }
                }
                Some(_) => return Err(Refusal::NotADirectory { path: path.to_string() }.into()),
                None => {
                    self.count_entry()?;
                    self.count_name(ancestor.as_str())?;
                    self.check_case(&ancestor)?;
                    self.root
                        .create_directory(&ancestor)
                        .map_err(|source| Fault::Disk { path: ancestor.to_string(), source })?;
                    let node = Node { layer: self.layer, implied: true, kind: NodeKind::Directory };
                    self.nodes.insert(ancestor.as_str().to_owned(), node);
                }
            }
        }
        let Some(node) = self.nodes.get_mut(path.as_str()) else {
            self.check_case(path)?;
            return Ok(true);
        };
        let both_directories = directory && matches!(node.kind, NodeKind::Directory);
        if node.layer == self.layer && !(both_directories && node.implied) {
            return Err(Refusal::Duplicate { path: path.to_string() }.into());
        }
        if both_directories {
            (node.layer, node.implied) = (self.layer, false);
            return Ok(false);
        }
        self.remove_lower(path)?;
        Ok(true)
    }

    /// Refuses a new name at the top that only its case tells from one that is there.
    ///
    /// Deeper down such names are in real images: terminfo has `E/Eterm` and `e/eterm`.
    fn check_case(&mut self, path: &RelativePath) -> Result<(), Refusal> {
        let (None, name) = path.split() else { return Ok(()) };
        match self.top.insert(fold(name), name.to_owned()) {
            Some(other) if other != name && self.nodes.contains_key(&other) => {
                Err(Refusal::Case { path: name.to_owned(), other })
            }
            _ => Ok(()),
        }
    }

    fn whiteout(&mut self, path: &RelativePath, name: &str) -> Result<(), Fault> {
        let invalid = || Refusal::Whiteout { path: path.to_string() };
        if path.as_str() == OPAQUE || path.as_str().ends_with(&format!("/{OPAQUE}")) {
            // Once for each directory and layer: what stays is looked at again by those above it only.
            if !self.removed.insert(path.as_str().to_owned()) {
                return Err(Refusal::Duplicate { path: path.to_string() }.into());
            }
            return self.opaque(path.split().0);
        }
        if name.starts_with(WHITEOUT) || name.is_empty() {
            return Err(invalid().into());
        }
        let target = path.sibling(name).map_err(|_| invalid())?;
        if !self.removed.insert(target.as_str().to_owned()) {
            return Err(Refusal::Duplicate { path: path.to_string() }.into());
        }
        self.remove_lower(&target)
    }

    /// Removes what the layers below put at and under a path; nothing of the current layer may lie there.
    fn remove_lower(&mut self, path: &RelativePath) -> Result<(), Fault> {
        if let Some((own, _)) = self.subtree(Some(path.as_str())).find(|(_, node)| node.layer == self.layer) {
            return Err(Refusal::Collision { path: own.clone() }.into());
        }
        let doomed: Vec<String> = self.subtree(Some(path.as_str())).map(|(name, _)| name.clone()).collect();
        if doomed.is_empty() {
            return Ok(());
        }
        self.root.remove(path).map_err(|source| Fault::Disk { path: path.to_string(), source })?;
        for name in doomed {
            self.nodes.remove(&name);
        }
        Ok(())
    }

    /// Removes everything in a directory that only the layers below put there.
    fn opaque(&mut self, directory: Option<&str>) -> Result<(), Fault> {
        let lower = |(name, node): &(&String, &Node)| Some(name.as_str()) != directory && node.layer != self.layer;
        let inside: Vec<String> = self.subtree(directory).filter(lower).map(|(name, _)| name.clone()).collect();
        // The deepest first. What the current layer touched marked the directories above it as its own.
        for name in inside.into_iter().rev() {
            if let Ok(Some(path)) = RelativePath::parse(name.as_bytes()) {
                self.root.remove(&path).map_err(|source| Fault::Disk { path: name.clone(), source })?;
            }
            self.nodes.remove(&name);
        }
        Ok(())
    }

    /// What is at and under a path, or everything.
    fn subtree(&self, path: Option<&str>) -> impl Iterator<Item = (&String, &Node)> {
        let beneath = match path {
            None => self.nodes.range::<str, _>(..),
            Some(path) => {
                // '0' follows '/'.
                let (first, after) = (format!("{path}/"), format!("{path}0"));
                self.nodes.range::<str, _>((Bound::Included(first.as_str()), Bound::Excluded(after.as_str())))
            }
        };
        path.and_then(|path| self.nodes.get_key_value(path)).into_iter().chain(beneath)
    }

    fn link(&mut self) -> Result<Summary, Fault> {
        let mut steps = 0;
        let mut links = Vec::new();
        let mut files = 0;
        for (path, node) in &self.nodes {
            match &node.kind {
                NodeKind::Directory => continue,
                NodeKind::File => {}
                NodeKind::Link(target) => {
                    self.check_link(path, target, &mut steps)?;
                    links.push((path.clone(), target.clone()));
                }
            }
            files += 1;
        }
        for (path, target) in links {
            if let Ok(Some(parsed)) = RelativePath::parse(path.as_bytes()) {
                let made = self.root.create_symbolic_link(&parsed, &target);
                made.map_err(|source: io::Error| Fault::Disk { path, source })?;
            }
        }
        Ok(Summary { files, bytes: self.bytes })
    }

    /// Follows a link the way the kernel will, through the links of this very tree: none of the steps may leave the root.
    fn check_link(&self, path: &str, target: &str, steps: &mut u64) -> Result<(), Fault> {
        let refused = || Refusal::Link { path: path.to_owned(), target: target.to_owned() };
        let mut at = String::from(path.rsplit_once('/').map_or("", |(parent, _)| parent));
        let mut ahead: Vec<&str> = target.split('/').rev().collect();
        let mut followed = 1;
        while let Some(component) = ahead.pop() {
            *steps += 1;
            if *steps > LINK_STEPS {
                return Err(Refusal::Limit { what: Counted::LinkSteps, limit: LINK_STEPS }.into());
            }
            match component {
                "" | "." => continue,
                ".." if at.is_empty() => return Err(refused().into()),
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    if !at.is_empty() {
                        at.push('/');
                    }
                    at.push_str(name);
                }
            }
            if at.len() > limits::PATH_BYTES {
                return Err(refused().into());
            }
            if let Some(Node { kind: NodeKind::Link(next), .. }) = self.nodes.get(&at) {
                followed += 1;
                if followed > limits::LINK_CHAIN {
                    return Err(refused().into());
                }
                at.truncate(at.rfind('/').unwrap_or(0));
                ahead.extend(next.split('/').rev());
            }
        }
        Ok(())
    }
}

/// Upper and lower case letters as one, letter by letter: what a file system that ignores case takes for the same.
fn fold(name: &str) -> String {
    name.chars()
        .map(|letter| only(letter, letter.to_uppercase()))
        .map(|upper| only(upper, upper.to_lowercase()))
        .collect()
}

/// The one letter that a letter is mapped to; a letter that is mapped to several stays as it is.
fn only(letter: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// Real images have a few thousand links of a few components.
const LINK_STEPS: u64 = 10_000_000;
