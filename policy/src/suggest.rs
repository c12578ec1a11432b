//! Which key was probably meant.

/// Returns the key of `known` that `given` most resembles, if any is near enough to be a slip.
pub(crate) fn nearest(given: &str, known: &[&'static str]) -> Option<&'static str> {
    if given.len() > MAX_KEY_BYTES {
        return None;
    }
    let plain = plain(given);
    known
        .iter()
        .map(|key| (distance(&plain, &self::plain(key)), *key))
        .min()
        .filter(|(distance, key)| *distance <= 2 && *distance * 3 <= key.len())
        .map(|(_, key)| key)
}

/// Letter case and separators are what people mix up first: `notBefore`, `Not-Before`.
fn plain(key: &str) -> Vec<char> {
    key.chars().filter(|character| !matches!(character, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Counts insertions, deletions, replacements and swaps of neighbours.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=right.len()).collect()];
    for (row, character) in left.iter().enumerate() {
        rows.rotate_left(1);
        rows[2] = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = rows[1][column] + usize::from(character != other);
            let mut best = replaced.min(rows[1][column + 1] + 1).min(rows[2][column] + 1);
            if row > 0 && column > 0 && *character == right[column - 1] && left[row - 1] == *other {
                best = best.min(rows[0][column - 1] + 1);
            }
            rows[2].push(best);
        }
    }
    rows[2].last().copied().unwrap_or(left.len())
}

const MAX_KEY_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["identity", "identity_regex", "issuer", "not_before", "not_after", "ref"];
        for (given, meant) in [
            ("notBefore", Some("not_before")),
            ("not-before", Some("not_before")),
            ("not_befroe", Some("not_before")),
            ("identityRegex", Some("identity_regex")),
            ("identiy", Some("identity")),
            ("Issuer", Some("issuer")),
            ("refs", Some("ref")),
            ("signers", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given, &known), meant, "{given}");
        }
    }
}
