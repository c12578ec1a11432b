use std::path::Path;

use super::dump::TRANSFER;
use super::{Effect, Finding, Folder, MARGIN, Node};
use crate::hook::settings::{Rule, Settings, Unmatched};
use countersign_oci::ImageReference;

/// Applies every rule, in the order in which containerd comes to what they are about.
pub(super) fn apply(node: &Node, findings: &mut Vec<Finding>) {
    let found = &mut Found(findings);
    version(node, found);
    plugins(node, found);
    unknown_keys(node, found);
    local_pull(node, found);
    registry_tables(node, found);
    snapshotters(node, found);
    if node.dump.has_verifier() {
        bin_dir(node, found);
        entries(node, found);
        timeout(node, found);
    }
    settings(node, found);
}

struct Found<'f>(&'f mut Vec<Finding>);

impl Found<'_> {
    fn bypasses(&mut self, code: &'static str, what: impl Into<String>, why: &str, fix: &str) {
        self.add(code, Effect::Bypasses, what.into(), why, fix);
    }

    fn blocks(&mut self, code: &'static str, what: impl Into<String>, why: &str, fix: &str) {
        self.add(code, Effect::Blocks, what.into(), why, fix);
    }

    fn uncertain(&mut self, code: &'static str, what: impl Into<String>, why: &str, fix: &str) {
        self.add(code, Effect::Uncertain, what.into(), why, fix);
    }

    fn add(&mut self, code: &'static str, effect: Effect, what: String, why: &str, fix: &str) {
        self.0.push(Finding { code, effect, what, why: why.to_owned(), fix: fix.to_owned() });
    }
}

fn version(node: &Node, found: &mut Found<'_>) {
    let why = "before 2.1 a kubelet's pull does not go through the transfer service, and no verifier is asked";
    let too_old = |found: &mut Found<'_>, what: String| {
        found.bypasses("containerd-too-old", what, why, "use containerd 2.1 or later");
    };
    if let Some(version) = &node.version {
        match numbers(version) {
            Some(numbers) if numbers >= (2, 1) => {}
            Some(_) => return too_old(found, format!("containerd is {}", version.trim())),
            None => {
                let what = format!("containerd says `{}` of its version", version.trim());
                found.uncertain("containerd-version", what, why, "see that it is 2.1 or later");
            }
        }
    }
    match node.dump.config_version() {
        Some(version) if version >= 3 => {}
        version => {
            let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            too_old(found, format!("the dump's `version` is {version}, and 2.1 prints 3 or more"));
        }
    }
}

/// The first two numbers of the first word that looks like a version.
fn numbers(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((major, minor))
    })
}

fn plugins(node: &Node, found: &mut Found<'_>) {
    let dump = &node.dump;
    let fix = "take it out of `disabled_plugins`";
    if dump.disables_verifier() {
        let why = "no verifier is asked, and nothing says so";
        found.bypasses("verifier-disabled", "`disabled_plugins` has the bindir verifier", why, fix);
    } else if !dump.has_verifier() {
        let why = "this containerd has no plugin that asks verifiers";
        let fix = "use a containerd that is built with it (2.0 or later, no build tags)";
        found.bypasses("verifier-absent", "the dump has no bindir verifier", why, fix);
    }
    if dump.disables(TRANSFER) || !dump.has_transfer() {
        let why = "verifiers are asked by the transfer service alone";
        found.bypasses("transfer-disabled", "the transfer plugin is disabled or absent", why, fix);
    }
    for name in dump.unknown_verifiers() {
        let why =
            "no containerd has this plugin: what is written there has no effect, and the real one keeps its defaults";
        let fix = "write [plugins.\"io.containerd.image-verifier.v1.bindir\"]";
        found.bypasses("unknown-verifier", format!("`plugins.\"{name}\"`"), why, fix);
    }
}

fn unknown_keys(node: &Node, found: &mut Found<'_>) {
    const SAYS: &str = "Ignoring unknown key";
    let lines = node.warnings.iter().flat_map(|text| text.lines()).filter(|line| line.contains(SAYS));
    for line in lines.take(20) {
        let field = |name: &str| {
            let value = line.split_once(&format!(" {name}="))?.1;
            let (value, end) = value.strip_prefix('"').map_or((value, ' '), |quoted| (quoted, '"'));
            Some(value.split(end).next().unwrap_or_default().to_owned())
        };
        let place = field("plugin").or_else(|| field("file")).unwrap_or_else(|| "its configuration".into());
        let what = format!("containerd ignores the key `{}` of {place}", field("key").unwrap_or_default());
        let why = "a misspelt key leaves the default in place: a verifier that is never asked, or another time";
        found.uncertain("unknown-key", what, why, "mend its spelling, or take it out");
    }
}

/// The settings that make containerd's CRI plugin pull by itself, past the transfer service (containerd: internal/cri/config).
fn local_pull(node: &Node, found: &mut Found<'_>) {
    if !node.dump.has_cri() {
        return;
    }
    let why = "containerd then pulls with its local puller, which asks no verifier";
    for (key, wanted, code) in [
        ("use_local_image_pull", false, "local-image-pull"),
        ("disable_snapshot_annotations", true, "snapshot-annotations"),
        ("discard_unpacked_layers", false, "discard-unpacked-layers"),
        ("image_pull_with_sync_fs", false, "sync-fs"),
    ] {
        match node.dump.image_flag(key) {
            Some(value) if value == wanted => {}
            Some(value) => found.bypasses(code, format!("`{key} = {value}`"), why, &format!("set `{key} = {wanted}`")),
            None => absent(key, found),
        }
    }
    match node.dump.image_number("max_concurrent_downloads") {
        Some(3) => {}
        Some(number) => {
            let what = format!("`max_concurrent_downloads = {number}` of the CRI plugin");
            let fix = "leave it out there (3), and set it in [plugins.\"io.containerd.transfer.v1.local\"]";
            found.bypasses("concurrent-downloads", what, why, fix);
        }
        None => absent("max_concurrent_downloads", found),
    }
}

fn absent(key: &str, found: &mut Found<'_>) {
    let what = format!("the CRI plugin has no `{key}`");
    let why =
        "containerd before 2.1 has no such setting, and asks no verifier for a kubelet; a later one may have others";
    found.uncertain("setting-absent", what, why, "use containerd 2.1 or later, and a hook that knows it");
}

fn registry_tables(node: &Node, found: &mut Found<'_>) {
    let why = "containerd then pulls with its local puller, which asks no verifier, whatever registry the entry is for";
    let fix = "write hosts.toml files below `config_path` instead";
    for (key, code) in [("mirrors", "registry-mirrors"), ("configs", "registry-configs"), ("auths", "registry-auths")] {
        let entries = node.dump.registry_entries(key);
        if entries > 0 {
            found.bypasses(code, format!("`registry.{key}` has {entries} entries"), why, fix);
        }
    }
    if let Some(path) = node.dump.registry_config_path().filter(|_| node.dump.registry_entries("mirrors") > 0) {
        let what = format!("`registry.mirrors` stands beside `config_path = \"{path}\"`");
        let why = "containerd does not load its CRI plugin with both";
        found.blocks("mirrors-with-config-path", what, why, "keep `config_path`");
    }
}

fn snapshotters(node: &Node, found: &mut Found<'_>) {
    if !node.dump.has_cri() {
        return;
    }
    let unpacked = node.dump.unpacked().unwrap_or_else(|| DEFAULT_SNAPSHOTTERS.to_vec());
    for name in node.dump.snapshotters() {
        if !unpacked.contains(&name) {
            let what = format!("the snapshotter `{name}` is not in the transfer plugin's `unpack_config`");
            let why = "images that the hook allows cannot be unpacked";
            let fix = format!(
                "add [[plugins.\"io.containerd.transfer.v1.local\".unpack_config]] with platform, and snapshotter = \"{name}\""
            );
            found.blocks("snapshotter-not-unpacked", what, why, &fix);
        }
    }
}

fn bin_dir(node: &Node, found: &mut Found<'_>) {
    let path = node.dump.bin_dir().unwrap_or_default();
    let fix = "set an absolute `bin_dir` of its own in [plugins.\"io.containerd.image-verifier.v1.bindir\"]";
    if path.is_empty() {
        let why = "a folder that is not there allows everything, without a word";
        return found.bypasses("bin-dir-unset", "`bin_dir` is empty", why, fix);
    }
    if !Path::new(path).is_absolute() && !path.starts_with('/') {
        let why = "it is looked for where containerd happens to run, and a folder that is not there allows everything";
        found.bypasses("bin-dir-relative", format!("`bin_dir = \"{path}\"` is relative"), why, fix);
    }
    if path == DEFAULT_BIN_DIR {
        let why = "it is what containerd takes where the setting is misspelt, merged away or absent: nobody can tell";
        found.uncertain("bin-dir-default", format!("`bin_dir = \"{path}\"` is the default"), why, fix);
    }
    match &node.folder {
        Folder::Absent => {
            let why = "a folder that is not there allows everything, without a word";
            found.bypasses("bin-dir-absent", format!("{path} is not there"), why, "make it, and link the hook into it");
        }
        Folder::Entries(entries) if entries.is_empty() => {
            let why = "an empty folder allows everything, without a word";
            found.bypasses("bin-dir-empty", format!("{path} is empty"), why, "link the hook into it");
        }
        Folder::Unreadable(reason) => {
            let why = "containerd refuses every pull when it cannot list the folder";
            found.blocks("bin-dir-unreadable", format!("{path}: {reason}"), why, "make it a folder that root can read");
        }
        _ => {}
    }
}

fn entries(node: &Node, found: &mut Found<'_>) {
    let Folder::Entries(entries) = &node.folder else {
        return max_verifiers(node, 1, found);
    };
    for entry in entries {
        if let Some(problem) = &entry.problem {
            let what = format!("{} in bin_dir {problem}", entry.name);
            let why = "everything in the folder is run, and what cannot be run refuses every pull";
            found.blocks(
                "entry-not-a-program",
                what,
                why,
                "take it out of the folder, or make it a program that root owns",
            );
        }
    }
    max_verifiers(node, entries.len(), found);
}

fn max_verifiers(node: &Node, entries: usize, found: &mut Found<'_>) {
    let Some(max) = node.dump.max_verifiers() else { return };
    let fix = "leave out `max_verifiers` (10), or set it to at least the number of entries";
    if max == 0 {
        found.bypasses(
            "max-verifiers-zero",
            "`max_verifiers = 0`",
            "no verifier is asked, and everything allowed",
            fix,
        );
    } else if max > 0 && usize::try_from(max).is_ok_and(|max| max < entries) {
        let what = format!("`max_verifiers = {max}`, and bin_dir has {entries} entries");
        found.bypasses("max-verifiers-fewer", what, "those that come last by name are not asked", fix);
    }
}

fn timeout(node: &Node, found: &mut Found<'_>) {
    let own = node.settings.as_ref().map_or(OWN_TIMEOUT, |settings| settings.timeout);
    let Some((text, timeout)) = node.dump.verifier_timeout() else { return };
    if timeout.is_some_and(|timeout| timeout >= own + MARGIN) {
        return;
    }
    let what = format!("`per_verifier_timeout = \"{text}\"`, and the hook takes up to {:?}", own);
    let why = "containerd ends the hook before it answers: pulls are refused without a reason (a number without a unit is nanoseconds)";
    let fix = "set `per_verifier_timeout = \"10s\"`, or a smaller `timeout` in the hook's settings";
    found.blocks("verifier-timeout", what, why, fix);
}

fn settings(node: &Node, found: &mut Found<'_>) {
    match &node.settings {
        Ok(settings) => pause_image(node, settings, found),
        Err(reason) => {
            let why = "the hook refuses every pull while it cannot use its settings";
            found.blocks(
                "settings-unusable",
                reason.clone(),
                why,
                "mend the file; the page about containerd has an example",
            );
        }
    }
}

fn pause_image(node: &Node, settings: &Settings, found: &mut Found<'_>) {
    let Some(name) = node.dump.pause_image() else { return };
    let fix = "have a rule for it, such as `registry.k8s.io/pause: {allow: true}`";
    let Ok(reference) = name.parse::<ImageReference>() else {
        let what = format!("the pause image is called `{name}`");
        return found.blocks("pause-image", what, "the hook does not understand the name, and refuses it", fix);
    };
    let why = "no pod starts without it, and it is pulled like every other image";
    match (settings.ruling(reference.repository()).rule, settings.default) {
        (None, Unmatched::Refuse) => {
            found.blocks(
                "pause-image",
                format!("no rule is for the pause image {name}, and the default is refuse"),
                why,
                fix,
            );
        }
        (Some(Rule::Refuse { .. }), _) => {
            found.blocks("pause-image", format!("a rule refuses the pause image {name}"), why, fix);
        }
        _ => {}
    }
}

/// What the transfer plugin unpacks into where nothing is written down.
const DEFAULT_SNAPSHOTTERS: [&str; 2] = ["erofs", "overlayfs"];
/// Where containerd looks for verifiers where nothing is written down.
const DEFAULT_BIN_DIR: &str = "/opt/containerd/image-verifier/bin";
/// The time of a hook whose settings cannot be read.
const OWN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(9);
