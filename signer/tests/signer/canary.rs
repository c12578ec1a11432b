//! Nothing that may be shown to a service or registry comes out anywhere else, whatever fails.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_signer::services::Credentials;
use countersign_signer::sign::Signer;
use sandbox::{Action, Auth, Fault, GithubIdentity, RekorVersion, Service};

use crate::world::{REPOSITORY, World};

const USER: &str = "robot";
const PASSWORD: &str = "CANARY-password-b7c1d9";

/// What must not be found, and where it is searched for.
struct Canary {
    world: World,
    folder: tempfile::TempDir,
    token: String,
    environment: Vec<(String, String)>,
}

impl Canary {
    fn start() -> Canary {
        let auth = Auth::Bearer { user: USER.to_owned(), password: PASSWORD.to_owned() };
        let world = World::with(|options| options.auth = auth);
        let token = world.sandbox.github_token(&GithubIdentity::default());
        let environment = world.sandbox.ambient(&GithubIdentity::default());
        Canary { world, folder: tempfile::tempdir().unwrap(), token, environment }
    }

    /// The token with its parts, the password as it is sent, what asks for tokens, and whatever else was sent as a credential.
    fn secrets(&self) -> BTreeSet<String> {
        let mut secrets: BTreeSet<String> = self.token.split('.').skip(1).map(str::to_owned).collect();
        secrets.extend([PASSWORD.to_owned(), STANDARD.encode(format!("{USER}:{PASSWORD}"))]);
        let asks = |name: &str| name == "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
        secrets.extend(self.environment.iter().filter(|(name, _)| asks(name)).map(|(_, value)| value.clone()));
        for request in self.world.sandbox.requests() {
            let sent = request.header("authorization").and_then(|header| header.split_once(' '));
            // The parts of a token after the first, which says the algorithm and is the same for all.
            let parts = sent.map(|(_, secret)| secret.split('.').collect::<Vec<_>>()).unwrap_or_default();
            let own = if parts.len() == 3 { &parts[1..] } else { &parts[..] };
            secrets.extend(own.iter().map(|part| (*part).to_owned()));
        }
        secrets.retain(|secret| secret.len() >= 8);
        secrets
    }

    fn assert_absent(&self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for secret in self.secrets() {
            assert!(!text.contains(&secret), "{what} holds {secret}: {text}");
        }
    }

    fn sign(&self, ambient: bool, further: &[&str]) -> Output {
        let trust = self.world.sandbox.write_trust(&self.folder.path().join("trust")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-signer"));
        command.args(["sign", "--trusted-root", trust.trusted_root.to_str().unwrap(), "-vvv"]);
        command.args(["--signing-config", trust.signing_config_rekor_v1.to_str().unwrap()]);
        command.args(["--registry-username", USER, &self.world.reference("octo/app:v1").to_string()]);
        command.args(further).env_clear().env("HOME", self.folder.path());
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command.env("COUNTERSIGN_REGISTRY_PASSWORD", PASSWORD).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        if ambient {
            command.envs(self.environment.iter().cloned());
        } else {
            command.env("SIGSTORE_ID_TOKEN", &self.token);
        }
        command.output().unwrap()
    }

    /// In every output, in every file that was written, in every byte that the registry and the services keep.
    fn assert_kept(&self, what: &str, output: &Output) {
        self.assert_absent(what, &output.stdout);
        self.assert_absent(what, &output.stderr);
        self.assert_files_absent(self.folder.path());
        let registry = self.world.sandbox.registry();
        for digest in registry.manifests(REPOSITORY) {
            let manifest = registry.get_manifest(REPOSITORY, &digest).unwrap().bytes;
            self.assert_absent("a manifest", &manifest);
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            for layer in manifest["layers"].as_array().into_iter().flatten() {
                let blob = registry.get_blob(layer["digest"].as_str().unwrap_or_default());
                self.assert_absent("a blob", &blob.unwrap_or_default());
            }
        }
        for request in self.world.sandbox.requests() {
            self.assert_absent("a request", &request.body);
            self.assert_absent("an address", request.path.as_bytes());
            self.assert_absent("an address", request.query.unwrap_or_default().as_bytes());
        }
    }

    fn assert_files_absent(&self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.assert_files_absent(&path);
            } else {
                self.assert_absent(path.to_str().unwrap(), &std::fs::read(&path).unwrap());
            }
        }
    }
}

/// An answer that quotes what it was sent, in words and as the message of a document.
fn quoting(status: u16, secrets: &[&str]) -> [Action; 2] {
    let text = secrets.join(" and ");
    let json = serde_json::json!({"code": 3, "message": text, "errors": [{"code": "DENIED", "message": text}]});
    [text, json.to_string()].map(|body| Action::Status { status, body, headers: Vec::new() })
}

#[test]
fn a_signature_that_succeeds_shows_and_keeps_no_secret() {
    for ambient in [true, false] {
        for format in ["json", "text"] {
            let canary = Canary::start();
            let output = canary.sign(ambient, &["--output", format]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(!output.stderr.is_empty(), "everything is logged");
            canary.assert_kept("success", &output);
        }
    }
}

#[test]
fn a_failure_of_any_kind_shows_and_keeps_no_secret() {
    let canary = Canary::start();
    let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let asks = canary.environment.iter().find(|(name, _)| name == "ACTIONS_ID_TOKEN_REQUEST_TOKEN").unwrap().1.clone();
    let (token, bearer) = (canary.token.as_str(), format!("Bearer {}", canary.token));
    let mut faults = Vec::new();
    for action in quoting(400, &[token, &bearer]).into_iter().chain(quoting(401, &[token])) {
        faults.push((false, Fault::new(Service::Fulcio, action)));
    }
    for action in quoting(401, &[&asks]) {
        faults.push((true, Fault::new(Service::Oidc, action)));
    }
    // Whoever is asked for a token is shown the password.
    for action in quoting(401, &[PASSWORD, &basic]) {
        faults.push((false, Fault::new(Service::Registry, action.clone()).path("/token")));
        faults.push((false, Fault::new(Service::Registry, action).path("/manifests/").after(1)));
    }
    for action in quoting(400, &[token]) {
        faults.push((false, Fault::new(Service::RekorV1, action.clone())));
        faults.push((false, Fault::new(Service::Tsa, action)));
    }
    let elsewhere = format!("https://elsewhere.example/?token={token}");
    faults.push((false, Fault::new(Service::Fulcio, Action::Redirect(elsewhere.clone()))));
    faults.push((true, Fault::new(Service::Oidc, Action::Redirect(elsewhere.clone()))));
    faults.push((false, Fault::new(Service::Registry, Action::Redirect(elsewhere))));
    faults.push((true, Fault::new(Service::Oidc, Action::Body(token.as_bytes().to_vec()))));
    faults.push((false, Fault::new(Service::Fulcio, Action::Body(format!("{{\"{token}\":1}}").into_bytes()))));
    faults.push((false, Fault::new(Service::Fulcio, Action::Truncate(20)).times(1)));
    for (ambient, fault) in faults {
        for format in ["json", "text"] {
            let what = format!("{fault:?}");
            let _fault = canary.world.sandbox.fault(fault.clone());
            let output = canary.sign(ambient, &["--output", format, "--force", "--timeout", "3s"]);
            assert_ne!(output.status.code(), Some(1), "{output:?}");
            canary.assert_kept(&what, &output);
        }
    }
}

#[tokio::test]
async fn nothing_in_the_library_can_be_printed_that_holds_a_secret() {
    let canary = Canary::start();
    let world = &canary.world;
    let mut shown = String::new();
    for identity in [world.ambient(&GithubIdentity::default()), world.token(canary.token.clone())] {
        let signer = Signer { identity, ..world.signer(RekorVersion::V1) };
        let credentials = Credentials::new(&signer.services, &signer.identity).await.unwrap();
        let certificate = credentials.certificate().await.unwrap();
        write!(shown, "{signer:?} {:?} {:?} {credentials:?} {certificate:?}", signer.identity, signer.services)
            .unwrap();
        write!(shown, "{signer:#?} {credentials:#?}").unwrap();
    }
    canary.assert_absent("Debug", shown.as_bytes());
    // A panic shows what it is given, and no more.
    let source = world.token(canary.token.clone());
    let panicked = std::panic::catch_unwind(|| panic!("{source:?}"));
    let said = panicked.unwrap_err().downcast::<String>().unwrap();
    canary.assert_absent("a panic", said.as_bytes());
}
