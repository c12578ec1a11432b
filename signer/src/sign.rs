//! One call from references to attached signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::{Digest, ImageReference, PinnedReference, Pusher, Registry, Repository, Tag};
use countersign_policy::Policy;
use countersign_verifier::Verifier;
use futures_util::future::{join, join3};

use crate::attach;
use crate::error::SignError;
use crate::existing;
use crate::identity::IdentitySource;
use crate::predicate::Predicate;
use crate::resolve::{self, Reading};
use crate::self_verification::SignerIdentity;
use crate::services::{Credentials, Services};
use crate::signing::{Terms, describe};
use crate::state::StateFile;
use crate::statement::{self, Annotations, BoundSubject, PlannedStatement, StatementForm};
use crate::subjects::{Release, Subject};

/// Bytes of a statement. In base64, with the certificate and the log entry beside it, it has to stay below the mebibyte that verifiers
/// read of a bundle.
pub(crate) const MAX_STATEMENT: usize = 640 << 10;

/// What to sign.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignRequest {
    /// What was named.
    pub references: Vec<ImageReference>,
    /// How subjects are spread over statements.
    pub form: StatementForm,
    /// What is said of every subject.
    pub annotations: Annotations,
    /// Sign what was named and nothing inside it.
    pub index_only: bool,
    /// Refuse references without a digest.
    pub require_digest: bool,
    /// Sign again what is signed already.
    pub force: bool,
    /// What consumers demand. Each new bundle has to keep it before it is attached, and what keeps it is not signed again. Without it the
    /// demand is a signature by this very signer.
    pub self_verify: Option<Arc<Policy>>,
    /// The repository that holds all signatures; without it they lie beside what they sign.
    pub signature_repository: Option<Repository>,
    /// Refuse what would take more than one statement: there is one bundle to keep.
    pub one_statement: bool,
}

impl SignRequest {
    /// Asks for what was named and everything in it, one statement for each image.
    pub fn new(references: Vec<ImageReference>) -> Self {
        Self {
            references,
            form: StatementForm::default(),
            annotations: Annotations::default(),
            index_only: false,
            require_digest: false,
            force: false,
            self_verify: None,
            signature_repository: None,
            one_statement: false,
        }
    }

    /// A digest of everything that was asked for: what a state belongs to.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut parts = vec!["sign".to_owned(), format!("{:?} {}", self.form, self.index_only)];
        parts.extend(self.references.iter().map(ToString::to_string));
        parts.extend(self.annotations.iter().map(|(key, value)| format!("{key}={value}")));
        parts.extend(self.signature_repository.iter().map(|repository| format!("signatures {repository}")));
        Digest::of(&serde_json::to_vec(&parts).expect("strings always serialise"))
    }

    fn check(&self) -> Result<(), SignError> {
        if self.references.is_empty() {
            return Err(SignError::NoReference);
        }
        let without_digest = self.references.iter().find(|reference| reference.digest().is_none());
        match without_digest {
            Some(reference) if self.require_digest => {
                Err(SignError::DigestRequired { reference: reference.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// Signs images. Everything it needs is passed in; it reads neither environment nor clock.
pub struct Signer {
    /// Where the images are.
    pub registry: Registry,
    /// Who issues the certificate, and who logs and timestamps.
    pub services: Services,
    /// Where the identity token comes from.
    pub identity: IdentitySource,
    /// What judges each bundle before it is attached: a trusted root that consumers use.
    pub verifier: Arc<Verifier>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("services", &self.services).finish_non_exhaustive()
    }
}

/// What was signed, and where the signatures lie.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SignReport {
    /// What was named, and what it was resolved to, once.
    pub images: Vec<NamedImage>,
    /// Who signed; absent where no certificate was asked for.
    pub signer: Option<SignerIdentity>,
    /// What is said of every subject; empty where nothing was signed or planned.
    pub annotations: Annotations,
    /// The statements, in the order in which the images were named.
    pub statements: Vec<SignedStatement>,
    /// What was signed before, well enough to be left alone.
    pub signed_already: Vec<SignedSubject>,
    /// The bundles: one for each statement, as they were attached, then those that were there.
    pub bundles: Vec<Bytes>,
    /// Of a dry run: how many requests the call makes, about: logins, outages and what is signed already are not known beforehand.
    pub planned_requests: Option<usize>,
    /// How many requests were made of each registry, logins included.
    pub requests: BTreeMap<String, u64>,
}

/// A reference as it was named, and the digest that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedImage {
    /// What was named.
    pub reference: ImageReference,
    /// What it stands for.
    pub digest: Digest,
}

/// One statement: one log entry, one bundle, one referrer manifest for each subject.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedStatement {
    /// The digest and the log index of the bundle; absent in a dry run.
    pub bundle: Option<LoggedBundle>,
    /// The subjects.
    pub subjects: Vec<SignedSubject>,
}

/// A bundle that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedBundle {
    /// The digest of its JSON.
    pub digest: Digest,
    /// The index of its log entry.
    pub log_index: u64,
}

/// One subject of a statement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedSubject {
    /// The repository and the digest.
    pub reference: PinnedReference,
    /// The tags that were signed with it.
    pub tags: Vec<Tag>,
    /// What it is.
    pub subject: Subject,
    /// The referrer manifest, where it is in place.
    pub referrer: Option<Digest>,
}

impl SignedSubject {
    pub(crate) fn new(bound: &BoundSubject, referrer: Option<Digest>) -> Self {
        Self {
            reference: bound.reference(),
            tags: bound.tags().cloned().collect(),
            subject: bound.subject.clone(),
            referrer,
        }
    }
}

/// Why not everything was signed, beside what was.
#[derive(Debug, thiserror::Error)]
#[error("{}", first_of(errors))]
#[non_exhaustive]
pub struct SignFailure {
    /// Every failure, at least one.
    pub errors: Vec<SignError>,
    /// What was signed all the same. Statements without referrers were logged but not attached everywhere.
    pub report: SignReport,
}

impl SignFailure {
    pub(crate) fn new(errors: Vec<SignError>) -> Self {
        Self { errors, report: SignReport::default() }
    }
}

impl From<SignError> for SignFailure {
    fn from(error: SignError) -> Self {
        Self::new(vec![error])
    }
}

fn first_of(errors: &[SignError]) -> String {
    match errors {
        [] => "nothing was signed".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
    }
}

/// Says what would be signed. Reads from the registries and spends nothing.
pub async fn plan(registry: &Registry, request: &SignRequest) -> Result<SignReport, SignFailure> {
    request.check()?;
    let roots = resolve::roots(registry, request).await;
    let reading = roots.walk(registry, request.index_only).await;
    let (images, release) = reading.complete().map_err(SignFailure::new)?;
    let payloads = payloads(statement::plan(&release, request.form), &request.annotations, None)?;
    if request.one_statement && payloads.len() > 1 {
        return Err(SignError::SeveralStatements { count: payloads.len() }.into());
    }
    let planned_requests = Some(requests(request, &payloads));
    let statements = payloads.iter().map(|one| describe(&one.statement, None, &[])).collect();
    Ok(SignReport {
        images,
        annotations: request.annotations.clone(),
        statements,
        planned_requests,
        ..SignReport::default()
    })
}

impl Signer {
    /// Signs everything that the request stands for, but for what is signed already.
    ///
    /// Nothing is written, not even as a proof, to a repository that lacks anything that was named in it. The certificate is asked for
    /// when every reference was resolved, every manifest in it was seen, every repository has proven to take writes, and the token was
    /// found good. Nothing is attached before every bundle was verified with the policy of the request, without one with a policy that
    /// admits this signer only.
    pub async fn sign(&self, request: &SignRequest) -> Result<SignReport, SignFailure> {
        self.sign_recorded(request, None).await
    }

    /// Like [`Self::sign`], keeping in a file what was done: a call that resumes spends nothing twice.
    pub async fn sign_recorded(
        &self,
        request: &SignRequest,
        state: Option<&StateFile>,
    ) -> Result<SignReport, SignFailure> {
        // On the heap: everything that is under way at once makes a large future.
        let mut outcome = Box::pin(self.sign_all(request, state)).await;
        let report = outcome.as_mut().unwrap_or_else(|failure| &mut failure.report);
        report.requests = self.registry.request_counts();
        outcome
    }

    async fn sign_all(&self, request: &SignRequest, state: Option<&StateFile>) -> Result<SignReport, SignFailure> {
        let pusher = Pusher::new(self.registry.clone());
        let Ready { images, release, referred, credentials } = Box::pin(self.ready(&pusher, request)).await?;
        let terms = Terms {
            form: request.form,
            one_statement: request.one_statement,
            annotations: &request.annotations,
            policy: request.self_verify.as_ref(),
            signatures: request.signature_repository.as_ref(),
            referred,
            state,
        };
        match Box::pin(self.sign_release(&pusher, &release, &terms, &credentials)).await {
            Ok(report) => Ok(SignReport { images, ..report }),
            Err(SignFailure { errors, report }) if report.statements.is_empty() => {
                Err(SignFailure { errors, report: SignReport::default() })
            }
            Err(SignFailure { errors, report }) => Err(SignFailure { errors, report: SignReport { images, ..report } }),
        }
    }

    /// Finds out everything that has to be known before anything is spent, or all that keeps it from being spent.
    pub(crate) async fn ready(&self, pusher: &Pusher, request: &SignRequest) -> Result<Ready, SignFailure> {
        request.check()?;
        let credentials = Credentials::new(&self.services, &self.identity);
        let (prepared, credentials) = join(self.prepare(pusher, request), credentials).await;
        let Prepared { reading, unwritable, referred } = prepared;
        match (reading.complete(), credentials) {
            (Ok((images, release)), Ok(credentials)) if unwritable.is_empty() => {
                Ok(Ready { images, release, referred, credentials })
            }
            (read, credentials) => {
                let mut errors = read.err().unwrap_or_default();
                errors.extend(unwritable);
                errors.extend(credentials.err());
                Err(SignFailure::new(errors))
            }
        }
    }

    /// Reads what the references stand for. While it looks for what is in the indexes, it proves that it can write beside them, and
    /// looks which of them have referrers.
    async fn prepare(&self, pusher: &Pusher, request: &SignRequest) -> Prepared {
        let roots = resolve::roots(&self.registry, request).await;
        let signatures = request.signature_repository.as_ref();
        let repositories = match signatures {
            Some(repository) if roots.complete_repositories().is_empty() => {
                tracing::debug!(%repository, "nothing to sign, so nothing is proven");
                BTreeSet::new()
            }
            Some(repository) => BTreeSet::from([repository.clone()]),
            None => roots.complete_repositories(),
        };
        let pinned = if request.force { Vec::new() } else { roots.pinned() };
        let (reading, unwritable, referred) = join3(
            roots.walk(&self.registry, request.index_only),
            attach::prove_writes(pusher, &repositories),
            existing::referred(&self.registry, pinned, signatures),
        )
        .await;
        Prepared { reading, unwritable, referred }
    }
}

/// What is known before anything is spent.
pub(crate) struct Ready {
    pub(crate) images: Vec<NamedImage>,
    pub(crate) release: Release,
    /// The roots that have referrers.
    referred: BTreeSet<PinnedReference>,
    pub(crate) credentials: Credentials,
}

/// What the registries said.
struct Prepared {
    reading: Reading,
    unwritable: Vec<SignError>,
    referred: BTreeSet<PinnedReference>,
}

/// What is read, proven, issued, logged and attached: a manifest, its probe and its referrer for each digest, two requests for a blob.
fn requests(request: &SignRequest, payloads: &[Payload]) -> usize {
    let subjects: Vec<PinnedReference> =
        payloads.iter().flat_map(|one| one.statement.subjects.iter().map(BoundSubject::reference)).collect();
    let repositories: BTreeSet<&Repository> = subjects.iter().map(PinnedReference::repository).collect();
    let repositories = if request.signature_repository.is_some() { 1 } else { repositories.len() };
    let probes = subjects.len() + request.references.len();
    let proofs = 2 * repositories;
    let services = 2 + 2 * payloads.len();
    let attached = 2 * payloads.len() * repositories + subjects.len();
    probes + proofs + services + attached
}

/// A statement and the bytes that are signed for it.
pub(crate) struct Payload {
    pub(crate) statement: PlannedStatement,
    pub(crate) bytes: Vec<u8>,
}

/// Lays out statements: signatures, or attestations where something is said beside.
pub(crate) fn payloads(
    statements: Vec<PlannedStatement>,
    annotations: &Annotations,
    predicate: Option<&Predicate>,
) -> Result<Vec<Payload>, SignError> {
    let payload = |statement: PlannedStatement| {
        let bytes = match predicate {
            Some(predicate) => statement.to_bytes_saying(annotations, predicate),
            None => statement.to_bytes(annotations),
        };
        if bytes.len() > MAX_STATEMENT {
            return Err(SignError::StatementTooLarge { size: bytes.len(), limit: MAX_STATEMENT });
        }
        Ok(Payload { statement, bytes })
    };
    statements.into_iter().map(payload).collect()
}
