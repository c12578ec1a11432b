//! The referrers API of distribution-spec 1.1.

use http::StatusCode;
use http::header::HeaderName;
use serde_json::{Value, json};

use super::envelope::{digest_invalid, method_not_allowed};
use super::listing::linked;
use super::store::{Manifest, Store, is_digest};
use super::{ReferrersApi, Registry};
use crate::exchange::{Call, Reply};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Registry {
    pub(super) fn referrers(&self, call: &Call, repository: &str, subject: &str) -> Reply {
        let api = self.behaviour().referrers;
        if api == ReferrersApi::Absent {
            return Reply::not_found();
        }
        if !matches!(call.method.as_str(), "GET" | "HEAD") {
            return method_not_allowed("GET");
        }
        if !is_digest(subject) {
            return digest_invalid(subject);
        }
        let types = call.query_values("artifactType");
        let mut listed = descriptors(&crate::lock(&self.store), repository, subject, api);
        listed.retain(|descriptor| types.is_empty() || types.iter().any(|of| descriptor["artifactType"] == **of));
        let (page, link) = self.page(call, &listed, |descriptor| descriptor["digest"].as_str().unwrap_or_default());
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": page });
        let reply = Reply::bytes(StatusCode::OK, INDEX, index.to_string());
        let reply = if types.is_empty() { reply } else { reply.header(FILTERS_APPLIED, "artifactType") };
        linked(reply, link)
    }
}

/// The descriptors of the manifests that name a subject, by digest.
pub(super) fn descriptors(store: &Store, repository: &str, subject: &str, api: ReferrersApi) -> Vec<Value> {
    let manifests = store.repositories.get(repository).into_iter().flat_map(|content| &content.manifests);
    manifests.filter_map(|(digest, manifest)| descriptor(digest, manifest, subject, api)).collect()
}

fn descriptor(digest: &str, manifest: &Manifest, subject: &str, api: ReferrersApi) -> Option<Value> {
    if manifest.subject.as_deref() != Some(subject) {
        return None;
    }
    let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    let mut descriptor = json!({ "mediaType": manifest.media_type, "digest": digest, "size": manifest.bytes.len() });
    let config_type = &document["config"]["mediaType"];
    let artifact_type = match (&document["artifactType"], api) {
        (_, ReferrersApi::ConfigTypes) | (Value::Null, _) => config_type,
        (stated, _) => stated,
    };
    if artifact_type.is_string() {
        descriptor["artifactType"] = artifact_type.clone();
    }
    if document["annotations"].is_object() && api == ReferrersApi::Complete {
        descriptor["annotations"] = document["annotations"].clone();
    }
    Some(descriptor)
}
