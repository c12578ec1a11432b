//! Which transparency log of the trusted root vouches for an entry, and whether it could at that time.
//!
//! The library takes a checkpoint that any log of the root has signed. Here it must be the very log that the entry names, under its own name
//! where the log is of the second generation, and with a key that was in use at every verified time: so the log's identity is a fact
//! and not a claim, and a log that was retired, or whose key was lost, cannot stand in for another.

use jiff::Timestamp;
use sigstore_crypto::{Checkpoint, VerificationKey};
use sigstore_trust_root::{TransparencyLog, TrustedRoot as SigstoreRoot};
use sigstore_types::{KindVersion, TransparencyLogEntry};

use crate::reason::Reason;

/// Returns the name of the log that signed the entry's checkpoint. `times` are those that were verified.
pub(super) fn vouching(
    root: &SigstoreRoot,
    entry: &TransparencyLogEntry,
    times: &[Timestamp],
) -> Result<String, Reason> {
    let id = &entry.log_id.key_id;
    let log = root.tlogs.iter().find(|log| log.log_id.key_id == *id);
    let log = log.ok_or_else(|| Reason::UnknownLog { log: id.to_string() })?;
    check_checkpoint(log, entry)?;
    check_times(log, entry, times)?;
    Ok(name_of(root, log))
}

/// The signature lines of others, witnesses among them, neither help nor harm.
fn check_checkpoint(log: &TransparencyLog, entry: &TransparencyLogEntry) -> Result<(), Reason> {
    let refused = |detail: String| Reason::Checkpoint { detail };
    let note = entry.inclusion_proof.as_ref().map(|proof| proof.checkpoint.envelope()).unwrap_or_default();
    let checkpoint = Checkpoint::from_text(note).map_err(|cause| refused(cause.to_string()))?;
    let key = VerificationKey::from_spki(&log.public_key.raw_bytes).map_err(|cause| refused(cause.to_string()))?;
    let hint = log.log_id.key_id.as_bytes().get(..4).unwrap_or_default();
    let own_name = is_second_generation(entry).then(|| host_of(&log.base_url));
    if let Some(own) = own_name
        && checkpoint.origin() != own
    {
        return Err(refused(format!("it is of {}, and the entry is in the log {own}", checkpoint.origin())));
    }
    let of_log = |line: &&sigstore_crypto::CheckpointSignature| {
        line.key_id.as_bytes() == hint && own_name.is_none_or(|own| line.name == own)
    };
    let mut lines = checkpoint.signatures().iter().filter(of_log);
    match lines.any(|line| key.verify(checkpoint.signed_data(), &line.signature).is_ok()) {
        true => Ok(()),
        false => Err(refused(format!("it is not signed by the log that the entry is in, {}", log.base_url))),
    }
}

/// A log of the first generation signs the time of an entry, which the library compares with the key's window. One of the second signs none:
/// what is known of the time is what the timestamps say.
fn check_times(log: &TransparencyLog, entry: &TransparencyLogEntry, times: &[Timestamp]) -> Result<(), Reason> {
    let Some(window) = log.public_key.valid_for.filter(|_| is_second_generation(entry)) else { return Ok(()) };
    match times.iter().find(|time| !window.contains(**time)) {
        Some(time) => Err(Reason::LogKeyValidity { log: log.base_url.clone(), time: *time }),
        None => Ok(()),
    }
}

/// One name for everything that one key or one address stands for: whoever holds the key speaks for all of it.
fn name_of(root: &SigstoreRoot, log: &TransparencyLog) -> String {
    let mut same = vec![log];
    while let Some(another) = root.tlogs.iter().find(|other| {
        !same.iter().any(|known| std::ptr::eq(*known, *other)) && same.iter().any(|known| is_same(known, other))
    }) {
        same.push(another);
    }
    same.iter().map(|log| address(log)).min().unwrap_or_default().to_owned()
}

fn is_same(one: &TransparencyLog, other: &TransparencyLog) -> bool {
    let own_key = one.public_key.raw_bytes == other.public_key.raw_bytes;
    own_key || address(one).eq_ignore_ascii_case(address(other))
}

fn address(log: &TransparencyLog) -> &str {
    log.base_url.trim_end_matches('/')
}

fn is_second_generation(entry: &TransparencyLogEntry) -> bool {
    entry.kind_version == KindVersion::HashedRekordV002
}

/// The host of an address, which is the name of a log of the second generation (C2SP tlog-checkpoint: the origin).
fn host_of(base_url: &str) -> &str {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(logs: &[(&str, u8)]) -> SigstoreRoot {
        let mut root = crate::TrustedRoot::embedded_public_good().unwrap().inner().clone();
        let template = root.tlogs[0].clone();
        let log = |&(url, key): &(&str, u8)| {
            let mut log = template.clone();
            log.base_url = url.to_owned();
            log.public_key.raw_bytes = sigstore_types::DerPublicKey::new(vec![key]);
            log
        };
        root.tlogs = logs.iter().map(log).collect();
        root
    }

    fn names(logs: &[(&str, u8)]) -> Vec<String> {
        let root = root(logs);
        root.tlogs.iter().map(|log| name_of(&root, log)).collect()
    }

    #[test]
    fn logs_that_share_a_key_or_an_address_have_one_name() {
        assert_eq!(names(&[("https://b", 1), ("https://a", 2)]), ["https://b", "https://a"]);
        assert_eq!(names(&[("https://a", 1), ("https://a/", 2)]), ["https://a", "https://a"], "a key was exchanged");
        assert_eq!(names(&[("https://b", 1), ("https://a", 1)]), ["https://a", "https://a"], "one key, two addresses");
        let chained = [("https://b", 1), ("https://c", 1), ("HTTPS://C", 2), ("https://d", 3)];
        let names = names(&chained);
        assert_eq!(names[0], names[2]);
        assert_ne!(names[0], names[3]);
    }

    #[test]
    fn the_name_of_a_log_is_the_host_of_its_address() {
        for (url, host) in [
            ("https://log2025-1.rekor.sigstore.dev", "log2025-1.rekor.sigstore.dev"),
            ("https://rekor.example/", "rekor.example"),
            ("http://localhost:3003/api", "localhost"),
            ("rekor.example", "rekor.example"),
            ("http://[::1]:8080", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
