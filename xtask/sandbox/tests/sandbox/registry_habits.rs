//! What real registries do to writers: tags that stay, manifests that come late or go early.

use reqwest::Response;
use sandbox::{ImmutableTags, Sandbox, TagDeletion, digest_of};
use serde_json::json;

use crate::registry::{code, url};
use crate::support::*;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn index(name: &str) -> String {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": { "name": name } }).to_string()
}

async fn put(sandbox: &Sandbox, reference: &str, body: &str) -> Response {
    let request = http().put(url(sandbox, &format!("octo/app/manifests/{reference}")));
    request.header("content-type", INDEX).body(body.to_owned()).send().await.unwrap()
}

async fn read(sandbox: &Sandbox, reference: &str) -> (u16, String) {
    let response = get(&url(sandbox, &format!("octo/app/manifests/{reference}"))).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn delete(sandbox: &Sandbox, reference: &str) -> Response {
    http().delete(url(sandbox, &format!("octo/app/manifests/{reference}"))).send().await.unwrap()
}

#[tokio::test]
async fn a_tag_is_not_overwritten_where_tags_are_immutable() {
    for (words, expected) in [
        (ImmutableTags::ArtifactRegistry, (400, "MANIFEST_INVALID")),
        (ImmutableTags::Ecr, (400, "TAG_INVALID")),
        (ImmutableTags::Harbor, (412, "PRECONDITION")),
        (ImmutableTags::Quay, (409, "TAG_IMMUTABLE")),
    ] {
        let sandbox = start_with(|options| options.immutable_tags = Some(words));
        assert_eq!(put(&sandbox, "v1", &index("old")).await.status(), 201);
        for name in ["new", "old"] {
            let (status, code) = code(put(&sandbox, "v1", &index(name)).await).await;
            assert_eq!((status, code.as_str()), expected);
        }
        assert_eq!(read(&sandbox, "v1").await.1, index("old"));
        assert_eq!(put(&sandbox, "v2", &index("new")).await.status(), 201);
        assert_eq!(put(&sandbox, &digest_of(index("new").as_bytes()), &index("new")).await.status(), 201);
        sandbox.registry().set_immutable_tags(None);
        assert_eq!(put(&sandbox, "v1", &index("new")).await.status(), 201);
    }
}

#[tokio::test]
async fn a_tag_is_deleted_where_the_registry_deletes_tags() {
    let sandbox = start();
    let digest = digest_of(index("old").as_bytes());
    put(&sandbox, "v1", &index("old")).await;
    sandbox.registry().set_tag_deletion(TagDeletion::Off);
    assert_eq!(code(delete(&sandbox, "v1").await).await, (405, "UNSUPPORTED".to_owned()));
    assert_eq!(code(delete(&sandbox, &digest).await).await, (405, "UNSUPPORTED".to_owned()));
    sandbox.registry().set_tag_deletion(TagDeletion::ByDigestOnly);
    assert_eq!(code(delete(&sandbox, "v1").await).await, (400, "DIGEST_INVALID".to_owned()));
    sandbox.registry().set_tag_deletion(TagDeletion::On);
    assert_eq!(delete(&sandbox, "v1").await.status(), 202);
    assert_eq!((read(&sandbox, "v1").await.0, read(&sandbox, &digest).await.0), (404, 200));
    sandbox.registry().set_tag_deletion(TagDeletion::ByDigestOnly);
    assert_eq!(delete(&sandbox, &digest).await.status(), 202);
    assert_eq!(read(&sandbox, &digest).await.0, 404);
}

#[tokio::test]
async fn a_manifest_comes_late_to_as_many_readers_as_asked_for() {
    let sandbox = start_with(|options| options.late = 2);
    let digest = digest_of(index("new").as_bytes());
    put(&sandbox, &digest, &index("new")).await;
    for expected in [404, 404, 200, 200] {
        assert_eq!(read(&sandbox, &digest).await.0, expected);
    }
    // What was there is there when it is pushed again.
    put(&sandbox, &digest, &index("new")).await;
    assert_eq!(read(&sandbox, &digest).await.0, 200);
}

#[tokio::test]
async fn a_tag_is_shown_where_it_pointed_before() {
    let sandbox = start();
    put(&sandbox, "v1", &index("old")).await;
    sandbox.registry().set_late(2);
    put(&sandbox, "v1", &index("new")).await;
    for name in ["old", "old", "new", "new"] {
        assert_eq!(read(&sandbox, "v1").await.1, index(name));
    }
    put(&sandbox, "v2", &index("new")).await;
    for expected in [404, 404, 200] {
        assert_eq!(read(&sandbox, "v2").await.0, expected);
    }
}

#[tokio::test]
async fn what_has_no_tag_is_collected() {
    let sandbox = start_with(|options| options.reaper = Some(2));
    let registry = sandbox.registry();
    let child = registry.put_manifest("octo/app", &digest_of(index("child").as_bytes()), INDEX, index("child"));
    let parent = json!({ "schemaVersion": 2, "manifests": [{ "digest": child }] }).to_string();
    let parent = registry.put_manifest("octo/app", "v1", INDEX, parent);
    let referrer = json!({ "schemaVersion": 2, "manifests": [], "subject": { "digest": parent } }).to_string();
    let referrer = registry.put_manifest("octo/app", &digest_of(referrer.as_bytes()), INDEX, referrer);
    let loose = registry.put_manifest("octo/app", &digest_of(index("loose").as_bytes()), INDEX, index("loose"));
    assert_eq!((read(&sandbox, &loose).await.0, read(&sandbox, &loose).await.0), (200, 200));
    assert_eq!(read(&sandbox, &loose).await.0, 404);
    for kept in [&child, &parent, &referrer] {
        assert_eq!(read(&sandbox, kept).await.0, 200);
    }
    registry.remove_tag("octo/app", "v1");
    for collected in [&child, &parent, &referrer] {
        assert_eq!(read(&sandbox, collected).await.0, 404);
    }
    // What comes back has its time again.
    put(&sandbox, &loose, &index("loose")).await;
    assert_eq!(read(&sandbox, &loose).await.0, 200);
    registry.set_reaper(None);
    for _ in 0..4 {
        assert_eq!(read(&sandbox, &loose).await.0, 200);
    }
}

#[tokio::test]
async fn a_blob_that_comes_too_early_opens_only_an_upload() {
    let sandbox = start_with(|options| options.inline_uploads = false);
    let digest = digest_of(b"blob");
    let post = http().post(url(&sandbox, &format!("octo/app/blobs/uploads/?digest={digest}"))).body("blob");
    let opened = post.send().await.unwrap();
    assert_eq!(opened.status(), 202);
    assert!(!sandbox.registry().has_blob("octo/app", &digest));
    let place = format!("{}{}&digest={digest}", sandbox.registry().url(), header(&opened, "location"));
    assert_eq!(http().put(place).body("blob").send().await.unwrap().status(), 201);
    assert!(sandbox.registry().has_blob("octo/app", &digest));
    assert!(!sandbox.registry().has_blob("octo/other", &digest));
}
