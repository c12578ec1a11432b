//! Where a trusted root comes from.

use std::path::PathBuf;

/// Where a trusted root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustSource {
    /// The public-good copy inside this program.
    EmbeddedPublicGood,
    /// A `trusted_root.json`.
    File(PathBuf),
    /// The public-good TUF repository.
    PublicGoodTuf,
    /// Another TUF repository, and the file with the TUF root that its trust begins with.
    Tuf {
        /// The repository's address.
        url: String,
        /// The file with its TUF root.
        root: PathBuf,
    },
}

#[cfg(feature = "cli")]
impl From<countersign_cli::flags::TrustChoice> for TrustSource {
    fn from(choice: countersign_cli::flags::TrustChoice) -> Self {
        use countersign_cli::flags::TrustChoice;
        match choice {
            TrustChoice::Embedded => Self::EmbeddedPublicGood,
            TrustChoice::File(path) => Self::File(path),
            TrustChoice::PublicGood => Self::PublicGoodTuf,
            TrustChoice::Tuf { url, root } => Self::Tuf { url, root },
        }
    }
}
