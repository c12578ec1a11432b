//! The command where there is no network: in a namespace of its own, without routes and without loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbox::{GithubIdentity, LayoutStyle, RekorVersion};
use serde_json::Value;

use crate::epoch::Epoch;
use crate::world::now;

const BINARY: &str = env!("CARGO_BIN_EXE_countersign-verifier");

/// What was prepared while there was a network.
struct Prepared {
    epoch: Epoch,
    folder: tempfile::TempDir,
    by_digest: String,
}

impl Prepared {
    async fn new() -> Self {
        let epoch = Epoch::at(now()).await;
        let folder = tempfile::tempdir().unwrap();
        let sandbox = &epoch.sandbox;
        sandbox.registry().write_layout("two", &folder.path().join("layout"), LayoutStyle::Oras).unwrap();
        sandbox.registry().write_layout("two", &folder.path().join("unsigned"), LayoutStyle::Docker).unwrap();
        sandbox.write_trust(&folder.path().join("trust")).unwrap();
        fs::write(folder.path().join("bundle.json"), &epoch.bundles[1]).unwrap();
        let identity = GithubIdentity::default().subject_alternative_name();
        let issuer = sandbox.oidc_issuer();
        let policy =
            format!("version: 1\nsigners:\n  - name: release\n    issuer: {issuer}\n    identity: {identity}\n");
        fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        let by_digest = epoch.asked.reference.to_string();
        Self { epoch, folder, by_digest }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn tag(&self) -> String {
        format!("{}/two:v1", self.epoch.sandbox.registry().host())
    }

    /// The flags of a trusted root from the sandbox's TUF repository.
    fn tuf(&self) -> Vec<String> {
        let root = self.path("trust/tuf-root.json");
        ["--tuf-url", &self.epoch.sandbox.tuf_url(), "--tuf-root", &root, "--cache-dir", &self.path("cache")]
            .map(ToOwned::to_owned)
            .to_vec()
    }

    fn file(&self) -> Vec<String> {
        ["--trusted-root", &self.path("trust/trusted_root.json")].map(ToOwned::to_owned).to_vec()
    }

    fn verify(&self, isolated: bool, reference: &str, flags: &[&str], trust: &[String]) -> (i32, Value) {
        let policy = self.path("policy.yaml");
        let mut arguments = vec!["verify", reference, "--policy", &policy];
        arguments.extend(flags);
        arguments.extend(trust.iter().map(String::as_str));
        json(&run(self.folder.path(), isolated, &arguments))
    }
}

fn run(home: &Path, isolated: bool, arguments: &[&str]) -> Output {
    let mut command = match isolated {
        true => {
            let mut command = Command::new("unshare");
            command.args(["-rn", BINARY]);
            command
        }
        false => Command::new(BINARY),
    };
    let path = std::env::join_paths(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from)).unwrap();
    command.args(arguments).args(["--output", "json"]).env_clear().env("PATH", path).env("HOME", home);
    command.output().unwrap()
}

fn json(output: &Output) -> (i32, Value) {
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text:?} {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), document)
}

/// Whether this machine lets a test have a namespace; where it does not, the test says so and ends.
fn can_isolate() -> bool {
    let can = Command::new("unshare").args(["-rn", "true"]).output().is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: `unshare -rn` does not work on this machine");
    }
    can
}

fn code(answer: &(i32, Value)) -> (i32, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn bundles_and_layouts_are_judged_where_there_is_no_network_at_all() {
    if !can_isolate() {
        return;
    }
    let prepared = Prepared::new().await;
    let (tuf, file, digest, tag) = (prepared.tuf(), prepared.file(), prepared.by_digest.clone(), prepared.tag());
    let [layout, unsigned, bundle] = ["layout", "unsigned", "bundle.json"].map(|name| prepared.path(name));

    // Nothing is cached yet: that is said, with what to do, and is no rejection.
    let nothing = prepared.verify(true, &tag, &["--layout", &layout, "--offline"], &tuf);
    assert_eq!(code(&nothing), (4, "trusted-root-offline"));
    let hint = nothing.1["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("trust update") && hint.contains("--trusted-root"), "{hint}");
    let update: Vec<&str> = ["trust", "update"].into_iter().chain(tuf.iter().map(String::as_str)).collect();
    assert_eq!(json(&run(prepared.folder.path(), false, &update)).0, 0);

    prepared.epoch.sandbox.clear_requests();
    for trust in [&tuf, &file] {
        for (reference, flags) in [
            (&digest, ["--bundle", &bundle, "--offline"]),
            (&digest, ["--layout", &layout, "--offline"]),
            (&tag, ["--layout", &layout, "--offline"]),
        ] {
            let (exit, document) = prepared.verify(true, reference, &flags, trust);
            assert_eq!((exit, document["verdict"].as_str()), (0, Some("verified")), "{flags:?} {document}");
        }
        // A rejection is one without a network too.
        let rejected = prepared.verify(true, &tag, &["--layout", &unsigned, "--offline"], trust);
        assert_eq!((rejected.0, rejected.1["verdict"].as_str()), (3, Some("rejected")), "{}", rejected.1);
        // With the registry as the source, this very namespace is what keeps it from an answer.
        let unreachable = prepared.verify(true, &tag, &["--offline"], trust);
        assert_eq!((unreachable.0, unreachable.1["verdict"].as_str()), (4, Some("undecided")));
    }
    let inspected = json(&run(prepared.folder.path(), true, &["inspect", &tag, "--layout", &layout]));
    assert_eq!(inspected.0, 0, "{}", inspected.1);
    let show: Vec<&str> = ["trust", "show", "--offline"].into_iter().chain(tuf.iter().map(String::as_str)).collect();
    let (exit, shown) = json(&run(prepared.folder.path(), true, &show));
    assert_eq!((exit, shown["schema"].as_str()), (0, Some("countersign.dev/trust/v1")));
    assert_eq!(prepared.epoch.sandbox.requests().len(), 0);
}

#[tokio::test]
async fn offline_asks_the_registry_and_nobody_else() {
    let prepared = Prepared::new().await;
    let (exit, document) = prepared.verify(false, &prepared.tag(), &["--offline"], &prepared.file());
    assert_eq!((exit, document["verdict"].as_str()), (0, Some("verified")), "{document}");
    let update: Vec<String> = ["trust", "update"].map(ToOwned::to_owned).into_iter().chain(prepared.tuf()).collect();
    run(prepared.folder.path(), false, &update.iter().map(String::as_str).collect::<Vec<_>>());
    prepared.epoch.sandbox.clear_requests();
    let (exit, _) = prepared.verify(false, &prepared.tag(), &["--offline"], &prepared.tuf());
    assert_eq!(exit, 0);
    let requests = prepared.epoch.sandbox.requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.service == sandbox::Service::Registry));
}

#[tokio::test]
async fn an_archive_is_verified_years_later_with_its_own_trusted_root() {
    let signed = "2012-06-01T12:00:00Z".parse().unwrap();
    let epoch = Epoch::at(signed).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // `trust export` wrote it then; the repository's metadata has long expired, and so has every certificate.
    epoch.sandbox.write_trust(folder.path()).unwrap();
    let root = archive("trusted_root.json");
    for (number, rekor) in [RekorVersion::V1, RekorVersion::V2].into_iter().enumerate() {
        let bundle = archive("bundle.json");
        fs::write(&bundle, &epoch.bundles[number]).unwrap();
        let identity = GithubIdentity::default().subject_alternative_name();
        let reference = epoch.asked.reference.to_string();
        let issuer = epoch.sandbox.oidc_issuer();
        let arguments = [
            "verify",
            &reference,
            "--bundle",
            &bundle,
            "--trusted-root",
            &root,
            "--offline",
            "--certificate-identity",
            &identity,
            "--certificate-oidc-issuer",
            &issuer,
        ];
        let (exit, document) = json(&run(folder.path(), false, &arguments));
        assert_eq!((exit, document["verdict"].as_str()), (0, Some("verified")), "{rekor:?} {document}");
    }
    let tuf = ["--tuf-url", &epoch.sandbox.tuf_url(), "--tuf-root", &archive("tuf-root.json")].map(ToOwned::to_owned);
    let arguments: Vec<&str> = ["trust", "update"].into_iter().chain(tuf.iter().map(String::as_str)).collect();
    assert_eq!(code(&json(&run(folder.path(), false, &arguments))), (4, "trusted-root-unavailable"));
}
