//! Verifies, at install time, that an OCI image came out of your own release job.
//!
//! An image is verified when a Sigstore bundle attached to it as an OCI referrer was made under a trusted root you
//! believe, and by a signer that your [policy](countersign_policy::Policy) admits. A yes is a [`VerifiedImage`], which
//! only [`Verifier::verify`] can make; "no" ([`Verdict::Rejected`]) and "could not tell" ([`Verdict::Undecided`]) are
//! different answers, and neither is ever a yes.
//!
//! # Map
//!
//! * [`trusted_root`]: which keys are believed, and where they come from
//! * [`evidence`]: what lies beside an image; [`collect`] reads it from a registry
//! * [`bundle`], [`statement`]: what shape a signature has; [`reason`]: why one will not do
//! * [`verify`]: the decision, pure; [`verified`]: its proof
//! * [`blob`]: the same for files, whose signatures have more shapes
//! * [`platforms`]: what a verified image covers
//! * [`report`]: the decision for people and for programs
//! * [`inspect`]: what is claimed, shown without a decision
//!
//! # Where the security lives
//!
//! In `bundle` (the gate before cryptography), `sigstore` (authentication, by the Sigstore project's crates with `ring`),
//! `statement` (is it about this digest, and is it a signature at all) and the crate `countersign_policy` (who, when,
//! for which name). Everything else carries bytes.
//!
//! # Example
//!
//! ```
//! use countersign_oci::{Digest, ImageReference, PinnedReference};
//! use countersign_policy::Policy;
//! use countersign_verifier::{Asked, Evidence, TrustedRoot, Verdict, Verifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::from_yaml("policy.yaml", r#"
//! version: 1
//! signers:
//!   - name: release
//!     issuer: https://token.actions.githubusercontent.com
//!     identity: https://github.com/example/backends/.github/workflows/release.yml@refs/heads/main
//! "#)?;
//! let verifier = Verifier::new(TrustedRoot::embedded_public_good()?)?;
//!
//! // What was asked for, and what was found beside it: here, nothing.
//! let reference: ImageReference = "ghcr.io/example/backends:v1".parse()?;
//! let pinned = PinnedReference::new(reference.repository().clone(), Digest::of(b"the image index"));
//! let asked = Asked { reference: pinned, tag: reference.tag().cloned() };
//! let now = "2026-11-01T00:00:00Z".parse()?;
//!
//! match verifier.verify(&asked, &Evidence::default(), &policy, now)? {
//!     Verdict::Verified(image, _) => panic!("nothing signed {}", image.reference()),
//!     Verdict::Rejected(findings) => assert!(findings.candidates.is_empty()),
//!     _ => panic!("everything there is was seen"),
//! }
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod blob;
mod branch;
pub mod bundle;
#[cfg(feature = "registry")]
pub mod collect;
pub mod crypto;
mod error;
pub mod evidence;
#[cfg(feature = "cli")]
pub mod hook;
pub mod inspect;
pub mod platforms;
pub mod reason;
pub mod report;
mod sigstore;
pub mod statement;
pub mod trusted_root;
pub mod verified;
pub mod verify;

pub use batch::Question;
pub use error::Error;
pub use evidence::Evidence;
pub use sigstore::{claimed_facts, claimed_identity};
pub use trusted_root::TrustedRoot;
pub use verified::{AcceptedSignature, VerifiedImage};
pub use verify::{Asked, AuthenticatedEvidence, Verdict, Verifier};

#[cfg(feature = "registry")]
pub use collect::{
    InspectBounds, Source, inspect_image, inspect_image_within, resolve, verify_image, verify_image_from,
};
