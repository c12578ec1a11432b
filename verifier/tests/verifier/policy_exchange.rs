//! `policy import` and `policy export`, run as a person runs them.

use std::path::Path;

use crate::program::{json, verifier};

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const IDENTITY: &str = "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn policy(folder: &Path, more: &str) -> String {
    let text = format!(
        "version: 1\nsigners:\n  - issuer: {ISSUER}\n    identity: {IDENTITY}\n    github: {{repository: octo/app}}\n{more}"
    );
    write(folder, "policy.yaml", &text)
}

#[test]
fn a_policy_goes_to_cosign_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = policy(folder.path(), "");
    let exported =
        verifier(folder.path(), &["policy", "export", &file, "--to", "cosign", "--image", "r.example/a:v1"], &[]);
    assert_eq!(exported.status.code(), Some(0));
    let text = String::from_utf8(exported.stdout).unwrap();
    assert!(text.contains("cosign verify \\\n  --certificate-identity "), "{text}");
    let command = write(folder.path(), "verify.sh", &text);
    let (exit, document) = json(folder.path(), &["policy", "import", "--from", "cosign", &command], &[]);
    assert_eq!((exit, document["schema"].as_str()), (0, Some("countersign.dev/policy-import/v1")));
    assert_eq!(document["losses"][0]["code"], "image-scope");
    let words = ["--", "cosign", "verify", "--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER];
    let imported = verifier(folder.path(), &[&["policy", "import", "--from", "cosign"][..], &words].concat(), &[]);
    assert_eq!(imported.status.code(), Some(0));
    assert!(String::from_utf8(imported.stdout).unwrap().starts_with("version: 1\n"));
    let stderr = String::from_utf8(imported.stderr).unwrap();
    assert!(stderr.contains("loss: own-repository (tightens): ") && stderr.contains("policy lint"), "{stderr}");
}

#[test]
fn a_weaker_export_ends_with_2_and_names_every_loss() {
    let folder = tempfile::tempdir().unwrap();
    let file = policy(folder.path(), "not_before: 2026-06-01T00:00:00Z\nmax_age: 9d\n");
    let export = ["policy", "export", &file, "--to", "policy-controller", "--image", "r.example/**"];
    let (exit, document) = json(folder.path(), &export, &[]);
    assert_eq!((exit, document["error"]["code"].as_str()), (2, Some("weakened")));
    let codes: Vec<&str> =
        document["losses"].as_array().unwrap().iter().map(|loss| loss["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["not-before", "max-age", "claim-repository"]);
    assert!(document.get("text").is_none());
    let some = verifier(folder.path(), &[&export[..], &["--allow-loss", "not-before,max-age"]].concat(), &[]);
    assert_eq!((some.status.code(), some.stdout.len()), (Some(2), 0));
    let all = [&export[..], &["--allow-loss", "not-before,max-age,claim-repository"]].concat();
    let (exit, document) = json(folder.path(), &all, &[]);
    assert_eq!(exit, 0);
    assert!(document["text"].as_str().unwrap().contains("kind: ClusterImagePolicy"));
}

#[test]
fn what_cannot_be_exchanged_ends_with_2_and_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let file = policy(folder.path(), "");
    let keyed = write(folder.path(), "keyed.sh", "cosign verify --key cosign.pub r.example/a\n");
    let bytes = folder.path().join("bytes");
    std::fs::write(&bytes, [0xff]).unwrap();
    for (arguments, code) in [
        (&["policy", "import", "--from", "cosign", &keyed][..], "flag-refused"),
        (&["policy", "import", "--from", "kyverno", &file], "policy-missing-key"),
        (&["policy", "import", "--from", "kyverno", bytes.to_str().unwrap()], "not-text"),
        (&["policy", "import", "--from", "kyverno", &file, "--gallery", "x"], "misplaced-argument"),
        (&["policy", "import", "--from", "kyverno", "--", "cosign", "verify"], "misplaced-argument"),
        (&["policy", "import", "--from", "kyverno", "absent.yaml"], "policy-unreadable"),
        (&["policy", "import", "--from", "kyverno"], "usage"),
        (&["policy", "export", &file, "--to", "kyverno"], "image-missing"),
        (&["policy", "export", &keyed, "--to", "cosign"], "policy-wrong-type"),
        (&["policy", "export", &file, "--to", "cosign", "--image", "r.example/a*"], "invalid-option"),
        (&["policy", "export", &file, "--to", "cosign", "--allow-loss", "everything"], "usage"),
    ] {
        let arguments = match arguments.iter().position(|word| *word == "--") {
            Some(at) => [&arguments[..at], &["--output", "json"], &arguments[at..]].concat(),
            None => [arguments, &["--output", "json"]].concat(),
        };
        let output = verifier(folder.path(), &arguments, &[]);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), document["error"]["code"].as_str()), (Some(2), Some(code)), "{arguments:?}");
    }
}
