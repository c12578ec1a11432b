//! The tasks and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Project tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Fails when a banned crate is in the dependency tree.
    Bans,
    /// Measures the release build beside the programs that people use, over a network with a round trip.
    #[command(subcommand)]
    Bench(BenchTask),
    /// Runs everything that CI runs: formatting, lints, tests, documentation, bans, tidy, the round trip.
    Ci,
    /// Runs a public conformance suite, a copy of which is given, against a client of ours.
    Conformance(ConformanceFlags),
    /// Fails when the core that programs embed needs a runtime, HTTP or TLS, or does not compile for WebAssembly.
    Core,
    /// Runs the whole loop with the real binaries on the sandbox: sign, verify, install, and every refusal.
    E2e(E2eFlags),
    /// Runs the same loop with the tools and servers that people run, both ways, and prints one matrix.
    Peers(PeersFlags),
    /// Serves an OCI registry and a Sigstore stack on loopback until it is stopped.
    Sandbox(sandbox::program::Arguments),
    /// Fails when the tree departs from the layout and rules of this project.
    Tidy,
    /// Looks at the workflows, the action and the scripts with actionlint, zizmor and shellcheck, where they can be had.
    Workflows(WorkflowsFlags),
}

#[derive(Args, Default)]
pub(crate) struct WorkflowsFlags {
    /// Where the linters are installed, once for each version. Default: countersign/peers in the user's cache folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Fails when one of them cannot be had.
    #[arg(long)]
    pub(crate) require: bool,
}

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum BenchTask {
    /// Signing an image index: requests, wall time, processor time and memory, ours and cosign with the same services.
    Sign(BenchSignFlags),
    /// Verifying an image: requests, wall time, processor time and memory, ours, cosign and sigstore-go with the same registry; and how
    /// many stored bundles a core verifies in a second.
    Verify(BenchVerifyFlags),
}

#[derive(Args)]
pub(crate) struct BenchSignFlags {
    /// Where peers are installed, once for each version. Default: countersign/peers in the user's cache folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// How the result is written; progress goes to standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: BenchOutput,

    /// Measures only these.
    #[arg(long, value_name = "PART", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<BenchPart>,

    /// Less of everything: one registry, round trips of 0 and 40 ms, three runs.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Signs with the real servers too, where they are or can be installed.
    #[arg(long)]
    pub(crate) real: bool,

    /// How often each is run. A slow one is run less often.
    #[arg(long, value_name = "N")]
    pub(crate) repetitions: Option<usize>,

    /// Runs this signer instead of building one.
    #[arg(long, value_name = "FILE")]
    pub(crate) signer: Option<PathBuf>,

    /// Instead of the table: draws when each request of one run of ours was under way, with a round trip of 40 ms. With `--only release`
    /// what kinds of requests there were when.
    #[arg(long, conflicts_with_all = ["output", "quick", "real", "repetitions"])]
    pub(crate) trace: bool,
}

impl BenchSignFlags {
    /// Whether a part is measured.
    pub(crate) fn has(&self, part: BenchPart) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

#[derive(Args)]
pub(crate) struct BenchVerifyFlags {
    /// Where peers are installed, once for each version. Default: countersign/peers in the user's cache folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// How the result is written; progress goes to standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: BenchOutput,

    /// Measures only these.
    #[arg(long, value_name = "PART", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<BenchVerifyPart>,

    /// Less of everything: round trips of 0 and 40 ms, three runs.
    #[arg(long)]
    pub(crate) quick: bool,

    /// How often each is run. A slow one is run less often.
    #[arg(long, value_name = "N")]
    pub(crate) repetitions: Option<usize>,

    /// Runs the binaries in this folder instead of building them; the example `verify_stored` is in `examples` below it.
    #[arg(long, value_name = "DIR")]
    pub(crate) binaries: Option<PathBuf>,
}

impl BenchVerifyFlags {
    /// Whether a part is measured.
    pub(crate) fn has(&self, part: BenchVerifyPart) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// A part of the table of verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchVerifyPart {
    /// Images in a registry.
    Registry,
    /// Bundles in a folder.
    Stored,
}

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// One index, beside cosign.
    Index,
    /// A release of 200 images in one call.
    Release,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchOutput {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

#[derive(Args)]
pub(crate) struct ConformanceFlags {
    /// Where the suite's Python environment is kept. Default: countersign/peers in the user's cache folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// A copy of the public repository sigstore-conformance or tuf-conformance.
    #[arg(long, value_name = "DIR")]
    pub(crate) suite: PathBuf,
}

#[derive(Args)]
pub(crate) struct E2eFlags {
    /// Runs the binaries in this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    pub(crate) binaries: Option<PathBuf>,

    /// Kills a release at every request that it makes, not only at every seventh.
    #[arg(long)]
    pub(crate) every_request: bool,

    /// Keeps the folder with everything that was written, and prints where it is.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Args, Default)]
pub(crate) struct PeersFlags {
    /// Runs the binaries in this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    pub(crate) binaries: Option<PathBuf>,

    /// Where peers are installed, once for each version. Default: countersign/peers in the user's cache folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Writes .github/COMPATIBILITY.md too. Only a whole run may.
    #[arg(long, conflicts_with_all = ["fast", "only"])]
    pub(crate) compatibility: bool,

    /// Takes only the peers that are installed in seconds (Python, Node, Debian), and what can be tried with them.
    #[arg(long)]
    pub(crate) fast: bool,

    /// Installs the peers and tries nothing.
    #[arg(long)]
    pub(crate) install_only: bool,

    /// Where the matrix is written as JSON. Default: peers.json in the target folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Keeps the folder with everything that was written, and prints where it is.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Tries only these parts.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub(crate) only: Vec<PeersSection>,

    /// Instead of the matrix: plants a fault in a copy of our signer, and fails when a peer that needs the part does not notice.
    #[arg(long, value_name = "FAULT", value_delimiter = ',', conflicts_with_all = ["compatibility", "fast", "json", "only"])]
    pub(crate) plant: Vec<Plant>,

    /// Fails when one of these peers, separated by commas, cannot be had. --install-only lists their names.
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    pub(crate) require: Vec<String>,
}

/// A part of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeersSection {
    /// Everybody signs, everybody verifies, with the sandbox's services.
    Replica,
    /// The registries that people run, and the tools that carry images between them.
    Registries,
    /// Real Fulcio, logs and timestamp authority, and the sandbox compared with them.
    Servers,
    /// What older versions of cosign wrote.
    Older,
    /// What `publish` wrote to two registries.
    Published,
    /// containerd, which asks our hook before it pulls: by `ctr`, and as a kubelet does. Only root can run it.
    Containerd,
}

/// A fault in the layout of what the signer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plant {
    /// The referrer manifest has no annotation with the predicate type.
    Annotation,
    /// The referrer manifest has another artifact type.
    ArtifactType,
    /// The subjects of the statement have no name.
    SubjectName,
}

impl PeersFlags {
    /// The parts to try.
    pub(crate) fn sections(&self) -> Vec<PeersSection> {
        if self.only.is_empty() { PeersSection::value_variants().to_vec() } else { self.only.clone() }
    }
}
