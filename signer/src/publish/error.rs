use countersign_oci::index::Platform;
use countersign_oci::{Class, Digest, ImageReference, PinnedReference, RegistryError, Repository, Tag};

use crate::error::SignError;
use crate::image_index::IndexProblem;

/// Why a release was not published, or not wholly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// An image's config is not one.
    #[error("the config of {image} cannot be read: {problem}")]
    ConfigMalformed {
        /// The image.
        image: PinnedReference,
        /// What is wrong with it.
        problem: String,
    },
    /// The digests do not make an index.
    #[error("the image index cannot be built: {0}")]
    Index(IndexProblem),
    /// A digest that is in none of the repositories.
    #[error("{digest} is in none of {}", listed(looked_in))]
    ImageMissing {
        /// The digest.
        digest: Digest,
        /// Where it was looked for.
        looked_in: Vec<Repository>,
    },
    /// No repository was named.
    #[error("no repository to publish to")]
    NoRepository,
    /// No tag was named.
    #[error("no tag to publish under: without one nobody would find the image")]
    NoTag,
    /// A digest that is neither an image nor an index of images.
    #[error("{manifest} is no image: {problem}")]
    NotAnImage {
        /// The manifest.
        manifest: PinnedReference,
        /// What it is.
        problem: String,
    },
    /// What was signed does not verify as consumers will see it.
    #[error("{reference} does not verify, no tag was moved: {reason}")]
    NotVerified {
        /// What was asked for.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// What was signed could not be verified.
    #[error("{reference} could not be verified, no tag was moved: {reason}")]
    NotVerifiable {
        /// What was asked for.
        reference: String,
        /// Why not.
        reason: String,
        /// Whether it may be different a moment later.
        retryable: bool,
    },
    /// An index and a config name different platforms for one image.
    #[error("{image} is for {found} by its config, and for {named} by the index that lists it")]
    PlatformContradicted {
        /// The image.
        image: PinnedReference,
        /// What its config says.
        found: Box<Platform>,
        /// What the index says.
        named: Box<Platform>,
    },
    /// A registry failed or refused.
    #[error("cannot {action} {what}")]
    Registry {
        /// What was tried.
        action: &'static str,
        /// For what.
        what: String,
        /// What the registry said.
        #[source]
        source: Box<RegistryError>,
    },
    /// A tag whose name belongs to signatures.
    #[error("the tag {tag} is a name under which registries and older tools keep signatures")]
    ReservedTag {
        /// The tag.
        tag: Tag,
    },
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A tag is neither where it was nor where it should go.
    #[error(
        "{reference} was moved to {} by somebody else while this ran: it was {} before",
        shown(found),
        shown(before)
    )]
    TagTaken {
        /// The tag.
        reference: ImageReference,
        /// Where it was at the beginning.
        before: Option<Digest>,
        /// Where it is.
        found: Option<Digest>,
    },
    /// A tag stayed where it was.
    #[error("{reference} was not moved to {digest}, which is signed and verified")]
    TagStayed {
        /// The tag.
        reference: ImageReference,
        /// Where it should be.
        digest: Digest,
        /// What the registry said.
        #[source]
        source: Box<RegistryError>,
    },
    /// The manifests are larger together than those of any real release.
    #[error("the manifests have more than {limit} bytes together")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// There are more manifests than any real release has.
    #[error("the digests stand for more than {limit} manifests")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// That a registry answers something else than it was asked for is no verdict on a signature.
pub(crate) fn of_registry(error: &RegistryError) -> Class {
    match error.class() {
        Class::Rejected => Class::Malformed,
        class => class,
    }
}

fn listed(repositories: &[Repository]) -> String {
    repositories.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn shown(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "absent".to_owned(), |digest| digest.to_string())
}

impl PublishError {
    /// Who has to act, and whether the answer is "no" or "don't know".
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Index(_) | Self::NoRepository | Self::NoTag | Self::ReservedTag { .. } => Class::Usage,
            Self::ImageMissing { .. } => Class::NotFound,
            Self::ConfigMalformed { .. }
            | Self::NotAnImage { .. }
            | Self::PlatformContradicted { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. } => Class::Malformed,
            Self::NotVerified { .. } => Class::Rejected,
            Self::NotVerifiable { .. } => Class::Unreachable,
            Self::Registry { source, .. } | Self::TagStayed { source, .. } => of_registry(source),
            Self::Sign(error) => error.class(),
            Self::TagTaken { .. } => Class::Denied,
        }
    }

    /// The stable name of this failure in JSON output.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConfigMalformed { .. } => "config-malformed",
            Self::Index(problem) => problem.code(),
            Self::ImageMissing { .. } => "image-missing",
            Self::NoRepository => "no-repository",
            Self::NoTag => "no-tag",
            Self::NotAnImage { .. } => "not-an-image",
            Self::NotVerified { .. } => "not-verified",
            Self::NotVerifiable { .. } => "not-verifiable",
            Self::PlatformContradicted { .. } => "platform-contradicted",
            Self::Registry { source, .. } | Self::TagStayed { source, .. } => source.code(),
            Self::ReservedTag { .. } => "reserved-tag",
            Self::Sign(error) => error.code(),
            Self::TagTaken { .. } => "tag-taken",
            Self::TooLarge { .. } => "manifests-too-large",
            Self::TooMany { .. } => "too-many-manifests",
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Registry { source, .. } | Self::TagStayed { source, .. } => source.retryable(),
            Self::Sign(error) => error.retryable(),
            Self::NotVerifiable { retryable, .. } => *retryable,
            _ => false,
        }
    }

    /// What the person could do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ConfigMalformed { .. } | Self::NotAnImage { .. } => {
                "only images and indexes of images make a release: is this digest the one that the build printed?"
            }
            Self::Index(problem) => problem.hint(),
            Self::ImageMissing { .. } => {
                "name the repository that the build pushed to with --from; a registry that collects untagged manifests may have \
                 deleted it: build again, and let the build push a tag"
            }
            Self::NoRepository => "name it with --repository, as often as there are registries",
            Self::NoTag => "name it with --tag; an image that is only signed, under its digest, is `sign`'s work",
            Self::NotVerified { .. } => {
                "the image is signed and in place by digest; the policy of --self-verify does not accept that signature: \
                 countersign-verifier verify says why"
            }
            Self::PlatformContradicted { .. } => "build the image again: clients would choose it for the wrong machine",
            Self::ReservedTag { .. } => "publish under another tag",
            Self::TagTaken { .. } => {
                "look at what is there: a new run, without --resume, begins from where the tags are then, and moves this one too"
            }
            Self::TagStayed { source, .. } if matches!(**source, RegistryError::TagImmutable { .. }) => {
                "this registry lets nobody overwrite the tag, and running this again can only repeat that: allow it there, or publish \
                 under another tag"
            }
            Self::TagStayed { source, .. } if !source.retryable() => return source.hint(),
            Self::TagStayed { .. } => "run it again with --resume: what is done stays done",
            Self::Registry { source, .. } => return source.hint(),
            Self::Sign(error) => return error.hint(),
            Self::NotVerifiable { .. } | Self::TooLarge { .. } | Self::TooMany { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
