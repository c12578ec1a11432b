use std::time::Duration;

use bytes::Bytes;
use countersign_oci::{Class, Copied, Credential, Credentials, Digest, RegistryError, Repository, Secret};
use sandbox::{Action, Auth, Fault, Service};

use crate::support::{World, answer};

const BLOB: &[u8] = b"0123456789";

impl World {
    fn other_repository(&self) -> Repository {
        format!("{}/octo/release", self.sandbox.registry().host()).parse().unwrap()
    }

    fn fault_of(&self, method: &str, path: &str, action: Action) -> sandbox::FaultGuard {
        self.sandbox.fault(Fault::new(Service::Registry, action).method(method).path(path).times(1))
    }

    async fn copy(&self, to: &Repository, digest: Digest, size: u64) -> Result<Copied, RegistryError> {
        self.pusher().copy_blob(&self.repository, to, digest, size).await
    }

    fn has(&self, repository: &str, digest: Digest) -> bool {
        self.sandbox.registry().has_blob(repository, &digest.to_string())
    }
}

#[tokio::test]
async fn a_blob_of_the_same_registry_is_mounted_with_one_request() {
    let world = World::new();
    let (descriptor, to) = (world.put_blob(BLOB), world.other_repository());
    let copy = || async { world.copy(&to, descriptor.digest, descriptor.size).await };
    assert_eq!(copy().await.unwrap(), Copied::Mounted);
    assert!(world.has("octo/release", descriptor.digest));
    // It is known to be there.
    assert_eq!(copy().await.unwrap(), Copied::Present);
    let within = world.pusher().copy_blob(&to, &to, descriptor.digest, descriptor.size).await.unwrap();
    assert_eq!((within, world.requests().len()), (Copied::Present, 1));
}

#[tokio::test]
async fn a_mount_asks_for_the_right_to_read_the_source() {
    let auth = Auth::Bearer { user: "octo".to_owned(), password: "canary".to_owned() };
    let world = World::with(
        |sandbox| sandbox.auth = auth,
        |options, host| {
            let mut credentials = Credentials::new();
            let password = Secret::new("canary".to_owned());
            credentials.add(host, Credential::Basic { username: "octo".to_owned(), password }, "test");
            options.credentials = credentials;
        },
    );
    let (descriptor, to) = (world.put_blob(BLOB), world.other_repository());
    let copied = world.copy(&to, descriptor.digest, descriptor.size).await;
    assert_eq!(copied.unwrap(), Copied::Mounted);
    let requests = world.sandbox.requests();
    let scopes: Vec<_> =
        requests.iter().filter(|one| one.path == "/token").map(|one| one.query.clone().unwrap_or_default()).collect();
    assert_eq!(scopes.len(), 1);
    assert!(scopes[0].contains("scope=repository%3Aocto%2Frelease%3Apull%2Cpush"), "{scopes:?}");
    assert!(scopes[0].contains("scope=repository%3Aocto%2Fapp%3Apull"), "{scopes:?}");
}

#[tokio::test]
async fn a_mount_that_is_not_made_becomes_an_upload() {
    for (mounts, refusal, requests) in [
        // 202: the mount, a look, the source, and the session that was opened is used.
        (false, None, 4),
        // Refused in other words: a session is opened in its place.
        (true, Some(Action::status(405)), 5),
        (true, Some(answer(403, r#"{"errors":[{"code":"DENIED"}]}"#, &[])), 5),
        (true, Some(Action::status(404)), 5),
    ] {
        let world = World::with(|sandbox| sandbox.mounts = mounts, |_, _| {});
        let (descriptor, to) = (world.put_blob(BLOB), world.other_repository());
        let _refused = refusal.map(|refusal| world.fault_of("POST", "mount=", refusal));
        let copied = world.copy(&to, descriptor.digest, descriptor.size).await;
        assert_eq!(copied.unwrap(), Copied::Streamed);
        assert!(world.has("octo/release", descriptor.digest));
        assert_eq!(world.requests().len(), requests, "{:?}", world.requests());
    }
}

#[tokio::test]
async fn a_blob_of_another_registry_is_streamed() {
    let (world, other) = (World::new(), World::new());
    for bytes in [Bytes::from_static(BLOB), Bytes::from(vec![7; 3 << 20]), Bytes::new()] {
        let descriptor = world.put_blob(bytes.clone());
        let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
        assert_eq!(copied.await.unwrap(), Copied::Streamed);
        assert_eq!(other.sandbox.registry().get_blob(&descriptor.digest.to_string()).unwrap(), bytes);
    }
    let puts: Vec<_> = other.sandbox.requests().into_iter().filter(|one| one.method == "PUT").collect();
    assert_eq!(puts[1].header("content-length"), Some("3145728"));
    assert!(puts[1].header("transfer-encoding").is_none());
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_read() {
    let (world, other) = (World::new(), World::new());
    let descriptor = world.put_blob(BLOB);
    other.put_blob(BLOB);
    let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
    assert_eq!(copied.await.unwrap(), Copied::Present);
    assert_eq!((world.requests().len(), other.requests().len()), (0, 1));
}

#[tokio::test]
async fn a_source_that_lies_is_not_stored() {
    for (bytes, code) in [
        (&b"012345678X"[..], "digest-mismatch"),
        (b"0123456789X", "size-mismatch"),
        (b"012345678", "size-mismatch"),
        (b"", "size-mismatch"),
    ] {
        let (world, other) = (World::new(), World::new());
        let descriptor = world.put_blob(BLOB);
        world.sandbox.registry().overwrite_blob(&descriptor.digest.to_string(), bytes);
        let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
        let error = copied.await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, Class::Rejected), "{error}");
        assert_eq!(other.requests_to("PUT"), 0, "no upload was finished: {:?}", other.requests());
        assert!(other.sandbox.registry().get_blob(&descriptor.digest.to_string()).is_none());
    }
    // The size of an empty blob says it all.
    let (world, other) = (World::new(), World::new());
    let error = world.copy(&other.repository, Digest::of(BLOB), 0).await.unwrap_err();
    assert_eq!(error.code(), "digest-mismatch");
}

#[tokio::test]
async fn a_source_that_does_not_state_its_size_cannot_go_beyond_it() {
    let (world, other) = (World::new(), World::new());
    let descriptor = world.put_blob(BLOB);
    let _endless = world.fault("/blobs/", Action::Endless);
    let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
    assert_eq!(copied.await.unwrap_err().code(), "size-mismatch");
    assert_eq!(other.requests_to("PUT"), 0);
}

#[tokio::test]
async fn a_source_that_has_nothing_opens_no_session() {
    let (world, other) = (World::new(), World::new());
    let copied = world.copy(&other.repository, Digest::of(BLOB), 10);
    assert_eq!(copied.await.unwrap_err().class(), Class::NotFound);
    assert_eq!(other.requests_to("POST"), 0);
}

#[tokio::test]
async fn a_source_that_breaks_off_is_read_on() {
    let (world, other) = (World::new(), World::new());
    let bytes = Bytes::from((0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let descriptor = world.put_blob(bytes.clone());
    let _broken = world.fault_of("GET", "/blobs/", Action::Truncate(500_000));
    let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
    assert_eq!(copied.await.unwrap(), Copied::Streamed);
    assert_eq!(other.sandbox.registry().get_blob(&descriptor.digest.to_string()).unwrap(), bytes);
    let ranges: Vec<_> = world.sandbox.requests().iter().map(|one| one.header("range").is_some()).collect();
    assert_eq!((ranges, other.requests_to("PUT")), (vec![false, true], 1));
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_looked_for() {
    let (world, other) = (World::new(), World::new());
    let descriptor = world.put_blob(BLOB);
    let _lost = other.fault_of("PUT", "/blobs/uploads/", Action::LoseAnswer);
    let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
    assert_eq!(copied.await.unwrap(), Copied::Streamed);
    assert_eq!(other.requests_to("PUT"), 1);
    assert_eq!(world.requests_to("GET"), 1);
}

#[tokio::test]
async fn outages_on_either_side_are_met_by_copying_again() {
    for action in [Action::status(503), Action::Close] {
        for (of_target, method, path) in [
            (true, "HEAD", "/blobs/"),
            (true, "POST", "/uploads"),
            (true, "PUT", "/uploads"),
            (false, "GET", "/blobs/"),
        ] {
            let (world, other) = (World::new(), World::new());
            let descriptor = world.put_blob(BLOB);
            let fault = if of_target { &other } else { &world }.fault_of(method, path, action.clone());
            let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
            assert_eq!(copied.await.unwrap(), Copied::Streamed, "{method} {action:?}");
            assert_eq!(fault.hits(), 1);
        }
    }
}

#[tokio::test]
async fn who_may_write_but_not_look_can_copy() {
    let (world, other) = (World::new(), World::new());
    let descriptor = world.put_blob(BLOB);
    let _denied = other.fault_of("HEAD", "/blobs/", Action::status(403));
    let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
    assert_eq!(copied.await.unwrap(), Copied::Streamed);
}

#[tokio::test]
async fn a_target_that_takes_long_to_store_is_waited_for_and_one_that_stalls_is_not() {
    let (world, other) = (
        World::with(
            |_| {},
            |options, _| {
                options.idle_timeout = Duration::from_millis(200);
                options.total_timeout = Duration::from_secs(2);
                options.retry.attempts = 1;
            },
        ),
        World::new(),
    );
    let descriptor = world.put_blob(BLOB);
    let slow = other.fault_of("PUT", "/uploads", Action::Delay(Duration::from_millis(700)));
    let copied = world.copy(&other.repository, descriptor.digest, descriptor.size);
    assert_eq!(copied.await.unwrap(), Copied::Streamed);
    drop(slow);
    let second = world.put_blob("another");
    let _stall = other.fault_of("PUT", "/uploads", Action::Stall);
    let copied = world.copy(&other.repository, second.digest, second.size);
    assert!(matches!(copied.await.unwrap_err(), RegistryError::TimedOut { .. }));
}
