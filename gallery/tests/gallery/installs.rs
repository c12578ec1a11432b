//! What is installed, and what is written down about it.

use std::fs;
use std::process::Command;

use countersign_gallery::install::{InstallError, Outdated};
use countersign_gallery::integrity::{IntegrityError, Strictness};
use countersign_gallery::store::{Receipt, State, StoreError};
use countersign_oci::Class;
use sandbox::image::{File, ImageSpec, Layer};
use sandbox::{Action, Fault, GithubIdentity, Options, Service};

use crate::world::{Call, Ended, INDEX, REPOSITORY, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_backend_is_installed_and_runs() {
    let (world, image) = World::signed().await;
    let outcome = world.installed(&world.call("cpu-llama-cpp")).await;
    assert_eq!(outcome.path, world.backends().join("cpu-llama-cpp"));
    assert_eq!(outcome.meta_path, None);
    let run = Command::new(outcome.path.join("run.sh")).output().unwrap();
    assert_eq!(run.stdout, b"hello\n");
    assert_eq!(world.read("cpu-llama-cpp/lib/a.so"), "elf");

    let metadata: serde_json::Value = serde_json::from_str(&world.read("cpu-llama-cpp/metadata.json")).unwrap();
    assert_eq!(metadata["name"], "cpu-llama-cpp");
    assert_eq!(metadata["alias"], "llama-cpp");
    assert_eq!(metadata["uri"], "quay.io/go-skynet/local-ai-backends:latest-cpu-llama-cpp");
    assert_eq!(metadata["digest"], image.digest());
    assert!(metadata["gallery_url"].as_str().unwrap().ends_with("index.yaml"));
    assert!(metadata["installed_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(metadata.get("meta_backend_for").is_none());

    let receipt: Receipt = serde_json::from_str(&world.read("cpu-llama-cpp/receipt.json")).unwrap();
    assert_eq!(receipt.schema, "countersign.dev/receipt/v1");
    assert_eq!(receipt.index_digest.to_string(), image.digest());
    let platform = image.platform("linux/amd64").unwrap();
    assert_eq!(receipt.platform_digest.to_string(), platform.manifest.digest);
    assert_eq!(receipt.served_by, format!("quay.io/{REPOSITORY}"));
    let verification = receipt.verification.as_ref().unwrap();
    let [signature] = verification.signatures.as_slice() else { panic!("{verification:?}") };
    assert_eq!(signature.identity, GithubIdentity::default().subject_alternative_name());
    assert_eq!(signature.issuer, world.sandbox.oidc_issuer());
    assert_eq!(signature.source_repository.as_deref(), Some("https://github.com/octo/app"));
    assert!(!signature.times.is_empty() && signature.referrer.is_some());
    assert_eq!(signature.bundle["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert_eq!(fs::read_dir(world.backends()).unwrap().count(), 1, "no work area is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_referrers_api_serves_as_well() {
    let world = World::with(Options { referrers_api: false, ..Options::default() });
    world.push(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()), "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    world.installed(&world.call("cpu-llama-cpp")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meta_entry_installs_what_fits_and_stands_for_it() {
    let (world, _) = World::signed().await;
    let outcome = world.installed(&world.call("llama-cpp")).await;
    assert_eq!(outcome.path, world.backends().join("cpu-llama-cpp"));
    assert_eq!(outcome.meta_path, Some(world.backends().join("llama-cpp")));
    let metadata: serde_json::Value = serde_json::from_str(&world.read("llama-cpp/metadata.json")).unwrap();
    assert_eq!(metadata["meta_backend_for"], "cpu-llama-cpp");
    assert_eq!(metadata["name"], "llama-cpp");
    assert_eq!(fs::read_dir(world.backends().join("llama-cpp")).unwrap().count(), 1);

    // Only the meta entry's directory is missing: no image is fetched for it.
    fs::remove_dir_all(world.backends().join("llama-cpp")).unwrap();
    world.sandbox.clear_requests();
    let outcome = world.installed(&world.call("llama-cpp")).await;
    assert!(outcome.receipt.is_none() && outcome.meta_path.is_some());
    assert!(world.sandbox.requests().is_empty());
    assert!(matches!(world.install(&world.call("llama-cpp")).await.unwrap(), Ended::Already(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_is_not_installed_again() {
    let (world, _) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    world.sandbox.clear_requests();
    for strictness in [Strictness::AsConfigured, Strictness::Strict] {
        let call = Call { strictness, ..world.call("cpu-llama-cpp") };
        let Ended::Already(installed) = world.install(&call).await.unwrap() else { panic!("installed again") };
        assert!(installed.receipt.is_some());
    }
    assert!(world.sandbox.requests().is_empty());

    let forced = Call { force: true, ..world.call("cpu-llama-cpp") };
    world.installed(&forced).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_receipt_under_the_present_policy_counts() {
    for strictness in [Strictness::AsConfigured, Strictness::Strict] {
        let (world, _) = World::signed().await;
        let warn = || Call { trust: "unverified: warn".to_owned(), ..world.call("cpu-llama-cpp") };
        let outcome = world.installed(&warn()).await;
        assert!(outcome.receipt.unwrap().verification.is_none() && outcome.verdict.is_none());
        assert!(matches!(world.install(&warn()).await.unwrap(), Ended::Already(_)), "the operator asks for no more");

        let outcome = world.installed(&Call { strictness, ..world.call("cpu-llama-cpp") }).await;
        assert_eq!(outcome.outdated, [Outdated::Policy]);
        assert!(outcome.receipt.unwrap().verification.is_some(), "what was not verified is replaced by what is");
        let tighter = || world.policy("    not_before: 2020-01-01T00:00:00Z\n");
        let outcome = world.installed(&Call { trust: tighter(), strictness, ..world.call("cpu-llama-cpp") }).await;
        assert_eq!(outcome.outdated, [Outdated::Policy]);
        let again = world.install(&Call { trust: tighter(), strictness, ..world.call("cpu-llama-cpp") }).await.unwrap();
        assert!(matches!(again, Ended::Already(_)));

        // What the present policy rejects is not what is asked for, and what runs stays.
        let stranger = world.policy("").replace("octo/app", "evil/app");
        let error = world.refused(&Call { trust: stranger, strictness, ..world.call("cpu-llama-cpp") }).await;
        assert_eq!(error.class(), Class::Rejected, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_does_not_hide_that_a_gallery_has_no_policy() {
    let (world, _) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    let error = world.refused(&Call { trust: String::new(), ..world.call("cpu-llama-cpp") }).await;
    assert!(matches!(error, InstallError::Integrity(IntegrityError::NoPolicy { .. })), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_for_another_platform_is_not_taken_for_this_one() {
    let (world, image) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    let arm = |platform| Call { platform, ..world.call("cpu-llama-cpp") };
    let outcome = world.installed(&arm("linux/arm64")).await;
    assert!(matches!(outcome.outdated[..], [Outdated::Platform { .. }]), "{:?}", outcome.outdated);
    let digest = outcome.receipt.unwrap().platform_digest.to_string();
    assert_eq!(digest, image.platform("linux/arm64").unwrap().manifest.digest);
    for same in ["linux/arm64", "linux/arm64/v8"] {
        assert!(matches!(world.install(&arm(same)).await.unwrap(), Ended::Already(_)), "{same}");
    }
    let error = world.refused(&arm("linux/riscv64")).await;
    assert!(matches!(error, InstallError::NoPlatform { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_names_another_source_is_installed_and_verified_anew() {
    let (world, _) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    let spelled = INDEX.replace("uri: quay.io/", "uri: oci://quay.io/");
    let call = Call { index: &spelled, ..world.call("cpu-llama-cpp") };
    assert!(matches!(world.install(&call).await.unwrap(), Ended::Already(_)), "the same reference");

    let moved = INDEX.replace("local-ai-backends:latest-cpu-llama-cpp", "local-ai-backends:latest-next");
    let call = Call { index: &moved, ..world.call("cpu-llama-cpp") };
    let image = world.push(&ImageSpec::with_run_script("#!/bin/sh\necho next\n", Vec::new()), "next");
    let error = world.refused(&call).await;
    assert_eq!(error.code(), "unsigned", "{error:?}");
    world.sign("next", &GithubIdentity::default()).await;
    let outcome = world.installed(&call).await;
    assert!(matches!(outcome.outdated[..], [Outdated::Source { .. }]), "{:?}", outcome.outdated);
    assert_eq!(outcome.receipt.unwrap().index_digest.to_string(), image.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_a_receipt_is_installed_anew() {
    let (world, _) = World::signed().await;
    for trust in [world.policy(""), "unverified: warn".to_owned()] {
        let call = || Call { trust: trust.clone(), ..world.call("cpu-llama-cpp") };
        world.installed(&Call { force: true, ..call() }).await;
        fs::remove_file(world.backends().join("cpu-llama-cpp/receipt.json")).unwrap();
        let outcome = world.installed(&call()).await;
        assert_eq!(outcome.outdated, [Outdated::Receipt]);
        // Without LocalAI's record too, it is somebody's own work.
        fs::remove_file(world.backends().join("cpu-llama-cpp/receipt.json")).unwrap();
        fs::remove_file(world.backends().join("cpu-llama-cpp/metadata.json")).unwrap();
        let error = world.refused(&call()).await;
        assert!(matches!(error, InstallError::Store(StoreError::Occupied { .. })), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reinstalling_replaces_the_whole_tree() {
    let (world, _) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    world.push(&ImageSpec::with_run_script("#!/bin/sh\necho new\n", vec![("lib/b.so", "new").into()]), "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    let forced = Call { force: true, ..world.call("cpu-llama-cpp") };
    world.installed(&forced).await;
    assert_eq!(world.read("cpu-llama-cpp/lib/b.so"), "new");
    assert!(!world.backends().join("cpu-llama-cpp/lib/a.so").exists());
    assert_eq!(fs::read_dir(world.backends()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_applied_in_their_order() {
    let world = World::start();
    let run = File { mode: 0o755, ..File::new("run.sh", "#!/bin/sh\n") };
    let first = Layer::new(&[run, ("a", "1").into(), ("b", "1").into(), ("d/x", "1").into()]);
    let second =
        Layer::new(&[("a", "2").into(), (".wh.b", "").into(), ("d/.wh..wh..opq", "").into(), ("d/y", "2").into()]);
    let repeated = Layer::new(&[("c", "3").into()]);
    let spec = ImageSpec::new(vec![first, second, repeated]);
    world.push(&spec, "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    let outcome = world.installed(&world.call("cpu-llama-cpp")).await;
    assert_eq!(outcome.receipt.unwrap().layers.len(), 3);
    assert_eq!((world.read("cpu-llama-cpp/a"), world.read("cpu-llama-cpp/c")), ("2".into(), "3".into()));
    assert!(!world.backends().join("cpu-llama-cpp/b").exists());
    assert!(!world.backends().join("cpu-llama-cpp/d/x").exists());
    assert_eq!(world.read("cpu-llama-cpp/d/y"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_an_image_brings_along_are_replaced() {
    let world = World::start();
    let forged = "{\"schema\":\"countersign.dev/receipt/v1\",\"forged\":true}";
    let files = vec![("metadata.json", "{\"alias\":\"forged\"}").into(), ("receipt.json", forged).into()];
    world.push(&ImageSpec::with_run_script("#!/bin/sh\n", files), "cpu-llama-cpp");
    let warn = Call { trust: "unverified: warn".to_owned(), ..world.call("cpu-llama-cpp") };
    world.installed(&warn).await;
    assert!(!world.read("cpu-llama-cpp/metadata.json").contains("forged"));
    let State::Backend(installed) = world.store().state(&"cpu-llama-cpp".parse().unwrap()).unwrap() else { panic!() };
    assert!(installed.receipt.unwrap().verification.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_the_real_index_installs() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/localai-backend-index.yaml");
    let Ok(index) = fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let (world, _) = World::signed().await;
    assert_ne!(index, INDEX);
    let more = "    require: {repository: true, tag: true}\n";
    let call = Call { index: &index, trust: world.policy(more), ..world.call("llama-cpp") };
    let outcome = world.installed(&call).await;
    assert_eq!(outcome.path, world.backends().join("cpu-llama-cpp"));
    assert!(outcome.meta_path.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_of_another_gallery_is_not_taken_for_this_one() {
    let (world, _) = World::signed().await;
    world.installed(&world.call("cpu-llama-cpp")).await;
    let receipt = world.backends().join("cpu-llama-cpp/receipt.json");
    let text = fs::read_to_string(&receipt).unwrap().replace("\"gallery\": \"localai\"", "\"gallery\": \"other\"");
    fs::write(&receipt, text).unwrap();
    for strictness in [Strictness::AsConfigured, Strictness::Strict] {
        let error = world.refused(&Call { strictness, ..world.call("cpu-llama-cpp") }).await;
        assert!(matches!(error, InstallError::Store(StoreError::Occupied { .. })), "{error:?}");
    }
    world.installed(&Call { force: true, ..world.call("cpu-llama-cpp") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meta_entry_that_cannot_be_written_is_told_apart_from_its_backend() {
    let (world, image) = World::signed().await;
    // Appears after everything was prepared: the layer is on its way by then.
    let layer = &image.platform("linux/amd64").unwrap().layers[0];
    let meta = world.backends().join("llama-cpp");
    let place = meta.clone();
    let appear = std::sync::Arc::new(move || {
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("notes.txt"), "mine").unwrap();
    });
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::Before(appear)).path(layer));
    let error = world.install(&world.call("llama-cpp")).await.unwrap_err();
    assert!(matches!(error, InstallError::MetaEntry { .. }), "{error:?}");
    assert!(meta.join("notes.txt").exists());
    assert_eq!(world.read("cpu-llama-cpp/lib/a.so"), "elf");
}
