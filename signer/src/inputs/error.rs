use std::str::Utf8Error;

use countersign_oci::{Class, Digest, DigestError, ImageReference, ReferenceError};

use super::Origin;

/// Why what was given to be signed cannot be read. All of it is the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A line of a list of digests is something else.
    #[error("{origin}: {text:?} is not a digest and the name of an image")]
    DigestLineMalformed {
        /// Where.
        origin: Origin,
        /// The line, fit for printing.
        text: String,
        /// What is wrong with the digest, where there is one.
        #[source]
        cause: Option<DigestError>,
    },
    /// A name has another digest than the one that was given for it.
    #[error("{origin}: {reference} is said to be {digest}")]
    DigestsDiffer {
        /// Where.
        origin: Origin,
        /// The name with its digest.
        reference: Box<ImageReference>,
        /// The digest that was given for it.
        digest: Digest,
    },
    /// A source that should be JSON of a build tool is not.
    #[error("{origin} is not the JSON of {tool}")]
    JsonMalformed {
        /// Where.
        origin: Origin,
        /// Whose JSON it should be.
        tool: &'static str,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// The metadata of a build has a digest that is not accepted.
    #[error("{origin}: {member} is not a digest")]
    MetadataDigest {
        /// Where.
        origin: Origin,
        /// The member.
        member: &'static str,
        /// What is wrong with the digest.
        #[source]
        cause: DigestError,
    },
    /// The metadata of a build has a digest without a name, or a name without a digest.
    #[error("{origin}: {member} is missing")]
    MetadataIncomplete {
        /// Where.
        origin: Origin,
        /// The member that is missing.
        member: &'static str,
    },
    /// A source names nothing.
    #[error("{origin} names no image")]
    NothingNamed {
        /// Where.
        origin: Origin,
    },
    /// A source is not UTF-8.
    #[error("{origin} is not UTF-8 text")]
    NotText {
        /// Where.
        origin: Origin,
        /// The place of the first byte that is not.
        #[source]
        cause: Utf8Error,
    },
    /// Something is no reference.
    #[error("{origin}: {text:?} is not a reference")]
    ReferenceMalformed {
        /// Where.
        origin: Origin,
        /// The text, fit for printing.
        text: String,
        /// What is wrong with it.
        #[source]
        cause: ReferenceError,
    },
    /// One tag is said to be two digests.
    #[error("{reference} is {} in {} and {} in {}", first.0, first.1, second.0, second.1)]
    TagOfTwoDigests {
        /// The repository and the tag.
        reference: Box<ImageReference>,
        /// One digest, and where it is named.
        first: Box<(Digest, Origin)>,
        /// Another digest, and where it is named.
        second: Box<(Digest, Origin)>,
    },
    /// A source has more bytes than are read.
    #[error("{origin} has more than {limit} bytes")]
    TooLarge {
        /// Where.
        origin: Origin,
        /// The limit in bytes.
        limit: u64,
    },
    /// A source has more lines than are read.
    #[error("{origin} has more than {limit} lines")]
    TooManyLines {
        /// Where.
        origin: Origin,
        /// The limit.
        limit: usize,
    },
}

impl InputError {
    /// Who has to act: the caller.
    pub fn class(&self) -> Class {
        Class::Usage
    }

    /// The stable name of this failure in JSON output.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DigestLineMalformed { .. } => "digest-line-malformed",
            Self::DigestsDiffer { .. } => "digests-differ",
            Self::JsonMalformed { .. } => "metadata-malformed",
            Self::MetadataDigest { .. } => "metadata-digest",
            Self::MetadataIncomplete { .. } => "metadata-incomplete",
            Self::NothingNamed { .. } => "nothing-named",
            Self::NotText { .. } => "input-not-text",
            Self::ReferenceMalformed { .. } => "malformed-reference",
            Self::TagOfTwoDigests { .. } => "tag-of-two-digests",
            Self::TooLarge { .. } | Self::TooManyLines { .. } => "input-too-large",
        }
    }

    /// What the person could do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::DigestLineMalformed { cause: Some(DigestError::UnsupportedAlgorithm { .. }), .. } => {
                "only sha256 digests are signed"
            }
            Self::DigestLineMalformed { .. } => {
                "a line is 64 hexadecimal digits, a space and REPOSITORY[:TAG], as goreleaser writes it; lists of references go to --image-refs"
            }
            Self::DigestsDiffer { .. } => "leave the digest out of the name, or find out which of the two was built",
            Self::JsonMalformed { .. } => {
                "give the file that the build tool wrote, unchanged; a failed build may have left it incomplete"
            }
            Self::MetadataIncomplete { member: "image.name", .. } => {
                "it was built without a name to push it under: give the target a tag and push it, or name what to sign as REPOSITORY@DIGEST"
            }
            Self::MetadataIncomplete { .. } => {
                "only an image that was pushed has a digest: build with --push, or name what to sign as REPOSITORY@DIGEST"
            }
            Self::NothingNamed { .. } => {
                "the tool that should have written it built or pushed nothing; leave it out where that is right"
            }
            Self::TagOfTwoDigests { .. } => "a tag stands for one digest: leave out what is from an older build",
            Self::TooLarge { .. } | Self::TooManyLines { .. } => "sign in several calls",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
