//! A repository as an OCI image layout, in the ways in which tools write one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::RegistryHandle;

/// Whose way to write a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutStyle {
    /// `oras copy -r --to-oci-layout`: every manifest is listed, referrers and children too.
    Oras,
    /// `regctl image copy --referrers`: what has a tag is listed; referrers are under the referrers tag schema.
    Regctl,
    /// containerd's and docker's export, `skopeo` and `crane`: what has a tag is listed, by its whole name, and no
    /// referrer is there.
    Docker,
}

impl RegistryHandle {
    /// Writes a repository into a folder. Existing files of the same names are replaced.
    pub fn write_layout(&self, repository: &str, folder: &Path, style: LayoutStyle) -> anyhow::Result<()> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("make the folder {}", blobs.display()))?;
        let write = |digest: &str, bytes: &[u8]| {
            let path = blobs.join(digest.trim_start_matches("sha256:"));
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
        };
        let mut listed = Vec::new();
        let mut referrers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let tags: Vec<(String, String)> = self
            .tags(repository)
            .into_iter()
            // The list of referrers has a tag too, which nobody exports who exports an image by its own.
            .filter(|tag| style != LayoutStyle::Docker || !tag.starts_with("sha256-"))
            .filter_map(|tag| Some((self.get_manifest(repository, &tag)?.digest, tag)))
            .collect();
        for digest in self.manifests(repository) {
            let Some(manifest) = self.get_manifest(repository, &digest) else { continue };
            let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
            let subject = document["subject"]["digest"].as_str();
            if style == LayoutStyle::Docker && subject.is_some() {
                continue;
            }
            write(&digest, &manifest.bytes)?;
            let below = [&document["config"]].into_iter().chain(document["layers"].as_array().into_iter().flatten());
            for digest in below.filter_map(|descriptor| descriptor["digest"].as_str()) {
                if let Some(bytes) = self.get_blob(digest) {
                    write(digest, &bytes)?;
                }
            }
            let descriptor =
                json!({ "mediaType": manifest.media_type, "digest": digest, "size": manifest.bytes.len() });
            if let Some(subject) = subject {
                referrers.entry(subject.to_owned()).or_default().push(descriptor.clone());
            }
            let mut named = false;
            for (_, tag) in tags.iter().filter(|(of, _)| *of == digest) {
                let mut entry = descriptor.clone();
                entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
                if style == LayoutStyle::Docker {
                    let name = format!("{}/{repository}:{tag}", self.host());
                    entry["annotations"]["io.containerd.image.name"] = name.into();
                }
                listed.push(entry);
                named = true;
            }
            if !named && style == LayoutStyle::Oras {
                listed.push(descriptor);
            }
        }
        if style == LayoutStyle::Regctl {
            for (subject, entries) in referrers {
                let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
                let digest = crate::digest_of(index.as_bytes());
                write(&digest, index.as_bytes())?;
                let name = subject.replace(':', "-");
                listed.push(json!({
                    "mediaType": INDEX, "digest": digest, "size": index.len(),
                    "annotations": { "org.opencontainers.image.ref.name": name },
                }));
            }
        }
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": listed });
        fs::write(folder.join("index.json"), index.to_string()).context("write index.json")?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).context("write oci-layout")
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
