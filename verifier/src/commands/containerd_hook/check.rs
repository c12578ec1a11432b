//! Looks at a node: the configuration of its containerd, the folder of verifiers and the settings of the hook.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure, flags};
use countersign_verifier::hook::node::{self, DUMP_BYTES, Dump, Entry, Folder, Node};
use countersign_verifier::hook::{Rule, Settings};

use super::files;

/// Where the dump comes from.
pub(super) enum Source<'a> {
    /// containerd prints it.
    Config { config: &'a Path, containerd: &'a Path },
    /// It lies in a file, or comes on standard input.
    Dump(&'a Path),
}

/// What containerd says of itself.
struct Said {
    dump: String,
    warnings: Option<String>,
    version: Option<String>,
}

pub(super) fn run(source: &Source<'_>, settings: &Path, format: OutputFormat) -> Exit {
    let report = match look(source, settings) {
        Ok(node) => node::check(&node),
        Err(failure) => {
            output::failure(&failure, format);
            return failure.exit;
        }
    };
    let written = match format {
        OutputFormat::Json => output::json(&report),
        OutputFormat::Text => output::text(&report.text()),
    };
    let exit = if report.clean { Exit::Done } else { Exit::Rejected };
    if written.is_err() { exit.and(Exit::Undecided) } else { exit }
}

fn look(source: &Source<'_>, settings: &Path) -> Result<Node, Failure> {
    let said = match source {
        Source::Config { config, containerd } => ask(containerd, config)?,
        Source::Dump(path) => Said { dump: read(path)?, warnings: None, version: None },
    };
    let dump = Dump::parse(&said.dump).map_err(|error| {
        Failure::usage("dump-malformed", error.to_string(), Some("is it what `containerd config dump` prints?".into()))
    })?;
    if matches!(source, Source::Dump(_)) && !dump.has_defaults() {
        let message =
            "this is no `containerd config dump`: it lacks `root`, `state` or `disabled_plugins`, which every dump has";
        let hint =
            "a config.toml goes to --check FILE; for --check-dump run `containerd -c FILE config dump` on the node";
        return Err(Failure::usage("dump-incomplete", message, Some(hint.into())));
    }
    let folder = folder(dump.bin_dir().unwrap_or_default());
    Ok(Node::new(dump, said.warnings, said.version, folder, usable(settings)))
}

/// Returns the settings, once everything that they name can be used too.
fn usable(path: &Path) -> Result<Settings, String> {
    let line = |answer: countersign_verifier::hook::Answer| {
        let first = answer.text.lines().next().unwrap_or_default().to_owned();
        first.trim_start_matches("countersign: refused, the hook is not set up: ").to_owned()
    };
    let settings = files::settings(path).map_err(line)?;
    for (_, rule) in settings.rules() {
        if let Rule::Policy(source) = rule {
            let (policy, folder) = files::policy(source, &settings).map_err(line)?;
            files::trust(&policy, &folder, &settings).map_err(line)?;
        }
    }
    if let Some(path) = &settings.registry.credentials {
        files::credentials(path).map_err(line)?;
    }
    for path in &settings.registry.ca {
        files::read("registry-ca", path).map_err(line)?;
    }
    files::check_cache(&settings.cache_dir).map_err(line)?;
    Ok(settings)
}

fn ask(containerd: &Path, config: &Path) -> Result<Said, Failure> {
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_path_buf());
    if !config.is_file() {
        let message = format!("{} is not there", config.display());
        let hint = "containerd takes its defaults then, and asks nobody; --check-dump FILE takes what `containerd config dump` printed";
        return Err(Failure::usage("config-unreadable", message, Some(hint.into())));
    }
    let arguments = [Path::new("-c"), &config, Path::new("config"), Path::new("dump")];
    let (dump, warnings) = output_of(containerd, &arguments)?;
    let (version, _) = output_of(containerd, &[Path::new("--version")])?;
    Ok(Said { dump, warnings: Some(warnings), version: Some(version) })
}

/// Returns what a program prints, within bounds.
fn output_of(program: &Path, arguments: &[&Path]) -> Result<(String, String), Failure> {
    let failed = |what: String| {
        let hint = "name the program with --containerd, or give its dump with --check-dump".to_owned();
        Failure::usage("containerd-failed", format!("{}: {what}", program.display()), Some(hint))
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| failed(format!("cannot be started: {cause}")))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let texts = stdout.recv_timeout(TIME).and_then(|out| Ok((out, stderr.recv_timeout(TIME)?)));
    if texts.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|cause| failed(cause.to_string()))?;
    let (stdout, stderr) = texts.map_err(|_| failed(format!("did not end within {} s", TIME.as_secs())))?;
    if !status.success() {
        let last = stderr.lines().last().unwrap_or_default();
        return Err(failed(format!("ends with {status}: {last}")));
    }
    Ok((stdout, stderr))
}

fn reader(stream: Option<impl std::io::Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What was read before a failure is judged by the program's exit code.
            let _ = stream.take(DUMP_BYTES + 1).read_to_end(&mut bytes);
        }
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn read(path: &Path) -> Result<String, Failure> {
    if path != Path::new("-") {
        let bytes = flags::read_file("dump", path, DUMP_BYTES)?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(DUMP_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|cause| Failure::usage("dump-unreadable", format!("cannot read standard input: {cause}"), None))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns what is in the folder, in the order in which containerd asks it.
fn folder(path: &str) -> Folder {
    let path = Path::new(path);
    if !path.is_absolute() {
        return Folder::Unseen;
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Folder::Absent,
        Err(cause) => return Folder::Unreadable(cause.to_string()),
    };
    let mut found: Vec<Entry> = Vec::new();
    for entry in entries.take(MOST_ENTRIES) {
        let Ok(entry) = entry else { return Folder::Unreadable("its entries cannot be read".into()) };
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push(Entry { problem: problem(&entry.path()), name });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Folder::Entries(found)
}

/// Returns why an entry cannot answer, or must not be believed.
fn problem(path: &PathBuf) -> Option<String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(_) if fs::symlink_metadata(path).is_ok() => return Some("is a link that leads nowhere".into()),
        Err(cause) => return Some(format!("cannot be read: {cause}")),
    };
    if metadata.is_dir() {
        return Some("is a folder".into());
    }
    if !is_executable(&metadata) {
        return Some("is not executable".into());
    }
    files::check_owner(path).err().map(|_| "can be written by others than root".into())
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(metadata: &fs::Metadata) -> bool {
    metadata.is_file()
}

/// Time for one call of containerd, which prints and ends.
const TIME: Duration = Duration::from_secs(20);
/// Entries of the folder that are looked at: containerd asks ten by itself.
const MOST_ENTRIES: usize = 1_000;
