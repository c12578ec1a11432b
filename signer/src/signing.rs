//! From a release whose manifests are all in place to attached signatures: what `sign` and `publish` have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::{Digest, PinnedReference, Pusher, Repository};
use countersign_policy::Policy;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _};

use crate::attach::{self, Verified};
use crate::demand::Demand;
use crate::error::SignError;
use crate::existing::{Existing, Judge};
use crate::self_verification::SelfVerification;
use crate::services::Credentials;
use crate::sign::{LoggedBundle, Payload, SignFailure, SignReport, SignedStatement, SignedSubject, Signer, payloads};
use crate::state::StateFile;
use crate::statement::{self, Annotations, BoundSubject, PlannedStatement, StatementForm};
use crate::subjects::Release;

/// How many statements are logged at once: logs limit the rate.
const PARALLEL: usize = 16;

/// How a release is to be signed.
pub(crate) struct Terms<'a> {
    /// How subjects are spread over statements.
    pub(crate) form: StatementForm,
    /// Refuse more than one statement.
    pub(crate) one_statement: bool,
    /// What is said of every subject.
    pub(crate) annotations: &'a Annotations,
    /// What consumers demand; without it, a signature by this signer.
    pub(crate) policy: Option<&'a Arc<Policy>>,
    /// The repository that holds all signatures; without it they lie beside their subjects.
    pub(crate) signatures: Option<&'a Repository>,
    /// The roots that have referrers: what may be signed already. Empty where everything is to be signed again.
    pub(crate) referred: BTreeSet<PinnedReference>,
    /// What an earlier call did.
    pub(crate) state: Option<&'a StateFile>,
}

impl Signer {
    /// Signs what has no signature yet that would do. Nothing is attached before every bundle was verified.
    pub(crate) async fn sign_release(
        &self,
        pusher: &Pusher,
        release: &Release,
        terms: &Terms<'_>,
        credentials: &Credentials,
    ) -> Result<SignReport, SignFailure> {
        let planned = statement::plan(release, terms.form);
        // Too large statements are refused before anything is asked for.
        let count = payloads(planned.clone(), terms.annotations, None)?.len();
        if terms.one_statement && count > 1 {
            return Err(SignError::SeveralStatements { count }.into());
        }

        // Where the token does not tell what the certificate will say, the certificate has to.
        let mut signer = match credentials.expected_identity() {
            Some(signer) => signer.clone(),
            None => credentials.signer().await?,
        };
        let policy = match terms.policy {
            Some(policy) => Arc::clone(policy),
            None => Arc::new(signer.policy()?),
        };
        let demand = Demand::new(&policy, terms.annotations);

        let mut verified = self.remembered(&demand, &planned, terms.state).await;
        let remembered: BTreeSet<PinnedReference> =
            verified.iter().flat_map(|one| one.statement.subjects.iter().map(BoundSubject::reference)).collect();
        let open = without(planned, |bound| remembered.contains(&bound.reference()));
        let judge = Judge {
            registry: &self.registry,
            verifier: &self.verifier,
            demand: &demand,
            form: terms.form,
            signatures: terms.signatures,
            budget: self.services.budget(),
        };
        let existing = Box::pin(judge.find(&open, &terms.referred)).await;
        let (open, signed_already) = split(open, &existing);

        if !open.is_empty() {
            signer = credentials.signer().await?;
            // Who signs is known now for certain.
            let demand = match terms.policy {
                Some(_) => demand,
                None => Demand::new(&Arc::new(signer.policy()?), terms.annotations),
            };
            verified.extend(Box::pin(self.bundles(credentials, &demand, open, terms)).await?);
        }

        let others: BTreeSet<Bytes> = existing.values().map(|found| found.bundle.clone()).collect();
        tracing::info!(new = verified.len(), before = signed_already.len(), "attaching");
        let attached = Box::pin(attach::attach(pusher, &verified, terms.signatures)).await;
        let statements = verified.iter().zip(&attached.referrers).map(|(one, referrers)| {
            let bundle = LoggedBundle { digest: Digest::of(&one.bundle.json), log_index: one.bundle.log_index };
            describe(&one.statement, Some(bundle), referrers)
        });
        let report = SignReport {
            images: Vec::new(),
            signer: Some(signer),
            annotations: terms.annotations.clone(),
            statements: statements.collect(),
            signed_already,
            bundles: verified.iter().map(|one| one.bundle.json.clone()).chain(others).collect(),
            planned_requests: None,
            requests: BTreeMap::new(),
        };
        if attached.failures.is_empty() { Ok(report) } else { Err(SignFailure { errors: attached.failures, report }) }
    }

    /// The bundles that an earlier call made, for what is still planned. They are verified again; what does not hold is left out.
    async fn remembered(
        &self,
        demand: &Demand,
        planned: &[PlannedStatement],
        state: Option<&StateFile>,
    ) -> Vec<Verified> {
        let Some(state) = state else { return Vec::new() };
        let mut wanted: BTreeMap<PinnedReference, &BoundSubject> =
            planned.iter().flat_map(|one| &one.subjects).map(|bound| (bound.reference(), bound)).collect();
        let mut kept = Vec::new();
        // The newest first: an older one may say less.
        for one in state.bundles().into_iter().rev() {
            let subjects: Vec<BoundSubject> =
                one.subjects.iter().filter_map(|subject| wanted.get(subject).copied().cloned()).collect();
            if subjects.is_empty() {
                continue;
            }
            let statement = PlannedStatement { subjects };
            match self.check(demand).verify(&statement, &one.bundle.json).await {
                Ok(()) => {
                    for bound in &statement.subjects {
                        wanted.remove(&bound.reference());
                    }
                    kept.push(Verified::signature(
                        statement,
                        one.bundle,
                        one.created.min(self.services.budget().now()),
                    ));
                }
                Err(problem) => {
                    tracing::warn!(%problem, "a bundle that an earlier run kept does not hold, signing again");
                }
            }
        }
        kept
    }

    fn check(&self, demand: &Demand) -> SelfVerification {
        let budget = self.services.budget().clone();
        SelfVerification { verifier: Arc::clone(&self.verifier), demand: demand.clone(), budget }
    }

    async fn bundles(
        &self,
        credentials: &Credentials,
        demand: &Demand,
        statements: Vec<PlannedStatement>,
        terms: &Terms<'_>,
    ) -> Result<Vec<Verified>, SignFailure> {
        let check = &self.check(demand);
        let certificate = credentials.certificate().await?;
        for statement in &statements {
            check.foresee(&certificate, statement, terms.annotations)?;
        }
        let outcomes: Vec<Result<Verified, SignError>> = stream::iter(payloads(statements, terms.annotations, None)?)
            .map(|payload| self.bundle(credentials, check, payload, terms.state))
            .buffered(PARALLEL)
            .collect()
            .await;
        let (mut verified, mut failures) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(one) => verified.push(one),
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(verified) } else { Err(SignFailure::new(failures)) }
    }

    /// Signs a statement and verifies what came of it. Where the certificate had ended by then all the same, because the machine was
    /// suspended or its clock was set, once more with a new one.
    async fn bundle(
        &self,
        credentials: &Credentials,
        check: &SelfVerification,
        Payload { statement, bytes }: Payload,
        state: Option<&StateFile>,
    ) -> Result<Verified, SignError> {
        let mut outlived = false;
        loop {
            let bundle = self.services.sign(credentials, &bytes).await?;
            let created = self.services.budget().now();
            let record = async {
                if let Some(state) = state {
                    let subjects: Vec<_> = statement.subjects.iter().map(BoundSubject::reference).collect();
                    state.record_bundle(&subjects, created, &bundle).await;
                }
            };
            tracing::info!(log_index = bundle.log_index, subjects = statement.subjects.len(), "signed and logged");
            // It is kept whatever the verdict: a crash must not cost a second entry.
            let ((), verdict) = join(record, check.verify(&statement, &bundle.json)).await;
            match verdict {
                Ok(()) => return Ok(Verified::signature(statement, bundle, created)),
                Err(SignError::CertificateOutlived { not_after, now, .. }) if !outlived => {
                    tracing::warn!(%not_after, %now, "the certificate ended before the signature was logged, signing again");
                    outlived = true;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Leaves out subjects, and statements that have none left.
fn without(statements: Vec<PlannedStatement>, done: impl Fn(&BoundSubject) -> bool) -> Vec<PlannedStatement> {
    let rest = |mut statement: PlannedStatement| {
        statement.subjects.retain(|bound| !done(bound));
        (!statement.subjects.is_empty()).then_some(statement)
    };
    statements.into_iter().filter_map(rest).collect()
}

/// Tells what has to be signed from what is signed already.
fn split(statements: Vec<PlannedStatement>, existing: &Existing) -> (Vec<PlannedStatement>, Vec<SignedSubject>) {
    let subjects = statements.iter().flat_map(|statement| &statement.subjects);
    let signed = subjects.filter_map(|bound| {
        let found = existing.get(&bound.reference())?;
        Some(SignedSubject::new(bound, found.referrer))
    });
    let signed = signed.collect();
    (without(statements, |bound| existing.contains_key(&bound.reference())), signed)
}

/// What is reported of a statement.
pub(crate) fn describe(
    statement: &PlannedStatement,
    bundle: Option<LoggedBundle>,
    referrers: &[Option<Digest>],
) -> SignedStatement {
    let subjects = statement.subjects.iter().enumerate();
    let subjects = subjects
        .map(|(position, bound)| SignedSubject::new(bound, referrers.get(position).copied().flatten()))
        .collect();
    SignedStatement { bundle, subjects }
}
