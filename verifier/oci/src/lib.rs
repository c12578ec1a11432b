//! OCI digests, references and indexes as types; with the feature `client`, the registry.
//!
//! | module | is |
//! |---|---|
//! | [`Digest`], [`DigestHasher`] | the one digest that is accepted, `sha256:<64 lower-case hex>` |
//! | [`ImageReference`], [`PinnedReference`], [`Repository`], [`Tag`] | what a person typed, and what everything after resolving takes |
//! | [`index`] | image indexes and manifests, parsed without room for two readings |
//! | [`media_type`], [`limits`] | constants, each in one table |
//!
//! Security lives in two places: a [`Digest`] can only be made of well-formed text or by hashing, and
//! [`index::Manifest::parse`] refuses every document that two parsers could read differently. Nothing here is
//! trusted because a registry said so.
//!
//! ```
//! use countersign_oci::{ImageReference, PinnedReference, Digest};
//!
//! let reference: ImageReference = "ghcr.io/octo/app:v1".parse()?;
//! let pinned = PinnedReference::new(reference.repository().clone(), Digest::of(b"{}"));
//! assert_eq!(
//!     pinned.to_string(),
//!     "ghcr.io/octo/app@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
//! );
//! # Ok::<(), countersign_oci::ReferenceError>(())
//! ```

mod class;
#[cfg(feature = "client")]
pub mod http;
mod digest;
pub mod index;
pub mod limits;
pub mod media_type;
mod reference;
mod secret;
mod text;

pub use class::Class;
pub use digest::{Digest, DigestError, DigestHasher};
pub use reference::{ImageReference, PinnedReference, ReferenceError, Repository, Tag};
pub use secret::Secret;
