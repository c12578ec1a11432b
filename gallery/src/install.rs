//! From an entry to an installed backend: resolve once, verify, choose the platform, pull, unpack, activate.
//!
//! Nothing is written before the image is [`Installable`]; nothing is activated before both digests of every layer
//! matched. Whatever goes wrong leaves the backends path as it was.

mod error;
mod existing;
mod image;
mod origin;
mod records;
mod unpacking;

use std::path::PathBuf;
use std::sync::Arc;

use countersign_oci::index::Platform;
use countersign_oci::{ImageReference, PinnedReference, Registry};
use countersign_policy::Policy;
use countersign_verifier::{Asked, Verdict, Verifier, verify_image_from};
use jiff::Timestamp;

pub use self::error::{Attempt, InstallError};
use self::existing::Existing;
pub use self::existing::Outdated;
use self::image::Image;
use self::origin::{Origin, Sources};
use crate::catalogue::Target;
use crate::integrity::{self, Installable, Requirement, Strictness};
pub use crate::pull::Transfer;
use crate::store::{self, Activated, Expected, Installed, Receipt, Store, StoreError, Work};

/// What is to be installed.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The entry.
    pub target: Target<'a>,
    /// The platform that the image must be for.
    pub platform: Platform,
    /// Whether `unverified: warn` counts.
    pub strictness: Strictness,
    /// Whether to install what is installed already, and to replace what nobody installed.
    pub force: bool,
}

/// What installing needs from outside.
#[derive(Clone, Copy)]
pub struct Services<'a> {
    /// The registries, with the gallery's host mapping.
    pub registry: &'a Registry,
    /// The clock.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Where progress is counted.
    pub transfer: &'a Arc<Transfer>,
}

/// What [`prepare`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Prepared<'a> {
    /// The entry is installed, and nothing has to be done.
    AlreadyInstalled(Box<Installed>),
    /// The entry can be installed, as far as can be told without the network.
    Ready(Box<Plan<'a>>),
}

/// An installation that was decided on: nothing is fetched or written yet.
#[derive(Debug)]
pub struct Plan<'a> {
    request: Request<'a>,
    requirement: Requirement<'a>,
    sources: Sources,
    store: &'a Store,
    /// What counts as installed, as far as its records go: only its bundles are to be verified again, in strict mode, or
    /// only the meta entry's directory is missing.
    installed: Option<Box<Installed>>,
    outdated: Vec<Outdated>,
}

/// What stands in the backends path when the lock is held, and may be replaced.
struct Grounds {
    backend: Expected,
    meta: Expected,
}

/// What an installation made.
struct Made {
    path: PathBuf,
    meta_path: Option<PathBuf>,
    warnings: Vec<String>,
}

/// What was installed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The backend's directory.
    pub path: PathBuf,
    /// The directory of the meta entry, where one was named.
    pub meta_path: Option<PathBuf>,
    /// What was recorded; `None` where the backend itself was installed already.
    pub receipt: Option<Receipt>,
    /// What was installed already, where that turned out only now, in strict mode, and nothing had to be done.
    pub already: Option<Box<Installed>>,
    /// The verdict on the image, `None` where it was installed unverified.
    pub verdict: Option<Verdict>,
    /// Sources that could not be reached or used before one served.
    pub attempts: Vec<Attempt>,
    /// Backends that an earlier, killed process had set aside, now back.
    pub restored: Vec<String>,
    /// Why the backend that stood there before did not count as installed.
    pub outdated: Vec<Outdated>,
    /// What went wrong after the backend stood in its place, and undid nothing.
    pub warnings: Vec<String>,
}

/// Decides, without the network, whether and how an entry is installed.
///
/// A backend counts as installed only when its receipt shows that the present policy accepted it, or the operator lets
/// this gallery be installed from unverified, and when it is for the platform and from the source that are asked for. In
/// strict mode the receipt's word is not enough: [`Plan::install`] verifies its bundles again.
pub fn prepare<'a>(request: Request<'a>, store: &'a Store) -> Result<Prepared<'a>, InstallError> {
    let requirement = integrity::require(request.target.gallery, request.strictness)?;
    let Existing { backend, outdated, meta_stands } = existing::decide(&request, store, requirement)?;
    let installed = match backend.filter(|_| outdated.is_empty()) {
        Some(installed) if meta_stands && !verifies_again(&request, requirement) => {
            // What a killed process left is nobody's any more, and no reason to fail.
            if let Err(error) = store.tidy() {
                tracing::warn!(%error, "what an earlier installation left cannot be removed");
            }
            return Ok(Prepared::AlreadyInstalled(installed));
        }
        installed => installed,
    };
    let sources = Sources::of(&request.target)?;
    Ok(Prepared::Ready(Box::new(Plan { request, requirement, sources, store, installed, outdated })))
}

/// Whether what is installed must show its signatures, and not only say that it had some.
fn verifies_again(request: &Request<'_>, requirement: Requirement<'_>) -> bool {
    request.strictness == Strictness::Strict && matches!(requirement, Requirement::Verify(_))
}

impl<'a> Plan<'a> {
    /// The policy that the image must satisfy, `None` where the operator lets it be installed unverified.
    #[must_use]
    pub fn policy(&self) -> Option<&'a Policy> {
        match self.requirement {
            Requirement::Verify(policy) if self.installed.is_none() || self.verifies_again() => Some(policy),
            _ => None,
        }
    }

    /// What is asked for: what must have been signed, whoever serves the bytes.
    #[must_use]
    pub fn asked(&self) -> &ImageReference {
        self.sources.asked()
    }

    /// Why the backend that stands there already does not count as what is asked for; empty where none stands there.
    #[must_use]
    pub fn outdated(&self) -> &[Outdated] {
        &self.outdated
    }

    /// Installs. `verifier` is needed where there is a [`Self::policy`].
    ///
    /// A rejected image is final; only a source that cannot be reached is passed over for a mirror.
    pub async fn install(
        mut self,
        services: Services<'_>,
        verifier: Option<&Verifier>,
    ) -> Result<Outcome, InstallError> {
        if let Some(installed) = self.installed.take() {
            if self.is_still_accepted(&installed, services, verifier)? {
                return self.complete(installed, services).await;
            }
            self.outdated.push(Outdated::Policy);
        }
        let origin = self.sources.resolve(services.registry).await?;
        let (installable, verdict) = self.judge(&origin, services, verifier).await?;
        let image = Image::select(services.registry, &origin, &installable, &self.request.platform).await?;
        let work = self.store.begin_in_turn(|waiting| services.transfer.set_waiting(waiting)).await?;
        let (grounds, _) = self.grounds(&work)?;
        let restored = work.restored().to_vec();
        let unpacked = unpacking::unpack(&work, services, &origin, &image).await?;
        let receipt = records::receipt(&self.request, &origin, &installable, &image, &unpacked, (services.clock)());
        let outdated = std::mem::take(&mut self.outdated);
        services.transfer.activating();
        let Made { path, meta_path, warnings } = self.activate(work, unpacked, &receipt, grounds).await?;
        let (attempts, receipt) = (origin.attempts, Some(receipt));
        Ok(Outcome { path, meta_path, receipt, already: None, verdict, attempts, restored, outdated, warnings })
    }

    fn verifies_again(&self) -> bool {
        verifies_again(&self.request, self.requirement)
    }

    /// Whether the bundles of what is installed satisfy the policy still; asked in strict mode only.
    fn is_still_accepted(
        &self,
        installed: &Installed,
        services: Services<'_>,
        verifier: Option<&Verifier>,
    ) -> Result<bool, InstallError> {
        let (Requirement::Verify(policy), true) = (self.requirement, self.verifies_again()) else { return Ok(true) };
        let Some(receipt) = &installed.receipt else { return Ok(false) };
        let verifier = verifier.ok_or(InstallError::VerifierMissing)?;
        let verdict = receipt.reverify(self.sources.asked(), verifier, policy, (services.clock)())?;
        Ok(matches!(verdict, Verdict::Verified(..)))
    }

    /// Leaves what is installed, and makes the meta entry's directory where it is missing.
    async fn complete(self, installed: Box<Installed>, services: Services<'_>) -> Result<Outcome, InstallError> {
        let work = self.store.begin_in_turn(|waiting| services.transfer.set_waiting(waiting)).await?;
        let (grounds, existing) = self.grounds(&work)?;
        let path = installed.path.clone();
        if existing.backend.is_none_or(|backend| *backend != *installed) {
            return Err(StoreError::Occupied { path, reason: store::CHANGED }.into());
        }
        let written = records::write_meta(&work, &self.request, &installed.metadata, (services.clock)(), &grounds.meta);
        let meta = written.map_err(|source| InstallError::MetaEntry { path: path.clone(), source })?;
        let (meta_path, warnings) = meta.map(|meta| (meta.path, meta.warnings)).unzip();
        Ok(Outcome {
            path,
            meta_path,
            receipt: None,
            already: existing.meta_stands.then_some(installed),
            verdict: None,
            attempts: Vec::new(),
            restored: work.restored().to_vec(),
            outdated: Vec::new(),
            warnings: warnings.unwrap_or_default(),
        })
    }

    /// Decides again what was decided without the lock, so that nothing is replaced that came meanwhile and may not be.
    fn grounds(&self, work: &Work) -> Result<(Grounds, Existing), InstallError> {
        let Request { target, force, .. } = &self.request;
        // What is seen here is what may be replaced; the decision is about nothing that came before.
        let backend = work.expected(&target.concrete.name, *force)?;
        let meta = match target.meta {
            Some((meta, _)) => work.expected(&meta.name, *force)?,
            None => Expected::Seen(None),
        };
        Ok((Grounds { backend, meta }, existing::decide(&self.request, self.store, self.requirement)?))
    }

    /// The question of integrity, answered before anything is written.
    async fn judge(
        &self,
        origin: &Origin,
        services: Services<'_>,
        verifier: Option<&Verifier>,
    ) -> Result<(Installable, Option<Verdict>), InstallError> {
        let asked = self.sources.asked();
        // The digest is what a source answered; the name it must be signed under is the entry's own.
        let reference = PinnedReference::new(asked.repository().clone(), origin.pinned.digest());
        let policy = match self.requirement {
            Requirement::Acknowledge(acknowledgement) => {
                tracing::warn!(%reference, gallery = %self.request.target.gallery.name, "installing without verification");
                return Ok((Installable::Unverified(acknowledgement.of(reference)), None));
            }
            Requirement::Verify(policy) => policy,
        };
        let verifier = verifier.ok_or(InstallError::VerifierMissing)?;
        let question = Asked { reference, tag: asked.tag().cloned() };
        let registry = services.registry;
        // The clock is read after the digest was fetched: a signature made meanwhile is not ahead of it.
        let now = (services.clock)();
        match verify_image_from(registry, &origin.pinned, verifier, policy, &question, now).await? {
            Verdict::Verified(image, findings) => {
                Ok((Installable::Image(image.clone()), Some(Verdict::Verified(image, findings))))
            }
            refused => Err(InstallError::NotVerified(Box::new(refused))),
        }
    }

    async fn activate(
        self,
        work: Work,
        unpacked: unpacking::Unpacked,
        receipt: &Receipt,
        grounds: Grounds,
    ) -> Result<Made, InstallError> {
        let metadata = records::metadata(&self.request, receipt);
        unpacked.record(&metadata, receipt)?;
        let name = self.request.target.concrete.name.clone();
        let activated = tokio::task::spawn_blocking(move || {
            let activated = work.activate(unpacked.staging, &name, &grounds.backend)?;
            Ok::<_, StoreError>((work, activated))
        });
        let (work, Activated { path, mut warnings }) = activated.await.map_err(InstallError::interrupted)??;
        match records::write_meta(&work, &self.request, &metadata, receipt.installed_at, &grounds.meta) {
            Ok(meta) => {
                let meta_path = meta.map(|mut meta| {
                    warnings.append(&mut meta.warnings);
                    meta.path
                });
                Ok(Made { path, meta_path, warnings })
            }
            // The two outcomes are told apart: what was asked for is half done.
            Err(source) => Err(InstallError::MetaEntry { path, source }),
        }
    }
}

impl std::fmt::Debug for Services<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Services").field("registry", self.registry).finish_non_exhaustive()
    }
}
