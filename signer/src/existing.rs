//! Which digests carry a signature already that says what this call would say.
//!
//! Anything that cannot be seen counts as "not signed": signing once more is always safe.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign_oci::http::Budget;
use countersign_oci::{Digest, PinnedReference, Registry, Repository, Tag};
use countersign_verifier::{Asked, Evidence, Verdict, VerifiedImage, Verifier};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;

use crate::demand::Demand;
use crate::statement::{BoundSubject, PlannedStatement, StatementForm};

/// How many digests are looked at at once.
const PARALLEL: usize = 32;

/// Where the referrers of a digest lie: beside it, or in the repository that holds all signatures.
pub(crate) fn place(subject: &PinnedReference, signatures: Option<&Repository>) -> PinnedReference {
    match signatures {
        Some(repository) => repository.pin(subject.digest()),
        None => subject.clone(),
    }
}

/// The roots that have any referrer at all. Most have none, and then nothing of theirs has to be looked at.
pub(crate) async fn referred(
    registry: &Registry,
    roots: impl IntoIterator<Item = PinnedReference>,
    signatures: Option<&Repository>,
) -> BTreeSet<PinnedReference> {
    let looked: Vec<Option<PinnedReference>> = stream::iter(roots)
        .map(|root| async move {
            match registry.referrers(&place(&root, signatures)).await {
                Ok(listing) if listing.descriptors.is_empty() && listing.truncated.is_none() => None,
                Ok(_) => Some(root),
                Err(error) => {
                    tracing::debug!(%root, %error, "cannot tell whether it is signed");
                    None
                }
            }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    looked.into_iter().flatten().collect()
}

/// What judges existing signatures.
pub(crate) struct Judge<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) verifier: &'a Verifier,
    pub(crate) demand: &'a Demand,
    pub(crate) form: StatementForm,
    pub(crate) signatures: Option<&'a Repository>,
    pub(crate) budget: &'a Budget,
}

/// The digests that need no signature, each with what says why.
pub(crate) type Existing = BTreeMap<PinnedReference, Found>;

/// A signature that is there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its referrer manifest.
    pub(crate) referrer: Option<Digest>,
    /// Its bundle.
    pub(crate) bundle: Bytes,
}

impl Judge<'_> {
    /// Looks at the first subject of each statement in each repository, and at the others there only where that one is signed.
    pub(crate) async fn find(&self, statements: &[PlannedStatement], roots: &BTreeSet<PinnedReference>) -> Existing {
        let subjects = || statements.iter().flat_map(|statement| &statement.subjects);
        let (first, rest): (Vec<_>, Vec<_>) = subjects().partition(|bound| roots.contains(&bound.reference()));
        let mut existing = self.signed(first).await;
        // A child may be listed by several indexes; one that is signed is reason enough to look.
        let repositories: BTreeSet<&Repository> = existing.keys().map(PinnedReference::repository).collect();
        let rest = rest.into_iter().filter(|bound| repositories.contains(&bound.repository)).collect();
        let more = self.signed(rest).await;
        existing.extend(more);
        existing
    }

    async fn signed(&self, subjects: Vec<&BoundSubject>) -> Existing {
        let found = stream::iter(subjects)
            .map(|bound| async move { Some((bound.reference(), self.accepted(bound).await?)) })
            .buffer_unordered(PARALLEL)
            .filter_map(std::future::ready)
            .collect();
        found.await
    }

    /// A referrer manifest whose bundle says of the subject what this call would say, for each of its tags.
    async fn accepted(&self, bound: &BoundSubject) -> Option<Found> {
        let policy = self.demand.of(bound);
        let mut tags = bound.tags().cloned();
        let asked = |tag: Option<Tag>| Asked { reference: bound.reference(), tag };
        let source = place(&bound.reference(), self.signatures);
        let first = asked(tags.next());
        let now = self.budget.now();
        let verdict =
            countersign_verifier::verify_image_from(self.registry, &source, self.verifier, policy, &first, now);
        let image = match verdict.await {
            Ok(Verdict::Verified(image, _)) => image,
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(subject = %bound.reference(), %error, "cannot tell whether it is signed");
                return None;
            }
        };
        // What was accepted for one tag is judged for the others without another request.
        let further: Vec<Tag> = tags.collect();
        let evidence = bundles(&image);
        let all = further.is_empty() || {
            let authenticated = self.verifier.authenticate(&evidence, now);
            let accepts =
                |tag| matches!(authenticated.verify_digest(&asked(Some(tag)), policy), Ok(Verdict::Verified(..)));
            further.into_iter().all(accepts)
        };
        let digest = bound.subject.digest;
        let mut signatures = image.signatures().iter();
        // Some verifiers look at the first subject only: they are served by a statement about nothing else.
        let signature =
            signatures.find(|one| self.form != StatementForm::Digest || speaks_only_of(one.bundle(), digest))?;
        all.then(|| Found { referrer: signature.referrer(), bundle: signature.bundle().clone() })
    }
}

/// Whether every subject of a verified bundle's statement is this digest.
fn speaks_only_of(bundle: &[u8], digest: Digest) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        dsse_envelope: Envelope,
    }
    #[derive(Deserialize)]
    struct Envelope {
        payload: String,
    }
    #[derive(Deserialize)]
    struct Statement {
        subject: Vec<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        digest: BTreeMap<String, String>,
    }
    let statement = serde_json::from_slice::<Bundle>(bundle)
        .ok()
        .and_then(|bundle| STANDARD.decode(bundle.dsse_envelope.payload).ok())
        .and_then(|payload| serde_json::from_slice::<Statement>(&payload).ok());
    let is_it = |subject: &Subject| subject.digest.get("sha256").is_some_and(|hex| *hex == digest.hex());
    statement.is_some_and(|statement| statement.subject.iter().all(is_it))
}

fn bundles(image: &VerifiedImage) -> Evidence {
    Evidence::from_bundles(image.signatures().iter().map(|signature| signature.bundle().clone()))
}
