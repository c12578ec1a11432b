//! What a policy says of one signature, and of all of them together.

use std::collections::{BTreeMap, BTreeSet};

use crate::denial::Denial;

/// Says whether one signature is by a signer of the policy and keeps its conditions.
///
/// Exhaustive on purpose, like [`Decision`]: no caller shall meet a third answer in a wildcard arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// It is, and does. Whether that is enough, [`crate::Policy::decide`] says.
    Accepted(Accepted),
    /// It is not: for each reason one denial; never empty.
    Denied(Vec<Denial>),
}

/// Says which entries one accepted signature matched, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Names of the signer entries that match.
    pub signers: Vec<String>,
    /// Who signed.
    pub principal: Principal,
    /// The transparency log that holds its entry, as [`SignatureFacts::log`](crate::SignatureFacts::log) names it.
    pub log: String,
}

/// Names who signed. Two signatures of the same principal count as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Principal {
    /// OIDC issuer.
    pub issuer: String,
    /// Subject alternative name.
    pub san: String,
    /// Source repository, where the certificate has one.
    pub source_repository: Option<String>,
}

/// Says whether the accepted signatures are enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They are.
    Satisfied {
        /// Names of the entries that were counted, in the policy's order.
        signers: Vec<String>,
    },
    /// There are enough signers, and their signatures are in too few logs.
    TooFewLogs {
        /// How many distinct transparency logs the policy asks for.
        needed: usize,
        /// How many there are.
        have: usize,
    },
    /// There are too few signers.
    Unsatisfied {
        /// How many distinct signers the policy asks for.
        needed: usize,
        /// How many there are.
        have: usize,
    },
}

/// Counts the transparency logs that hold accepted signatures: each once, however many entries it has.
pub(crate) fn distinct_logs(accepted: &[&Accepted]) -> usize {
    let logs: BTreeSet<&str> = accepted.iter().map(|signature| signature.log.as_str()).collect();
    logs.into_iter().filter(|log| !log.is_empty()).count()
}

/// Gives as many principals as possible, up to `enough`, an entry of their own, and returns the indices of those entries.
///
/// Each principal signs for one entry only, and each entry is spoken for by one principal only: a maximum bipartite matching.
pub(crate) fn distinct_entries(accepted: &[&Accepted], names: &[&str], enough: usize) -> Vec<usize> {
    let mut matched: BTreeMap<&Principal, Vec<usize>> = BTreeMap::new();
    for signature in accepted {
        let entries = matched.entry(&signature.principal).or_default();
        entries.extend(names.iter().enumerate().filter_map(|(index, name)| {
            let listed = signature.signers.iter().any(|signer| signer == name);
            listed.then_some(index)
        }));
    }
    let principals: Vec<Vec<usize>> = matched.into_values().collect();
    let mut holders: Vec<Option<usize>> = vec![None; names.len()];
    let mut found = 0;
    for principal in 0..principals.len() {
        if found == enough {
            break;
        }
        let mut tried = vec![false; names.len()];
        found += usize::from(assign(principal, &principals, &mut holders, &mut tried));
    }
    let held = |(entry, holder): (usize, &Option<usize>)| holder.map(|_| entry);
    holders.iter().enumerate().filter_map(held).collect()
}

/// Finds an entry for one principal, moving others where they have another choice.
fn assign(principal: usize, principals: &[Vec<usize>], holders: &mut [Option<usize>], tried: &mut [bool]) -> bool {
    for &entry in &principals[principal] {
        if std::mem::replace(&mut tried[entry], true) {
            continue;
        }
        let free = match holders[entry] {
            None => true,
            Some(holder) => assign(holder, principals, holders, tried),
        };
        if free {
            holders[entry] = Some(principal);
            return true;
        }
    }
    false
}
