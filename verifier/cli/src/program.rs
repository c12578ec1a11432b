//! What a `main` does around its command.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, Command, Parser};
use countersign_oci::http::Time;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::flags;
use crate::output::{self, OutputFormat};

/// Parses the arguments and runs the command with them.
///
/// What is typed counts more than what stands in the environment: a variable that contradicts a typed flag is left out, and
/// so is an empty one. A mistake in the arguments ends with 2; where they ask for JSON, with a document too. A panic is a bug: it ends
/// with 1, from whatever thread, so that a program that went wrong is never taken for one that is content.
pub fn run<C: Parser>(arguments: impl IntoIterator<Item = OsString>, command: impl FnOnce(C) -> Exit) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        output::note(&format!("error: this is a bug in the program: {panic}"));
        std::process::exit(Exit::Bug.code().into());
    }));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let clap = heed_what_is_typed(C::command(), &typed_flags(&arguments));
    let parsed = clap.try_get_matches_from(&arguments).and_then(|matches| C::from_arg_matches(&matches));
    let exit = match parsed {
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
        .with_writer(|| output::WithoutCommands(std::io::stderr()))
        // A line that cannot be written is lost; reporting that on the same stream would end the program.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(verbosity > 1);
    // Another subscriber is in place only where a test put one there.
    let _ = subscriber.try_init();
}

/// The long flags among the arguments, without their dashes.
fn typed_flags(arguments: &[OsString]) -> BTreeSet<String> {
    let before_names = arguments.iter().take_while(|argument| *argument != "--");
    let flags = before_names.filter_map(|argument| argument.to_str()?.strip_prefix("--"));
    flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned()).collect()
}

fn heed_what_is_typed(command: Command, typed: &BTreeSet<String>) -> Command {
    let command = command.mut_subcommands(|inner| heed_what_is_typed(inner, typed));
    let is_typed = |argument: &Arg| argument.get_long().is_some_and(|long| typed.contains(long));
    let mut overruled = BTreeSet::new();
    for argument in command.get_arguments() {
        for other in command.get_arg_conflicts_with(argument) {
            if is_typed(argument) {
                overruled.insert(other.get_id().clone());
            }
            if is_typed(other) {
                overruled.insert(argument.get_id().clone());
            }
        }
        if argument.get_env().is_some_and(flags::is_empty_variable) {
            overruled.insert(argument.get_id().clone());
        }
    }
    command.mut_args(|argument| match overruled.contains(argument.get_id()) && !is_typed(&argument) {
        true => argument.env(Resettable::Reset),
        false => argument,
    })
}

fn explain(mistake: &clap::Error, arguments: &[OsString]) -> Exit {
    if matches!(mistake.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match print(mistake) {
            Ok(()) => Exit::Done,
            Err(_) => Exit::Undecided,
        };
    }
    if asks_for_json(arguments) {
        let text = mistake.to_string();
        let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
        let message = lines.collect::<Vec<_>>().join(" ");
        let failure = Failure::usage("usage", message.trim_start_matches("error: "), Some("see --help".into()));
        let _ = output::json(&output::FailureDocument { schema: "countersign.dev/error/v1", error: &failure });
    }
    // Whoever closed standard error does not read it.
    let _ = print(mistake);
    Exit::Usage
}

/// Prints help or a mistake: in colours where a person reads it, else as text, which may quote arguments and variables.
fn print(mistake: &clap::Error) -> std::io::Result<()> {
    let is_terminal =
        if mistake.use_stderr() { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    let text = mistake.render().to_string();
    match (is_terminal, mistake.use_stderr()) {
        (true, _) => mistake.print(),
        (false, false) => output::text(&text),
        (false, true) => {
            output::note(text.trim_end_matches('\n'));
            Ok(())
        }
    }
}

fn asks_for_json(arguments: &[OsString]) -> bool {
    let pair = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    let typed = arguments.iter().any(|argument| argument == "--output=json") || arguments.windows(2).any(pair);
    typed || (!typed_flags(arguments).contains("output") && flags::output_variable_asks_for_json())
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

/// Returns the machine's time, for budgets.
#[must_use]
pub fn time() -> Arc<dyn Time> {
    Arc::new(MachineTime { started: tokio::time::Instant::now() })
}

struct MachineTime {
    started: tokio::time::Instant,
}

impl Time for MachineTime {
    fn now(&self) -> jiff::Timestamp {
        now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(pause))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long, env = "PATH", conflicts_with = "other")]
        file: Option<String>,
        #[arg(long)]
        other: Option<String>,
    }

    fn parse(arguments: &[&str]) -> Program {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let command = heed_what_is_typed(Program::command(), &typed_flags(&arguments));
        Program::from_arg_matches(&command.try_get_matches_from(&arguments).unwrap()).unwrap()
    }

    #[test]
    fn a_typed_flag_overrules_a_variable_that_contradicts_it() {
        assert!(parse(&["program"]).file.is_some());
        assert_eq!(parse(&["program", "--file", "typed"]).file.as_deref(), Some("typed"));
        for arguments in [&["program", "--other", "x"][..], &["program", "--other=x"]] {
            let parsed = parse(arguments);
            assert_eq!((parsed.file, parsed.other.as_deref()), (None, Some("x")));
        }
    }

    #[test]
    fn two_typed_flags_that_contradict_each_other_are_still_a_mistake() {
        let arguments: Vec<OsString> = ["program", "--other", "x", "--file", "y"].map(OsString::from).into();
        let command = heed_what_is_typed(Program::command(), &typed_flags(&arguments));
        assert!(command.try_get_matches_from(&arguments).is_err());
    }

    #[test]
    fn json_is_asked_for_by_either_spelling_of_the_flag() {
        let asks = |arguments: &[&str]| asks_for_json(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(asks(&["p", "--output", "json"]) && asks(&["p", "--output=json"]));
        assert!(!asks(&["p", "--output", "text"]) && !asks(&["p", "json"]));
    }
}
