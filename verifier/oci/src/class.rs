use std::fmt;

/// Who has to act on a failure: the coarse, stable part of every error that a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The other side understood and will not let us: credentials or rights are missing.
    Denied,
    /// An answer or document that does not have the form that its specification asks for.
    Malformed,
    /// What was asked for is not there.
    NotFound,
    /// The artifact was examined and will not do.
    Rejected,
    /// Too many requests; later is better.
    Throttled,
    /// No usable answer: network, time-outs, failures of the server.
    Unreachable,
    /// The caller asked for something that cannot be done.
    Usage,
}

impl Class {
    /// Returns the stable kebab-case name that JSON documents carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::NotFound => "not-found",
            Self::Rejected => "rejected",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Usage => "usage",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
