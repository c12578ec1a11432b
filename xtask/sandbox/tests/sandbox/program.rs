//! The sandbox as a program.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::*;

#[tokio::test]
async fn the_program_prints_its_urls_serves_and_ends_with_its_input() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["--until-input-closes", "--output", "json", "--no-referrers-api", "--auth", "basic", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let printed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(printed["schema"], "countersign.dev/sandbox/v1");
    let facts = &printed["sandbox"];
    let registry = format!("http://{}/v2/", facts["registry"].as_str().unwrap());
    assert_eq!(get(&registry).await.status(), 401);
    assert_eq!(http().get(&registry).basic_auth("sandbox", Some("sandbox")).send().await.unwrap().status(), 200);
    let image = facts["image"].as_str().unwrap();
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let path = repository.split_once('/').unwrap().1;
    let manifest = format!("{registry}{path}/manifests/{tag}");
    let answer = http().get(manifest).basic_auth("sandbox", Some("sandbox")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "there is something to sign");
    let fulcio = facts["fulcio_url"].as_str().unwrap();
    assert_eq!(get(&format!("{fulcio}/healthz")).await.status(), 200);
    let root = std::fs::read_to_string(facts["trusted_root"].as_str().unwrap()).unwrap();
    assert!(root.contains(fulcio));
    let token_url = printed["environment"]["ACTIONS_ID_TOKEN_REQUEST_URL"].as_str().unwrap();
    let token = printed["environment"]["ACTIONS_ID_TOKEN_REQUEST_TOKEN"].as_str().unwrap();
    let answer = http().get(format!("{token_url}&audience=sigstore")).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
}

#[test]
fn the_program_prints_lines_for_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["--until-input-closes", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    for line in text.lines() {
        assert!(line.starts_with('#') || line.starts_with("export "), "{line}");
    }
    assert!(text.contains("export SANDBOX_REGISTRY='127.0.0.1:"));
    assert!(text.contains("export ACTIONS_ID_TOKEN_REQUEST_URL='http://127.0.0.1:"));
}
