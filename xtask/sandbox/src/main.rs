//! The sandbox as a program of its own.

use clap::Parser;
use sandbox::program::{self, Arguments};

/// Serve an OCI registry and a Sigstore stack on loopback, for tests
#[derive(Parser)]
#[command(name = "sandbox", version)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> anyhow::Result<()> {
    program::run(Command::parse().arguments)
}
