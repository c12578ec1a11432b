//! The names of the services.

/// A Sigstore service, or the provider of the identity token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// The certificate authority.
    Fulcio,
    /// Where the identity token comes from.
    IdentityProvider,
    /// The transparency log.
    Rekor,
    /// The RFC 3161 timestamp authority.
    TimestampAuthority,
}

impl Service {
    /// The name that messages, codes and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fulcio => "certificate authority",
            Self::IdentityProvider => "identity provider",
            Self::Rekor => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        }
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
