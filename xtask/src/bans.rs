//! Crates that must not be in the dependency tree, for any platform or feature.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

use crate::shell::cargo;

/// `ring` is the one crypto backend; these bring another, or code that the project does not trust with its job.
const BANNED: [(&str, &str); 8] = [
    ("aws-lc-rs", "ring is the one crypto backend"),
    ("aws-lc-sys", "ring is the one crypto backend"),
    ("native-tls", "rustls with ring is the one TLS stack"),
    ("openssl", "ring is the one crypto backend"),
    ("openssl-sys", "ring is the one crypto backend"),
    ("sigstore", "its bundle verifier leaves the log's signature unchecked (sigstore/sigstore-rs issue 285)"),
    ("tokio-tar", "RUSTSEC-2025-0111, never fixed"),
    ("tough", "needs aws-lc-sys"),
];

/// Unmaintained crates as of 2026-11-25, by RustSec advisory. A list in the tree, so that the check needs no network.
const UNMAINTAINED: [(&str, &str); 22] = [
    ("adler", "RUSTSEC-2025-0056"),
    ("ansi_term", "RUSTSEC-2021-0139"),
    ("async-std", "RUSTSEC-2025-0052"),
    ("atty", "RUSTSEC-2024-0375"),
    ("backoff", "RUSTSEC-2025-0012"),
    ("bincode", "RUSTSEC-2025-0141"),
    ("derivative", "RUSTSEC-2024-0388"),
    ("encoding", "RUSTSEC-2021-0153"),
    ("failure", "RUSTSEC-2020-0036"),
    ("fxhash", "RUSTSEC-2025-0057"),
    ("instant", "RUSTSEC-2024-0384"),
    ("libyml", "RUSTSEC-2025-0067"),
    ("mach", "RUSTSEC-2020-0168"),
    ("number_prefix", "RUSTSEC-2025-0119"),
    ("paste", "RUSTSEC-2024-0436"),
    ("proc-macro-error", "RUSTSEC-2024-0370"),
    ("rustls-pemfile", "RUSTSEC-2025-0134"),
    ("serde_cbor", "RUSTSEC-2021-0127"),
    ("serde_yml", "RUSTSEC-2025-0068"),
    ("stdweb", "RUSTSEC-2020-0056"),
    ("term_size", "RUSTSEC-2020-0163"),
    ("yaml-rust", "RUSTSEC-2024-0320"),
];

/// Archived, and used on purpose: it writes the YAML that we print, and is the second opinion on the YAML that we read.
const EXCEPTED: [&str; 2] = ["serde_yaml", "unsafe-libyaml"];

pub(crate) fn check() -> anyhow::Result<()> {
    eprintln!("== bans");
    let packages = packages()?;
    let mut found = Vec::new();
    for (name, reason) in BANNED.iter().chain(&UNMAINTAINED) {
        if EXCEPTED.contains(name) {
            bail!("{name} is banned and excepted");
        }
        if let Some(version) = packages.get(*name) {
            found.push(format!("{name} {version}: {reason} (cargo tree -i {name} --all-features)"));
        }
    }
    if !found.is_empty() {
        bail!("banned crates in the dependency tree:\n  {}", found.join("\n  "));
    }
    eprintln!("== bans: none of {} among {} crates", BANNED.len() + UNMAINTAINED.len(), packages.len());
    Ok(())
}

/// Every package that any feature on any platform reaches, development dependencies included.
fn packages() -> anyhow::Result<BTreeMap<String, String>> {
    let output = cargo(&["metadata", "--locked", "--format-version", "1", "--all-features"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let named = packages.iter().filter_map(|package| Some((text(&package["name"])?, text(&package["version"])?)));
    Ok(named.collect())
}
