use std::fmt;
use std::str::FromStr;

use crate::sha256::Sha256;
use crate::text::{printable, serde_as_text};

/// A sha256 digest, written `sha256:<64 lower-case hexadecimal digits>`.
///
/// Made only of text in exactly that form or by hashing. Other algorithms are refused by name, so that nobody
/// wonders why; upper-case digits and other lengths are malformed ([descriptor digests]).
///
/// [descriptor digests]: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = DigestHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes over a sha256 that was computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 lower-case hexadecimal digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        use fmt::Write;
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
            hex
        })
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || DigestError::Malformed { text: printable(text, 100) };
        let (algorithm, hex) = text.split_once(':').ok_or_else(malformed)?;
        if algorithm != "sha256" {
            return match algorithm {
                "sha384" | "sha512" | "blake3" => {
                    Err(DigestError::UnsupportedAlgorithm { algorithm: algorithm.to_owned() })
                }
                _ => Err(malformed()),
            };
        }
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return Err(malformed());
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (high, low) = (nibble(pair[0]), nibble(pair[1]));
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(malformed)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Digest);

/// Computes a [`Digest`] of bytes that arrive in pieces.
#[derive(Clone)]
pub struct DigestHasher(Sha256);

impl DigestHasher {
    /// Starts with no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of everything that was appended.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finish())
    }
}

impl Default for DigestHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DigestHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestHasher(..)")
    }
}

/// Why text is not a [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Not of the form `sha256:<64 lower-case hexadecimal digits>`.
    #[error("`{text}` is not a digest of the form sha256:<64 lower-case hexadecimal digits>")]
    Malformed {
        /// The text, fit for printing.
        text: String,
    },
    /// A registered algorithm that this project does not accept.
    #[error("digest algorithm {algorithm} is not supported, only sha256 is")]
    UnsupportedAlgorithm {
        /// The algorithm's name.
        algorithm: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_OBJECT: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn digest_of_bytes_prints_and_parses_back() {
        let digest = Digest::of(b"{}");
        assert_eq!(digest.to_string(), EMPTY_OBJECT);
        assert_eq!(EMPTY_OBJECT.parse(), Ok(digest));
        assert_eq!(format!("sha256:{}", digest.hex()), EMPTY_OBJECT);
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{EMPTY_OBJECT}\"")).unwrap(), digest);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{EMPTY_OBJECT}\""));
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = DigestHasher::new();
        hasher.update(b"{");
        hasher.update(b"}");
        assert_eq!(hasher.finish(), Digest::of(b"{}"));
    }

    #[test]
    fn anything_but_lower_case_sha256_is_refused() {
        let hex = "4".repeat(64);
        for text in [
            String::new(),
            "sha256".to_owned(),
            "sha256:".to_owned(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}4"),
            format!("sha256:{}A", &hex[1..]),
            format!("sha256:{}g", &hex[1..]),
            format!("SHA256:{hex}"),
            format!(" sha256:{hex}"),
            format!("sha256:{hex}\n"),
            format!("sha256:{}é", &hex[2..]),
            format!("md5:{}", &hex[32..]),
            "sha256:../../etc/passwd".to_owned(),
            format!("sha256:sha256:{}", &hex[7..]),
        ] {
            assert!(matches!(text.parse::<Digest>(), Err(DigestError::Malformed { .. })), "{text:?}");
        }
    }

    #[test]
    fn other_algorithms_are_refused_by_name() {
        let error = format!("sha512:{}", "4".repeat(128)).parse::<Digest>().unwrap_err();
        assert_eq!(error, DigestError::UnsupportedAlgorithm { algorithm: "sha512".to_owned() });
    }
}
