//! The command itself: exit codes, output, environment.

use std::process::{Command, Output};

use sandbox::image::ImageSpec;
use sandbox::{Action, Fault, GithubIdentity, Service};
use serde_json::Value;

use crate::world::{INDEX, World, snapshot};

/// Runs the command on a gallery that states its trust.
fn run(world: &World, trust: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(world, trust, arguments).envs(environment.iter().copied()).output().unwrap()
}

/// The command with nothing of the environment but what the test sets.
fn command(world: &World, trust: &str, arguments: &[&str]) -> Command {
    command_on(world, trust, INDEX, arguments)
}

/// The same with another index.
fn command_on(world: &World, trust: &str, index: &str, arguments: &[&str]) -> Command {
    let galleries = world.directory.path().join("galleries.yaml");
    std::fs::write(&galleries, world.config(trust, index)).unwrap();
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
    assert_eq!(document["receipt"]["verification"]["signatures"][0].get("bundle"), None);
    let output = run(&world, &policy, &["install", "llama-cpp"], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    let digest = document["receipt"]["index_digest"].as_str().unwrap();
    for part in ["already installed  localai@cpu-llama-cpp", "platform linux/amd64 sha256:", digest, "verified when"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = run(&world, &policy, &["install", "localai@llama-cpp", "--force", "--output", "json"], &[]);
    let document = json(&output);
    assert_eq!(document["schema"], "countersign.dev/install/v1");
    assert_eq!(document["status"], "installed");
    assert_eq!(document["entry"], "cpu-llama-cpp");
    assert_eq!(document["meta"], "llama-cpp");
    assert_eq!(document["verification"]["verdict"], "verified");
    assert_eq!(document["receipt"]["schema"], "countersign.dev/receipt/v1");
    assert_eq!(document["outdated"], Value::Array(Vec::new()));
    let signature = &document["receipt"]["verification"]["signatures"][0];
    assert!(signature["log_index"].is_u64() && signature.get("bundle").is_none(), "{signature}");
    assert!(world.read("cpu-llama-cpp/receipt.json").contains("\"bundle\": {"), "it stays in the receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn install_says_why_what_is_installed_does_not_count() {
    let world = signed().await;
    let policy = world.policy("");
    run(&world, "unverified: warn", &["install", "cpu-llama-cpp"], &[]);
    let output = run(&world, &policy, &["install", "cpu-llama-cpp", "--output", "json"], &[]);
    assert_eq!((code(&output), &json(&output)["status"]), (0, &Value::from("installed")));
    assert_eq!(json(&output)["outdated"].as_array().unwrap().len(), 1);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("is installed anew: it was not verified against the gallery's present policy"), "{text}");

    let output = run(&world, &policy, &["install", "cpu-llama-cpp", "--platform", "linux/arm64"], &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.contains("is for \"linux/amd64\", and linux/arm64 is asked for"), "{text}");

    let moved = INDEX.replace("local-ai-backends:latest-cpu-llama-cpp", "local-ai-backends:latest-gone");
    let mut moved = command_on(&world, &policy, &moved, &["install", "cpu-llama-cpp", "--platform", "linux/arm64"]);
    let output = moved.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 4, "{text}");
    assert!(text.contains("the entry's uri changed from") && text.contains("1 mirror was not asked"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_that_the_entry_does_not_know_is_said_to_take_its_default() {
    let world = signed().await;
    let policy = world.policy("");
    let output = run(&world, &policy, &["install", "llama-cpp", "--capability", "nvidia-cuda-99"], &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 0, "{text}");
    assert_eq!(text, "note: llama-cpp has nothing for capability nvidia-cuda-99: `default` is taken\n");
    let output = run(&world, &policy, &["install", "llama-cpp", "--capability", "default"], &[]);
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_left_out_is_told_of() {
    let world = signed().await;
    let policy = world.policy("");
    let index = format!(
        "{INDEX}\n- {{name: hollow}}\n- {{name: ../x, uri: 'quay.io/a/b:c'}}\n- {{name: llama-cpp, uri: 'quay.io/a/b:c'}}\n"
    );
    let run = |arguments: &[&str]| command_on(&world, &policy, &index, arguments).output().unwrap();
    let output = run(&["install", "hollow"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 4, "{text}");
    let expected = "entry hollow is in the index of gallery localai, and cannot be used: it has neither a uri nor";
    assert!(text.contains(expected), "{text}");
    assert_eq!(code(&run(&["install", "llama-cpp"])), 0, "the first of two is used");

    let output = run(&["list"]);
    assert_eq!(code(&output), 0);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text, "note: 3 entries cannot be used and are left out; --output json says why\n");
    let document = json(&run(&["list", "--output", "json"]));
    let skipped = document["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 3);
    assert_eq!((&skipped[0]["name"], &skipped[0]["gallery"]), (&Value::from("hollow"), &Value::from("localai")));
    assert!(skipped[1].get("name").is_none() && skipped[1]["reason"].as_str().unwrap().contains("is refused"));
    assert!(skipped[2]["reason"].as_str().unwrap().contains("same name"));
    let document = json(&self::run(&world, &policy, &["list", "--output", "json"], &[]));
    assert_eq!(document["skipped"], Value::Array(Vec::new()));
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
        (&policy, &["install", "no-such-entry"], &["no-such-entry", "hint: `countersign-gallery list`"]),
        (&policy, &["install", "llama"], &["did you mean llama-cpp?"]),
        (&policy, &["install", "lama-cqp"], &["did you mean llama-cpp?", "countersign-gallery list"]),
        (&policy, &["install", "llama-cpp@localai"], &["the order is GALLERY@NAME: localai@llama-cpp"]),
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
    for (arguments, words) in [
        (&["install", "x", "--galleries", "/does/not/exist"][..], "cannot read the gallery config /does/not/exist"),
        (&["install", "x", "--galleries", ""], "there is nothing to install from"),
        (&["list", "--galleries", ""], "there is nothing to list"),
    ] {
        let output = run(&world, &policy, arguments, &[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_without_its_index_is_a_warning_that_says_so_once() {
    let world = signed().await;
    let mut list = command(&world, "unverified: warn", &["list"]);
    std::fs::remove_file(world.directory.path().join("index.yaml")).unwrap();
    let output = list.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 2, "{text}");
    assert!(text.contains("warning: cannot read the index /") && !text.contains("error: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_mode_comes_from_either_variable() {
    let world = signed().await;
    let install = |environment: &[(&str, &str)]| {
        code(&run(&world, "unverified: warn", &["install", "cpu-llama-cpp"], environment))
    };
    for variable in ["COUNTERSIGN_REQUIRE_BACKEND_INTEGRITY", "LOCALAI_REQUIRE_BACKEND_INTEGRITY"] {
        for value in ["true", "1", "yes", "TRUE"] {
            assert_eq!(install(&[(variable, value)]), 2, "{variable}={value}");
        }
        for value in ["maybe", "on", " ", "2"] {
            let output = run(&world, "unverified: warn", &["install", "cpu-llama-cpp"], &[(variable, value)]);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(code(&output), 2, "{variable}={value}: {text}");
            assert!(text.contains(&format!("{variable}={value} is neither yes nor no")), "{text}");
        }
        assert!(!world.backends().exists());
        for value in ["false", "0", "no", ""] {
            assert_eq!(install(&[(variable, value)]), 0, "{variable}={value}");
            std::fs::remove_dir_all(world.backends()).unwrap();
        }
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
    let output = run(&world, "", &["install", "--help"], &[]);
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["nvidia-cuda-13", "vulkan", "metal", "does not know takes its `default`", "REQUIRE_BACKEND_INTEGRITY"]
    {
        assert!(text.contains(words), "{words}: {text}");
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
    let list = run(&world, &policy, &["list", "--installed"], &[]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), " * cpu-llama-cpp (installed, verified)\n");
    assert!(String::from_utf8_lossy(&list.stderr).starts_with("note: another process is changing "), "{list:?}");
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

/// Sets a backend aside, as a process does that is killed between two renames.
fn set_aside(world: &World, name: &str) {
    let aside = world.backends().join(".countersign/aside");
    std::fs::create_dir_all(&aside).unwrap();
    std::fs::rename(world.backends().join(name), aside.join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_first_puts_back_what_a_killed_process_had_set_aside() {
    let world = signed().await;
    let policy = world.policy("");
    assert_eq!(code(&run(&world, &policy, &["install", "cpu-llama-cpp"], &[])), 0);
    let before = snapshot(&world.backends());
    let unread = "https://192.0.2.1/index.yaml";
    for (arguments, ends) in
        [(&["list", "--installed"][..], 0), (&["install", "nothing-like-it"], 2), (&["install", "cpu-llama-cpp"], 0)]
    {
        set_aside(&world, "cpu-llama-cpp");
        let output = run(&world, &policy, arguments, &[]);
        assert_eq!(code(&output), ends, "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("note: restored cpu-llama-cpp, left by a killed process"), "{text}");
        assert_eq!(snapshot(&world.backends()), before, "{arguments:?}");
    }
    // Nothing that the network or the config has to say comes before it.
    set_aside(&world, "cpu-llama-cpp");
    let galleries = world.directory.path().join("unreachable.yaml");
    std::fs::write(&galleries, format!("- {{name: g, url: '{unread}', broken}}")).unwrap();
    let arguments = ["install", "cpu-llama-cpp", "--galleries", galleries.to_str().unwrap()];
    assert_eq!(code(&run(&world, &policy, &arguments, &[])), 2);
    assert_eq!(snapshot(&world.backends()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_already_is_rid_of_what_a_killed_process_left() {
    let world = signed().await;
    let policy = world.policy("");
    assert_eq!(code(&run(&world, &policy, &["install", "cpu-llama-cpp"], &[])), 0);
    for part in ["staging/abc/tree", "blobs"] {
        std::fs::create_dir_all(world.backends().join(".countersign").join(part)).unwrap();
    }
    std::fs::write(world.backends().join(".countersign/blobs/one.partial"), "part").unwrap();
    assert_eq!(code(&run(&world, &policy, &["install", "cpu-llama-cpp"], &[])), 0);
    assert_eq!(std::fs::read_dir(world.backends()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_an_installation_and_leaves_nothing_of_it() {
    use rustix::process::{Pid, Signal, kill_process};
    let (world, image) = World::signed().await;
    let policy = world.policy("");
    let layer = &image.platform("linux/amd64").unwrap().layers[0];
    let _stall = world.sandbox.fault(Fault::new(Service::Registry, Action::StallAfter(100)).path(layer));
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")] {
        let mut command = command(&world, &policy, &["install", "cpu-llama-cpp", "--quiet"]);
        let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let partial = world.backends().join(".countersign/blobs").join(format!("{}.partial", &layer[7..]));
        while std::fs::metadata(&partial).map_or(0, |status| status.len()) < 100 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((code(&output), &*text), (4, &*format!("error: stopped by {name}: nothing was installed\n")));
        assert!(!world.backends().exists(), "{name}");
    }
}
