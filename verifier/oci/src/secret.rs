use std::fmt;

use zeroize::Zeroizing;

/// A password or token: shows nothing when printed, has no serde, and is wiped when dropped.
///
/// ```compile_fail
/// let secret = countersign_oci::Secret::new("hunter2".to_owned());
/// println!("{secret}");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// Returns the text without the secrets and without pieces of them: servers quote what they were sent.
///
/// A piece is a word of 8 characters or more, of those that tokens are made of. Secrets of fewer than 4 characters cannot be
/// told from other words and stay.
#[must_use]
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let secrets: Vec<&str> = secrets.iter().copied().filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
    let mut whole = text.to_owned();
    for secret in &secrets {
        whole = whole.replace(secret, REDACTED);
    }
    let mut redacted = String::with_capacity(whole.len());
    let mut word = String::new();
    for character in whole.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() || "+/=_-.".contains(character) {
            word.push(character);
            continue;
        }
        let is_piece = word.len() >= SHORTEST_PIECE && secrets.iter().any(|secret| secret.contains(&word));
        redacted.push_str(if is_piece { REDACTED } else { &word });
        word.clear();
        redacted.push(character);
    }
    redacted.pop();
    redacted
}

const REDACTED: &str = "[redacted]";
const SHORTEST_SECRET: usize = 4;
const SHORTEST_PIECE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_quotes_of_a_secret_is_left_out() {
        let secrets = ["dXNlcjpDQU5BUlk=", "CANARY pass", "eyJhbGciOiJ.eyJpc3MiOiJ4.c2lnbmF0dXJl", "abc", ""];
        for (text, expected) in [
            ("bad header Basic dXNlcjpDQU5BUlk=", "bad header Basic [redacted]"),
            ("wrong password 'CANARY pass'", "wrong password '[redacted]'"),
            ("token (c2lnbmF0dXJl) expired", "token ([redacted]) expired"),
            ("claims eyJpc3MiOiJ4.c2lnbm", "claims [redacted]"),
            ("no such repository: octo/app", "no such repository: octo/app"),
            ("abc is too short to hide", "abc is too short to hide"),
            ("", ""),
        ] {
            assert_eq!(redact(text, &secrets), expected);
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_text() {
        let shown = format!("{:?}", Secret::new("canary-8151".to_owned()));
        assert_eq!(shown, "Secret(..)");
    }
}
