use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_oci::http::{Budget, Time};
use countersign_oci::{Class, Digest, RegistryError};
use sandbox::{Action, Fault, Service};

use crate::support::{World, answer};

/// A time that passes only in pauses.
#[derive(Clone, Default)]
struct Pauses(Arc<Mutex<Vec<Duration>>>);

impl Pauses {
    fn all(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

impl Time for Pauses {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.all().iter().sum()
    }

    fn sleep(&self, pause: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.lock().unwrap().push(pause);
        Box::pin(std::future::ready(()))
    }
}

fn world(total: Duration) -> (World, Pauses, Budget) {
    let time = Pauses::default();
    let budget = Budget::new(Arc::new(time.clone()), total);
    let of_client = budget.clone();
    let world = World::with(
        |_| {},
        |options, _| {
            options.budget = Some(of_client);
            options.visible_within = Duration::from_secs(30);
            options.retry.first_pause = Duration::from_millis(200);
            options.retry.longest_pause = Duration::from_secs(30);
        },
    );
    (world, time, budget)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_outage_is_met_for_as_long_as_the_budget_lasts() {
    let (world, time, budget) = world(10 * MINUTE);
    let pinned = world.put_index("v1");
    for action in [Action::status(503), Action::status(408), Action::Close] {
        let _down = world.sandbox.fault(Fault::new(Service::Registry, action.clone()).path("/manifests/").times(7));
        assert!(world.registry.manifest(&pinned).await.is_ok(), "{action:?}");
    }
    let pauses = time.all();
    assert_eq!(pauses.len(), 21);
    assert!(pauses[0] >= Duration::from_millis(200) && pauses[6] > pauses[0], "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(30)));
    assert!(budget.remaining() < 10 * MINUTE);
    let _down = world.fault("/manifests/", Action::status(503));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!((error.class(), error.retryable()), (Class::Unreachable, true));
    // What is left is less than a pause.
    assert!(budget.remaining() <= Duration::from_secs(30), "{:?}", budget.remaining());
    assert!(time.all().len() > 30);
}

#[tokio::test]
async fn the_wish_of_a_server_is_heeded_in_full() {
    let (world, time, budget) = world(10 * MINUTE);
    let pinned = world.put_index("v1");
    let _throttled = world.fault_once("/manifests/", answer(429, "", &[("Retry-After", "90")]));
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert_eq!(time.all(), [Duration::from_secs(90)]);
    let _later = world.fault_once("/manifests/", answer(503, "", &[("Retry-After", "3600")]));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!((error.retryable(), error.answer().unwrap().retry_after), (true, Some(60 * MINUTE)));
    assert_eq!((time.all().len(), budget.remaining()), (1, 10 * MINUTE - Duration::from_secs(90)));
}

#[tokio::test]
async fn a_refusal_fails_at_once_in_the_servers_words() {
    let (world, time, _) = world(10 * MINUTE);
    let pinned = world.put_index("v1");
    for status in [400, 401, 403, 404, 409] {
        let body = r#"{"errors":[{"code":"DENIED","message":"the login has expired"}]}"#;
        let _refused = world.fault("/manifests/", answer(status, body, &[("WWW-Authenticate", "Basic realm=x")]));
        let error = world.registry.manifest(&pinned).await.unwrap_err();
        assert!(error.to_string().contains("the login has expired"), "{error}");
    }
    assert!(time.all().is_empty());
}

#[tokio::test]
async fn writers_have_the_budget_too() {
    let (world, time, _) = world(10 * MINUTE);
    let pusher = world.pusher();
    let down = |path: &str| world.sandbox.fault(Fault::new(Service::Registry, Action::status(503)).path(path).times(6));
    let uploads = down("/blobs/uploads");
    pusher.prove_write(&world.repository).await.unwrap();
    assert_eq!(uploads.hits(), 6);
    world.sandbox.registry().set_referrers_api(false);
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let writes = Fault::new(Service::Registry, Action::status(502)).method("PUT").path("/manifests/sha256-").times(9);
    let writes = world.sandbox.fault(writes);
    pusher.update_tag_schema(&subject, &[ours]).await.unwrap();
    assert_eq!(writes.hits(), 9);
    assert_eq!(time.all().len(), 15);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_given_up_by_the_clock_on_the_wall() {
    let time = Pauses::default();
    let budget = Budget::new(Arc::new(time.clone()), Duration::from_secs(2));
    let world = World::with(
        |_| {},
        |options, _| {
            options.budget = Some(budget);
            options.total_timeout = Duration::from_millis(200);
            options.retry.first_pause = Duration::from_millis(500);
        },
    );
    let pinned = world.put_index("v1");
    let stall = world.fault("/manifests/", Action::StallAfter(5));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error}");
    assert!(stall.hits() > 1);
}

#[tokio::test]
async fn a_manifest_that_stays_away_is_waited_for_as_long_as_the_options_say() {
    let (world, time, _) = world(10 * MINUTE);
    world.put_index("v1");
    let pinned = world.repository.pin(Digest::of(b"absent"));
    let error = world.registry.wait_for_manifest(&pinned).await.unwrap_err();
    assert_eq!(error.class(), Class::NotFound);
    assert_eq!(time.all().iter().sum::<Duration>(), Duration::from_secs(30));
}
