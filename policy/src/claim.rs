//! The claims that a policy's `github` block can pin.

use std::fmt;

use crate::facts::Claims;

/// Names one claim of a certificate by the key that pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Claim {
    /// `build_config`: top-level build instructions, a URI with its ref (OID .18).
    BuildConfig,
    /// `environment`: deployment environment (OID .23).
    Environment,
    /// `owner`: name of the repository's owner (OID .16).
    Owner,
    /// `owner_id`: number of the owner (OID .17).
    OwnerId,
    /// `ref`: ref that was built (OID .14).
    Ref,
    /// `repository`: `owner/name` that was built (OID .12).
    Repository,
    /// `repository_id`: number of the repository (OID .15).
    RepositoryId,
    /// `runner_environment`: kind of runner (OID .11).
    RunnerEnvironment,
    /// `trigger`: event that started the build (OID .20).
    Trigger,
    /// `visibility`: of the repository when it signed (OID .22).
    Visibility,
}

impl Claim {
    /// Returns the key that pins this claim.
    pub fn key(self) -> &'static str {
        match self {
            Self::BuildConfig => "build_config",
            Self::Environment => "environment",
            Self::Owner => "owner",
            Self::OwnerId => "owner_id",
            Self::Ref => "ref",
            Self::Repository => "repository",
            Self::RepositoryId => "repository_id",
            Self::RunnerEnvironment => "runner_environment",
            Self::Trigger => "trigger",
            Self::Visibility => "visibility",
        }
    }

    /// Tells whether pinning this claim says which repository's jobs may sign.
    pub(crate) fn names_repository(self) -> bool {
        matches!(self, Self::Repository | Self::RepositoryId)
    }

    /// Returns what the certificate says, as it says it.
    pub(crate) fn found(self, claims: &Claims) -> Option<&str> {
        match self {
            Self::BuildConfig => &claims.build_config_uri,
            Self::Environment => &claims.deployment_environment,
            Self::Owner => &claims.source_repository_owner_uri,
            Self::OwnerId => &claims.source_repository_owner_identifier,
            Self::Ref => &claims.source_repository_ref,
            Self::Repository => &claims.source_repository_uri,
            Self::RepositoryId => &claims.source_repository_identifier,
            Self::RunnerEnvironment => &claims.runner_environment,
            Self::Trigger => &claims.build_trigger,
            Self::Visibility => &claims.source_repository_visibility_at_signing,
        }
        .as_deref()
    }

    /// Tells whether the certificate holds a URI where the policy holds a path on its host.
    pub(crate) fn is_path(self) -> bool {
        matches!(self, Self::Owner | Self::Repository)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.key())
    }
}
