//! What the three binaries share, so that the same word means the same thing in all of them.
//!
//! * [`exit`]: five exit codes, and [`Failure`], which every error becomes
//! * [`flags`]: flags for output, registry and trust, and how they become settings
//! * [`github`]: the page of a step in a GitHub Actions job
//! * [`output`]: data to standard output, everything else to standard error
//! * [`sarif`]: results for code scanning
//! * [`progress`]: bars on a terminal, lines elsewhere
//! * [`program`]: what a `main` does around its command
//!
//! Only binaries use this crate: it is the one place that reads the environment and prints.

pub mod exit;
pub mod failure;
pub mod flags;
pub mod github;
pub mod output;
pub mod program;
pub mod progress;
pub mod sarif;

pub use exit::Exit;
pub use failure::Failure;
