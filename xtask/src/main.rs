//! Project tasks. `cargo xtask --help` lists them.

use std::process::ExitCode;

use clap::Parser;

mod bans;
mod bench;
mod ci;
mod conformance;
mod core;
mod e2e;
mod flags;
mod peers;
mod programs;
mod shell;
mod tidy;
mod workflows;

fn main() -> ExitCode {
    match run(flags::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: flags::Arguments) -> anyhow::Result<()> {
    match arguments.task {
        flags::Task::Bans => bans::check(),
        flags::Task::Bench(task) => bench::run(&task),
        flags::Task::Ci => ci::all(),
        flags::Task::Conformance(flags) => conformance::run(&flags),
        flags::Task::Core => core::check(),
        flags::Task::E2e(flags) => e2e::run(&flags),
        flags::Task::Peers(flags) => peers::run(&flags),
        flags::Task::Sandbox(arguments) => sandbox::program::run(arguments),
        flags::Task::Tidy => tidy::check(),
        flags::Task::Workflows(flags) => workflows::check(&flags),
    }
}
