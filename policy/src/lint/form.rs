//! Reads the forms that a policy is written in, with the places of its parts.

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::{Finding, Form, Level, Rule};
use crate::document::{Document, GalleryBlock, RequireEntry};
use crate::draft::{SignerDraft, place};
use crate::error::{Location, PolicyError};
use crate::policy::Policy;
use crate::yaml;

/// One policy, as it decides and as it was written.
pub(super) struct Subject {
    pub(super) policy: Policy,
    /// In the order of the policy's signers.
    pub(super) drafts: Vec<SignerDraft>,
    pub(super) places: Places,
    pub(super) form: Form,
    pub(super) gallery: Option<String>,
    /// The mapping that was read.
    pub(super) source: Value,
}

/// Where things stand, or would.
pub(super) struct Places {
    /// Where keys of the whole policy belong.
    pub(super) root: Location,
    pub(super) threshold: Option<Location>,
    pub(super) not_before: Option<Location>,
    pub(super) not_after: Option<Location>,
    /// Whether `require` is there: a fix goes into it or brings it.
    pub(super) has_require: bool,
}

/// All policies of one text, and what is to be said of galleries that have none.
pub(super) struct Read {
    pub(super) form: Form,
    pub(super) subjects: Vec<Subject>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn read(origin: &str, text: &str) -> Result<Read, PolicyError> {
    let outline: Value = yaml::from_str(origin, text)?;
    let has = |key: &str| outline.get(key).is_some();
    if outline.is_array() {
        return galleries(origin, yaml::from_str(origin, text)?, &outline, "");
    }
    for key in ["backend_galleries", "galleries"] {
        if outline.get(key).is_some_and(Value::is_array) {
            let lists: Lists = yaml::from_str(origin, text)?;
            let list = lists.backend_galleries.or(lists.galleries).unwrap_or_default();
            return galleries(origin, list, &outline[key], key);
        }
    }
    if has("verification") {
        let gallery: Spanned<GalleryEntry> = yaml::from_str(origin, text)?;
        return galleries(origin, vec![gallery], &Value::Array(vec![outline]), "");
    }
    let is_block = ["issuer", "issuer_regex", "identity", "identity_regex"].into_iter().any(has);
    if is_block && !has("signers") && !has("version") {
        let block: GalleryBlock = yaml::from_str(origin, text)?;
        let subject = block_subject(origin, &block, Form::GalleryBlock, None, outline)?;
        return Ok(Read { form: Form::GalleryBlock, subjects: vec![subject], findings: Vec::new() });
    }
    let subject = document(origin, text, outline)?;
    Ok(Read { form: Form::Document, subjects: vec![subject], findings: Vec::new() })
}

/// Reads a policy again, after something was written into its mapping.
pub(super) fn again(subject: &Subject, source: &Value) -> Result<Subject, PolicyError> {
    let text = source.to_string();
    match subject.form {
        Form::Document => document("", &text, source.clone()),
        form => block_subject("", &yaml::from_str("", &text)?, form, subject.gallery.clone(), source.clone()),
    }
}

fn document(origin: &str, text: &str, source: Value) -> Result<Subject, PolicyError> {
    let policy = Policy::from_yaml(origin, text)?;
    let document: Document = yaml::from_str(origin, text)?;
    let bare = Location::new(origin, "");
    let at = place(&document.signers, &bare, "signers");
    let mut drafts = Vec::new();
    for (index, entry) in document.signers.value.into_iter().enumerate() {
        let at = place(&entry, &at, &format!("[{index}]"));
        drafts.push(SignerDraft::from_entry(entry.value, &at));
    }
    let version = document.version.referenced;
    let places = Places {
        root: bare.clone().at(version.line(), 1),
        threshold: document.threshold.map(|value| place(&value, &bare, "threshold")),
        not_before: document.not_before.map(|value| place(&value, &bare, "not_before")),
        not_after: document.not_after.map(|value| place(&value, &bare, "not_after")),
        has_require: is_there(document.require.as_ref()),
    };
    Ok(Subject { policy, drafts, places, form: Form::Document, gallery: None, source })
}

fn galleries(
    origin: &str,
    entries: Vec<Spanned<GalleryEntry>>,
    outline: &Value,
    key: &str,
) -> Result<Read, PolicyError> {
    let list = Location::new(origin, key);
    if entries.is_empty() {
        return Err(PolicyError::Empty { at: list });
    }
    let mut read = Read { form: Form::Galleries, subjects: Vec::new(), findings: Vec::new() };
    for (index, entry) in entries.into_iter().enumerate() {
        let at = place(&entry, &list, &format!("[{index}]"));
        let gallery = entry.value;
        match gallery.verification {
            Some(block) => {
                let source = outline[index]["verification"].clone();
                read.subjects.push(block_subject(origin, &block, Form::Galleries, gallery.name, source)?);
            }
            None => {
                let mut finding = Finding::new(
                    Rule::UnverifiedGallery,
                    &at,
                    "the gallery has no `verification` block: nothing says who may have signed what it offers",
                    "verification:\n  issuer: https://token.actions.githubusercontent.com\n  \
                     identity: https://github.com/OWNER/REPOSITORY/.github/workflows/FILE.yml@refs/heads/BRANCH\n  \
                     github: {repository: OWNER/REPOSITORY}",
                );
                if gallery.unverified.is_some() {
                    finding.level = Level::Note;
                }
                finding.gallery = gallery.name;
                read.findings.push(finding);
            }
        }
    }
    Ok(read)
}

fn block_subject(
    origin: &str,
    block: &GalleryBlock,
    form: Form,
    gallery: Option<String>,
    source: Value,
) -> Result<Subject, PolicyError> {
    let policy = Policy::from_gallery_block(origin, block)?;
    let fields = &block.0.value;
    let root = Location::new(origin, "").at(block.0.referenced.line(), block.0.referenced.column());
    let draft = SignerDraft::from_gallery(fields, &root);
    let places = Places {
        threshold: fields.threshold.as_ref().map(|value| place(value, &root, "threshold")),
        not_before: fields.not_before.as_ref().map(|value| place(value, &root, "not_before")),
        not_after: fields.not_after.as_ref().map(|value| place(value, &root, "not_after")),
        has_require: is_there(fields.require.as_ref()),
        root,
    };
    Ok(Subject { policy, drafts: vec![draft], places, form, gallery, source })
}

fn is_there(require: Option<&RequireEntry>) -> bool {
    require.is_some()
}

/// One gallery, whatever else it says: its other keys are other programs'.
#[derive(Deserialize)]
struct GalleryEntry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "GalleryBlock::present")]
    verification: Option<GalleryBlock>,
    #[serde(default)]
    unverified: Option<serde::de::IgnoredAny>,
}

/// A file of settings that holds a list of galleries.
#[derive(Deserialize)]
struct Lists {
    #[serde(default)]
    backend_galleries: Option<Vec<Spanned<GalleryEntry>>>,
    #[serde(default)]
    galleries: Option<Vec<Spanned<GalleryEntry>>>,
}
