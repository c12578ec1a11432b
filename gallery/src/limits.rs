//! Every bound of this crate in one table, with unit and reason.

use std::time::Duration;

/// YAML nodes of a gallery index after aliases are expanded.
pub(crate) const INDEX_NODES: usize = 500_000;
/// Bytes of all scalars of a gallery index after aliases are expanded: bounds what an alias bomb can allocate.
pub(crate) const INDEX_SCALAR_BYTES: usize = 32 * 1024 * 1024;
/// Nesting of a gallery index: list, entry, capabilities or tags, scalar.
pub(crate) const INDEX_DEPTH: usize = 16;
/// Mirrors that one entry may name: each is a request that the index can make us send.
pub(crate) const ENTRY_MIRRORS: usize = 16;

/// Names that are compared with one that no index has: as many as one index may list.
pub(crate) const SPELLING_NAMES: usize = countersign_oci::limits::GALLERY_INDEX_ENTRIES;
/// Letters that a typed name may differ by and still be taken for a mistyped one.
pub(crate) const SPELLING_MISTAKES: usize = 3;

/// Bytes of an image config.
pub(crate) const IMAGE_CONFIG_BYTES: u64 = 4 * 1024 * 1024;
/// Layers of an image: overlay file systems stop at 128 too.
pub(crate) const LAYERS: usize = 128;
/// Indexes inside an index.
pub(crate) const INDEX_NESTING: usize = 4;
/// Indexes inside one index, at all depths.
pub(crate) const NESTED_INDEXES: usize = 32;
/// Layers that arrive at the same time.
pub(crate) const PARALLEL_LAYERS: usize = 4;
/// Attempts for the bytes of one layer from one source.
pub(crate) const LAYER_ATTEMPTS: u32 = 4;

/// Compressed bytes of one image.
pub(crate) const IMAGE_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Uncompressed bytes of one image.
pub(crate) const TREE_BYTES: u64 = 128 * 1024 * 1024 * 1024;
/// Entries of all layers of one image.
pub(crate) const TREE_ENTRIES: u64 = 500_000;
/// Uncompressed bytes for each compressed byte of a layer.
pub(crate) const RATIO: u64 = 200;
/// Uncompressed bytes for which [`RATIO`] is not asked: a small sparse file compresses better than that.
pub(crate) const RATIO_FLOOR: u64 = 64 * 1024 * 1024;
/// Bytes of a path inside an archive: `PATH_MAX` of Linux.
pub(crate) const PATH_BYTES: usize = 4096;
/// Bytes of one component of a path: `NAME_MAX` of Linux.
pub(crate) const COMPONENT_BYTES: usize = 255;
/// Directories above a file.
pub(crate) const PATH_DEPTH: usize = 64;
/// Bytes of all paths and link targets of one image: with [`TREE_ENTRIES`] it bounds the memory that a tree takes. Half a
/// million entries of 100 bytes fit.
pub(crate) const NAME_BYTES: u64 = 64 * 1024 * 1024;
/// Times that the kernel may be unsure of one path; each is a rename elsewhere.
pub(crate) const WALK_ATTEMPTS: usize = 128;
/// Bytes of extension headers before one archive entry.
pub(crate) const ARCHIVE_METADATA_BYTES: u32 = 1024 * 1024;
/// Zero bytes after the end-of-archive marker: GNU tar fills a record of 10 KiB, others more.
pub(crate) const ARCHIVE_PADDING_BYTES: u64 = 1024 * 1024;
/// Base-2 logarithm of the zstd window: 128 MiB, the ceiling that RFC 8878 section 3.1.1.1.2 suggests for decoders is lower, encoders' `--long` needs this.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 27;
/// Symbolic links followed while a link's target is judged: the kernel's own limit.
pub(crate) const LINK_CHAIN: usize = 40;

/// Time that an installation waits for another one in the same backends path.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(60);
/// Signatures of a receipt that are verified again: far more than one installation records.
pub(crate) const RECEIPT_SIGNATURES: usize = 64;
/// Bytes of a `metadata.json`, receipt or journal that is read back.
pub(crate) const RECORD_BYTES: u64 = 8 * 1024 * 1024;
