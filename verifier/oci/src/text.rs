//! Text from outside on its way into messages, and types that are written as text.

/// Implements serde through `FromStr` and `Display`, so that there is one door into the type.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a ", stringify!($type), " as text"))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

pub(crate) use serde_as_text;

/// Returns `text` fit for one line of a message: control characters replaced, at most `limit` characters.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown: String = text.trim().chars().take(limit).map(visible).collect();
    if text.trim().chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns what is printed in place of a character from outside: escape sequences, line breaks, bidirectional overrides
/// and characters that nobody sees would let a registry write into somebody's terminal or log.
#[must_use]
pub fn visible(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' => ' ',
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' => '\u{fffd}',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' => '\u{fffd}',
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_overrides_never_reach_a_message() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{202e}d", 40), "a\u{fffd}[2Jb  c\u{fffd}d");
        assert_eq!(printable(&"x".repeat(50), 3), "xxx…");
        assert_eq!(printable("  plain ", 40), "plain");
        for unseen in ["\u{ad}", "\u{61c}", "\u{2060}", "\u{2066}", "\u{fff9}", "\u{e0041}", "\u{9b}"] {
            assert_eq!(printable(&format!("a{unseen}b"), 40), "a\u{fffd}b", "{unseen:?}");
        }
        assert_eq!(printable("Zürich 東京 🚀", 40), "Zürich 東京 🚀");
    }
}
