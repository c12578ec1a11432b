//! Layers that arrive badly.

use countersign_gallery::install::InstallError;
use countersign_oci::Class;
use sandbox::image::{File, ImageSpec, Layer};
use sandbox::{Action, Fault, GithubIdentity, Service};

use crate::world::{MIRROR, World};

/// A backend of several layers, each larger than one read.
async fn heavy() -> (World, Vec<String>) {
    let world = World::start();
    let mut layers = vec![Layer::new(&[File { mode: 0o755, ..File::new("run.sh", "#!/bin/sh\n") }])];
    for number in 0..6_u32 {
        let mut state = number + 1;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(700_000)
        .collect();
        layers.push(Layer::new(&[File::new(&format!("data/{number}"), noise)]));
    }
    let digests = layers.iter().map(Layer::digest).collect();
    world.push(&ImageSpec::new(layers), "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    (world, digests)
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_arrive_once_each() {
    let (world, digests) = heavy().await;
    world.sandbox.clear_requests();
    world.installed(&world.call("cpu-llama-cpp")).await;
    for digest in digests {
        let fetched = world.sandbox.requests().iter().filter(|request| request.path.ends_with(&digest)).count();
        assert_eq!(fetched, 1, "{digest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_breaks_off_goes_on_where_it_stopped() {
    let (world, digests) = heavy().await;
    let fault = Fault::new(Service::Registry, Action::Truncate(300_000)).path(&digests[3]).times(2);
    let guard = world.sandbox.fault(fault);
    world.sandbox.clear_requests();
    world.installed(&world.call("cpu-llama-cpp")).await;
    assert_eq!(guard.hits(), 2);
    let requests = world.sandbox.requests();
    let ranges: Vec<_> = requests
        .iter()
        .filter(|request| request.path.ends_with(&digests[3]))
        .map(|request| request.headers.get("range").map(|range| range.to_str().unwrap().to_owned()))
        .collect();
    assert!(ranges.len() >= 3 && ranges[0].is_none(), "{ranges:?}");
    assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_never_ends_is_cut_at_its_size() {
    let (world, digests) = heavy().await;
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::Endless).path(&digests[2]));
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert!(matches!(error, InstallError::Pull(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_layer_among_many_leaves_nothing() {
    let (world, digests) = heavy().await;
    let _fault =
        world.sandbox.fault(Fault::new(Service::Registry, Action::Body(b"x".repeat(700_000))).path(&digests[4]));
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_eq!(error.class(), Class::Rejected, "{error:?}");
    assert!(world.mirror.requests_of(Service::Registry).iter().all(|request| !request.path.contains(MIRROR)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_stops_altogether_can_be_tried_again() {
    let (world, digests) = heavy().await;
    let fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(503)).path(&digests[1]));
    let mirror = world.mirror.fault(Fault::new(Service::Registry, Action::status(503)).path(&digests[1]));
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_eq!(error.class(), Class::Unreachable, "{error:?}");
    assert!(error.retryable());
    drop((fault, mirror));
    world.installed(&world.call("cpu-llama-cpp")).await;
}
