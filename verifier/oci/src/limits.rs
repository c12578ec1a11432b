//! Every bound on what is read from outside, with its unit and reason, in one table.
//!
//! They are generous for honest data and final for hostile data: beyond them nothing is read any more.

use std::time::Duration;

/// Bytes of a manifest or index: what registries must accept, and what distribution enforces.
pub const MANIFEST_BYTES: u64 = 4 << 20;
/// Bytes of a Sigstore bundle: real ones are under 20 KiB.
pub const BUNDLE_BYTES: u64 = 1 << 20;
/// Bytes of all pages of one referrers listing.
pub const REFERRERS_BYTES: u64 = 16 << 20;
/// Descriptors of one referrers listing, all pages together.
pub const REFERRERS_DESCRIPTORS: usize = 10_000;
/// Pages of one referrers listing: an empty page costs a request and no bytes.
pub const REFERRERS_PAGES: usize = 1_000;
/// Entries of an image index.
pub const INDEX_ENTRIES: usize = 10_000;
/// Layers of an image manifest: container runtimes stop at 128.
pub const MANIFEST_LAYERS: usize = 1_024;
/// Annotations, and other lists of strings, of a manifest or descriptor.
pub const ANNOTATIONS: usize = 1_024;
/// Subjects of one statement: peers stop at 1,024.
pub const SUBJECTS: usize = 1_024;
/// Digests of one subject of a statement: peers stop at 32.
pub const SUBJECT_DIGESTS: usize = 32;
/// Bytes of the tags that a subject of a statement is signed for: 64 KiB hold 500 of the longest.
pub const TAGS_BYTES: usize = 64 << 10;
/// Bytes of the name in a signing certificate: real ones have a few hundred.
pub const NAME_BYTES: usize = 2_048;
/// Timestamps of one bundle: each costs a certificate chain, and more than one authority is rare.
pub const TIMESTAMPS: usize = 4;
/// Bytes of all evidence for one digest.
pub const EVIDENCE_BYTES: u64 = 64 << 20;
/// Wall clock for all evidence for one digest.
pub const EVIDENCE_TIME: Duration = Duration::from_secs(60);
/// Levels of an image index that are shown: real ones nest once.
pub const INSPECT_DEPTH: usize = 4;
/// Manifests of one image that are shown, indexes included: real ones have a few dozen.
pub const INSPECT_MANIFESTS: usize = 512;
/// Referrers of one image that are shown, those of its children included: real ones have a few for each child, and with
/// long texts these are some MB of JSON where they are not opened.
pub const INSPECT_REFERRERS: usize = 2_000;
/// Bytes of everything that is read to show one image with its children: manifests, listings and bundles.
pub const INSPECT_BYTES: u64 = 256 << 20;
/// Wall clock for showing one image with its children.
pub const INSPECT_TIME: Duration = Duration::from_secs(120);
/// Manifests of an image layout that are read to learn what refers to what.
pub const LAYOUT_MANIFESTS: usize = 20_000;
/// Bytes of all of them together.
pub const LAYOUT_BYTES: u64 = 128 << 20;
/// Bytes of a policy or configuration document.
pub const CONFIG_BYTES: u64 = 256 << 10;
/// Bytes of a gallery index.
pub const GALLERY_INDEX_BYTES: u64 = 8 << 20;
/// Entries of a gallery index.
pub const GALLERY_INDEX_ENTRIES: usize = 20_000;
/// Bytes of an identity token.
pub const IDENTITY_TOKEN_BYTES: u64 = 64 << 10;
/// Bytes that a credential helper prints: a token and a user name.
pub const HELPER_BYTES: u64 = 128 << 10;
/// Wall clock for a credential helper: some ask a cloud's service first.
pub const HELPER_TIME: Duration = Duration::from_secs(30);
/// Bytes of any answer of a service: token server, Fulcio, Rekor, timestamp authority.
pub const SERVICE_ANSWER_BYTES: u64 = 1 << 20;
/// Bytes of an error answer that are read for its message.
pub const ERROR_ANSWER_BYTES: u64 = 64 << 10;
/// Characters of a reference that are looked at: 255 of path, 128 of tag, 71 of digest, and the host.
pub const REFERENCE_CHARACTERS: usize = 1_024;
/// Bytes per second, on average, below which the download of a blob is given up: what keeps a slow trickle from
/// lasting for ever.
pub const BLOB_BYTES_PER_SECOND: u64 = 16 << 10;
