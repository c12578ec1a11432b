//! An inspection as a tree for people.

mod bundle;

use std::collections::HashSet;

use crate::branch::Branch;
use crate::evidence::Gap;
use crate::report::line;

use super::claims::WouldRefuse;
use super::size::size;
use super::{Inspection, ManifestView, OlderTagView, ReferrerView};

/// How many referrers of one manifest are printed; the JSON has them all.
const REFERRERS: usize = 100;
/// How many layers of one manifest are printed; the JSON has them all.
const LAYERS: usize = 50;
/// How the places of cosign's older tags begin, and what is said of one that is not there.
const OLDER_TAG: &str = "cosign tag ";
const ABSENT: &str = "absent";

/// Returns what was seen as a tree. Says first and last that nothing of it is checked.
#[must_use]
pub fn text(inspection: &Inspection) -> String {
    let mut text = String::new();
    line(&mut text, &inspection.reference);
    line(&mut text, "Everything below is claimed by the registry and by bundles: unverified claims.");
    if inspection.platform.is_some() {
        line(&mut text, "Only one platform was looked at: what is beside the index, and covers it, is left out.");
    }
    line(&mut text, "");
    if let Some(manifest) = &inspection.manifest {
        Branch::manifest(manifest, &mut HashSet::new()).print(&mut text, "");
    }
    line(&mut text, "");
    if let Some(error) = &inspection.error {
        line(&mut text, &format!("{}: what is shown is not all there is.", error.message));
    }
    line(&mut text, "Nothing above is proof of anything. To find out whether it is signed as you want it:");
    line(&mut text, &format!("  {}", inspection.verify_with));
    text
}

impl Branch {
    /// `bundles` are those that were shown: one bundle can lie beside an index and each of its children.
    fn manifest(manifest: &ManifestView, bundles: &mut HashSet<String>) -> Self {
        let platform = manifest.platform.as_deref().map(|platform| format!(" {platform}")).unwrap_or_default();
        let layers = match manifest.layers_size {
            Some(bytes) if manifest.layers.is_empty() => format!(", {} of layers in all, each once", size(bytes)),
            Some(bytes) => format!(", {} in {}", size(bytes), counted(manifest.layers.len(), "layer")),
            None => String::new(),
        };
        let (kind, digest, bytes) = (manifest.kind, &manifest.digest, size(manifest.size));
        let mut branch = Self::new(format!("{kind}{platform} {digest}, {}, {bytes}{layers}", manifest.media_type));
        if let Some(gap) = &manifest.unreadable {
            branch.add(format!("could not be read: {}", gap.detail));
        }
        branch.add_some("note:", manifest.note);
        branch.add_some("artifact type", manifest.artifact_type.as_deref());
        branch.add_some("describes", manifest.describes.as_deref());
        branch.add_some("refers to", manifest.subject.as_deref());
        branch.add_blobs(manifest);
        branch.add_places(manifest);
        for Gap { detail, .. } in &manifest.gaps {
            branch.add(format!("not seen: {detail}"));
        }
        branch.add_referrers(manifest, bundles);
        branch.add_bundled_children(manifest);
        branch.below.extend(manifest.older_tags.iter().map(Self::older_tag));
        branch.below.extend(manifest.children.iter().map(|child| Self::manifest(child, bundles)));
        if manifest.children_omitted > 0 {
            branch.add(format!("not shown: {} further entries, because a limit is reached", manifest.children_omitted));
        }
        branch
    }

    fn add_blobs(&mut self, manifest: &ManifestView) {
        if let Some(config) = &manifest.config {
            self.add(format!("config {}, {}, {}", config.digest, config.media_type, size(config.size)));
        }
        for layer in manifest.layers.iter().take(LAYERS) {
            let predicate = layer.predicate_type.as_deref().map(|kind| format!(", states {kind}")).unwrap_or_default();
            self.add(format!("layer {}, {}, {}{predicate}", layer.digest, layer.media_type, size(layer.size)));
        }
        if manifest.layers.len() > LAYERS {
            self.add(format!("and {} further layers: --output json lists them", manifest.layers.len() - LAYERS));
        }
    }

    /// Every place; older tags that are not there in one line.
    fn add_places(&mut self, manifest: &ManifestView) {
        let mut absent = Vec::new();
        for place in &manifest.looked_at {
            match place.place.strip_prefix(OLDER_TAG).and_then(|tag| tag.rsplit_once('.')) {
                Some((_, suffix)) if place.found == ABSENT => absent.push(format!(".{suffix}")),
                _ => self.add(format!("looked at {}: {}", place.place, place.found)),
            }
        }
        if !absent.is_empty() {
            self.add(format!("looked at cosign tags of this digest, {}: {ABSENT}", absent.join(", ")));
        }
    }

    fn add_referrers(&mut self, manifest: &ManifestView, bundles: &mut HashSet<String>) {
        let shown = manifest.referrers.iter().take(REFERRERS);
        self.below.extend(shown.map(|referrer| Self::referrer(referrer, bundles)));
        if manifest.referrers.len() > REFERRERS {
            let further = manifest.referrers.len() - REFERRERS;
            self.add(format!("and {further} further referrers: --output json lists them"));
        }
        if manifest.not_examined > 0 {
            self.add(format!("not opened: {} referrers, because a limit is reached", manifest.not_examined));
        }
    }

    /// Whoever signed children and not their index finds out here why nothing is found.
    fn add_bundled_children(&mut self, manifest: &ManifestView) {
        let (images, bundled) = manifest.bundled_images();
        if manifest.kind == "image index" && bundled > 0 && !manifest.has_bundle() {
            let have = if bundled == 1 { "has a bundle" } else { "have bundles" };
            let of = counted(images, "image manifest");
            self.add(format!(
                "note: {bundled} of its {of} {have}, the index has none: a bundle beside it is what counts"
            ));
        }
    }

    fn referrer(referrer: &ReferrerView, bundles: &mut HashSet<String>) -> Self {
        let kind = referrer.artifact_type.as_deref().unwrap_or("of no stated type");
        let listed = referrer.size.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
        let word = match referrer.is {
            "bundle" => "referrer",
            "older-cosign" => "older cosign referrer",
            "foreign" => "foreign referrer",
            "not-examined" => "referrer, not opened,",
            "unreadable" => "referrer that could not be read",
            _ => "referrer that cannot be used",
        };
        let mut branch = Self::new(format!("{word} {}, {kind}{listed}", referrer.digest));
        branch.add_some("listed with another type:", referrer.listed_artifact_type.as_deref());
        for layer in &referrer.layers {
            let title = layer.title.as_deref().map(|title| format!(", named {title}")).unwrap_or_default();
            let predicate = layer.predicate_type.as_deref().map(|kind| format!(", states {kind}")).unwrap_or_default();
            branch.add(format!("holds {}, {}{title}{predicate}", layer.media_type, size(layer.size)));
        }
        if let Some(why) = referrer.why.as_ref().filter(|_| referrer.is != "foreign") {
            branch.add_refusal("", why);
        }
        if let Some(claims) = &referrer.bundle {
            let is_new = bundles.insert(claims.digest.clone());
            branch.below.push(if is_new { Self::bundle(claims) } else { Self::bundle_again(claims) });
        }
        branch
    }

    fn older_tag(found: &OlderTagView) -> Self {
        let entries = if found.entries == 1 { "entry" } else { "entries" };
        let mut branch = Self::new(format!(
            "older cosign tag {}, {}, {}, {} {entries}",
            found.tag,
            found.digest,
            size(found.size),
            found.entries
        ));
        branch.add(found.is);
        branch.add_some("hint:", found.hint);
        branch
    }

    fn add_refusal(&mut self, before: &str, refusal: &WouldRefuse) {
        let mut branch = Self::new(format!("{before}{} ({})", refusal.reason, refusal.code));
        branch.add_some("hint:", refusal.hint);
        self.below.push(branch);
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use countersign_oci::index::{Descriptor, Manifest};
    use countersign_oci::{Digest, ImageReference, media_type};
    use serde_json::json;

    use super::*;
    use crate::evidence::{Candidate, Content, Place};
    use crate::reason::{OlderForm, Reason};

    fn read(descriptor: &serde_json::Value, document: &serde_json::Value) -> ManifestView {
        let bytes = document.to_string();
        let entry: Descriptor = serde_json::from_value(descriptor.clone()).unwrap();
        let manifest = Manifest::parse(bytes.as_bytes(), None).unwrap();
        ManifestView::entry(&entry).read(Digest::of(b"manifest"), bytes.len() as u64, &manifest)
    }

    fn descriptor(kind: &str, size: u64) -> serde_json::Value {
        json!({"mediaType": kind, "digest": Digest::of(kind.as_bytes()), "size": size})
    }

    fn image(platform: &serde_json::Value, annotations: &serde_json::Value) -> ManifestView {
        let mut entry = descriptor(media_type::OCI_MANIFEST, 500);
        entry["platform"] = platform.clone();
        entry["annotations"] = annotations.clone();
        let mut layer = descriptor("application/vnd.in-toto+json", 3 << 20);
        layer["annotations"] = json!({"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"});
        let document = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, 2), "layers": [layer],
        });
        read(&entry, &document)
    }

    fn candidate(kind: &str, content: Content) -> Candidate {
        let mut candidate = Candidate::from_referrer(Digest::of(kind.as_bytes()), content);
        let mut listed = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(kind.as_bytes()), 875);
        listed.artifact_type = Some(media_type::EMPTY.to_owned());
        candidate.listed = Some(listed);
        candidate.artifact_type = Some(kind.to_owned());
        candidate
    }

    fn inspection(candidates: &[Candidate]) -> Inspection {
        let reference: ImageReference = "registry.example/octo/app:v1".parse().unwrap();
        let digest = Digest::of(b"index");
        let document = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
        let mut index = read(&descriptor(media_type::OCI_INDEX, 1), &document);
        index.looked_at = vec![
            Place::new("referrers API", "404"),
            Place::new("referrers tag schema", "200, 2 entries: 1 bundle, 1 foreign"),
            Place::new("cosign tag sha256-00.sig", "present"),
            Place::new("cosign tag sha256-00.att", "absent"),
            Place::new("cosign tag sha256-00.sbom", "absent"),
        ];
        index.referrers = candidates.iter().map(|candidate| ReferrerView::new(candidate, digest)).collect();
        index.children = vec![
            image(&json!({"os": "linux", "architecture": "amd64"}), &json!({})),
            image(
                &json!({"os": "unknown", "architecture": "unknown"}),
                &json!({"vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": Digest::of(b"manifest")}),
            ),
        ];
        Inspection::new(&reference.repository().pin(digest), reference.tag(), None, index)
    }

    /// Digests by their first digits: what is tested is the tree.
    fn short(text: &str) -> String {
        let mut parts = text.split("sha256:");
        let mut short = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            short.push_str("sha256:");
            let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
            short.push_str(&part[..digits.min(4)]);
            short.push_str(&part[digits..]);
        }
        short
    }

    #[test]
    fn an_image_is_shown_as_a_tree_of_unverified_claims() {
        let statement = json!({
            "_type": crate::statement::STATEMENT_TYPE, "predicateType": crate::statement::SIGNATURE_PREDICATE,
            "subject": [{"name": "registry.example/octo/app", "digest": {"sha256": Digest::of(b"index").hex()},
                         "annotations": {"dev.countersign.tags": "v1", "build": "77"}}],
        });
        let encode = |text: String| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        let bundle = json!({
            "mediaType": crate::bundle::BUNDLE_V0_3,
            "verificationMaterial": {
                "certificate": {"rawBytes": "AAAA"},
                "tlogEntries": [{"logIndex": "7", "kindVersion": {"kind": "dsse", "version": "0.0.2"}}],
            },
            "dsseEnvelope": {"payload": encode(statement.to_string()), "payloadType": "x", "signatures": [{}]},
        });
        let foreign = Reason::Foreign { artifact_type: "application/spdx+json".into() };
        let unreadable = Reason::Unreadable { detail: "403".into() };
        let inspection = inspection(&[
            candidate(media_type::SIGSTORE_BUNDLE_V0_3, Content::Bundle(Bytes::from(bundle.to_string()))),
            candidate("application/spdx+json", Content::NotABundle(foreign)),
            candidate(media_type::COSIGN_SIGNATURE, Content::OlderCosign(OlderForm::Referrer)),
            candidate("application/example", Content::NotABundle(unreadable)),
        ]);
        // The order of its members depends on what else is built.
        let digest = Digest::of(bundle.to_string().as_bytes()).to_string();
        insta::assert_snapshot!(short(&text(&inspection).replace(&digest, "[bundle]")), @r"
        registry.example/octo/app:v1@sha256:1bc0
        Everything below is claimed by the registry and by bundles: unverified claims.

        image index sha256:05b3, application/vnd.oci.image.index.v1+json, 88 bytes
        ├─ looked at referrers API: 404
        ├─ looked at referrers tag schema: 200, 2 entries: 1 bundle, 1 foreign
        ├─ looked at cosign tag sha256-00.sig: present
        ├─ looked at cosign tags of this digest, .att, .sbom: absent
        ├─ referrer sha256:dce0, application/vnd.dev.sigstore.bundle.v0.3+json, 875 bytes
        │  ├─ listed with another type: application/vnd.oci.empty.v1+json
        │  └─ bundle [bundle], 655 bytes, which claims (unverified):
        │     ├─ media type application/vnd.dev.sigstore.bundle.v0.3+json
        │     ├─ content dsse-envelope
        │     ├─ predicate type https://sigstore.dev/cosign/sign/v1
        │     ├─ subject registry.example/octo/app sha256:1bc0 (this digest)
        │     │  ├─ tags v1
        │     │  └─ annotation build=77
        │     ├─ certificate: the certificate cannot be parsed: unknown/unsupported ASN.1 DER tag: 0x00
        │     ├─ log entry dsse 0.0.2, index 7, without inclusion proof
        │     ├─ timestamps: 0
        │     └─ no policy accepts it: log entry of kind dsse 0.0.2, which cosign 3.0 wrote to Rekor v2 and Rekor v2 has dropped (unsupported-log-entry)
        │        └─ hint: sign the image again with cosign 3.1 or later, or with countersign-signer
        ├─ foreign referrer sha256:fbed, application/spdx+json, 875 bytes
        │  └─ listed with another type: application/vnd.oci.empty.v1+json
        ├─ older cosign referrer sha256:2e50, application/vnd.dev.cosign.artifact.sig.v1+json, 875 bytes
        │  ├─ listed with another type: application/vnd.oci.empty.v1+json
        │  └─ signed in the form that cosign wrote before version 3 (simple-signing referrer) (older-cosign-format)
        │     └─ hint: sign the image again with cosign 3 or later, or with countersign-signer
        ├─ referrer that could not be read sha256:2ba3, application/example, 875 bytes
        │  ├─ listed with another type: application/vnd.oci.empty.v1+json
        │  └─ listed and could not be read: 403 (unreadable)
        ├─ image manifest linux/amd64 sha256:05b3, application/vnd.oci.image.manifest.v1+json, 465 bytes, 3.0 MiB in 1 layer
        │  ├─ config sha256:bef2, application/vnd.oci.image.config.v1+json, 2 bytes
        │  └─ layer sha256:dfbc, application/vnd.in-toto+json, 3.0 MiB, states https://slsa.dev/provenance/v1
        └─ attestation manifest unknown/unknown sha256:05b3, application/vnd.oci.image.manifest.v1+json, 465 bytes, 3.0 MiB in 1 layer
           ├─ describes sha256:05b3
           ├─ config sha256:bef2, application/vnd.oci.image.config.v1+json, 2 bytes
           └─ layer sha256:dfbc, application/vnd.in-toto+json, 3.0 MiB, states https://slsa.dev/provenance/v1

        1 thing could not be seen: what is shown is not all there is.
        Nothing above is proof of anything. To find out whether it is signed as you want it:
          countersign-verifier verify registry.example/octo/app:v1@sha256:1bc0 --policy FILE
        ");
    }

    #[test]
    fn a_bundle_that_lies_beside_several_manifests_is_shown_once() {
        let bundle = || Content::Bundle(Bytes::from_static(b"{}"));
        let shown = text(&inspection(&[candidate("one", bundle()), candidate("two", bundle())]));
        assert_eq!(shown.matches(", 2 bytes, which claims (unverified):").count(), 1, "{shown}");
        assert_eq!(shown.matches(", shown above, which claims (unverified):").count(), 1, "{shown}");
        assert_eq!(shown.matches("no policy accepts it: ").count(), 2, "{shown}");
    }

    #[test]
    fn what_claims_to_be_verified_is_not_said_by_this_program() {
        let foreign = Reason::Foreign { artifact_type: "application/spdx+json".into() };
        let shown = text(&inspection(&[candidate("application/spdx+json", Content::NotABundle(foreign))]));
        let without_marks = shown.replace("unverified", "");
        assert!(!without_marks.contains("verified") && !without_marks.contains("Verified"), "{shown}");
        for tick in ['\u{2713}', '\u{2714}', '\u{2705}', '\u{1b}'] {
            assert!(!shown.contains(tick), "{tick:?}");
        }
        assert!(shown.trim_end().ends_with(&inspection(&[]).verify_with), "{shown}");
    }

    #[test]
    fn ten_thousand_referrers_are_counted_not_printed() {
        let foreign = |number: u32| {
            let reason = Reason::Foreign { artifact_type: "application/spdx+json".into() };
            candidate(&format!("application/spdx+json; n={number}"), Content::NotABundle(reason))
        };
        let candidates: Vec<Candidate> = (0..10_000).map(foreign).collect();
        let inspection = inspection(&candidates);
        let shown = text(&inspection);
        assert!(shown.lines().count() < 300, "{}", shown.lines().count());
        assert!(shown.contains("and 9900 further referrers: --output json lists them"), "{shown}");
        assert_eq!(inspection.manifest.unwrap().referrers.len(), 10_000);
    }

    #[test]
    fn no_claim_can_write_to_the_terminal_or_forge_a_line() {
        let hostile = "a\u{1b}[2J\u{9b}1m\u{202e}\nsigned and verified\r";
        let mut index = inspection(&[candidate(hostile, Content::OlderCosign(OlderForm::Referrer))]);
        let manifest = index.manifest.as_mut().unwrap();
        manifest.looked_at = vec![Place::new(hostile, hostile)];
        manifest.gaps = vec![Gap::new(hostile, "code", true)];
        manifest.media_type = hostile.to_owned();
        let shown = text(&index);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()) && !shown.contains('\u{202e}'), "{shown:?}");
        assert!(shown.lines().all(|line| !line.starts_with("signed")), "{shown}");
    }
}
