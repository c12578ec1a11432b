//! Faults and the request log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Sandbox, Service};
use serde_json::json;

use crate::registry::url;
use crate::support::*;

fn fault(sandbox: &Sandbox, action: Action) -> sandbox::FaultGuard {
    sandbox.fault(Fault::new(Service::Registry, action))
}

async fn with_blob() -> (Sandbox, String) {
    let sandbox = start();
    let digest = sandbox.registry().put_blob("octo/app", "0123456789");
    let blob = url(&sandbox, &format!("octo/app/blobs/{digest}"));
    (sandbox, blob)
}

#[tokio::test]
async fn a_status_comes_with_headers_and_body() {
    let sandbox = start();
    let headers = vec![("Retry-After".to_owned(), "7".to_owned())];
    let _guard = fault(&sandbox, Action::Status { status: 429, body: "slow down".to_owned(), headers });
    let response = get(&url(&sandbox, "")).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (429, "7"));
    assert_eq!(response.text().await.unwrap(), "slow down");
}

#[tokio::test]
async fn a_fault_strikes_as_often_as_asked_and_ends_with_its_guard() {
    let sandbox = start();
    let guard = sandbox.fault(Fault::new(Service::Registry, Action::status(503)).after(1).times(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&url(&sandbox, "")).await.status().as_u16());
    }
    assert_eq!((statuses, guard.hits()), (vec![200, 503, 503, 200], 2));
    let forever = fault(&sandbox, Action::status(500));
    assert_eq!(get(&url(&sandbox, "")).await.status(), 500);
    drop(forever);
    assert_eq!(get(&url(&sandbox, "")).await.status(), 200);
}

#[tokio::test]
async fn a_fault_matches_service_method_and_path() {
    let sandbox = start();
    sandbox.registry().put_blob("octo/app", "{}");
    let fault = Fault::new(Service::Registry, Action::status(500)).method("POST").path("/uploads/?mount=");
    sandbox.set_faults([fault]);
    assert_eq!(get(&url(&sandbox, "octo/app/tags/list")).await.status(), 200);
    let uploads = url(&sandbox, "octo/app/blobs/uploads/");
    assert_eq!(http().post(&uploads).send().await.unwrap().status(), 202);
    assert_eq!(http().post(format!("{uploads}?mount=x")).send().await.unwrap().status(), 500);
    assert_eq!(get(&format!("{}/healthz", sandbox.fulcio_url())).await.status(), 200);
    sandbox.set_faults([]);
    assert_eq!(http().post(format!("{uploads}?mount=x")).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_closed_connection_gives_no_answer() {
    let sandbox = start();
    let guard = fault(&sandbox, Action::Close);
    assert!(http().get(url(&sandbox, "")).send().await.is_err());
    assert_eq!((guard.hits(), sandbox.requests()[0].status), (1, 0));
}

#[tokio::test]
async fn a_lost_answer_was_work_done() {
    let sandbox = start();
    let url = format!("{}/api/v2/log/entries", sandbox.rekor_v2_url());
    let signer = Signer::github(&sandbox).await;
    let proposal = hashedrekord_v2(&sha256(b"blob"), &signer.key.sign(b"blob"), &signer.leaf);
    let guard = sandbox.fault(Fault::new(Service::RekorV2, Action::LoseAnswer));
    assert!(http().post(&url).json(&proposal).send().await.is_err());
    drop(guard);
    assert_eq!(post(&url, &proposal).await.status(), 409);
}

#[tokio::test]
async fn a_stalled_service_does_not_answer() {
    let sandbox = start();
    let _guard = fault(&sandbox, Action::Stall);
    let request = http().get(url(&sandbox, "")).timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn a_delayed_answer_comes() {
    let sandbox = start();
    let _guard = fault(&sandbox, Action::Delay(Duration::from_millis(100)));
    let start = Instant::now();
    assert_eq!(get(&url(&sandbox, "")).await.status(), 200);
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn an_endless_body_goes_on() {
    let (sandbox, blob) = with_blob().await;
    let _guard = fault(&sandbox, Action::Endless);
    let mut response = get(&blob).await;
    assert_eq!(header(&response, "content-type"), "application/octet-stream");
    let mut length = 0;
    while length < 4 << 20 {
        length += response.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn a_truncated_body_ends_early() {
    let (sandbox, blob) = with_blob().await;
    let _guard = fault(&sandbox, Action::Truncate(4));
    let mut response = get(&blob).await;
    assert_eq!(header(&response, "content-length"), "10");
    assert_eq!(response.chunk().await.unwrap().unwrap(), "0123");
    assert!(response.chunk().await.is_err());
}

#[tokio::test]
async fn a_body_stalls_after_some_bytes() {
    let (sandbox, blob) = with_blob().await;
    let _guard = fault(&sandbox, Action::StallAfter(4));
    let mut response = http().get(&blob).timeout(Duration::from_millis(500)).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "0123");
    assert!(response.chunk().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn head_and_body_are_changed() {
    let (sandbox, blob) = with_blob().await;
    let changed = |action| {
        let guard = fault(&sandbox, action);
        let blob = blob.clone();
        async move {
            let response = get(&blob).await;
            drop(guard);
            response
        }
    };
    let response = changed(Action::WrongContentType("text/html".to_owned())).await;
    assert_eq!(header(&response, "content-type"), "text/html");
    let response = changed(Action::Header("Docker-Content-Digest".to_owned(), None)).await;
    assert_eq!(header(&response, "docker-content-digest"), "");
    let response = changed(Action::Header("X-New".to_owned(), Some("1".to_owned()))).await;
    assert_eq!(header(&response, "x-new"), "1");
    let response = changed(Action::Body(b"other".to_vec())).await;
    assert_eq!(response.text().await.unwrap(), "other");
    let response = changed(Action::Edit(Arc::new(|body| [body, b"!"].concat()))).await;
    assert_eq!(response.text().await.unwrap(), "0123456789!");
    let response = changed(Action::Redirect("http://127.0.0.1:1/".to_owned())).await;
    assert_eq!((response.status().as_u16(), header(&response, "location")), (307, "http://127.0.0.1:1/"));
}

#[tokio::test]
async fn another_client_comes_in_between() {
    let sandbox = start();
    let registry = sandbox.registry().clone();
    let moves = move || registry.set_tag("octo/app", "v1", "sha256:moved");
    let _guard = fault(&sandbox, Action::Before(Arc::new(moves)));
    get(&url(&sandbox, "octo/app/tags/list")).await;
    assert_eq!(sandbox.registry().tags("octo/app"), ["v1"]);
}

#[tokio::test]
async fn every_request_of_every_service_is_logged_in_order() {
    let sandbox = start();
    get(&url(&sandbox, "octo/app/tags/list?n=1")).await;
    let tsa = http().post(sandbox.tsa_url()).bearer_auth("t").json(&json!({})).send().await.unwrap();
    assert_eq!(tsa.status(), 400);
    get(&format!("{}/timestamp.json", sandbox.tuf_url())).await;
    let requests = sandbox.requests();
    let services: Vec<_> = requests.iter().map(|request| request.service).collect();
    assert_eq!(services, [Service::Registry, Service::Tsa, Service::Tuf]);
    assert_eq!((requests[0].path.as_str(), requests[0].query.as_deref()), ("/v2/octo/app/tags/list", Some("n=1")));
    assert_eq!((requests[0].status, requests[0].authorized), (404, false));
    assert_eq!((requests[1].method.as_str(), requests[1].status, requests[1].authorized), ("POST", 400, true));
    assert_eq!(requests[1].content_type.as_deref(), Some("application/json"));
    assert_eq!((&requests[1].body[..], requests[1].body_length), (&b"{}"[..], 2));
    assert_eq!(requests[1].header("authorization"), Some("Bearer t"));
    assert_eq!(sandbox.requests_of(Service::Tuf).len(), 1);
    sandbox.clear_requests();
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let sandbox = start();
    for url in [
        format!("{}/api/v2/signingCert", sandbox.fulcio_url()),
        format!("{}/api/v2/log/entries", sandbox.rekor_v2_url()),
    ] {
        // As grpc-gateway says it; and the answer comes although not all of the body is of use.
        let response = http().post(url).body(vec![b' '; 5 << 20]).send().await.unwrap();
        assert_eq!(response.status(), 400);
        assert!(response.text().await.unwrap().contains("http: request body too large"));
    }
    let response = http().post(sandbox.tsa_url()).body(vec![b' '; 65 << 20]).send().await.unwrap();
    assert_eq!(response.status(), 413);
}

#[test]
fn the_ports_are_free_after_the_end() {
    // Another test may get the port in between; hardly thrice.
    let freed = (0..3).any(|_| {
        let sandbox = start();
        let port = sandbox.registry().host().rsplit(':').next().unwrap().parse().unwrap();
        drop(sandbox);
        Sandbox::start(sandbox::Options { registry_port: port, ..Default::default() }).is_ok()
    });
    assert!(freed);
}
