use std::io::Write;
use std::sync::{Arc, Mutex};

use countersign_oci::auth::{HelperAnswer, RunHelper};
use countersign_oci::http::ClientCertificate;
use countersign_oci::{Class, Credential, Credentials, Registry, RegistryError, RegistryOptions, Secret};
use futures_util::future::join_all;
use sandbox::{Action, Auth};
use tracing_subscriber::filter::LevelFilter;

use crate::support::{World, answer};

const PASSWORD: &str = "canary-password-93c1";

fn basic_auth() -> Auth {
    Auth::Basic { user: "octo".to_owned(), password: PASSWORD.to_owned() }
}

fn bearer_auth() -> Auth {
    Auth::Bearer { user: "octo".to_owned(), password: PASSWORD.to_owned() }
}

fn login(options: &mut RegistryOptions, host: &str, password: &str) {
    let mut credentials = Credentials::new();
    let password = Secret::new(password.to_owned());
    credentials.add(host, Credential::Basic { username: "octo".to_owned(), password }, "the test's login");
    options.credentials = credentials;
}

fn world(auth: Auth, anonymous_pull: bool, password: Option<&str>) -> World {
    World::with(
        |sandbox| {
            sandbox.auth = auth;
            sandbox.anonymous_pull = anonymous_pull;
        },
        |options, host| {
            if let Some(password) = password {
                login(options, host, password);
            }
        },
    )
}

#[tokio::test]
async fn a_password_opens_a_registry_that_asks_for_one() {
    let world = world(basic_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert!(world.pusher().prove_write(&world.repository).await.is_ok());
    // One challenge for the registry, then the password at once.
    assert_eq!(world.requests_to(" 401"), 1);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_what_is_done_and_used_again() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    for _ in 0..3 {
        assert!(world.registry.manifest(&pinned).await.is_ok());
    }
    assert_eq!((world.requests_to(" 401"), world.requests_to("/token")), (1, 1));
    assert!(world.pusher().prove_write(&world.repository).await.is_ok());
    assert!(world.pusher().prove_write(&world.repository).await.is_ok());
    // Writing needs a token of its own; the challenge is known.
    assert_eq!((world.requests_to(" 401"), world.requests_to("/token")), (1, 2));
    let scopes: Vec<_> =
        world.sandbox.requests().into_iter().filter(|one| one.path == "/token").map(|one| one.query.unwrap()).collect();
    assert!(scopes[0].ends_with("scope=repository%3Aocto%2Fapp%3Apull"), "{scopes:?}");
    assert!(scopes[1].ends_with("scope=repository%3Aocto%2Fapp%3Apull%2Cpush"), "{scopes:?}");
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_token() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    let outcomes = join_all((0..8).map(|_| world.registry.manifest(&pinned))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(world.requests_to("/token"), 1);
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_renewed_once() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    world.sandbox.registry().revoke_tokens();
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert_eq!(world.requests_to("/token"), 2);
}

#[tokio::test]
async fn a_registry_that_takes_no_token_is_not_asked_for_ever() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    let challenge = format!("Bearer realm=\"http://{}/token\"", world.sandbox.registry().host());
    let _fault = world.fault("/manifests/", answer(401, "", &[("WWW-Authenticate", &challenge)]));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert!(world.requests().len() <= 8, "{:?}", world.requests());
}

#[tokio::test]
async fn a_registry_that_changes_its_challenge_every_time_is_not_asked_for_ever() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    let host = world.sandbox.registry().host().to_owned();
    for number in 0..20 {
        let challenge = format!("Bearer realm=\"http://{host}/token?{number}\"");
        world.fault_once("/manifests/", answer(401, "", &[("WWW-Authenticate", &challenge)])).keep();
    }
    assert_eq!(world.registry.manifest(&pinned).await.unwrap_err().class(), Class::Denied);
    assert!(world.requests().len() <= 14, "{:?}", world.requests());
}

#[tokio::test]
async fn a_public_image_needs_no_credentials() {
    for auth in [basic_auth(), bearer_auth()] {
        let world = world(auth, true, None);
        let pinned = world.put_index("v1");
        assert!(world.registry.manifest(&pinned).await.is_ok());
        let error = world.pusher().prove_write(&world.repository).await.unwrap_err();
        assert_eq!(error.class(), Class::Denied);
    }
}

#[tokio::test]
async fn a_private_image_is_denied_without_credentials() {
    for auth in [basic_auth(), bearer_auth()] {
        let world = world(auth, false, None);
        let pinned = world.put_index("v1");
        let error = world.registry.manifest(&pinned).await.unwrap_err();
        assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_stale_login_does_not_hide_a_public_image() {
    let world = world(bearer_auth(), true, Some("stale"));
    let pinned = world.put_index("v1");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    let before = world.requests_to("/token 401");
    assert!(world.registry.manifest(&pinned).await.is_ok());
    assert_eq!((before, world.requests_to("/token 401")), (1, 1));
}

#[tokio::test]
async fn a_stale_login_is_named_when_it_does_not_help() {
    for auth in [basic_auth(), bearer_auth()] {
        let world = world(auth, false, Some("stale"));
        let pinned = world.put_index("v1");
        let error = world.registry.manifest(&pinned).await.unwrap_err();
        assert!(
            matches!(&error, RegistryError::CredentialsRejected { origin, .. } if origin == "the test's login"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_write_never_falls_back_to_nobody() {
    for auth in [basic_auth(), bearer_auth()] {
        let world = world(auth, true, Some("stale"));
        let pinned = world.put_index("v1");
        assert!(world.registry.manifest(&pinned).await.is_ok());
        world.sandbox.clear_requests();
        let error = world.pusher().prove_write(&world.repository).await.unwrap_err();
        assert_eq!(error.code(), "credentials-rejected", "{error}");
        let anonymous = |one: &sandbox::Request| one.path == "/token" && !one.authorized;
        assert!(!world.sandbox.requests().iter().any(anonymous));
    }
}

#[tokio::test]
async fn credentials_of_another_registry_are_not_sent() {
    let world =
        World::with(|sandbox| sandbox.auth = bearer_auth(), |options, _| login(options, "127.0.0.1:1", PASSWORD));
    let pinned = world.put_index("v1");
    assert_eq!(world.registry.manifest(&pinned).await.unwrap_err().class(), Class::Denied);
    assert!(!world.sandbox.requests().iter().any(|one| one.authorized));
}

#[tokio::test]
async fn credentials_of_a_name_are_not_sent_to_where_it_is_mapped() {
    let world = World::with(
        |sandbox| sandbox.auth = basic_auth(),
        |options, host| {
            options.hosts.insert("quay.io".to_owned(), host.to_owned());
            login(options, "quay.io", PASSWORD);
        },
    );
    let pinned = world.put_index("v1");
    let named = "quay.io/octo/app".parse::<countersign_oci::Repository>().unwrap().pin(pinned.digest());
    assert_eq!(world.registry.manifest(&named).await.unwrap_err().class(), Class::Denied);
    assert!(!world.sandbox.requests().iter().any(|one| one.authorized));
}

#[tokio::test]
async fn a_token_server_in_plain_http_elsewhere_is_asked_nothing() {
    let world = world(Auth::None, false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    let _fault = world
        .fault("/manifests/", answer(401, "", &[("WWW-Authenticate", "Bearer realm=\"http://192.0.2.1:9/steal\"")]));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert!(matches!(error, RegistryError::RealmRefused { .. }), "{error}");
    assert_eq!(world.registry.request_count(), 1);
}

#[tokio::test]
async fn a_token_server_on_another_port_is_shown_credentials_only_when_it_is_named() {
    for is_named in [false, true] {
        let realm = World::with(
            |sandbox| {
                sandbox.auth = bearer_auth();
                sandbox.anonymous_pull = true;
            },
            |_, _| {},
        );
        let realm_host = realm.sandbox.registry().host().to_owned();
        let world = World::with(
            |_| {},
            |options, host| {
                login(options, host, PASSWORD);
                if is_named {
                    options.token_servers.insert(host.to_owned(), realm_host.clone());
                }
            },
        );
        let pinned = world.put_index("v1");
        let challenge = format!("Bearer realm=\"{}/token\"", realm.sandbox.registry().url());
        let _fault = world.fault_once("/manifests/", answer(401, "", &[("WWW-Authenticate", &challenge)]));
        assert!(world.registry.manifest(&pinned).await.is_ok());
        let shown: Vec<bool> = realm.sandbox.requests().iter().map(|one| one.authorized).collect();
        assert_eq!(shown, [is_named]);
        // It is counted with the registry that it serves.
        assert_eq!(world.registry.request_counts()[world.repository.registry()], 3);
    }
}

#[tokio::test]
async fn a_token_request_follows_no_redirect() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let elsewhere = World::new();
    let pinned = world.put_index("v1");
    let _fault = world.fault("/token", Action::Redirect(format!("{}/token", elsewhere.sandbox.registry().url())));
    let error = world.registry.manifest(&pinned).await.unwrap_err();
    assert_eq!(error.code(), "redirect-refused");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_answer_without_a_usable_token_is_an_error() {
    let world = world(bearer_auth(), false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    for body in ["", "{}", r#"{"token":""}"#, r#"{"token":7}"#, r#"{"token":"a\nb"}"#, "[]"] {
        let _fault = world.fault("/token", Action::Body(body.as_bytes().to_vec()));
        let error = world.registry.manifest(&pinned).await.unwrap_err();
        assert_eq!((error.code(), error.class()), ("token-malformed", Class::Malformed), "{body}");
    }
    let _fault = world.fault("/token", Action::Endless);
    assert_eq!(world.registry.manifest(&pinned).await.unwrap_err().code(), "answer-too-large");
}

#[tokio::test]
async fn a_challenge_of_an_unknown_kind_is_named() {
    let world = world(Auth::None, false, Some(PASSWORD));
    let pinned = world.put_index("v1");
    for headers in [&[][..], &[("WWW-Authenticate", "Negotiate")]] {
        let _fault = world.fault("/manifests/", answer(401, "", headers));
        assert_eq!(world.registry.manifest(&pinned).await.unwrap_err().code(), "unknown-challenge");
    }
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let world = World::with(
        |sandbox| sandbox.auth = bearer_auth(),
        |options, host| {
            let token = Secret::new("refresh-token".to_owned());
            options.credentials.add(host, Credential::IdentityToken(token), "test");
        },
    );
    let pinned = world.put_index("v1");
    // The sandbox knows passwords only; what is looked at is the request.
    assert!(world.registry.manifest(&pinned).await.is_err());
    let requests = world.sandbox.requests();
    let exchange = requests.iter().find(|one| one.path == "/token" && one.method == "POST").unwrap();
    let form = String::from_utf8(exchange.body.to_vec()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=refresh-token"), "{form}");
    assert!(exchange.query.is_none() && !exchange.authorized);
}

/// Options with a client certificate.
fn with(certificate: ClientCertificate) -> RegistryOptions {
    let mut options = RegistryOptions::default();
    options.client_certificates.insert("r.example".to_owned(), certificate);
    options
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_and_no_error_shows_a_credential() {
    let log = Log::default();
    let writer = log.clone();
    // For the whole process: what the other tests log meanwhile must not show a credential either.
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(move || writer.clone());
    subscriber.init();
    for (auth, password) in [(basic_auth(), PASSWORD), (bearer_auth(), PASSWORD), (bearer_auth(), "canary-stale")] {
        let world = world(auth, false, Some(password));
        let pinned = world.put_index("v1");
        let outcome = world.registry.manifest(&pinned).await;
        let pushed = world.pusher().prove_write(&world.repository).await;
        let shown = format!("{outcome:?} {pushed:?} {:?}", world.registry);
        assert!(!shown.contains("canary") && !shown.contains("sandbox-token"), "{shown}");
    }
    for output in [r#"{"Username":"octo","Secret":"canary-helper"}"#, "canary-is-no-json"] {
        let run: RunHelper =
            Arc::new(move |_, _| Ok(HelperAnswer { succeeded: true, output: output.as_bytes().to_vec().into() }));
        let world = World::with(
            |sandbox| sandbox.auth = basic_auth(),
            |options, host| {
                let json = format!(r#"{{"credHelpers": {{"{host}": "cloud"}}}}"#);
                let config = Credentials::from_docker_config("config.json", &json).unwrap();
                options.credentials.add_helper(&config.helpers[0], run, "config.json").unwrap();
                let key = Secret::new("canary-key".to_owned());
                let certificate = ClientCertificate { chain: b"canary-chain".to_vec(), key };
                let shown = format!("{options:?} {certificate:?} {:?}", Registry::new(with(certificate.clone())));
                assert!(!shown.contains("canary") && !shown.contains(&format!("{:?}", b"canary")), "{shown}");
            },
        );
        let pinned = world.put_index("v1");
        let outcome = world.registry.manifest(&pinned).await;
        let pushed = world.pusher().prove_write(&world.repository).await;
        let shown = format!("{outcome:?} {pushed:?} {:?}", world.registry);
        assert!(!shown.contains("canary"), "{shown}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("request"), "the log is there");
    // The password, its Basic form, and the tokens that were given out.
    for secret in ["canary", "b2N0bzpjYW5hcnk", "sandbox-token"] {
        assert!(!log.contains(secret), "{secret}");
    }
    assert!(log.contains("the registry refuses these credentials") && log.contains("the test's login"));
}
