//! The command, run as a person runs it: with nothing in its environment but what the test puts there.

use std::path::Path;
use std::process::{Command, Output};

use sandbox::{GithubIdentity, Options, RekorVersion};
use serde_json::Value;

use crate::world::World;

const IDENTITY: &str = "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main";

fn verifier(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// The exit code and the document on standard output.
fn json(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Value) {
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
