//! The `verification` block of a gallery, by itself or within a list of galleries.

use super::tree::Reader;
use super::{Draft, ImportError, Imported, Names, inexpressible};
use crate::document::GalleryBlock;
use crate::error::Location;
use crate::loss::LossCode;
use crate::policy::Policy;
use crate::write::node::Node;
use crate::yaml;

/// Reads a gallery's `verification` block: by itself, under its key, in a gallery, or in a list of galleries, where `gallery` says whose.
///
/// At most 256 KiB of YAML or JSON. Patterns are searched for there, and match the whole value here. What only countersign's blocks say (claims,
/// `require` and the rest) is kept.
pub fn from_localai(origin: &str, text: &str, gallery: Option<&str>) -> Result<Imported, ImportError> {
    let block = find(Reader::document(origin, text)?, gallery)?;
    let place = block.at().clone();
    let mut draft = Draft::default();
    let mut fields = block.mapping()?;
    let names = Names {
        issuer: fields.optional_text("issuer")?,
        issuer_pattern: fields.optional_text("issuer_regex")?,
        subject: fields.optional_text("identity")?,
        subject_pattern: fields.optional_text("identity_regex")?,
        wildcards: false,
    };
    draft.signer(names, Some("gallery"), &place)?;
    let made = draft.finish(origin)?;
    // What else the block says is said in the same words in a policy: it is read again with the names made fit.
    let rest = match fields.rest() {
        Node::Map(entries) => entries,
        _ => Vec::new(),
    };
    again(origin, &place, made, rest)
}

fn again(origin: &str, place: &Location, made: Imported, rest: Vec<(String, Node)>) -> Result<Imported, ImportError> {
    let is_named = |claims: &Node| match claims {
        Node::Map(claims) => claims.iter().any(|(key, _)| key.starts_with("repository")),
        _ => false,
    };
    let names_repository = rest.iter().any(|(key, value)| key == "github" && is_named(value));
    let signer = &made.policy.first;
    let mut entries = Vec::new();
    for (key, matcher) in [("issuer", &signer.issuer), ("identity", &signer.identity)] {
        entries.push(match matcher.pattern() {
            Some(pattern) => (format!("{key}_regex"), Node::text(pattern.text())),
            None => (key.to_owned(), Node::text(matcher.only().unwrap_or_default())),
        });
    }
    entries.extend(rest);
    let text = Node::Map(entries).print();
    let misplaced = |source| ImportError::Policy { at: place.clone(), source: Box::new(source) };
    let block: GalleryBlock = yaml::from_str(origin, &text).map_err(misplaced)?;
    let policy = Policy::from_gallery_block(origin, &block).map_err(misplaced)?;
    let yaml = policy.to_yaml().map_err(ImportError::Unwritable)?;
    let mut losses = made.losses;
    losses.retain(|loss| loss.code != LossCode::OwnRepository || !names_repository);
    Ok(Imported { policy, yaml, losses })
}

/// Finds the block.
fn find(document: Reader, wanted: Option<&str>) -> Result<Reader, ImportError> {
    let at = document.at().clone();
    if document.is_list() {
        let mut found = Vec::new();
        for gallery in document.list()? {
            let mut fields = gallery.mapping()?;
            let name = fields.optional_text("name")?;
            let named = wanted.is_none_or(|wanted| name.as_ref().is_some_and(|name| name.text == wanted));
            found.extend(named.then(|| fields.optional("verification")).flatten());
        }
        return match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(inexpressible(
                "no-verification",
                &at,
                wanted.unwrap_or_default(),
                "no such gallery has a verification block",
                None,
            )),
            _ => Err(inexpressible(
                "several-galleries",
                &at,
                "",
                "several galleries have a verification block",
                Some("say which: --gallery NAME"),
            )),
        };
    }
    let mut fields = document.clone().mapping()?;
    if let Some(list) = fields.optional("galleries") {
        return find(list, wanted);
    }
    if let Some(block) = fields.optional("verification") {
        let name = fields.optional_text("name")?;
        return match wanted.is_none_or(|wanted| name.is_some_and(|name| name.text == wanted)) {
            true => Ok(block),
            false => Err(inexpressible(
                "no-verification",
                &at,
                wanted.unwrap_or_default(),
                "the gallery has another name",
                None,
            )),
        };
    }
    match wanted {
        None => Ok(document),
        Some(wanted) => Err(inexpressible("no-verification", &at, wanted, "the document lists no galleries", None)),
    }
}
