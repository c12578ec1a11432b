//! Who may have signed what, and when: policy document, matching and denial.
//!
//! A [`Policy`] is read from a document ([`Policy::from_yaml`]), from the `verification` block of a gallery
//! ([`Policy::from_gallery_block`]) or made of flags ([`Policy::for_identity`]). It is asked in two steps: [`Policy::assess`] for each verified
//! signature, then [`Policy::decide`] for all that were accepted. Both are pure: no file, no network, no clock.
//!
//! | module | holds |
//! |---|---|
//! | `document`, `draft` | the written forms, and signers with their places in them |
//! | [`yaml`] | the strict reader, for configurations too |
//! | `policy`, `signer`, `window`, `require` | the policy and its parts, each with its own denials |
//! | `matcher` | exact values and patterns over whole values |
//! | `source_repository` | whose repository a certificate's name speaks for |
//! | `gallery_index` | what the signer of a gallery index says of it |
//! | [`import`], [`export`], `loss`, `re2`, `write` | policies of other verifiers and for them, with what is lost by name; documents written out |
//! | `facts`, `denial`, `assessment` | what goes in, what comes out |
//! | [`difference`] | how a near miss differs |
//! | [`cases`] | tables of certificates that a policy must accept or deny: its tests |
//! | [`explain`](mod@explain) | what a policy admits, in plain words |
//! | [`schema`] | the JSON schema of the document |
//! | [`lint`](mod@lint) | what is legal and dangerous |
//!
//! Its security lives in `matcher` (a pattern matches the whole value and begins with a literal host and owner), in `signer` (a reusable
//! workflow's name is everybody's: the source repository must be its own) and in `yaml` (nothing in a document is ignored or replaced unseen).
//! It trusts the caller in one thing: that [`SignatureFacts`] come from verified bytes.
//!
//! ```
//! use countersign_policy::{Asked, Assessment, Claims, Decision, Policy, SignatureFacts};
//!
//! let policy = Policy::from_yaml(
//!     "policy.yaml",
//!     "version: 1
//! signers:
//!   - name: release
//!     issuer: https://token.actions.githubusercontent.com
//!     identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
//!     github: {repository: octo/app, trigger: [push]}
//! not_before: 2026-06-01T00:00:00Z
//! ",
//! )?;
//! let facts = SignatureFacts {
//!     issuer: Some("https://token.actions.githubusercontent.com".into()),
//!     subject_alternative_name: Some("https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main".into()),
//!     subject_alternative_name_is_uri: true,
//!     claims: Claims {
//!         source_repository_uri: Some("https://github.com/octo/app".into()),
//!         build_trigger: Some("push".into()),
//!         ..Claims::default()
//!     },
//!     times: vec!["2026-07-01T12:00:00Z".parse()?],
//!     log_entry: format!("sha256:{}", "1".repeat(64)),
//!     log: "https://rekor.example".into(),
//!     digest: format!("sha256:{}", "2".repeat(64)),
//!     subjects: vec![],
//! };
//! let asked = Asked { repository: "registry.example/octo/app".into(), tag: None };
//! let Assessment::Accepted(accepted) = policy.assess(&facts, &asked, "2026-07-02T00:00:00Z".parse()?) else {
//!     panic!("the signature is the release job's");
//! };
//! assert_eq!(policy.decide(&[&accepted]), Decision::Satisfied { signers: vec!["release".into()] });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assessment;
mod canonical;
pub mod cases;
mod claim;
mod denial;
pub mod difference;
mod document;
mod draft;
mod error;
pub mod explain;
pub mod export;
mod facts;
mod gallery_index;
pub mod import;
pub mod lint;
mod loss;
mod matcher;
mod policy;
mod re2;
mod require;
pub mod schema;
mod signer;
mod source_repository;
mod suggest;
mod window;
mod write;
pub mod yaml;

pub use assessment::{Accepted, Assessment, Decision, Principal};
pub use claim::Claim;
pub use denial::{Denial, Field};
pub use document::GalleryBlock;
pub use draft::{GithubSpec, SignerSpec};
pub use error::{Location, PolicyError, YamlConstruct, YamlProblem};
pub use facts::{Asked, Claims, SignatureFacts, SubjectFacts, TAGS_ANNOTATION};
pub use gallery_index::{Cutoffs, GALLERY_INDEX_PREDICATE, GalleryIndexError, GalleryIndexTerms, MAX_SERIAL};
pub use loss::{Effect, Loss, LossCode, UnknownLossCode};
pub use policy::Policy;
pub use re2::NotPortable;
pub use require::{Require, Trust};
pub use write::WriteError;
