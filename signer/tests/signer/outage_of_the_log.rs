//! The binary against an outage that lasts.

use std::process::Output;
use std::time::{Duration, Instant};

use sandbox::{Action, Fault, Service};
use serde_json::Value;

use crate::program::Job;
use crate::world::World;

/// Signs while the log refuses for so long.
fn sign_through(outage: Duration, further: &[&str]) -> (World, Output) {
    let world = World::start();
    let fault = world.sandbox.fault(Fault::new(Service::RekorV2, Action::status(503)));
    let output = std::thread::scope(|scope| {
        let signing = scope.spawn(|| Job::in_github(&world).sign(further));
        let started = Instant::now();
        while started.elapsed() < outage && !signing.is_finished() {
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(fault);
        signing.join().unwrap()
    });
    (world, output)
}

fn assert_survives(outage: Duration) {
    let (_, output) = sign_through(outage, &["--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the transparency log at http://127.0.0.1") && said.contains("it answered 503"), "{said}");
    assert!(said.contains("trying again in") && said.contains("left"), "{said}");
}

fn assert_gives_up(timeout: Duration) {
    let text = format!("{}s", timeout.as_secs());
    let started = Instant::now();
    let (world, output) = sign_through(timeout * 10, &["--output", "json", "--timeout", &text]);
    assert!(started.elapsed() < timeout + Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &document["errors"][0];
    assert_eq!(error["code"], "service-outage", "{document}");
    assert_eq!((error["class"].as_str(), error["retryable"].as_bool()), (Some("unreachable"), Some(true)));
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("attempts in") && message.contains(&format!("the {text} that this call may take")),
        "{message}"
    );
    assert!(error["hint"].as_str().unwrap().contains("safe to run again"), "{error}");
    world.assert_nothing_attached();
    // The outage is over, and the same call succeeds.
    assert_eq!(Job::in_github(&world).sign(&[]).status.code(), Some(0));
}

#[test]
fn an_outage_of_seconds_is_waited_for_and_told() {
    assert_survives(Duration::from_secs(3));
}

#[test]
fn an_outage_longer_than_the_time_of_the_call_ends_with_4() {
    assert_gives_up(Duration::from_secs(3));
}

/// Only where `COUNTERSIGN_LONG_TESTS` is set: it takes a minute and a half.
#[test]
fn an_outage_of_a_minute_is_waited_for_and_one_of_more_than_20_seconds_ends_with_4() {
    if long_tests() {
        assert_survives(Duration::from_secs(65));
        assert_gives_up(Duration::from_secs(20));
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says how long they may take")]
fn long_tests() -> bool {
    std::env::var_os("COUNTERSIGN_LONG_TESTS").is_some()
}
