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

#[cfg(feature = "client")]
pub mod auth;
#[cfg(feature = "client")]
mod blob;
mod class;
mod digest;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
pub mod http;
pub mod index;
pub mod limits;
pub mod media_type;
#[cfg(feature = "client")]
mod pull;
#[cfg(feature = "client")]
mod push;
mod reference;
#[cfg(feature = "client")]
mod referrers;
#[cfg(feature = "client")]
mod registry;
mod secret;
mod text;

#[cfg(feature = "client")]
pub use auth::{Credential, Credentials};
#[cfg(feature = "client")]
pub use blob::BlobStream;
pub use class::Class;
pub use digest::{Digest, DigestError, DigestHasher};
#[cfg(feature = "client")]
pub use error::{Answer, RegistryError};
#[cfg(feature = "client")]
pub use http::PlainHttp;
#[cfg(feature = "client")]
pub use push::{Attached, Attachment, ManifestTarget, Pushed, Pusher, TagSchemaUpdate};
pub use reference::{ImageReference, PinnedReference, ReferenceError, Repository, Tag};
#[cfg(feature = "client")]
pub use referrers::{ListingError, Place, PlaceKind, Referrers, ReferrersSource, Truncation};
#[cfg(feature = "client")]
pub use registry::{RawManifest, Registry, RegistryOptions, Resolved};
pub use secret::Secret;
