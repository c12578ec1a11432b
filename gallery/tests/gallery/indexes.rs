//! Indexes from the network.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use countersign_gallery::config::Config;
use countersign_gallery::index::{self, FetchError, Fetched, IndexError};
use countersign_oci::Class;
use countersign_oci::http::{HttpOptions, PlainHttp};

/// Answers every request on a free port with the same bytes.
pub(crate) fn serve(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
        }
    });
    format!("http://{address}")
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

async fn fetch(urls: &[&str]) -> Result<Fetched, FetchError> {
    let config = format!("[{{name: g, url: '{}', mirrors: {:?}}}]", urls[0], &urls[1..]);
    let config = Config::from_yaml("c", &config).unwrap();
    let client = countersign_oci::http::client(&HttpOptions::default()).unwrap();
    index::fetch(&config.galleries()[0], &client, PlainHttp::LoopbackOnly).await
}

const GOOD: &str = "- {name: a, uri: 'quay.io/a/b:c'}\n";

#[tokio::test]
async fn an_index_is_read_over_http() {
    let fetched = fetch(&[&serve(answer("200 OK", "", GOOD))]).await.unwrap();
    assert_eq!(fetched.index.entries().count(), 1);
    assert!(!fetched.local);
}

#[tokio::test]
async fn a_redirect_is_followed_and_a_circle_is_not() {
    let good = serve(answer("200 OK", "", GOOD));
    let hop = serve(answer("302 Found", &format!("location: {good}/index.yaml\r\n"), ""));
    fetch(&[&format!("{hop}/x")]).await.unwrap();
    let circle = serve(answer("302 Found", "location: /again\r\n", ""));
    assert!(matches!(fetch(&[&circle]).await, Err(FetchError::Redirect { .. })));
    for location in ["ftp://127.0.0.1/x", "http://example.com/x", "file:///etc/passwd"] {
        let away = serve(answer("302 Found", &format!("location: {location}\r\n"), ""));
        assert!(matches!(fetch(&[&away]).await, Err(FetchError::Redirect { .. })), "{location}");
    }
}

#[tokio::test]
async fn a_mirror_serves_when_the_first_cannot() {
    let good = serve(answer("200 OK", "", GOOD));
    for bad in [answer("503 Service Unavailable", "", ""), answer("404 Not Found", "", ""), String::new()] {
        let fetched = fetch(&[&serve(bad), &good]).await.unwrap();
        assert_eq!(fetched.origin, good);
    }
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fetch(&[&format!("http://{refused}"), "/does/not/exist.yaml", &good]).await.unwrap();
}

#[tokio::test]
async fn a_document_that_is_refused_is_final() {
    let good = serve(answer("200 OK", "", GOOD));
    for bad in ["<html>", "name: a", "[]"] {
        let error = fetch(&[&serve(answer("200 OK", "", bad)), &good]).await.unwrap_err();
        assert!(matches!(error, FetchError::Index(_)), "{error:?}");
        assert_eq!(error.class(), Class::Malformed);
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut() {
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.resize(9 << 20, b'#');
    let error = fetch(&[&serve(endless)]).await.unwrap_err();
    assert!(matches!(error, FetchError::Body { .. }), "{error:?}");
    let announced = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec());
    assert!(matches!(fetch(&[&announced]).await.unwrap_err(), FetchError::Body { .. }));
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    let error = fetch(&["http://index.example/backends"]).await.unwrap_err();
    assert!(matches!(error, FetchError::PlainHttp { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Usage);
}

#[tokio::test]
async fn a_file_is_bounded_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.yaml");
    std::fs::write(&path, GOOD).unwrap();
    let fetched = fetch(&[path.to_str().unwrap()]).await.unwrap();
    assert!(fetched.local);
    std::fs::write(&path, vec![b'#'; 9 << 20]).unwrap();
    let error = fetch(&[path.to_str().unwrap()]).await.unwrap_err();
    assert!(matches!(error, FetchError::Index(IndexError::TooLarge { .. })), "{error:?}");
    let error = fetch(&[directory.path().join("missing").to_str().unwrap()]).await.unwrap_err();
    assert!(matches!(error, FetchError::File { .. }), "{error:?}");
}
