//! The command `countersign-verifier`.

use std::process::ExitCode;

mod commands;

fn main() -> ExitCode {
    countersign_cli::program::run(std::env::args_os(), commands::run)
}
