//! The written forms of a policy: the document, and the `verification` block of a gallery.
//!
//! These types say which keys there are and of what type; `policy` gives them meaning. An optional key that is there must have a value.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

/// A value that a document may leave out.
type Optional<T> = Option<Spanned<T>>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a policy document: a mapping with `version` and `signers`")]
pub(crate) struct Document {
    pub(crate) version: Spanned<u64>,
    pub(crate) signers: Spanned<Vec<Spanned<SignerEntry>>>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) threshold: Optional<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) distinct_logs: Optional<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) not_before: Optional<String>,
    #[serde(default)]
    pub(crate) not_after: Optional<String>,
    #[serde(default)]
    pub(crate) max_age: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) deny: Option<DenyEntry>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) require: Option<RequireEntry>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) trust: Optional<TrustEntry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a signer: a mapping with `issuer` and `identity`")]
pub(crate) struct SignerEntry {
    #[serde(default, deserialize_with = "present")]
    pub(crate) name: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) issuer: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) identity: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) identity_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) github: Optional<GithubEntry>,
}

/// Holds the `verification` block of a gallery as it is written: a policy with one signer. [`crate::Policy::from_gallery_block`] reads it.
///
/// Unknown keys, keys given twice and keys without a value are errors. A configuration type must not hold it behind a plain `Option`, for then
/// an empty `verification:` would read as none; [`GalleryBlock::present`] keeps the two apart.
#[derive(Clone, Debug)]
pub struct GalleryBlock(pub(crate) Spanned<GalleryFields>);

impl GalleryBlock {
    /// Reads a block for a key that may be absent, but not empty:
    /// `#[serde(default, deserialize_with = "GalleryBlock::present")] verification: Option<GalleryBlock>`.
    pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Self::deserialize(deserializer).map(Some)
    }
}

impl<'de> Deserialize<'de> for GalleryBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a verification block: a mapping with issuer and identity")]
pub(crate) struct GalleryFields {
    #[serde(default, deserialize_with = "present")]
    pub(crate) issuer: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) issuer_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) identity: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) identity_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) github: Optional<GithubEntry>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) threshold: Optional<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) distinct_logs: Optional<u64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) not_before: Optional<String>,
    #[serde(default)]
    pub(crate) not_after: Optional<String>,
    #[serde(default)]
    pub(crate) max_age: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) deny: Option<DenyEntry>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) require: Option<RequireEntry>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) trust: Optional<TrustEntry>,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping of claims")]
pub(crate) struct GithubEntry {
    #[serde(default, deserialize_with = "present")]
    pub(crate) repository: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) repository_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) repository_id: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) owner: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) owner_id: Optional<String>,
    #[serde(default, rename = "ref", deserialize_with = "present")]
    pub(crate) reference: Optional<String>,
    #[serde(default, rename = "ref_regex", deserialize_with = "present")]
    pub(crate) reference_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) trigger: Optional<OneOrMore>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) trigger_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) runner_environment: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) runner_environment_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) build_config: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) build_config_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) environment: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) environment_regex: Optional<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) visibility: Optional<String>,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `digests` and `log_entries`")]
pub(crate) struct DenyEntry {
    #[serde(default, deserialize_with = "present")]
    pub(crate) digests: Option<Vec<Spanned<String>>>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) log_entries: Option<Vec<Spanned<String>>>,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `tag`, `repository` and `annotations`")]
pub(crate) struct RequireEntry {
    #[serde(default)]
    pub(crate) tag: bool,
    #[serde(default)]
    pub(crate) repository: bool,
    #[serde(default)]
    pub(crate) platforms: bool,
    #[serde(default, deserialize_with = "present")]
    pub(crate) annotations: Option<BTreeMap<String, Spanned<String>>>,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "`public-good`, `file: PATH` or `tuf: {url: URL, root: FILE}`")]
pub(crate) enum TrustEntry {
    File(Spanned<String>),
    PublicGood,
    Tuf(TufEntry),
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `url` and `root`")]
pub(crate) struct TufEntry {
    pub(crate) url: Spanned<String>,
    pub(crate) root: Spanned<String>,
}

/// One text, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMore(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> serde::de::Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("text or a list of texts")
    }

    fn visit_str<E>(self, value: &str) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![value.to_owned()]))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut values: A) -> Result<OneOrMore, A::Error> {
        let mut all = Vec::new();
        while let Some(value) = values.next_element()? {
            all.push(value);
        }
        Ok(OneOrMore(all))
    }
}

/// Reads a value that is there: where it is `null`, its type says so, instead of `Option` taking it for absence.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
