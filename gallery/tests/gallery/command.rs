//! The command itself: exit codes, output, environment.

use std::process::{Command, Output};

use sandbox::image::ImageSpec;
use sandbox::{Action, Fault, GithubIdentity, Service};
use serde_json::Value;

use crate::world::{INDEX, World, snapshot};

fn run(world: &World, trust: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(world, trust, arguments).envs(environment.iter().copied()).output().unwrap()
}

/// The command with nothing of the environment but what the test sets.
fn command(world: &World, trust: &str, arguments: &[&str]) -> Command {
    let galleries = world.directory.path().join("galleries.yaml");
    std::fs::write(&galleries, world.config(trust, INDEX)).unwrap();
    let root = world.directory.path().join("trusted_root.json");
    std::fs::write(&root, world.sandbox.trusted_root()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-gallery"));
    command
        .env_clear()
        .env("HOME", world.directory.path())
        .env("COUNTERSIGN_GALLERIES", &galleries)
        .env("COUNTERSIGN_BACKENDS_PATH", world.backends())
        .env("COUNTERSIGN_PLATFORM", "linux/amd64")
        .env("COUNTERSIGN_CAPABILITY", "default")
        .env("COUNTERSIGN_TRUSTED_ROOT", &root)
        .args(arguments);
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

async fn signed() -> World {
    World::signed().await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn install_says_what_was_installed_and_why() {
    let world = signed().await;
    let policy = world.policy("");
    let output = run(&world, &policy, &["install", "llama-cpp"], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(code(&output), 0, "{output:?}");
    for part in [
        "installed  localai@cpu-llama-cpp",
        "stands for it (default)",
        "platform linux/amd64",
        "signed by https://github.com/octo/app",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(output.stderr.is_empty(), "{output:?}");

    let output = run(&world, &policy, &["install", "llama-cpp", "--output", "json"], &[]);
    let document = json(&output);
    assert_eq!((code(&output), &document["status"]), (0, &Value::from("already-installed")));
    let output = run(&world, &policy, &["install", "localai@llama-cpp", "--force", "--output", "json"], &[]);
    let document = json(&output);
    assert_eq!(document["schema"], "countersign.dev/install/v1");
    assert_eq!(document["status"], "installed");
    assert_eq!(document["entry"], "cpu-llama-cpp");
    assert_eq!(document["meta"], "llama-cpp");
    assert_eq!(document["verification"]["verdict"], "verified");
    assert_eq!(document["receipt"]["schema"], "countersign.dev/receipt/v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_ends_with_3_and_says_why() {
    let world = World::start();
    world.push(&ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()), "cpu-llama-cpp");
    let policy = world.policy("");
    run(&world, &policy, &["list"], &[]);
    let before = snapshot(world.directory.path());
    let output = run(&world, &policy, &["install", "cpu-llama-cpp", "--output", "json"], &[]);
    let document = json(&output);
    assert_eq!(code(&output), 3, "{output:?}");
    assert_eq!(document["status"], "rejected");
    assert_eq!(document["error"]["code"], "unsigned");
    assert_eq!(document["error"]["class"], "rejected");
    assert_eq!(document["error"]["retryable"], false);
    assert_eq!(document["verification"]["verdict"], "rejected");
    assert_eq!(snapshot(world.directory.path()), before);

    world.sign("cpu-llama-cpp", &GithubIdentity::of("evil/app")).await;
    let output = run(&world, &policy, &["install", "cpu-llama-cpp"], &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 3);
    assert!(output.stdout.is_empty());
    assert!(text.contains("identity-mismatch") && text.contains("evil/app"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_ends_with_2_and_names_the_way_on() {
    let world = signed().await;
    let policy = world.policy("");
    for (trust, arguments, words) in [
        ("", &["install", "cpu-llama-cpp"][..], &["verification:", "unverified: warn"][..]),
        (
            "unverified: warn",
            &["install", "cpu-llama-cpp", "--require-backend-integrity"],
            &["--require-backend-integrity"],
        ),
        (&policy, &["install", "no-such-entry"], &["no-such-entry"]),
        (&policy, &["install", "llama"], &["did you mean llama-cpp?"]),
        (&policy, &["install", "../x"], &["GALLERY@NAME"]),
        (&policy, &["install", "other@llama-cpp"], &["other"]),
        (&policy, &["install", "llama-cpp", "--platform", "x"], &["--platform"]),
        (&policy, &["install", "llama-cpp", "--platform", "linux/riscv64"], &["linux/amd64, linux/arm64"]),
        (&policy, &["install"], &["NAME"]),
        (&policy, &["install", "a", "b"], &["unexpected"]),
        ("verifcation: {}", &["install", "cpu-llama-cpp"], &["verifcation", "verification"]),
    ] {
        let output = run(&world, trust, arguments, &[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {word}: {text}");
        }
        assert!(!world.backends().exists());
    }
    let output =
        run(&world, &policy, &["install", "cpu-llama-cpp", "--output", "json"], &[("COUNTERSIGN_GALLERIES", "")]);
    assert_eq!((code(&output), &json(&output)["error"]["code"]), (2, &Value::from("no-galleries")));
    let output = run(&world, &policy, &["install", "x", "--galleries", "/does/not/exist"], &[]);
    assert_eq!(code(&output), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_mode_comes_from_either_variable() {
    let world = signed().await;
    let install = |environment: &[(&str, &str)]| {
        code(&run(&world, "unverified: warn", &["install", "cpu-llama-cpp"], environment))
    };
    for variable in ["COUNTERSIGN_REQUIRE_BACKEND_INTEGRITY", "LOCALAI_REQUIRE_BACKEND_INTEGRITY"] {
        for value in ["true", "1", "yes", "nonsense"] {
            assert_eq!(install(&[(variable, value)]), 2, "{variable}={value}");
        }
        assert!(!world.backends().exists());
    }
    assert_eq!(
        install(&[("COUNTERSIGN_REQUIRE_BACKEND_INTEGRITY", "false"), ("LOCALAI_REQUIRE_BACKEND_INTEGRITY", "true")]),
        2
    );
    assert_eq!(
        install(&[("COUNTERSIGN_REQUIRE_BACKEND_INTEGRITY", "false"), ("LOCALAI_REQUIRE_BACKEND_INTEGRITY", "0")]),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn installing_unverified_says_so_every_time() {
    let world = signed().await;
    let output = run(&world, "unverified: warn", &["install", "cpu-llama-cpp"], &[]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOT VERIFIED"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("without verification"));
    let output = run(&world, "unverified: warn", &["install", "cpu-llama-cpp"], &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("not verified"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_instances_root_rejects_and_a_broken_one_is_usage() {
    let world = signed().await;
    let root = world.directory.path().join("other.json");
    let policy = world.policy("");
    let install = |path: &str| run(&world, &policy, &["install", "cpu-llama-cpp", "--trusted-root", path], &[]);
    std::fs::write(&root, world.mirror.trusted_root()).unwrap();
    assert_eq!(code(&install(root.to_str().unwrap())), 3);
    std::fs::write(&root, "{}").unwrap();
    assert_eq!(code(&install(root.to_str().unwrap())), 2);
    assert_eq!(code(&install("/does/not/exist")), 2);
    assert!(!world.backends().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_what_there_is_and_what_is_installed() {
    let world = signed().await;
    let policy = world.policy("");
    let output = run(&world, &policy, &["list"], &[]);
    assert_eq!(code(&output), 0, "{output:?}");
    let expected = " - localai@cpu-llama-cpp\n - localai@cuda-llama-cpp\n - localai@llama-cpp\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    run(&world, &policy, &["install", "llama-cpp"], &[]);
    let output = run(&world, &policy, &["list"], &[]);
    let expected =
        " * localai@cpu-llama-cpp (installed, verified)\n - localai@cuda-llama-cpp\n * localai@llama-cpp (installed)\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    let output = run(&world, &policy, &["list", "--installed", "--output", "json"], &[("COUNTERSIGN_GALLERIES", "")]);
    let document = json(&output);
    assert_eq!(document["schema"], "countersign.dev/list/v1");
    assert_eq!(document["entries"].as_array().unwrap().len(), 2);
    assert_eq!(document["entries"][0]["verified"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_every_variable() {
    let world = World::start();
    for command in ["install", "list"] {
        let output = run(&world, "", &[command, "--help"], &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), 0);
        for word in ["COUNTERSIGN_GALLERIES", "COUNTERSIGN_BACKENDS_PATH", "Examples:", "Exit codes:"] {
            assert!(text.contains(word), "{command}: {word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_no_backend_and_the_next_one_goes_on() {
    let (world, image) = World::signed().await;
    let policy = world.policy("");
    assert_eq!(code(&run(&world, &policy, &["install", "cpu-llama-cpp"], &[])), 0);
    let layer = &image.platform("linux/amd64").unwrap().layers[0];
    let before = snapshot(&world.backends().join("cpu-llama-cpp"));

    let stall = world.sandbox.fault(Fault::new(Service::Registry, Action::StallAfter(100)).path(layer));
    let mut killed = command(&world, &policy, &["install", "cpu-llama-cpp", "--force", "--quiet"]).spawn().unwrap();
    let partial = world.backends().join(".countersign/blobs").join(format!("{}.partial", &layer[7..]));
    while std::fs::metadata(&partial).map_or(0, |status| status.len()) < 100 {
        assert!(killed.try_wait().unwrap().is_none(), "it ended before it was killed");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let busy = run(&world, &policy, &["install", "cpu-llama-cpp", "--force", "--output", "json"], &[]);
    assert_eq!((code(&busy), &json(&busy)["error"]["code"]), (4, &Value::from("busy")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(stall);
    assert_eq!(snapshot(&world.backends().join("cpu-llama-cpp")), before, "the backend is whole");
    let list = run(&world, &policy, &["list", "--installed"], &[]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), " * cpu-llama-cpp (installed, verified)\n");

    world.sandbox.clear_requests();
    assert_eq!(code(&run(&world, &policy, &["install", "cpu-llama-cpp", "--force"], &[])), 0);
    let requests = world.sandbox.requests();
    let resumed = requests.iter().find(|request| request.path.ends_with(layer)).unwrap();
    assert_eq!(resumed.headers["range"], "bytes=100-", "what had arrived is not fetched again");
    assert_eq!(std::fs::read_dir(world.backends()).unwrap().count(), 1, "no work area is left");
}
