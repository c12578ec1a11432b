//! The binary: arguments, environment, output and exit codes.

use std::path::Path;
use std::process::{Command, Output};

use sandbox::GithubIdentity;
use serde_json::Value;

use crate::world::{REPOSITORY, World};

pub(crate) struct Job<'a> {
    world: &'a World,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) environment: Vec<(String, String)>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(world: &'a World) -> Job<'a> {
        Job { world, folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    pub(crate) fn in_github(world: &'a World) -> Job<'a> {
        Job { environment: world.sandbox.ambient(&GithubIdentity::default()), ..Job::new(world) }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, b"")
    }

    /// Runs the program with something on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let input_file = self.folder.path().join("standard-input");
        std::fs::write(&input_file, input).unwrap();
        Command::new(env!("CARGO_BIN_EXE_countersign-signer"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(self.environment.iter().cloned())
            .stdin(std::fs::File::open(&input_file).unwrap())
            .output()
            .unwrap()
    }

    pub(crate) fn sign(&self, further: &[&str]) -> Output {
        let reference = self.world.reference("octo/app:v1").to_string();
        self.run_command("sign", &[&[reference.as_str()], further].concat(), b"")
    }

    /// Runs a command that signs, with the sandbox's services.
    pub(crate) fn run_command(&self, command: &str, further: &[&str], input: &[u8]) -> Output {
        let trust = self.world.sandbox.write_trust(&self.folder.path().join("trust")).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (root, config) = (text(&trust.trusted_root), text(&trust.signing_config_rekor_v2));
        let flags = [command, "--trusted-root", &root, "--signing-config", &config];
        self.run_with(&[&flags[..], further].concat(), input)
    }
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_release_job_signs_and_says_how_to_verify() {
    let world = World::start();
    let output = Job::in_github(&world).sign(&["-y", "-r", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = json(&output);
    assert_eq!(document["schema"], "countersign.dev/sign/v1");
    assert_eq!(document["result"], "signed");
    assert_eq!(document["images"][0]["digest"], world.image.digest());
    assert_eq!(document["statements"][0]["subjects"].as_array().unwrap().len(), 5);
    assert_eq!(document["signer"]["github_repository"], "octo/app");
    let command = document["verify_command"].as_str().unwrap();
    assert!(command.contains("--certificate-github-workflow-repository octo/app"), "{command}");
    assert!(command.contains(&format!("octo/app:v1@{}", world.image.digest())), "{command}");
    assert_eq!(world.sandbox.registry().referrers(REPOSITORY, world.image.digest()).len(), 1);
}

#[test]
fn people_read_a_table() {
    let world = World::start();
    let output = Job::in_github(&world).sign(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = text(&output.stdout);
    for part in [
        "REPOSITORY",
        "linux/arm64",
        "attestation manifest",
        "verify with:",
        "--certificate-github-workflow-repository",
    ] {
        assert!(stdout.contains(part), "{stdout}");
    }
}

#[test]
fn without_a_token_the_job_ends_at_once_and_names_the_permission() {
    let world = World::start();
    let mut job = Job::new(&world);
    let output = job.sign(&["--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["errors"][0]["code"], "identity-token-absent");
    job.environment.push(("GITHUB_ACTIONS".to_owned(), "true".to_owned()));
    let output = job.sign(&[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("id-token: write"), "{output:?}");
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn a_token_is_taken_from_flag_file_and_variable_and_never_shown() {
    let world = World::start();
    let token = world.sandbox.github_token(&GithubIdentity::default());
    let mut job = Job::new(&world);
    let file = job.folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    for value in [token.as_str(), file.to_str().unwrap()] {
        let output = job.sign(&["--identity-token", value, "-vvv"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!text(&output.stderr).contains(&token) && !text(&output.stdout).contains(&token));
    }
    job.environment.push(("SIGSTORE_ID_TOKEN".to_owned(), token));
    assert_eq!(job.sign(&[]).status.code(), Some(0));
}

#[test]
fn exit_codes_tell_usage_from_rejection_and_outage() {
    let world = World::start();
    let stranger = World::start();
    let job = Job::in_github(&world);
    let usage = [
        job.run(&["sign"]),
        job.sign(&["--statement", "everything"]),
        job.sign(&["-a", "dev.countersign.tags=v9"]),
        job.sign(&["--index-only", "--recursive"]),
        job.sign(&["--require-digest"]),
        job.sign(&["HTTPS://not-a-reference"]),
        job.sign(&["--identity-token", "/nonexistent/token"]),
    ];
    for output in usage {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    let config = stranger.sandbox.write_trust(&job.folder.path().join("stranger")).unwrap();
    let own = world.sandbox.write_trust(&job.folder.path().join("own")).unwrap();
    let reference = world.reference("octo/app:v1").to_string();
    let rejected = job.run(&[
        "sign",
        "--trusted-root",
        config.trusted_root.to_str().unwrap(),
        "--signing-config",
        own.signing_config_rekor_v1.to_str().unwrap(),
        &reference,
        "--output",
        "json",
    ]);
    assert_eq!(rejected.status.code(), Some(3), "{rejected:?}");
    let document = json(&rejected);
    assert_eq!(document["schema"], "countersign.dev/sign/v1");
    assert_eq!(document["result"], "failed");
    assert_eq!(document["errors"][0]["code"], "self-verification-rejected");
    let absent = world.reference("octo/app:absent").to_string();
    let undecided = job.sign(&[&absent]);
    assert_eq!(undecided.status.code(), Some(4), "{undecided:?}");
    world.assert_nothing_attached();
}

#[test]
fn trust_and_services_come_from_one_tuf_repository() {
    let world = World::start();
    let job = Job::in_github(&world);
    let trust = world.sandbox.write_trust(&job.folder.path().join("trust")).unwrap();
    let (url, cache) = (world.sandbox.tuf_url(), job.folder.path().join("cache"));
    let reference = world.reference("octo/app:v1").to_string();
    let arguments = [
        "sign",
        "--tuf-url",
        &url,
        "--tuf-root",
        trust.tuf_root.to_str().unwrap(),
        "--cache-dir",
        cache.to_str().unwrap(),
        &reference,
    ];
    let output = job.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let root = trust.trusted_root.to_str().unwrap();
    let output = job.run(&["sign", "--trusted-root", root, &reference, "--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["errors"][0]["code"], "no-signing-config");
}

#[test]
fn a_dry_run_needs_no_token_and_writes_nothing() {
    let world = World::start();
    let output = Job::new(&world).sign(&["--dry-run", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["result"], "planned");
    world.assert_nothing_attached();
}

#[test]
fn a_dry_run_shows_people_what_would_be_said_and_what_was_not_checked() {
    let world = World::start();
    let output = Job::new(&world).sign(&["--dry-run", "--statement", "digest", "-a", "commit=7fd1a60"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = text(&output.stdout);
    for part in [
        "STATEMENT",
        "TAGS",
        "v1\n",
        "commit=7fd1a60",
        "nothing was signed",
        "identity",
        "write access were not checked",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert!(stdout.lines().any(|line| line.starts_with("5 ")), "one statement for each digest: {stdout}");
    for part in ["REFERRER", "signed by", "verify with"] {
        assert!(!stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn what_was_said_of_the_image_is_shown_to_people_and_programs() {
    let world = World::start();
    let job = Job::in_github(&world);
    let output = job.sign(&["-a", "commit=7fd1a60", "-a", "note=a\u{1b}[2J", "--output", "json"]);
    let said = serde_json::json!({"commit": "7fd1a60", "note": "a\u{1b}[2J"});
    assert_eq!(json(&output)["annotations"], said, "{output:?}");
    let output = job.sign(&["-a", "commit=7fd1a60", "-a", "note=a\u{1b}[2J"]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("commit=7fd1a60") && !stdout.contains('\u{1b}'), "{stdout}");
    assert!(!stdout.contains("dry run"), "{stdout}");
    let output = job.sign(&["-a", "commit=1", "-a", "commit=2", "--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["errors"][0]["code"], "annotation-repeated");
    assert!(text(&output.stderr).contains("repeated"), "{output:?}");
}

#[test]
fn the_command_that_verifies_names_the_trust_that_was_signed_under() {
    let world = World::start();
    let job = Job::in_github(&world);
    let host = world.sandbox.registry().host().to_owned();
    let output = job.sign(&["--registry-map", &format!("quay.io={host}"), "--allow-http-registry", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = json(&output);
    let command = document["verify_command"].as_str().unwrap();
    let root = job.folder.path().join("trust/trusted_root.json");
    for part in [
        format!(" --trusted-root {}", root.display()),
        format!(" --registry-map quay.io={host}"),
        " --allow-http-registry".to_owned(),
    ] {
        assert!(command.contains(&part), "{part}: {command}");
    }
    assert!(!command.contains("--signing-config"), "{command}");
    let output = job.sign(&[]);
    assert!(text(&output.stdout).contains(&format!(" --trusted-root {}", root.display())), "{output:?}");
}

#[test]
fn the_whole_answer_of_the_ambient_protocol_is_not_taken_for_a_token() {
    let world = World::start();
    let job = Job::new(&world);
    let token = world.sandbox.github_token(&GithubIdentity::default());
    let answer = format!(r#"{{"count":1,"value":"{token}"}}"#);
    let file = job.folder.path().join("answer.json");
    std::fs::write(&file, &answer).unwrap();
    for value in [answer.as_str(), file.to_str().unwrap()] {
        let output = job.sign(&["--identity-token", value]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(r#"use the member "value" of the answer"#), "{stderr}");
        assert!(!stderr.contains(&token), "{stderr}");
    }
}

#[test]
fn the_help_says_how_to_get_a_token_and_how_not_to_pass_it() {
    let world = World::start();
    let output = Job::new(&world).run(&["sign", "--help"]);
    let help = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "audience `sigstore`",
        "list of processes",
        "curl -sSf",
        "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sigstore",
        "jq -rj .value",
        "Exit codes: 0",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn every_variable_that_is_read_is_named_in_the_help() {
    let world = World::start();
    let output = Job::new(&world).run(&["sign", "--help"]);
    let help = text(&output.stdout);
    for name in
        ["SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS"]
    {
        assert!(help.contains(name), "{help}");
    }
}
