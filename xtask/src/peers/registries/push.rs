//! Pushes images over plain HTTP, as the distribution specification says and no more.

use anyhow::{Context as _, ensure};
use sandbox::digest_of;
use sandbox::image::{self, Image, ImageSpec, Manifest};

use super::super::http;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image in a registry.
pub(crate) struct Pushed {
    pub(crate) image: Image,
    /// `HOST/REPOSITORY`
    pub(crate) repository: String,
    /// `HOST/REPOSITORY:TAG`
    pub(crate) by_tag: String,
}

impl Pushed {
    /// `HOST/REPOSITORY@DIGEST` of the index and of each manifest in it.
    pub(crate) fn by_digest(&self) -> Vec<String> {
        self.image.digests().iter().map(|digest| format!("{}@{digest}", self.repository)).collect()
    }

    /// The same image under the same tag in another repository.
    pub(crate) fn elsewhere(&self, host: &str, repository: &str) -> Self {
        Self::in_repository(host, repository, self.image.clone())
    }

    fn in_repository(host: &str, repository: &str, image: Image) -> Self {
        let repository = format!("{host}/{repository}");
        Self { image, by_tag: format!("{repository}:v1"), repository }
    }

    /// The tag, and every digest.
    pub(crate) fn references(&self) -> Vec<String> {
        [vec![self.by_tag.clone()], self.by_digest()].concat()
    }
}

/// An index with two platforms and two attestation manifests, whose `run.sh` says the name.
pub(crate) fn image(name: &str) -> Image {
    let script = format!("#!/bin/sh\necho {name} is running\n");
    image::multi_platform(&ImageSpec::with_run_script(&script, Vec::new()))
}

/// Pushes an image under the tag `v1`.
pub(crate) fn push(host: &str, repository: &str, image: Image) -> anyhow::Result<Pushed> {
    for bytes in image.blobs() {
        blob(host, repository, bytes)?;
    }
    for manifest in image.platforms.iter().map(|platform| &platform.manifest).chain(&image.attestations) {
        put(host, repository, &manifest.digest, manifest)?;
    }
    put(host, repository, "v1", &image.index)?;
    Ok(Pushed::in_repository(host, repository, image))
}

/// Pushes a blob in one piece.
pub(crate) fn blob(host: &str, repository: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let session = http::send("POST", &format!("http://{host}/v2/{repository}/blobs/uploads/"), &[], b"")?;
    ensure!(session.status == 202, "an upload cannot begin: {}", said(&session));
    let location = session.header("location").context("an upload without location")?;
    let place = if location.starts_with('/') { format!("http://{host}{location}") } else { location.to_owned() };
    let separator = if place.contains('?') { '&' } else { '?' };
    let place = format!("{place}{separator}digest={}", digest_of(bytes));
    let stored = http::send("PUT", &place, &[("content-type", "application/octet-stream")], bytes)?;
    ensure!(stored.status == 201, "a blob is refused: {}", said(&stored));
    Ok(())
}

/// Puts a manifest under a tag or its digest.
pub(crate) fn put(host: &str, repository: &str, name: &str, manifest: &Manifest) -> anyhow::Result<http::Answer> {
    let url = format!("http://{host}/v2/{repository}/manifests/{name}");
    let stored = http::send("PUT", &url, &[("content-type", &manifest.media_type)], &manifest.bytes)?;
    ensure!(stored.status == 201, "{name} is refused: {}", said(&stored));
    Ok(stored)
}

fn said(answer: &http::Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}
