//! Gallery indexes: fetched from elsewhere, hostile until shown otherwise.

mod document;

pub use self::document::{Entry, EntryKind, Index, IndexError, Skipped, SkippedReason};
