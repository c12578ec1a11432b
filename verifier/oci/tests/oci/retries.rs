use std::time::{Duration, Instant};

use countersign_oci::{Class, Pusher, Registry, RegistryError};
use sandbox::Action;

use crate::support::{World, answer, patient_options};

#[tokio::test]
async fn outages_are_met_by_asking_again() {
    let world = World::new();
    let pinned = world.put_index("v1");
    for action in [
        Action::status(408),
        Action::status(500),
        Action::status(502),
        Action::status(503),
        Action::status(504),
        answer(429, "", &[("Retry-After", "1")]),
        Action::Close,
        Action::Truncate(5),
        Action::LoseAnswer,
    ] {
        world.sandbox.clear_requests();
        let _fault = world.fault_once("/manifests/", action.clone());
        assert!(world.registry.manifest(&pinned).await.is_ok(), "{action:?}");
        assert_eq!(world.requests().len(), 2, "{action:?}");
    }
}

#[tokio::test]
async fn refusals_are_not_asked_again() {
    let world = World::new();
    let pinned = world.put_index("v1");
    for status in [400, 403, 404, 405, 409, 410, 412, 413, 416, 422, 451, 501] {
        world.sandbox.clear_requests();
        let _fault = world.fault("/manifests/", Action::status(status));
        let error = world.registry.manifest(&pinned).await.unwrap_err();
        assert_eq!((error.status(), error.retryable()), (Some(status), false));
        assert_eq!(world.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn an_outage_that_lasts_ends_with_its_own_reason() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let throttled = world.fault("/manifests/", answer(429, "", &[("Retry-After", "3600")]));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Throttled, true));
    assert_eq!(error.answer().unwrap().retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(throttled.hits(), 5);
    drop(throttled);
    let _down = world.fault("/manifests/", Action::status(503));
    assert_eq!(world.registry.manifest(&pinned).await.unwrap_err().class(), Class::Unreachable);
}

#[tokio::test]
async fn an_answer_that_never_begins_is_given_up() {
    let world = World::with(
        |_| {},
        |options, _| {
            options.idle_timeout = Duration::from_millis(100);
            options.retry.attempts = 2;
        },
    );
    let pinned = world.put_index("v1");
    let stalled = world.fault("/manifests/", Action::Stall);
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error}");
    assert_eq!(stalled.hits(), 2);
}

#[tokio::test]
async fn one_deadline_bounds_all_attempts() {
    let world = World::with(|_| {}, |options, _| options.total_timeout = Duration::from_millis(300));
    let pinned = world.put_index("v1");
    let _fault = world.fault("/manifests/", Action::StallAfter(5));
    let begun = Instant::now();
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let world = World::with(|_| {}, |options, _| options.retry.attempts = 2);
    let pinned = world.put_index("v1");
    drop(world.sandbox);
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (Class::Unreachable, "unreachable"));
    assert_eq!(world.registry.request_count(), 2);
}

#[tokio::test]
async fn writes_are_repeated_because_digests_make_them_harmless() {
    let world = World::new();
    for action in [Action::LoseAnswer, Action::status(503), Action::Close] {
        let fault = world.fault_once("/blobs/uploads", action.clone());
        let pusher = Pusher::new(world.other_registry());
        assert!(pusher.prove_write(&world.repository).await.is_ok(), "{action:?}");
        assert_eq!(fault.hits(), 1);
    }
}

#[tokio::test]
async fn this_machine_is_reached_past_every_proxy() {
    let world = World::with(
        |_| {},
        |options, _| {
            // Nobody listens there, and the passwords must stay out of every text.
            options.proxies.http = Some("http://user:canary@127.0.0.1:1".to_owned());
            options.proxies.https = Some("http://user:canary@127.0.0.1:1".to_owned());
            assert!(!format!("{options:?}").contains("canary"));
        },
    );
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
}

#[tokio::test]
async fn a_proxy_that_is_none_is_an_error_when_the_client_is_built() {
    let mut options = patient_options();
    options.proxies.https = Some("http://user:canary@[".to_owned());
    let error = Registry::new(options).unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_storm_of_interim_answers_ends_with_the_time_of_the_call() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let storm = "HTTP/1.1 100 Continue\r\n\r\n".repeat(64);
                while client.writable().await.is_ok() {
                    match client.try_write(storm.as_bytes()) {
                        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                        _ => tokio::task::yield_now().await,
                    }
                }
            });
        }
    });
    let mut options = patient_options();
    options.idle_timeout = Duration::from_millis(300);
    options.total_timeout = Duration::from_secs(1);
    let registry = Registry::new(options).unwrap();
    let begun = Instant::now();
    let pinned = format!("{host}/octo/app@{}", countersign_oci::Digest::of(b"x")).parse().unwrap();
    let error = registry.manifest(&pinned).await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
