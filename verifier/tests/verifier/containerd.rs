//! The hook, called as containerd calls it: what is asked, what is answered, and what keeps it from answering.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use countersign_oci::ImageReference;
use sandbox::image::Image;
use sandbox::{Action, Fault, GithubIdentity, Options, RekorVersion, Service};
use serde_json::Value;

use crate::world::World;

const MEDIA_TYPE: &str = "application/vnd.oci.descriptor.v1+json";

/// A node: a folder with settings, and nothing else.
struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    fn new(settings: &str) -> Self {
        let node = Self { folder: tempfile::tempdir().unwrap() };
        node.write("hook.yaml", settings);
        node
    }

    /// Trusts a sandbox by a file, and its default identity where `policy.yaml` is named.
    fn of(world: &World, further: &str) -> Self {
        let node = Self::new("");
        let root = node.write("trusted_root.json", world.sandbox.trusted_root());
        node.write("policy.yaml", &policy(world, &GithubIdentity::default().subject_alternative_name(), ""));
        node.write(
            "hook.yaml",
            &format!("version: 1\ndefault: refuse\ntrust: {{file: '{}'}}\ncache_dir: cache\n{further}", root.display()),
        );
        node
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// The command as a person calls it.
    fn check(&self, arguments: &[&str]) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"));
        command.args(["containerd-hook", "--output", "json"]).arg("--config").arg(self.folder.path().join("hook.yaml"));
        let output = command.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap();
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        (output.status.code().unwrap(), document)
    }

    /// A program in a folder of verifiers, as a wrapper with settings of its own is.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-verifier"));
        command.arg("--config").arg(self.folder.path().join("hook.yaml"));
        command.env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ask(&self, name: &str, digest: &str) -> Answer {
        let mut command = self.command();
        command.args(["-name", name, "-digest", digest, "-stdin-media-type", MEDIA_TYPE]);
        answer(command, descriptor(digest).as_bytes())
    }
}

struct Answer {
    exit: i32,
    text: String,
}

impl Answer {
    #[track_caller]
    fn is(&self, exit: i32, begins: &str) {
        assert!(self.exit == exit && self.text.starts_with(begins), "exit {}: {}", self.exit, self.text);
    }
}

fn policy(world: &World, identity: &str, further: &str) -> String {
    format!(
        "version: 1\nsigners:\n  - name: release\n    issuer: {}\n    identity: {identity}\n{further}",
        world.sandbox.oidc_issuer()
    )
}

fn descriptor(digest: &str) -> String {
    format!(r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":1234}}"#)
}

fn answer(mut command: Command, stdin: &[u8]) -> Answer {
    let mut child = command.spawn().unwrap();
    // A hook that refuses at once does not read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    of(&child.wait_with_output().unwrap())
}

fn of(output: &Output) -> Answer {
    Answer { exit: output.status.code().unwrap_or(-1), text: String::from_utf8(output.stdout.clone()).unwrap() }
}

fn repository(reference: &ImageReference) -> String {
    reference.repository().to_string()
}

async fn signed(world: &World, name: &str) -> (Image, ImageReference) {
    let (image, reference) = world.push(name);
    world.sign(&reference, RekorVersion::V2).await;
    (image, reference)
}

#[tokio::test]
async fn what_is_signed_is_allowed_and_what_is_not_is_refused_with_the_reason() {
    let world = World::start(Options::default());
    let (image, reference) = signed(&world, "octo/app").await;
    let (other, unsigned) = world.push("octo/other");
    let host = world.sandbox.registry().host();
    let node = Node::of(&world, &format!("rules:\n  '{host}/octo': {{policy: policy.yaml}}\n"));

    node.ask(&reference.to_string(), image.digest()).is(0, "countersign: allowed: signed by release (rule ");
    let by_digest = format!("{}@{}", repository(&reference), image.digest());
    node.ask(&by_digest, image.digest()).is(0, "countersign: allowed: ");

    let refused = node.ask(&unsigned.to_string(), other.digest());
    refused.is(3, "countersign: refused: unsigned: no signature found (rule ");
    assert!(refused.text.contains("policy.yaml") && refused.text.lines().count() < 25, "{}", refused.text);

    node.write(
        "policy.yaml",
        &policy(&world, "https://github.com/octo/app/.github/workflows/other.yml@refs/heads/main", ""),
    );
    let refused = node.ask(&reference.to_string(), image.digest());
    refused.is(3, "countersign: refused: signed, but not as the policy wants it: identity-mismatch");
    assert!(refused.text.contains("other.yml") && refused.text.contains("release.yml"), "{}", refused.text);
}

#[tokio::test]
async fn what_is_asked_for_is_what_must_be_signed() {
    let world = World::start(Options::default());
    let (image, reference) = signed(&world, "octo/app").await;
    let host = world.sandbox.registry().host();
    let node = Node::of(&world, &format!("rules:\n  '{host}': {{policy: policy.yaml}}\n"));
    let identity = GithubIdentity::default().subject_alternative_name();
    node.write("policy.yaml", &policy(&world, &identity, "require: {tag: true, repository: true}\n"));
    node.ask(&reference.to_string(), image.digest()).is(0, "countersign: allowed: ");

    let other_tag = format!("{}:v2", repository(&reference));
    node.ask(&other_tag, image.digest()).is(3, "countersign: refused: signed, but not as the policy wants it: tag");

    // Of NAME:TAG@DIGEST containerd passes NAME@DIGEST.
    let refused = node.ask(&format!("{}@{}", repository(&reference), image.digest()), image.digest());
    refused
        .is(2, "countersign: refused, the hook is not set up: the policy requires a signed tag, and containerd passes");
    assert!(refused.text.contains("\nhint: pull "), "{}", refused.text);

    // The same bytes under another name, signatures included.
    let node = Node::of(
        &world,
        &format!(
            "registry: {{evidence_from: {{mirrored.example: '{host}'}}}}\nrules:\n  mirrored.example: {{policy: policy.yaml}}\n"
        ),
    );
    node.ask("mirrored.example/octo/app:v1", image.digest()).is(0, "countersign: allowed: ");
    node.write("policy.yaml", &policy(&world, &identity, "require: {repository: true}\n"));
    let refused = node.ask("mirrored.example/octo/app:v1", image.digest());
    refused.is(3, "countersign: refused: signed, but not as the policy wants it: repository");
}

#[test]
fn rules_and_the_default_need_no_registry() {
    let digest = format!("sha256:{}", "1".repeat(64));
    let node = Node::new(
        "version: 1\ndefault: refuse\nrules:\n  a.example: {allow: true}\n  a.example/closed: {refuse: 'moved to b.example'}\n",
    );
    node.ask("a.example/app:v1", &digest).is(0, "countersign: allowed: rule a.example allows it, unverified\n");
    node.ask("a.example/closed/app:v1", &digest)
        .is(3, "countersign: refused: moved to b.example (rule a.example/closed)\n");
    node.ask("a.example.evil.example/app:v1", &digest).is(3, "countersign: refused: no rule is for it");
    node.ask("docker.io/library/nginx:latest", &digest).is(3, "countersign: refused: no rule is for it");
    let node = Node::new("version: 1\ndefault: allow\n");
    node.ask("a.example/app:v1", &digest).is(0, "countersign: allowed: no rule is for it, and the default is allow\n");
}

#[test]
fn every_way_in_which_containerd_can_call_is_the_hook() {
    let node = Node::new("version: 1\ndefault: allow\n");
    let digest = format!("sha256:{}", "1".repeat(64));
    let named = |name: &str| {
        let link = node.folder.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_countersign-verifier"), &link).unwrap();
        link
    };
    let (any, own) = (named("90-countersign"), named("containerd-hook"));
    let config = node.folder.path().join("hook.yaml");
    let config = config.to_str().unwrap();
    let (joined, media) = ("-name=a.example/app:v1", format!("-stdin-media-type={MEDIA_TYPE}"));
    let joined_digest = format!("--digest={digest}");
    let apart = ["-name", "a.example/app:v1", "-digest", &digest, "-stdin-media-type", MEDIA_TYPE];
    for (program, first, last) in [
        (&any, &["--config", config][..], &apart[..]),
        (&any, &["containerd-hook", "--config", config], &apart),
        (&own, &["--config", config], &apart),
        (&own, &[], &[&apart[..], &["--config", config]].concat()),
        (&any, &[&*media, joined, &*joined_digest], &["--config", config]),
    ] {
        let mut command = Command::new(program);
        command.args(first).args(last).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        answer(command, descriptor(&digest).as_bytes()).is(0, "countersign: allowed: no rule is for it");
    }
    // Without settings at their place nothing is allowed, whatever the environment says.
    let mut command = Command::new(&any);
    command.args(apart).env_clear().env("COUNTERSIGN_HOOK_CONFIG", config).env("COUNTERSIGN_CONFIG", config);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let refused = answer(command, descriptor(&digest).as_bytes());
    refused.is(2, "countersign: refused, the hook is not set up: cannot read /etc/countersign/containerd-hook.yaml");
    for (program, arguments) in [(&any, &[][..]), (&own, &[]), (&own, &["--frobnicate"]), (&any, &["-frobnicate"])] {
        let output = Command::new(program).args(arguments).env_clear().output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_is_not_understood_is_refused_on_standard_output() {
    let node = Node::new("version: 1\ndefault: allow\n");
    let digest = format!("sha256:{}", "1".repeat(64));
    let call = |arguments: &[&str], stdin: &[u8]| {
        let mut command = node.command();
        command.args(arguments);
        answer(command, stdin)
    };
    let good = descriptor(&digest);
    let name = "a.example/app:v1";
    let other = descriptor(&digest.replace('1', "2"));
    let undecided = |stdin: &[u8], why: &str| {
        let arguments = ["-name", name, "-digest", &digest, "-stdin-media-type", MEDIA_TYPE];
        call(&arguments, stdin).is(4, &format!("countersign: refused, could not decide: {why}"));
    };
    let refused = |arguments: &[&str], stdin: &[u8], why: &str| {
        call(arguments, stdin).is(2, &format!("countersign: refused, the hook is not set up: {why}"));
    };
    let whole = ["-name", name, "-digest", &digest, "-stdin-media-type", MEDIA_TYPE];
    call(&whole, good.as_bytes()).is(0, "countersign: allowed");
    undecided(other.as_bytes(), "standard input has the digest sha256:222");
    undecided(b"", "what is on standard input is not a descriptor");
    let deep = format!("{{\"x\":{}", "[".repeat(60_000));
    undecided(deep.as_bytes(), "what is on standard input is not a descriptor: ");
    undecided(" ".repeat(8 << 20).as_bytes(), "standard input has more than 65536 bytes");
    refused(
        &["-name", name, "-digest", &digest, "-stdin-media-type", "text/plain"],
        good.as_bytes(),
        "standard input is said to be `text/plain`",
    );
    refused(
        &["-name", "A b", "-digest", &digest, "-stdin-media-type", MEDIA_TYPE],
        good.as_bytes(),
        "`A b` is not the name",
    );
    refused(
        &["-name", name, "-digest", "sha512:00", "-stdin-media-type", MEDIA_TYPE],
        good.as_bytes(),
        "`sha512:00` is not a digest",
    );
    refused(&["-name", name, "-digest", &digest], good.as_bytes(), "-stdin-media-type is missing");
    refused(
        &[
            "-name",
            &format!("a.example/app@{}", digest.replace('1', "2")),
            "-digest",
            &digest,
            "-stdin-media-type",
            MEDIA_TYPE,
        ],
        good.as_bytes(),
        "the name has the digest sha256:222",
    );
    refused(&[&whole[..], &["-new-flag", "x"]].concat(), good.as_bytes(), "`-new-flag` is not an argument");
}

#[test]
fn standard_input_that_never_ends_ends_with_the_time() {
    let node = Node::new("version: 1\ndefault: allow\n");
    let digest = format!("sha256:{}", "1".repeat(64));
    let mut command = node.command();
    command.args(["-name", "a.example/app:v1", "-digest", &digest, "-stdin-media-type", MEDIA_TYPE]);
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take();
    let refused = of(&child.wait_with_output().unwrap());
    drop(stdin);
    refused.is(
        4,
        "countersign: refused, could not decide: no answer within 9 s, the last thing begun: reading standard input\n",
    );
    assert!(started.elapsed() < Duration::from_millis(9_900), "{:?}", started.elapsed());
}

#[test]
fn a_closed_stream_allows_nothing() {
    let node = Node::new("version: 1\ndefault: allow\n");
    let digest = format!("sha256:{}", "1".repeat(64));
    let program = env!("CARGO_BIN_EXE_countersign-verifier");
    let config = node.folder.path().join("hook.yaml");
    let call = format!(
        "'{program}' --config '{}' -name a.example/app:v1 -digest {digest} -stdin-media-type {MEDIA_TYPE}",
        config.display()
    );
    let shell = |script: String| Command::new("/bin/sh").args(["-c", &script]).env_clear().status().unwrap().code();
    let descriptor = descriptor(&digest);
    assert_eq!(shell(format!("echo '{descriptor}' | {call} >/dev/null")), Some(0));
    assert_eq!(shell(format!("{call} <&- >/dev/null")), Some(4));
    assert_eq!(shell(format!("echo '{descriptor}' | {call} >/dev/full")), Some(4));
    // Nobody reads the answer.
    let mut command = node.command();
    command.args(["-name", "a.example/app:v1", "-digest", &digest, "-stdin-media-type", MEDIA_TYPE]);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(descriptor.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_no_reason_to_pull() {
    let world = World::start(Options::default());
    let (image, reference) = signed(&world, "octo/app").await;
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Connections are taken by the system, and nobody answers them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap();
    let host = world.sandbox.registry().host();
    let rules = format!(
        "rules:\n  '{host}': {{policy: policy.yaml}}\n  '{gone}': {{policy: policy.yaml}}\n  '{silent_at}': {{policy: policy.yaml}}\n"
    );
    let node = Node::of(&world, &format!("timeout: 3s\n{rules}"));
    let timed = |name: &str| {
        let started = Instant::now();
        let answer = node.ask(name, image.digest());
        assert!(started.elapsed() < Duration::from_millis(3_500), "{name}: {:?}", started.elapsed());
        answer
    };
    let undecided = "countersign: refused, could not decide: cannot tell: ";
    timed(&format!("{gone}/octo/app:v1")).is(4, undecided);
    timed(&format!("{silent_at}/octo/app:v1")).is(4, undecided);
    {
        let _slow = world.sandbox.fault(Fault::new(Service::Registry, Action::Delay(Duration::from_secs(60))));
        timed(&reference.to_string()).is(4, undecided);
    }
    {
        let _outage = world.sandbox.fault(Fault::new(Service::Registry, Action::status(503)));
        timed(&reference.to_string()).is(4, undecided);
    }
    timed(&reference.to_string()).is(0, "countersign: allowed: ");
}

#[tokio::test]
async fn trust_that_cannot_be_had_is_no_reason_to_pull() {
    let world = World::start(Options::default());
    let (image, reference) = signed(&world, "octo/app").await;
    let host = world.sandbox.registry().host();
    let node = Node::of(&world, "");
    node.write("tuf-root.json", &String::from_utf8(world.sandbox.tuf_root()).unwrap());
    let settings = format!(
        "version: 1\ndefault: refuse\ncache_dir: cache\ntimeout: 4s\ntrust: {{tuf: {{url: '{}', root: tuf-root.json}}}}\nrules:\n  '{host}': {{policy: policy.yaml}}\n",
        world.sandbox.tuf_url()
    );
    node.write("hook.yaml", &settings);
    {
        let _outage = world.sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
        let refused = node.ask(&reference.to_string(), image.digest());
        refused.is(4, "countersign: refused, could not decide: no valid trusted root from ");
    }
    node.ask(&reference.to_string(), image.digest()).is(0, "countersign: allowed: ");
    // From now on the cache is enough.
    let _outage = world.sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
    node.ask(&reference.to_string(), image.digest()).is(0, "countersign: allowed: ");

    // Many at once share it.
    let asked: Vec<_> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| node.ask(&reference.to_string(), image.digest()).exit);
        (0..8).map(|_| ask()).collect::<Vec<_>>().into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(asked, [0; 8]);
}

#[tokio::test]
async fn a_policys_own_trust_counts_more_than_the_settings() {
    let world = World::start(Options::default());
    let other = World::start(Options::default());
    let (image, reference) = signed(&world, "octo/app").await;
    let host = world.sandbox.registry().host();
    let node = Node::of(&world, &format!("rules:\n  '{host}': {{policy: policy.yaml}}\n"));
    node.write("other.json", other.sandbox.trusted_root());
    let identity = GithubIdentity::default().subject_alternative_name();
    node.write("policy.yaml", &policy(&world, &identity, "trust: {file: other.json}\n"));
    let refused = node.ask(&reference.to_string(), image.digest());
    assert_eq!(refused.exit, 3, "{}", refused.text);
    node.write("policy.yaml", &policy(&world, &identity, "trust: {file: trusted_root.json}\n"));
    node.ask(&reference.to_string(), image.digest()).is(0, "countersign: allowed: ");
}

#[tokio::test]
async fn credentials_of_the_node_are_shown_to_the_registry() {
    let world = World::start(Options::default());
    let (image, reference) = signed(&world, "octo/app").await;
    let host = world.sandbox.registry().host().to_owned();
    let node = Node::of(
        &world,
        &format!("registry: {{credentials: docker.json}}\nrules:\n  '{host}': {{policy: policy.yaml}}\n"),
    );
    let missing = node.ask(&reference.to_string(), image.digest());
    missing.is(2, "countersign: refused, the hook is not set up: cannot read ");
    node.write("docker.json", &format!(r#"{{"auths":{{"{host}":{{"username":"octo","password":"canary"}}}}}}"#));
    let answer = node.ask(&reference.to_string(), image.digest());
    answer.is(0, "countersign: allowed: ");
    assert!(!answer.text.contains("canary"));
}

#[test]
fn files_that_others_may_write_decide_nothing() {
    let digest = format!("sha256:{}", "1".repeat(64));
    let node = Node::new("version: 1\ndefault: allow\n");
    let settings = node.folder.path().join("hook.yaml");
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let set_up = "countersign: refused, the hook is not set up: ";
    node.ask("a.example/app:v1", &digest).is(0, "countersign: allowed");
    for writable in [0o666, 0o664, 0o646] {
        mode(&settings, writable);
        let refused = node.ask("a.example/app:v1", &digest);
        refused.is(2, set_up);
        assert!(
            refused.text.contains("can be written by others") && refused.text.contains("chmod go-w"),
            "{}",
            refused.text
        );
    }
    mode(&settings, 0o600);
    node.ask("a.example/app:v1", &digest).is(0, "countersign: allowed");
    // Whoever may write the folder may put another file in its place.
    mode(node.folder.path(), 0o777);
    node.ask("a.example/app:v1", &digest).is(2, set_up);
    mode(node.folder.path(), 0o700);
    node.write("hook.yaml", "version: 1\ndefault: refuse\nrules:\n  a.example: {policy: policy.yaml}\n");
    let policy = node
        .write("policy.yaml", "version: 1\nsigners:\n  - issuer: https://issuer.example\n    identity: a@b.example\n");
    mode(&policy, 0o666);
    node.ask("a.example/app:v1", &digest).is(2, set_up);
    fs::remove_file(&policy).unwrap();
    node.ask("a.example/app:v1", &digest).is(2, &format!("{set_up}cannot read "));
    fs::create_dir(&policy).unwrap();
    assert!(node.ask("a.example/app:v1", &digest).text.contains("is not a file"));
}

#[test]
fn a_link_in_a_folder_that_others_may_write_decides_nothing_wherever_it_leads() {
    let digest = format!("sha256:{}", "1".repeat(64));
    let node = Node::new("version: 1\ndefault: refuse\nrules:\n  a.example: {policy: open/policy.yaml}\n");
    let strict = "version: 1\nsigners:\n  - issuer: https://issuer.example\n    identity: a@b.example\n";
    let policy = node.write("policy.yaml", strict);
    let open = node.folder.path().join("open");
    fs::create_dir(&open).unwrap();
    std::os::unix::fs::symlink(&policy, open.join("policy.yaml")).unwrap();
    let set_up = "countersign: refused, the hook is not set up: ";
    // The link itself is fine: what is asked then is the registry, which is not there.
    let asked = node.ask("a.example/app:v1", &digest);
    assert!(!asked.text.starts_with(set_up), "{}", asked.text);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = node.ask("a.example/app:v1", &digest);
    refused.is(2, set_up);
    assert!(refused.text.contains("open can be written by others"), "{}", refused.text);
    // Neither is a cache made where others may put one first.
    node.write(
        "hook.yaml",
        "version: 1\ndefault: refuse\ncache_dir: open/cache\nrules:\n  a.example: {policy: policy.yaml}\n",
    );
    let refused = node.ask("a.example/app:v1", &digest);
    refused.is(2, set_up);
    assert!(!open.join("cache").exists());
}

#[test]
fn settings_that_cannot_be_used_refuse_everything_and_say_where() {
    let digest = format!("sha256:{}", "1".repeat(64));
    for (settings, why) in [
        ("", "empty"),
        ("version: 1\n", "`default`: is missing"),
        ("version: 1\ndefault: allow\nrule: {}\n", "`rule`"),
        ("version: 1\ndefault: allow\nrules:\n  nginx: {allow: true}\n", "docker.io/library/nginx"),
    ] {
        let refused = Node::new(settings).ask("a.example/app:v1", &digest);
        refused.is(2, "countersign: refused, the hook is not set up: ");
        assert!(refused.text.contains(why), "{}", refused.text);
    }
}

#[test]
fn a_dump_is_checked_against_the_folder_and_the_settings() {
    let node = Node::new("version: 1\ndefault: refuse\nrules:\n  registry.k8s.io: {allow: true}\n");
    let verifiers = node.folder.path().join("verifiers");
    fs::create_dir(&verifiers).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_countersign-verifier"), verifiers.join("countersign")).unwrap();
    let dump = format!(
        "version = 4\nroot = '/var/lib/containerd'\nstate = '/run/containerd'\ndisabled_plugins = []\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '{}'\nmax_verifiers = 10\nper_verifier_timeout = '10s'\n\
         [plugins.'io.containerd.transfer.v1.local']\n",
        verifiers.display()
    );
    let dump = node.write("dump.toml", &dump);
    let check = |further: &[&str]| node.check(&[&["--check-dump", dump.to_str().unwrap()], further].concat());
    // The program is the test's own: whoever built it may write it.
    let codes = |document: &Value| -> Vec<String> {
        let findings = document["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    let (_, document) = check(&[]);
    assert_eq!(document["schema"], "countersign.dev/containerd-check/v1");
    assert!(!document["not_checked"].as_array().unwrap().is_empty());
    fs::write(verifiers.join("README"), "x").unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", verifiers.join("dangling")).unwrap();
    let (exit, document) = check(&[]);
    let found: Vec<_> = document["findings"].as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
    assert_eq!(exit, 3);
    assert!(found.contains(&"README in bin_dir is not executable"), "{found:?}");
    assert!(found.contains(&"dangling in bin_dir is a link that leads nowhere"), "{found:?}");
    fs::remove_dir_all(&verifiers).unwrap();
    let (exit, document) = check(&[]);
    assert_eq!((exit, codes(&document)), (3, vec!["bin-dir-absent".to_owned()]));
    // A node's config.toml says what differs from the defaults: nothing that is not there is a finding.
    node.write("dump.toml", "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 10\n");
    let (exit, document) = check(&[]);
    assert_eq!((exit, document["error"]["code"].as_str()), (2, Some("dump-incomplete")));
    assert!(document["error"]["hint"].as_str().unwrap().contains("--check"), "{document}");
    node.write("dump.toml", "not = [toml");
    let (exit, document) = check(&[]);
    assert_eq!((exit, document["error"]["code"].as_str()), (2, Some("dump-malformed")));
}

#[test]
fn a_containerd_that_cannot_be_asked_is_no_clean_node() {
    let node = Node::new("version: 1\ndefault: allow\n");
    let config = node.write("config.toml", "version = 3\n");
    let script =
        node.write("containerd", "#!/bin/sh\ncase \"$1\" in --version) echo containerd x v2.4.2;; *) exit 3;; esac\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let check = |config: &Path, containerd: &Path| {
        let (config, containerd) = (config.to_str().unwrap(), containerd.to_str().unwrap());
        let (exit, document) = node.check(&["--containerd", containerd, "--check", config]);
        (exit, document["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(check(&config, &script), (2, "containerd-failed".into()));
    assert_eq!(check(&config, Path::new("/nowhere/containerd")), (2, "containerd-failed".into()));
    assert_eq!(check(Path::new("/nowhere/config.toml"), &script), (2, "config-unreadable".into()));
}
