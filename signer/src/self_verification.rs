//! Judges a new bundle as its consumers will, before anybody else sees it.

use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::PinnedReference;
use countersign_oci::http::Budget;
use countersign_policy::{Assessment, Policy, SignatureFacts, SubjectFacts};
use countersign_verifier::reason::Reason;
use countersign_verifier::verify::Findings;
use countersign_verifier::{Asked, Evidence, Verdict, Verifier};
use jiff::{SignedDuration, Timestamp};

use crate::demand::Demand;
use crate::error::SignError;
pub use crate::identity::SignerIdentity;
use crate::services::{Certificate, certificate_end};
use crate::statement::{Annotations, BoundSubject, PlannedStatement};

/// How long a service's clock may be ahead of this machine's before that is an error.
pub(crate) const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(60);
const SHORTEST_WAIT: SignedDuration = SignedDuration::from_millis(100);

/// What judges new bundles: the consumers' verifier with a policy that admits this signer.
pub(crate) struct SelfVerification {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) demand: Demand,
    pub(crate) budget: Budget,
}

impl SelfVerification {
    /// Tells beforehand, as far as a certificate does, whether consumers will refuse what is signed with it: a log entry for nothing is
    /// there for ever.
    pub(crate) fn foresee(
        &self,
        certificate: &Certificate,
        statement: &PlannedStatement,
        annotations: &Annotations,
    ) -> Result<(), SignError> {
        let now = self.budget.now();
        let Some(claimed) = countersign_verifier::claimed_facts(certificate.der()) else { return Ok(()) };
        let said = |bound: &BoundSubject| SubjectFacts {
            name: Some(bound.reference().to_string()),
            annotations: bound.annotations(annotations),
        };
        let subjects: Vec<SubjectFacts> = statement.subjects.iter().map(said).collect();
        for bound in &statement.subjects {
            let facts = SignatureFacts {
                times: vec![now],
                digest: bound.subject.digest.to_string(),
                subjects: subjects
                    .iter()
                    .filter(|one| one.name == Some(bound.reference().to_string()))
                    .cloned()
                    .collect(),
                ..claimed.clone()
            };
            let asked = countersign_policy::Asked {
                repository: bound.repository.to_string(),
                tag: bound.tags().next().map(ToString::to_string),
            };
            if let Assessment::Denied(denials) = self.demand.of(bound).assess(&facts, &asked, now) {
                let reasons: Vec<String> = denials.iter().map(ToString::to_string).collect();
                return Err(SignError::PolicyUnsatisfiable { subject: bound.reference(), reason: reasons.join("; ") });
            }
        }
        Ok(())
    }

    /// Verifies a bundle for every subject of its statement. Waits up to a minute where this machine's clock is behind the services'.
    pub(crate) async fn verify(&self, statement: &PlannedStatement, bundle: &Bytes) -> Result<(), SignError> {
        let question = |bound: &BoundSubject| {
            let asked = Asked { reference: bound.reference(), tag: bound.tags().next().cloned() };
            (asked, Arc::clone(self.demand.of(bound)))
        };
        let subjects: Vec<(Asked, Arc<Policy>)> = statement.subjects.iter().map(question).collect();
        let started = self.budget.now();
        loop {
            let now = self.budget.now();
            let Some((subject, refusal)) = self.first_refusal(subjects.clone(), bundle.clone(), now).await else {
                return Ok(());
            };
            match refusal {
                Refusal::Untimely(reason) => {
                    let not_after = certificate_end(bundle).filter(|not_after| now >= *not_after);
                    return Err(match not_after {
                        Some(not_after) => SignError::CertificateOutlived { not_after, now, source: None },
                        None => SignError::SelfVerificationRejected { subject, reason },
                    });
                }
                Refusal::Rejected(reason) => {
                    return Err(SignError::SelfVerificationRejected { subject, reason });
                }
                Refusal::ClockBehind(time) => {
                    if time.duration_since(started) <= LONGEST_WAIT && wait_for(time, now, &self.budget).await {
                        continue;
                    }
                    let reason = format!("it was signed at {time}, and this machine's clock says {now}");
                    return Err(SignError::SelfVerificationUndecided { subject, reason });
                }
                Refusal::Undecided(reason) => {
                    return Err(SignError::SelfVerificationUndecided { subject, reason });
                }
            }
        }
    }

    /// Authenticates the bundle once and judges it for subject after subject, beside the requests that are under way.
    async fn first_refusal(
        &self,
        subjects: Vec<(Asked, Arc<Policy>)>,
        bundle: Bytes,
        now: Timestamp,
    ) -> Option<(PinnedReference, Refusal)> {
        let first = subjects.first()?.0.reference.clone();
        let verifier = Arc::clone(&self.verifier);
        let judged = tokio::task::spawn_blocking(move || {
            let evidence = Evidence::from_bundles([bundle]);
            let authenticated = verifier.authenticate(&evidence, now);
            let refusal = |(asked, policy): (Asked, Arc<Policy>)| {
                let verdict = authenticated.verify_digest(&asked, &policy);
                Refusal::of(verdict).map(|refusal| (asked.reference, refusal))
            };
            subjects.into_iter().find_map(refusal)
        });
        judged.await.unwrap_or_else(|stopped| Some((first, Refusal::Undecided(stopped.to_string()))))
    }
}

/// Waits until this machine's clock has come to a time, where the budget has that much.
pub(crate) async fn wait_for(time: Timestamp, now: Timestamp, budget: &Budget) -> bool {
    let wait = time.duration_since(now).clamp(SHORTEST_WAIT, LONGEST_WAIT);
    let why = format!("it was signed at {time}, and this machine's clock says {now}");
    budget.pause(&"the new signature", &why, wait.unsigned_abs()).await
}

/// Why a bundle is not accepted for a subject.
enum Refusal {
    ClockBehind(Timestamp),
    Rejected(String),
    Undecided(String),
    /// The certificate or a time does not hold, which may be because it was signed too late.
    Untimely(String),
}

impl Refusal {
    fn of(verdict: Result<Verdict, countersign_verifier::Error>) -> Option<Self> {
        match verdict {
            Ok(Verdict::Verified(..)) => None,
            // A policy may want further signers: this bundle is as good as one of them can be.
            Ok(Verdict::Rejected(findings)) if accepts(&findings) => None,
            Ok(Verdict::Rejected(findings)) if concerns_time(&findings) => Some(Self::Untimely(reasons(&findings))),
            Ok(Verdict::Rejected(findings)) => Some(Self::Rejected(reasons(&findings))),
            Ok(Verdict::Undecided(findings)) => Some(match time_ahead(&findings) {
                Some(time) => Self::ClockBehind(time),
                None => Self::Undecided(reasons(&findings)),
            }),
            Ok(_) => Some(Self::Undecided("the verdict is of an unknown kind".to_owned())),
            Err(error) => Some(Self::Undecided(error.to_string())),
        }
    }
}

/// Whether nothing is wrong with the bundle itself.
fn accepts(findings: &Findings) -> bool {
    !findings.candidates.is_empty() && findings.candidates.iter().all(|finding| finding.outcome.is_ok())
}

fn time_ahead(findings: &Findings) -> Option<Timestamp> {
    findings.candidates.iter().find_map(|finding| match &finding.outcome {
        Err(Reason::ClockBehind { time, .. }) => Some(*time),
        _ => None,
    })
}

fn concerns_time(findings: &Findings) -> bool {
    let of_time = |reason: &Reason| {
        matches!(
            reason,
            Reason::Certificate { .. }
                | Reason::IntegratedTime { .. }
                | Reason::NoVerifiedTime { .. }
                | Reason::TimestampOutsideCertificate { .. }
        )
    };
    findings.candidates.iter().any(|finding| finding.outcome.as_ref().is_err_and(of_time))
}

fn reasons(findings: &Findings) -> String {
    let reasons: Vec<String> = findings
        .candidates
        .iter()
        .filter_map(|finding| finding.outcome.as_ref().err())
        .map(ToString::to_string)
        .collect();
    reasons.join("; ")
}
