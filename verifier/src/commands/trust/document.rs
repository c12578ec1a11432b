//! What the `trust` commands say, for programs.

use countersign_oci::Digest;
use countersign_verifier::TrustedRoot;
use countersign_verifier::trusted_root::{Authority, Change, Material, RepositoryState, TrustSource, WindowState};
use jiff::Timestamp;
use serde::Serialize;

/// A trusted root as a document: `countersign.dev/trust/v1`.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema: &'static str,
    pub(super) source: Source,
    /// Tells one trusted root from another.
    pub(super) digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repository: Option<Repository>,
    pub(super) embedded: Embedded,
    pub(super) authorities: Vec<Shown>,
    /// What is different from what was at hand before; absent where that was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Vec<Change>>,
    /// Files that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) written: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Source {
    kind: &'static str,
    pub(super) origin: String,
}

/// The TUF repository that vouches for it.
#[derive(Debug, Serialize)]
pub(super) struct Repository {
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<String>,
    /// When it was last asked; absent where this copy was imported and never asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refreshed: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_seconds: Option<i64>,
    /// When the first of its metadata expires: until then it can be used without a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outage: Option<String>,
    pub(super) roles: Vec<Role>,
}

#[derive(Debug, Serialize)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) version: u64,
    pub(super) expires: Timestamp,
}

/// The copy inside this program.
#[derive(Debug, Serialize)]
pub(super) struct Embedded {
    pub(super) as_of: Timestamp,
    pub(super) age_days: i64,
    /// Whether it is the one that is shown.
    pub(super) in_use: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) authority: Authority,
    pub(super) state: WindowState,
}

impl Document {
    pub(super) fn new(source: &TrustSource, material: &Material, now: Timestamp) -> Self {
        let root = &material.trusted_root;
        let kind = match source {
            TrustSource::EmbeddedPublicGood => "embedded",
            TrustSource::File(_) => "file",
            TrustSource::PublicGoodTuf => "public-good",
            _ => "tuf",
        };
        let as_of = TrustedRoot::embedded_as_of();
        let shown = |authority: Authority| Shown { state: authority.state(now), authority };
        Self {
            schema: "countersign.dev/trust/v1",
            source: Source { kind, origin: root.origin().to_owned() },
            digest: Digest::of(root.json().as_bytes()).to_string(),
            repository: material.repository.as_ref().map(|state| Repository::new(state, now)),
            embedded: Embedded {
                as_of,
                age_days: now.duration_since(as_of).as_hours() / 24,
                in_use: *source == TrustSource::EmbeddedPublicGood,
            },
            authorities: root.authorities().into_iter().map(shown).collect(),
            changes: None,
            written: Vec::new(),
        }
    }

    /// Adds what is different from what was at hand before. Where nothing was, every key is new.
    pub(super) fn with_changes(mut self, before: Option<&Material>, after: &Material) -> Self {
        let added = || after.trusted_root.authorities().into_iter().map(Change::Added).collect();
        let since = |before: &Material| after.trusted_root.changes_since(&before.trusted_root);
        self.changes = Some(before.map_or_else(added, since));
        self
    }
}

impl Repository {
    fn new(state: &RepositoryState, now: Timestamp) -> Self {
        let role = |role: &countersign_verifier::trusted_root::RoleState| Role {
            name: role.name,
            version: role.version,
            expires: role.expires,
        };
        Self {
            url: state.url.clone(),
            cache: state.cache.as_ref().map(|path| path.display().to_string()),
            refreshed: state.refreshed,
            age_seconds: state.refreshed.map(|refreshed| now.duration_since(refreshed).as_secs()),
            expires: state.expires(),
            outage: state.outage.clone(),
            roles: state.roles.iter().map(role).collect(),
        }
    }
}
