//! The commands that sign files.

use std::path::Path;
use std::process::Output;

use countersign_oci::Digest;
use countersign_verifier::blob::{Artifact, ExpectedSigner};
use sandbox::Service;
use serde_json::Value;

use crate::program::{Job, json, text};
use crate::world::{World, now};

fn sign(job: &Job<'_>, further: &[&str]) -> Output {
    job.run_command("sign-blob", further, b"")
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn assert_signed(world: &World, file: &[u8], bundle: &Path) {
    let bundle = std::fs::read(bundle).unwrap();
    let policy = world.policy("");
    let signer = ExpectedSigner::Policy(&policy);
    let proof = world.verifier().verify_blob(Artifact::Bytes(file), &bundle, signer, now()).unwrap();
    assert_eq!(proof.digest(), Digest::of(file));
    let refused = world.verifier().verify_blob(Artifact::Bytes(b"another"), &bundle, signer, now()).unwrap_err();
    assert_eq!(refused.code(), "artifact-mismatch");
}

#[test]
fn files_are_signed_with_one_certificate_and_a_bundle_beside_each() {
    let world = World::start();
    let job = Job::in_github(&world);
    let files: Vec<_> = ["a", "b", "c"].iter().map(|name| job.folder.path().join(name)).collect();
    for file in &files {
        std::fs::write(file, path(file)).unwrap();
    }
    let names: Vec<&str> = files.iter().map(|file| path(file)).collect();
    let output = sign(&job, &[&names[..], &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document = json(&output);
    assert_eq!((&document["schema"], &document["result"]), (&"countersign.dev/sign-blob/v1".into(), &"signed".into()));
    assert_eq!(document["signer"]["github_repository"], "octo/app");
    for (position, file) in files.iter().enumerate() {
        let bundle = file.with_extension("sigstore.json");
        assert_signed(&world, path(file).as_bytes(), &bundle);
        let said = &document["files"][position];
        assert_eq!(said["file"], path(file));
        assert_eq!(said["bundle"], path(&bundle));
        assert_eq!(said["digest"], Digest::of(path(file).as_bytes()).to_string());
        assert!(said["log_index"].is_u64(), "{said}");
        let command = said["verify_command"].as_str().unwrap();
        assert!(command.starts_with(&format!("cosign verify-blob --bundle {}", path(&bundle))), "{command}");
        assert!(command.contains("--certificate-github-workflow-repository octo/app --trusted-root "), "{command}");
    }
    assert_eq!(world.count(Service::Fulcio), 1);
}

#[test]
fn standard_input_is_signed_where_the_bundle_has_a_name() {
    let world = World::start();
    let job = Job::in_github(&world);
    let bundle = job.folder.path().join("bundle");
    let output = job.run_command("sign-blob", &["-", "--bundle", path(&bundle)], b"piped");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_signed(&world, b"piped", &bundle);
    assert!(text(&output.stdout).contains("verify with:"), "{output:?}");
}

#[test]
fn a_bundle_is_not_written_over_anything_unasked() {
    let world = World::start();
    let job = Job::in_github(&world);
    let file = job.folder.path().join("file");
    let bundle = job.folder.path().join("file.sigstore.json");
    std::fs::write(&file, "content").unwrap();
    std::fs::write(&bundle, "theirs").unwrap();
    let output = sign(&job, &[path(&file), "--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["errors"][0]["code"], "bundle-exists");
    assert_eq!(std::fs::read(&bundle).unwrap(), b"theirs");
    assert!(world.sandbox.requests().is_empty(), "nothing was spent");
    let output = sign(&job, &[path(&file), "--force"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_signed(&world, b"content", &bundle);
}

#[test]
fn what_is_wrong_with_one_file_is_found_before_anything_is_spent() {
    let world = World::start();
    let job = Job::in_github(&world);
    let file = job.folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let file = path(&file);
    let absent = job.folder.path().join("absent");
    let folder = path(job.folder.path());
    let beside = format!("{file}.sigstore.json");
    let nowhere = job.folder.path().join("nowhere/bundle");
    let table: [(&[&str], &str); 7] = [
        (&[file, path(&absent)], "file-unreadable"),
        (&[file, folder], "file-unreadable"),
        (&[file, "-"], "no-bundle"),
        (&[file, file], "bundle-exists"),
        (&[file, "--bundle", file, "--force"], "bundle-exists"),
        (&[file, "-", "--bundle", &beside], "one-bundle"),
        (&[file, "--bundle", path(&nowhere)], "bundle-unwritable"),
    ];
    for (arguments, code) in table {
        let output = sign(&job, &[arguments, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let document = json(&output);
        assert_eq!(document["errors"][0]["code"], code, "{arguments:?}");
        assert_eq!((&document["result"], &document["files"]), (&"failed".into(), &Value::Array(vec![])));
    }
    assert_eq!(sign(&job, &[]).status.code(), Some(2));
    assert!(world.sandbox.requests().is_empty());
    assert!(!Path::new(&beside).exists());
}

#[test]
fn what_consumers_would_refuse_is_not_written() {
    let world = World::start();
    let stranger = World::start();
    let job = Job::in_github(&world);
    let file = job.folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let theirs = stranger.sandbox.write_trust(&job.folder.path().join("theirs")).unwrap();
    let ours = world.sandbox.write_trust(&job.folder.path().join("ours")).unwrap();
    let output = job.run(&[
        "sign-blob",
        path(&file),
        "--trusted-root",
        path(&theirs.trusted_root),
        "--signing-config",
        path(&ours.signing_config_rekor_v1),
    ]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(!job.folder.path().join("file.sigstore.json").exists());
}

#[test]
fn a_job_without_a_token_signs_nothing() {
    let world = World::start();
    let job = Job::new(&world);
    let file = job.folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let output = sign(&job, &[path(&file), "--output", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["errors"][0]["code"], "identity-token-absent");
}

#[test]
fn flags_of_registries_are_accepted_and_not_shown() {
    let world = World::start();
    let job = Job::in_github(&world);
    let help = job.run(&["sign-blob", "--help"]);
    let help = text(&help.stdout);
    assert!(help.contains("--registry-ca") && !help.contains("--registry-username"), "{help}");
    let file = job.folder.path().join("file");
    std::fs::write(&file, "content").unwrap();
    assert_eq!(sign(&job, &[path(&file), "--allow-http-registry"]).status.code(), Some(0));
}
