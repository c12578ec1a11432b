//! An OCI registry and a Sigstore stack on loopback, in process, for tests.
//!
//! [`Sandbox::start`] runs the servers on threads of their own, on free ports of 127.0.0.1; dropping the [`Sandbox`] stops them. They
//! check what they are sent and answer with the status codes of the real servers, so that a client that works here works there. What they
//! sign verifies against the trusted root that [`Sandbox::write_trust`] writes and that the TUF repository serves.
//!
//! | module | is |
//! |---|---|
//! | `registry` | distribution-spec 1.1 in memory: referrers API on or off, paging, authorization, ranges, mounts |
//! | `oidc` | two issuers, e-mail and GitHub Actions, and the ambient token route of the latter |
//! | `fulcio` | certificates with proof of possession, embedded SCTs and the claims of the token |
//! | `rekor_v1`, `rekor_v2` | the two generations of the transparency log |
//! | `tsa` | RFC 3161 timestamps |
//! | `tuf`, `trust` | the trusted root and signing configs, as files and as a TUF repository |
//! | `image` | multi-platform images, hostile layers included |
//! | `faults`, `log` | what goes wrong on purpose, and what was asked |
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

mod clock;
mod exchange;
mod faults;
pub mod image;
mod log;
mod registry;
mod run;
mod server;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::Clock;
pub use faults::{Action, Fault, FaultGuard};
pub use log::{Request, Service};
pub use registry::{Auth, ReferrersApi, RegistryHandle, StoredManifest, digest_of};
pub use run::{Options, Sandbox};

/// A test that panicked while it held a lock fails by itself; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
