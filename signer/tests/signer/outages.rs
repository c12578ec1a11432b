//! Outages of the services: waited for within one budget, and what is signed stays within what certificates and tokens live.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_oci::http::{Budget, HttpOptions};
use countersign_oci::{Class, Secret};
use countersign_signer::SignError;
use countersign_signer::error::OutageEnd;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::{Services, SigningConfig};
use countersign_signer::sign::Signer;
use countersign_signer::statement::StatementForm;
use sandbox::{Action, Clock, Fault, FaultGuard, GithubIdentity, RekorVersion, Service};
use serde_json::{Value, json};

use crate::time::Pauses;
use crate::world::{REPOSITORY, World, now};

const MINUTE: Duration = Duration::from_secs(60);

/// A world whose services and signer live in a time that passes in pauses only.
struct Waiting {
    time: Arc<Pauses>,
    world: World,
}

impl Waiting {
    fn start() -> Waiting {
        let time = Pauses::new();
        let clock = Arc::clone(&time);
        let world = World::with(|options| {
            options.clock = Clock::from_fn(move || countersign_oci::http::Time::now(&*clock));
        });
        Waiting { time, world }
    }

    fn signer(&self, rekor: RekorVersion, budget: Duration) -> Signer {
        let budget = Budget::new(self.time.clone(), budget);
        Signer { services: self.world.services_within(rekor, budget), ..self.world.signer(rekor) }
    }

    /// Ends a fault once so much time has passed.
    fn end_after(&self, time: Duration, fault: FaultGuard) {
        let fault = Mutex::new(Some(fault));
        self.time.after(time, move || drop(fault.lock().unwrap().take()));
    }

    async fn failure(&self, signer: &Signer) -> SignError {
        let mut failure = signer.sign(&self.world.request(&["octo/app:v1"])).await.unwrap_err();
        assert_eq!(failure.errors.len(), 1, "{:?}", failure.errors);
        self.world.assert_nothing_attached();
        failure.errors.remove(0)
    }

    /// The bundle that was attached verifies for a consumer.
    async fn assert_verifies(&self) {
        let digest = self.world.image.digest();
        let verdict =
            self.world.verify(&self.world.pinned(REPOSITORY, digest), Some("v1"), &self.world.policy("")).await;
        assert!(matches!(verdict, countersign_verifier::Verdict::Verified(..)), "{verdict:?}");
    }
}

const REKORS: [(RekorVersion, Service); 2] =
    [(RekorVersion::V1, Service::RekorV1), (RekorVersion::V2, Service::RekorV2)];

#[tokio::test]
async fn an_outage_of_the_log_of_45_minutes_is_waited_for_with_new_certificates() {
    for (rekor, log) in REKORS {
        let waiting = Waiting::start();
        let fault = waiting.world.sandbox.fault(Fault::new(log, Action::status(503)));
        waiting.end_after(45 * MINUTE, fault);
        let signer = waiting.signer(rekor, 60 * MINUTE);
        let mut request = waiting.world.request(&["octo/app:v1"]);
        request.form = StatementForm::Digest;
        let report = signer.sign(&request).await.unwrap();
        assert_eq!(report.statements.len(), 5);
        waiting.assert_verifies().await;
        // Certificates live ten minutes, tokens five, and one renewal serves all statements.
        let certificates = waiting.world.count(Service::Fulcio);
        assert!((5..=7).contains(&certificates), "{certificates}");
        assert_eq!(waiting.world.count(Service::Oidc), certificates);
        // One request at a time tries whether the log serves again.
        let refused = waiting.world.sandbox.requests_of(log).iter().filter(|request| request.status == 503).count();
        let pauses = waiting.time.taken();
        assert!(refused <= pauses.len() + 5 * certificates, "{refused} {}", pauses.len());
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(30)), "{pauses:?}");
        assert!(pauses.len() < 200, "{}", pauses.len());
    }
}

#[tokio::test]
async fn an_outage_longer_than_the_budget_says_what_was_tried_and_may_be_run_again() {
    for (rekor, log) in REKORS {
        let waiting = Waiting::start();
        let fault = waiting.world.sandbox.fault(Fault::new(log, Action::status(503)));
        let error = waiting.failure(&waiting.signer(rekor, 20 * MINUTE)).await;
        match &error {
            SignError::ServiceOutage { attempts, lasted, end, .. } => {
                assert!(*attempts > 20, "{attempts}");
                assert!(*lasted > 19 * MINUTE && *lasted <= 20 * MINUTE, "{lasted:?}");
                assert_eq!(*end, OutageEnd::TimeUsedUp { total: 20 * MINUTE });
            }
            other => panic!("{other:?}"),
        }
        assert!(error.retryable());
        assert_eq!((error.class(), error.code()), (Class::Unreachable, "service-outage"));
        assert!(error.to_string().contains("attempts in 19m"), "{error}");
        assert!(error.hint().unwrap().contains("safe to run again"));
        drop(fault);
        let signer = waiting.signer(rekor, MINUTE);
        signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
    }
}

#[tokio::test]
async fn every_service_is_waited_for() {
    for service in [Service::Oidc, Service::Fulcio, Service::Tsa, Service::RekorV2] {
        for action in
            [Action::status(503), Action::status(500), Action::status(429), Action::status(408), Action::Close]
        {
            let waiting = Waiting::start();
            let fault = waiting.world.sandbox.fault(Fault::new(service, action.clone()));
            waiting.end_after(12 * MINUTE, fault);
            let signer = waiting.signer(RekorVersion::V2, 15 * MINUTE);
            let signed = signer.sign(&waiting.world.request(&["octo/app:v1"])).await;
            assert!(signed.is_ok(), "{service:?} {action:?} {signed:?}");
            waiting.assert_verifies().await;
        }
    }
}

#[tokio::test]
async fn an_outage_of_the_timestamp_authority_costs_one_log_entry_more_at_most() {
    for (rekor, log) in REKORS {
        let waiting = Waiting::start();
        let fault = waiting.world.sandbox.fault(Fault::new(Service::Tsa, Action::status(503)));
        waiting.end_after(45 * MINUTE, fault);
        let signer = waiting.signer(rekor, 60 * MINUTE);
        signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
        assert_eq!(waiting.world.count(log), 2, "{rekor:?}");
    }
}

#[tokio::test]
async fn what_a_service_asks_for_is_heeded_in_full() {
    let asks = |seconds: u32, status| Action::Status {
        status,
        body: String::new(),
        headers: vec![("Retry-After".to_owned(), seconds.to_string())],
    };
    for status in [429, 503] {
        let waiting = Waiting::start();
        let _fault = waiting.world.sandbox.fault(Fault::new(Service::RekorV1, asks(240, status)).times(1));
        let signer = waiting.signer(RekorVersion::V1, 5 * MINUTE);
        signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
        assert_eq!(waiting.time.taken(), [4 * MINUTE]);

        let waiting = Waiting::start();
        let _fault = waiting.world.sandbox.fault(Fault::new(Service::RekorV1, asks(360, status)));
        let error = waiting.failure(&waiting.signer(RekorVersion::V1, 5 * MINUTE)).await;
        assert!(matches!(error, SignError::ServiceOutage { attempts: 1, end: OutageEnd::AsksForLonger { .. }, .. }));
        assert!(error.to_string().contains("it asks to be left alone for 6m00s, 5m00s are left"), "{error}");
        assert!(error.retryable());
        assert!(waiting.time.taken().is_empty(), "it fails at once");
    }
}

#[tokio::test]
async fn a_wrong_credential_or_request_fails_at_once_with_the_servers_words() {
    for (service, status) in [
        (Service::Fulcio, 400),
        (Service::Fulcio, 401),
        (Service::RekorV1, 400),
        (Service::Tsa, 403),
        (Service::Oidc, 404),
        (Service::RekorV1, 501),
    ] {
        let waiting = Waiting::start();
        let body = json!({"code": 3, "message": "no such thing"}).to_string();
        let refusal = Action::Status { status, body, headers: Vec::new() };
        let fault = waiting.world.sandbox.fault(Fault::new(service, refusal));
        let error = waiting.failure(&waiting.signer(RekorVersion::V1, 60 * MINUTE)).await;
        assert!(matches!(&error, SignError::ServiceRefused { .. }), "{error:?}");
        assert!(error.to_string().contains("no such thing"), "{error}");
        assert!(!error.retryable());
        assert_eq!(fault.hits(), 1, "{service:?} {status}");
        assert!(waiting.time.taken().is_empty());
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_ends_the_wait_and_says_so() {
    let waiting = Waiting::start();
    let _fault = waiting.world.sandbox.fault(Fault::new(Service::RekorV1, Action::status(503)));
    let identity = waiting.world.token(waiting.world.sandbox.github_token(&GithubIdentity::default()));
    let signer = Signer { identity, ..waiting.signer(RekorVersion::V1, 60 * MINUTE) };
    let error = waiting.failure(&signer).await;
    match &error {
        SignError::CertificateOutlived { source: Some(source), .. } => {
            assert!(matches!(**source, SignError::IdentityTokenOutlived { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.retryable());
    assert_eq!((error.class(), error.code()), (Class::Unreachable, "certificate-outlived"));

    // The token ends before there is a certificate at all.
    let waiting = Waiting::start();
    let _fault = waiting.world.sandbox.fault(Fault::new(Service::Fulcio, Action::status(503)));
    let identity = waiting.world.token(waiting.world.sandbox.github_token(&GithubIdentity::default()));
    let signer = Signer { identity, ..waiting.signer(RekorVersion::V1, 60 * MINUTE) };
    let error = waiting.failure(&signer).await;
    assert!(matches!(error, SignError::IdentityTokenOutlived { .. }), "{error:?}");
    assert!(error.retryable());
}

#[tokio::test]
async fn a_fixed_token_that_outlives_the_first_certificate_gets_another_one() {
    let waiting = Waiting::start();
    let fault = waiting.world.sandbox.fault(Fault::new(Service::RekorV1, Action::status(503)));
    waiting.end_after(25 * MINUTE, fault);
    let mut claims = waiting.world.sandbox.github_claims(&GithubIdentity::default());
    claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 3_600);
    let identity = waiting.world.token(waiting.world.sandbox.sign_token(&claims));
    let signer = Signer { identity, ..waiting.signer(RekorVersion::V1, 60 * MINUTE) };
    signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
    assert_eq!(waiting.world.count(Service::Fulcio), 3);
    waiting.assert_verifies().await;
}

#[tokio::test]
async fn a_token_file_is_read_again_and_has_to_be_of_the_same_identity() {
    for same in [true, false] {
        let waiting = Waiting::start();
        let fault = waiting.world.sandbox.fault(Fault::new(Service::RekorV1, Action::status(503)));
        waiting.end_after(12 * MINUTE, fault);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, waiting.world.sandbox.github_token(&GithubIdentity::default())).unwrap();
        let flag = Secret::new(path.to_str().unwrap().to_owned());
        let identity = IdentitySource::choose(Some(&flag), &Default::default()).unwrap();
        // The job that rotates the file signs a token that lives from then on.
        let next = if same { GithubIdentity::default() } else { GithubIdentity::of("octo/other") };
        let mut claims = waiting.world.sandbox.github_claims(&next);
        claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 1_200);
        let token = waiting.world.sandbox.sign_token(&claims);
        waiting.time.after(4 * MINUTE, move || std::fs::write(path, token).unwrap());
        let signer = Signer { identity, ..waiting.signer(RekorVersion::V1, 60 * MINUTE) };
        let signed = signer.sign(&waiting.world.request(&["octo/app:v1"])).await;
        if same {
            signed.unwrap();
            waiting.assert_verifies().await;
            continue;
        }
        let error = signed.unwrap_err().errors.remove(0);
        assert!(matches!(error, SignError::IdentityChanged { .. }), "{error:?}");
        assert!(!error.retryable());
        waiting.world.assert_nothing_attached();
    }
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_the_one_entry_of_the_log() {
    let waiting = Waiting::start();
    let lost = waiting.world.sandbox.fault(Fault::new(Service::RekorV1, Action::LoseAnswer).method("POST").times(1));
    let signer = waiting.signer(RekorVersion::V1, MINUTE);
    signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
    assert_eq!(lost.hits(), 1);
    let posts: Vec<_> = waiting.world.sandbox.requests_of(Service::RekorV1);
    let statuses: Vec<u16> = posts.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [0, 409, 200]);
    let bundle = waiting.world.bundle(&waiting.world.referrers(REPOSITORY, waiting.world.image.digest()).await[0]);
    let entry = &bundle["verificationMaterial"]["tlogEntries"][0];
    // Two entries are there from the start.
    assert_eq!(entry["inclusionProof"]["treeSize"], "3");
    waiting.assert_verifies().await;
}

/// A signing config with further services, in front of those that work.
fn services(waiting: &Waiting, change: impl FnOnce(&mut Value, &World)) -> Services {
    let mut config: Value = serde_json::from_str(waiting.world.sandbox.signing_config(RekorVersion::V1)).unwrap();
    change(&mut config, &waiting.world);
    let config = SigningConfig::from_json(&config.to_string(), "test").unwrap();
    let budget = Budget::new(waiting.time.clone(), 5 * MINUTE);
    Services::new(config.select(now()).unwrap(), &HttpOptions::default(), budget).unwrap()
}

/// Puts an address where nobody answers before the first, under another operator, newer than that.
fn put_a_dead_one_first(services: &mut Value, path: &str) {
    let mut dead = services[0].clone();
    dead["url"] = json!(format!("http://127.0.0.1:1{path}"));
    dead["operator"] = json!("dead");
    dead["validFor"]["start"] = json!((now() - jiff::SignedDuration::from_mins(1)).to_string());
    services.as_array_mut().unwrap().insert(0, dead);
}

#[tokio::test]
async fn where_any_service_will_do_another_one_serves_for_one_that_is_down() {
    let waiting = Waiting::start();
    let services = services(&waiting, |config, _| {
        put_a_dead_one_first(&mut config["caUrls"], "");
        put_a_dead_one_first(&mut config["rekorTlogUrls"], "");
        put_a_dead_one_first(&mut config["tsaUrls"], "/api/v1/timestamp");
    });
    assert_eq!(services.selection().fulcio.port(), Some(1));
    assert_eq!(services.selection().log.url.port(), Some(1));
    let signer = Signer { services, ..waiting.signer(RekorVersion::V1, MINUTE) };
    signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
    assert!(waiting.time.taken().is_empty(), "nothing is waited for");
    waiting.assert_verifies().await;
}

#[tokio::test]
async fn where_all_services_are_asked_for_none_serves_for_another() {
    let waiting = Waiting::start();
    let services = services(&waiting, |config, _| {
        put_a_dead_one_first(&mut config["tsaUrls"], "/api/v1/timestamp");
        config["tsaConfig"] = json!({"selector": "ALL"});
    });
    let signer = Signer { services, ..waiting.signer(RekorVersion::V1, MINUTE) };
    let error = waiting.failure(&signer).await;
    assert!(matches!(&error, SignError::ServiceOutage { url, .. } if url.contains("127.0.0.1:1/")), "{error:?}");
}

#[tokio::test]
async fn a_machine_that_slept_through_its_certificate_signs_once_more() {
    // Each bundle has its time from there.
    for (rekor, asked) in [(RekorVersion::V1, Service::RekorV1), (RekorVersion::V2, Service::Tsa)] {
        let waiting = Waiting::start();
        let time = Arc::clone(&waiting.time);
        // Half an hour passes while it is asked for the first time.
        let asleep = Action::Before(Arc::new(move || time.pass(30 * MINUTE)));
        let _fault = waiting.world.sandbox.fault(Fault::new(asked, asleep).times(1));
        let signer = waiting.signer(rekor, 60 * MINUTE);
        signer.sign(&waiting.world.request(&["octo/app:v1"])).await.unwrap();
        assert_eq!(waiting.world.count(asked), 2);
        assert_eq!(waiting.world.count(Service::Fulcio), 2);
        waiting.assert_verifies().await;
    }
}
