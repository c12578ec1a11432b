//! A containerd of its own: its folders, its socket, our hook in its folder of verifiers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use super::super::Bench;
use super::super::process::{self, Run, Server};

/// Who asks containerd to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Puller {
    Ctr,
    Crictl,
}

impl Puller {
    pub(super) const ALL: [Self; 2] = [Self::Ctr, Self::Crictl];

    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Ctr => "ctr",
            Self::Crictl => "crictl",
        }
    }
}

/// What is added to a configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Further<'f> {
    /// Before the first table.
    pub(super) top: &'f str,
    /// Tables.
    pub(super) tables: &'f str,
}

/// A containerd that runs until it is dropped.
pub(super) struct Node<'b> {
    pub(super) config: PathBuf,
    pub(super) containerd: PathBuf,
    bench: &'b Bench<'b>,
    ctr: PathBuf,
    folder: PathBuf,
    home: PathBuf,
    _server: Server,
}

impl<'b> Node<'b> {
    /// Starts one whose hook has the settings `hook.yaml` in `settings`.
    pub(super) fn start(bench: &'b Bench<'b>, settings: &Path, further: Further<'_>) -> anyhow::Result<Self> {
        let folder = bench.folder("node")?;
        let config = write(bench, &folder, settings, further)?;
        let containerd = bench.toolbox.program("containerd", "containerd")?;
        let ctr = bench.toolbox.program("containerd", "ctr")?;
        let home = bench.folder("node-home")?;
        let mut command = process::command(&containerd, &home);
        command.arg("-c").arg(&config);
        let socket = folder.join("c.sock");
        let answers = || {
            let mut command = process::command(&ctr, &home);
            command.arg("-a").arg(&socket).arg("version");
            socket.exists() && process::finish(command, Duration::from_secs(10)).is_ok_and(|run| run.success())
        };
        let server = Server::start("containerd", command, &folder.join("log"), answers)?;
        let server = server.stopped_by(Signal::TERM, "TERM")?;
        Ok(Self { config, containerd, bench, ctr, folder, home, _server: server })
    }

    pub(super) fn pull(&self, puller: Puller, reference: &str) -> anyhow::Result<Run> {
        match puller {
            Puller::Ctr => self.ctr(&["image", "pull", "--plain-http", reference]),
            Puller::Crictl => self.crictl(&["pull", reference]),
        }
    }

    /// The names of the images that are there, as the tool prints them.
    pub(super) fn images(&self, puller: Puller) -> anyhow::Result<String> {
        let run = match puller {
            Puller::Ctr => self.ctr(&["image", "ls", "-q"])?,
            Puller::Crictl => self.crictl(&["images", "--output", "json"])?,
        };
        Ok(run.ok()?.stdout)
    }

    pub(super) fn ctr(&self, arguments: &[&str]) -> anyhow::Result<Run> {
        let mut command = process::command(&self.ctr, &self.home);
        command.arg("-a").arg(self.folder.join("c.sock")).args(arguments);
        process::call(command)
    }

    fn crictl(&self, arguments: &[&str]) -> anyhow::Result<Run> {
        let program = self.bench.toolbox.program("crictl", "crictl")?;
        let socket = format!("unix://{}", self.folder.join("c.sock").display());
        let mut command = process::command(&program, &self.home);
        command.args(["-r", &socket, "-i", &socket]).args(arguments);
        process::call(command)
    }
}

/// Writes the configuration, the hook's place and how registries are reached; returns where the configuration is.
pub(super) fn write(
    bench: &Bench<'_>,
    folder: &Path,
    settings: &Path,
    further: Further<'_>,
) -> anyhow::Result<PathBuf> {
    let verifiers = folder.join("verifiers");
    fs::create_dir_all(&verifiers)?;
    let hook = verifiers.join("countersign");
    // A node links the program. A second set of settings takes a wrapper, as the page says.
    let program = bench.programs.path("countersign-verifier");
    let script = format!(
        "#!/bin/sh\nexec '{}' containerd-hook --config '{}' \"$@\"\n",
        program.display(),
        settings.join("hook.yaml").display()
    );
    fs::write(&hook, script)?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(folder.join("certs.d"))?;
    let Further { top, tables } = further;
    // With both, the CRI plugin does not load.
    let certs =
        if tables.contains("registry.mirrors") { String::new() } else { format!("{}/certs.d", folder.display()) };
    let at = folder.display();
    let config = folder.join("config.toml");
    let text = format!(
        "version = 3\nroot = \"{at}/root\"\nstate = \"{at}/state\"\nimports = []\n{top}\
         [grpc]\n  address = \"{at}/c.sock\"\n[ttrpc]\n  address = \"{at}/c.ttrpc\"\n\
         [plugins.\"io.containerd.image-verifier.v1.bindir\"]\n  bin_dir = \"{at}/verifiers\"\n  per_verifier_timeout = \"10s\"\n\
         [plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"{certs}\"\n\
         [plugins.\"io.containerd.nri.v1.nri\"]\n  disable = true\n{tables}"
    );
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    Ok(config)
}
