//! Signs files, and in-toto statements that somebody else wrote, without a registry.
//!
//! What comes out is a bundle, verified before anybody sees it: [`SignedBlob`] holds the proof.

use std::sync::Arc;

use countersign_oci::Digest;
use countersign_oci::http::Budget;
use countersign_policy::Policy;
use countersign_verifier::blob::{Artifact, ExpectedSigner, VerifiedBlob};
use countersign_verifier::reason::Reason;
use countersign_verifier::{Verifier, statement};

use crate::error::SignError;
use crate::identity::IdentitySource;
use crate::self_verification::{LONGEST_WAIT, SignerIdentity, wait_for};
use crate::services::{Credentials, Services, SignedBundle};
use crate::sign::MAX_STATEMENT;

/// Signs files and statements. Everything it needs is passed in; it reads neither environment nor clock.
pub struct BlobSigner {
    /// Who issues the certificate, and who logs and timestamps.
    pub services: Services,
    /// Where the identity token comes from.
    pub identity: IdentitySource,
    /// What judges the bundle before it is handed out: a trusted root that consumers use.
    pub verifier: Arc<Verifier>,
}

impl std::fmt::Debug for BlobSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobSigner").field("services", &self.services).finish_non_exhaustive()
    }
}

/// A bundle that was made and verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedBlob {
    /// The bundle.
    pub bundle: SignedBundle,
    /// Who signed.
    pub signer: SignerIdentity,
    /// The proof that the bundle verifies with a policy that admits this signer only: for the file, or for the statement's first
    /// subject.
    pub proof: VerifiedBlob,
}

impl BlobSigner {
    /// Gets the certificate that everything in one call is signed with.
    pub async fn begin(&self) -> Result<BlobSession<'_>, SignError> {
        let credentials = Credentials::new(&self.services, &self.identity).await?;
        credentials.certificate().await?;
        Ok(BlobSession { of: self, credentials })
    }

    /// Signs a file: a message signature, logged as the file's digest.
    pub async fn sign_file(&self, bytes: &[u8]) -> Result<SignedBlob, SignError> {
        self.begin().await?.sign_file(bytes).await
    }

    /// Signs a statement byte for byte as it was given.
    ///
    /// Refuses, before a certificate is asked for, what is no in-toto statement, another version than 1 and 0.1, a statement without
    /// predicate type, without a subject that has a sha256, with more subjects or digests than consumers read, or too large.
    pub async fn sign_statement(&self, statement: &[u8]) -> Result<SignedBlob, SignError> {
        let subject = first_subject(statement)?;
        let credentials = Credentials::new(&self.services, &self.identity).await?;
        let bundle = self.services.sign(&credentials, statement).await?;
        self.verified(bundle, credentials.signer().await?, subject).await
    }

    async fn verified(
        &self,
        bundle: SignedBundle,
        signer: SignerIdentity,
        digest: Digest,
    ) -> Result<SignedBlob, SignError> {
        let policy = signer.policy()?;
        let proof = prove(&self.verifier, self.services.budget(), &policy, digest, &bundle).await?;
        Ok(SignedBlob { bundle, signer, proof })
    }
}

/// Verifies that a new bundle is about a digest, as its consumers will. Waits up to a minute where this machine's clock is behind the
/// services'.
pub(crate) async fn prove(
    verifier: &Verifier,
    budget: &Budget,
    policy: &Policy,
    digest: Digest,
    bundle: &SignedBundle,
) -> Result<VerifiedBlob, SignError> {
    let started = budget.now();
    loop {
        let now = budget.now();
        let judged = verifier.verify_blob(Artifact::Digest(digest), &bundle.json, ExpectedSigner::Policy(policy), now);
        match judged {
            Ok(proof) => return Ok(proof),
            Err(Reason::ClockBehind { time, .. })
                if time.duration_since(started) <= LONGEST_WAIT && wait_for(time, now, budget).await => {}
            Err(reason @ (Reason::ClockBehind { .. } | Reason::RootNotBegun { .. })) => {
                return Err(SignError::BlobUndecided { digest, reason: Box::new(reason) });
            }
            Err(reason) => return Err(SignError::BlobRejected { digest, reason: Box::new(reason) }),
        }
    }
}

/// One call: files that are signed with one certificate, renewed before it ends, at the same time where the caller likes.
pub struct BlobSession<'a> {
    of: &'a BlobSigner,
    credentials: Credentials,
}

impl std::fmt::Debug for BlobSession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobSession").finish_non_exhaustive()
    }
}

impl BlobSession<'_> {
    /// Signs a file: a message signature, logged as the file's digest.
    pub async fn sign_file(&self, bytes: &[u8]) -> Result<SignedBlob, SignError> {
        let bundle = self.of.services.sign_file(&self.credentials, bytes).await?;
        self.of.verified(bundle, self.credentials.signer().await?, Digest::of(bytes)).await
    }
}

/// Returns the first digest that the statement is about, once it is known to be one that consumers read.
fn first_subject(statement: &[u8]) -> Result<Digest, SignError> {
    if statement.len() > MAX_STATEMENT {
        return Err(SignError::StatementTooLarge { size: statement.len(), limit: MAX_STATEMENT });
    }
    statement::first_subject(statement).map_err(|reason| SignError::StatementMalformed { reason: Box::new(reason) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use countersign_oci::limits;
    use serde_json::{Value, json};

    use super::*;

    fn statement() -> Value {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha512": "00"}}, {"name": "a", "digest": {"sha256": Digest::of(b"a").hex()}}],
            "predicateType": "https://example.com/predicate/v1",
            "predicate": {},
        })
    }

    fn refusal(change: impl FnOnce(&mut Value)) -> &'static str {
        let mut value = statement();
        change(&mut value);
        first_subject(value.to_string().as_bytes()).unwrap_err().code()
    }

    #[test]
    fn a_statement_is_about_the_first_digest_that_consumers_compare() {
        assert_eq!(first_subject(statement().to_string().as_bytes()).unwrap(), Digest::of(b"a"));
    }

    #[test]
    fn what_consumers_would_not_read_is_not_signed() {
        assert_eq!(first_subject(b"a file").unwrap_err().code(), "statement-malformed");
        assert_eq!(refusal(|s| s["_type"] = json!("https://in-toto.io/Statement/v2")), "statement-malformed");
        assert_eq!(refusal(|s| s["predicateType"] = json!("")), "statement-malformed");
        assert_eq!(refusal(|s| s["subject"] = json!([])), "statement-malformed");
        assert_eq!(refusal(|s| s["subject"] = json!([{"digest": {"sha256": "00"}}])), "statement-malformed");
        let subject = statement()["subject"][1].clone();
        assert_eq!(refusal(|s| s["subject"] = json!(vec![subject; limits::SUBJECTS + 1])), "statement-malformed");
        let digests: BTreeMap<String, &str> = (0..=limits::SUBJECT_DIGESTS).map(|n| (format!("x{n}"), "00")).collect();
        assert_eq!(refusal(|s| s["subject"][0]["digest"] = json!(digests)), "statement-malformed");
        assert_eq!(refusal(|s| s["predicate"] = json!("x".repeat(MAX_STATEMENT))), "statement-too-large");
    }
}
