//! The `Blob` profile: is this file signed as it has to be?
//!
//! Files have been signed for longer than images have had bundles, so more shapes are read than for an image: bundles
//! of version 0.1 to 0.3, a signature of the file itself or a signed in-toto statement that names it, a certificate or a
//! managed key. What has to be true is the same: the signature is of this file, by this signer, in a trusted log, at a
//! verified time. Only [`Verifier::verify_blob`] makes a [`VerifiedBlob`], and nothing here makes a
//! [`VerifiedImage`](crate::VerifiedImage).
//!
//! ```
//! use countersign_oci::Digest;
//! use countersign_verifier::blob::{Artifact, ExpectedSigner, ManagedKey};
//! use countersign_verifier::{TrustedRoot, Verifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::new(TrustedRoot::embedded_public_good()?)?;
//! let key = ManagedKey::from_pem(
//!     "-----BEGIN PUBLIC KEY-----
//! MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWRsyGtnnFQC2Mp9hDeGf8bjGPmJD
//! oldkZFtF2ZrRQSDVmF+KENsfX+JB8APKkv41PLWBM2Y6RhCN0LSGQ7UB5A==
//! -----END PUBLIC KEY-----",
//! )?;
//! let now = "2026-11-01T00:00:00Z".parse()?;
//!
//! // A bundle that came with the file, and the file or its digest.
//! let artifact = Artifact::Digest(Digest::of(b"the file"));
//! let refused = verifier.verify_blob(artifact, b"{}", ExpectedSigner::ManagedKey(&key), now).unwrap_err();
//! assert_eq!(refused.code(), "bundle-version");
//! # Ok(())
//! # }
//! ```

use countersign_oci::Digest;
use countersign_policy::{Accepted, Asked, Assessment, Decision, Policy, SignatureFacts};
use jiff::Timestamp;
use sigstore_types::{HashAlgorithm, SignatureContent};

use crate::reason::Reason;
use crate::sigstore::{self, Authenticated, Presented};
use crate::statement;
use crate::verify::Verifier;

mod key;
mod shape;
mod verified;

pub use key::ManagedKey;
pub use verified::{BlobContent, BlobSigner, VerifiedBlob};

use shape::{Material, ShapedBlob};

/// The file that is asked about.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Artifact<'a> {
    /// The file itself.
    Bytes(&'a [u8]),
    /// The file's digest. A signature by an Ed25519 key over the file itself cannot be checked with it.
    Digest(Digest),
}

impl<'a> Artifact<'a> {
    /// Returns the file's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes),
            Self::Digest(digest) => *digest,
        }
    }

    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Digest(_) => None,
        }
    }
}

/// Who must have signed the file.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ExpectedSigner<'a> {
    /// The holder of a managed key. There is no identity and no window of time: who has the key is the answer.
    ManagedKey(&'a ManagedKey),
    /// Whoever has a certificate with exactly this name from exactly this issuer, as the protocol of the public
    /// conformance suite asks.
    ///
    /// Weaker than every policy: a workflow that others can call gives its name to all of them, and nothing here looks
    /// at whose job it was.
    #[cfg(feature = "conformance")]
    NameAlone {
        /// The certificate's subject alternative name.
        identity: &'a str,
        /// The OIDC issuer.
        issuer: &'a str,
    },
    /// A signer that the policy admits. The policy must need one signer, and no signed repository or tag.
    Policy(&'a Policy),
}

impl Verifier {
    /// Returns the proof that the bundle is a signature of this file by this signer.
    ///
    /// The bundle's shape is decided first: version 0.1, 0.2 or 0.3 in both spellings; one certificate, chain or key;
    /// one log entry of a kind that fits, with inclusion proof and checkpoint; at most
    /// [`TIMESTAMPS`](countersign_oci::limits::TIMESTAMPS) timestamps; one signature. Then everything is authenticated
    /// against the trusted root. A statement must name the file's sha256 as a subject; what its predicate says is not
    /// looked at: ask [`VerifiedBlob::content`] what kind of statement it is. `now` decides a policy's `max_age` and whether a verified time lies in the future.
    ///
    /// A bundle cannot bring intermediate certificates: of a chain only the first certificate is used, and the way from
    /// there is the trusted root's. Files signed with RSA keys are refused; statements signed with them are not.
    pub fn verify_blob(
        &self,
        artifact: Artifact<'_>,
        bundle: &[u8],
        signer: ExpectedSigner<'_>,
        now: Timestamp,
    ) -> Result<VerifiedBlob, Reason> {
        let shaped = shape::shape(bundle)?;
        let question = Question { verifier: self, shaped: &shaped, artifact, now };
        match (signer, shaped.material) {
            (ExpectedSigner::ManagedKey(key), Material::Key) => question.by_key(key),
            (ExpectedSigner::ManagedKey(_), Material::Certificate) => Err(Reason::ManagedKeyUnused),
            (_, Material::Key) => Err(Reason::ManagedKeyNeeded),
            (ExpectedSigner::Policy(policy), Material::Certificate) => question.by_policy(policy),
            #[cfg(feature = "conformance")]
            (ExpectedSigner::NameAlone { identity, issuer }, Material::Certificate) => {
                question.by_name(identity, issuer)
            }
        }
    }
}

/// Returns the digest of the file that a bundle says it is for: what to tell a person, and nothing to rely on, for nothing is verified.
#[must_use]
pub fn claimed_digest(bundle: &[u8]) -> Option<Digest> {
    let shaped = shape::shape(bundle).ok()?;
    match (&shaped.statement, &shaped.bundle.content) {
        (Some(payload), _) => statement::first_subject(payload).ok(),
        (None, SignatureContent::MessageSignature(message)) => {
            let stated = message.message_digest.as_ref()?;
            let bytes = stated.digest.as_bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (stated.algorithm == HashAlgorithm::Sha2256).then(|| format!("sha256:{hex}").parse().ok())?
        }
        _ => None,
    }
}

/// One bundle of an accepted shape, and the file that it is put forward for.
struct Question<'a> {
    verifier: &'a Verifier,
    shaped: &'a ShapedBlob,
    artifact: Artifact<'a>,
    now: Timestamp,
}

impl Question<'_> {
    fn by_key(&self, key: &ManagedKey) -> Result<VerifiedBlob, Reason> {
        let Verifier { sigstore, root, .. } = self.verifier;
        let found = sigstore::authenticate_by_key(sigstore, root.inner(), self.presented(), key.der(), self.now)
            .map_err(|reason| self.verifier.blame_clock(reason, self.now))?;
        let proof =
            self.proof(found.times, found.log_entry, BlobSigner::ManagedKey { fingerprint: key.fingerprint() })?;
        Ok(proof)
    }

    fn by_policy(&self, policy: &Policy) -> Result<VerifiedBlob, Reason> {
        if policy.require().tag || policy.require().repository || policy.require().platforms {
            return Err(Reason::PolicyOfImages);
        }
        let found = self.authenticate()?;
        let facts = self.facts(&found)?;
        let accepted = self.admit(policy, &facts)?;
        let mut proof =
            self.proof(found.times.clone(), found.log_entry, certificate_signer(found, accepted.signers)?)?;
        proof.policy_hash = Some(Digest::of(policy.canonical().as_bytes()));
        Ok(proof)
    }

    #[cfg(feature = "conformance")]
    fn by_name(&self, identity: &str, issuer: &str) -> Result<VerifiedBlob, Reason> {
        let found = self.authenticate()?;
        let named = (found.issuer.as_deref(), found.subject_alternative_name.as_deref());
        if named != (Some(issuer), Some(identity)) {
            let text = |(issuer, name): (Option<&str>, Option<&str>)| {
                format!("{} of {}", name.unwrap_or("(no name)"), issuer.unwrap_or("(no issuer)"))
            };
            return Err(Reason::SignerMismatch { expected: text((Some(issuer), Some(identity))), found: text(named) });
        }
        self.proof(found.times.clone(), found.log_entry, certificate_signer(found, Vec::new())?)
    }

    fn presented(&self) -> Presented<'_> {
        Presented { bundle: &self.shaped.bundle, digest: self.artifact.digest(), bytes: self.artifact.bytes() }
    }

    fn authenticate(&self) -> Result<Authenticated, Reason> {
        let Verifier { sigstore, root, .. } = self.verifier;
        sigstore::authenticate(sigstore, root.inner(), self.presented(), self.now)
            .map_err(|reason| self.verifier.blame_clock(reason, self.now))
    }

    fn facts(&self, found: &Authenticated) -> Result<SignatureFacts, Reason> {
        let digest = self.artifact.digest();
        let subjects = match &self.shaped.statement {
            Some(payload) => statement::about(payload, digest)?.subjects,
            None => Vec::new(),
        };
        Ok(SignatureFacts {
            issuer: found.issuer.clone(),
            subject_alternative_name: found.subject_alternative_name.clone(),
            subject_alternative_name_is_uri: found.subject_alternative_name_is_uri,
            claims: found.claims.clone(),
            times: found.times.clone(),
            log_entry: found.log_entry.to_string(),
            log: found.log.clone(),
            digest: digest.to_string(),
            subjects,
        })
    }

    fn admit(&self, policy: &Policy, facts: &SignatureFacts) -> Result<Accepted, Reason> {
        // A policy that could ask for either was refused.
        let asked = Asked { repository: String::new(), tag: None };
        let accepted = match policy.assess(facts, &asked, self.now) {
            Assessment::Accepted(accepted) => accepted,
            Assessment::Denied(denials) => return Err(Reason::Denied { denials }),
        };
        match policy.decide(&[&accepted]) {
            Decision::Satisfied { .. } => Ok(accepted),
            Decision::TooFewLogs { needed, have } => Err(Reason::TooFewLogs { needed, have }),
            Decision::Unsatisfied { needed, have } => Err(Reason::ThresholdUnmet { needed, have }),
        }
    }

    /// Everything was authenticated and admitted; what is left to say is what was signed.
    fn proof(&self, times: Vec<Timestamp>, log_entry: Digest, signer: BlobSigner) -> Result<VerifiedBlob, Reason> {
        let digest = self.artifact.digest();
        let (content, predicate) = match &self.shaped.statement {
            Some(payload) => {
                let about = statement::about(payload, digest)?;
                let names = about.subjects.into_iter().filter_map(|subject| subject.name).collect();
                let content = BlobContent::Statement { predicate_type: about.predicate_type, names };
                (content, statement::predicate(payload)?)
            }
            None => (BlobContent::File, None),
        };
        let trusted_root = self.verifier.trusted_root().origin().to_owned();
        let log_index = self.shaped.log_index;
        Ok(VerifiedBlob {
            digest,
            content,
            predicate,
            signer,
            times,
            log_index,
            log_entry,
            policy_hash: None,
            trusted_root,
        })
    }
}

fn certificate_signer(found: Authenticated, signers: Vec<String>) -> Result<BlobSigner, Reason> {
    match (found.issuer, found.subject_alternative_name) {
        (Some(issuer), Some(identity)) => {
            let source_repository = found.claims.source_repository_uri;
            Ok(BlobSigner::Certificate { issuer, identity, source_repository, signers })
        }
        _ => Err(Reason::Certificate { detail: "it names no issuer or nobody".into() }),
    }
}
