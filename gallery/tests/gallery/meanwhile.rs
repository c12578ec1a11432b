//! What others do to the backends path before, and while, an image is on its way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use countersign_gallery::install::{InstallError, Outdated};
use countersign_gallery::integrity::Strictness;
use countersign_gallery::store::StoreError;
use sandbox::image::ImageSpec;
use sandbox::{Action, Fault, GithubIdentity, Service};
use serde_json::{Value, json};

use crate::world::{Call, Ended, World, snapshot};

/// Makes a directory that runs, with LocalAI's record of it.
fn make_backend(path: &Path, metadata: &Value) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(path.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path.join("metadata.json"), metadata.to_string()).unwrap();
}

fn is_occupied(error: &InstallError) -> bool {
    matches!(error, InstallError::Store(StoreError::Occupied { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_gallery_installed_meanwhile_is_not_replaced() {
    let (world, image) = World::signed().await;
    let platform = image.platform("linux/amd64").unwrap();
    let live = world.backends().join("cpu-llama-cpp");
    // Before the lock is taken, and while it is held by somebody who does not know of it.
    for digest in [&platform.manifest.digest, &platform.layers[0]] {
        let place = live.clone();
        let appear = Arc::new(move || make_backend(&place, &json!({"name": "cpu-llama-cpp", "gallery_url": "other"})));
        let fault = world.sandbox.fault(Fault::new(Service::Registry, Action::Before(appear)).path(digest).times(1));
        let error = world.install(&world.call("cpu-llama-cpp")).await.unwrap_err();
        assert!(is_occupied(&error), "{error:?}");
        assert_eq!(fault.hits(), 1);
        assert!(world.read("cpu-llama-cpp/metadata.json").contains("other"));
        assert_eq!(fs::read_dir(world.backends()).unwrap().count(), 1, "no work area is left");
        fs::remove_dir_all(&live).unwrap();
    }
    world.installed(&world.call("cpu-llama-cpp")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_entries_are_installed_one_after_the_other() {
    let (world, _) = World::signed().await;
    world.push(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()), "cuda-llama-cpp");
    world.sign("cuda-llama-cpp", &GithubIdentity::default()).await;
    world.config(&world.policy(""), crate::world::INDEX);
    let (cpu, cuda) = (world.call("cpu-llama-cpp"), world.call("cuda-llama-cpp"));
    let (cpu, cuda, again) = tokio::join!(world.install(&cpu), world.install(&cuda), world.install(&cpu));
    for ended in [cpu, cuda, again] {
        ended.unwrap();
    }
    assert_eq!(fs::read_dir(world.backends()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_left_of_this_gallerys_backend_is_replaced() {
    let (world, _) = World::signed().await;
    let live = world.backends().join("cpu-llama-cpp");
    let url = world.directory.path().join("index.yaml");
    for (metadata, own) in [
        (json!({"name": "cpu-llama-cpp", "gallery_url": url}), true),
        (json!({"gallery_url": url}), true),
        (json!({"name": "cpu-llama-cpp", "gallery_url": "other"}), false),
        (json!({"name": "cpu-llama-cpp"}), false),
        (json!({"name": "piper", "gallery_url": url}), false),
        (json!({}), false),
    ] {
        for broken in [true, false] {
            make_backend(&live, &metadata);
            if broken {
                fs::remove_file(live.join("run.sh")).unwrap();
            }
            fs::write(live.join("notes.txt"), "mine").unwrap();
            let call = world.call("cpu-llama-cpp");
            if own {
                world.installed(&call).await;
                assert!(!live.join("notes.txt").exists());
            } else {
                let error = world.refused(&call).await;
                assert!(is_occupied(&error), "{metadata} {broken}: {error:?}");
                world.installed(&Call { force: true, ..call }).await;
            }
            fs::remove_dir_all(&live).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gallerys_meta_entry_is_not_replaced() {
    let (world, _) = World::signed().await;
    let meta = world.backends().join("llama-cpp");
    fs::create_dir_all(&meta).unwrap();
    for (url, own) in [("other", false), (world.directory.path().join("index.yaml").to_str().unwrap(), true)] {
        let record = json!({"name": "llama-cpp", "meta_backend_for": "cuda-llama-cpp", "gallery_url": url});
        fs::write(meta.join("metadata.json"), record.to_string()).unwrap();
        if own {
            assert!(world.installed(&world.call("llama-cpp")).await.meta_path.is_some());
        } else {
            assert!(is_occupied(&world.refused(&world.call("llama-cpp")).await));
        }
    }
}

/// A receipt that was edited, or copied from elsewhere.
async fn forged(edit: impl Fn(&mut Value)) -> World {
    let (world, _) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    let mut receipt: Value = serde_json::from_str(&world.read("cpu-llama-cpp/receipt.json")).unwrap();
    edit(&mut receipt);
    fs::write(world.backends().join("cpu-llama-cpp/receipt.json"), receipt.to_string()).unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn in_strict_mode_a_receipt_shows_its_signatures() {
    let strict =
        |world: &World| Call { strictness: Strictness::Strict, trust: world.policy(""), ..world.call("cpu-llama-cpp") };
    let digest = format!("sha256:{}", "1".repeat(64));
    let forgeries: [&dyn Fn(&mut Value); 4] = [
        &|receipt| receipt["verification"]["signatures"] = json!([]),
        &|receipt| receipt["verification"]["signatures"][0]["bundle"] = json!({}),
        &|receipt| receipt["index_digest"] = json!(digest),
        &|receipt| receipt["verification"]["signatures"][0]["bundle"]["dsseEnvelope"]["payload"] = json!("e30="),
    ];
    for (position, forgery) in forgeries.into_iter().enumerate() {
        let world = forged(forgery).await;
        let outcome = world.installed(&strict(&world)).await;
        assert_eq!(outcome.outdated, [Outdated::Policy], "{position}");
        let before = snapshot(&world.backends());
        assert!(matches!(world.install(&strict(&world)).await.unwrap(), Ended::Already(_)), "{position}");
        assert_eq!(snapshot(&world.backends()), before);
    }
    // Another entry's receipt is none, whatever the mode.
    let world = forged(|receipt| receipt["entry"] = json!("piper")).await;
    assert_eq!(world.installed(&strict(&world)).await.outdated, [Outdated::Receipt]);
    let world = forged(|receipt| receipt["verification"]["signatures"] = json!([])).await;
    assert_eq!(world.installed(&world.call("cpu-llama-cpp")).await.outdated, [Outdated::Policy]);
}
