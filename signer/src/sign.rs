//! One call from references to attached signatures.

use std::sync::Arc;

use countersign_oci::{Digest, ImageReference, PinnedReference, Pusher, Registry, Tag};
use countersign_verifier::Verifier;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};

use crate::attach::{self, Verified};
use crate::error::SignError;
use crate::identity::{IdentitySource, IdentityToken};
use crate::resolve::{self, Reading};
use crate::self_verification::{SelfVerification, SignerIdentity};
use crate::services::{Certificate, Services};
use crate::statement::{self, Annotations, PlannedStatement, StatementForm};
use crate::subjects::Subject;

/// How many statements are logged at once: logs limit the rate.
const PARALLEL: usize = 16;

/// Bytes of a statement. In base64, with the certificate and the log entry beside it, it has to stay below the mebibyte that verifiers
/// read of a bundle.
pub(crate) const MAX_STATEMENT: usize = 640 << 10;

/// What has to be left of a certificate when a statement is signed with it: as long as one answer of a service may take.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// Tells the time. Binaries pass the system's, tests their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

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
        }
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
    /// The time.
    pub clock: Clock,
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
    fn new(errors: Vec<SignError>) -> Self {
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
    let (images, release) = resolve::read(registry, request).await.complete().map_err(SignFailure::new)?;
    let payloads = payloads(statement::plan(&release, request.form), &request.annotations)?;
    let statements = payloads.iter().map(|one| describe(&one.statement, None, &[])).collect();
    Ok(SignReport { images, signer: None, annotations: request.annotations.clone(), statements })
}

impl Signer {
    /// Signs everything that the request stands for.
    ///
    /// Nothing is written, not even as a proof, to a repository that lacks anything that was named in it. The certificate is asked for
    /// when every reference was resolved, every manifest in it was seen, every repository has proven to take writes, and the token was
    /// found good. Nothing is attached before every bundle was verified with the policy that consumers
    /// of this signer use.
    pub async fn sign(&self, request: &SignRequest) -> Result<SignReport, SignFailure> {
        request.check()?;
        let pusher = Pusher::new(self.registry.clone());
        let token = self.identity.fetch(self.services.transport(), (self.clock)());
        let ((read, unwritable), token) = join(self.prepare(&pusher, request), token).await;
        let ((images, release), token) = match (read.complete(), token) {
            (Ok(read), Ok(token)) if unwritable.is_empty() => (read, token),
            (read, token) => {
                let mut errors = read.err().unwrap_or_default();
                errors.extend(unwritable);
                errors.extend(token.err());
                return Err(SignFailure::new(errors));
            }
        };

        let payloads = payloads(statement::plan(&release, request.form), &request.annotations)?;
        let (certificate, signer) = self.certificate(&token).await?;
        let verified = self.bundles(&certificate, &signer, payloads).await?;
        let attached = attach::attach(&pusher, &verified, (self.clock)()).await;

        let statements = verified.iter().zip(&attached.referrers).map(|(one, referrers)| {
            let bundle = LoggedBundle { digest: Digest::of(&one.bundle.json), log_index: one.bundle.log_index };
            describe(&one.statement, Some(bundle), referrers)
        });
        let report = SignReport {
            images,
            signer: Some(signer),
            annotations: request.annotations.clone(),
            statements: statements.collect(),
        };
        if attached.failures.is_empty() { Ok(report) } else { Err(SignFailure { errors: attached.failures, report }) }
    }

    /// Reads what the references stand for, then proves that it can be written beside what was found.
    async fn prepare(&self, pusher: &Pusher, request: &SignRequest) -> (Reading, Vec<SignError>) {
        let reading = resolve::read(&self.registry, request).await;
        let unwritable = attach::prove_writes(pusher, reading.complete_repositories()).await;
        (reading, unwritable)
    }

    async fn certificate(&self, token: &IdentityToken) -> Result<(Certificate, SignerIdentity), SignError> {
        let certificate = self.services.certificate(token, (self.clock)()).await?;
        let authority = self.services.selection().fulcio.as_str();
        let signer = SignerIdentity::new(token, &certificate, authority)?;
        Ok((certificate, signer))
    }

    async fn bundles(
        &self,
        certificate: &Certificate,
        signer: &SignerIdentity,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Verified>, SignError> {
        let check = &SelfVerification {
            verifier: Arc::clone(&self.verifier),
            policy: Arc::new(signer.policy()?),
            not_after: certificate.not_after(),
            clock: Arc::clone(&self.clock),
        };
        stream::iter(payloads)
            .map(|Payload { statement, bytes }| async move {
                in_time(certificate, &statement, (self.clock)())?;
                let bundle = self.services.sign(certificate, &bytes).await?;
                check.verify(&statement, &bundle.json).await?;
                Ok(Verified { statement, bundle })
            })
            .buffered(PARALLEL)
            .try_collect()
            .await
    }
}

/// Refuses to sign with a certificate that could expire before the log and the timestamp authority have answered.
fn in_time(certificate: &Certificate, statement: &PlannedStatement, now: Timestamp) -> Result<(), SignError> {
    let not_after = certificate.not_after();
    match statement.subjects.first() {
        Some(bound) if not_after.duration_since(now) < MARGIN => {
            Err(SignError::CertificateOutlived { subject: bound.reference(), not_after, now })
        }
        _ => Ok(()),
    }
}

/// A statement and the bytes that are signed for it.
struct Payload {
    statement: PlannedStatement,
    bytes: Vec<u8>,
}

fn payloads(statements: Vec<PlannedStatement>, annotations: &Annotations) -> Result<Vec<Payload>, SignError> {
    let payload = |statement: PlannedStatement| {
        let bytes = statement.to_bytes(annotations);
        if bytes.len() > MAX_STATEMENT {
            return Err(SignError::StatementTooLarge { size: bytes.len(), limit: MAX_STATEMENT });
        }
        Ok(Payload { statement, bytes })
    };
    statements.into_iter().map(payload).collect()
}

fn describe(
    statement: &PlannedStatement,
    bundle: Option<LoggedBundle>,
    referrers: &[Option<Digest>],
) -> SignedStatement {
    let subjects = statement.subjects.iter().enumerate().map(|(position, bound)| SignedSubject {
        reference: bound.reference(),
        tags: bound.tags().cloned().collect(),
        subject: bound.subject.clone(),
        referrer: referrers.get(position).copied().flatten(),
    });
    SignedStatement { bundle, subjects: subjects.collect() }
}
