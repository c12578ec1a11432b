//! Why a signature does not satisfy a policy.

use std::fmt;

use crate::claim::Claim;
use crate::error::Shown;
use crate::matcher::Matcher;

/// Names one reason, with what was expected and what was found. Its text is one line, and shows what others wrote only in escaped form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denial {
    /// The signer entry that did not match; none when the policy as a whole says no.
    pub signer: Option<String>,
    /// What was compared.
    pub field: Field,
    /// What the policy asks for.
    pub expected: String,
    /// What was there, cut after 1 KiB; none when there was nothing.
    pub found: Option<String>,
    /// Whether only this very text is expected.
    exact: bool,
    /// Whether the pattern that is expected matches a part of what was found.
    partial: bool,
}

impl Denial {
    pub(crate) fn new(field: Field, expected: impl Into<String>, found: Option<&str>) -> Self {
        Self {
            signer: None,
            field,
            expected: expected.into(),
            found: found.map(|found| found.chars().take(MAX_FOUND_CHARACTERS).collect()),
            exact: false,
            partial: false,
        }
    }

    /// Makes a denial of a value that had to be one very text.
    pub(crate) fn differs(field: Field, expected: &str, found: Option<&str>) -> Self {
        Self { exact: true, ..Self::new(field, expected, found) }
    }

    /// Makes a denial of a value that does not match.
    pub(crate) fn unmatched(field: Field, matcher: &Matcher, found: Option<&str>) -> Self {
        match matcher.only() {
            Some(expected) => Self::differs(field, expected, found),
            None => Self {
                partial: found.is_some_and(|found| matcher.matches_a_part(found)),
                ..Self::new(field, matcher.expected(), found)
            },
        }
    }

    pub(crate) fn of_signer(mut self, name: &str) -> Self {
        self.signer = Some(name.to_owned());
        self
    }

    /// Returns the stable name of the reason, for programs.
    pub fn code(&self) -> &'static str {
        match self.field {
            Field::Annotation(_) => "annotation-missing",
            Field::Claim(_) => "github-claim-mismatch",
            Field::Digest => "denied-digest",
            Field::Identity => "identity-mismatch",
            Field::Issuer => "issuer-mismatch",
            Field::LogEntry => "denied-log-entry",
            Field::MaxAge => "too-old",
            Field::NotAfter => "signed-after-cutoff",
            Field::NotBefore => "signed-before-cutoff",
            Field::Repository => "repository-not-bound",
            Field::SourceRepository => "source-repository-mismatch",
            Field::Tag => "tag-not-bound",
            Field::VerifiedTime => "no-verified-time",
        }
    }

    /// Returns whether a pattern is expected that matches a part of what was found, and not the whole: cosign, which reads patterns without
    /// their ends, would have let it pass.
    #[must_use]
    pub fn matches_a_part_only(&self) -> bool {
        self.partial
    }

    /// Returns the index of the first character in which found differs from expected, for showing near misses of long names.
    /// None where nothing was found, or where the policy expects a pattern or a choice.
    pub fn first_difference(&self) -> Option<usize> {
        let found = self.found.as_deref().filter(|_| self.exact)?;
        let mut expected = self.expected.chars();
        let mut index = 0;
        for character in found.chars() {
            if expected.next() != Some(character) {
                return Some(index);
            }
            index += 1;
        }
        expected.next().map(|_| index)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(signer) = &self.signer {
            write!(formatter, "signer `{}`: ", Shown(signer))?;
        }
        write!(formatter, "{}: expected {}, found ", self.field, Shown(&self.expected))?;
        match &self.found {
            Some(found) => write!(formatter, "{}", Shown(found)),
            None => formatter.write_str("nothing"),
        }
    }
}

/// Names what a denial compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// An annotation of the signed subject, by its key.
    Annotation(String),
    /// A claim of the certificate.
    Claim(Claim),
    /// The digest asked for, against the denied ones.
    Digest,
    /// The certificate's subject alternative name.
    Identity,
    /// The certificate's OIDC issuer.
    Issuer,
    /// The log entry, against the denied ones.
    LogEntry,
    /// The age of the oldest verified time.
    MaxAge,
    /// The newest verified time, against `not_after`.
    NotAfter,
    /// The oldest verified time, against `not_before`.
    NotBefore,
    /// The repository that the signed subject names.
    Repository,
    /// The repository whose job signed, against the one that the subject alternative name speaks for.
    SourceRepository,
    /// The tags of the signed subject.
    Tag,
    /// Whether there is a verified time at all.
    VerifiedTime,
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(key) => write!(formatter, "annotation `{}`", Shown(key)),
            Self::Claim(claim) => write!(formatter, "claim `{claim}`"),
            Self::Digest => formatter.write_str("digest"),
            Self::Identity => formatter.write_str("identity"),
            Self::Issuer => formatter.write_str("issuer"),
            Self::LogEntry => formatter.write_str("log entry"),
            Self::MaxAge => formatter.write_str("age"),
            Self::NotAfter | Self::NotBefore => formatter.write_str("signing time"),
            Self::Repository => formatter.write_str("signed repository"),
            Self::SourceRepository => formatter.write_str("source repository"),
            Self::Tag => formatter.write_str("signed tags"),
            Self::VerifiedTime => formatter.write_str("verified time"),
        }
    }
}

const MAX_FOUND_CHARACTERS: usize = 1024;
