//! Pushes bundles and referrer manifests. Nothing gets here that did not verify.

use std::collections::BTreeSet;

use countersign_oci::{Attachment, Digest, ManifestTarget, PinnedReference, Pushed, Pusher, Repository, media_type};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;

use crate::error::SignError;
use crate::existing::place;
use crate::referrer::ReferrerManifest;
use crate::services::SignedBundle;
use crate::statement::{BoundSubject, PREDICATE_TYPE, PlannedStatement};

/// How many pushes are under way at once.
const PARALLEL: usize = 48;

/// A statement whose bundle verified.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) statement: PlannedStatement,
    pub(crate) bundle: SignedBundle,
    /// The time that the referrer manifests name: a call that is repeated with the same bundle writes the same manifests.
    pub(crate) created: Timestamp,
    /// What kind of statement it is.
    pub(crate) predicate_type: String,
}

impl Verified {
    pub(crate) fn signature(statement: PlannedStatement, bundle: SignedBundle, created: Timestamp) -> Self {
        Self { statement, bundle, created, predicate_type: PREDICATE_TYPE.to_owned() }
    }
}

/// What came of attaching: for each statement and subject the referrer manifest, where it is in place, and everything that failed.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) referrers: Vec<Vec<Option<Digest>>>,
    pub(crate) failures: Vec<SignError>,
}

/// Proves that every repository can be written to, by pushing the blob that every referrer manifest needs anyway.
pub(crate) async fn prove_writes(pusher: &Pusher, repositories: &BTreeSet<Repository>) -> Vec<SignError> {
    let proofs = join_all(repositories.iter().map(|repository| async move {
        let refused = |source| SignError::WriteRefused { repository: repository.clone(), source: Box::new(source) };
        pusher.prove_write(repository).await.map_err(refused)
    }));
    proofs.await.into_iter().filter_map(Result::err).collect()
}

/// Attaches each bundle to each of its subjects: one blob for each repository, then all manifests, then, where a registry keeps no list
/// of referrers, the referrers tags. What fails does not stop the rest.
pub(crate) async fn attach(pusher: &Pusher, verified: &[Verified], signatures: Option<&Repository>) -> Attached {
    let mut failures = Vec::new();
    let blobs = push_blobs(pusher, verified, signatures, &mut failures).await;
    let manifests = push_manifests(pusher, verified, signatures, &blobs, &mut failures).await;
    let mut referrers: Vec<Vec<Option<Digest>>> =
        verified.iter().map(|one| vec![None; one.statement.subjects.len()]).collect();
    for (position, subject, digest) in list_referrers(pusher, manifests, &mut failures).await {
        referrers[position][subject] = Some(digest);
    }
    Attached { referrers, failures }
}

/// The statements and repositories whose bundle is in place.
type Blobs<'a> = BTreeSet<(usize, &'a Repository)>;

async fn push_blobs<'a>(
    pusher: &Pusher,
    verified: &'a [Verified],
    signatures: Option<&'a Repository>,
    failures: &mut Vec<SignError>,
) -> Blobs<'a> {
    let wanted: Blobs<'a> = verified
        .iter()
        .enumerate()
        .flat_map(|(position, one)| {
            let subjects = one.statement.subjects.iter();
            subjects.map(move |bound| (position, signatures.unwrap_or(&bound.repository)))
        })
        .collect();
    let outcomes: Vec<_> = stream::iter(wanted)
        .map(|(position, repository)| async move {
            let bytes = verified[position].bundle.json.clone();
            let pushed = pusher.push_blob(repository, Digest::of(&bytes), bytes).await;
            let failed = |source| SignError::Registry {
                action: "push the bundle to",
                reference: repository.to_string(),
                source: Box::new(source),
            };
            pushed.map(|()| (position, repository)).map_err(failed)
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    keep(outcomes, failures).collect()
}

/// A referrer manifest that is in its repository, but perhaps not listed yet.
struct InPlace {
    position: usize,
    subject: usize,
    reference: PinnedReference,
    manifest: ReferrerManifest,
    pushed: Pushed,
}

async fn push_manifests(
    pusher: &Pusher,
    verified: &[Verified],
    signatures: Option<&Repository>,
    blobs: &Blobs<'_>,
    failures: &mut Vec<SignError>,
) -> Vec<InPlace> {
    let wanted = verified.iter().enumerate().flat_map(|(position, one)| {
        let subjects = one.statement.subjects.iter().enumerate();
        subjects.map(move |(subject, bound)| (position, subject, bound))
    });
    let in_place =
        |position: usize, bound: &BoundSubject| blobs.contains(&(position, signatures.unwrap_or(&bound.repository)));
    let wanted: Vec<_> = wanted.filter(|(position, _, bound)| in_place(*position, bound)).collect();
    let outcomes: Vec<_> = stream::iter(wanted)
        .map(|(position, subject, bound)| async move {
            let Verified { bundle, created, predicate_type, .. } = &verified[position];
            let manifest = ReferrerManifest::of(&bound.subject, predicate_type, &bundle.json, *created);
            let reference = place(&bound.reference(), signatures);
            let pushed = push_manifest(pusher, &reference, &manifest).await?;
            Ok(InPlace { position, subject, reference, manifest, pushed })
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    keep(outcomes, failures).collect()
}

async fn push_manifest(
    pusher: &Pusher,
    subject: &PinnedReference,
    manifest: &ReferrerManifest,
) -> Result<Pushed, SignError> {
    let target = ManifestTarget::Digest(manifest.digest);
    let pushed = pusher.push_manifest(subject.repository(), target, manifest.bytes.clone(), media_type::OCI_MANIFEST);
    pushed.await.map_err(|source| SignError::Registry {
        action: "push the signature of",
        reference: subject.to_string(),
        source: Box::new(source),
    })
}

async fn list_referrers(
    pusher: &Pusher,
    manifests: Vec<InPlace>,
    failures: &mut Vec<SignError>,
) -> Vec<(usize, usize, Digest)> {
    let attachments: Vec<Attachment> = manifests
        .iter()
        .map(|one| Attachment {
            subject: one.reference.clone(),
            referrer: one.manifest.descriptor(),
            pushed: one.pushed,
        })
        .collect();
    let listed = pusher.attach_all(&attachments).await;
    let outcomes = manifests.into_iter().zip(listed).map(|(one, listed)| {
        let failed = |source| SignError::Registry {
            action: "list the signature of",
            reference: one.reference.to_string(),
            source: Box::new(source),
        };
        listed.map(|_| (one.position, one.subject, one.manifest.digest)).map_err(failed)
    });
    keep(outcomes, failures).collect()
}

fn keep<T>(
    outcomes: impl IntoIterator<Item = Result<T, SignError>>,
    failures: &mut Vec<SignError>,
) -> impl Iterator<Item = T> {
    let mut kept = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(one) => kept.push(one),
            Err(failure) => failures.push(failure),
        }
    }
    kept.into_iter()
}
