//! What a registry lists for a subject, and the bundles behind it: libraries read no registry, so this program does.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::http::{self, Answer};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A referrer with a bundle.
#[derive(Clone, Debug)]
pub(crate) struct Referrer {
    pub(crate) digest: String,
    /// The entry of the list.
    pub(crate) descriptor: Value,
    pub(crate) manifest: Value,
    pub(crate) bundle: Vec<u8>,
}

/// Returns the referrers of a digest in `HOST/REPOSITORY` that hold a bundle, from the API or, where there is none, from the tag.
pub(crate) fn with_bundles(repository: &str, digest: &str) -> anyhow::Result<Vec<Referrer>> {
    let mut referrers = Vec::new();
    for descriptor in descriptors(repository, digest)? {
        let found = descriptor["digest"].as_str().context("an entry without digest")?.to_owned();
        let manifest = get(repository, &format!("manifests/{found}"), MANIFEST)?.json()?;
        let [layer] = manifest["layers"].as_array().map_or(&[][..], Vec::as_slice) else { continue };
        let media_type = layer["mediaType"].as_str().unwrap_or_default();
        if !media_type.starts_with("application/vnd.dev.sigstore.bundle") {
            continue;
        }
        let blob = layer["digest"].as_str().context("a layer without digest")?;
        let bundle = get(repository, &format!("blobs/{blob}"), "*/*")?;
        ensure!(bundle.status == 200, "{blob} in {repository} answers {}", bundle.status);
        referrers.push(Referrer { digest: found, descriptor, manifest, bundle: bundle.body });
    }
    Ok(referrers)
}

/// Returns the entries of the list of a digest's referrers, whatever they are.
pub(crate) fn descriptors(repository: &str, digest: &str) -> anyhow::Result<Vec<Value>> {
    let listed = match get(repository, &format!("referrers/{digest}"), INDEX)? {
        answer if answer.status == 200 => answer.json()?,
        answer if answer.status == 404 => {
            let tag = get(repository, &format!("manifests/{}", digest.replace(':', "-")), INDEX)?;
            match tag.status {
                200 => tag.json()?,
                404 => return Ok(Vec::new()),
                status => bail!("the tag of the referrers of {digest} answers {status}"),
            }
        }
        answer => bail!("the referrers of {digest} answer {}", answer.status),
    };
    Ok(listed["manifests"].as_array().cloned().unwrap_or_default())
}

fn get(repository: &str, path: &str, accept: &str) -> anyhow::Result<Answer> {
    let (host, name) = repository.split_once('/').with_context(|| format!("{repository} has no host"))?;
    http::get(&format!("http://{host}/v2/{name}/{path}"), &[("accept", accept)])
}
