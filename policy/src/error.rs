//! Why a policy could not be loaded.

use std::fmt;

/// Tells where in which document something is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The document, as the caller named it.
    pub origin: String,
    /// Line, from 1, where the reader knows it.
    pub line: Option<u32>,
    /// Column, from 1, where the reader knows it.
    pub column: Option<u32>,
    /// Path of the key, such as `signers[0].identity`; empty for the document itself.
    pub key: String,
}

impl Location {
    pub(crate) fn new(origin: &str, key: &str) -> Self {
        Self { origin: origin.to_owned(), line: None, column: None, key: key.to_owned() }
    }

    pub(crate) fn at(mut self, line: u64, column: u64) -> Self {
        self.line = u32::try_from(line).ok().filter(|line| *line > 0);
        self.column = u32::try_from(column).ok().filter(|column| *column > 0);
        self
    }

    /// Returns the same place with `key` below the present one.
    pub(crate) fn below(&self, key: &str) -> Self {
        let mut below = self.clone();
        if !below.key.is_empty() && !key.starts_with('[') {
            below.key.push('.');
        }
        below.key.push_str(key);
        below
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
            if let Some(column) = self.column {
                write!(formatter, ":{column}")?;
            }
        }
        if !self.key.is_empty() {
            write!(formatter, ": `{}`", Shown(&self.key))?;
        }
        Ok(())
    }
}

/// Says why a policy was refused when it was read. Every variant knows where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// An exact value and a pattern are given for the same thing.
    #[error("{at}: stands beside `{other}`, and only one of them may be given")]
    Conflict {
        /// The pattern's place.
        at: Location,
        /// Key of the exact value.
        other: String,
    },
    /// The same key stands twice in one mapping, letter case set aside.
    #[error("{at}: is given twice")]
    DuplicateKey {
        /// The second one's place.
        at: Location,
    },
    /// Two signers have the same name.
    #[error("{at}: `{}` already names another signer", Shown(.name))]
    DuplicateName {
        /// The second one's place.
        at: Location,
        /// The name.
        name: String,
    },
    /// A value, list or block that must say something says nothing.
    #[error("{at}: is empty")]
    Empty {
        /// Its place.
        at: Location,
    },
    /// The document holds nothing.
    #[error("{at}: the document is empty")]
    EmptyDocument {
        /// Its place.
        at: Location,
    },
    /// A value is not of the form that its key needs.
    #[error("{at}: expected {expected}, found `{}`", Shown(.found))]
    InvalidValue {
        /// Its place.
        at: Location,
        /// What the key takes.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// A pattern is no regular expression, or too large a one.
    #[error("{at}: `{}` is not a usable regular expression", Shown(.pattern))]
    MalformedPattern {
        /// Its place.
        at: Location,
        /// The pattern.
        pattern: String,
        /// What the expression engine says.
        #[source]
        source: Box<regex::Error>,
    },
    /// The text is not YAML.
    #[error("{at}: malformed YAML")]
    MalformedYaml {
        /// Where reading stopped.
        at: Location,
        /// What the reader says.
        #[source]
        source: YamlProblem,
    },
    /// A key that must be there is not.
    #[error("{at}: is missing")]
    MissingKey {
        /// Where it belongs.
        at: Location,
    },
    /// A pattern leaves open what must be fixed.
    #[error("{at}: `{}` does not fix {fixed} before its first variable part", Shown(.pattern))]
    OpenPattern {
        /// Its place.
        at: Location,
        /// The pattern.
        pattern: String,
        /// What it must begin with.
        fixed: &'static str,
    },
    /// YAML that policies do not use, because it hides or replaces values.
    #[error("{at}: {construct} not allowed here")]
    RefusedYaml {
        /// Its place.
        at: Location,
        /// What was met.
        construct: YamlConstruct,
    },
    /// More signers must agree than there are, or none.
    #[error("{at}: threshold is {threshold}, with {signers} signers")]
    Threshold {
        /// Its place.
        at: Location,
        /// The threshold.
        threshold: u64,
        /// How many signers there are.
        signers: usize,
    },
    /// A pattern is longer than any that is needed.
    #[error("{at}: the pattern has {bytes} bytes, more than {limit}")]
    LongPattern {
        /// Where it stands.
        at: Location,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The document nests too deep or holds too many values.
    #[error("{at}: the document nests too deep or has too many values")]
    TooComplex {
        /// Where reading stopped.
        at: Location,
    },
    /// The document is larger than any policy.
    #[error("{at}: the document has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its place.
        at: Location,
        /// Its size.
        bytes: usize,
        /// The largest size read.
        limit: usize,
    },
    /// A key that nobody reads: most likely a misspelt one.
    #[error("{at}: unknown key")]
    UnknownKey {
        /// Its place.
        at: Location,
        /// The key that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A version of the document that this program does not know.
    #[error("{at}: version {version} is not known")]
    UnknownVersion {
        /// Its place.
        at: Location,
        /// The version.
        version: u64,
    },
    /// A value of another type than the key takes.
    #[error("{at}: expected {expected}")]
    WrongType {
        /// Its place.
        at: Location,
        /// What the key takes.
        expected: String,
    },
}

impl PolicyError {
    /// Returns where in the document the problem is.
    pub fn location(&self) -> &Location {
        match self {
            Self::Conflict { at, .. }
            | Self::DuplicateKey { at }
            | Self::DuplicateName { at, .. }
            | Self::Empty { at }
            | Self::EmptyDocument { at }
            | Self::InvalidValue { at, .. }
            | Self::MalformedPattern { at, .. }
            | Self::MalformedYaml { at, .. }
            | Self::MissingKey { at }
            | Self::OpenPattern { at, .. }
            | Self::RefusedYaml { at, .. }
            | Self::Threshold { at, .. }
            | Self::LongPattern { at, .. }
            | Self::TooComplex { at }
            | Self::TooLarge { at, .. }
            | Self::UnknownKey { at, .. }
            | Self::UnknownVersion { at, .. }
            | Self::WrongType { at, .. } => at,
        }
    }

    /// Returns the stable name of the problem, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "policy-conflict",
            Self::DuplicateKey { .. } => "policy-duplicate-key",
            Self::DuplicateName { .. } => "policy-duplicate-name",
            Self::Empty { .. } => "policy-empty-value",
            Self::EmptyDocument { .. } => "policy-empty-document",
            Self::InvalidValue { .. } => "policy-invalid-value",
            Self::MalformedPattern { .. } => "policy-malformed-pattern",
            Self::MalformedYaml { .. } => "policy-malformed-yaml",
            Self::MissingKey { .. } => "policy-missing-key",
            Self::OpenPattern { .. } => "policy-open-pattern",
            Self::RefusedYaml { .. } => "policy-refused-yaml",
            Self::Threshold { .. } => "policy-threshold",
            Self::LongPattern { .. } => "policy-long-pattern",
            Self::TooComplex { .. } => "policy-too-complex",
            Self::TooLarge { .. } => "policy-too-large",
            Self::UnknownKey { .. } => "policy-unknown-key",
            Self::UnknownVersion { .. } => "policy-unknown-version",
            Self::WrongType { .. } => "policy-wrong-type",
        }
    }

    /// Returns advice on how to go on, where there is any.
    pub fn hint(&self) -> Option<String> {
        let last = self.location().key.rsplit('.').next().unwrap_or_default();
        let hint = match self {
            Self::Conflict { .. } => "keep the exact value: it admits less".to_owned(),
            Self::Empty { .. } if last == "signers" => {
                "name at least one signer: a policy without signers would admit nobody".to_owned()
            }
            Self::InvalidValue { .. } if matches!(last, "not_before" | "not_after") => {
                "write date, time and offset: 2026-06-01T00:00:00Z".to_owned()
            }
            Self::MalformedPattern { .. } | Self::OpenPattern { .. } => {
                "patterns match the whole value: write literal text first, such as \
                 `https://github\\.com/owner/repository/\\.github/workflows/release\\.yml@refs/tags/v.+`"
                    .to_owned()
            }
            Self::MissingKey { .. } if matches!(last, "issuer" | "identity") => {
                "a signer is an issuer and an identity: one without the other admits strangers".to_owned()
            }
            Self::MissingKey { .. } if last == "version" => "begin the document with `version: 1`".to_owned(),
            Self::RefusedYaml { construct, .. } => construct.hint().to_owned(),
            Self::UnknownKey { suggestion: Some(key), .. } => format!("did you mean `{key}`?"),
            Self::UnknownKey { .. } if last == "issuer_regex" => {
                "a policy document names its issuers exactly: use `issuer`".to_owned()
            }
            Self::UnknownKey { at, .. } if matches!(&*at.key, "issuer" | "identity" | "identity_regex" | "github") => {
                "it belongs to an entry of `signers`".to_owned()
            }
            Self::WrongType { .. } if last == "trust" || self.location().key.starts_with("trust.") => {
                "write `public-good`, `{file: PATH}` or `{tuf: {url: URL, root: FILE}}`".to_owned()
            }
            Self::UnknownVersion { .. } => "this program reads `version: 1`".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

/// Names a YAML construct that the strict reader refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum YamlConstruct {
    /// `*name`.
    Alias,
    /// `&name`.
    Anchor,
    /// U+FEFF.
    ByteOrderMark,
    /// `%YAML` or `%TAG`.
    Directive,
    /// A key that is not plain text.
    KeyOfOtherType,
    /// `<<`.
    Merge,
    /// Nothing, `~` or `null` where a value is meant.
    Null,
    /// A second document in the same text.
    SecondDocument,
    /// `!name`.
    Tag,
}

impl YamlConstruct {
    fn hint(self) -> &'static str {
        match self {
            Self::Alias | Self::Anchor | Self::Merge => "write the values out",
            Self::ByteOrderMark => "save the file as UTF-8 without byte order marks",
            Self::Directive | Self::Tag => "remove it",
            Self::KeyOfOtherType => "write the key as plain text",
            Self::Null => "give it a value, or remove the key",
            Self::SecondDocument => "keep one document in a file",
        }
    }
}

impl fmt::Display for YamlConstruct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Alias => "an alias is",
            Self::Anchor => "an anchor is",
            Self::ByteOrderMark => "a byte order mark is",
            Self::Directive => "a directive is",
            Self::KeyOfOtherType => "a key that is not text is",
            Self::Merge => "a merge is",
            Self::Null => "an empty value is",
            Self::SecondDocument => "a second document is",
            Self::Tag => "a tag is",
        })
    }
}

/// Carries what the YAML reader said of text that it could not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct YamlProblem(pub(crate) String);

/// Shows text of others on one line: control characters escaped, cut after 256 characters.
pub(crate) struct Shown<'text>(pub(crate) &'text str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, character) in self.0.chars().enumerate() {
            if count == SHOWN_CHARACTERS {
                return formatter.write_str("...");
            }
            if is_plain(character) {
                write!(formatter, "{character}")?;
            } else {
                write!(formatter, "{}", character.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// Tells characters that show as themselves from those that move, hide or reorder text on a terminal.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

const SHOWN_CHARACTERS: usize = 256;
