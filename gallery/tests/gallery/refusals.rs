//! What is refused, why, and that the disk stays as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use countersign_gallery::install::InstallError;
use countersign_gallery::integrity::{IntegrityError, Strictness};
use countersign_gallery::store::StoreError;
use countersign_gallery::unpack::{Refusal, UnpackError};
use countersign_oci::Class;
use countersign_verifier::Verdict;
use sandbox::image::{File, ImageSpec, Layer};
use sandbox::{Action, Fault, GithubIdentity, Service};

use crate::world::{Call, REPOSITORY, World};

fn rejected(error: &InstallError, code: &str) {
    assert!(
        matches!(error, InstallError::NotVerified(verdict) if matches!(**verdict, Verdict::Rejected(_))),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::Rejected);
    assert!(!error.retryable());
    let codes = codes(error);
    assert!(codes.iter().any(|found| found == code), "{codes:?} has no {code}");
}

/// The code of the failure, and of each reason and denial.
fn codes(error: &InstallError) -> Vec<String> {
    let InstallError::NotVerified(verdict) = error else { panic!("{error:?}") };
    let report = countersign_verifier::report::document(verdict);
    let mut codes = vec![error.code().to_owned()];
    for refused in report.refused {
        codes.push(refused.code.to_owned());
        codes.extend(refused.denials.iter().map(|denial| denial.code.to_owned()));
    }
    codes
}

fn simple() -> ImageSpec {
    ImageSpec::with_run_script("#!/bin/sh\n", Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_image_is_rejected() {
    let world = World::start();
    world.push(&simple(), "cpu-llama-cpp");
    rejected(&world.refused(&world.call("cpu-llama-cpp")).await, "unsigned");
    rejected(&world.refused(&world.call("llama-cpp")).await, "unsigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_signer_is_rejected() {
    let world = World::start();
    world.push(&simple(), "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::of("evil/app")).await;
    rejected(&world.refused(&world.call("cpu-llama-cpp")).await, "identity-mismatch");

    // A stranger who calls the reusable workflow gets its name, but not its repository.
    let stranger = GithubIdentity {
        job_workflow_ref: GithubIdentity::default().job_workflow_ref,
        ..GithubIdentity::of("evil/app")
    };
    world.sign("cpu-llama-cpp", &stranger).await;
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert!(codes(&error).iter().any(|code| code.contains("mismatch")), "{:?}", codes(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_before_the_cutoff_is_rejected() {
    let (world, _) = World::signed().await;
    let call = Call { trust: world.policy("    not_before: 2099-01-01T00:00:00Z\n"), ..world.call("cpu-llama-cpp") };
    rejected(&world.refused(&call).await, "signed-before-cutoff");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_entry_under_the_same_identity_is_rejected_where_tags_are_bound() {
    let world = World::start();
    let image = world.push(&simple(), "cuda-llama-cpp");
    world.sign("cuda-llama-cpp", &GithubIdentity::default()).await;
    world.sandbox.registry().set_tag(REPOSITORY, "latest-cpu-llama-cpp", image.digest());
    let call = Call { trust: world.policy("    require: {tag: true}\n"), ..world.call("cpu-llama-cpp") };
    rejected(&world.refused(&call).await, "tag-not-bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_decides_nothing() {
    let (world, _) = World::signed().await;
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(503)).path("/referrers/"));
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert!(
        matches!(&error, InstallError::NotVerified(verdict) if matches!(**verdict, Verdict::Undecided(_))),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::Unreachable);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_nothing_is_installed() {
    let (world, _) = World::signed().await;
    world.sandbox.clear_requests();
    let error = world.refused(&Call { trust: String::new(), ..world.call("cpu-llama-cpp") }).await;
    assert!(matches!(&error, InstallError::Integrity(IntegrityError::NoPolicy { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Usage);
    assert!(world.sandbox.requests().is_empty(), "nothing is fetched for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_mode_overrules_warn_on_every_path() {
    let (world, _) = World::signed().await;
    for name in ["cpu-llama-cpp", "llama-cpp"] {
        let warn = || "unverified: warn".to_owned();
        let strict = |force| Call { trust: warn(), strictness: Strictness::Strict, force, ..world.call(name) };
        for force in [false, true] {
            let error = world.refused(&strict(force)).await;
            assert!(matches!(&error, InstallError::Integrity(IntegrityError::StrictWithoutPolicy { .. })), "{error:?}");
        }
        // What was installed under `warn` does not count either.
        world.installed(&Call { trust: warn(), ..world.call(name) }).await;
        let error = world.refused(&strict(false)).await;
        assert!(matches!(&error, InstallError::Integrity(_)), "{error:?}");
        fs::remove_dir_all(world.backends()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampered_bytes_are_rejected_wherever_they_are() {
    let (world, image) = World::signed().await;
    let registry = world.sandbox.registry();
    let platform = image.platform("linux/amd64").unwrap();
    let layer = &platform.layers[0];
    let original = registry.get_blob(layer).unwrap();

    let mut flipped = original.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    registry.overwrite_blob(layer, flipped);
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_eq!((error.class(), error.code()), (Class::Rejected, "layer-digest-mismatch"), "{error:?}");

    registry.overwrite_blob(layer, original.slice(..original.len() - 10));
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_ne!(error.class(), Class::Usage, "{error:?}");

    registry.overwrite_blob(layer, original);
    registry.overwrite_manifest(REPOSITORY, &platform.manifest.digest, "{}");
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert_eq!(error.class(), Class::Rejected, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_to_something_unsigned_is_rejected() {
    let (world, _) = World::signed().await;
    world.push(&ImageSpec::with_run_script("#!/bin/sh\necho evil\n", Vec::new()), "cpu-llama-cpp");
    rejected(&world.refused(&world.call("cpu-llama-cpp")).await, "unsigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_backend_survives_every_refusal() {
    let (world, _) = World::signed().await;
    world.installed(&world.call("llama-cpp")).await;
    world.push(&ImageSpec::with_run_script("#!/bin/sh\necho evil\n", Vec::new()), "cpu-llama-cpp");
    let forced = Call { force: true, ..world.call("llama-cpp") };
    rejected(&world.refused(&forced).await, "unsigned");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(404)).path("/blobs/"));
    let error = world.refused(&forced).await;
    assert_ne!(error.class(), Class::Rejected, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_image_with_a_hostile_layer_is_refused() {
    for (layer, what) in [
        (Layer::new(&[("../outside", "x").into()]), "path"),
        (Layer::new(&[("/etc/outside", "x").into()]), "path"),
        (Layer::new(&[("run.sh", "#!").into(), ("run.sh", "#!").into()]), "duplicate"),
        (Layer::from_tar(b"no archive"), "archive"),
    ] {
        let world = World::start();
        world.push(&ImageSpec::new(vec![layer]), "cpu-llama-cpp");
        world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
        let error = world.refused(&world.call("cpu-llama-cpp")).await;
        let InstallError::Unpack(UnpackError::Refused { source, .. }) = &error else { panic!("{what}: {error:?}") };
        let expected = match what {
            "path" => matches!(source, Refusal::Path(_)),
            "duplicate" => matches!(source, Refusal::Duplicate { .. }),
            _ => matches!(source, Refusal::Archive(_) | Refusal::EndMissing),
        };
        assert!(expected, "{what}: {source:?}");
        assert_eq!(error.class(), Class::Rejected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_a_run_script_is_no_backend() {
    let directory = Layer::new(&[("run.sh/inside", "x").into()]);
    for layer in [Layer::new(&[("other.sh", "#!").into()]), Layer::new(&[File::new("run.sh", "#!")]), directory] {
        let world = World::start();
        world.push(&ImageSpec::new(vec![layer]), "cpu-llama-cpp");
        world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
        let error = world.refused(&world.call("cpu-llama-cpp")).await;
        assert!(matches!(error, InstallError::RunFile { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_whose_content_is_not_what_the_config_says_is_refused() {
    let world = World::start();
    let mut layer = Layer::new(&[File { mode: 0o755, ..File::new("run.sh", "#!/bin/sh\n") }]);
    layer.diff_id = format!("sha256:{}", "0".repeat(64));
    world.push(&ImageSpec::new(vec![layer]), "cpu-llama-cpp");
    world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert!(
        matches!(&error, InstallError::Unpack(UnpackError::Refused { source: Refusal::DiffId { .. }, .. })),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_a_foreign_type_is_refused_before_it_is_fetched() {
    let world = World::start();
    for media_type in ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "text/plain"] {
        world.push(&ImageSpec::new(vec![Layer::from_bytes(media_type, "x")]), "cpu-llama-cpp");
        world.sign("cpu-llama-cpp", &GithubIdentity::default()).await;
        let error = world.refused(&world.call("cpu-llama-cpp")).await;
        assert!(matches!(error, InstallError::LayerType { .. }), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_installed_is_not_replaced() {
    let (world, _) = World::signed().await;
    let mine = world.backends().join("cpu-llama-cpp");
    fs::create_dir_all(&mine).unwrap();
    fs::write(mine.join("notes.txt"), "mine").unwrap();
    world.sandbox.clear_requests();
    let error = world.refused(&world.call("cpu-llama-cpp")).await;
    assert!(matches!(error, InstallError::Store(StoreError::Occupied { .. })), "{error:?}");
    assert!(world.sandbox.requests().is_empty());
    world.installed(&Call { force: true, ..world.call("cpu-llama-cpp") }).await;
    assert!(!mine.join("notes.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backends_path_that_cannot_be_written_is_no_rejection() {
    let (world, _) = World::signed().await;
    fs::write(world.backends(), "a file").unwrap();
    let error = world.install(&world.call("cpu-llama-cpp")).await.unwrap_err();
    assert!(matches!(error, InstallError::Store(StoreError::Disk { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Unreachable);
    assert_eq!(fs::metadata(world.backends()).unwrap().permissions().mode() & 0o111, 0);
}
