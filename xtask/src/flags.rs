//! The tasks and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Project tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Fails when a banned crate is in the dependency tree.
    Bans,
    /// Runs everything that CI runs: formatting, lints, tests, documentation, bans, tidy, the round trip.
    Ci,
    /// Runs the whole loop with the real binaries on the sandbox: sign, verify, install, and every refusal.
    E2e(E2eFlags),
    /// Serves an OCI registry and a Sigstore stack on loopback until it is stopped.
    Sandbox(sandbox::program::Arguments),
    /// Fails when the tree departs from the layout and rules of this project.
    Tidy,
}

#[derive(Args)]
pub(crate) struct E2eFlags {
    /// Runs the binaries in this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    pub(crate) binaries: Option<PathBuf>,

    /// Keeps the folder with everything that was written, and prints where it is.
    #[arg(long)]
    pub(crate) keep: bool,
}
