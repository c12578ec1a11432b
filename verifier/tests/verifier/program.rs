//! The command, run as a person runs it: with nothing in its environment but what the test puts there.

use std::path::Path;
use std::process::{Command, Output};

use sandbox::{GithubIdentity, Options, RekorVersion};
use serde_json::Value;

use crate::world::World;

const IDENTITY: &str = "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main";

pub(crate) fn verifier(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// The exit code and the document on standard output.
pub(crate) fn json(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
    let output = verifier(folder, &[arguments, &["--output", "json"]].concat(), environment);
    let text = String::from_utf8(output.stdout).unwrap();
    let document = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    (output.status.code().unwrap(), document)
}

#[test]
fn mistakes_of_the_caller_end_with_2_and_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    let text = format!("version: 1\nsigners:\n  - issuer: https://issuer.example\n    identity: {IDENTITY}\n");
    std::fs::write(&policy, text).unwrap();
    let policy = policy.to_str().unwrap();
    let image = "127.0.0.1:1/octo/app:v1";
    for (arguments, code) in [
        (&["verify", image, "--trust", "embedded"][..], "no-policy"),
        (&["verify", "--policy", policy], "usage"),
        (&["verify", "Octo/App:v1", "--policy", policy, "--trust", "embedded"], "malformed-reference"),
        (&["verify", image, "--policy", "absent.yaml", "--trust", "embedded"], "policy-unreadable"),
        (&["verify", image, "--policy", policy, "--trusted-root", "absent.json"], "trusted-root-unreadable"),
        (&["verify", image, "--policy", policy, "--trusted-root", policy], "trusted-root-malformed"),
        (&["verify", image, "--certificate-identity", IDENTITY], "half-a-signer"),
        (&["verify", image, "--certificate-oidc-issuer", "https://issuer.example"], "half-a-signer"),
        (&["verify", image, "--policy", policy, "--certificate-identity", IDENTITY], "usage"),
        // These would narrow the policy: dropping them in silence would widen what is accepted.
        (&["verify", image, "--policy", policy, "--certificate-github-workflow-repository", "octo/app"], "usage"),
        (&["verify", image, "--policy", policy, "--certificate-github-workflow-ref", "refs/heads/main"], "usage"),
        (&["verify", image, "--policy", policy, "--certificate-github-workflow-trigger", "push"], "usage"),
    ] {
        let (exit, document) = json(folder.path(), arguments, &[]);
        assert_eq!((exit, document["error"]["code"].as_str()), (2, Some(code)), "{arguments:?}");
    }
    let by_variable = verifier(folder.path(), &["verify"], &[("COUNTERSIGN_OUTPUT", "json")]);
    assert_eq!(by_variable.status.code(), Some(2));
    assert!(serde_json::from_slice::<Value>(&by_variable.stdout).is_ok());
}

#[test]
fn a_registry_that_cannot_be_reached_ends_with_4_and_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "verify",
        "127.0.0.1:1/octo/app:v1",
        "--trust",
        "embedded",
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        "https://issuer.example",
    ];
    let (exit, document) = json(folder.path(), &arguments, &[("COUNTERSIGN_TRUSTED_ROOT", "absent.json")]);
    assert_eq!(exit, 4, "the typed --trust overrules the variable: {document}");
    assert_eq!(document["error"]["retryable"], true);
    assert_eq!(document["verdict"], "undecided");
}

#[tokio::test]
async fn the_verdict_is_the_exit_code() {
    let world = World::start(Options::default());
    let (_, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V2).await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("trusted_root.json");
    std::fs::write(&root, world.sandbox.trusted_root()).unwrap();
    let (root, issuer) = (root.to_str().unwrap().to_owned(), world.sandbox.oidc_issuer());
    let image = reference.to_string();
    let identity = GithubIdentity::default().subject_alternative_name();
    let of = |image: &str, identity: &str| {
        let arguments = [
            "verify",
            image,
            "--trusted-root",
            &root,
            "--certificate-identity",
            identity,
            "--certificate-oidc-issuer",
            &issuer,
        ];
        json(folder.path(), &arguments, &[])
    };
    let (exit, document) = of(&image, &identity);
    assert_eq!((exit, document["verdict"].as_str()), (0, Some("verified")));
    let (exit, document) = of(&image, &identity.replace("release", "other"));
    assert_eq!((exit, document["error"]["code"].as_str()), (3, Some("policy-denied")));
    assert_eq!(document["refused"][0]["denials"][0]["code"], "identity-mismatch");
    let (exit, document) = of(&image.replace(":v1", ":absent"), &identity);
    assert_eq!((exit, document["error"]["code"].as_str()), (4, Some("not-found")));
}

#[tokio::test]
async fn inspect_shows_without_a_policy_and_ends_by_what_it_saw() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V2).await;
    let folder = tempfile::tempdir().unwrap();
    let name = reference.to_string();
    let output = verifier(folder.path(), &["inspect", &name], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{text}");
    assert!(text.contains("unverified claims"), "{text}");
    assert!(text.contains(&format!("identity {}", GithubIdentity::default().subject_alternative_name())), "{text}");
    let verify_with = format!("  countersign-verifier verify {name}@{} --policy FILE\n", image.digest());
    assert!(text.ends_with(&verify_with), "{text}");
    assert!(!text.replace("unverified", "").contains("verified"), "{text}");

    let (exit, document) = json(folder.path(), &["inspect", &name, "--platform", "linux/arm64"], &[]);
    assert_eq!((exit, document["schema"].as_str()), (0, Some("countersign.dev/inspect/v1")));
    assert_eq!((document["claims"].as_str(), document["platform"].as_str()), (Some("unverified"), Some("linux/arm64")));
    assert_eq!(document["manifest"]["children"].as_array().unwrap().len(), 1);
    assert_eq!(document["error"], Value::Null);

    world.sandbox.registry().remove_manifest("octo/app", &image.platforms[0].manifest.digest);
    let (exit, document) = json(folder.path(), &["inspect", &name], &[]);
    assert_eq!((exit, document["error"]["code"].as_str()), (4, Some("not-all-seen")));
    assert_eq!(document["manifest"]["children"][0]["unreadable"]["code"], "not-found");

    let absent = name.replace(":v1", ":absent");
    for (arguments, exit, code) in [
        (&["inspect", "Octo/App"][..], 2, "malformed-reference"),
        (&["inspect", &name, "--platform", "arm64"], 2, "malformed-platform"),
        (&["inspect", &name, "--platform", "linux/s390x"], 2, "no-platform"),
        (&["inspect"], 2, "usage"),
        (&["inspect", &name, "--policy", "policy.yaml"], 2, "usage"),
        (&["inspect", &absent], 4, "not-found"),
        (&["inspect", "127.0.0.1:1/octo/app:v1"], 4, "unreachable"),
    ] {
        let (ended, document) = json(folder.path(), arguments, &[]);
        assert_eq!((ended, document["error"]["code"].as_str()), (exit, Some(code)), "{arguments:?}");
    }

    world.sandbox.registry().overwrite_manifest("octo/app", image.digest(), "{}");
    let by_digest = format!("{}@{}", reference.repository(), image.digest());
    let (exit, document) = json(folder.path(), &["inspect", &by_digest], &[]);
    assert_eq!((exit, document["error"]["code"].as_str()), (4, Some("digest-mismatch")), "nothing is judged here");
}

#[test]
fn inspect_is_in_the_help_and_in_the_completions() {
    let folder = tempfile::tempdir().unwrap();
    let help = verifier(folder.path(), &["inspect", "--help"], &[]);
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.contains("countersign-verifier inspect ghcr.io/example/app:v1\n") && help.contains("Exit codes: 0 shown"),
        "{help}"
    );
    let completions = verifier(folder.path(), &["completions", "bash"], &[]);
    assert!(String::from_utf8(completions.stdout).unwrap().contains("countersign__verifier,inspect"));
}
