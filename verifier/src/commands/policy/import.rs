//! `policy import`: the policies of other verifiers.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use countersign_cli::output::{self, OutputFormat};
use countersign_cli::{Exit, Failure, flags, program};
use countersign_oci::limits;
use countersign_policy::import::{self, ImportError, Imported};
use serde::Serialize;

use super::exchange::{LossDocument, note_losses};

/// Reads a policy of another verifier, and prints the policy document that says the same.
///
/// What cannot be said is an error where it would weaken the policy, and is named where it is tighter or has no place in a policy: on standard
/// error, with a code. policy/EXCHANGE.md lists the codes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArguments {
    /// Whose policy it is.
    #[arg(long, value_enum, value_name = "KIND")]
    from: From,

    /// The file; `-` is standard input. With `--from cosign`, a file holds a command line.
    #[arg(value_name = "FILE", required_unless_present = "command")]
    file: Option<PathBuf>,

    /// With `--from cosign`: the words of the command themselves.
    #[arg(last = true, value_name = "COSIGN VERIFY ...", conflicts_with = "file")]
    command: Vec<String>,

    /// With `--from localai`: whose block, in a list of galleries.
    #[arg(long, value_name = "NAME")]
    gallery: Option<String>,

    /// How the result is written.
    #[arg(long, value_enum, default_value_t, env = "COUNTERSIGN_OUTPUT")]
    output: OutputFormat,
}

/// Whose policy is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// A `cosign verify` command line.
    Cosign,
    /// A ClusterPolicy, Policy or ImageValidatingPolicy of Kyverno.
    Kyverno,
    /// A `verification` block of a gallery, or a list of galleries.
    Localai,
    /// A ClusterImagePolicy of Sigstore's policy-controller.
    PolicyController,
}

const EXAMPLES: &str = "\
Examples:
  countersign-verifier policy import --from kyverno cluster-policy.yaml > policy.yaml
  countersign-verifier policy import --from localai galleries.json --gallery localai
  countersign-verifier policy import --from cosign -- cosign verify \\
      --certificate-identity https://github.com/example/app/.github/workflows/release.yml@refs/heads/main \\
      --certificate-oidc-issuer https://token.actions.githubusercontent.com \\
      --certificate-github-workflow-repository example/app

Exit codes: 0 printed, 1 a bug, 2 usage, a file that cannot be read, or a policy that cannot be taken over.";

/// What is printed as JSON.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    from: String,
    /// The policy document, in YAML.
    policy: &'a str,
    losses: Vec<LossDocument<'a>>,
}

pub(super) fn run(arguments: &ImportArguments) -> Exit {
    program::log(0);
    let imported = match arguments.import() {
        Ok(imported) => imported,
        Err(failure) => {
            output::failure(&failure, arguments.output);
            return failure.exit;
        }
    };
    note_losses(&imported.losses);
    let written = match arguments.output {
        OutputFormat::Text => output::text(&imported.yaml),
        OutputFormat::Json => output::json(&Document {
            schema: "countersign.dev/policy-import/v1",
            from: arguments.from.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
            policy: &imported.yaml,
            losses: imported.losses.iter().map(LossDocument::new).collect(),
        }),
    };
    output::note("now run `countersign-verifier policy lint` on it: what is taken over can be as weak as it was");
    written.map_or(Exit::Undecided, |()| Exit::Done)
}

impl ImportArguments {
    fn import(&self) -> Result<Imported, Failure> {
        let misplaced =
            |flag: &str, kind: &str| Failure::usage("misplaced-argument", format!("{flag} is for --from {kind}"), None);
        if !self.command.is_empty() && self.from != From::Cosign {
            return Err(misplaced("a command after --", "cosign"));
        }
        if self.gallery.is_some() && self.from != From::Localai {
            return Err(misplaced("--gallery", "localai"));
        }
        let Some(file) = &self.file else {
            return import::from_cosign(&self.command).map_err(|error| failure(&error));
        };
        let (origin, text) = read(file)?;
        let imported = match self.from {
            From::Cosign => import::from_cosign_text(&origin, &text),
            From::Kyverno => import::from_kyverno(&origin, &text),
            From::Localai => import::from_localai(&origin, &text, self.gallery.as_deref()),
            From::PolicyController => import::from_policy_controller(&origin, &text),
        };
        imported.map_err(|error| failure(&error))
    }
}

/// Reads a file or standard input as text, up to the size of a configuration.
fn read(path: &Path) -> Result<(String, String), Failure> {
    let (origin, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let limit = limits::CONFIG_BYTES + 1;
        let unread =
            |error| Failure::usage("unreadable-input", format!("standard input cannot be read: {error}"), None);
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(unread)?;
        ("standard input".to_owned(), bytes)
    } else {
        (path.display().to_string(), flags::read_file("policy", path, limits::CONFIG_BYTES)?)
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok((origin, text)),
        Err(_) => Err(Failure::usage("not-text", format!("{origin} is not UTF-8"), None)),
    }
}

fn failure(error: &ImportError) -> Failure {
    Failure::new(error, error.code(), countersign_oci::Class::Usage, false, error.hint())
}
