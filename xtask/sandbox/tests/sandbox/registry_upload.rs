//! Blobs: every way to upload one, and reading them in parts.

use reqwest::{Method, RequestBuilder, Response};
use sandbox::{Sandbox, digest_of};

use crate::registry::{code, url};
use crate::support::*;

fn request(method: Method, sandbox: &Sandbox, location: &str) -> RequestBuilder {
    http().request(method, format!("{}{location}", sandbox.registry().url()))
}

/// Starts an upload; returns its location.
async fn begin(sandbox: &Sandbox) -> String {
    let response = http().post(url(sandbox, "octo/app/blobs/uploads/")).send().await.unwrap();
    assert_eq!(response.status(), 202);
    header(&response, "location").to_owned()
}

async fn finish(sandbox: &Sandbox, location: &str, digest: &str, body: &'static str) -> Response {
    request(Method::PUT, sandbox, &format!("{location}&digest={digest}")).body(body).send().await.unwrap()
}

async fn chunk(sandbox: &Sandbox, location: &str, range: &str, body: &'static str) -> Response {
    request(Method::PATCH, sandbox, location).header("content-range", range).body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_blob_is_uploaded_in_one_request() {
    let sandbox = start();
    let digest = digest_of(b"blob");
    let post = |digest: String| {
        http().post(url(&sandbox, &format!("octo/app/blobs/uploads/?digest={digest}"))).body("blob").send()
    };
    let response = post(digest.clone()).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(header(&response, "location"), format!("/v2/octo/app/blobs/{digest}"));
    assert_eq!(header(&response, "docker-content-digest"), digest);
    assert_eq!(code(post(digest_of(b"other")).await.unwrap()).await, (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(get(&url(&sandbox, &format!("octo/app/blobs/{digest}"))).await.text().await.unwrap(), "blob");
    assert_eq!(get(&url(&sandbox, &format!("octo/other/blobs/{digest}"))).await.status(), 404);
}

#[tokio::test]
async fn a_blob_is_uploaded_in_two_requests() {
    let sandbox = start();
    let digest = digest_of(b"blob");
    let location = begin(&sandbox).await;
    assert_eq!(finish(&sandbox, &location, &digest, "blob").await.status(), 201);
    assert_eq!(sandbox.registry().get_blob(&digest).unwrap(), "blob");
    let again = finish(&sandbox, &location, &digest, "blob").await;
    assert_eq!(code(again).await, (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    let location = begin(&sandbox).await;
    let wrong = finish(&sandbox, &location, &digest, "other").await;
    assert_eq!(code(wrong).await, (400, "DIGEST_INVALID".to_owned()));
}

#[tokio::test]
async fn a_blob_is_uploaded_in_chunks() {
    let sandbox = start();
    let location = begin(&sandbox).await;
    let first = chunk(&sandbox, &location, "0-4", "chunk").await;
    assert_eq!((first.status().as_u16(), header(&first, "range")), (202, "0-4"));
    let gap = chunk(&sandbox, &location, "6-10", "chunk").await;
    assert_eq!((gap.status().as_u16(), header(&gap, "range")), (416, "0-4"));
    let short = chunk(&sandbox, &location, "5-20", "chunk").await;
    assert_eq!(short.status(), 416);
    let second = chunk(&sandbox, &location, "5-6", "ed").await;
    assert_eq!(second.status(), 202);
    let state = request(Method::GET, &sandbox, &location).send().await.unwrap();
    assert_eq!((state.status().as_u16(), header(&state, "range")), (204, "0-6"));
    assert_eq!(finish(&sandbox, &location, &digest_of(b"chunked"), "").await.status(), 201);
}

#[tokio::test]
async fn an_upload_ends_when_it_is_cancelled() {
    let sandbox = start();
    let location = begin(&sandbox).await;
    assert_eq!(request(Method::DELETE, &sandbox, &location).send().await.unwrap().status(), 204);
    assert_eq!(finish(&sandbox, &location, &digest_of(b"blob"), "blob").await.status(), 404);
}

#[tokio::test]
async fn a_location_without_its_query_is_refused() {
    let sandbox = start();
    let location = begin(&sandbox).await;
    let (path, _) = location.split_once('?').unwrap();
    let path = format!("{path}?digest={}", digest_of(b"blob"));
    let response = request(Method::PUT, &sandbox, &path).body("blob").send().await.unwrap();
    assert_eq!(code(response).await, (400, "BLOB_UPLOAD_INVALID".to_owned()));
}

#[tokio::test]
async fn locations_are_absolute_where_asked_to() {
    let sandbox = start_with(|options| options.absolute_locations = true);
    assert!(begin(&sandbox).await.starts_with(&format!("{}/v2/octo/app/blobs/uploads/", sandbox.registry().url())));
}

#[tokio::test]
async fn a_blob_of_another_repository_is_mounted() {
    let sandbox = start();
    let digest = sandbox.registry().put_blob("octo/base", "blob");
    let mount = |digest: String, from: &'static str| {
        http().post(url(&sandbox, &format!("octo/app/blobs/uploads/?mount={digest}&from={from}"))).send()
    };
    let absent = mount(digest_of(b"other"), "octo/base").await.unwrap();
    assert_eq!(absent.status(), 202);
    assert!(header(&absent, "location").contains("/blobs/uploads/"));
    assert_eq!(mount(digest.clone(), "octo/nobody").await.unwrap().status(), 202);
    assert_eq!(get(&url(&sandbox, &format!("octo/app/blobs/{digest}"))).await.status(), 404);
    let mounted = mount(digest.clone(), "octo/base").await.unwrap();
    assert_eq!((mounted.status().as_u16(), header(&mounted, "docker-content-digest")), (201, digest.as_str()));
    assert_eq!(get(&url(&sandbox, &format!("octo/app/blobs/{digest}"))).await.status(), 200);
    sandbox.registry().set_mounts(false);
    assert_eq!(mount(digest.clone(), "octo/base").await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_blob_is_read_in_parts() {
    let sandbox = start();
    let digest = sandbox.registry().put_blob("octo/app", "0123456789");
    let read = |range: &'static str| {
        http().get(url(&sandbox, &format!("octo/app/blobs/{digest}"))).header("range", range).send()
    };
    let part = read("bytes=4-6").await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 4-6/10"));
    assert_eq!(part.text().await.unwrap(), "456");
    assert_eq!(read("bytes=7-").await.unwrap().text().await.unwrap(), "789");
    let beyond = read("bytes=10-").await.unwrap();
    assert_eq!((beyond.status().as_u16(), header(&beyond, "content-range")), (416, "bytes */10"));
    let head = http().head(url(&sandbox, &format!("octo/app/blobs/{digest}"))).send().await.unwrap();
    assert_eq!((header(&head, "content-length"), header(&head, "accept-ranges")), ("10", "bytes"));
}

#[tokio::test]
async fn a_blob_is_deleted() {
    let sandbox = start();
    let digest = sandbox.registry().put_blob("octo/app", "blob");
    let blob = url(&sandbox, &format!("octo/app/blobs/{digest}"));
    assert_eq!(http().delete(&blob).send().await.unwrap().status(), 202);
    assert_eq!(get(&blob).await.status(), 404);
    assert_eq!(http().put(&blob).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let sandbox = start();
    let digest = sandbox.registry().put_blob("octo/app", "blob");
    assert_eq!(http().put(url(&sandbox, &format!("octo/app/blobs/{digest}"))).send().await.unwrap().status(), 405);
    assert_eq!(get(&url(&sandbox, "octo/app/blobs/uploads/")).await.status(), 405);
    assert_eq!(http().post(url(&sandbox, "octo/app/manifests/v1")).send().await.unwrap().status(), 405);
}
