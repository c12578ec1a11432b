//! Compares one value with what a policy says of it: exactly, or by a pattern over the whole value.

use regex::RegexBuilder;
use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_syntax::hir::{Dot, Hir, HirKind};

use crate::error::{Location, PolicyError};

/// Holds what one value must be. A value with control characters, or longer than 8 KiB, never matches.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    /// One of these, to the letter.
    Exact(Vec<String>),
    /// The whole value matches.
    Pattern(Pattern),
}

impl Matcher {
    pub(crate) fn matches(&self, value: &str) -> bool {
        if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
            return false;
        }
        match self {
            Self::Exact(allowed) => allowed.iter().any(|allowed| allowed == value),
            Self::Pattern(pattern) => pattern.matches(value),
        }
    }

    /// Says whether the value, which does not match, has a part that does: enough for those who read a pattern without its ends, as cosign does.
    pub(crate) fn matches_a_part(&self, value: &str) -> bool {
        match self {
            Self::Exact(_) => false,
            Self::Pattern(pattern) => {
                value.len() <= MAX_VALUE_BYTES && build(&pattern.text).is_some_and(|part| part.is_match(value))
            }
        }
    }

    /// Returns what to print as expected.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Exact(allowed) => allowed.join(" or "),
            Self::Pattern(pattern) => format!("text that matches {}", pattern.text),
        }
    }

    /// Returns the pattern, where it is one.
    pub(crate) fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Exact(_) => None,
            Self::Pattern(pattern) => Some(pattern),
        }
    }

    /// Returns the value, where there is exactly one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self {
            Self::Exact(allowed) if allowed.len() == 1 => allowed.first().map(String::as_str),
            _ => None,
        }
    }
}

/// Holds a regular expression that matches whole values only.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    expression: meta::Regex,
    /// How a value must begin, to the letter, whatever else the expression admits. Empty where nothing need be fixed.
    heads: Vec<String>,
}

/// Says what the literal beginning of a pattern must contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fixed {
    /// Nothing.
    Nothing,
    /// `scheme://host`, up to a slash or the end.
    Host,
    /// `scheme://host/owner`, up to a slash or the end.
    Owner,
    /// `owner/`.
    RepositoryOwner,
}

impl Pattern {
    /// Compiles `text`, and refuses it where it leaves open what must be `fixed`.
    ///
    /// The rule: every alternative of the pattern begins with literal text that contains all of `fixed`, with the slash that ends it (or the
    /// end of the pattern). A lone `.` in that text stands for a dot and nothing else, so that patterns in which it was not escaped load
    /// and still admit no other host: the literal beginning is compared as well as the expression.
    pub(crate) fn compile(text: &str, at: &Location, fixed: Fixed) -> Result<Self, PolicyError> {
        if text.is_empty() {
            return Err(PolicyError::Empty { at: at.clone() });
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PolicyError::LongPattern { at: at.clone(), bytes: text.len(), limit: MAX_PATTERN_BYTES });
        }
        let whole = format!(r"\A(?:{text})\z");
        // Alone first: `a)|(?:b` is only well-formed inside the group.
        check(text).and_then(|()| check(&whole)).map_err(|source| PolicyError::MalformedPattern {
            at: at.clone(),
            pattern: text.to_owned(),
            source: Box::new(source),
        })?;
        let expression = build(&whole).ok_or_else(|| PolicyError::TooComplex { at: at.clone() })?;
        let heads = match fixed {
            Fixed::Nothing => Vec::new(),
            _ => heads(text, fixed).ok_or_else(|| PolicyError::OpenPattern {
                at: at.clone(),
                pattern: text.to_owned(),
                fixed: fixed.name(),
            })?,
        };
        Ok(Self { text: text.to_owned(), expression, heads })
    }

    fn matches(&self, value: &str) -> bool {
        let begins = self.heads.is_empty() || self.heads.iter().any(|head| value.starts_with(head.as_str()));
        begins && self.expression.is_match(value)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the literal beginnings, of which a value must have one.
    pub(crate) fn heads(&self) -> &[String] {
        &self.heads
    }
}

impl Fixed {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "anything",
            Self::Host => "scheme and host",
            Self::Owner => "scheme, host and owner",
            Self::RepositoryOwner => "the owner",
        }
    }

    /// Returns the length of the part of `head` that fixes what must be fixed. `whole` means that the pattern ends there.
    fn length(self, head: &str, whole: bool) -> Option<usize> {
        let (start, parts) = match self {
            Self::Nothing => return Some(0),
            Self::Host => (authority(head)?, 1),
            Self::Owner => (authority(head)?, 2),
            Self::RepositoryOwner => (0, 1),
        };
        let mut end = start;
        for number in 1..=parts {
            let part = head[end..].split('/').next().filter(|part| !part.is_empty())?;
            if part.contains(['?', '#', '@', '\\']) {
                return None;
            }
            end += part.len();
            if end == head.len() {
                return (whole && number == parts).then_some(end);
            }
            end += 1;
        }
        Some(end)
    }
}

/// Returns where the host of a URL begins.
fn authority(head: &str) -> Option<usize> {
    let (scheme, _) = head.split_once("://")?;
    let plain = !scheme.is_empty() && scheme.chars().all(|letter| letter.is_ascii_lowercase() || letter == '+');
    plain.then(|| scheme.len() + "://".len())
}

/// Returns the literal beginnings of all alternatives, each cut after what is fixed; none if one of them fixes too little.
fn heads(text: &str, fixed: Fixed) -> Option<Vec<String>> {
    let tree = regex_syntax::ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(text).ok()?;
    let mut complete = Vec::new();
    for head in extend(vec![Head::default()], &tree, fixed)? {
        let length = match head.complete {
            true => head.text.len(),
            false => fixed.length(&head.text, true)?,
        };
        complete.push(head.text[..length].to_owned());
    }
    complete.sort();
    complete.dedup();
    Some(complete)
}

/// A literal beginning; complete once it contains all that must be fixed.
#[derive(Clone, Default)]
struct Head {
    text: String,
    complete: bool,
}

impl Head {
    fn append(&mut self, text: &str, fixed: Fixed) {
        if self.complete {
            return;
        }
        self.text.push_str(text);
        if let Some(length) = fixed.length(&self.text, false) {
            self.text.truncate(length);
            self.complete = true;
        }
    }
}

/// Continues the beginnings by what `tree` matches; none when something variable comes before one is complete.
fn extend(mut heads: Vec<Head>, tree: &Hir, fixed: Fixed) -> Option<Vec<Head>> {
    if heads.iter().all(|head| head.complete) {
        return Some(heads);
    }
    let literal = match tree.kind() {
        // Anchors and word boundaries only narrow what matches.
        HirKind::Empty | HirKind::Look(_) => "",
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok()?,
        HirKind::Class(_) if is_dot(tree) => ".",
        HirKind::Class(_) | HirKind::Repetition(_) => return None,
        HirKind::Capture(capture) => return extend(heads, &capture.sub, fixed),
        HirKind::Concat(parts) => return parts.iter().try_fold(heads, |heads, part| extend(heads, part, fixed)),
        HirKind::Alternation(branches) => {
            let (mut all, open): (Vec<Head>, Vec<Head>) = heads.into_iter().partition(|head| head.complete);
            for branch in branches {
                all.extend(extend(open.clone(), branch, fixed)?);
                if all.len() > MAX_HEADS {
                    return None;
                }
            }
            return Some(all);
        }
    };
    heads.iter_mut().for_each(|head| head.append(literal, fixed));
    Some(heads)
}

fn is_dot(tree: &Hir) -> bool {
    [Dot::AnyChar, Dot::AnyCharExceptLF, Dot::AnyCharExceptCRLF].into_iter().any(|dot| *tree == Hir::dot(dot))
}

/// Says what is wrong with a pattern, in the words of the library that people know.
fn check(text: &str) -> Result<(), regex::Error> {
    RegexBuilder::new(text).size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT).build().map(|_| ())
}

/// Compiles a pattern as the crate `regex` does, without remembering what its groups match: that would cost memory for each group times
/// each state, gigabytes for a pattern of a few kilobytes.
fn build(text: &str) -> Option<meta::Regex> {
    let limits = meta::Config::new()
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(SIZE_LIMIT))
        .hybrid_cache_capacity(CACHE_LIMIT);
    meta::Regex::builder().configure(limits).syntax(syntax::Config::new().nest_limit(NEST_LIMIT)).build(text).ok()
}

/// Bytes of a pattern: twice what an identity may have.
const MAX_PATTERN_BYTES: usize = 4 * 1024;

/// Bytes of a compiled expression. Patterns of identities need a few thousand.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;
/// Bytes that matching one expression may cache.
const CACHE_LIMIT: usize = 256 * 1024;
/// Levels of groups in a pattern.
const NEST_LIMIT: u32 = 32;
/// Literal beginnings of one pattern.
const MAX_HEADS: usize = 64;
/// Bytes of a value that is compared. Names in certificates have a few hundred.
const MAX_VALUE_BYTES: usize = 8 * 1024;
