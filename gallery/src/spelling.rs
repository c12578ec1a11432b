//! Which name a person may have meant.

use crate::limits::{SPELLING_MISTAKES, SPELLING_NAMES};
use crate::name::EntryName;

/// Returns the name that is nearest to what was typed: a few letters away, else one that contains it or lies in it.
///
/// No more than 20,000 names are looked at. Of several at the same distance the first is returned.
pub(crate) fn nearest<'a>(typed: &EntryName, names: impl Iterator<Item = &'a EntryName>) -> Option<&'a EntryName> {
    let text = typed.as_str();
    let allowed = SPELLING_MISTAKES.min(text.len() / 3);
    let (mut near, mut related) = (None, None);
    for name in names.take(SPELLING_NAMES) {
        let other = name.as_str();
        if let Some(mistakes) = mistakes(text.as_bytes(), other.as_bytes(), allowed)
            && near.is_none_or(|(fewest, _)| mistakes < fewest)
        {
            near = Some((mistakes, name));
        }
        let difference = other.len().abs_diff(text.len());
        if (other.contains(text) || text.contains(other)) && related.is_none_or(|(least, _)| difference < least) {
            related = Some((difference, name));
        }
    }
    near.or(related).map(|(_, name)| name)
}

/// The letters to insert, remove, replace or swap with their neighbour on the way from one name to another; nothing
/// where that takes more than are allowed.
fn mistakes(one: &[u8], other: &[u8], allowed: usize) -> Option<usize> {
    if one.len().abs_diff(other.len()) > allowed {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, with) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != with);
            let mut least = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *letter == other[column - 1] && one[row - 1] == *with {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        if next.iter().min().is_some_and(|least| *least > allowed) {
            return None;
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().filter(|mistakes| *mistakes <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_of(typed: &str, names: &[&str]) -> Option<String> {
        let names: Vec<EntryName> = names.iter().map(|name| name.parse().unwrap()).collect();
        nearest(&typed.parse().unwrap(), names.iter()).map(ToString::to_string)
    }

    #[test]
    fn a_mistyped_name_leads_to_the_one_that_was_meant() {
        let names = ["cpu-llama-cpp", "llama-cpp", "piper", "whisper"];
        for (typed, meant) in [
            ("lama-cpp", "llama-cpp"),
            ("llmaa-cpp", "llama-cpp"),
            ("llama-cpq", "llama-cpp"),
            ("llama", "llama-cpp"),
            ("whispers", "whisper"),
            ("wisper", "whisper"),
            ("pipre", "piper"),
            ("piper-large", "piper"),
        ] {
            assert_eq!(nearest_of(typed, &names).as_deref(), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_name_like_none_leads_nowhere() {
        assert_eq!(nearest_of("zzz", &["llama-cpp", "piper"]), None);
        assert_eq!(nearest_of("ab", &["cd", "ax"]), None, "half of a short name is not a mistake");
        assert_eq!(nearest_of("x", &[]), None);
    }

    #[test]
    fn no_more_names_are_looked_at_than_one_index_can_have() {
        let fill: EntryName = "a".repeat(64).parse().unwrap();
        let meant: EntryName = "piper".parse().unwrap();
        let names = std::iter::repeat_n(&fill, SPELLING_NAMES).chain([&meant]);
        assert_eq!(nearest(&"pipre".parse().unwrap(), names), None);
    }

    #[test]
    fn mistakes_are_counted_up_to_a_bound() {
        let count = |one: &str, other: &str| mistakes(one.as_bytes(), other.as_bytes(), 3);
        assert_eq!(count("abc", "abc"), Some(0));
        assert_eq!(count("abc", "acb"), Some(1));
        assert_eq!(count("abc", "abcd"), Some(1));
        assert_eq!(count("", "abc"), Some(3));
        assert_eq!(count("abcd", "wxyz"), None);
        assert_eq!(count("a", "abcdef"), None);
    }
}
