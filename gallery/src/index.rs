//! Gallery indexes: fetched from elsewhere, hostile until shown otherwise.

mod document;
mod fetch;

pub use self::document::{Entry, EntryKind, Index, IndexError, Skipped, SkippedReason};
pub use self::fetch::{FetchError, Fetched, fetch};
