//! Mirrors change where bytes come from, and nothing else.

use countersign_gallery::catalogue::Catalogue;
use countersign_gallery::config::Config;
use countersign_gallery::index;
use countersign_gallery::install::{self, InstallError, Prepared, Request};
use countersign_gallery::integrity::Strictness;
use countersign_gallery::source::SourceError;
use countersign_oci::Class;
use countersign_oci::http::{HttpOptions, PlainHttp};
use countersign_verifier::Verdict;
use sandbox::image::ImageSpec;
use sandbox::{Action, Fault, GithubIdentity, Service};

use crate::indexes::{answer, serve};
use crate::world::{Call, MIRROR, REPOSITORY, World};

/// Copies what is attached to the image from the registry to its mirror, as a copying mirror does.
fn copy_signatures(world: &World, subject: &str) {
    let registry = world.sandbox.registry();
    for descriptor in registry.referrers(REPOSITORY, subject) {
        let digest = descriptor["digest"].as_str().unwrap();
        let manifest = registry.get_manifest(REPOSITORY, digest).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&manifest.bytes).unwrap();
        for blob in std::iter::once(&document["config"]).chain(document["layers"].as_array().unwrap()) {
            let bytes = registry.get_blob(blob["digest"].as_str().unwrap()).unwrap();
            world.mirror.registry().put_blob(MIRROR, bytes);
        }
        world.mirror.registry().put_manifest(MIRROR, digest, &manifest.media_type, manifest.bytes);
    }
}

fn outage() -> Fault {
    Fault::new(Service::Registry, Action::Close)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_serves_when_the_registry_cannot_be_reached() {
    let (world, image) = World::signed().await;
    copy_signatures(&world, image.digest());
    let _outage = world.sandbox.fault(outage());
    let more = "    require: {repository: true, tag: true}\n";
    let outcome = world.installed(&Call { trust: world.policy(more), ..world.call("cpu-llama-cpp") }).await;
    let receipt = outcome.receipt.unwrap();
    assert_eq!(receipt.served_by, format!("docker.io/{MIRROR}"));
    assert_eq!(receipt.asked, format!("quay.io/{REPOSITORY}:latest-cpu-llama-cpp"), "what was asked for stays");
    assert_eq!(outcome.attempts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mirror_serves_must_be_signed_under_the_entrys_own_name() {
    let world = World::start();
    world.push(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()), "cpu-llama-cpp");
    // Signed by the right job, but for the mirror's repository only.
    world.sign_reference(&format!("docker.io/{MIRROR}:latest-cpu-llama-cpp"), &GithubIdentity::default()).await;
    let _outage = world.sandbox.fault(outage());
    let more = "    require: {repository: true}\n";
    let error = world.refused(&Call { trust: world.policy(more), ..world.call("cpu-llama-cpp") }).await;
    assert!(
        matches!(&error, InstallError::NotVerified(verdict) if matches!(**verdict, Verdict::Rejected(_))),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_final_and_no_mirror_is_asked() {
    let (world, image) = World::signed().await;
    copy_signatures(&world, image.digest());
    world.sandbox.registry().set_tag(REPOSITORY, "latest-cpu-llama-cpp", &image.platforms[1].manifest.digest);
    for referrer in world.sandbox.registry().referrers(REPOSITORY, &image.platforms[1].manifest.digest) {
        world.sandbox.registry().remove_manifest(REPOSITORY, referrer["digest"].as_str().unwrap());
    }
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_eq!(error.class(), Class::Rejected, "{error:?}");
    assert!(world.mirror.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_not_looked_for_elsewhere() {
    let (world, _) = World::signed().await;
    world.sandbox.registry().remove_tag(REPOSITORY, "latest-cpu-llama-cpp");
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_eq!(error.class(), Class::NotFound, "{error:?}");
    assert!(world.mirror.requests().is_empty());
    let InstallError::Registry { unasked, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*unasked, 1);
    let hint = error.hint().unwrap();
    assert!(hint.contains("1 mirror was not asked: only a source that cannot be reached"), "{hint}");

    let index = format!("- {{name: alone, uri: 'quay.io/{REPOSITORY}:latest-cpu-llama-cpp'}}");
    let error = world.refused(&Call { index: &index, ..world.call("alone") }).await;
    assert!(matches!(error, InstallError::Registry { unasked: 0, .. }), "{error:?}");
    assert!(error.hint().is_none_or(|hint| !hint.contains("mirror")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nothing_can_be_reached_every_attempt_is_named() {
    let (world, _) = World::signed().await;
    let (_one, _two) = (world.sandbox.fault(outage()), world.mirror.fault(outage()));
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    let InstallError::Unreachable { attempts, .. } = &error else { panic!("{error:?}") };
    assert_eq!(attempts.len(), 2);
    assert_eq!(error.class(), Class::Unreachable);
    assert!(error.retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_delivers_layers_when_the_registry_stops() {
    let (world, _) = World::signed().await;
    let _outage = world.sandbox.fault(Fault::new(Service::Registry, Action::Close).path("/blobs/").after(2));
    let outcome = world.installed(&world.call("cpu-llama-cpp")).await;
    assert_eq!(outcome.receipt.unwrap().served_by, format!("quay.io/{REPOSITORY}"));
    assert!(world.mirror.requests().iter().any(|request| request.path.contains("/blobs/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_entry_is_asked_for_by_its_digest_everywhere() {
    let (world, image) = World::signed().await;
    copy_signatures(&world, image.digest());
    let index = format!(
        "- {{name: pinned, uri: 'quay.io/{REPOSITORY}@{0}', mirrors: ['{MIRROR}:latest-cpu-llama-cpp']}}",
        image.digest()
    );
    world.push(&ImageSpec::with_run_script("#!/bin/sh\necho moved\n", Vec::new()), "cpu-llama-cpp");
    let _outage = world.sandbox.fault(outage());
    let outcome = world.installed(&Call { index: &index, ..world.call("pinned") }).await;
    assert_eq!(outcome.receipt.unwrap().index_digest.to_string(), image.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_no_image_is_refused_by_name() {
    let world = World::start();
    for uri in ["https://dead.example/x.tgz", "file:///etc", "ollama://gemma", "ocifile:///tmp/x.tar", "../x"] {
        let index = format!(
            "- {{name: x, uri: '{uri}', sha256: '00', mirrors: ['quay.io/{REPOSITORY}:latest-cpu-llama-cpp']}}"
        );
        let error = world.refused(&Call { index: &index, ..world.call("x") }).await;
        assert!(matches!(&error, InstallError::Source(SourceError::UnsupportedSource { .. })), "{uri}: {error:?}");
        assert_eq!(error.class(), Class::Usage);
    }
    assert!(world.sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_mirror_is_left_out_and_named() {
    let (world, _) = World::signed().await;
    let index = format!(
        "- {{name: x, uri: 'quay.io/{REPOSITORY}:latest-cpu-llama-cpp', mirrors: ['https://evil.example/x.tgz']}}"
    );
    let outcome = world.installed(&Call { index: &index, ..world.call("x") }).await;
    assert_eq!(outcome.attempts[0].source, "https://evil.example/x.tgz");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_from_elsewhere_cannot_send_us_to_a_private_host() {
    let world = World::start();
    let host = world.sandbox.registry().host().to_owned();
    let index = format!("- {{name: x, uri: '{host}/a/b:c'}}\n- {{name: y, uri: '169.254.169.254/a/b:c'}}\n");
    let served = serve(answer("200 OK", "", &index));
    let local = world.directory.path().join("local.yaml");
    std::fs::write(&local, &index).unwrap();
    let mapped = format!("{served}', hosts: {{'{host}': '{host}'}}, name: 'g");
    for (url, name, refused) in [
        (served.as_str(), "x", true),
        (served.as_str(), "y", true),
        // Named by the operator: by a file of this machine, or by a mapping.
        (local.to_str().unwrap(), "x", false),
        (mapped.as_str(), "x", false),
        (mapped.as_str(), "y", true),
    ] {
        let name_key = if url.contains("name:") { String::new() } else { "name: g, ".to_owned() };
        let config = format!("[{{{name_key}unverified: warn, url: '{url}'}}]");
        let config = Config::from_yaml("c", &config).unwrap();
        let client = countersign_oci::http::client(&HttpOptions::default()).unwrap();
        let gallery = &config.galleries()[0];
        let catalogue = Catalogue::new([(gallery, index::fetch(gallery, &client, PlainHttp::LoopbackOnly).await)]);
        let target = catalogue.find(&name.parse().unwrap(), &"default".parse().unwrap()).unwrap();
        let platform = "linux/amd64".parse().unwrap();
        let request = Request { target, platform, strictness: Strictness::AsConfigured, force: false };
        match install::prepare(request, &world.store()) {
            Err(InstallError::Source(SourceError::PrivateHost { .. })) => assert!(refused, "{url} {name}"),
            Ok(Prepared::Ready(_)) => assert!(!refused, "{url} {name}"),
            other => panic!("{url} {name}: {other:?}"),
        }
    }
}
