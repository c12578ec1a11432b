//! What `publish` wrote to two registries at once, as others see it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use sandbox::{Options, Sandbox};
use serde_json::Value;

use super::Bench;
use super::http;
use super::judges;
use super::libraries::{About, Library, Question};
use super::matrix::Section;
use super::process;
use super::referrers;
use super::registries::push;
use super::stack::{Rekor, Stack};

const NAME: &str = "Published to two registries";
const TAGS: [&str; 2] = ["v1", "latest"];

/// A release in one registry.
struct Published {
    column: String,
    /// `HOST/REPOSITORY`
    repository: String,
    /// The index, then what it lists.
    digests: Vec<String>,
}

pub(crate) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Section>> {
    let mut section = Section::new(NAME);
    let with_api = Sandbox::start(Options::default())?;
    let without_api = Sandbox::start(Options { referrers_api: false, ..Options::default() })?;
    for rekor in Rekor::BOTH {
        let folder = bench.folder("published")?;
        let stack = Stack::of_sandbox(&with_api, rekor, &folder)?;
        let hosts = [("referrers API", with_api.registry().host()), ("tag schema", without_api.registry().host())];
        let published = publish(bench, &stack, rekor, &hosts);
        match published {
            Ok(places) => judge(bench, &stack, &places, &mut section),
            Err(error) => section.cell("ours publishes", &rekor.to_string(), || Err::<String, _>(error)),
        }
    }
    Ok(vec![section])
}

/// Pushes the images of two platforms by digest, as their builds do, and publishes them.
fn publish(
    bench: &Bench<'_>,
    stack: &Stack,
    rekor: Rekor,
    hosts: &[(&str, &str); 2],
) -> anyhow::Result<Vec<Published>> {
    let image = push::image("published");
    let cache = "octo/ci-cache";
    for bytes in image.blobs() {
        push::blob(hosts[0].1, cache, bytes)?;
    }
    for platform in &image.platforms {
        push::put(hosts[0].1, cache, &platform.manifest.digest, &platform.manifest)?;
    }
    let name = format!("octo/published-{}", if rekor == Rekor::V1 { 1 } else { 2 });
    let home = bench.folder("signer")?;
    let mut command = process::command(&bench.programs.path("countersign-signer"), &home);
    command.args(["publish", "--output", "json", "--signing-config"]).arg(&stack.signing_config);
    command.arg("--trusted-root").arg(&stack.trusted_root).arg("--from").arg(format!("{}/{cache}", hosts[0].1));
    for (_, host) in hosts {
        command.arg("--repository").arg(format!("{host}/{name}"));
    }
    for tag in TAGS {
        command.args(["--tag", tag]);
    }
    command.args(image.platforms.iter().map(|platform| &platform.manifest.digest));
    command.envs(stack.ambient.iter().cloned());
    let report: Value = serde_json::from_str(&process::call(command)?.ok()?.stdout)?;
    let index = report["index"]["digest"].as_str().context("no index in the report")?;
    let children = image.platforms.iter().map(|platform| platform.manifest.digest.clone());
    let digests: Vec<String> = std::iter::once(index.to_owned()).chain(children).collect();
    Ok(hosts
        .iter()
        .map(|(column, host)| Published {
            column: format!("{rekor}, {column}"),
            repository: format!("{host}/{name}"),
            digests: digests.clone(),
        })
        .collect())
}

fn judge(bench: &Bench<'_>, stack: &Stack, places: &[Published], section: &mut Section) {
    for place in places {
        let tags = TAGS.map(|tag| format!("{}:{tag}", place.repository));
        let by_digest = place.digests.iter().map(|digest| format!("{}@{digest}", place.repository));
        let references: Vec<String> = tags.into_iter().chain(by_digest).collect();
        let shown = format!("{} references", references.len());
        section.cell("ours verifies", &place.column, || {
            judges::ours_of(bench, stack, &stack.identity, &references)?.accepted()?;
            Ok(shown.clone())
        });
        section.cell("cosign verifies", &place.column, || {
            judges::cosign_of(bench, "cosign", stack, &stack.identity, &references)?.accepted()?;
            Ok(shown.clone())
        });
        section.cell("cosign refuses another signer", &place.column, || {
            let other = "https://github.com/octo/another/.github/workflows/release.yml@refs/heads/main";
            judges::cosign_of(bench, "cosign", stack, other, &references[..1])?.refused()
        });
        section.cell("sigstore-python verifies", &place.column, || python(bench, stack, place));
    }
}

/// The library is given each bundle that the registry lists, and the manifest that it has to be for.
fn python(bench: &Bench<'_>, stack: &Stack, place: &Published) -> anyhow::Result<String> {
    let folder = bench.folder("bundles")?;
    let mut questions = Vec::new();
    for (position, digest) in place.digests.iter().enumerate() {
        let found = referrers::with_bundles(&place.repository, digest)?;
        ensure!(found.len() == 1, "{digest} has {} bundles", found.len());
        let bundle = folder.join(format!("{position}.sigstore.json"));
        fs::write(&bundle, &found[0].bundle)?;
        let artifact = manifest(place, digest, folder.join(format!("{position}.json")))?;
        questions.push(Question {
            about: About::Bundle { bundle, artifact },
            identity: stack.identity.clone(),
            issuer: stack.issuer.clone(),
        });
    }
    for answer in Library::Python.ask(bench, &stack.trusted_root, &questions)? {
        answer.accepted()?;
    }
    Ok(format!("{} digests", questions.len()))
}

fn manifest(place: &Published, digest: &str, path: PathBuf) -> anyhow::Result<PathBuf> {
    let (host, name) = place.repository.split_once('/').context("no host")?;
    let url = format!("http://{host}/v2/{name}/manifests/{digest}");
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let answer = http::get(&url, &[("accept", accept)])?;
    ensure!(answer.status == 200, "{url} answers {}", answer.status);
    fs::write(&path, &answer.body)?;
    Ok(path)
}
