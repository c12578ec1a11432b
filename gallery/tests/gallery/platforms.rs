//! The image of this machine, and no other.

use countersign_gallery::install::InstallError;
use countersign_oci::Class;
use sandbox::GithubIdentity;
use sandbox::image::{ImageSpec, Layer};

use crate::world::{Call, REPOSITORY, World};

#[tokio::test(flavor = "multi_thread")]
async fn each_platform_gets_its_own_image() {
    let world = World::start();
    let mut spec = ImageSpec::with_run_script("#!/bin/sh\n", Vec::new());
    for platform in ["linux/amd64", "linux/arm64"] {
        spec.platform_layers.insert(platform.to_owned(), vec![Layer::new(&[("platform", platform).into()])]);
    }
    let image = world.push(&spec, "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    for platform in ["linux/amd64", "linux/arm64", "linux/arm64/v8"] {
        let outcome = world.installed(&Call { platform, force: true, ..world.call("cpu-llama-cpp") }).await;
        let receipt = outcome.receipt.unwrap();
        let plain = platform.trim_end_matches("/v8");
        assert_eq!(world.read("cpu-llama-cpp/platform"), plain);
        assert_eq!(receipt.platform_digest.to_string(), image.platform(plain).unwrap().manifest.digest);
        assert_eq!(receipt.index_digest.to_string(), image.digest(), "the same on every platform");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_not_there_is_named_with_those_that_are() {
    let (world, _) = World::signed().await;
    for platform in ["darwin/arm64", "linux/riscv64", "linux/arm64/v9", "unknown/unknown"] {
        let error = world.refused(&Call { platform, ..world.call("cpu-llama-cpp") }).await;
        let InstallError::NoPlatform { available, .. } = &error else { panic!("{error:?}") };
        assert_eq!(available.len(), 2);
        assert_eq!(error.class(), Class::Usage);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_one_platform_is_named_with_it_when_another_is_asked_for() {
    let (world, image) = World::signed().await;
    let manifest = &image.platform("linux/arm64").unwrap().manifest;
    world.sandbox.registry().put_manifest(REPOSITORY, "latest-single", &manifest.media_type, manifest.bytes.clone());
    world.sign("single", &GithubIdentity::default()).await;
    let index = format!("- {{name: single, uri: 'quay.io/{REPOSITORY}:latest-single'}}");
    let call = |platform| Call { platform, index: &index, ..world.call("single") };
    let error = world.refused(&call("linux/amd64")).await;
    let InstallError::NoPlatform { available, .. } = &error else { panic!("{error:?}") };
    assert_eq!(available[..], ["linux/arm64".parse().unwrap()]);
    assert_eq!((error.class(), error.hint().unwrap().as_str()), (Class::Usage, "choose one: --platform linux/arm64"));
    let receipt = world.installed(&call("linux/arm64")).await.receipt.unwrap();
    assert_eq!(receipt.index_digest, receipt.platform_digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_calls_an_image_by_another_platform_is_refused() {
    let world = World::start();
    let image = world.push(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()), "cpu-llama-cpp");
    let text = String::from_utf8(image.index.bytes.to_vec()).unwrap();
    let swapped =
        text.replace("\"amd64\"", "\"SWAP\"").replace("\"arm64\"", "\"amd64\"").replace("\"SWAP\"", "\"arm64\"");
    assert_ne!(text, swapped);
    world.sandbox.registry().put_manifest(REPOSITORY, "latest-cpu-llama-cpp", &image.index.media_type, swapped);
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert!(matches!(error, InstallError::WrongPlatform { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_names_no_platform_contradicts_nothing_unless_one_above_it_does() {
    let (world, image) = World::signed().await;
    let registry = world.sandbox.registry();
    let index = format!("- {{name: outer, uri: 'quay.io/{REPOSITORY}:latest-outer'}}");
    let wrap = |media_type: &str, digest: &str, size: usize, rest: &str| {
        let entry = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{rest}}}"#);
        format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{entry}]}}"#, image.index.media_type)
    };
    let manifest = &image.platform("linux/arm64").unwrap().manifest;
    let unstated = wrap(&manifest.media_type, &manifest.digest, manifest.bytes.len(), "");
    let size = unstated.len();
    let digest = registry.put_manifest(REPOSITORY, "latest-outer", &image.index.media_type, unstated);
    let warn = |platform| Call {
        trust: "unverified: warn".to_owned(),
        index: &index,
        platform,
        force: true,
        ..world.call("outer")
    };
    let error = world.refused(&warn("linux/amd64")).await;
    let InstallError::NoPlatform { available, .. } = &error else { panic!("{error:?}") };
    assert_eq!(available[..], ["linux/arm64".parse().unwrap()]);
    world.installed(&warn("linux/arm64")).await;

    for (platform, contradicted) in [("", false), (r#","platform":{"os":"linux","architecture":"amd64"}"#, true)] {
        let outer = wrap(&image.index.media_type, &digest, size, platform);
        registry.put_manifest(REPOSITORY, "latest-outer", &image.index.media_type, outer);
        let error = world.refused(&warn("linux/amd64")).await;
        assert_eq!(matches!(error, InstallError::WrongPlatform { .. }), contradicted, "{error:?}");
        assert_eq!(matches!(error, InstallError::NoPlatform { .. }), !contradicted, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_in_indexes_are_followed_within_bounds() {
    let (world, image) = World::signed().await;
    let registry = world.sandbox.registry();
    let wrap = |digest: &str, size: usize| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{0}","manifests":[{{"mediaType":"{0}","digest":"{digest}","size":{size}}}]}}"#,
            image.index.media_type
        )
    };
    let (mut digest, mut size) = (image.digest().to_owned(), image.index.bytes.len());
    let index = format!("- {{name: nested, uri: 'quay.io/{REPOSITORY}:latest-nested'}}");
    let call = || Call { index: &index, ..world.call("nested") };
    for depth in 1..=5 {
        let outer = wrap(&digest, size);
        size = outer.len();
        digest = registry.put_manifest(REPOSITORY, "latest-nested", &image.index.media_type, outer);
        if depth == 2 {
            world.sign("nested", &GithubIdentity::default()).await;
            world.installed(&call()).await;
            std::fs::remove_dir_all(world.backends()).unwrap();
        }
    }
    // The signer's bound is its own; here it must not matter.
    let warn = Call { trust: "unverified: warn".to_owned(), ..call() };
    let error = world.refused(&warn).await;
    assert!(matches!(error, InstallError::Nesting { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_what_its_index_says_is_refused() {
    let world = World::start();
    let image = world.push(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()), "cpu-llama-cpp");
    let size = image.platform("linux/amd64").unwrap().manifest.bytes.len();
    let text = String::from_utf8(image.index.bytes.to_vec()).unwrap();
    let lying = text.replace(&format!("\"size\":{size}"), &format!("\"size\":{}", size + 1));
    assert_ne!(text, lying);
    world.sandbox.registry().put_manifest(REPOSITORY, "latest-cpu-llama-cpp", &image.index.media_type, lying);
    let warn = Call { trust: "unverified: warn".to_owned(), ..world.call("cpu-llama-cpp") };
    let error = world.refused(&warn).await;
    assert!(matches!(error, InstallError::Descriptor { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Rejected);
}
