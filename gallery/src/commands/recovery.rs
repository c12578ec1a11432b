//! What every command does before it looks at the backends path.

use countersign_cli::output;
use countersign_gallery::store::{Recovery, Store};

/// Repairs what a killed process left, and returns the names of backends that are back. What cannot be repaired now is said
/// and stops nothing: who only reads may not be allowed to write.
pub(crate) fn recover(store: &Store) -> Vec<String> {
    match store.recover() {
        Ok(Recovery::Done(restored)) => {
            for name in &restored {
                output::note(&format!("note: restored {name}, left by a killed process"));
            }
            restored
        }
        Ok(_) => {
            output::note(&format!("note: another process is changing {}", store.path().display()));
            Vec::new()
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            output::note(&format!("warning: what a killed process left stays: {error}{cause}"));
            Vec::new()
        }
    }
}
