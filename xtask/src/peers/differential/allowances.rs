//! What may differ between the sandbox and the real servers although a client could see it: the one list.

use anyhow::ensure;

use super::Server;
use super::difference::Difference;

/// A difference that is meant.
struct Allowance {
    server: Server,
    /// The rows; none for every row of the server.
    rows: &'static [&'static str],
    /// Such as `body.code`; everything below it is meant too.
    place: &'static str,
    /// Why the sandbox does not do the same.
    #[expect(dead_code, reason = "for the reader of this list")]
    reason: &'static str,
}

const ALLOWANCES: &[Allowance] = &[
    Allowance {
        server: Server::RekorV2,
        rows: &["checkpoint"],
        place: "",
        reason: "the public logs have their files under the same address, as the sandbox has; the binary alone has none",
    },
    Allowance {
        server: Server::Timestamp,
        rows: &["certificates"],
        place: "body.blocks.1",
        reason: "the sandbox's chain is as short as that of the public authority; a key in memory gets an intermediate",
    },
    Allowance {
        server: Server::Timestamp,
        rows: &["certificates"],
        place: "body.blocks.2",
        reason: "the root below that intermediate",
    },
];

/// Returns the number of the allowance for a difference.
pub(super) fn find(server: Server, row: &str, found: &Difference) -> Option<usize> {
    ALLOWANCES.iter().position(|allowance| {
        allowance.server == server
            && (allowance.rows.is_empty() || allowance.rows.contains(&row))
            && is_below(&found.place, allowance.place)
    })
}

fn is_below(place: &str, parent: &str) -> bool {
    let rest = place.strip_prefix(parent);
    parent.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_reaches_no_further_than_its_place_and_its_row() {
        let found = |place: &str| Difference { place: place.to_owned(), sandbox: String::new(), real: String::new() };
        let number = |row, place: &str| find(Server::Timestamp, row, &found(place));
        assert!(number("certificates", "body.blocks.1.certificate.order.0").is_some());
        assert!(number("certificates", "body.blocks.1").is_some());
        assert_eq!(number("certificates", "body.blocks.10"), None);
        assert_eq!(number("certificates", "body.blocks.0"), None);
        assert_eq!(number("health", "body.blocks.1"), None);
        assert_eq!(find(Server::RekorV1, "certificates", &found("body.blocks.1")), None);
    }

    #[test]
    fn an_allowance_that_nothing_needs_is_named() {
        assert!(all_needed(&[]).is_err());
        assert!(all_needed(&(0..ALLOWANCES.len()).collect::<Vec<_>>()).is_ok());
    }
}
