//! What the programs sign, and the services that they sign with, all of it behind the network.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sandbox::image::{Image, ImageSpec, multi_platform};
use sandbox::{Options, Sandbox, Service};

use super::network::Network;
use super::record::{Connection, Peer};
use crate::peers::stack::Stack;

/// Two registries behind a network.
pub(crate) struct World {
    pub(crate) network: Network,
    /// The first has the services too.
    sandboxes: Vec<Sandbox>,
    /// Host and port of each registry, as clients see them.
    hosts: Vec<String>,
    /// How many images were pushed so far.
    images: usize,
}

/// The services of a stack, as they are behind the network.
pub(crate) struct Services {
    pub(crate) name: String,
    pub(crate) trusted_root: PathBuf,
    pub(crate) signing_config: PathBuf,
    /// The environment of a job, whose provider is behind the network too.
    pub(crate) ambient: Vec<(String, String)>,
    /// The stack itself: for a token that costs nothing.
    stack: Stack,
}

/// What one run is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) images: usize,
    /// Manifests in each index: platforms and as many attestation manifests.
    pub(crate) children: usize,
    pub(crate) registries: usize,
}

impl Load {
    /// The digests that are signed, in all registries.
    pub(crate) fn digests(&self) -> usize {
        self.images * (self.children + 1) * self.registries
    }
}

impl World {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let network = Network::start()?;
        let sandboxes = vec![Sandbox::start(Options::default())?, Sandbox::start(Options::default())?];
        let mut hosts = Vec::new();
        for (position, sandbox) in sandboxes.iter().enumerate() {
            let address = network.link(Peer::Registry(position + 1), address(&sandbox.registry().url())?)?;
            hosts.push(address.to_string());
        }
        Ok(Self { network, sandboxes, hosts, images: 0 })
    }

    /// The sandbox that has the services.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandboxes[0]
    }

    /// Puts a stack's services behind the network; the signing config that says so goes to a folder.
    pub(crate) fn services(&self, stack: Stack, folder: &Path) -> anyhow::Result<Services> {
        let mut config = fs::read_to_string(&stack.signing_config).context("read the signing config")?;
        let mut ambient = stack.ambient.clone();
        let provider = ambient.iter().find(|(name, _)| name == "ACTIONS_ID_TOKEN_REQUEST_URL");
        let provider = provider.map(|(_, url)| url.clone()).context("the stack has no identity provider")?;
        for (peer, url) in [
            (Peer::Fulcio, &stack.fulcio),
            (Peer::Rekor, &stack.rekor_url),
            (Peer::Tsa, &stack.tsa),
            (Peer::Oidc, &provider),
        ] {
            let direct = origin(url);
            let behind = self.behind(peer, direct)?;
            if peer == Peer::Oidc {
                ambient.iter_mut().for_each(|(_, value)| *value = value.replace(direct, &behind));
            } else {
                ensure!(config.contains(direct), "{direct} is not in the signing config");
                config = config.replace(direct, &behind);
            }
        }
        let signing_config = folder.join(format!("{}.json", stack.name.replace([' ', ','], "-")));
        fs::write(&signing_config, config).context("write the signing config")?;
        let (name, trusted_root) = (stack.name.clone(), stack.trusted_root.clone());
        Ok(Services { name, trusted_root, signing_config, ambient, stack })
    }

    /// Puts a server behind the network, and returns its URL there.
    pub(crate) fn behind(&self, peer: Peer, url: &str) -> anyhow::Result<String> {
        let direct = origin(url);
        Ok(url.replacen(direct, &format!("http://{}", self.network.link(peer, address(url)?)?), 1))
    }

    /// Pushes new images to a new repository of each registry, past the network, and returns their references, by digest.
    pub(crate) fn push(&mut self, load: Load) -> Vec<String> {
        self.images += 1;
        let repository = format!("bench/release-{}", self.images);
        let mut references = Vec::new();
        for number in 0..load.images {
            let image = image(load.children, &format!("{repository}:{number}"));
            for (sandbox, host) in self.sandboxes.iter().zip(&self.hosts).take(load.registries) {
                image.push(sandbox.registry(), &repository, &format!("v{number}"));
                references.push(format!("{host}/{repository}@{}", image.digest()));
            }
        }
        references
    }

    /// Forgets what crossed the network until now.
    pub(crate) fn clear(&self) {
        self.sandboxes.iter().for_each(Sandbox::clear_requests);
        self.network.take();
    }

    /// Returns what crossed the network. Fails where a registry saw other requests than the network carried.
    pub(crate) fn crossed(&self) -> anyhow::Result<Vec<Connection>> {
        let connections = self.network.take();
        for (position, sandbox) in self.sandboxes.iter().enumerate() {
            let peer = Peer::Registry(position + 1);
            let of_peer = connections.iter().filter(|connection| connection.peer == peer);
            let carried: usize = of_peer.map(|connection| connection.exchanges.len()).sum();
            let seen = sandbox.requests_of(Service::Registry).len();
            ensure!(carried == seen, "the network carried {carried} requests, and the {peer} saw {seen}");
        }
        Ok(connections)
    }
}

impl Services {
    /// An identity token, past the network: what a program gets that does not ask for one itself.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        self.stack.token()
    }
}

/// An index with this many manifests, and bytes of its own.
fn image(children: usize, name: &str) -> Image {
    let mut spec = ImageSpec::with_run_script(&format!("#!/bin/sh\n: {name}\n"), Vec::new());
    spec.platforms = (0..children / 2).map(|number| format!("linux/arm/v{number}")).collect();
    multi_platform(&spec)
}

/// Scheme, host and port of a URL, as it spells them.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |end| authority + end);
    &url[..end]
}

/// The address in a URL of this machine.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let host = origin(url).strip_prefix("http://").with_context(|| format!("{url} is not plain http"))?;
    let host = host.replace("localhost", "127.0.0.1");
    host.parse().with_context(|| format!("{url} has no address of this machine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_a_url_and_replaced_as_it_is_spelt() -> anyhow::Result<()> {
        for (url, spelt) in [
            ("http://127.0.0.1:80/a?b", "http://127.0.0.1:80"),
            ("http://localhost:80?a=/", "http://localhost:80"),
            ("http://localhost:80", "http://localhost:80"),
        ] {
            assert_eq!((origin(url), address(url)?), (spelt, ([127, 0, 0, 1], 80).into()));
        }
        for url in ["https://127.0.0.1:80", "http://example.com:80", "http://127.0.0.1", ""] {
            assert!(address(url).is_err(), "{url}");
        }
        Ok(())
    }

    #[test]
    fn an_index_has_as_many_manifests_as_asked_for_and_none_in_common_with_another() {
        for children in [4, 20] {
            let (one, other) = (image(children, "one"), image(children, "other"));
            assert_eq!(one.digests().len(), children + 1);
            assert!(one.digests().iter().all(|digest| !other.digests().contains(digest)));
        }
    }
}
