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
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    if arguments.first() == Some(&"verify") {
        crate::schema::check(&document);
    }
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

#[tokio::test]
async fn all_platforms_and_one_platform_are_in_text_and_document() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign_alone(&reference).await;
    let setup = Setup::of(&world);
    let name = reference.to_string();
    let arguments = setup.arguments(&[&name], &["--all-platforms"]);
    let (exit, document) = json(setup.path(), &arguments, &[]);
    assert_eq!((exit, document["verdict"].as_str()), (0, Some("verified")), "{document:#}");
    let tree = &document["platforms"];
    assert_eq!((tree["platforms"].as_u64(), tree["children"].as_array().unwrap().len()), (Some(2), 4));
    assert_eq!(tree["children"][0]["own_signature"]["is"], "none");
    let text = stdout(&verifier(setup.path(), &arguments, &[]));
    assert!(text.contains("covers 2 image manifests; 0 of them signed themselves too"), "{text}");
    let arm = &image.platform("linux/arm64").unwrap().manifest.digest;
    assert!(text.contains(&format!("linux/arm64 {arm}: covered by the index; own signature: none")), "{text}");

    let arguments = setup.arguments(&[&name], &["--platform", "linux/arm64"]);
    let (exit, document) = json(setup.path(), &arguments, &[]);
    assert_eq!((exit, document["platform"]["digest"].as_str()), (0, Some(arm.as_str())));
    assert!(
        stdout(&verifier(setup.path(), &arguments, &[]))
            .contains(&format!("  for linux/arm64: {}@{arm}", reference.repository()))
    );
    for (further, code) in [
        (&["--platform", "linux/s390x"][..], "no-platform"),
        (&["--platform", "arm64"], "usage"),
        (&["--platform", "linux/arm64", "--all-platforms"], "usage"),
        (&["--all-platforms", "--bundle", "x"], "usage"),
    ] {
        let (exit, document) = json(setup.path(), &setup.arguments(&[&name], further), &[]);
        assert_eq!((exit, document["error"]["code"].as_str()), (2, Some(code)), "{further:?}");
    }
    world.sandbox.registry().remove_manifest("octo/app", arm);
    let (exit, document) = json(setup.path(), &setup.arguments(&[&name], &["--all-platforms"]), &[]);
    assert_eq!((exit, document["error"]["code"].as_str()), (4, Some("platforms-not-seen")));
    assert_eq!(document["verdict"], "undecided");
}

#[tokio::test]
async fn the_gravest_of_a_batch_is_the_exit_code_and_each_is_named() {
    let world = World::start(Options::default());
    let (_, good) = world.push("octo/good");
    world.sign(&good, RekorVersion::V2).await;
    let unsigned = world.push("octo/unsigned").1.to_string();
    let (good, absent) = (good.to_string(), unsigned.replace(":v1", ":absent"));
    let setup = Setup::of(&world);
    for (references, exit) in [
        (&[&good, &good][..], 0),
        (&[&good, &absent], 4),
        (&[&absent, &unsigned, &good], 3),
        (&[&unsigned, &absent], 3),
    ] {
        let references: Vec<&str> = references.iter().map(|name| name.as_str()).collect();
        let (ended, document) = json(setup.path(), &setup.arguments(&references, &[]), &[]);
        assert_eq!(ended, exit, "{document:#}");
        assert_eq!(document["results"].as_array().unwrap().len(), references.len());
    }
    // Usage outranks a rejection: one that has no such platform beside one that is not signed.
    let arguments = setup.arguments(&[&unsigned, &good], &["--platform", "linux/s390x"]);
    assert_eq!(json(setup.path(), &arguments, &[]).0, 2);
}

#[tokio::test]
async fn sarif_names_everything_that_was_looked_at() {
    let world = World::start(Options::default());
    let (_, good) = world.push("octo/good");
    world.sign(&good, RekorVersion::V2).await;
    let (good, bad) = (good.to_string(), world.push("octo/unsigned").1.to_string());
    let setup = Setup::of(&world);
    let sarif = |references: &[&str]| {
        let output = verifier(setup.path(), &setup.arguments(references, &["--output", "sarif"]), &[]);
        let log: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), log["runs"][0].clone())
    };
    let (exit, run) = sarif(&[&good, &bad]);
    assert_eq!(exit, 3);
    let counts = &run["properties"]["countersign"];
    assert_eq!(
        (counts["checked"].as_u64(), counts["verified"].as_u64(), counts["rejected"].as_u64()),
        (Some(2), Some(1), Some(1))
    );
    let result = &run["results"][0];
    assert_eq!((result["ruleId"].as_str(), result["level"].as_str()), (Some("unsigned"), Some("error")));
    assert!(result["message"]["text"].as_str().unwrap().contains("looked at referrers API"), "{result:#}");
    let (exit, run) = sarif(&[&good]);
    assert_eq!((exit, run["results"].as_array().unwrap().len()), (0, 0));
    let notes = run["invocations"][0]["toolExecutionNotifications"].to_string();
    assert!(notes.contains("1 of 1 verified") && notes.contains("is verified, signed by"), "{notes}");
    let output = verifier(setup.path(), &["verify", "Octo/App", "--output", "sarif"], &[]);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), log["runs"][0]["invocations"][0]["executionSuccessful"].as_bool()),
        (Some(2), Some(false))
    );
}

#[tokio::test]
async fn a_job_gets_annotations_and_a_page_and_nothing_else_that_is_a_command() {
    let world = World::start(Options::default());
    let (_, good) = world.push("octo/good");
    world.sign(&good, RekorVersion::V2).await;
    let (good, bad) = (good.to_string(), world.push("octo/unsigned").1.to_string());
    let setup = Setup::of(&world);
    let page = setup.path().join("summary.md");
    std::fs::write(&page, "before\n").unwrap();
    let page_path = page.to_str().unwrap();
    let arguments = setup.arguments(&[&good, &bad], &["--output", "github"]);
    let output = verifier(setup.path(), &arguments, &[("GITHUB_STEP_SUMMARY", page_path)]);
    assert_eq!(output.status.code(), Some(3));
    let text = stdout(&output);
    let commands: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("::")).collect();
    let [error, notice] = commands[..] else { panic!("{text}") };
    let title = format!("rejected: {bad}").replace(':', "%3A");
    assert!(error.starts_with(&format!("::error title={title}::unsigned: no signature found%0A")), "{error}");
    assert_eq!(notice, "::notice title=countersign-verifier::1 of 2 verified");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("before\n### countersign: 1 of 2 verified\n"), "{page}");
    assert!(page.contains("| `rejected` |") && page.contains("| `verified` |"), "{page}");
    assert!(page.contains("looked at referrers API"), "{page}");

    let arguments = setup.arguments(&[&good], &["--output", "github"]);
    let unwritable = [("GITHUB_STEP_SUMMARY", setup.path().to_str().unwrap())];
    let output = verifier(setup.path(), &arguments, &unwritable);
    assert_eq!(output.status.code(), Some(0), "a page that cannot be written is a warning");
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("warning: cannot write to the file that GITHUB_STEP_SUMMARY names")
    );
}

#[tokio::test]
async fn whatever_hides_a_signature_is_named_in_one_output() {
    let world = World::start(Options { referrers_api: false, ..Options::default() });
    let setup = Setup::of(&world);
    let (image, reference) = world.push("octo/app");
    let name = reference.to_string();
    crate::registry::attach(&world, "octo/app", image.digest(), "application/spdx+json", b"{}");
    world.sandbox.registry().put_manifest(
        "octo/app",
        &format!("sha256-{}.sig", image.digest().strip_prefix("sha256:").unwrap()),
        crate::registry::MANIFEST,
        serde_json::json!({"schemaVersion": 2, "mediaType": crate::registry::MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": image.digest(), "size": 2},
            "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": image.digest(), "size": 2}]})
        .to_string(),
    );
    let child = reference.repository().pin(image.platform("linux/arm64").unwrap().manifest.digest.parse().unwrap());
    world.sign_alone(&child.into()).await;
    let output = verifier(setup.path(), &setup.arguments(&[&name], &[]), &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for said in [
        "older-cosign-format",
        "looked at referrers API: 404",
        "looked at cosign tag sha256-",
        "looked at children of the index: 1 of its 2 children carries a signature",
        "hint: sign the image again with cosign 3 or later",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let inspected = stdout(&verifier(setup.path(), &["inspect", &name], &[]));
    for said in [
        "looked at referrers API: 404",
        "older cosign tag",
        "1 of its 2 image manifests has a bundle, the index has none",
    ] {
        assert!(inspected.contains(said), "{said}: {inspected}");
    }

    let elsewhere = world.push("octo/elsewhere").1.to_string();
    let signatures = format!("{}/octo/signatures", world.sandbox.registry().host());
    let arguments = setup.arguments(&[&elsewhere], &["--signature-repository", &signatures]);
    let text = stdout(&verifier(setup.path(), &arguments, &[]));
    let place =
        format!("looked at referrers of {}/octo/signatures: none for this digest", world.sandbox.registry().host());
    assert!(text.contains(&place), "{text}");
}

/// A folder with the sandbox's trusted root, and the flags of the policy that admits its default signer.
struct Setup {
    folder: tempfile::TempDir,
    flags: Vec<String>,
}

impl Setup {
    fn of(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("trusted_root.json");
        std::fs::write(&root, world.sandbox.trusted_root()).unwrap();
        let flags = [
            "--trusted-root".to_owned(),
            root.to_str().unwrap().to_owned(),
            "--certificate-identity".to_owned(),
            GithubIdentity::default().subject_alternative_name(),
            "--certificate-oidc-issuer".to_owned(),
            world.sandbox.oidc_issuer(),
        ];
        Self { folder, flags: flags.to_vec() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn arguments<'a>(&'a self, references: &[&'a str], further: &[&'a str]) -> Vec<&'a str> {
        let flags = self.flags.iter().map(String::as_str);
        ["verify"].into_iter().chain(references.iter().copied()).chain(flags).chain(further.iter().copied()).collect()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
