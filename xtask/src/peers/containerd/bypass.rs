//! What makes a node pull without asking: shown with real pulls, and named by `--check` from the real dump.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::Bench;
use super::super::matrix::{Section, Shown};
use super::super::process;
use super::node::{self, Further, Node, Puller};

const IMAGES: &str = "[plugins.\"io.containerd.cri.v1.images\"]\n";

/// A setting, and the code by which it is named.
struct Case {
    name: &'static str,
    code: &'static str,
    top: &'static str,
    tables: String,
}

fn cases() -> Vec<Case> {
    let of_images = |name, code, line: &str| Case { name, code, top: "", tables: format!("{IMAGES}  {line}\n") };
    let table = |name, code, table: &str| Case {
        name,
        code,
        top: "",
        tables: format!("[plugins.\"io.containerd.cri.v1.images\".registry.{table}\n"),
    };
    vec![
        of_images("use_local_image_pull", "local-image-pull", "use_local_image_pull = true"),
        of_images("disable_snapshot_annotations", "snapshot-annotations", "disable_snapshot_annotations = false"),
        of_images("discard_unpacked_layers", "discard-unpacked-layers", "discard_unpacked_layers = true"),
        of_images("image_pull_with_sync_fs", "sync-fs", "image_pull_with_sync_fs = true"),
        of_images("max_concurrent_downloads", "concurrent-downloads", "max_concurrent_downloads = 8"),
        table(
            "registry.mirrors",
            "registry-mirrors",
            "mirrors.\"other.example\"]\n  endpoint = [\"http://127.0.0.1:1\"]",
        ),
        table("registry.configs", "registry-configs", "configs.\"other.example\".auth]\n  username = \"octo\""),
        table("registry.auths", "registry-auths", "auths.\"https://other.example\"]\n  username = \"octo\""),
        Case {
            name: "disabled_plugins",
            code: "verifier-disabled",
            top: "disabled_plugins = [\"io.containerd.image-verifier.v1.bindir\"]\n",
            tables: String::new(),
        },
    ]
}

pub(super) fn run(bench: &Bench<'_>, settings: &Path, node: &Node<'_>, unsigned: &str, section: &mut Section) {
    section.cell("a node that is set up as documented", "--check", || {
        let (exit, document) = check(bench, settings, &node.config, &node.containerd)?;
        ensure!(exit == 0 && document["clean"] == true, "exit {exit}: {document}");
        Ok("clean")
    });
    for case in cases() {
        let row = format!("bypass: {}", case.name);
        let mut config = None;
        section.cell(&row, "crictl", || {
            let started = Node::start(bench, settings, Further { top: case.top, tables: &case.tables })?;
            config = Some(started.config.clone());
            started.pull(Puller::Crictl, unsigned)?.ok()?;
            Ok(Shown::limit("containerd pulls an unsigned image, and asks nobody"))
        });
        let Some(config) = config else { continue };
        section.cell(&row, "--check", || {
            let (exit, document) = check(bench, settings, &config, &node.containerd)?;
            ensure!(exit == 3, "exit {exit}: {document}");
            let codes = codes(&document);
            ensure!(codes == [case.code], "{codes:?} instead of {}", case.code);
            Ok(case.code)
        });
    }
    section.cell("refused: what cannot answer", "--check", || broken(bench, settings, &node.containerd));
}

/// Files that no containerd has to be started for.
fn broken(bench: &Bench<'_>, settings: &Path, containerd: &Path) -> anyhow::Result<String> {
    let mut named = Vec::new();
    let bindir = "[plugins.\"io.containerd.image-verifier.v1.bindir\"]\n";
    let misspelt = "[plugins.\"io.containerd.image-verifier.v1.bindirs\"]\n  bin_dir = \"/x\"\n";
    for (from, to, wanted) in [
        ("per_verifier_timeout = \"10s\"", "per_verifier_timeout = 10", &["verifier-timeout"][..]),
        ("per_verifier_timeout = \"10s\"", "max_verifiers = 0", &["max-verifiers-zero"]),
        ("per_verifier_timeout = ", "per_verifier_time = ", &["unknown-key"]),
        ("verifiers\"\n", "absent\"\n", &["bin-dir-absent"]),
        (bindir, &*format!("{misspelt}{bindir}"), &["unknown-verifier"]),
    ] {
        let folder = bench.folder("broken")?;
        let config = node::write(bench, &folder, settings, Further::default())?;
        let text = fs::read_to_string(&config)?;
        ensure!(text.contains(from), "{from}");
        fs::write(&config, text.replace(from, to))?;
        let (exit, document) = check(bench, settings, &config, containerd)?;
        let codes = codes(&document);
        ensure!(exit == 3 && codes == wanted, "{to}: exit {exit}, {codes:?}");
        named.extend(codes);
    }
    let folder = bench.folder("broken")?;
    let config = node::write(bench, &folder, settings, Further::default())?;
    fs::write(folder.join("verifiers/README"), "verifiers of this node")?;
    let (_, document) = check(bench, settings, &config, containerd)?;
    ensure!(codes(&document) == ["entry-not-a-program"], "{document}");
    Ok(named.join(", "))
}

fn check(bench: &Bench<'_>, settings: &Path, config: &Path, containerd: &Path) -> anyhow::Result<(i32, Value)> {
    let home = bench.folder("check")?;
    let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
    command.args(["containerd-hook", "--output", "json", "--check"]).arg(config);
    command.arg("--containerd").arg(containerd).arg("--config").arg(settings.join("hook.yaml"));
    let run = process::call(command)?;
    let document = serde_json::from_str(&run.stdout).with_context(|| run.last_words())?;
    Ok((run.exit, document))
}

fn codes(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    findings.iter().filter_map(|finding| Some(finding["code"].as_str()?.to_owned())).collect()
}
