//! Looks at what was signed as a consumer will: through the registry, with the consumer's policy.

use std::time::Duration;

use countersign_oci::http::Budget;
use countersign_oci::{Class, PinnedReference, Registry, Repository, Tag};
use countersign_policy::Policy;
use countersign_verifier::verify::Findings;
use countersign_verifier::{Asked, Verdict, Verifier};
use futures_util::stream::{self, StreamExt as _};

use super::PublishError;
use crate::existing::place;

const PARALLEL: usize = 16;
/// Anybody can attach anything to an image; the first few reasons tell.
const MOST_REASONS: usize = 5;
/// How long after a failed look the next one is taken, at first.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What consumers judge with.
pub(super) struct Consumer<'a> {
    pub(super) registry: &'a Registry,
    pub(super) verifier: &'a Verifier,
    pub(super) policy: &'a Policy,
    pub(super) signatures: Option<&'a Repository>,
    pub(super) budget: &'a Budget,
}

impl Consumer<'_> {
    /// Verifies each manifest, once for each tag that is going to lead to it.
    pub(super) async fn verify(&self, subjects: Vec<PinnedReference>, tags: &[Tag]) -> Vec<PublishError> {
        let mut questions: Vec<Asked> = subjects
            .into_iter()
            .flat_map(|subject| {
                tags.iter().map(move |tag| Asked { reference: subject.clone(), tag: Some(tag.clone()) })
            })
            .collect();
        let mut pause = FIRST_PAUSE;
        let mut left = self.registry.visible_within();
        loop {
            let refused: Vec<(Asked, PublishError)> = stream::iter(questions)
                .map(|asked| async move { self.refusal(asked.clone()).await.map(|refusal| (asked, refusal)) })
                .buffer_unordered(PARALLEL)
                .filter_map(std::future::ready)
                .collect()
                .await;
            let pausing = pause.min(left);
            let may_come = refused.iter().all(|(_, refusal)| refusal.retryable()) && !refused.is_empty();
            let goes_on = may_come && !pausing.is_zero();
            if !goes_on || !self.budget.pause(&"the new signatures", &"not all are visible yet", pausing).await {
                return refused.into_iter().map(|(_, refusal)| refusal).collect();
            }
            left -= pausing;
            pause *= 2;
            questions = refused.into_iter().map(|(asked, _)| asked).collect();
        }
    }

    async fn refusal(&self, asked: Asked) -> Option<PublishError> {
        let source = place(&asked.reference, self.signatures);
        let now = self.budget.now();
        let verdict =
            countersign_verifier::verify_image_from(self.registry, &source, self.verifier, self.policy, &asked, now);
        let tag = asked.tag.as_ref().map(Tag::as_str).unwrap_or_default();
        let reference = format!("{}:{tag}@{}", asked.reference.repository(), asked.reference.digest());
        match verdict.await {
            Ok(Verdict::Verified(..)) => None,
            // It was attached a moment ago: a registry that shows nothing of it yet says nothing of it.
            Ok(Verdict::Rejected(findings)) if findings.candidates.is_empty() => {
                Some(PublishError::NotVerifiable { reference, reason: reasons(&findings), retryable: true })
            }
            Ok(Verdict::Rejected(findings)) => {
                Some(PublishError::NotVerified { reference, reason: reasons(&findings) })
            }
            Ok(verdict) => {
                let reason = reasons(verdict.findings());
                Some(PublishError::NotVerifiable { reference, reason, retryable: true })
            }
            Err(error) => {
                let retryable = matches!(error.class(), Class::NotFound | Class::Throttled | Class::Unreachable);
                Some(PublishError::NotVerifiable { reference, reason: error.to_string(), retryable })
            }
        }
    }
}

fn reasons(findings: &Findings) -> String {
    let candidates = findings.candidates.iter().filter_map(|finding| finding.outcome.as_ref().err());
    let mut reasons: Vec<String> = candidates.map(ToString::to_string).collect();
    reasons.extend(findings.gaps.iter().map(|gap| gap.detail.clone()));
    if let Some(more) = reasons.len().checked_sub(MOST_REASONS).filter(|more| *more > 0) {
        reasons.truncate(MOST_REASONS);
        reasons.push(format!("and {more} more"));
    }
    if reasons.is_empty() {
        let (needed, found) = findings.threshold;
        reasons.push(match found {
            0 => "it has no signature".to_owned(),
            _ => format!("{needed} signers are needed, and {found} signed"),
        });
    }
    reasons.join("; ")
}
