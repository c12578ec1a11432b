//! Keyless signing of an OCI image index and every manifest in it.
//!
//! # Map
//!
//! * [`sign`]: the whole call, from references to attached signatures
//! * [`publish`]: a release: built, pushed by digest, signed, verified, and only then tagged
//! * [`image_index`]: the index of a release, built from what the jobs of its platforms pushed; pure
//! * [`inputs`]: what release tools say was built; pure
//! * [`predicate`]: what an attestation says of it; pure
//! * [`subjects`], [`statement`], [`referrer`]: what is signed and how it is stored, pure and byte for byte
//! * [`blob`]: the same for files, or a statement that somebody else wrote; [`signed_index`]: what is said of a gallery index, pure
//! * [`identity`]: the identity token; [`services`]: certificate authority, log and timestamp authority
//! * [`self_verification`]: each bundle is judged as its consumers will judge it, before anybody sees it
//! * [`error`]: what can go wrong, and who has to act
//!
//! # Where the security lives
//!
//! In `self_verification`: nothing is attached that the verifier would refuse. In `services/transport`: identity tokens go to
//! one address, redirects are not followed, answers are bounded. In `identity`: tokens cannot be printed.
//!
//! # Example
//!
//! ```
//! use countersign_oci::Digest;
//! use countersign_signer::statement::{self, Annotations, StatementForm};
//! use countersign_signer::subjects::{Release, Subject, SubjectKind};
//!
//! let index = Subject {
//!     digest: Digest::of(b"the image index"),
//!     media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
//!     size: 15,
//!     kind: SubjectKind::Index,
//!     platform: None,
//! };
//! let mut release = Release::default();
//! release.add("ghcr.io/octo/app".parse()?, ["v1".parse()?].into(), vec![index]);
//!
//! let statements = statement::plan(&release, StatementForm::Image);
//! let text = String::from_utf8(statements[0].to_bytes(&Annotations::default()))?;
//! assert!(text.contains(r#""annotations":{"dev.countersign.tags":"v1"}"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attach;
mod attest;
pub mod blob;
mod demand;
pub mod error;
mod existing;
pub mod identity;
pub mod image_index;
pub mod inputs;
pub mod predicate;
pub mod publish;
pub mod referrer;
mod resolve;
pub mod self_verification;
pub mod services;
pub mod sign;
pub mod signed_index;
mod signing;
pub mod state;
pub mod statement;
pub mod subjects;

pub use error::SignError;
pub use publish::{PublishReport, PublishRequest};
pub use sign::{SignReport, SignRequest, Signer};
