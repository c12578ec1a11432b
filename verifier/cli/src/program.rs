//! What a `main` does around its command.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, OutputFormat};

/// Parses the arguments and runs the command with them.
///
/// A mistake in the arguments ends with 2; where they ask for JSON, with a document too. A panic is a bug: it ends
/// with 1, from whatever thread, so that a program that went wrong is never taken for one that is content.
pub fn run<C: Parser>(arguments: impl IntoIterator<Item = OsString>, command: impl FnOnce(C) -> Exit) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        output::note(&format!("error: this is a bug in the program: {panic}"));
        std::process::exit(Exit::Bug.code().into());
    }));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let exit = match C::try_parse_from(&arguments) {
        Ok(parsed) => command(parsed),
        Err(mistake) => explain(&mistake, &arguments),
    };
    exit.into()
}

/// Runs an asynchronous command to its end.
pub fn block_on(command: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(cause) => {
            let failure = Failure::new(&cause, "no-runtime", countersign_oci::Class::Unreachable, true, None);
            output::failure(&failure, OutputFormat::Text);
            Exit::Undecided
        }
    }
}

/// Sends log lines to standard error: warnings, and more with each `-v`. `RUST_LOG` overrules it.
pub fn log(verbosity: u8) {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let ours = format!(
        "warn,countersign_cli={level},countersign_gallery={level},countersign_oci={level},countersign_signer={level},countersign_verifier={level}"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(verbosity > 1);
    // Another subscriber is in place only where a test put one there.
    let _ = subscriber.try_init();
}

fn explain(mistake: &clap::Error, arguments: &[OsString]) -> Exit {
    if matches!(mistake.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match mistake.print() {
            Ok(()) => Exit::Done,
            Err(_) => Exit::Undecided,
        };
    }
    if asks_for_json(arguments) {
        let first = mistake.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let failure = Failure::usage("usage", first, Some("see --help".into()));
        let _ = output::json(&output::FailureDocument { schema: "countersign.dev/error/v1", error: &failure });
    }
    // Whoever closed standard error does not read it.
    let _ = mistake.print();
    Exit::Usage
}

fn asks_for_json(arguments: &[OsString]) -> bool {
    let pair = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    arguments.iter().any(|argument| argument == "--output=json") || arguments.windows(2).any(pair)
}

pub use clap_complete::Shell;

/// Prints completions for a shell.
pub fn completions(command: &mut clap::Command, shell: Shell) -> Exit {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    match output::text(&String::from_utf8_lossy(&script)) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Undecided,
    }
}

/// Returns the time: the one place where these programs read the clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the edge where the clock is read and passed in")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
