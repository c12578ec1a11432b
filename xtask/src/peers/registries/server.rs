//! Registries as processes on loopback.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::process::{self, Server};
use super::super::{Bench, http};

/// A registry that people run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ociregistry,
    GoContainerregistry,
    Distribution,
    DockerRegistry,
    Crane,
}

/// How a registry keeps referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// The referrers API as specified: `OCI-Subject`, artifact types, annotations.
    Api,
    /// The referrers API without `OCI-Subject` and annotations, with the media type of the config as artifact type.
    ApiWithoutTypes,
    /// Nothing: whoever attaches something keeps a list under a tag.
    TagSchema,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Ociregistry, Self::GoContainerregistry, Self::Distribution, Self::DockerRegistry, Self::Crane];

    /// Its name in the list of peers.
    pub(crate) const fn peer(self) -> &'static str {
        match self {
            Self::Ociregistry => "ociregistry",
            Self::GoContainerregistry => "go-containerregistry",
            Self::Distribution => "distribution",
            Self::DockerRegistry => "docker-registry",
            Self::Crane => "crane",
        }
    }

    pub(crate) const fn keeps(self) -> Keeps {
        match self {
            Self::Ociregistry => Keeps::Api,
            Self::GoContainerregistry => Keeps::ApiWithoutTypes,
            Self::Distribution | Self::DockerRegistry | Self::Crane => Keeps::TagSchema,
        }
    }

    fn command(self, bench: &Bench<'_>, folder: &Path, address: &str) -> anyhow::Result<Command> {
        let program = match self {
            Self::Distribution => "registry",
            kind => kind.peer(),
        };
        let mut command = process::command(&bench.toolbox.program(self.peer(), program)?, folder);
        match self {
            Self::Ociregistry | Self::GoContainerregistry => command.arg(address),
            Self::Crane => command.args(["registry", "serve", "--address", address]),
            Self::Distribution | Self::DockerRegistry => {
                let config = folder.join("config.yml");
                fs::write(&config, configuration(&folder.join("data"), address))?;
                // Distribution sends traces to a collector on this machine unless told not to.
                command.env("OTEL_TRACES_EXPORTER", "none").arg("serve").arg(config)
            }
        };
        Ok(command)
    }
}

fn configuration(data: &Path, address: &str) -> String {
    format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: \"{address}\"}}\n",
        data.display()
    )
}

/// A registry that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) kind: Kind,
    /// `127.0.0.1:PORT`
    pub(crate) host: String,
    _server: Server,
}

impl Running {
    pub(crate) fn start(bench: &Bench<'_>, kind: Kind) -> anyhow::Result<Self> {
        let folder = bench.folder(kind.peer())?;
        let host = format!("127.0.0.1:{}", process::free_port()?);
        let command = kind.command(bench, &folder, &host)?;
        let base = format!("http://{host}/v2/");
        let server = Server::start(kind.peer(), command, &folder.join("log"), || http::is_up(&base))?;
        Ok(Self { kind, host, _server: server })
    }
}
