//! The command `countersign-verifier`.

use std::process::ExitCode;

mod commands;

fn main() -> ExitCode {
    let arguments = commands::containerd_hook::with_subcommand(std::env::args_os().collect());
    match commands::containerd_hook::answer_containerd(&arguments) {
        Some(exit) => exit,
        None => countersign_cli::program::run(arguments, commands::run),
    }
}
