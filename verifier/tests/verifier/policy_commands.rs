//! `policy lint`, `explain`, `test` and `schema`, run as a person or a job runs them.

use std::path::Path;

use crate::program::{json, verifier};

const LOCALAI: &str = r#"
- name: localai
  url: https://index.localai.io/backends
  verification:
    issuer: https://token.actions.githubusercontent.com
    identity_regex: "^https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)$"
"#;
const POLICY: &str = "
version: 1
signers:
  - name: release
    issuer: https://token.actions.githubusercontent.com
    identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
";
const CASES: &str = "
version: 1
policy: policy.yaml
defaults:
  certificate:
    issuer: https://token.actions.githubusercontent.com
    identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
    github: {repository: octo/app}
  times: [2026-07-01T12:00:00Z]
cases:
  - {name: release, expect: accepted}
  - {name: fork, certificate: {github: {repository: evil/app}}, expect: denied, codes: [source-repository-mismatch]}
";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn exit(folder: &Path, arguments: &[&str]) -> i32 {
    verifier(folder, arguments, &[]).status.code().unwrap()
}

#[test]
fn lint_ends_as_its_level_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let localai = write(folder, "galleries.yaml", LOCALAI);
    let policy = write(folder, "policy.yaml", POLICY);
    let broken = write(folder, "broken.yaml", "version: 1\nsigners: []\n");
    for (arguments, expected) in [
        (&[localai.as_str()][..], 3),
        (&[&localai, "--deny", "never"], 0),
        // An exact identity has notes only.
        (&[&policy], 0),
        (&[&policy, "--deny", "note"], 3),
        (&[&broken], 2),
        (&[&broken, "--deny", "never"], 2),
        (&[&localai, &broken], 2),
        (&["absent.yaml"], 2),
        (&[], 2),
    ] {
        for output in ["text", "json", "sarif", "github"] {
            let arguments = [&["policy", "lint"], arguments, &["--output", output]].concat();
            assert_eq!(exit(folder, &arguments), expected, "{arguments:?}");
        }
    }
}

#[test]
fn lint_names_the_weaknesses_of_localais_block_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "galleries.yaml", LOCALAI);
    let (exit, document) = json(folder.path(), &["policy", "lint", &file], &[]);
    assert_eq!((exit, document["schema"].as_str()), (3, Some("countersign.dev/policy-lint/v1")));
    let findings = document["files"][0]["findings"].as_array().unwrap();
    let warnings = findings.iter().filter(|finding| finding["level"] == "warning");
    let warnings: Vec<_> =
        warnings.map(|finding| (finding["code"].as_str().unwrap(), finding["line"].as_u64())).collect();
    assert_eq!(warnings, [("any-tag", Some(6)), ("no-repository-claim", Some(6)), ("unescaped-dot", Some(6))]);
}

#[test]
fn lint_ends_with_one_block_and_says_who_enforces_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "galleries.yaml", LOCALAI);
    let output = verifier(folder.path(), &["policy", "lint", &file], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, end) = text.split_once(": all together in gallery localai, write:\n").unwrap();
    assert_eq!(end.matches("\n    github: {").count(), 1, "{end}");
    assert_eq!(text.matches("enforced by countersign; LocalAI reads ").count(), 1, "{text}");
    let (_, document) = json(folder.path(), &["policy", "lint", &file], &[]);
    let together = document["files"][0]["together"][0]["write"].as_str().unwrap();
    assert!(together.lines().all(|line| end.contains(line)), "{together}");
    let policy = write(folder.path(), "policy.yaml", POLICY);
    let output = verifier(folder.path(), &["policy", "lint", &policy], &[]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("LocalAI reads"));
}

#[test]
fn explain_says_how_a_gallerys_block_becomes_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "galleries.yaml", LOCALAI);
    let (exit, document) = json(folder.path(), &["policy", "explain", &file], &[]);
    assert_eq!(exit, 2);
    assert!(document["error"]["hint"].as_str().unwrap().contains("policy import --from localai"), "{document}");
}

#[test]
fn what_a_file_says_does_not_reach_the_terminal_as_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let text = LOCALAI.replace("name: localai", r#"name: "a\e[2J\n::error::x""#);
    let file = write(folder.path(), "galleries.yaml", &text);
    let output = verifier(folder.path(), &["policy", "lint", &file], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("gallery a"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
}

#[test]
fn a_table_of_cases_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = write(folder, "cases.yaml", CASES);
    write(folder, "policy.yaml", POLICY);
    let wide = write(folder, "wide.yaml", &format!("{}    github: {{repository_regex: '[a-z]+'}}\n", POLICY));
    let wider =
        write(folder, "wider.yaml", &format!("{}    github: {{repository_regex: '(octo|evil)/app'}}\n", POLICY));
    let empty = write(folder, "empty.yaml", "version: 1\npolicy: policy.yaml\ncases: []\n");
    let alone = write(folder, "alone.yaml", &CASES.replace("policy: policy.yaml\n", ""));
    for (arguments, expected) in [
        (&[cases.as_str()][..], 0),
        (&[&cases, "--policy", &wider], 3),
        (&[&cases, "--policy", &wide], 2),
        (&[&empty], 2),
        (&[&cases, &empty], 2),
        (&[&alone], 2),
        (&[&cases, "--policy", "absent.yaml"], 2),
    ] {
        for output in ["text", "json"] {
            let arguments = [&["policy", "test"], arguments, &["--output", output]].concat();
            assert_eq!(exit(folder, &arguments), expected, "{arguments:?}");
        }
    }
    let (_, document) = json(folder, &["policy", "test", &cases, "--policy", &wider], &[]);
    let case = &document["files"][0]["cases"][1];
    assert_eq!((case["as_expected"].as_bool(), case["found"]["outcome"].as_str()), (Some(false), Some("accepted")));
}

#[test]
fn explain_and_schema_print_what_the_library_says() {
    let folder = tempfile::tempdir().unwrap();
    let policy = write(folder.path(), "policy.yaml", POLICY);
    let output = verifier(folder.path(), &["policy", "explain", &policy], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("Who must have signed\n  The one signer below.") && text.contains("\nNot checked\n"),
        "{text}"
    );
    let (exit_code, document) = json(folder.path(), &["policy", "explain", &policy], &[]);
    assert_eq!((exit_code, document["schema"].as_str()), (0, Some("countersign.dev/policy-explain/v1")));
    assert_eq!(exit(folder.path(), &["policy", "explain", "absent.yaml"]), 2);
    let output = verifier(folder.path(), &["policy", "schema"], &[]);
    assert_eq!(output.stdout, countersign_policy::schema::POLICY_SCHEMA.as_bytes());
}
