//! OCI digests, references and indexes as types; with the feature `client`, the registry.
//!
//! | module | is |
//! |---|---|
//! | [`Digest`], [`DigestHasher`] | the one digest that is accepted, `sha256:<64 lower-case hex>` |
//! | [`ImageReference`], [`PinnedReference`], [`Repository`], [`Tag`] | what a person typed, and what everything after resolving takes |
//! | [`Layout`] | an image layout: a directory with images and what refers to them |
//! | [`index`] | image indexes and manifests, parsed without room for two readings |
//! | [`media_type`], [`limits`] | constants, each in one table |
//! | [`printable`], [`visible`] | text from outside on its way to a terminal |
//!
//! With the feature `client`:
//!
//! | module | is |
//! |---|---|
//! | `Registry` | reads manifests, blobs and referrers: bounded, with deadlines, retries and redirects of our own |
//! | `Pusher` | the only writer: blobs, manifests, the referrers tag schema |
//! | `auth` | challenges, token servers, and the credentials that go to them |
//! | `http` | one way to speak HTTP, also for services that are not registries |
//!
//! Security lives in a few places: a [`Digest`] can only be made of well-formed text or by hashing;
//! [`index::Manifest::parse`] refuses every document that two parsers could read differently; what a token server is
//! sent is decided by `auth::realm`, and where a redirect may lead by `http::next_hop`. Nothing here is trusted because
//! a registry said so: bytes are hashed here, and every read has a bound.
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
mod layout;
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
mod sha256;
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
pub use layout::{Layout, LayoutError, LayoutReferrers};
#[cfg(feature = "client")]
pub use push::{Attached, Attachment, Copied, Deleted, ManifestTarget, Pushed, Pusher, TagSchemaUpdate};
pub use reference::{GrammarError, ImageReference, PinnedReference, ReferenceError, Repository, Tag};
#[cfg(feature = "client")]
pub use referrers::{ListingError, Place, PlaceKind, Referrers, ReferrersSource, Truncation};
#[cfg(feature = "client")]
pub use registry::{RawManifest, Registry, RegistryOptions, Resolved};
pub use secret::{Secret, redact};
pub use text::{printable, visible};
