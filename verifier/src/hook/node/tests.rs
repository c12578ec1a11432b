use super::*;

/// What containerd 2.4.2 prints for a node that is set up as the page says, cut to what is looked at.
const DUMP: &str = r#"
version = 4
disabled_plugins = []

[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'
    disable_snapshot_annotations = true
    discard_unpacked_layers = false
    max_concurrent_downloads = 3
    image_pull_with_sync_fs = false
    use_local_image_pull = false

    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10.2'

    [plugins.'io.containerd.cri.v1.images'.registry]
      config_path = '/etc/containerd/certs.d'

  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    snapshotter = ''

  [plugins.'io.containerd.image-verifier.v1.bindir']
    bin_dir = '/opt/countersign/image-verifier'
    max_verifiers = 10
    per_verifier_timeout = '10s'

  [plugins.'io.containerd.transfer.v1.local']
    max_concurrent_downloads = 3
"#;

const SETTINGS: &str = "version: 1\ndefault: refuse\nrules:\n  registry.k8s.io/pause: {allow: true}\n";

fn node(dump: &str) -> Node {
    Node {
        dump: Dump::parse(dump).unwrap(),
        warnings: Some("level=warning msg=\"Configuration migrated from version 3\"".into()),
        version: Some("containerd github.com/containerd/containerd/v2 v2.4.2 1a2b3c".into()),
        folder: Folder::Entries(vec![entry("countersign", None)]),
        settings: Ok(Settings::from_yaml("hook.yaml", SETTINGS).unwrap()),
    }
}

fn entry(name: &str, problem: Option<&str>) -> Entry {
    Entry { name: name.into(), problem: problem.map(ToOwned::to_owned) }
}

fn codes(node: &Node) -> Vec<&'static str> {
    check(node).findings.iter().map(|finding| finding.code).collect()
}

/// The codes for the dump with one piece of it replaced.
fn with(from: &str, to: &str) -> Vec<&'static str> {
    assert!(DUMP.contains(from), "{from}");
    codes(&node(&DUMP.replace(from, to)))
}

#[test]
fn a_node_that_is_set_up_as_the_page_says_is_clean() {
    let report = check(&node(DUMP));
    assert!(report.clean && report.findings.is_empty() && report.not_checked.is_empty(), "{}", report.text());
    assert_eq!(report.text(), "clean: every pull asks the hook\n");
}

#[test]
fn settings_that_make_a_kubelet_pull_past_the_hook_are_found() {
    for (from, to, code) in [
        ("use_local_image_pull = false", "use_local_image_pull = true", "local-image-pull"),
        ("disable_snapshot_annotations = true", "disable_snapshot_annotations = false", "snapshot-annotations"),
        ("discard_unpacked_layers = false", "discard_unpacked_layers = true", "discard-unpacked-layers"),
        ("image_pull_with_sync_fs = false", "image_pull_with_sync_fs = true", "sync-fs"),
        ("max_concurrent_downloads = 3\n    image", "max_concurrent_downloads = 8\n    image", "concurrent-downloads"),
    ] {
        assert_eq!(with(from, to), [code]);
        assert_eq!(check(&node(&DUMP.replace(from, to))).findings[0].effect, Effect::Bypasses, "{code}");
    }
}

#[test]
fn old_registry_tables_are_found_even_for_another_host_and_empty_ones_are_not() {
    let table = |name: &str, further: &str| {
        format!("{DUMP}\n[plugins.'io.containerd.cri.v1.images'.registry.{name}]\n{further}")
    };
    assert_eq!(
        codes(&node(&table("configs", "[plugins.'io.containerd.cri.v1.images'.registry.configs.a]"))),
        ["registry-configs"]
    );
    assert_eq!(
        codes(&node(&table("auths", "[plugins.'io.containerd.cri.v1.images'.registry.auths.a]"))),
        ["registry-auths"]
    );
    for name in ["mirrors", "configs", "auths", "headers"] {
        assert_eq!(codes(&node(&table(name, ""))), [""; 0], "{name}");
    }
    let mirrors =
        table("mirrors", "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.a]\nendpoint = ['https://m']");
    assert_eq!(codes(&node(&mirrors)), ["registry-mirrors", "mirrors-with-config-path"]);
    let without_path = mirrors.replace("config_path = '/etc/containerd/certs.d'", "config_path = ''");
    assert_eq!(codes(&node(&without_path)), ["registry-mirrors"]);
}

#[test]
fn plugins_that_are_disabled_absent_or_misspelt_are_found() {
    let disabled = |plugin: &str| with("disabled_plugins = []", &format!("disabled_plugins = ['{plugin}']"));
    assert_eq!(disabled("io.containerd.image-verifier.v1.bindir"), ["verifier-disabled"]);
    assert_eq!(disabled("io.containerd.transfer.v1.local"), ["transfer-disabled"]);
    assert_eq!(disabled("io.containerd.snapshotter.v1.zfs"), [""; 0]);
    let misspelt = with("image-verifier.v1.bindir'", "image-verifier.v1.bin_dir'");
    assert_eq!(misspelt, ["verifier-absent", "unknown-verifier"]);
    let second = format!("{DUMP}\n[plugins.'io.containerd.image-verifier.v1.bindirr']\nbin_dir = '/x'\n");
    assert_eq!(codes(&node(&second)), ["unknown-verifier"]);
    let (before, _) = DUMP.split_once("  [plugins.'io.containerd.transfer").unwrap();
    assert_eq!(codes(&node(before)), ["transfer-disabled"]);
}

#[test]
fn a_folder_that_allows_everything_is_found() {
    let written = "bin_dir = '/opt/countersign/image-verifier'";
    assert_eq!(with(written, "bin_dir = ''"), ["bin-dir-unset"]);
    assert_eq!(with(written, "bin_dir = 'verifiers'"), ["bin-dir-relative"]);
    assert_eq!(with(written, "bin_dir = '/opt/containerd/image-verifier/bin'"), ["bin-dir-default"]);
    for (folder, code) in [
        (Folder::Absent, "bin-dir-absent"),
        (Folder::Entries(Vec::new()), "bin-dir-empty"),
        (Folder::Unreadable("is a file".into()), "bin-dir-unreadable"),
    ] {
        assert_eq!(codes(&Node { folder, ..node(DUMP) }), [code]);
    }
}

#[test]
fn an_entry_that_cannot_answer_is_found() {
    let folder = Folder::Entries(vec![entry("README", Some("is not executable")), entry("countersign", None)]);
    let report = check(&Node { folder, ..node(DUMP) });
    assert_eq!(report.findings.len(), 1);
    assert_eq!((report.findings[0].code, report.findings[0].effect), ("entry-not-a-program", Effect::Blocks));
    assert_eq!(report.findings[0].what, "README in bin_dir is not executable");
}

#[test]
fn verifiers_that_are_left_out_by_number_are_found() {
    let three = Folder::Entries(["a", "b", "countersign"].map(|name| entry(name, None)).to_vec());
    let of = |max: &str, folder: &Folder| {
        let dump = DUMP.replace("max_verifiers = 10", &format!("max_verifiers = {max}"));
        codes(&Node { folder: folder.clone(), ..node(&dump) })
    };
    assert_eq!(of("0", &three), ["max-verifiers-zero"]);
    assert_eq!(of("2", &three), ["max-verifiers-fewer"]);
    assert_eq!(of("0", &Folder::Unseen), ["max-verifiers-zero"]);
    for fine in ["3", "10", "-1"] {
        assert_eq!(of(fine, &three), [""; 0], "{fine}");
    }
}

#[test]
fn a_time_in_which_the_hook_cannot_answer_is_found() {
    for text in ["'10ns'", "'9s'", "'9.2s'", "'0s'", "'-10s'", "''", "10"] {
        assert_eq!(
            with("per_verifier_timeout = '10s'", &format!("per_verifier_timeout = {text}")),
            ["verifier-timeout"]
        );
    }
    for text in ["'9.5s'", "'1m0s'", "'10000ms'"] {
        assert_eq!(with("per_verifier_timeout = '10s'", &format!("per_verifier_timeout = {text}")), [""; 0]);
    }
    let patient = Settings::from_yaml("x", &format!("{SETTINGS}timeout: 30s\n")).unwrap();
    assert_eq!(codes(&Node { settings: Ok(patient), ..node(DUMP) }), ["verifier-timeout"]);
}

#[test]
fn keys_that_containerd_ignores_are_named() {
    let warnings = "time=\"x\" level=warning msg=\"Ignoring unknown key in TOML for plugin\" error=\"strict mode: fields\" key=max_verifers plugin=io.containerd.image-verifier.v1.bindir\n\
        time=\"x\" level=warning msg=\"Ignoring unknown key in TOML\" column=1 error=\"strict\" file=/etc/containerd/config.toml key=versn row=1\n";
    let report = check(&Node { warnings: Some(warnings.into()), ..node(DUMP) });
    let what: Vec<&str> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "containerd ignores the key `max_verifers` of io.containerd.image-verifier.v1.bindir",
            "containerd ignores the key `versn` of /etc/containerd/config.toml",
        ]
    );
}

#[test]
fn a_snapshotter_that_nothing_is_unpacked_into_is_found() {
    assert_eq!(with("snapshotter = 'overlayfs'", "snapshotter = 'native'"), ["snapshotter-not-unpacked"]);
    assert_eq!(with("snapshotter = ''", "snapshotter = 'stargz'"), ["snapshotter-not-unpacked"]);
    let unpack = |name: &str| {
        let further = format!("[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\nsnapshotter = '{name}'\n");
        codes(&node(&format!("{}\n{further}", DUMP.replace("snapshotter = 'overlayfs'", "snapshotter = 'native'"))))
    };
    assert_eq!(unpack("native"), [""; 0]);
    assert_eq!(unpack("overlayfs"), ["snapshotter-not-unpacked"]);
}

#[test]
fn a_containerd_that_asks_nobody_is_found() {
    let of = |version: &str| codes(&Node { version: Some(version.into()), ..node(DUMP) });
    assert_eq!(of("containerd github.com/containerd/containerd v1.7.27 x"), ["containerd-too-old"]);
    assert_eq!(of("containerd github.com/containerd/containerd/v2 2.0.5"), ["containerd-too-old"]);
    assert_eq!(of("who knows"), ["containerd-version"]);
    for fine in ["containerd github.com/containerd/containerd/v2 2.4.2+unknown ", "containerd x v2.1.0-rc.1", "v10.0.0"]
    {
        assert_eq!(of(fine), [""; 0], "{fine}");
    }
    assert_eq!(with("version = 4", "version = 2"), ["containerd-too-old"]);
    assert_eq!(with("    use_local_image_pull = false\n", ""), ["setting-absent"]);
}

#[test]
fn a_pause_image_that_nothing_lets_in_is_found() {
    let of = |settings: &str| {
        codes(&Node { settings: Ok(Settings::from_yaml("hook.yaml", settings).unwrap()), ..node(DUMP) })
    };
    assert_eq!(of("version: 1\ndefault: refuse\n"), ["pause-image"]);
    assert_eq!(of("version: 1\ndefault: refuse\nrules:\n  registry.k8s.io/pauses: {allow: true}\n"), ["pause-image"]);
    assert_eq!(of("version: 1\ndefault: allow\nrules:\n  registry.k8s.io: {refuse: no}\n"), ["pause-image"]);
    assert_eq!(of("version: 1\ndefault: allow\n"), [""; 0]);
    assert_eq!(of("version: 1\ndefault: refuse\nrules:\n  registry.k8s.io: {policy: k8s.yaml}\n"), [""; 0]);
}

#[test]
fn settings_that_the_hook_cannot_use_are_found() {
    let settings = Err("cannot read the settings".to_owned());
    assert_eq!(codes(&Node { settings, ..node(DUMP) }), ["settings-unusable"]);
}

#[test]
fn what_was_not_looked_at_is_said_and_the_worst_comes_first() {
    let dump =
        DUMP.replace("discard_unpacked_layers = false", "discard_unpacked_layers = true").replace("'10s'", "'1s'");
    let node = Node { warnings: None, version: None, folder: Folder::Unseen, ..node(&dump) };
    let report = check(&node);
    assert_eq!(report.not_checked.len(), 3);
    insta::assert_snapshot!(report.text(), @r#"
    2 findings, 1 of them let images by without asking the hook

    bypasses [discard-unpacked-layers] `discard_unpacked_layers = true`
      why: containerd then pulls with its local puller, which asks no verifier
      fix: set `discard_unpacked_layers = false`

    blocks [verifier-timeout] `per_verifier_timeout = "1s"`, and the hook takes up to 9s
      why: containerd ends the hook before it answers: pulls are refused without a reason (a number without a unit is nanoseconds)
      fix: set `per_verifier_timeout = "10s"`, or a smaller `timeout` in the hook's settings

    not checked: misspelt keys: containerd names them on standard error when it prints the dump
    not checked: the version of containerd: it must be 2.1 or later
    not checked: what is in bin_dir
    "#);
}

#[test]
fn text_that_is_no_dump_is_no_clean_node() {
    let deep = format!("x = {}", "[".repeat(100_000));
    for text in ["", "x = 1", "plugins = 1", "{}", "version = 4\n[[plugins]]", &deep, "[plugins]\n[plugins]"] {
        assert!(Dump::parse(text).is_err(), "{text:.40}");
    }
    let large = format!("{DUMP}#{}", "x".repeat(1 << 20));
    assert!(matches!(Dump::parse(&large), Err(DumpError::TooLarge { .. })));
}
