//! One sandbox with one kind of registry and one generation of the log, and the images in it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{Options, RegistryHandle, Sandbox, digest_of};
use serde_json::{Value, json};

use crate::peers::Bench;
use crate::peers::referrers::{self, Referrer};
use crate::peers::stack::{Rekor, Stack};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Services and a registry of their own.
pub(crate) struct World {
    pub(crate) stack: Stack,
    sandbox: Sandbox,
    referrers_api: bool,
    folder: PathBuf,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listing = if self.referrers_api { "referrers API" } else { "tag schema" };
        write!(f, "{listing}, {}", self.stack.rekor)
    }
}

impl World {
    pub(crate) fn start(bench: &Bench<'_>, referrers_api: bool, rekor: Rekor) -> anyhow::Result<Self> {
        let folder = bench.folder("world")?;
        let sandbox = Sandbox::start(Options { referrers_api, ..Options::default() })?;
        let stack = Stack::of_sandbox(&sandbox, rekor, &folder)?;
        Ok(Self { stack, sandbox, referrers_api, folder })
    }

    /// Other services, with a registry of the sandbox's.
    pub(crate) fn with(bench: &Bench<'_>, stack: Stack) -> anyhow::Result<Self> {
        let sandbox = Sandbox::start(Options::default())?;
        Ok(Self { stack, sandbox, referrers_api: true, folder: bench.folder("world")? })
    }

    pub(crate) fn has_referrers_api(&self) -> bool {
        self.referrers_api
    }

    /// A second registry of the same kind, empty.
    pub(crate) fn another_registry(&self) -> anyhow::Result<Sandbox> {
        Sandbox::start(Options { referrers_api: self.referrers_api, ..Options::default() })
    }

    /// Pushes an index with 2 platforms and 2 attestation manifests, all of whose digests are its own.
    pub(crate) fn push(&self, name: &str) -> Pushed {
        self.push_spec(name, |_| {})
    }

    /// Pushes an index with a single platform and no attestation manifest.
    pub(crate) fn push_single(&self, name: &str) -> Pushed {
        self.push_spec(name, |spec| {
            spec.platforms.truncate(1);
            spec.attestations = false;
        })
    }

    fn push_spec(&self, name: &str, change: impl FnOnce(&mut ImageSpec)) -> Pushed {
        let mut spec = ImageSpec::with_run_script(&format!("#!/bin/sh\necho {name}\n"), Vec::new());
        change(&mut spec);
        let image = image::multi_platform(&spec);
        let (repository, tag) = name.split_once(':').unwrap_or((name, "v1"));
        image.push(self.sandbox.registry(), repository, tag);
        Pushed { image, repository: format!("{}/{repository}", self.sandbox.registry().host()), tag: tag.to_owned() }
    }

    /// Writes the manifest of a digest to a file, for those who verify files.
    pub(crate) fn manifest_file(&self, pushed: &Pushed, digest: &str) -> anyhow::Result<PathBuf> {
        let manifest = self.sandbox.registry().get_manifest(pushed.name(), digest);
        let manifest = manifest.with_context(|| format!("{} has no {digest}", pushed.repository))?;
        self.write(digest, "manifest.json", &manifest.bytes)
    }

    /// Reads the one bundle of a digest as anybody would read it, and writes it to a file.
    pub(crate) fn bundle_file(&self, pushed: &Pushed, digest: &str) -> anyhow::Result<PathBuf> {
        let referrer = one_referrer(&pushed.repository, digest)?;
        self.write(digest, "bundle.json", &referrer.bundle)
    }

    /// Attaches the bundle of one image's index to another image's, as somebody who can write to the repository may do.
    pub(crate) fn copy_signature(&self, from: &Pushed, to: &Pushed) -> anyhow::Result<()> {
        let referrer = one_referrer(&from.repository, from.image.digest())?;
        let registry = self.sandbox.registry();
        registry.put_blob(to.name(), referrer.bundle);
        let mut manifest = referrer.manifest;
        let index = &to.image.index;
        manifest["subject"] = json!({"mediaType": index.media_type, "size": index.bytes.len(), "digest": index.digest});
        let bytes = manifest.to_string();
        registry.put_manifest(to.name(), &digest_of(bytes.as_bytes()), MANIFEST, bytes.clone());
        if !self.referrers_api {
            list_under_tag(registry, to, &referrer.descriptor, &bytes);
        }
        let listed = referrers::with_bundles(&to.repository, to.image.digest())?;
        ensure!(listed.len() == 1, "the copied bundle is not listed");
        Ok(())
    }

    pub(crate) fn registry(&self) -> &RegistryHandle {
        self.sandbox.registry()
    }

    /// Writes a file of a digest, and returns where it is.
    pub(crate) fn write(&self, digest: &str, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        write(&self.folder, &format!("{}.{name}", digest.replace(':', "-")), bytes)
    }
}

/// A pushed image.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) image: Image,
    /// `HOST/REPOSITORY`
    pub(crate) repository: String,
    tag: String,
}

impl Pushed {
    /// `HOST/REPOSITORY:TAG@DIGEST`
    pub(crate) fn pinned(&self) -> String {
        format!("{}:{}@{}", self.repository, self.tag, self.image.digest())
    }

    /// `HOST/REPOSITORY@DIGEST`
    pub(crate) fn at(&self, digest: &str) -> String {
        format!("{}@{digest}", self.repository)
    }

    /// The repository without the host.
    pub(crate) fn name(&self) -> &str {
        self.repository.split_once('/').map_or(&self.repository, |(_, name)| name)
    }
}

/// Returns the only referrer with a bundle that a digest has.
pub(crate) fn one_referrer(repository: &str, digest: &str) -> anyhow::Result<Referrer> {
    let mut referrers = referrers::with_bundles(repository, digest)?;
    ensure!(referrers.len() == 1, "{repository}@{digest} has {} referrers with a bundle", referrers.len());
    referrers.pop().context("no referrer")
}

fn list_under_tag(registry: &RegistryHandle, to: &Pushed, like: &Value, manifest: &str) {
    let mut descriptor = like.clone();
    descriptor["digest"] = json!(digest_of(manifest.as_bytes()));
    descriptor["size"] = json!(manifest.len());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
    registry.put_manifest(to.name(), &to.image.digest().replace(':', "-"), INDEX, index.to_string());
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
