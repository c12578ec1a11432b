//! The example program, compiled as a part of the tests and run as a program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::signed_example::signed_example;

/// Cargo builds examples beside the tests, and says nowhere where.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(format!("download_gate{}", std::env::consts::EXE_SUFFIX))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_program_downloads_what_is_signed_and_nothing_else() {
    let program = program();
    if !program.is_file() {
        println!("skipped: the example is built when all targets are");
        return;
    }
    let (sandbox, reference, policy, trusted_root) = signed_example().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let (policy, root) = (write("policy.yaml", &policy), write("root.json", &trusted_root));
    let other = write("other.yaml", &std::fs::read_to_string(&policy).unwrap().replace("release.yml", "other.yml"));
    let gate = |policy: &Path, into: &str| {
        let into = folder.path().join(into);
        let status = Command::new(&program).arg(&reference).args([policy, &root, &into]).output().unwrap().status;
        let files = into.read_dir().map(Iterator::count).unwrap_or_default();
        (status.code(), files)
    };
    let (code, files) = gate(&policy, "good");
    assert_eq!(code, Some(0));
    assert!(files > 0);
    assert_eq!(gate(&other, "refused"), (Some(3), 0), "another signer");
    drop(sandbox);
    assert_eq!(gate(&policy, "unreachable"), (Some(4), 0));
}
