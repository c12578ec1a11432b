//! What became of the keys between two trusted roots.

use jiff::Timestamp;
use serde::Serialize;

use super::{Authority, AuthorityKind, TrustedRoot};

/// One difference between a trusted root and the one after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
#[non_exhaustive]
pub enum Change {
    /// A key that was not believed before.
    Added(Authority),
    /// A key that is no longer believed, not even for what was signed in its time.
    Removed(Authority),
    /// A key whose window got an end: what was signed before it still counts.
    Retired(Authority),
    /// A key with another window, in some other way.
    WindowMoved {
        /// As it is now.
        #[serde(flatten)]
        authority: Authority,
        /// As it was.
        was_valid_from: Option<Timestamp>,
        /// As it was.
        was_valid_until: Option<Timestamp>,
    },
}

impl TrustedRoot {
    /// Returns what changed since `before`, in the order of this root; what was removed comes last.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let (before, after) = (before.authorities(), self.authorities());
        let counterpart = |of: &Authority, among: &[Authority]| among.iter().find(|one| key(one) == key(of)).cloned();
        let mut changes: Vec<Change> = after
            .iter()
            .filter_map(|now| match counterpart(now, &before) {
                None => Some(Change::Added(now.clone())),
                Some(was) => moved(&was, now),
            })
            .collect();
        changes.extend(before.iter().filter(|was| counterpart(was, &after).is_none()).cloned().map(Change::Removed));
        changes
    }
}

fn key(authority: &Authority) -> (AuthorityKind, &str) {
    (authority.kind, &authority.key_id)
}

fn moved(was: &Authority, now: &Authority) -> Option<Change> {
    if (was.valid_from, was.valid_until) == (now.valid_from, now.valid_until) {
        return None;
    }
    if was.valid_from == now.valid_from && was.valid_until.is_none() {
        return Some(Change::Retired(now.clone()));
    }
    Some(Change::WindowMoved {
        authority: now.clone(),
        was_valid_from: was.valid_from,
        was_valid_until: was.valid_until,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn root(change: impl Fn(&mut Value)) -> TrustedRoot {
        let mut document = serde_json::from_str(TrustedRoot::embedded_public_good().unwrap().json()).unwrap();
        change(&mut document);
        TrustedRoot::from_json(&document.to_string(), "test").unwrap()
    }

    #[test]
    fn keys_that_came_went_and_were_retired_are_told_apart() {
        let with_end =
            |document: &mut Value, end: &str| document["tlogs"][0]["publicKey"]["validFor"]["end"] = json!(end);
        let before = root(|document| {
            document["tlogs"][0]["publicKey"]["validFor"].as_object_mut().unwrap().remove("end");
        });
        let retired = root(|document| with_end(document, "2026-11-01T00:00:00Z"));
        let moved = root(|document| with_end(document, "2026-11-02T00:00:00Z"));
        let fewer = root(|document| {
            with_end(document, "2026-11-02T00:00:00Z");
            document["certificateAuthorities"].as_array_mut().unwrap().pop();
        });
        assert_eq!(before.changes_since(&before), []);
        assert!(matches!(retired.changes_since(&before)[..], [Change::Retired(_)]));
        assert!(matches!(moved.changes_since(&retired)[..], [Change::WindowMoved { .. }]));
        assert!(matches!(fewer.changes_since(&moved)[..], [Change::Removed(_)]));
        assert!(matches!(moved.changes_since(&fewer)[..], [Change::Added(_)]));
    }
}
