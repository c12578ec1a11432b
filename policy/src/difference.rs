//! How two texts that should be the same first part: what makes a near miss visible.

use std::fmt;

/// Says where two texts first differ, and what kind of slip that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Index of the first differing character, counted in characters from 0. Where one text ends first, its length.
    pub position: usize,
    /// The kind.
    pub kind: DifferenceKind,
}

/// Names the kinds of slips that people make in names of signers. All but [`DifferenceKind::Other`] speak of the whole texts: nothing else
/// differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// Only blanks, or characters that nobody sees, differ.
    Blank,
    /// Only letter case differs.
    Case,
    /// One text is the beginning of the other.
    End,
    /// Only `.yml` and `.yaml` differ.
    Extension,
    /// Anything else.
    Other,
    /// One text is the other with a slash at its end.
    TrailingSlash,
}

/// Returns the first difference of two texts; none when they are the same.
///
/// ```
/// use countersign_policy::difference::{DifferenceKind, first_difference};
///
/// let difference = first_difference("octo/app/release.yaml@refs/heads/main", "octo/app/release.yml@refs/heads/main").unwrap();
/// assert_eq!((difference.position, difference.kind), (18, DifferenceKind::Extension));
/// ```
pub fn first_difference(expected: &str, found: &str) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let position = expected.chars().zip(found.chars()).take_while(|(one, other)| one == other).count();
    Some(Difference { position, kind: kind(expected, found) })
}

fn kind(expected: &str, found: &str) -> DifferenceKind {
    let is_slash_more = |one: &str, other: &str| one.strip_suffix('/') == Some(other);
    let short = |text: &str| text.replace(".yaml", ".yml");
    if is_slash_more(expected, found) || is_slash_more(found, expected) {
        DifferenceKind::TrailingSlash
    } else if seen(expected).eq(seen(found)) {
        DifferenceKind::Blank
    } else if folded(expected).eq(folded(found)) {
        DifferenceKind::Case
    } else if short(expected) == short(found) {
        DifferenceKind::Extension
    } else if expected.starts_with(found) || found.starts_with(expected) {
        DifferenceKind::End
    } else {
        DifferenceKind::Other
    }
}

/// The characters that a reader sees.
fn seen(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|character| {
        !character.is_whitespace()
            && !character.is_control()
            && !matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    })
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

impl fmt::Display for DifferenceKind {
    /// Writes what differs, as the rest of "the two differ in ...".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Blank => "blanks only",
            Self::Case => "letter case only",
            Self::End => "length only: one is the beginning of the other",
            Self::Extension => "the file extension only: .yml is not .yaml",
            Self::Other => "their text",
            Self::TrailingSlash => "the slash at the end only",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DifferenceKind as Kind, first_difference};

    #[test]
    fn slips_are_told_from_other_names() {
        for (expected, found, difference) in [
            ("same", "same", None),
            ("", "", None),
            ("octo/app", "Octo/app", Some((0, Kind::Case))),
            ("octo/App@refs/heads/Main", "octo/app@refs/heads/main", Some((5, Kind::Case))),
            ("a b", "ab", Some((1, Kind::Blank))),
            ("ab ", "ab", Some((2, Kind::Blank))),
            ("ab", "a\u{200b}b", Some((1, Kind::Blank))),
            ("ab", "ab\n", Some((2, Kind::Blank))),
            ("r.yml@main", "r.yaml@main", Some((3, Kind::Extension))),
            ("r.yaml", "r.yml", Some((3, Kind::Extension))),
            ("https://issuer.example", "https://issuer.example/", Some((22, Kind::TrailingSlash))),
            ("https://issuer.example/", "https://issuer.example", Some((22, Kind::TrailingSlash))),
            ("https://issuer.example", "https://issuer.example//", Some((22, Kind::End))),
            ("refs/heads/main", "refs/heads/main-evil", Some((15, Kind::End))),
            ("refs/heads/main", "", Some((0, Kind::End))),
            ("Release.yml", "release.yaml", Some((0, Kind::Other))),
            ("äöü.x", "äöü.y", Some((4, Kind::Other))),
            ("octo", "evil", Some((0, Kind::Other))),
        ] {
            let got = first_difference(expected, found).map(|difference| (difference.position, difference.kind));
            assert_eq!(got, difference, "{expected:?} {found:?}");
        }
    }

    #[test]
    fn the_position_counts_characters_and_both_ways_agree() {
        for (one, other) in [("äb", "äc"), ("x", "xyz"), ("\u{1f600}a", "\u{1f600}b")] {
            assert_eq!(first_difference(one, other), first_difference(other, one));
        }
        assert_eq!(first_difference("ä\u{1f600}b", "ä\u{1f600}c").unwrap().position, 2);
    }
}
