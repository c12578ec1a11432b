//! What a registry lists as referrers, read with nobody's client.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::super::http;
use super::server::Keeps;

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// The referrers of one digest.
pub(crate) struct Listing {
    entries: Vec<Value>,
    by_api: bool,
    has_tag: bool,
}

impl Listing {
    /// Reads the referrers API and the tag of the tag schema.
    pub(crate) fn of(repository: &str, digest: &str) -> anyhow::Result<Self> {
        let (host, name) = repository.split_once('/').context("a repository without host")?;
        let api = http::get(&format!("http://{host}/v2/{name}/referrers/{digest}"), &[])?;
        let tag = digest.replace(':', "-");
        let tag = http::get(&format!("http://{host}/v2/{name}/manifests/{tag}"), &[("accept", OCI_INDEX)])?;
        let has_tag = match tag.status {
            200 => true,
            404 => false,
            status => bail!("the referrers tag answers {status}"),
        };
        let (by_api, source) = match api.status {
            200 => (true, Some(api)),
            404 => (false, Some(tag).filter(|_| has_tag)),
            status => bail!("the referrers API answers {status}"),
        };
        let Some(source) = source else { return Ok(Self { entries: Vec::new(), by_api, has_tag }) };
        let found = source.header("content-type").unwrap_or_default();
        ensure!(found == OCI_INDEX, "the list of referrers has the type `{found}`");
        let entries = source.json()?["manifests"].as_array().cloned().context("a list without manifests")?;
        Ok(Self { entries, by_api, has_tag })
    }

    /// The digests that are listed.
    pub(crate) fn digests(&self) -> BTreeSet<String> {
        self.entries.iter().filter_map(|entry| entry["digest"].as_str().map(ToOwned::to_owned)).collect()
    }

    /// Fails unless a referrer of ours is listed where and how this registry lists.
    pub(crate) fn check(&self, referrer: &str, keeps: Keeps) -> anyhow::Result<()> {
        let entry = self.entries.iter().find(|entry| entry["digest"] == referrer);
        let entry = entry.with_context(|| format!("{referrer} is not listed"))?;
        let by_api = keeps != Keeps::TagSchema;
        ensure!(self.by_api == by_api, "listed by {}", if self.by_api { "the referrers API" } else { "a tag" });
        ensure!(self.has_tag != by_api, "there is {} referrers tag", if self.has_tag { "a" } else { "no" });
        let expected = if keeps == Keeps::ApiWithoutTypes { EMPTY } else { BUNDLE };
        ensure!(entry["artifactType"] == expected, "the artifact type is {}", entry["artifactType"]);
        let is_annotated = entry["annotations"][PREDICATE_TYPE] == "https://sigstore.dev/cosign/sign/v1";
        ensure!(is_annotated == (keeps != Keeps::ApiWithoutTypes), "the annotations are {}", entry["annotations"]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(entry: Value, by_api: bool) -> Listing {
        Listing { entries: vec![entry], by_api, has_tag: !by_api }
    }

    fn entry() -> Value {
        let annotations = json!({PREDICATE_TYPE: "https://sigstore.dev/cosign/sign/v1"});
        json!({"digest": "sha256:aa", "artifactType": BUNDLE, "annotations": annotations})
    }

    #[test]
    fn a_referrer_must_be_listed_where_and_how_the_registry_lists() {
        let bare = json!({"digest": "sha256:aa", "artifactType": EMPTY});
        assert!(listing(entry(), true).check("sha256:aa", Keeps::Api).is_ok());
        assert!(listing(entry(), false).check("sha256:aa", Keeps::TagSchema).is_ok());
        assert!(listing(bare.clone(), true).check("sha256:aa", Keeps::ApiWithoutTypes).is_ok());
        assert!(listing(entry(), true).check("sha256:bb", Keeps::Api).is_err(), "another digest");
        assert!(listing(entry(), false).check("sha256:aa", Keeps::Api).is_err(), "another place");
        assert!(listing(entry(), true).check("sha256:aa", Keeps::ApiWithoutTypes).is_err(), "it has learnt types");
        assert!(listing(bare, true).check("sha256:aa", Keeps::Api).is_err(), "no type");
        let mut unannotated = entry();
        unannotated["annotations"] = Value::Null;
        assert!(listing(unannotated, false).check("sha256:aa", Keeps::TagSchema).is_err(), "no annotations");
        let both = Listing { has_tag: true, ..listing(entry(), true) };
        assert!(both.check("sha256:aa", Keeps::Api).is_err(), "a tag where there is an API");
    }
}
