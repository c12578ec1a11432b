//! The `trust` commands, and one cache that many processes use at once, some of which are killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sandbox::{Action, Fault, Options, Sandbox, Service, TufRole};
use serde_json::Value;

use crate::world::now;

struct Machine {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        sandbox.write_trust(folder.path()).unwrap();
        Self { sandbox, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str], cache: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"));
        command.arg("trust").args(arguments).args(["--tuf-url", &self.sandbox.tuf_url()]);
        command.args(["--tuf-root", &self.path("tuf-root.json"), "--cache-dir", &self.path(cache)]);
        command.env_clear().env("HOME", self.folder.path());
        command
    }

    fn json(&self, arguments: &[&str], cache: &str) -> (i32, Value) {
        let output = self.command(arguments, cache).args(["--output", "json"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let document = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text:?} {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), document)
    }

    fn text(&self, arguments: &[&str], cache: &str) -> String {
        let output = self.command(arguments, cache).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments, "cache");
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn changes(document: &Value) -> Vec<(&str, &str)> {
    let changes = document["changes"].as_array().unwrap();
    changes.iter().map(|change| (change["change"].as_str().unwrap(), change["kind"].as_str().unwrap())).collect()
}

#[test]
fn an_update_says_which_keys_came_and_were_retired_and_show_when_that_was() {
    let machine = Machine::new();
    let (exit, document) = machine.json(&["update"], "cache");
    assert_eq!((exit, document["schema"].as_str()), (0, Some("countersign.dev/trust/v1")));
    assert_eq!(changes(&document).len(), 5, "everything is new: {document}");
    assert_eq!(changes(&machine.json(&["update"], "cache").1), []);
    assert!(machine.text(&["update"], "cache").contains("no key came, went or was retired"));

    let mut root: Value = serde_json::from_str(machine.sandbox.trusted_root()).unwrap();
    root["tlogs"][0]["publicKey"]["validFor"]["end"] = "2031-01-01T00:00:00Z".into();
    let other = Sandbox::start(Options::default()).unwrap();
    let new: Value = serde_json::from_str(other.trusted_root()).unwrap();
    root["certificateAuthorities"].as_array_mut().unwrap().push(new["certificateAuthorities"][0].clone());
    machine.sandbox.tuf().rotate(&TufRole::ALL);
    machine.sandbox.tuf().publish("trusted_root.json", root.to_string());
    let (_, document) = machine.json(&["update"], "cache");
    assert_eq!(changes(&document), [("added", "certificate-authority"), ("retired", "transparency-log")]);

    machine.sandbox.clear_requests();
    let (exit, shown) = machine.json(&["show", "--offline"], "cache");
    assert_eq!((exit, machine.sandbox.requests().len()), (0, 0));
    assert_eq!(shown["source"]["kind"], "tuf");
    assert_eq!(shown["repository"]["roles"][0]["version"], 2);
    assert!(shown["repository"]["age_seconds"].as_i64().unwrap() < 60);
    assert_eq!(shown["authorities"].as_array().unwrap().len(), 6);
    let text = machine.text(&["show", "--offline"], "cache");
    for word in ["refreshed", "usable without a connection until", "certificate authority", "until 2031-01-01"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn windows_that_are_over_or_have_not_begun_are_shown_as_that() {
    let machine = Machine::new();
    let mut root: Value = serde_json::from_str(machine.sandbox.trusted_root()).unwrap();
    root["tlogs"][0]["publicKey"]["validFor"]["end"] = (now() - jiff::SignedDuration::from_mins(1)).to_string().into();
    root["tlogs"][1]["publicKey"]["validFor"]["start"] = "2100-01-01T00:00:00Z".into();
    let file = machine.path("edited.json");
    fs::write(&file, root.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
        .args(["trust", "show", "--trusted-root", &file, "--output", "json"])
        .env_clear()
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let states: Vec<&str> = document["authorities"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|authority| authority["kind"] == "transparency-log")
        .map(|authority| authority["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["expired", "future"]);
    assert_eq!((document["source"]["kind"].as_str(), document["repository"].is_null()), (Some("file"), true));
}

#[test]
fn the_copy_inside_the_program_shows_its_age() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
            .args(["trust", "show", "--trust", "embedded"])
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&run(&["--output", "json"])).unwrap();
    assert!(document["embedded"]["age_days"].as_i64().unwrap() > 0 && document["embedded"]["in_use"] == true);
    assert!(run(&[]).contains("days old: it does not learn of rotated keys"));
}

#[test]
fn what_was_exported_is_imported_where_the_repository_cannot_be_reached() {
    let machine = Machine::new();
    let [root, config, copy] = ["out.json", "config.json", "copy.json"].map(|name| machine.path(name));
    let (exit, document) =
        machine.json(&["export", "--out", &root, "--signing-config", &config, "--repository-copy", &copy], "connected");
    assert_eq!(exit, 0, "{document}");
    assert_eq!(fs::read_to_string(&root).unwrap(), machine.sandbox.trusted_root(), "the very document");
    assert!(fs::read_to_string(&config).unwrap().contains(&machine.sandbox.fulcio_url()));
    machine.sandbox.clear_requests();
    assert_eq!(machine.json(&["show", "--offline"], "apart").0, 4);
    let (exit, imported) = machine.json(&["import", &copy], "apart");
    assert_eq!((exit, imported["repository"]["refreshed"].is_null()), (0, true), "{imported}");
    assert_eq!(machine.json(&["show", "--offline"], "apart").0, 0);
    assert!(machine.text(&["show", "--offline"], "apart").contains("taken over from a copy"));
    // A trusted root by itself is not made the default: nothing vouches for it.
    let (exit, refused) = machine.json(&["import", &root], "apart");
    assert_eq!((exit, refused["error"]["code"].as_str()), (4, Some("trust-copy")));
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--trusted-root"));
    assert_eq!(machine.sandbox.requests().len(), 0);
}

#[test]
fn a_mirror_serves_as_well_as_the_original_and_no_other_root_is_mixed_in() {
    let (machine, mirror, evil) = (Machine::new(), Machine::new(), Machine::new());
    mirror.sandbox.tuf().serve(&machine.sandbox.tuf().copy());
    let at_mirror = |root: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
            .args(["trust", "update", "--tuf-url", &mirror.sandbox.tuf_url(), "--tuf-root", root])
            .args(["--cache-dir", &machine.path("mirror"), "--output", "json"])
            .env_clear()
            .output()
            .unwrap();
        (output.status.code().unwrap(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (exit, document) = at_mirror(&machine.path("tuf-root.json"));
    assert_eq!(exit, 0, "{document}");
    let original = machine.json(&["update"], "cache").1;
    assert_eq!(document["digest"], original["digest"]);
    assert_eq!(at_mirror(&evil.path("tuf-root.json")).0, 4, "verified from another root it is nothing");
    let without = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
        .args(["trust", "update", "--tuf-url", &mirror.sandbox.tuf_url()])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(without.status.code(), Some(2), "a repository without a first root is a mistake of the caller");
}

#[test]
fn only_a_tuf_repository_can_be_updated() {
    let machine = Machine::new();
    for trust in [&["--trust", "embedded"][..], &["--trusted-root", &machine.path("trusted_root.json")]] {
        let output = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"))
            .args(["trust", "update", "--output", "json"])
            .args(trust)
            .env_clear()
            .output()
            .unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{document}");
        assert_eq!(document["error"]["code"], "no-tuf-repository");
    }
}

#[test]
fn many_processes_share_a_cache_and_those_that_are_killed_leave_it_whole() {
    let machine = Machine::new();
    assert_eq!(machine.json(&["update"], "cache").0, 0);
    for round in 0..4 {
        // Each round has something new to write.
        machine.sandbox.tuf().publish("trusted_root.json", machine.sandbox.trusted_root());
        let _slow = machine.sandbox.fault(Fault::new(Service::Tuf, Action::Delay(Duration::from_millis(2))));
        let updates: Vec<Child> = (0..6).map(|_| machine.start(&["update"])).collect();
        let readers: Vec<Child> = (0..4).map(|_| machine.start(&["show", "--offline"])).collect();
        for (number, mut update) in updates.into_iter().enumerate() {
            if number % 2 == 0 {
                // SIGKILL, each at another moment of its work.
                std::thread::sleep(Duration::from_millis(7 * (round + number as u64)));
                let _ = update.kill();
                let _ = update.wait();
            } else {
                assert!(update.wait().unwrap().success());
            }
        }
        for mut reader in readers {
            assert!(reader.wait().unwrap().success(), "a reader sees the old state or the new one");
        }
        let (exit, shown) = machine.json(&["show", "--offline"], "cache");
        let roles = shown["repository"]["roles"].as_array().unwrap();
        let timestamp = roles.iter().find(|role| role["name"] == "timestamp").unwrap();
        assert_eq!((exit, timestamp["version"].as_u64()), (0, Some(round + 2)), "the newest state was kept");
    }
    assert_eq!(machine.json(&["update"], "cache").0, 0);
    let left: Vec<String> = names(&machine.folder.path().join("cache/tuf"));
    assert!(left.iter().all(|name| name.ends_with(".json") || name.ends_with(".lock")), "{left:?}");
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_update_that_cannot_be_kept_is_no_success() {
    let machine = Machine::new();
    fs::write(machine.path("file"), "no folder").unwrap();
    let (exit, document) = machine.json(&["update"], "file/cache");
    assert_eq!((exit, document["error"]["code"].as_str()), (4, Some("trust-cache")), "{document}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"));
    command.args(["trust", "update", "--tuf-url", &machine.sandbox.tuf_url()]);
    command.args(["--tuf-root", &machine.path("tuf-root.json")]).env_clear();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--cache-dir"));
}
