//! From references to attached attestations: the same walk, certificate and order as a signature, with something to say.

use std::collections::BTreeSet;

use countersign_oci::{Digest, Pusher};
use countersign_policy::Policy;
use countersign_verifier::blob::BlobContent;
use futures_util::stream::{self, StreamExt as _};

use crate::attach::{self, Verified};
use crate::blob;
use crate::error::SignError;
use crate::predicate::{Predicate, PredicateType};
use crate::services::{Credentials, SignedBundle};
use crate::sign::{LoggedBundle, Payload, Ready, SignFailure, SignReport, SignRequest, Signer, payloads};
use crate::signing::describe;
use crate::statement::{self, PlannedStatement};

/// How many statements are logged at once: logs limit the rate.
const PARALLEL: usize = 16;

impl Signer {
    /// Says something of everything that the request stands for, under a signature.
    ///
    /// What was said before is not looked at: whether it would do is for those to tell who read it. Like a signature, nothing is attached
    /// before every bundle was verified: certificate, log, times, this very signer, and that it is about each subject, by its name, and of
    /// the right type. What the predicate says is not looked at.
    pub async fn attest(&self, request: &SignRequest, predicate: &Predicate) -> Result<SignReport, SignFailure> {
        // Nothing is looked for that would be left alone.
        let request = SignRequest { force: true, ..request.clone() };
        let pusher = Pusher::new(self.registry.clone());
        let Ready { images, release, credentials, .. } = self.ready(&pusher, &request).await?;
        let planned = statement::plan(&release, request.form);
        let payloads = payloads(planned, &request.annotations, Some(predicate))?;
        let signer = credentials.signer().await?;
        let policy = signer.policy()?;

        let outcomes: Vec<Result<Verified, SignError>> = stream::iter(payloads)
            .map(|payload| self.attested(&credentials, &policy, payload, predicate.kind()))
            .buffered(PARALLEL)
            .collect()
            .await;
        let (verified, failures): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        let failures: Vec<SignError> = failures.into_iter().filter_map(Result::err).collect();
        if !failures.is_empty() {
            return Err(SignFailure::new(failures));
        }
        let verified: Vec<Verified> = verified.into_iter().filter_map(Result::ok).collect();

        let attached = attach::attach(&pusher, &verified, request.signature_repository.as_ref()).await;
        let statements = verified.iter().zip(&attached.referrers).map(|(one, referrers)| {
            let bundle = LoggedBundle { digest: Digest::of(&one.bundle.json), log_index: one.bundle.log_index };
            describe(&one.statement, Some(bundle), referrers)
        });
        let report = SignReport {
            images,
            signer: Some(signer),
            annotations: request.annotations.clone(),
            statements: statements.collect(),
            bundles: verified.iter().map(|one| one.bundle.json.clone()).collect(),
            ..SignReport::default()
        };
        if attached.failures.is_empty() { Ok(report) } else { Err(SignFailure { errors: attached.failures, report }) }
    }

    async fn attested(
        &self,
        credentials: &Credentials,
        policy: &Policy,
        Payload { statement, bytes }: Payload,
        kind: &PredicateType,
    ) -> Result<Verified, SignError> {
        let bundle = self.services.sign(credentials, &bytes).await?;
        let created = self.services.budget().now();
        self.check_attestation(policy, &statement, &bundle, kind).await?;
        Ok(Verified { statement, bundle, created, predicate_type: kind.uri().to_owned() })
    }

    /// Judges a new bundle for each digest that it is about.
    async fn check_attestation(
        &self,
        policy: &Policy,
        statement: &PlannedStatement,
        bundle: &SignedBundle,
        kind: &PredicateType,
    ) -> Result<(), SignError> {
        let digests: BTreeSet<Digest> = statement.subjects.iter().map(|bound| bound.subject.digest).collect();
        for digest in digests {
            let proof = blob::prove(&self.verifier, self.services.budget(), policy, digest, bundle).await?;
            let BlobContent::Statement { predicate_type, names } = proof.content() else {
                return Err(not_said(statement, "it is no statement"));
            };
            if predicate_type != kind.uri() {
                return Err(not_said(statement, "it is of another type"));
            }
            let mut of_digest = statement.subjects.iter().filter(|bound| bound.subject.digest == digest);
            if !of_digest.all(|bound| names.contains(&bound.reference().to_string())) {
                return Err(not_said(statement, "it does not name the repository"));
            }
        }
        Ok(())
    }
}

fn not_said(statement: &PlannedStatement, reason: &str) -> SignError {
    let first = statement.subjects.first().expect("a statement is never without a subject");
    SignError::SelfVerificationRejected { subject: first.reference(), reason: reason.to_owned() }
}
