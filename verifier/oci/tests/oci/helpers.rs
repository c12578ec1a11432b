use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_oci::auth::{HelperAnswer, HelperFailure, RunHelper};
use countersign_oci::{Class, Credential, Credentials, RegistryError, Secret};
use futures_util::future::join_all;
use sandbox::Auth;

use crate::support::{World, answer};

const PASSWORD: &str = "canary-helper-4711";

/// A helper that says the same to everybody, and what it was asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn helper(&self, answer: fn() -> Result<HelperAnswer, HelperFailure>) -> RunHelper {
        let asked = self.0.clone();
        Arc::new(move |name, server| {
            asked.lock().unwrap().push(format!("{name} {server}"));
            answer()
        })
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn says(succeeded: bool, output: &str) -> Result<HelperAnswer, HelperFailure> {
    Ok(HelperAnswer { succeeded, output: output.as_bytes().to_vec().into() })
}

fn login() -> Result<HelperAnswer, HelperFailure> {
    says(true, &format!(r#"{{"ServerURL":"x","Username":"octo","Secret":"{PASSWORD}"}}"#))
}

fn nothing() -> Result<HelperAnswer, HelperFailure> {
    says(false, "credentials not found in native keychain\n")
}

/// A file that names a helper, for the sandbox's registry or (`{}`) in other words.
fn file(json: &str, host: &str, run: &RunHelper) -> Credentials {
    let config = Credentials::from_docker_config("config.json", &json.replace("HOST", host)).unwrap();
    let mut credentials = config.credentials;
    for helper in &config.helpers {
        credentials.add_helper(helper, run.clone(), "config.json").unwrap();
    }
    credentials
}

fn world(auth: Auth, anonymous_pull: bool, json: &str, run: &RunHelper) -> World {
    World::with(
        |sandbox| {
            sandbox.auth = auth;
            sandbox.anonymous_pull = anonymous_pull;
        },
        |options, host| options.credentials = file(json, host, run),
    )
}

fn bearer() -> Auth {
    Auth::Bearer { user: "octo".to_owned(), password: PASSWORD.to_owned() }
}

const FOR_HOST: &str = r#"{"credHelpers": {"HOST": "cloud"}}"#;
const FOR_ALL: &str = r#"{"auths": {"HOST": {}}, "credsStore": "desktop"}"#;

#[tokio::test]
async fn a_helper_is_asked_once_for_the_registry_that_asks() {
    for (json, name) in [(FOR_HOST, "cloud"), (FOR_ALL, "desktop")] {
        for auth in [bearer(), Auth::Basic { user: "octo".to_owned(), password: PASSWORD.to_owned() }] {
            let asked = Asked::default();
            let world = world(auth, false, json, &asked.helper(login));
            let pinned = world.put_index("v1");
            let outcomes = join_all((0..4).map(|_| world.registry.manifest(&pinned))).await;
            assert!(outcomes.iter().all(Result::is_ok));
            assert!(world.pusher().prove_write(&world.repository).await.is_ok());
            assert_eq!(asked.all(), [format!("{name} {}", world.sandbox.registry().host())]);
        }
    }
}

#[tokio::test]
async fn a_helper_is_not_asked_where_nobody_asks_for_credentials() {
    let asked = Asked::default();
    let world = world(Auth::None, false, FOR_ALL, &asked.helper(login));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert!(world.pusher().prove_write(&world.repository).await.is_ok());
    let other = r#"{"credHelpers": {"other.example": "cloud"}}"#;
    let foreign = self::world(bearer(), false, other, &asked.helper(login));
    let pinned = foreign.put_index("v1");
    assert_eq!(foreign.registry.manifest(&pinned).await.unwrap_err().class(), Class::Denied);
    assert!(asked.all().is_empty());
}

#[tokio::test]
async fn a_helper_that_has_nothing_is_no_failure() {
    let asked = Asked::default();
    let world = world(bearer(), true, FOR_ALL, &asked.helper(nothing));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    let error = world.pusher().prove_write(&world.repository).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert_eq!(asked.all().len(), 1);
}

#[tokio::test]
async fn a_file_has_what_its_helper_has_not() {
    let asked = Asked::default();
    // octo and the password in base64.
    let json = r#"{"auths": {"HOST": {"auth": "b2N0bzpjYW5hcnktaGVscGVyLTQ3MTE="}}, "credsStore": "desktop"}"#;
    let world = world(bearer(), false, json, &asked.helper(nothing));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert_eq!(asked.all().len(), 1);
}

#[tokio::test]
async fn the_entry_of_a_repository_counts_before_a_helper_and_before_its_host() {
    let asked = Asked::default();
    let json = r#"{"auths": {
        "HOST": {"auth": "b2N0bzp3cm9uZw=="},
        "HOST/octo/app": {"auth": "b2N0bzpjYW5hcnktaGVscGVyLTQ3MTE="},
        "HOST/octo/app/deeper": {"auth": "b2N0bzp3cm9uZw=="}
    }, "credsStore": "desktop"}"#;
    let world = world(bearer(), false, json, &asked.helper(nothing));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert!(asked.all().is_empty());
}

#[tokio::test]
async fn a_helper_that_fails_hides_no_public_image_and_lets_no_write_go_on() {
    let failures: [fn() -> Result<HelperAnswer, HelperFailure>; 5] = [
        || Err(HelperFailure::NotRun),
        || Err(HelperFailure::TimedOut),
        || Err(HelperFailure::TooLong),
        || says(true, "canary is no JSON"),
        || says(false, "canary: the keychain is locked"),
    ];
    for failure in failures {
        let asked = Asked::default();
        let world = world(bearer(), true, FOR_HOST, &asked.helper(failure));
        let pinned = world.put_index("v1");
        assert!(world.registry.manifest(&pinned).await.is_ok());
        let error = world.pusher().prove_write(&world.repository).await.unwrap_err();
        assert!(matches!(&error, RegistryError::CredentialHelper { name, .. } if name == "cloud"), "{error}");
        assert_eq!((error.class(), error.retryable()), (Class::Denied, false));
        assert!(error.hint().is_some() && !format!("{error} {error:?}").contains("canary"));
        assert_eq!(asked.all().len(), 1);
    }
}

#[tokio::test]
async fn flags_are_believed_before_helpers() {
    let asked = Asked::default();
    let helper = asked.helper(nothing);
    let world = World::with(
        |sandbox| sandbox.auth = bearer(),
        |options, host| {
            let password = Secret::new(PASSWORD.to_owned());
            options.credentials.add(host, Credential::Basic { username: "octo".to_owned(), password }, "flags");
            options.credentials.extend(file(FOR_HOST, host, &helper));
        },
    );
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert!(asked.all().is_empty());
}

#[tokio::test]
async fn a_slow_helper_blocks_nobody_else() {
    let run: RunHelper = Arc::new(|_, _| {
        std::thread::sleep(Duration::from_millis(300));
        login()
    });
    let world = world(bearer(), false, FOR_HOST, &run);
    let pinned = world.put_index("v1");
    let ticks = AtomicUsize::new(0);
    let tick = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticks.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        outcome = world.registry.manifest(&pinned) => assert!(outcome.is_ok()),
        () = tick => unreachable!(),
    }
    // This runtime has one thread.
    assert!(ticks.load(Ordering::Relaxed) > 10);
}

#[tokio::test]
async fn an_identity_token_of_a_helper_is_exchanged() {
    let asked = Asked::default();
    let world = world(
        bearer(),
        false,
        FOR_HOST,
        &asked.helper(|| says(true, r#"{"Username":"<token>","Secret":"refresh-token"}"#)),
    );
    let pinned = world.put_index("v1");
    // The sandbox knows passwords only; what is looked at is the request.
    assert!(world.registry.manifest(&pinned).await.is_err());
    let requests = world.sandbox.requests();
    let exchange = requests.iter().find(|one| one.path == "/token" && one.method == "POST").unwrap();
    assert!(String::from_utf8(exchange.body.to_vec()).unwrap().contains("refresh_token=refresh-token"));
}

#[tokio::test]
async fn a_registry_that_quotes_what_a_helper_gave_its_token_server_is_not_quoted() {
    let asked = Asked::default();
    let world = world(bearer(), false, FOR_HOST, &asked.helper(login));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    let body = format!(r#"{{"errors":[{{"code":"UNKNOWN","message":"no {PASSWORD} here"}}]}}"#);
    let _quoting = world.fault("/manifests/", answer(400, &body, &[]));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert!(error.to_string().contains("no [redacted] here"), "{error}");
}
