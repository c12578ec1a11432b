//! Who refers to a manifest: the referrers API, and the referrers tag schema where a registry has none.
//!
//! A listing is a claim of whoever could write it. It is read within bounds, one bad entry never hides a good one,
//! and what cannot be told is never "nobody".

mod link;
mod listing;

use std::collections::HashSet;
use std::fmt;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use url::Url;

use crate::error::RegistryError;
use crate::http::{HttpError, same_origin};
use crate::index::Descriptor;
use crate::registry::{Call, Fetched, Registry, Target};
use crate::{Digest, PinnedReference, Tag, limits, media_type};
pub use listing::ListingError;
use listing::Page;

/// What a registry says refers to a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Referrers {
    /// The descriptors in the registry's order, each digest once. Type and annotations are claims: the registry's, or
    /// of whoever wrote the tag.
    pub descriptors: Vec<Descriptor>,
    /// Where was looked, and what the answer was.
    pub looked_at: Vec<Place>,
    /// What the descriptors come from.
    pub source: ReferrersSource,
    /// Why the list is not whole, where it is not.
    pub truncated: Option<Truncation>,
    /// How many entries were no descriptors.
    pub malformed: usize,
    /// How many bytes were read for it.
    pub bytes: u64,
}

/// A place where referrers are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// Which one.
    pub what: PlaceKind,
    /// What the answer was, in a few words: `404`, `200, 2 entries`.
    pub answer: String,
}

/// The places where referrers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceKind {
    /// The manifests that an image layout lists.
    ImageLayout,
    /// The referrers API.
    ReferrersApi,
    /// The tag of the referrers tag schema.
    TagSchema,
}

impl fmt::Display for PlaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageLayout => "image layout",
            Self::ReferrersApi => "referrers API",
            Self::TagSchema => "referrers tag schema",
        })
    }
}

/// What a list of referrers comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersSource {
    /// The referrers API.
    Api,
    /// The manifests of an image layout.
    ImageLayout,
    /// Something answers 200 in place of the referrers API and is none, and there is nothing under the tag: an empty
    /// list from here does not mean that nobody refers to the manifest.
    NotAnApi,
    /// The tag of the referrers tag schema; without entries: the registry has no referrers API, and no such tag.
    TagSchema,
}

/// Why a list of referrers is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Truncation {
    /// More than [`limits::REFERRERS_BYTES`].
    Bytes,
    /// More than [`limits::REFERRERS_DESCRIPTORS`].
    Descriptors,
    /// The next page is not at the registry.
    ForeignLink,
    /// An image layout with more manifests than [`limits::LAYOUT_MANIFESTS`] and [`limits::LAYOUT_BYTES`] let be read.
    Layout,
    /// The next page is one that was read already.
    LinkLoop,
    /// More than [`limits::REFERRERS_PAGES`].
    Pages,
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "it has more than {} bytes", limits::REFERRERS_BYTES),
            Self::Descriptors => write!(f, "it has more than {} entries", limits::REFERRERS_DESCRIPTORS),
            Self::ForeignLink => f.write_str("its next page is not at the registry"),
            Self::Layout => write!(
                f,
                "the image layout has more than {} manifests, or {} bytes of them",
                limits::LAYOUT_MANIFESTS,
                limits::LAYOUT_BYTES
            ),
            Self::LinkLoop => f.write_str("its next page is one that was read already"),
            Self::Pages => write!(f, "it has more than {} pages", limits::REFERRERS_PAGES),
        }
    }
}

/// A list while it grows, page by page.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) malformed: usize,
    pub(crate) truncated: Option<Truncation>,
    digests: HashSet<Digest>,
    bytes: u64,
}

/// What a registry answers where the referrers API would be.
pub(crate) enum ApiAnswer {
    Listing(Listing),
    /// No API; the answer, and whether it was a 200 of another kind.
    None {
        answer: String,
        looks_like_success: bool,
    },
}

impl Registry {
    /// Returns what refers to `subject`: of the referrers API, or where there is none, of the referrers tag schema.
    ///
    /// 200 with the type of an image index and a valid index is the API; 404, 400, 405, 406, 501 and 200 with anything
    /// else are none. Everything else is an error, under the tag as well, where only "not there" means none. Entries
    /// are not filtered by type, and nothing is opened.
    pub async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        let (answer, looks_like_success) = match self.referrers_api(subject).await? {
            ApiAnswer::Listing(listing) => {
                let answer = listing.answer();
                let place = Place { what: PlaceKind::ReferrersApi, answer };
                return Ok(listing.into_referrers(vec![place], ReferrersSource::Api));
            }
            ApiAnswer::None { answer, looks_like_success } => (answer, looks_like_success),
        };
        let api = Place { what: PlaceKind::ReferrersApi, answer };
        let listing = self.tag_schema(subject).await?;
        let answer = listing.as_ref().map_or_else(|| "404".to_owned(), Listing::answer);
        let listing = listing.unwrap_or_default();
        let is_empty = listing.descriptors.is_empty() && listing.malformed == 0;
        let source =
            if looks_like_success && is_empty { ReferrersSource::NotAnApi } else { ReferrersSource::TagSchema };
        Ok(listing.into_referrers(vec![api, Place { what: PlaceKind::TagSchema, answer }], source))
    }

    /// Returns what is listed under the tag of the referrers tag schema, whether or not there is a referrers API: where
    /// there is one, no verifier looks here. `None` when there is no such tag.
    pub async fn referrers_tag(&self, subject: &PinnedReference) -> Result<Option<Referrers>, RegistryError> {
        let Some(listing) = self.tag_schema(subject).await? else { return Ok(None) };
        let place = Place { what: PlaceKind::TagSchema, answer: listing.answer() };
        Ok(Some(listing.into_referrers(vec![place], ReferrersSource::TagSchema)))
    }

    /// Asks the referrers API, all pages of it.
    pub(crate) async fn referrers_api(&self, subject: &PinnedReference) -> Result<ApiAnswer, RegistryError> {
        let mut call = Call::read(
            format!("referrers of {subject}"),
            subject.repository(),
            format!("referrers/{}", subject.digest()),
        );
        call.headers = accept_index();
        let first = match self.fetch(&call, limits::REFERRERS_BYTES).await {
            Ok(fetched) => fetched,
            Err(error) => return self.no_api(subject, error),
        };
        let Some(page) = page_of(&first) else {
            self.note_referrers_api(subject.repository(), false);
            let shown = crate::text::printable(&content_type(&first), 100);
            return Ok(ApiAnswer::None {
                answer: format!("{} of type `{shown}`, which is no image index", first.status.as_u16()),
                looks_like_success: true,
            });
        };
        self.note_referrers_api(subject.repository(), true);
        let mut listing = Listing::default();
        let origin = self.endpoint(subject.repository().registry())?.base;
        let mut seen = HashSet::from([first.url.clone()]);
        listing.add(page, first.bytes.len());
        let mut next = listing.next_page(&origin, &first, &mut seen);
        while let Some(url) = next {
            call.target = Target::Url(url);
            let fetched = match self.fetch(&call, limits::REFERRERS_BYTES - listing.bytes).await {
                Err(error) if is_too_large(&error) => {
                    listing.truncated = Some(Truncation::Bytes);
                    break;
                }
                outcome => outcome?,
            };
            // The API was there a moment ago: another answer is a failure, not the end of the list.
            let page = listing::read(&fetched.bytes)
                .map_err(|source| RegistryError::Listing { what: call.what.clone(), source })?;
            listing.add(page, fetched.bytes.len());
            next = listing.next_page(&origin, &fetched, &mut seen);
        }
        Ok(ApiAnswer::Listing(listing))
    }

    fn no_api(&self, subject: &PinnedReference, error: RegistryError) -> Result<ApiAnswer, RegistryError> {
        if is_too_large(&error) {
            let listing = Listing { truncated: Some(Truncation::Bytes), ..Listing::default() };
            return Ok(ApiAnswer::Listing(listing));
        }
        let Some(answer) = error.answer() else { return Err(error) };
        let is_none = matches!(error, RegistryError::NotFound { .. } | RegistryError::Answered { .. });
        if !is_none || !matches!(answer.status, 400 | 404 | 405 | 406 | 501) {
            return Err(error);
        }
        // A repository that is not there yet says nothing about what the registry can do.
        if !answer.codes.iter().any(|code| code == "NAME_UNKNOWN") {
            self.note_referrers_api(subject.repository(), false);
        }
        Ok(ApiAnswer::None { answer: answer.status.to_string(), looks_like_success: false })
    }

    /// Reads the tag of the referrers tag schema; `None` when there is none.
    async fn tag_schema(&self, subject: &PinnedReference) -> Result<Option<Listing>, RegistryError> {
        let tag = Tag::of_referrers(subject.digest());
        let what = format!("manifest {}:{tag}", subject.repository());
        let mut call = Call::read(what.clone(), subject.repository(), format!("manifests/{tag}"));
        call.headers = accept_index();
        let mut listing = Listing::default();
        match self.fetch(&call, limits::REFERRERS_BYTES).await {
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            Err(error) if is_too_large(&error) => listing.truncated = Some(Truncation::Bytes),
            Err(error) => return Err(error),
            Ok(fetched) if content_type(&fetched) != media_type::OCI_INDEX => {
                return Err(RegistryError::TagSchemaForeign { what });
            }
            Ok(fetched) => {
                let page = listing::read(&fetched.bytes);
                let page = page.map_err(|source| RegistryError::Listing { what, source })?;
                listing.add(page, fetched.bytes.len());
            }
        }
        Ok(Some(listing))
    }
}

impl Listing {
    fn add(&mut self, page: Page, bytes: usize) {
        self.bytes += bytes as u64;
        self.malformed += page.malformed;
        for descriptor in page.descriptors {
            if self.descriptors.len() == limits::REFERRERS_DESCRIPTORS {
                self.truncated = Some(Truncation::Descriptors);
                return;
            }
            if self.digests.insert(descriptor.digest) {
                self.descriptors.push(descriptor);
            }
        }
        if page.beyond > 0 {
            self.truncated = Some(Truncation::Descriptors);
        }
    }

    /// Returns the next page, if there is one and it may be read; otherwise notes why the list ends here.
    fn next_page(&mut self, origin: &Url, fetched: &Fetched, seen: &mut HashSet<Url>) -> Option<Url> {
        let next = link::next(&fetched.headers, LINK)?;
        if self.truncated.is_some() {
            return None;
        }
        let url = fetched.url.join(&next).ok().filter(|url| same_origin(origin, url) && url.path().starts_with("/v2/"));
        self.truncated = match &url {
            None => Some(Truncation::ForeignLink),
            Some(_) if self.descriptors.len() >= limits::REFERRERS_DESCRIPTORS => Some(Truncation::Descriptors),
            Some(_) if self.bytes >= limits::REFERRERS_BYTES => Some(Truncation::Bytes),
            Some(_) if seen.len() >= limits::REFERRERS_PAGES => Some(Truncation::Pages),
            Some(url) if !seen.insert(url.clone()) => Some(Truncation::LinkLoop),
            Some(_) => None,
        };
        url.filter(|_| self.truncated.is_none())
    }

    pub(crate) fn lists(&self, digest: Digest) -> bool {
        self.digests.contains(&digest)
    }

    fn answer(&self) -> String {
        let entries = self.descriptors.len();
        format!("200, {entries} {}", if entries == 1 { "entry" } else { "entries" })
    }

    fn into_referrers(self, looked_at: Vec<Place>, source: ReferrersSource) -> Referrers {
        Referrers {
            descriptors: self.descriptors,
            looked_at,
            source,
            truncated: self.truncated,
            malformed: self.malformed,
            bytes: self.bytes,
        }
    }
}

fn page_of(fetched: &Fetched) -> Option<Page> {
    if fetched.status.as_u16() != 200 || content_type(fetched) != media_type::OCI_INDEX {
        return None;
    }
    listing::read(&fetched.bytes).ok()
}

pub(crate) fn content_type(fetched: &Fetched) -> String {
    let value = fetched.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type::essence(value.unwrap_or_default())
}

fn is_too_large(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Http { source: HttpError::TooLarge { .. }, .. })
}

pub(crate) fn accept_index() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX))])
}
