//! `--github`: what a job is told, and that nothing which is printed is a command of the job.

use std::path::PathBuf;

use countersign_oci::Digest;

use crate::program::{Job, text};
use crate::world::World;

/// The files of a step, by their variables.
fn files(job: &mut Job<'_>) -> (PathBuf, PathBuf) {
    let paths = ["output", "summary"].map(|name| job.folder.path().join(name));
    for (variable, path) in ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"].iter().zip(&paths) {
        set(job, variable, path);
    }
    let [output, summary] = paths;
    (output, summary)
}

fn set(job: &mut Job<'_>, variable: &str, path: &std::path::Path) {
    job.environment.retain(|(name, _)| name != variable);
    job.environment.push((variable.to_owned(), path.to_str().unwrap().to_owned()));
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn outputs_and_summary_are_appended_to_what_the_step_has_said() {
    let world = World::start();
    let mut job = Job::in_github(&world);
    let (outputs, summary) = files(&mut job);
    std::fs::write(&outputs, "earlier=1\n").unwrap();
    std::fs::write(&summary, "earlier\n").unwrap();
    let output = job.sign(&["--github"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = read(&outputs);
    assert!(told.starts_with("earlier=1\ndigest<<end-"), "{told}");
    for name in ["digest", "bundle", "log-index", "verify-command"] {
        assert_eq!(told.matches(&format!("{name}<<end-")).count(), 1, "{told}");
    }
    assert!(told.contains(&format!("\n{}\n", world.image.digest())), "{told}");
    let shown = read(&summary);
    assert!(shown.starts_with("earlier\n### countersign: signed\n"), "{shown}");
    assert_eq!(shown.matches("| `signed` |").count(), 5, "{shown}");
    assert!(shown.contains("```sh\ncountersign-verifier verify "), "{shown}");
}

#[test]
fn without_a_place_for_outputs_nothing_is_begun() {
    let world = World::start();
    let mut job = Job::in_github(&world);
    let output = job.sign(&["--github"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("GITHUB_OUTPUT is not set"), "{output:?}");
    let folder = job.folder.path().to_owned();
    set(&mut job, "GITHUB_OUTPUT", &folder);
    let output = job.sign(&["--github"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(world.sandbox.requests().is_empty(), "{:?}", world.sandbox.requests());
}

#[test]
fn a_summary_that_cannot_be_written_is_a_warning_and_outputs_are_an_error() {
    let world = World::start();
    let mut job = Job::in_github(&world);
    let (outputs, _) = files(&mut job);
    let folder = job.folder.path().to_owned();
    set(&mut job, "GITHUB_STEP_SUMMARY", &folder);
    let output = job.sign(&["--github"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("warning: cannot write to the file that GITHUB_STEP_SUMMARY names"));
    assert!(read(&outputs).contains("digest<<"));
    // It can be opened, and holds nothing.
    set(&mut job, "GITHUB_OUTPUT", std::path::Path::new("/dev/full"));
    let output = job.sign(&["--github"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(text(&output.stderr).contains("error: cannot write to the file that GITHUB_OUTPUT names"), "{output:?}");
}

#[test]
fn what_failed_stands_in_the_summary_and_no_output_says_that_it_was_done() {
    let world = World::start();
    let mut job = Job::in_github(&world);
    let (outputs, summary) = files(&mut job);
    let absent = format!("octo/app@{}", Digest::of(b"absent"));
    let absent = world.reference(&absent).to_string();
    let output = job.sign(&["--github", &absent]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert_eq!(read(&outputs), "");
    let shown = read(&summary);
    assert!(shown.starts_with("### countersign: not everything was signed\n\n```text\nerror: "), "{shown}");
}

#[test]
fn a_full_summary_gets_nothing_more() {
    let world = World::start();
    let mut job = Job::in_github(&world);
    let (outputs, summary) = files(&mut job);
    let limit = 1024 * 1024;
    for left in [0, 1_000, 17_000, 20_000] {
        std::fs::write(&summary, vec![b'x'; limit - left]).unwrap();
        let output = job.sign(&["--github", "--dry-run"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(std::fs::metadata(&summary).unwrap().len() <= limit as u64);
    }
    assert_eq!(read(&outputs), "", "what would be done tells no step anything");
}

#[test]
fn nothing_that_is_printed_is_a_command_of_the_job() {
    let world = World::start();
    let mut job = Job::in_github(&world);
    files(&mut job);
    let hostile = "x\n::error::owned\r::add-mask::y ##[warning]owned";
    let calls: [&[&str]; 6] = [
        &["--statement", hostile],
        &[hostile],
        &["-a", hostile],
        &["-a", "k=##[error]owned", "--dry-run"],
        &["--self-verify", hostile],
        &["--trusted-root", hostile, "--help"],
    ];
    for call in calls {
        for further in [&["--github"][..], &["--github", "--output", "json"], &["-vvv"]] {
            let output = job.sign(&[call, further].concat());
            for stream in [&output.stdout, &output.stderr] {
                let lines = text(stream).split(['\n', '\r']);
                let commands: Vec<&str> =
                    lines.filter(|line| line.trim_start().starts_with("::") || line.contains("##[")).collect();
                assert_eq!(commands, [""; 0], "{call:?} {further:?}");
            }
        }
    }
}
