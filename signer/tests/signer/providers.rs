//! Where the binary gets its identity token from, system by system, and what it says where there is none.

use std::path::PathBuf;
use std::process::{Command, Output};

use sandbox::{GithubIdentity, RekorVersion, Service};
use serde_json::{Value, json};

use crate::world::World;

/// Runs the binary with an environment and nothing else.
fn sign(world: &World, environment: &[(String, String)], further: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let trust = world.sandbox.write_trust(folder.path()).unwrap();
    let (root, config) = (trust.trusted_root.clone(), trust.signing_config(RekorVersion::V2).to_owned());
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    Command::new(env!("CARGO_BIN_EXE_countersign-signer"))
        .args(["sign", "--output", "json", "--trusted-root", &text(root), "--signing-config", &text(config)])
        .arg(world.reference("octo/app:v1").to_string())
        .args(further)
        .env_clear()
        .env("HOME", folder.path())
        .envs(environment.iter().cloned())
        .output()
        .unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[track_caller]
fn signer(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    document(output)["signer"].clone()
}

/// The code, the message and the hint of an error that ends the call before anybody is asked for anything.
#[track_caller]
fn refusal(world: &World, output: &Output) -> (String, String, String) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(world.count(Service::Fulcio), 0);
    let error = document(output)["errors"][0].clone();
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"), text("hint"))
}

#[test]
fn a_job_of_buildkite_asks_its_agent() {
    let world = World::start();
    let environment = world.sandbox.buildkite("acme/release");
    let expected =
        json!({"issuer": world.sandbox.buildkite_issuer(), "identity": "https://buildkite.com/acme/release"});
    assert_eq!(signer(&sign(&world, &environment, &[])), expected);
    let asked = &world.sandbox.requests_of(Service::Oidc)[0];
    assert_eq!((asked.method.as_str(), &asked.body[..]), ("POST", br#"{"audience":"sigstore"}"#.as_slice()));
    for name in ["buildkite", "buildkite-agent"] {
        signer(&sign(&world, &environment, &["--oidc-provider", name, "--force"]));
    }
    let world = World::start();
    let mut stale = world.sandbox.buildkite("acme/release");
    stale[2].1 = "another".to_owned();
    let output = sign(&world, &stale, &[]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(document(&output)["errors"][0]["message"].as_str().unwrap().contains("Invalid access token"), "{output:?}");
}

#[test]
fn the_token_of_gitlab_comes_before_what_else_is_there() {
    let world = World::start();
    let mut environment = world.sandbox.buildkite("acme/release");
    environment.extend(world.sandbox.ambient(&GithubIdentity::of("octo/other")));
    let token = world.sandbox.github_token(&GithubIdentity::default());
    environment.extend(variables(&[("GITLAB_CI", "true"), ("SIGSTORE_ID_TOKEN", &token)]));
    let own = GithubIdentity::default().subject_alternative_name();
    assert_eq!(signer(&sign(&world, &environment, &[]))["identity"], own);
    for (provider, expected) in [
        ("gitlab", own.as_str()),
        ("env", &own),
        ("envvar", &own),
        ("buildkite", "https://buildkite.com/acme/release"),
        ("github-actions", &GithubIdentity::of("octo/other").subject_alternative_name()),
    ] {
        let output = sign(&world, &environment, &["--oidc-provider", provider, "--force"]);
        assert_eq!(signer(&output)["identity"], expected, "{provider}");
    }
    assert_eq!(sign(&world, &environment, &["--oidc-provider", "google"]).status.code(), Some(2));
    let output = sign(&world, &environment, &["--oidc-provider", "env", "--identity-token", &token]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn the_token_of_circleci_is_taken_where_it_is_for_sigstore_and_explained_where_it_is_not() {
    let world = World::start();
    let token = world.sandbox.github_token(&GithubIdentity::default());
    for name in ["CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN"] {
        signer(&sign(&world, &variables(&[("CIRCLECI", "true"), (name, &token)]), &["--force"]));
    }
    let world = World::start();
    let mut claims = world.sandbox.github_claims(&GithubIdentity::default());
    claims["aud"] = json!("8d1fe3a3-9d6c-4a0f-a2b9-0d5d0e4d1f11");
    let token = world.sandbox.sign_token(&claims);
    let output = sign(&world, &variables(&[("CIRCLECI", "true"), ("CIRCLE_OIDC_TOKEN_V2", &token)]), &[]);
    let (code, message, hint) = refusal(&world, &output);
    assert_eq!(code, "identity-token-claim");
    assert!(message.contains("claim aud") && message.contains("CIRCLE_OIDC_TOKEN_V2"), "{message}");
    assert!(message.contains("8d1fe3a3-9d6c-4a0f-a2b9-0d5d0e4d1f11"), "{message}");
    assert!(hint.contains(r#"circleci run oidc get --claims '{"aud": "sigstore"}'"#), "{hint}");
}

#[test]
fn a_job_without_a_token_is_told_what_it_lacks_in_the_words_of_its_system() {
    let table = [
        (
            "GITHUB_ACTIONS",
            "this GitHub Actions job lacks the permission `id-token: write`",
            "permissions: id-token: write",
        ),
        ("GITLAB_CI", "this GitLab job has no `id_tokens`", "id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore"),
        ("BUILDKITE", "BUILDKITE_AGENT_ACCESS_TOKEN", "buildkite-agent oidc request-token --audience sigstore"),
        ("CIRCLECI", "CIRCLE_OIDC_TOKEN_V2", "circleci run oidc get"),
        ("CI", "this CI job has none", "SIGSTORE_ID_TOKEN"),
        ("NOTHING", "none was given", "--identity-token"),
    ];
    let world = World::start();
    for (variable, expected, what_to_do) in table {
        let (code, message, hint) =
            refusal(&world, &sign(&world, &variables(&[(variable, "true"), ("CI", "true")]), &[]));
        assert_eq!(code, "identity-token-absent");
        if variable == "NOTHING" {
            continue;
        }
        assert!(message.contains(expected), "{variable}: {message}");
        assert!(hint.contains(what_to_do), "{variable}: {hint}");
    }
    let (_, message, hint) = refusal(&world, &sign(&world, &[], &[]));
    assert!(message.contains("none was given") && hint.contains("--identity-token"), "{message} {hint}");
    for (provider, expected) in [
        ("github-actions", "id-token: write"),
        ("gitlab", "id_tokens"),
        ("buildkite", "BUILDKITE_JOB_ID"),
        ("circleci", "CIRCLE_OIDC_TOKEN_V2"),
        ("file", "there is no token file"),
        ("env", "SIGSTORE_ID_TOKEN is not set"),
    ] {
        let (_, message, _) = refusal(&world, &sign(&world, &[], &["--oidc-provider", provider]));
        assert!(message.contains(expected), "{provider}: {message}");
    }
    assert!(world.sandbox.requests().is_empty());
}

#[test]
fn a_pull_request_from_a_fork_is_told_that_it_never_gets_a_token() {
    let world = World::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("event.json");
    let event = |head: u32| json!({"pull_request": {"head": {"repo": {"id": head}}, "base": {"repo": {"id": 1}}}});
    for (event, name, expected) in [
        (event(2), "pull_request", "identity-token-fork"),
        (event(1), "pull_request", "identity-token-absent"),
        (event(2), "push", "identity-token-absent"),
        (json!([]), "pull_request", "identity-token-absent"),
    ] {
        std::fs::write(&path, event.to_string()).unwrap();
        let environment = variables(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_EVENT_NAME", name),
            ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
        ]);
        let (code, message, hint) = refusal(&world, &sign(&world, &environment, &[]));
        assert_eq!(code, expected, "{event} {name}");
        let fork = expected == "identity-token-fork";
        assert_eq!(message.contains("a pull request from a fork"), fork, "{message}");
        assert_eq!(hint.contains("never gives a token"), fork, "{hint}");
    }
}

#[test]
fn a_token_that_would_be_refused_is_named_by_claim_value_and_present_time() {
    let world = World::start();
    let second = crate::world::now().as_second();
    let changed = |claim: &str, value: Value| {
        let mut claims = world.sandbox.github_claims(&GithubIdentity::default());
        claims[claim] = value;
        world.sandbox.sign_token(&claims)
    };
    let year = crate::world::now().to_string()[..4].to_owned();
    let now = format!("than {year}");
    for (claim, value, expected) in [
        ("exp", json!(second - 100), ["claim exp", "expected later than", &now, "the time now"]),
        ("nbf", json!(second + 3_600), ["claim nbf", "expected no later than", &now, "the time now"]),
        (
            "aud",
            json!("https://github.com/octo"),
            ["claim aud", "https://github.com/octo", "sigstore", "SIGSTORE_ID_TOKEN"],
        ),
        ("iss", json!(""), ["claim iss", "\"\"", "the issuer's URL", "SIGSTORE_ID_TOKEN"]),
    ] {
        let environment = variables(&[("SIGSTORE_ID_TOKEN", &changed(claim, value))]);
        let (code, message, _) = refusal(&world, &sign(&world, &environment, &[]));
        assert_eq!(code, "identity-token-claim");
        for part in expected {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn the_help_names_every_provider_and_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign-signer")).args(["sign", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for part in [
        "github-actions",
        "gitlab",
        "buildkite",
        "circleci",
        "file",
        "env",
        "SIGSTORE_ID_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "BUILDKITE_AGENT_ACCESS_TOKEN",
        "BUILDKITE_AGENT_ENDPOINT",
        "BUILDKITE_JOB_ID",
        "CIRCLE_OIDC_TOKEN_V2",
        "CIRCLE_OIDC_TOKEN",
        "GITHUB_ACTIONS",
        "GITHUB_EVENT_NAME",
        "GITHUB_EVENT_PATH",
        "GITLAB_CI",
        "BUILDKITE",
        "CIRCLECI",
        "COUNTERSIGN_OIDC_PROVIDER",
        "/var/run/sigstore/cosign/oidc-token",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
