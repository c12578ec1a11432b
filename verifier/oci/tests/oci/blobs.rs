use bytes::Bytes;
use countersign_oci::index::Descriptor;
use countersign_oci::{BlobStream, Class, RegistryError};
use futures_util::StreamExt;
use sandbox::Action;

use crate::support::{World, answer, header};

const BLOB: &[u8] = b"0123456789";

/// Returns everything that came, and the error that ended it.
async fn drain(mut stream: BlobStream) -> (Vec<u8>, Option<RegistryError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn a_blob_has_the_size_and_digest_of_its_descriptor() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    assert_eq!(world.registry.blob(&world.repository, &descriptor, 10).await.unwrap(), BLOB);
    let empty = world.put_blob("");
    assert_eq!(world.registry.blob(&world.repository, &empty, 0).await.unwrap(), Bytes::new());
}

#[tokio::test]
async fn a_blob_that_is_not_its_descriptor_is_rejected() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    for (bytes, code) in [
        (&b"012345678X"[..], "digest-mismatch"),
        (b"012345678", "size-mismatch"),
        (b"0123456789X", "size-mismatch"),
        (b"", "size-mismatch"),
    ] {
        world.sandbox.registry().overwrite_blob(&descriptor.digest.to_string(), bytes);
        let error = world.registry.blob(&world.repository, &descriptor, 100).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, Class::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_blob_beyond_the_callers_limit_is_not_asked_for() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    let error = world.registry.blob(&world.repository, &descriptor, 9).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { size: 10, limit: 9, .. }));
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn a_blob_that_never_ends_stops_at_its_size() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    let _fault = world.fault("/blobs/", Action::Endless);
    let error = world.registry.blob(&world.repository, &descriptor, 100).await.unwrap_err();
    assert_eq!(error.code(), "size-mismatch");
    let stream = world.registry.blob_stream(&world.repository, &descriptor, 0).await;
    let (bytes, error) = match stream {
        Ok(stream) => drain(stream).await,
        Err(error) => (Vec::new(), Some(error)),
    };
    assert!(bytes.len() <= 10);
    assert_eq!(error.unwrap().code(), "size-mismatch");
}

#[tokio::test]
async fn a_stream_is_the_whole_blob_or_what_is_left_of_it() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    for offset in [0, 1, 9, 10] {
        let stream = world.registry.blob_stream(&world.repository, &descriptor, offset).await.unwrap();
        let (bytes, error) = drain(stream).await;
        assert_eq!(bytes, &BLOB[usize::try_from(offset).unwrap()..]);
        assert!(error.is_none());
    }
    assert!(world.registry.blob_stream(&world.repository, &descriptor, 11).await.is_err());
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_and_can_be_resumed() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    let broken = world.fault("/blobs/", Action::Truncate(4));
    let stream = world.registry.blob_stream(&world.repository, &descriptor, 0).await.unwrap();
    let (mut bytes, error) = drain(stream).await;
    assert!(error.unwrap().retryable());
    assert!(bytes.len() <= 4);
    drop(broken);
    let offset = bytes.len() as u64;
    let stream = world.registry.blob_stream(&world.repository, &descriptor, offset).await.unwrap();
    bytes.extend(drain(stream).await.0);
    assert_eq!(bytes, BLOB);
}

#[tokio::test]
async fn a_range_that_is_ignored_or_another_is_told_apart() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    for action in [
        answer(200, "0123456789", &[]),
        header("Content-Range", "bytes 0-4/10"),
        header("Content-Range", "bytes 5-9/11"),
        Action::Header("Content-Range".to_owned(), None),
    ] {
        let _fault = world.fault("/blobs/", action.clone());
        let error = world.registry.blob_stream(&world.repository, &descriptor, 5).await.unwrap_err();
        assert!(matches!(error, RegistryError::RangeIgnored { offset: 5, .. }), "{action:?}: {error}");
    }
    let _fault = world.fault("/blobs/", answer(206, "0123456789", &[("Content-Range", "bytes 0-9/10")]));
    assert!(world.registry.blob_stream(&world.repository, &descriptor, 0).await.is_err());
}

#[tokio::test]
async fn a_stream_of_another_size_is_rejected_at_its_head() {
    let world = World::new();
    let descriptor = world.put_blob(BLOB);
    for bytes in [&b"0123456789X"[..], b"012345678"] {
        world.sandbox.registry().overwrite_blob(&descriptor.digest.to_string(), bytes);
        let error = world.registry.blob_stream(&world.repository, &descriptor, 0).await.unwrap_err();
        assert!(matches!(error, RegistryError::SizeMismatch { expected: 10, .. }));
    }
}

#[tokio::test]
async fn a_stream_that_stalls_ends() {
    let world = World::with(|_| {}, |options, _| options.idle_timeout = std::time::Duration::from_millis(200));
    let descriptor = world.put_blob(BLOB);
    let _fault = world.fault("/blobs/", Action::StallAfter(3));
    let stream = world.registry.blob_stream(&world.repository, &descriptor, 0).await.unwrap();
    let (bytes, error) = drain(stream).await;
    assert!(bytes.len() <= 3);
    assert_eq!(error.unwrap().class(), Class::Unreachable);
}

#[tokio::test]
async fn addresses_in_a_descriptor_are_never_followed() {
    let world = World::new();
    let elsewhere = World::new();
    let mut descriptor = Descriptor::of("application/octet-stream", BLOB);
    descriptor.urls = vec![format!("http://{}/steal", elsewhere.sandbox.registry().host())];
    let error = world.registry.blob(&world.repository, &descriptor, 100).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
    assert!(elsewhere.requests().is_empty());
}
