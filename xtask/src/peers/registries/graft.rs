//! A signature of one image, attached to another: what anyone can do who may write to a repository.

use anyhow::{Context as _, ensure};
use sandbox::image::Manifest;
use serde_json::{Value, json};

use super::super::http;
use super::super::referrers::{self, Referrer};
use super::listing::{BUNDLE, OCI_INDEX};
use super::push::{self, OCI_MANIFEST, Pushed};

/// Attaches the signature of the first image's index to the second's, in the second's repository.
pub(crate) fn graft(from: &Pushed, to: &Pushed) -> anyhow::Result<()> {
    let found = referrers::with_bundles(&from.repository, from.image.digest())?;
    let referrer = found.first().context("there is no signature to attach elsewhere")?;
    let (host, name) = to.repository.split_once('/').context("a repository without host")?;
    push::blob(host, name, b"{}")?;
    push::blob(host, name, &referrer.bundle)?;
    let manifest = about(referrer, &to.image.index);
    push::put(host, name, &manifest.digest, &manifest)?;
    let api = http::get(&format!("http://{host}/v2/{name}/referrers/{}", to.image.digest()), &[])?;
    if api.status == 404 {
        let tag = to.image.digest().replace(':', "-");
        push::put(host, name, &tag, &index_of(&manifest))?;
    }
    let listed = referrers::with_bundles(&to.repository, to.image.digest())?;
    ensure!(
        listed.iter().any(|one| one.digest == manifest.digest),
        "the signature is not listed where it was attached"
    );
    Ok(())
}

/// The referrer's manifest with another subject.
fn about(referrer: &Referrer, subject: &Manifest) -> Manifest {
    let mut manifest = referrer.manifest.clone();
    let size = subject.bytes.len();
    manifest["subject"] = json!({"mediaType": subject.media_type, "digest": subject.digest, "size": size});
    Manifest::new(OCI_MANIFEST, manifest.to_string())
}

/// What the tag of the tag schema holds.
fn index_of(manifest: &Manifest) -> Manifest {
    let entry = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "artifactType": BUNDLE,
    });
    let index: Value = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    Manifest::new(OCI_INDEX, index.to_string())
}
