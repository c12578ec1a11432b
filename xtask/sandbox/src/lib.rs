//! An OCI registry and a Sigstore stack on loopback, in process, for tests.
//!
//! [`Sandbox::start`] runs the servers on threads of their own, on free ports of 127.0.0.1; dropping the [`Sandbox`] stops them. They
//! check what they are sent and answer with the status codes of the real servers, so that a client that works here works there. What they
//! sign verifies against the trusted root that [`Sandbox::write_trust`] writes and that the TUF repository serves.
//!
//! | module | is |
//! |---|---|
//! | `registry` | distribution-spec 1.1 in memory: referrers API on or off, paging, authorization, ranges, mounts |
//! | `oidc` | the issuers: e-mail, GitHub Actions and Buildkite, and the token routes of the latter two |
//! | `fulcio` | certificates with proof of possession, embedded SCTs and the claims of the token |
//! | `rekor_v1`, `rekor_v2` | the two generations of the transparency log |
//! | `tsa` | RFC 3161 timestamps |
//! | `tuf`, `trust` | the trusted root and signing configs, as files and as a TUF repository |
//! | `chain` | the certificates that a real Fulcio needs, to be compared with the sandbox's |
//! | `image` | multi-platform images, hostile layers included |
//! | `faults`, `log` | what goes wrong on purpose, and what was asked |
//! | `program` | all of it as a program that prints its URLs |
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! let sandbox = sandbox::Sandbox::start(sandbox::Options::default())?;
//! let digest = sandbox.registry().put_blob("octo/app", "{}");
//! assert!(digest.starts_with("sha256:"));
//! assert!(sandbox.requests().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Security lives elsewhere: this crate guards nothing. Its keys are made for one run and its log keeps credentials.

mod certificate;
mod chain;
mod checkpoint;
mod clock;
mod exchange;
mod faults;
mod fulcio;
mod identity;
pub mod image;
mod keys;
mod log;
mod merkle;
mod oidc;
mod problem;
pub mod program;
mod public_key;
mod registry;
mod rekor_v1;
mod rekor_v2;
mod run;
mod server;
mod sigstore;
mod trust;
mod tsa;
mod tuf;

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

pub use chain::CodeSigningChain;
pub use clock::Clock;
pub use faults::{Action, Edit, Fault, FaultGuard};
pub use identity::GithubIdentity;
pub use keys::{EcdsaKey, Ed25519Key, Keys};
pub use log::{Request, Service};
pub use registry::{
    Auth, ImmutableTags, LayoutStyle, ReferrersApi, RegistryHandle, StoredManifest, TagDeletion, digest_of,
};
pub use run::{Options, Sandbox, TrustFiles};
pub use trust::RekorVersion;
pub use tuf::{TufCopy, TufRepository, TufRole};

/// A test that panicked while it held a lock fails by itself; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// PEM with 64 columns and a final newline.
fn pem(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).expect("the labels are constants that PEM allows")
}

/// The label and the content of one PEM block, in lines of any length, as Go reads it.
fn unpem(text: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let block = text.trim().strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----"));
    let (label, rest) = block.context("PEM does not begin")?;
    let content = rest.strip_suffix(&format!("-----END {label}-----")).context("PEM does not end")?;
    let encoded: String = content.split_ascii_whitespace().collect();
    Ok((label.to_owned(), BASE64_STANDARD.decode(encoded).context("read PEM")?))
}

/// RFC 8785.
fn canonical(value: &Value) -> String {
    serde_json_canonicalizer::to_string(value).expect("a JSON value without fractions has a canonical form")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_read_in_lines_of_any_length_and_nothing_else_is() {
        let text = pem("CERTIFICATE", &[7; 100]);
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let one_line = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----");
        for text in [&text, &one_line] {
            assert_eq!(unpem(text).unwrap(), ("CERTIFICATE".to_owned(), vec![7; 100]));
        }
        let two = text.repeat(2);
        for text in ["", "junk", "-----BEGIN A-----", "-----BEGIN A-----\nAA==\n-----END B-----", &two] {
            assert!(unpem(text).is_err(), "{text}");
        }
    }
}
