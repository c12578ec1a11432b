use std::fmt;
use std::str::FromStr;

use crate::text::{printable, serde_as_text};
use crate::{Digest, DigestError, limits};

mod grammar;

pub use grammar::GrammarError;
use grammar::Parts;

/// A repository: registry host, optional port, and path, in canonical form.
///
/// `app`, `docker.io/app` and `index.docker.io/library/app` are all `docker.io/library/app`; hosts are lower case.
/// Two names that are equal as values are equal as text, so the text can be signed and compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: String,
    path: String,
}

impl Repository {
    /// Returns the registry's host with its port, where one was named: `ghcr.io`, `localhost:5000`, `docker.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the path inside the registry, `octo/app`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns `digest` in this repository.
    #[must_use]
    pub fn pin(&self, digest: Digest) -> PinnedReference {
        PinnedReference::new(self.clone(), digest)
    }

    fn of(parts: &Parts<'_>, typed: &str) -> Result<Self, ReferenceError> {
        let registry = parts.registry.unwrap_or(DOCKER_HUB).to_ascii_lowercase();
        if let Some((_, port)) = registry.split_once(':')
            && !port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port)
        {
            return Err(ReferenceError::malformed(typed, "the port is not a number from 1 to 65535"));
        }
        let registry = if registry == "index.docker.io" { DOCKER_HUB.to_owned() } else { registry };
        let path = match parts.path {
            path if registry == DOCKER_HUB && !path.contains('/') => format!("library/{path}"),
            path => path.to_owned(),
        };
        let limit = PATH_CHARACTERS;
        if path.len() > limit {
            return Err(ReferenceError::grammar(typed, GrammarError::PathTooLong { limit }));
        }
        Ok(Self { registry, path })
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = parse(text)?;
        if parts.tag.is_some() {
            return Err(ReferenceError::malformed(text, "a repository has no tag"));
        }
        if parts.digest.is_some() {
            return Err(ReferenceError::malformed(text, "a repository has no digest"));
        }
        Self::of(&parts, text)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Repository);

/// A tag: one to 128 ASCII letters, digits, `_`, `.` and `-`, not starting with `.` or `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the tag of the referrers tag schema for `digest`, `sha256-<hex>`.
    #[must_use]
    pub fn of_referrers(digest: Digest) -> Self {
        Self(format!("sha256-{}", digest.hex()))
    }

    /// Returns the tag under which older cosign versions kept signatures of `digest`, `sha256-<hex>.sig`.
    #[must_use]
    pub fn of_cosign_signature(digest: Digest) -> Self {
        Self(format!("sha256-{}.sig", digest.hex()))
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let first = text.bytes().next().is_some_and(word);
        if first && text.len() <= 128 && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReferenceError::Tag { text: printable(text, 140) })
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Tag);

/// What a person typed: `repository[:tag][@digest]`. Without tag and digest the tag is `latest`.
///
/// Refuses a scheme (`https://`, `oci://`), upper-case paths, digests other than sha256, and anything after the end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    repository: Repository,
    named: Named,
}

/// Neither tag nor digest is not a reference.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Named {
    Digest(Digest),
    Tag(Tag),
    TagAndDigest(Tag, Digest),
}

impl ImageReference {
    /// Names `tag` in `repository`.
    #[must_use]
    pub const fn with_tag(repository: Repository, tag: Tag) -> Self {
        Self { repository, named: Named::Tag(tag) }
    }

    /// Returns the repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the tag, if one was named or implied.
    #[must_use]
    pub const fn tag(&self) -> Option<&Tag> {
        match &self.named {
            Named::Tag(tag) | Named::TagAndDigest(tag, _) => Some(tag),
            Named::Digest(_) => None,
        }
    }

    /// Returns the digest, if one was named.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        match self.named {
            Named::Digest(digest) | Named::TagAndDigest(_, digest) => Some(digest),
            Named::Tag(_) => None,
        }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = parse(text)?;
        let repository = Repository::of(&parts, text)?;
        let tag = parts.tag.map(str::parse).transpose()?;
        let digest = match parts.digest.map(str::parse).transpose() {
            Ok(digest) => digest,
            Err(source) => return Err(ReferenceError::Digest { text: printable(text, 400), source }),
        };
        let named = match (tag, digest) {
            (Some(tag), Some(digest)) => Named::TagAndDigest(tag, digest),
            (Some(tag), None) => Named::Tag(tag),
            (None, Some(digest)) => Named::Digest(digest),
            (None, None) => Named::Tag(Tag("latest".to_owned())),
        };
        Ok(Self { repository, named })
    }
}

impl From<PinnedReference> for ImageReference {
    fn from(pinned: PinnedReference) -> Self {
        Self { repository: pinned.repository, named: Named::Digest(pinned.digest) }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest() {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(ImageReference);

/// A repository and a digest: what everything after resolving takes. Text form `repository@sha256:...`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinnedReference {
    repository: Repository,
    digest: Digest,
}

impl PinnedReference {
    /// Names `digest` in `repository`.
    #[must_use]
    pub const fn new(repository: Repository, digest: Digest) -> Self {
        Self { repository, digest }
    }

    /// Returns the repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the digest.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl FromStr for PinnedReference {
    type Err = ReferenceError;

    /// Refuses a tag: where both were typed, [`ImageReference`] keeps them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference: ImageReference = text.parse()?;
        match reference.named {
            Named::Digest(digest) => Ok(Self::new(reference.repository, digest)),
            Named::Tag(_) => Err(ReferenceError::malformed(text, "it has no digest")),
            Named::TagAndDigest(..) => Err(ReferenceError::malformed(text, "it has a tag beside the digest")),
        }
    }
}

impl fmt::Display for PinnedReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl fmt::Debug for PinnedReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(PinnedReference);

/// Parses with the grammar of the distribution project, within bounds.
fn parse(text: &str) -> Result<Parts<'_>, ReferenceError> {
    if text.chars().nth(limits::REFERENCE_CHARACTERS).is_some() {
        return Err(ReferenceError::TooLong { limit: limits::REFERENCE_CHARACTERS });
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(ReferenceError::Scheme { scheme: printable(scheme, 20) });
    }
    if !text.is_ascii() {
        return Err(ReferenceError::malformed(text, "it has characters outside ASCII"));
    }
    grammar::parse(text).map_err(|source| ReferenceError::grammar(text, source))
}

/// The registry that a name without one lies in.
const DOCKER_HUB: &str = "docker.io";
/// The longest path that registries take.
const PATH_CHARACTERS: usize = 255;

/// Why text is not a reference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The digest is not one that is accepted.
    #[error("`{text}` has a digest that is not accepted")]
    Digest {
        /// The text, fit for printing.
        text: String,
        /// What is wrong with the digest.
        #[source]
        source: DigestError,
    },
    /// The text does not follow the reference grammar.
    #[error("`{text}` is not an image reference")]
    Grammar {
        /// The text, fit for printing.
        text: String,
        /// What the grammar objects to.
        #[source]
        source: GrammarError,
    },
    /// The text follows the grammar and is still not this kind of reference.
    #[error("`{text}` is not such a reference: {reason}")]
    Malformed {
        /// The text, fit for printing.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// References have no scheme.
    #[error("a reference has no scheme such as `{scheme}://`")]
    Scheme {
        /// The scheme that was typed.
        scheme: String,
    },
    /// The tag is not one to 128 letters, digits, `_`, `.` and `-`.
    #[error("`{text}` is not a tag")]
    Tag {
        /// The text, fit for printing.
        text: String,
    },
    /// Longer than any reference can be.
    #[error("a reference has at most {limit} characters")]
    TooLong {
        /// The limit in characters.
        limit: usize,
    },
}

impl ReferenceError {
    fn grammar(text: &str, source: GrammarError) -> Self {
        Self::Grammar { text: printable(text, 400), source }
    }

    fn malformed(text: &str, reason: &'static str) -> Self {
        Self::Malformed { text: printable(text, 400), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn references_have_one_canonical_form() {
        let digest = format!("sha256:{HEX}");
        for (typed, canonical) in [
            ("app".to_owned(), "docker.io/library/app:latest".to_owned()),
            ("docker.io/app".to_owned(), "docker.io/library/app:latest".to_owned()),
            ("index.docker.io/app:1".to_owned(), "docker.io/library/app:1".to_owned()),
            ("Index.Docker.IO/app:1".to_owned(), "docker.io/library/app:1".to_owned()),
            ("octo/app".to_owned(), "docker.io/octo/app:latest".to_owned()),
            ("GHCR.io/octo/app:v1".to_owned(), "ghcr.io/octo/app:v1".to_owned()),
            ("localhost/app".to_owned(), "localhost/app:latest".to_owned()),
            ("127.0.0.1:5000/a/b/c:V_1.0-x".to_owned(), "127.0.0.1:5000/a/b/c:V_1.0-x".to_owned()),
            (format!("quay.io/a/b@{digest}"), format!("quay.io/a/b@{digest}")),
            (format!("quay.io/a/b:t@{digest}"), format!("quay.io/a/b:t@{digest}")),
        ] {
            let reference: ImageReference = typed.parse().unwrap();
            assert_eq!(reference.to_string(), canonical, "{typed}");
            assert_eq!(canonical.parse::<ImageReference>().unwrap(), reference, "{typed}");
        }
    }

    #[test]
    fn tag_and_digest_are_both_kept() {
        let reference: ImageReference = format!("quay.io/a/b:t@sha256:{HEX}").parse().unwrap();
        assert_eq!(reference.tag().map(Tag::as_str), Some("t"));
        assert_eq!(reference.digest(), Some(Digest::of(b"{}")));
        assert_eq!(reference.repository().registry(), "quay.io");
        assert_eq!(reference.repository().path(), "a/b");
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        for text in [
            "",
            " ",
            "app ",
            "app\n",
            "App",
            "Octo/app",
            "LOCALHOST/app",
            "app:",
            "app:.dot",
            "app:tag:tag",
            "app@",
            "app@sha256:abc",
            ":tag",
            "/app",
            "app/",
            "a//b",
            "a/../b",
            "../b",
            "ghcr.io/octo/app:täg",
            "ghcr.io:0/octo/app",
            "ghcr.io:99999/octo/app",
            "ghcr.io:080/octo/app",
            "user@ghcr.io/app",
            "ghcr.io/octo/app?x=1",
            "ghcr.io/octo/app#x",
            "ghcr.io/octo/%2e%2e/app",
            "ghcr.io\\octo",
            "https://ghcr.io/octo/app",
            "oci://ghcr.io/octo/app",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text:?}");
        }
        assert!(format!("app@sha512:{HEX}{HEX}").parse::<ImageReference>().is_err());
        assert!(format!("app@sha256:{}", HEX.to_uppercase()).parse::<ImageReference>().is_err());
        assert!(matches!("a/".repeat(2_000).parse::<ImageReference>(), Err(ReferenceError::TooLong { .. })));
        assert!(format!("ghcr.io/{}", "a".repeat(256)).parse::<ImageReference>().is_err());
        assert!(format!("app:{}", "t".repeat(129)).parse::<ImageReference>().is_err());
    }

    #[test]
    fn a_repository_has_neither_tag_nor_digest() {
        assert_eq!("GHCR.io/octo/app".parse::<Repository>().unwrap().to_string(), "ghcr.io/octo/app");
        assert_eq!("127.0.0.1:5000/app".parse::<Repository>().unwrap().registry(), "127.0.0.1:5000");
        for text in ["ghcr.io/octo/app:v1", "127.0.0.1:5000", "", "app:latest", "https://ghcr.io/app"] {
            assert!(text.parse::<Repository>().is_err(), "{text:?}");
        }
        assert!(format!("app@sha256:{HEX}").parse::<Repository>().is_err());
    }

    #[test]
    fn a_pinned_reference_is_a_digest_without_a_tag() {
        let pinned: PinnedReference = format!("quay.io/a/b@sha256:{HEX}").parse().unwrap();
        assert_eq!(pinned.digest(), Digest::of(b"{}"));
        assert!("quay.io/a/b:t".parse::<PinnedReference>().is_err());
        assert!(format!("quay.io/a/b:t@sha256:{HEX}").parse::<PinnedReference>().is_err());
    }

    #[test]
    fn tags_of_the_tag_schema_are_tags() {
        let digest = Digest::of(b"{}");
        assert_eq!(Tag::of_referrers(digest).as_str(), format!("sha256-{HEX}"));
        assert_eq!(Tag::of_cosign_signature(digest).as_str(), format!("sha256-{HEX}.sig"));
        assert!(Tag::of_cosign_signature(digest).as_str().parse::<Tag>().is_ok());
        for text in ["", "-a", ".a", "a b", "a/b", "a:b", "ä", "a\n"] {
            assert!(text.parse::<Tag>().is_err(), "{text:?}");
        }
    }
}
