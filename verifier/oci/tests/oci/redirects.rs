use countersign_oci::{Credential, Credentials, RegistryError, Secret, media_type};
use countersign_oci::{ManifestTarget, Tag};
use sandbox::{Action, Auth};

use crate::support::{PATH, World, index};

fn authenticated() -> World {
    World::with(
        |sandbox| sandbox.auth = Auth::Basic { user: "octo".to_owned(), password: "canary".to_owned() },
        |options, host| {
            let mut credentials = Credentials::new();
            let password = Secret::new("canary".to_owned());
            credentials.add(host, Credential::Basic { username: "octo".to_owned(), password }, "test");
            options.credentials = credentials;
        },
    )
}

#[tokio::test]
async fn a_read_follows_to_another_origin_without_its_credentials() {
    let world = authenticated();
    let storage = World::new();
    let descriptor = world.put_blob("layer");
    storage.put_blob("layer");
    let path = format!("/v2/{PATH}/blobs/{}", descriptor.digest);
    // The credentials are known to be needed before the redirect comes.
    assert!(world.registry.blob(&world.repository, &descriptor, 10).await.is_ok());
    let _fault = world.fault("/blobs/", Action::Redirect(format!("{}{path}?sig=1", storage.sandbox.registry().url())));
    assert_eq!(world.registry.blob(&world.repository, &descriptor, 10).await.unwrap(), "layer");
    let requests = storage.sandbox.requests();
    assert_eq!(requests.len(), 1);
    assert!(!requests[0].authorized && !requests[0].headers.contains_key("cookie"));
    assert!(!requests[0].headers.values().any(|value| value.to_str().unwrap_or_default().contains("Y2FuYXJ5")));
}

#[tokio::test]
async fn credentials_stay_away_after_a_redirect_back() {
    let world = authenticated();
    let storage = World::new();
    let descriptor = world.put_blob("layer");
    assert!(world.registry.blob(&world.repository, &descriptor, 10).await.is_ok());
    let path = format!("/v2/{PATH}/blobs/{}", descriptor.digest);
    let _there = world.fault_once("/blobs/", Action::Redirect(format!("{}{path}", storage.sandbox.registry().url())));
    let _back = storage.fault("/blobs/", Action::Redirect(format!("{}{path}", world.sandbox.registry().url())));
    world.sandbox.clear_requests();
    let error = world.registry.blob(&world.repository, &descriptor, 10).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    let authorized: Vec<bool> = world.sandbox.requests().iter().map(|one| one.authorized).collect();
    assert_eq!(authorized, [true, false]);
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_the_credentials() {
    let world = authenticated();
    let descriptor = world.put_blob("layer");
    let path = format!("/v2/{PATH}/blobs/{}", descriptor.digest);
    assert!(world.registry.blob(&world.repository, &descriptor, 10).await.is_ok());
    let _fault = world.fault_once("/blobs/", Action::Redirect(path));
    assert!(world.registry.blob(&world.repository, &descriptor, 10).await.is_ok());
}

#[tokio::test]
async fn redirects_without_end_are_given_up() {
    let world = World::new();
    let descriptor = world.put_blob("layer");
    let path = format!("/v2/{PATH}/blobs/{}", descriptor.digest);
    let _fault = world.fault("/blobs/", Action::Redirect(path));
    let error = world.registry.blob(&world.repository, &descriptor, 10).await.unwrap_err();
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
    assert_eq!(world.requests().len(), 6);
}

#[tokio::test]
async fn a_redirect_to_plain_http_elsewhere_or_to_nowhere_is_refused() {
    let world = World::new();
    let descriptor = world.put_blob("layer");
    for location in [
        "http://192.0.2.1/",
        "http://169.254.169.254/latest/meta-data",
        "ftp://192.0.2.1/",
        "http://",
        "http://u:p@127.0.0.1/",
    ] {
        let _fault = world.fault("/blobs/", Action::Redirect(location.to_owned()));
        let before = world.registry.request_count();
        let error = world.registry.blob(&world.repository, &descriptor, 10).await.unwrap_err();
        assert_eq!(error.code(), "redirect-refused", "{location}");
        assert_eq!(world.registry.request_count(), before + 1, "{location}");
    }
}

#[tokio::test]
async fn a_write_follows_no_redirect() {
    let world = World::new();
    let elsewhere = World::new();
    let base = elsewhere.sandbox.registry().url();
    let tag: Tag = "v1".parse().unwrap();
    let _uploads = world.fault("/blobs/uploads", Action::Redirect(format!("{base}/v2/{PATH}/blobs/uploads/")));
    let _manifests = world.fault("/manifests/", Action::Redirect(format!("{base}/v2/{PATH}/manifests/v1")));
    let pusher = world.pusher();
    let blob = pusher.prove_write(&world.repository).await.unwrap_err();
    let manifest =
        pusher.push_manifest(&world.repository, ManifestTarget::Tag(&tag), index(&[]), media_type::OCI_INDEX);
    assert_eq!((blob.code(), manifest.await.unwrap_err().code()), ("redirect-refused", "redirect-refused"));
    assert!(elsewhere.requests().is_empty());
}
