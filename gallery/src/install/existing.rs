//! What stands under an entry's name before it is installed, and whether that is what is asked for.

use countersign_oci::Digest;
use countersign_oci::index::Platform;
use countersign_policy::Policy;

use super::{InstallError, Request};
use crate::index::EntryKind;
use crate::integrity::Requirement;
use crate::source::Source;
use crate::store::{Installed, Metadata, Receipt, State, Store, StoreError};

/// Why an installed backend does not count as what is asked for, and the entry is installed anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Outdated {
    /// It is for another platform.
    #[error("it is for {installed:?}, and {wanted} is asked for")]
    Platform {
        /// The platform in its receipt.
        installed: String,
        /// The platform that is asked for.
        wanted: Box<Platform>,
    },
    /// Its receipt does not show that the gallery's present policy accepted it.
    #[error("it was not verified against the gallery's present policy")]
    Policy,
    /// It has no receipt that can be read, so nothing is known of it.
    #[error("it has no receipt")]
    Receipt,
    /// The entry named another source then.
    #[error("the entry's uri changed from {installed:?} to {present:?}")]
    Source {
        /// The URI in its receipt.
        installed: String,
        /// The URI of the entry.
        present: String,
    },
}

/// The backend that stands under the entry's name, or the reason why nothing can be put there.
fn backend(request: &Request<'_>, store: &Store) -> Result<Option<Box<Installed>>, InstallError> {
    let name = &request.target.concrete.name;
    let occupied = |reason| StoreError::Occupied { path: store.directory(name), reason };
    match store.state(name)? {
        _ if request.force => Ok(None),
        // Somebody's own work: it runs, and no installation left a word about it.
        State::Backend(installed) if installed.receipt.is_none() && installed.metadata == Metadata::default() => {
            Err(occupied("it has no record of an installation").into())
        }
        State::Backend(installed) if is_from(&installed, request) => Ok(Some(installed)),
        State::Backend(_) => Err(occupied("it was installed from another gallery").into()),
        State::Broken { installed, .. } if is_from(&installed, request) => Ok(None),
        State::Broken { .. } => Err(occupied("it is what is left of another gallery's backend").into()),
        State::Meta { .. } => Err(occupied("it is the directory of a meta entry").into()),
        State::Other { reason } => Err(occupied(reason).into()),
        State::Absent | State::Empty => Ok(None),
    }
}

/// What stands in the backends path, before an entry is installed into it.
pub(super) struct Existing {
    /// The backend, where one stands there.
    pub(super) backend: Option<Box<Installed>>,
    /// Why it does not count as what is asked for.
    pub(super) outdated: Vec<Outdated>,
    /// Whether nothing is to be done about a meta entry.
    pub(super) meta_stands: bool,
}

/// Decides what is to be made of what stands in the backends path, or that nothing can be put there.
pub(super) fn decide(
    request: &Request<'_>,
    store: &Store,
    requirement: Requirement<'_>,
) -> Result<Existing, InstallError> {
    let backend = backend(request, store)?;
    let meta_stands = meta_stands(request, store)?;
    let outdated = backend.as_ref().map(|it| outdated(it, request, requirement)).unwrap_or_default();
    Ok(Existing { backend, outdated, meta_stands })
}

/// Whether the meta entry that was named, if one was, has its directory.
fn meta_stands(request: &Request<'_>, store: &Store) -> Result<bool, InstallError> {
    let Some((meta, _)) = request.target.meta else { return Ok(true) };
    let occupied = |reason| StoreError::Occupied { path: store.directory(&meta.name), reason };
    match store.state(&meta.name)? {
        State::Meta { concrete, .. } if concrete == request.target.concrete.name => Ok(true),
        _ if request.force => Ok(false),
        State::Meta { metadata, .. } if !is_record_of(&metadata, request) => {
            Err(occupied("it is the directory of another gallery's meta entry").into())
        }
        State::Backend(_) | State::Broken { .. } => Err(occupied("it is a backend, not a meta entry").into()),
        State::Other { reason } => Err(occupied(reason).into()),
        _ => Ok(false),
    }
}

/// Everything that an installed backend lacks for what is asked now; nothing where it counts as installed.
///
/// Only its records are read: who can edit them can edit the backend too.
fn outdated(installed: &Installed, request: &Request<'_>, requirement: Requirement<'_>) -> Vec<Outdated> {
    let Some(receipt) = &installed.receipt else { return vec![Outdated::Receipt] };
    let mut found = Vec::new();
    if matches!(requirement, Requirement::Verify(policy) if !was_accepted_by(policy, receipt)) {
        found.push(Outdated::Policy);
    }
    let wanted = &request.platform;
    if !receipt.platform.parse::<Platform>().is_ok_and(|platform| platform.serves(wanted)) {
        let installed = receipt.platform.clone();
        found.push(Outdated::Platform { installed, wanted: Box::new(wanted.clone()) });
    }
    if let EntryKind::Concrete { uri, .. } = &request.target.concrete.kind
        && !is_same_source(&receipt.asked, uri)
    {
        found.push(Outdated::Source { installed: receipt.asked.clone(), present: uri.clone() });
    }
    found
}

/// Whether a backend came from the gallery that is asked now: by our receipt, or, without one, by LocalAI's record.
fn is_from(installed: &Installed, request: &Request<'_>) -> bool {
    match &installed.receipt {
        Some(receipt) => receipt.gallery == request.target.gallery.name,
        None => is_record_of(&installed.metadata, request),
    }
}

/// Whether LocalAI's record names an index of the gallery that is asked now.
fn is_record_of(metadata: &Metadata, request: &Request<'_>) -> bool {
    let gallery = request.target.gallery;
    metadata.gallery_url.as_ref().is_some_and(|url| *url == gallery.url || gallery.mirrors.contains(url))
}

fn was_accepted_by(policy: &Policy, receipt: &Receipt) -> bool {
    let hash = Digest::of(policy.canonical().as_bytes());
    let verification = receipt.verification.as_ref().filter(|verification| !verification.signatures.is_empty());
    verification.is_some_and(|verification| verification.policy_hash == hash)
}

/// Two spellings of one reference are the same source.
fn is_same_source(one: &str, other: &str) -> bool {
    one == other || matches!((Source::classify(one), Source::classify(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_reference_is_another_source() {
        assert!(is_same_source("quay.io/a/b:c", "oci://quay.io/a/b:c"));
        assert!(is_same_source("a/b", "docker.io/a/b:latest"));
        for other in ["quay.io/a/b:d", "quay.io/a/x:c", "ghcr.io/a/b:c", "https://quay.io/a/b:c", ""] {
            assert!(!is_same_source("quay.io/a/b:c", other), "{other:?}");
        }
    }
}
