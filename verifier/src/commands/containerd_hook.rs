//! `containerd-hook`: containerd's question before it pulls, and a check of the node that asks it.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use countersign_cli::output::OutputFormat;
use countersign_cli::{Exit, Failure, output, program};
use countersign_oci::http::{self, HttpOptions, PlainHttp};
use countersign_oci::{Registry, RegistryOptions};
use countersign_policy::Policy;
use countersign_verifier::hook::{
    Answer, Call, CallError, DESCRIPTOR_BYTES, Outcome, PolicySource, Rule, Ruling, SETTINGS_PATH, Settings, Unmatched,
};
use countersign_verifier::trusted_root::{self, TrustCache, TrustSource};
use countersign_verifier::{Asked, Error, Verifier};

mod check;
mod files;

/// Answers containerd before it pulls an image.
///
/// Link this program into the folder that containerd's image verifier runs (bin_dir): called as containerd calls it, it
/// needs no subcommand. 0 lets containerd pull; everything else keeps it from pulling, with the reason on standard output.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct ContainerdHookArguments {
    /// The name of the image, as containerd passes it.
    #[arg(long, value_name = "NAME", help_heading = "Passed by containerd")]
    name: Option<String>,

    /// The digest that the name resolved to.
    #[arg(long, value_name = "DIGEST", help_heading = "Passed by containerd")]
    digest: Option<String>,

    /// What standard input holds: only application/vnd.oci.descriptor.v1+json is understood.
    #[arg(long, value_name = "TYPE", help_heading = "Passed by containerd")]
    stdin_media_type: Option<String>,

    /// The settings, where they are not at their place. No variable of the environment names them.
    #[arg(long, value_name = "FILE", default_value = SETTINGS_PATH)]
    config: PathBuf,

    /// Checks a node: runs `containerd -c CONFIG config dump` and names everything that lets images by without asking the hook,
    /// or keeps them all out.
    #[arg(long, value_name = "CONFIG", help_heading = "Check of a node", conflicts_with_all = ASKED)]
    check: Option<PathBuf>,

    /// Checks what `containerd config dump` printed, in a file or, with -, on standard input.
    #[arg(long, value_name = "FILE", help_heading = "Check of a node", conflicts_with = "check", conflicts_with_all = ASKED)]
    check_dump: Option<PathBuf>,

    /// The containerd that prints its configuration.
    #[arg(long, value_name = "FILE", default_value = "containerd", help_heading = "Check of a node")]
    containerd: PathBuf,

    /// How the result of a check is written: text, or one JSON document. Only with --check or --check-dump.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT", help_heading = "Check of a node")]
    output: OutputFormat,

    /// Changes nothing: a check shows no progress. Only with --check or --check-dump.
    #[arg(short, long, help_heading = "Check of a node")]
    quiet: bool,

    /// Logs more to standard error: -v what is done, -vv details, -vvv everything. Only with --check or --check-dump.
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Check of a node")]
    verbose: u8,
}

const ASKED: [&str; 3] = ["name", "digest", "stdin_media_type"];

const HELP: &str = "\
Settings: /etc/countersign/containerd-hook.yaml. The page verifier/docs/containerd.md has the node's config.toml.

Exit codes: 0 allowed, 1 a bug, 2 settings or arguments, 3 refused (unsigned included), 4 could not decide
(what is on standard input included). containerd pulls after 0 only.
With --check: 0 clean, 3 pulls can get by or are all refused, 2 the configuration cannot be read.";

/// Runs the command as a person calls it. What containerd asks is answered by [`answer_containerd`] before.
pub(crate) fn run(arguments: &ContainerdHookArguments) -> Exit {
    program::log(arguments.verbose);
    let source = match (&arguments.check, &arguments.check_dump) {
        (Some(config), _) => Some(check::Source::Config { config, containerd: &arguments.containerd }),
        (None, Some(dump)) => Some(check::Source::Dump(dump)),
        (None, None) => None,
    };
    if let Some(source) = source {
        return check::run(&source, &arguments.config, arguments.output);
    }
    let hint = "containerd passes -name NAME -digest DIGEST -stdin-media-type TYPE, and a descriptor on standard input";
    let failure = Failure::usage("nothing-asked", "nothing is asked", Some(hint.to_owned()));
    output::failure(&failure, arguments.output);
    failure.exit
}

/// Returns the arguments with the subcommand that the program's own name stands for.
pub(crate) fn with_subcommand(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let named = arguments.first().and_then(|name| Path::new(name).file_stem());
    let is_hook = named.is_some_and(|name| NAMES.iter().any(|known| name == OsStr::new(known)));
    if is_hook && arguments.get(1).is_none_or(|first| first != SUBCOMMAND) {
        arguments.insert(1, SUBCOMMAND.into());
    }
    arguments
}

/// Returns how the program ends where the arguments are containerd's, with or without a subcommand before them.
pub(crate) fn answer_containerd(arguments: &[OsString]) -> Option<ExitCode> {
    let rest = arguments.get(1..)?;
    let rest = match rest.first() {
        Some(first) if first == SUBCOMMAND => &rest[1..],
        Some(first) if first.as_encoded_bytes().starts_with(b"-") => rest,
        _ => return None,
    };
    let call = Call::of(rest)?;
    Some(answer(call).into())
}

/// What the working thread says while it works.
enum News {
    Answer(Answer),
    Doing(String),
    Time(Duration),
}

/// Answers within the time, whatever hangs: the work is done by a thread that is left behind when the time is up.
fn answer(call: Result<Call, CallError>) -> Exit {
    std::panic::set_hook(Box::new(|panic| {
        // containerd shows standard output only. Where that cannot be written, the exit code still says no.
        let _ = output::text(&format!("countersign: refused: this is a bug in the program: {panic}\n"));
        std::process::exit(Exit::Bug.code().into());
    }));
    let started = Instant::now();
    let (sender, receiver) = mpsc::channel();
    let worker = thread::Builder::new().name("hook".into()).stack_size(STACK).spawn(move || {
        let answer = decide(call, &sender).unwrap_or_else(|answer| answer);
        // Nobody listens after the time is up.
        let _ = sender.send(News::Answer(answer));
    });
    if let Err(cause) = worker {
        return say(&Answer::of_error(Outcome::Undecided, &cause, None));
    }
    let mut time = UNTIL_SETTINGS;
    let mut doing = String::from("starting");
    loop {
        match receiver.recv_timeout(time.saturating_sub(started.elapsed())) {
            Ok(News::Answer(answer)) => return say(&answer),
            Ok(News::Doing(what)) => doing = what,
            Ok(News::Time(set)) => time = set,
            Err(RecvTimeoutError::Timeout) => {
                let line = format!("no answer within {} s, the last thing begun: {doing}", time.as_secs_f32());
                return say(&Answer::new(Outcome::Undecided, &line));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return say(&Answer::new(Outcome::Undecided, "the work broke off"));
            }
        }
    }
}

/// Writes the answer. One that cannot be written allows nothing: then whoever asked is not there.
fn say(answer: &Answer) -> Exit {
    let exit = match answer.outcome {
        Outcome::Allowed => Exit::Done,
        Outcome::Misconfigured => Exit::Usage,
        Outcome::Refused => Exit::Rejected,
        _ => Exit::Undecided,
    };
    match output::text(&answer.text) {
        Ok(()) => exit,
        Err(_) => exit.and(Exit::Undecided),
    }
}

/// Decides. An error is an answer, too: everything that is not a yes is a no.
fn decide(call: Result<Call, CallError>, news: &Sender<News>) -> Result<Answer, Answer> {
    let doing = |what: String| {
        let _ = news.send(News::Doing(what));
    };
    let call = call.map_err(|error| Answer::of_error(error.outcome(), &error, None))?;
    doing("reading standard input".into());
    let asked = call
        .question(&stdin().map_err(|cause| Answer::of_error(Outcome::Undecided, &cause, None))?)
        .map_err(|error| Answer::of_error(error.outcome(), &error, None))?;

    let path = call.settings.as_deref().unwrap_or(Path::new(SETTINGS_PATH));
    doing(format!("reading {}", path.display()));
    let settings = files::settings(path)?;
    let _ = news.send(News::Time(settings.timeout));
    let ruling = settings.ruling(asked.reference.repository());
    let Some(Rule::Policy(source)) = ruling.rule else { return Ok(without_policy(&ruling, settings.default)) };
    let judge = Judge::prepare(&settings, source, &asked)?;
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(judge.judge(&asked, &terms(&ruling), doing)),
        Err(cause) => Err(Answer::of_error(Outcome::Undecided, &cause, None)),
    }
}

fn without_policy(ruling: &Ruling<'_>, default: Unmatched) -> Answer {
    let prefix = ruling.prefix.map(ToString::to_string).unwrap_or_default();
    match (ruling.rule, default) {
        (Some(Rule::Allow), _) => Answer::new(Outcome::Allowed, &format!("rule {prefix} allows it, unverified")),
        (Some(Rule::Refuse { reason }), _) => Answer::new(Outcome::Refused, &format!("{reason} (rule {prefix})")),
        (Some(Rule::Policy(_)), _) => Answer::new(Outcome::Undecided, "the policy was not asked"),
        (None, Unmatched::Allow) => Answer::new(Outcome::Allowed, "no rule is for it, and the default is allow"),
        (None, Unmatched::Refuse) => Answer::new(Outcome::Refused, "no rule is for it, and the default is refuse"),
    }
}

fn terms(ruling: &Ruling<'_>) -> String {
    let prefix = ruling.prefix.map(ToString::to_string).unwrap_or_default();
    match ruling.rule {
        Some(Rule::Policy(PolicySource::File(path))) => format!("rule {prefix}, policy {}", path.display()),
        _ => format!("rule {prefix}"),
    }
}

/// Everything that a verification needs.
struct Judge {
    policy: Policy,
    trust: TrustSource,
    cache: TrustCache,
    registry: Registry,
}

impl Judge {
    fn prepare(settings: &Settings, source: &PolicySource, asked: &Asked) -> Result<Self, Answer> {
        let (policy, folder) = files::policy(source, settings)?;
        if policy.require().tag && asked.tag.is_none() {
            return Err(tag_is_lost(asked));
        }
        let trust = files::trust(&policy, &folder, settings)?;
        files::check_cache(&settings.cache_dir)?;
        let ca = settings.registry.ca.iter().map(|path| files::read("registry-ca", path));
        let ca: Vec<Vec<u8>> = ca.collect::<Result<_, _>>()?;
        let http = http::client(&service_options(settings, &ca)).map_err(|error| misconfigured(&error, None))?;
        let options = registry_options(settings, ca, asked.reference.repository().registry())?;
        let registry = Registry::new(options).map_err(|error| misconfigured(&error, error.hint().as_deref()))?;
        let cache = TrustCache { folder: Some(settings.cache_dir.clone()), http };
        Ok(Self { policy, trust, cache, registry })
    }

    async fn judge(&self, asked: &Asked, terms: &str, doing: impl Fn(String)) -> Result<Answer, Answer> {
        doing(format!("loading the trusted root from {}", shown(&self.trust)));
        let root = trusted_root::load(&self.trust, &self.cache, program::now()).await;
        let verifier = Verifier::new(root.map_err(|error| undecided(&error))?).map_err(|error| undecided(&error))?;
        doing(format!("reading signatures of {}", asked.reference));
        let verdict =
            countersign_verifier::verify_image(&self.registry, &verifier, &self.policy, asked, program::now()).await;
        Ok(Answer::of_verdict(&verdict.map_err(|error| undecided(&error))?, terms))
    }
}

/// Where the question itself could not be answered.
fn undecided(error: &Error) -> Answer {
    let outcome = match error.class() {
        countersign_oci::Class::Usage => Outcome::Misconfigured,
        _ => Outcome::Undecided,
    };
    Answer::of_error(outcome, error, error.hint().as_deref())
}

fn misconfigured(error: &dyn std::error::Error, hint: Option<&str>) -> Answer {
    Answer::of_error(Outcome::Misconfigured, error, hint)
}

/// A kubelet's pull drops the tag of a name that has both, so the policy's question cannot be asked: never a pass.
fn tag_is_lost(asked: &Asked) -> Answer {
    let repository = asked.reference.repository();
    let line = format!(
        "the policy requires a signed tag, and containerd passes {repository} by digest alone: of NAME:TAG@DIGEST a kubelet's pull drops the tag\n\
         hint: pull {repository}:TAG, or have a rule for {repository} whose policy does without require.tag (the digest pins more than a tag)"
    );
    Answer::new(Outcome::Misconfigured, &line)
}

fn shown(trust: &TrustSource) -> String {
    match trust {
        TrustSource::File(path) => path.display().to_string(),
        TrustSource::Tuf { url, .. } => format!("TUF repository {url}"),
        TrustSource::PublicGoodTuf => "the public-good TUF repository".into(),
        _ => "the copy inside this program".into(),
    }
}

/// A refresh that hangs must leave time for the cached root and the registry.
fn service_options(settings: &Settings, ca: &[Vec<u8>]) -> HttpOptions {
    let mut options = HttpOptions::default();
    options.ca_certificates = ca.to_vec();
    options.connect_timeout = settings.timeout / 4;
    options.idle_timeout = settings.timeout / 3;
    options.total_timeout = Some(settings.timeout / 3);
    options.proxies = settings.registry.proxies.clone();
    options
}

fn registry_options(settings: &Settings, ca: Vec<Vec<u8>>, registry: &str) -> Result<RegistryOptions, Answer> {
    let mut options = RegistryOptions::default();
    options.ca_certificates = ca;
    options.proxies = settings.registry.proxies.clone();
    options.hosts = settings.registry.evidence_from.clone();
    if settings.allows_plain_http(registry) {
        options.plain_http = PlainHttp::Any;
    }
    options.connect_timeout = settings.timeout / 4;
    options.idle_timeout = settings.timeout / 3;
    options.total_timeout = settings.timeout / 2;
    options.retry.attempts = 3;
    options.retry.longest_pause = Duration::from_secs(1);
    if let Some(path) = &settings.registry.credentials {
        options.credentials = files::credentials(path)?;
    }
    Ok(options)
}

/// Reads what containerd sends: one byte more than is taken, so that too much is seen.
fn stdin() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(DESCRIPTOR_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

const SUBCOMMAND: &str = "containerd-hook";
/// Names under which the program is the hook, whatever its arguments.
const NAMES: [&str; 2] = [SUBCOMMAND, "countersign-containerd-hook"];
/// The time until the settings say how long a call may take: that of the settings where they say nothing.
const UNTIL_SETTINGS: Duration = Duration::from_secs(9);
/// What a main thread usually has: verification in a debug build needs more than other threads get.
const STACK: usize = 8 << 20;
