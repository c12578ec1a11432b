//! The command `countersign-gallery`.

use std::process::ExitCode;

mod commands;

fn main() -> ExitCode {
    countersign_cli::program::run(std::env::args_os(), commands::run)
}
