//! What may differ between the sandbox and the real servers although a client could see it: the one list.

use anyhow::ensure;

use super::Server;
use super::difference::Difference;

/// A difference that is meant.
struct Allowance {
    server: Server,
    /// The rows; none for every row of the server.
    rows: &'static [&'static str],
    /// Such as `body.code`.
    place: &'static str,
    sandbox: &'static str,
    real: &'static str,
    /// Why the sandbox does not do the same.
    #[expect(dead_code, reason = "for the reader of this list")]
    reason: &'static str,
}

const ALLOWANCES: &[Allowance] = &[];

/// Returns the number of the allowance for a difference.
pub(super) fn find(server: Server, row: &str, found: &Difference) -> Option<usize> {
    ALLOWANCES.iter().position(|allowance| {
        allowance.server == server
            && (allowance.rows.is_empty() || allowance.rows.contains(&row))
            && allowance.place == found.place
            && allowance.sandbox == found.sandbox
            && allowance.real == found.real
    })
}

/// Fails where an allowance was not needed: then the list says less than it could.
pub(super) fn all_needed(used: &[usize]) -> anyhow::Result<String> {
    let unused: Vec<&str> = ALLOWANCES
        .iter()
        .enumerate()
        .filter(|(number, _)| !used.contains(number))
        .map(|(_, allowance)| allowance.place)
        .collect();
    ensure!(unused.is_empty(), "nothing differs any more at {}", unused.join(", "));
    Ok(format!("{} allowances", ALLOWANCES.len()))
}
