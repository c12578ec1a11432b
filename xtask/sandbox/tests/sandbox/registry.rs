//! Manifests, tags and referrers, read and written over HTTP and through the handle.

use reqwest::Response;
use sandbox::image::{ImageSpec, multi_platform};
use sandbox::{ReferrersApi, RegistryHandle, Sandbox, digest_of};
use serde_json::{Value, json};

use crate::support::*;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn url(sandbox: &Sandbox, path: &str) -> String {
    format!("{}/v2/{path}", sandbox.registry().url())
}

pub(crate) async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

async fn put(sandbox: &Sandbox, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Response {
    http().put(url(sandbox, path)).header("content-type", media_type).body(body).send().await.unwrap()
}

/// A manifest with the empty config, its blob already there, and whatever else.
fn manifest(registry: &RegistryHandle, repository: &str, more: Value) -> String {
    let config = registry.put_blob(repository, "{}");
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [],
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    manifest.to_string()
}

fn referrer(registry: &RegistryHandle, subject: &str, artifact_type: &str, note: &str) -> String {
    let subject = json!({ "mediaType": INDEX, "digest": subject, "size": 2 });
    let more = json!({ "subject": subject, "artifactType": artifact_type, "annotations": { "note": note } });
    manifest(registry, "octo/app", more)
}

#[tokio::test]
async fn a_manifest_is_served_as_it_was_sent() {
    let sandbox = start();
    let body = manifest(sandbox.registry(), "octo/app", json!({}));
    let digest = digest_of(body.as_bytes());
    let pushed = put(&sandbox, "octo/app/manifests/v1", MANIFEST, body.clone()).await;
    assert_eq!(pushed.status(), 201);
    assert_eq!(header(&pushed, "docker-content-digest"), digest);
    assert_eq!(header(&pushed, "location"), format!("/v2/octo/app/manifests/{digest}"));
    assert_eq!(header(&pushed, "oci-subject"), "");
    for reference in ["v1", &digest] {
        let pulled = get(&url(&sandbox, &format!("octo/app/manifests/{reference}"))).await;
        assert_eq!(header(&pulled, "content-type"), MANIFEST);
        assert_eq!(header(&pulled, "etag"), format!("\"{digest}\""));
        assert_eq!(pulled.text().await.unwrap(), body);
        let head = http().head(url(&sandbox, &format!("octo/app/manifests/{reference}"))).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), body.len().to_string());
        assert_eq!(head.bytes().await.unwrap().len(), 0);
    }
    let known = http().get(url(&sandbox, "octo/app/manifests/v1")).header("if-none-match", format!("\"{digest}\""));
    assert_eq!(known.send().await.unwrap().status(), 304);
}

#[tokio::test]
async fn what_is_not_there_is_an_error_document() {
    let sandbox = start();
    let registry = sandbox.registry();
    registry.put_blob("octo/app", "{}");
    let unknown = digest_of(b"unknown");
    for (path, expected) in [
        ("octo/app/manifests/v1".to_owned(), (404, "MANIFEST_UNKNOWN")),
        (format!("octo/app/manifests/{unknown}"), (404, "MANIFEST_UNKNOWN")),
        (format!("octo/app/blobs/{unknown}"), (404, "BLOB_UNKNOWN")),
        ("octo/other/manifests/v1".to_owned(), (404, "NAME_UNKNOWN")),
        ("octo/other/tags/list".to_owned(), (404, "NAME_UNKNOWN")),
        ("octo/app/manifests/sha256:00".to_owned(), (400, "DIGEST_INVALID")),
        ("octo/app/blobs/sha512:00".to_owned(), (400, "DIGEST_INVALID")),
        ("Octo/app/manifests/v1".to_owned(), (400, "NAME_INVALID")),
        ("octo/app/manifests/-v1".to_owned(), (400, "TAG_INVALID")),
    ] {
        let (status, code) = code(get(&url(&sandbox, &path)).await).await;
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    assert_eq!(get(&url(&sandbox, "octo/app/nothing")).await.status(), 404);
    assert_eq!(get(&url(&sandbox, "")).await.status(), 200);
}

#[tokio::test]
async fn manifests_that_lie_are_refused() {
    let sandbox = start();
    let registry = sandbox.registry();
    let good = manifest(registry, "octo/app", json!({}));
    let missing = digest_of(b"missing");
    let with = |more: Value| manifest(registry, "octo/app", more);
    for (reference, media_type, body, expected) in [
        ("v1", INDEX, good.clone(), "MANIFEST_INVALID"),
        ("v1", MANIFEST, "{".to_owned(), "MANIFEST_INVALID"),
        ("v1", MANIFEST, with(json!({ "schemaVersion": 1 })), "MANIFEST_INVALID"),
        ("v1", MANIFEST, with(json!({ "subject": { "digest": "sha256:0" } })), "MANIFEST_INVALID"),
        ("v1", MANIFEST, with(json!({ "layers": [{ "digest": missing }] })), "MANIFEST_BLOB_UNKNOWN"),
        ("v1", MANIFEST, with(json!({ "layers": [{}] })), "MANIFEST_INVALID"),
        ("v1", MANIFEST, with(json!({ "manifests": [{ "digest": missing }] })), "MANIFEST_BLOB_UNKNOWN"),
        (missing.as_str(), MANIFEST, good.clone(), "DIGEST_INVALID"),
    ] {
        let response = put(&sandbox, &format!("octo/app/manifests/{reference}"), media_type, body).await;
        assert_eq!(code(response).await, (400, expected.to_owned()));
    }
    let untyped = http().put(url(&sandbox, "octo/app/manifests/v1")).body(good).send().await.unwrap();
    assert_eq!(code(untyped).await, (400, "MANIFEST_INVALID".to_owned()));
    let large = with(json!({ "annotations": { "note": "x".repeat(4 << 20) } }));
    assert_eq!(put(&sandbox, "octo/app/manifests/v1", MANIFEST, large).await.status(), 413);
    assert_eq!(registry.manifests("octo/app"), Vec::<String>::new());
}

#[tokio::test]
async fn tags_move_and_end() {
    let sandbox = start();
    let registry = sandbox.registry();
    for note in ["one", "two"] {
        let body = manifest(registry, "octo/app", json!({ "annotations": { "note": note } }));
        assert_eq!(put(&sandbox, "octo/app/manifests/v1", MANIFEST, body).await.status(), 201);
    }
    assert_eq!(registry.manifests("octo/app").len(), 2);
    let deleted = http().delete(url(&sandbox, "octo/app/manifests/v1")).send().await.unwrap();
    assert_eq!(deleted.status(), 202);
    assert_eq!(registry.tags("octo/app"), Vec::<String>::new());
    assert_eq!(get(&url(&sandbox, "octo/app/manifests/v1")).await.status(), 404);
    let again = http().delete(url(&sandbox, "octo/app/manifests/v1")).send().await.unwrap();
    assert_eq!(again.status(), 404);
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let sandbox = start_with(|options| options.page_size = Some(2));
    for tag in ["a", "b", "c", "d", "e"] {
        sandbox.registry().put_manifest("octo/app", tag, MANIFEST, "{}");
    }
    let mut next = "/v2/octo/app/tags/list".to_owned();
    let mut pages = Vec::new();
    while !next.is_empty() {
        let page = get(&format!("{}{next}", sandbox.registry().url())).await;
        let link = header(&page, "link").to_owned();
        next = link.strip_prefix('<').map_or(String::new(), |link| link[..link.find('>').unwrap()].to_owned());
        pages.push(page.json::<Value>().await.unwrap()["tags"].clone());
    }
    assert_eq!(pages, [json!(["a", "b"]), json!(["c", "d"]), json!(["e"])]);
    let one: Value = get(&url(&sandbox, "octo/app/tags/list?n=1&last=c")).await.json().await.unwrap();
    assert_eq!(one, json!({ "name": "octo/app", "tags": ["d"] }));
}

#[tokio::test]
async fn referrers_are_listed_with_types_and_annotations() {
    let sandbox = start();
    let registry = sandbox.registry();
    let subject = digest_of(b"subject");
    let body = referrer(registry, &subject, "application/a", "one");
    let digest = digest_of(body.as_bytes());
    let pushed = put(&sandbox, &format!("octo/app/manifests/{digest}"), MANIFEST, body.clone()).await;
    assert_eq!(header(&pushed, "oci-subject"), subject);
    let list = get(&url(&sandbox, &format!("octo/app/referrers/{subject}"))).await;
    assert_eq!(header(&list, "content-type"), INDEX);
    let descriptor = json!({
        "mediaType": MANIFEST,
        "digest": digest,
        "size": body.len(),
        "artifactType": "application/a",
        "annotations": { "note": "one" },
    });
    let expected = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] });
    assert_eq!(list.json::<Value>().await.unwrap(), expected);
    for of_none in [format!("octo/app/referrers/{}", digest_of(b"other")), format!("octo/other/referrers/{subject}")] {
        let list: Value = get(&url(&sandbox, &of_none)).await.json().await.unwrap();
        assert_eq!(list["manifests"], json!([]));
    }
    let malformed = get(&url(&sandbox, "octo/app/referrers/sha256:00")).await;
    assert_eq!(code(malformed).await, (400, "DIGEST_INVALID".to_owned()));
}

#[tokio::test]
async fn referrers_are_filtered_and_paged() {
    let sandbox = start_with(|options| options.page_size = Some(2));
    let registry = sandbox.registry();
    let subject = digest_of(b"subject");
    for number in 0..6 {
        let kind = if number % 2 == 0 { "application/a" } else { "application/b" };
        let body = referrer(registry, &subject, kind, &number.to_string());
        registry.put_manifest("octo/app", &digest_of(body.as_bytes()), MANIFEST, body);
    }
    let filtered = get(&url(&sandbox, &format!("octo/app/referrers/{subject}?artifactType=application/a"))).await;
    assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
    assert!(header(&filtered, "link").contains("artifactType=application%2Fa"));
    let mut next = format!("/v2/octo/app/referrers/{subject}");
    let mut digests = Vec::new();
    while !next.is_empty() {
        let page = get(&format!("{}{next}", registry.url())).await;
        assert_eq!(header(&page, "oci-filters-applied"), "");
        let link = header(&page, "link").to_owned();
        next = link.strip_prefix('<').map_or(String::new(), |link| link[..link.find('>').unwrap()].to_owned());
        let page: Value = page.json().await.unwrap();
        digests.extend(page["manifests"].as_array().unwrap().iter().map(|one| one["digest"].clone()));
    }
    assert_eq!(digests.len(), 6);
    assert_eq!(registry.referrers("octo/app", &subject).len(), 6);
}

#[tokio::test]
async fn a_registry_without_the_referrers_api_answers_404() {
    let sandbox = start_with(|options| options.referrers_api = false);
    let registry = sandbox.registry();
    let subject = digest_of(b"subject");
    let body = referrer(registry, &subject, "application/a", "one");
    let pushed = put(&sandbox, &format!("octo/app/manifests/{}", digest_of(body.as_bytes())), MANIFEST, body).await;
    assert_eq!((pushed.status().as_u16(), header(&pushed, "oci-subject")), (201, ""));
    let list = get(&url(&sandbox, &format!("octo/app/referrers/{subject}"))).await;
    assert_eq!(list.status(), 404);
    assert_eq!(list.text().await.unwrap(), "404 page not found\n");
    registry.set_referrers_api(true);
    let list: Value = get(&url(&sandbox, &format!("octo/app/referrers/{subject}"))).await.json().await.unwrap();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_registry_that_reports_config_types_hides_the_artifact_type() {
    let sandbox = start();
    let registry = sandbox.registry();
    registry.set_referrers(ReferrersApi::ConfigTypes);
    let subject = digest_of(b"subject");
    let body = referrer(registry, &subject, "application/a", "one");
    let pushed = put(&sandbox, &format!("octo/app/manifests/{}", digest_of(body.as_bytes())), MANIFEST, body).await;
    assert_eq!(header(&pushed, "oci-subject"), "");
    let list: Value = get(&url(&sandbox, &format!("octo/app/referrers/{subject}"))).await.json().await.unwrap();
    assert_eq!(list["manifests"][0]["artifactType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(list["manifests"][0].get("annotations"), None);
}

#[tokio::test]
async fn a_writer_that_expects_another_manifest_is_refused_where_asked_to() {
    for (heeds, expected) in [(true, 412), (false, 201)] {
        let sandbox = start_with(|options| options.compare_and_swap = heeds);
        let body = manifest(sandbox.registry(), "octo/app", json!({}));
        let put = |name: &'static str, value: String| {
            let request = http().put(url(&sandbox, "octo/app/manifests/v1")).header("content-type", MANIFEST);
            request.header(name, value).body(body.clone()).send()
        };
        let current = format!("\"{}\"", digest_of(body.as_bytes()));
        assert_eq!(put("if-match", current.clone()).await.unwrap().status(), expected);
        assert_eq!(put("if-none-match", "*".to_owned()).await.unwrap().status(), 201);
        assert_eq!(put("if-none-match", "*".to_owned()).await.unwrap().status(), expected);
        assert_eq!(put("if-match", current).await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn an_image_pushed_through_the_handle_is_whole() {
    let sandbox = start();
    let image = multi_platform(&ImageSpec::with_run_script("#!/bin/sh\necho hello\n", Vec::new()));
    image.push(sandbox.registry(), "octo/app", "v1");
    let index = get(&url(&sandbox, "octo/app/manifests/v1")).await;
    assert_eq!(header(&index, "docker-content-digest"), image.digest());
    let index: Value = index.json().await.unwrap();
    for entry in index["manifests"].as_array().unwrap() {
        let path = format!("octo/app/manifests/{}", entry["digest"].as_str().unwrap());
        let manifest: Value = get(&url(&sandbox, &path)).await.json().await.unwrap();
        for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            let path = format!("octo/app/blobs/{}", blob["digest"].as_str().unwrap());
            let bytes = get(&url(&sandbox, &path)).await.bytes().await.unwrap();
            assert_eq!(blob["size"], bytes.len());
        }
    }
}

#[tokio::test]
async fn tampered_content_is_served_under_the_old_digest() {
    let sandbox = start();
    let registry = sandbox.registry();
    let image = multi_platform(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()));
    image.push(registry, "octo/app", "v1");
    let layer = &image.platforms[0].layers[0];
    registry.overwrite_blob(layer, "other bytes");
    let served = get(&url(&sandbox, &format!("octo/app/blobs/{layer}"))).await.text().await.unwrap();
    assert_eq!(served, "other bytes");
    registry.overwrite_manifest("octo/app", image.digest(), "{}");
    let served = get(&url(&sandbox, "octo/app/manifests/v1")).await;
    assert_eq!(header(&served, "content-type"), INDEX);
    assert_eq!(served.text().await.unwrap(), "{}");
    registry.remove_manifest("octo/app", image.digest());
    assert_eq!(get(&url(&sandbox, "octo/app/manifests/v1")).await.status(), 404);
}
