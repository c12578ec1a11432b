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
//! * [`verify`]: the decision, pure; [`verified`]: its proof; [`batch`]: many; [`image_verifier`]: the place for other schemes
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
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `registry` (default) | [`resolve`] and [`verify_image`]: evidence from a registry or an image layout, with tokio |
//! | `tuf` (default) | trusted roots from TUF repositories, with a cache |
//! | none | the core: evidence as bytes, a verdict; no tokio, no HTTP, no TLS, and it compiles for `wasm32-wasip1` |
//!
//! No feature leaves a check out. A [`Verifier`] is `Send + Sync`: make one, share it. There is no global state but that which
//! [`crypto::install`] names. Failures are enums to match, with a stable `code` and a class for programs: [`Error`] where no verdict could be
//! reached, [`reason::Reason`] for each signature that will not do. Many images are judged with [`Verifier::verify_batch`], one bundle for
//! many with [`Verifier::authenticate`], files with [`Verifier::verify_blob`]; [`image_verifier`] is the place for another scheme.
//!
//! # Example
//!
//! `examples/download_gate.rs` is a whole program. The heart of it:
//!
#![cfg_attr(feature = "registry", doc = "```")]
#![cfg_attr(not(feature = "registry"), doc = "```ignore")]
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verifier/signed_example.rs"));
//! use countersign_oci::{Registry, RegistryOptions};
//! use countersign_policy::Policy;
//! use countersign_verifier::{TrustedRoot, Verdict, Verifier, report, resolve, verify_image};
//! use jiff::Timestamp;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (_sandbox, reference, policy, trusted_root) = signed_example().await;
//! let policy = Policy::from_yaml("policy.yaml", &policy)?;
//! let root = TrustedRoot::from_json(&trusted_root, "trusted_root.json")?;
//! let (verifier, registry) = (Verifier::new(root)?, Registry::new(RegistryOptions::default())?);
//!
//! let asked = resolve(&registry, &reference.parse()?).await?;
//! let verdict = verify_image(&registry, &verifier, &policy, &asked, Timestamp::now()).await?;
//! match &verdict {
//!     Verdict::Verified(image, _) => println!("install {}", image.reference()),
//!     Verdict::Rejected(findings) => println!("refused: {}", report::headline(findings)),
//!     undecided => println!("could not tell: {}", report::headline(undecided.findings())),
//! }
//! # assert!(matches!(verdict, Verdict::Verified(..)));
//! # Ok(())
//! # }
#![doc = "```"]
//!
//! Without a registry, evidence is what the program has at hand: [`Evidence::from_bundles`].

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
pub mod image_verifier;
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
