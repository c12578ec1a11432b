//! Writing: blobs, manifests, and the lists of referrers that a registry does not keep itself.

mod copy;
mod feed;
mod tag;
mod tag_schema;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::time::sleep;

use crate::error::RegistryError;
use crate::index::Descriptor;
use crate::limits::ERROR_ANSWER_BYTES;
use crate::pull::{CONTENT_DIGEST, stated_digest};
use crate::referrers::ApiAnswer;
use crate::registry::{Call, Registry};
use crate::text::printable;
use crate::{Digest, PinnedReference, Repository, Tag};

pub use copy::Copied;
pub use tag::Deleted;
pub use tag_schema::TagSchemaUpdate;

/// The only writer. Nothing that only reads ever holds one.
#[derive(Clone)]
pub struct Pusher {
    registry: Registry,
}

/// Where a manifest is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestTarget<'a> {
    /// Under its digest, which must be that of the bytes.
    Digest(Digest),
    /// Under a tag, which then points at it.
    Tag(&'a Tag),
}

impl fmt::Display for ManifestTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "@{digest}"),
            Self::Tag(tag) => write!(f, ":{tag}"),
        }
    }
}

/// A manifest that the registry has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// The digest of the bytes, computed here.
    pub digest: Digest,
    /// The subject that the registry has noted: it lists the manifest under it by itself.
    pub oci_subject: Option<Digest>,
}

/// A manifest that was pushed and is to be listed among the referrers of its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it refers to.
    pub subject: PinnedReference,
    /// What the list says of it: with its artifact type and annotations.
    pub referrer: Descriptor,
    /// What the registry answered when it was pushed.
    pub pushed: Pushed,
}

/// How a referrer came to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attached {
    /// The registry said so when the manifest was pushed.
    OciSubject,
    /// The referrers API lists it.
    ReferrersApi,
    /// The tag of the referrers tag schema lists it.
    TagSchema,
}

impl Pusher {
    /// Makes a writer that shares connections and tokens with `registry`.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Returns the reader that this writer shares everything with.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Proves that the repository can be written to, by pushing the two bytes `{}`: the empty configuration that every
    /// referrer manifest needs anyway.
    pub async fn prove_write(&self, repository: &Repository) -> Result<(), RegistryError> {
        self.push_blob(repository, Digest::of(EMPTY_BLOB), Bytes::from_static(EMPTY_BLOB)).await
    }

    /// Pushes a manifest, byte for byte. A digest that the registry states is compared with ours. A tag that may not be
    /// overwritten is [`RegistryError::TagImmutable`].
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        at: ManifestTarget<'_>,
        bytes: Bytes,
        media_type: &str,
    ) -> Result<Pushed, RegistryError> {
        let call = manifest_call(repository, at, bytes, media_type)?;
        let answer =
            self.registry.fetch(&call, ERROR_ANSWER_BYTES).await.map_err(|error| self.refused(&call, at, error))?;
        pushed(&call, &answer.headers)
    }

    /// Sees to it that `referrer`, which was pushed as `pushed`, is listed among the referrers of `subject`. Several are
    /// better listed with [`Self::attach_all`].
    pub async fn attach(
        &self,
        subject: &PinnedReference,
        referrer: &Descriptor,
        pushed: &Pushed,
    ) -> Result<Attached, RegistryError> {
        let one = Attachment { subject: subject.clone(), referrer: referrer.clone(), pushed: *pushed };
        self.attach_all(&[one]).await.pop().expect("there is one outcome for one attachment")
    }

    /// Sees to it that manifests which were pushed are listed among the referrers of their subjects; one outcome for
    /// each, in order.
    ///
    /// Where the registry named the subject when it took the manifest, nothing is left to do. Otherwise its referrers
    /// API is asked, and must list it, if not at once then within seconds; where there is none, the tag of the
    /// referrers tag schema is written, once for each subject, see [`Self::update_tag_schemas`].
    pub async fn attach_all(&self, attachments: &[Attachment]) -> Vec<Result<Attached, RegistryError>> {
        let listed: Vec<Result<Option<Attached>, RegistryError>> =
            stream::iter(attachments).map(|one| self.listed_by_registry(one)).buffered(CONCURRENT).collect().await;
        let mut updates: BTreeMap<&PinnedReference, TagSchemaUpdate> = BTreeMap::new();
        for (one, listed) in attachments.iter().zip(&listed) {
            if let Ok(None) = listed {
                let update = updates.entry(&one.subject).or_insert_with(|| TagSchemaUpdate::new(one.subject.clone()));
                update.referrers.push(one.referrer.clone());
            }
        }
        let (subjects, updates): (Vec<_>, Vec<_>) = updates.into_iter().unzip();
        let outcomes = self.update_tag_schemas(&updates).await;
        let outcomes: BTreeMap<_, _> =
            subjects.into_iter().zip(outcomes.into_iter().map(|one| one.map_err(Arc::new))).collect();
        let by_tag = |subject| match &outcomes[subject] {
            Ok(()) => Ok(Attached::TagSchema),
            Err(source) => {
                Err(RegistryError::TagSchema { subject: PinnedReference::to_string(subject), source: source.clone() })
            }
        };
        attachments.iter().zip(listed).map(|(one, listed)| listed?.map_or_else(|| by_tag(&one.subject), Ok)).collect()
    }

    /// What a refused manifest says beside itself.
    fn refused(&self, call: &Call<'_>, at: ManifestTarget<'_>, error: RegistryError) -> RegistryError {
        if error.answer().is_some_and(|answer| answer.codes.iter().any(|code| code.ends_with("BLOB_UNKNOWN"))) {
            self.registry.0.present.forget(call.repository);
        }
        match at {
            ManifestTarget::Digest(_) => error,
            ManifestTarget::Tag(_) => tag::explain(error, false),
        }
    }

    /// Returns how the registry lists a referrer by itself, or `None` when it keeps no lists.
    async fn listed_by_registry(&self, one: &Attachment) -> Result<Option<Attached>, RegistryError> {
        let Attachment { subject, referrer, pushed } = one;
        check(&format!("referrer of {subject}"), referrer.digest, pushed.digest)?;
        if pushed.oci_subject == Some(subject.digest()) {
            return Ok(Some(Attached::OciSubject));
        }
        if self.registry.lacks_referrers_api(subject.repository()) {
            return Ok(None);
        }
        for pause in LISTING_PAUSES {
            match self.registry.referrers_api(subject).await? {
                ApiAnswer::None { .. } => return Ok(None),
                // What is cut off cannot be told from what is missing, and the registry has the manifest.
                ApiAnswer::Listing(listing) if listing.lists(referrer.digest) || listing.truncated.is_some() => {
                    return Ok(Some(Attached::ReferrersApi));
                }
                ApiAnswer::Listing(_) => sleep(pause).await,
            }
        }
        Err(RegistryError::NotListed { subject: subject.to_string(), referrer: referrer.digest })
    }
}

fn manifest_call<'a>(
    repository: &'a Repository,
    at: ManifestTarget<'_>,
    bytes: Bytes,
    media_type: &str,
) -> Result<Call<'a>, RegistryError> {
    let what = format!("manifest {repository}{at}");
    let path = match at {
        ManifestTarget::Digest(named) => {
            check(&what, named, Digest::of(&bytes))?;
            format!("manifests/{named}")
        }
        ManifestTarget::Tag(tag) => format!("manifests/{tag}"),
    };
    let content_type = HeaderValue::from_str(media_type)
        .map_err(|_| RegistryError::MediaType { media_type: printable(media_type, 200) })?;
    let mut call = Call::write(what, repository, Method::PUT, path);
    call.headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    call.body = bytes;
    Ok(call)
}

fn pushed(call: &Call<'_>, answer: &HeaderMap) -> Result<Pushed, RegistryError> {
    let digest = Digest::of(&call.body);
    if let Some(stated) = stated_digest(answer, &CONTENT_DIGEST) {
        check(&call.what, digest, stated)?;
    }
    Ok(Pushed { digest, oci_subject: stated_digest(answer, &OCI_SUBJECT) })
}

fn check(what: &str, expected: Digest, actual: Digest) -> Result<(), RegistryError> {
    if expected == actual {
        return Ok(());
    }
    Err(RegistryError::DigestMismatch { what: what.to_owned(), expected, actual })
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher").finish_non_exhaustive()
    }
}

/// How many requests of one call are under way at once.
const CONCURRENT: usize = 16;

const EMPTY_BLOB: &[u8] = b"{}";

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// How long to wait for a registry that lists referrers a little later than it takes them.
const LISTING_PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(900),
    Duration::from_millis(1_800),
    Duration::from_millis(1_900),
];
