use countersign_oci::index::{Manifest, ManifestError};
use countersign_oci::{Class, Digest, ImageReference, RegistryError, Tag, limits, media_type};
use sandbox::Action;

use crate::support::{PATH, World, answer, header, index};

#[tokio::test]
async fn a_tag_is_resolved_to_the_digest_of_the_very_bytes() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let reference: ImageReference = format!("{}:v1", world.repository).parse().unwrap();
    let resolved = world.registry.resolve(&reference).await.unwrap();
    assert_eq!(resolved.pinned, pinned);
    assert_eq!(Digest::of(&resolved.manifest.unwrap().bytes), pinned.digest());
    assert_eq!(world.registry.request_count(), 1);
}

#[tokio::test]
async fn a_digest_is_resolved_without_a_request() {
    let world = World::new();
    let reference: ImageReference = format!("{}:v1@{}", world.repository, Digest::of(b"x")).parse().unwrap();
    let resolved = world.registry.resolve(&reference).await.unwrap();
    assert_eq!((resolved.pinned.digest(), resolved.manifest), (Digest::of(b"x"), None));
    assert_eq!(world.registry.request_count(), 0);
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn a_manifest_has_the_digest_that_was_asked_for() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let raw = world.registry.manifest(&pinned).await.unwrap();
    assert_eq!((raw.digest, raw.media_type.as_str()), (pinned.digest(), media_type::OCI_INDEX));
    assert!(matches!(raw.manifest, Manifest::Index(_)));
    assert!(world.registry.manifest_exists(&pinned).await.unwrap());
}

#[tokio::test]
async fn a_changed_manifest_is_rejected_whatever_the_header_says() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let mut bytes = index(&[]).to_vec();
    bytes.push(b' ');
    world.sandbox.registry().overwrite_manifest(PATH, &pinned.digest().to_string(), bytes);
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { expected, .. } if expected == pinned.digest()));
    assert_eq!((error.class(), error.retryable()), (Class::Rejected, false));
    assert_eq!(world.registry.request_count(), 1);
}

#[tokio::test]
async fn a_stated_digest_that_is_not_the_bytes_is_rejected() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let lie = Digest::of(b"lie").to_string();
    let _lie = world.fault("/manifests/", header("Docker-Content-Digest", &lie));
    let reference: ImageReference = format!("{}:v1", world.repository).parse().unwrap();
    for error in
        [world.registry.resolve(&reference).await.unwrap_err(), world.registry.manifest(&pinned).await.unwrap_err()]
    {
        assert!(matches!(error, RegistryError::DigestMismatch { .. }));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new();
    world.put_index("v1");
    let absent = world.repository.pin(Digest::of(b"absent"));
    let error = world.registry.manifest(&absent).await.unwrap_err();
    assert_eq!((error.class(), error.status()), (Class::NotFound, Some(404)));
    assert!(error.to_string().contains("MANIFEST_UNKNOWN"), "{error}");
    assert!(!world.registry.manifest_exists(&absent).await.unwrap());
    let reference: ImageReference = format!("{}:v2", world.repository).parse().unwrap();
    assert_eq!(world.registry.resolve(&reference).await.unwrap_err().class(), Class::NotFound);
}

#[tokio::test]
async fn whether_a_manifest_exists_is_not_guessed() {
    let world = World::new();
    let pinned = world.put_index("v1");
    for status in [400, 403, 501] {
        let _fault = world.fault("/manifests/", Action::status(status));
        assert!(world.registry.manifest_exists(&pinned).await.is_err(), "{status}");
    }
}

#[tokio::test]
async fn a_wrong_content_type_is_refused() {
    let world = World::new();
    let pinned = world.put_index("v1");
    for content_type in [media_type::OCI_MANIFEST, media_type::DOCKER_LIST, "text/html", "application/json"] {
        let _fault = world.fault("/manifests/", Action::WrongContentType(content_type.to_owned()));
        let error = world.registry.manifest(&pinned).await.unwrap_err();
        let RegistryError::Manifest { source: ManifestError::TypesDiffer { .. }, .. } = error else {
            panic!("{content_type}: {error}")
        };
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let _fault = world.fault("/manifests/", Action::Endless);
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (Class::Malformed, "answer-too-large"));
    assert_eq!(world.registry.request_count(), 1);
}

#[tokio::test]
async fn a_manifest_of_4_mib_is_read_and_one_more_byte_is_not() {
    let world = World::new();
    let put = |length: u64| {
        let mut bytes = index(&[]).to_vec();
        bytes.resize(usize::try_from(length).unwrap(), b' ');
        let digest = Digest::of(&bytes);
        world.sandbox.registry().put_manifest(PATH, &digest.to_string(), media_type::OCI_INDEX, bytes);
        world.repository.pin(digest)
    };
    assert!(world.registry.manifest(&put(limits::MANIFEST_BYTES)).await.is_ok());
    let error = world.registry.manifest(&put(limits::MANIFEST_BYTES + 1)).await.unwrap_err();
    assert_eq!(error.code(), "answer-too-large");
}

#[tokio::test]
async fn the_older_signature_tag_is_found_or_absent_and_never_guessed() {
    let world = World::new();
    let pinned = world.put_index("v1");
    assert_eq!(world.registry.cosign_signature_tag(&pinned).await.unwrap(), None);
    let _denied = world.fault_once(".sig", Action::status(403));
    assert_eq!(world.registry.cosign_signature_tag(&pinned).await.unwrap_err().class(), Class::Denied);
    world.put_index(Tag::of_cosign_signature(pinned.digest()).as_str());
    assert!(world.registry.cosign_signature_tag(&pinned).await.unwrap().is_some());
}

#[tokio::test]
async fn a_mapped_host_changes_where_bytes_come_from_and_no_name() {
    let world = World::with(
        |_| {},
        |options, host| {
            options.hosts.insert("quay.io".to_owned(), host.to_owned());
        },
    );
    let pinned = world.put_index("v1");
    let reference: ImageReference = "quay.io/octo/app:v1".parse().unwrap();
    let resolved = world.registry.resolve(&reference).await.unwrap();
    assert_eq!(resolved.pinned.to_string(), format!("quay.io/octo/app@{}", pinned.digest()));
    assert!(world.registry.manifest(&resolved.pinned).await.is_ok());
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused_before_anything_is_sent() {
    let world = World::with(
        |_| {},
        |options, _| {
            options.hosts.insert("quay.io".to_owned(), "http://192.0.2.1:5000".to_owned());
        },
    );
    let reference: ImageReference = "quay.io/octo/app:v1".parse().unwrap();
    let error = world.registry.resolve(&reference).await.unwrap_err();
    assert!(matches!(error, RegistryError::PlainHttp { .. }));
    assert_eq!((error.class(), world.registry.request_count()), (Class::Usage, 0));
}

#[tokio::test]
async fn the_servers_words_reach_messages_in_one_harmless_line() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let body = r#"{"errors":[{"code":"UNSUPPORTED","message":"first\u001b[31m\nsecond"}]}"#;
    let _fault = world.fault("/manifests/", answer(422, body, &[]));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("answered 422 UNSUPPORTED (first\u{fffd}[31m second)"), "{shown}");
    assert!(shown.contains(&pinned.to_string()), "{shown}");
}
