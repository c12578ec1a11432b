//! What must not be signed, and what must not be spent, sent or attached when something is wrong.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::Class;
use countersign_oci::http::HttpOptions;
use countersign_signer::SignError;
use countersign_signer::identity::IdentitySource;
use countersign_signer::services::Service as Named;
use countersign_signer::sign::{SignFailure, SignRequest, Signer};
use countersign_signer::statement::Annotations;
use sandbox::{Action, Fault, GithubIdentity, RekorVersion, Service};
use serde_json::{Value, json};

use crate::world::{REPOSITORY, World, now};

const REKORS: [(RekorVersion, Service); 2] =
    [(RekorVersion::V1, Service::RekorV1), (RekorVersion::V2, Service::RekorV2)];

fn only(failure: SignFailure) -> SignError {
    assert_eq!(failure.errors.len(), 1, "{:?}", failure.errors);
    failure.errors.into_iter().next().unwrap()
}

async fn failure(world: &World, signer: &Signer) -> SignError {
    only(signer.sign(&world.request(&["octo/app:v1"])).await.unwrap_err())
}

#[tokio::test]
async fn a_repository_that_refuses_writes_costs_no_certificate() {
    let world = World::start();
    let refused = Fault::new(Service::Registry, Action::status(403)).path("/blobs/uploads");
    let _fault = world.sandbox.fault(refused);
    let error = failure(&world, &world.signer(RekorVersion::V1)).await;
    assert!(matches!(error, SignError::WriteRefused { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Denied);
    assert_eq!(world.count(Service::Fulcio), 0);
    assert_eq!(world.count(Service::RekorV1), 0);
    world.assert_nothing_attached();
}

#[tokio::test]
async fn one_of_two_repositories_that_refuses_writes_stops_both() {
    let world = World::start();
    world.image.push(world.sandbox.registry(), "octo/mirror", "v1");
    let _fault =
        world.sandbox.fault(Fault::new(Service::Registry, Action::status(403)).path("octo/mirror/blobs/uploads"));
    let request = world.request(&["octo/app:v1", "octo/mirror:v1"]);
    let error = only(world.signer(RekorVersion::V1).sign(&request).await.unwrap_err());
    assert!(matches!(&error, SignError::WriteRefused { repository, .. } if repository.path() == "octo/mirror"));
    assert_eq!(world.count(Service::Fulcio), 0);
    world.assert_nothing_attached();
}

#[tokio::test]
async fn nothing_is_written_to_a_repository_that_lacks_what_was_named() {
    let written = |world: &World, repository: &str| {
        let requests = world.sandbox.requests_of(Service::Registry);
        requests
            .iter()
            .any(|request| request.method != "GET" && request.method != "HEAD" && request.path.contains(repository))
    };
    let world = World::start();
    let request = world.request(&["octo/misspelt:v1", "octo/app:v1"]);
    let error = only(world.signer(RekorVersion::V1).sign(&request).await.unwrap_err());
    assert_eq!(error.class(), Class::NotFound, "{error:?}");
    assert!(!written(&world, "octo/misspelt"));
    assert!(written(&world, REPOSITORY), "another repository proves that it takes writes all the same");

    let world = World::start();
    world.sandbox.registry().remove_manifest(REPOSITORY, &world.image.platforms[1].manifest.digest);
    let request = world.request(&["octo/app:v1", "octo/app:absent"]);
    let failure = world.signer(RekorVersion::V1).sign(&request).await.unwrap_err();
    assert_eq!(failure.errors.len(), 2, "{:?}", failure.errors);
    assert!(!written(&world, REPOSITORY));
}

#[tokio::test]
async fn a_registry_that_lets_nobody_in_says_so_once() {
    for status in [401, 403, 503] {
        let world = World::start();
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(status)));
        let error = failure(&world, &world.signer(RekorVersion::V1)).await;
        assert!(matches!(error, SignError::Registry { action: "resolve", .. }), "{status} {error:?}");
    }
}

#[tokio::test]
async fn a_failing_token_is_reported_beside_a_failing_reference() {
    let world = World::start();
    let signer = Signer { identity: world.token("hunter2".to_owned()), ..world.signer(RekorVersion::V1) };
    let failure = signer.sign(&world.request(&["octo/app:absent"])).await.unwrap_err();
    assert!(matches!(failure.errors[..], [SignError::Registry { .. }, SignError::IdentityTokenMalformed { .. }]));
}

#[tokio::test]
async fn a_child_that_the_registry_no_longer_has_is_named_before_anything_is_spent() {
    let world = World::start();
    let child = &world.image.platforms[1].manifest.digest;
    world.sandbox.registry().remove_manifest(REPOSITORY, child);
    let error = failure(&world, &world.signer(RekorVersion::V1)).await;
    assert!(error.to_string().starts_with("child missing: "), "{error}");
    assert!(error.to_string().contains(child), "{error}");
    assert_eq!(error.code(), "child-missing");
    assert_eq!(world.count(Service::Fulcio), 0);
}

#[tokio::test]
async fn every_reference_that_fails_is_reported() {
    let world = World::start();
    let request = world.request(&["octo/app:absent", "octo/nothing:v1", "octo/app:v1"]);
    let failure = world.signer(RekorVersion::V1).sign(&request).await.unwrap_err();
    assert_eq!(failure.errors.len(), 2, "{:?}", failure.errors);
    for error in &failure.errors {
        assert_eq!(error.class(), Class::NotFound, "{error:?}");
    }
    assert_eq!(world.count(Service::Fulcio), 0);
}

#[tokio::test]
async fn a_tag_is_refused_where_digests_are_required_and_nothing_is_asked() {
    let world = World::start();
    let mut request = world.request(&["octo/app:v1"]);
    request.require_digest = true;
    let error = only(world.signer(RekorVersion::V1).sign(&request).await.unwrap_err());
    assert!(matches!(error, SignError::DigestRequired { .. }));
    let error = only(world.signer(RekorVersion::V1).sign(&SignRequest::new(Vec::new())).await.unwrap_err());
    assert!(matches!(error, SignError::NoReference));
    assert!(world.sandbox.requests().is_empty());
    let pinned = format!("octo/app@{}", world.image.digest());
    let mut request = world.request(&[&pinned]);
    request.require_digest = true;
    world.signer(RekorVersion::V1).sign(&request).await.unwrap();
}

#[tokio::test]
async fn a_trusted_root_of_another_instance_attaches_nothing() {
    for (rekor, _) in REKORS {
        let world = World::start();
        let stranger = World::start();
        let signer = Signer { verifier: Arc::new(stranger.verifier()), ..world.signer(rekor) };
        let error = failure(&world, &signer).await;
        assert!(matches!(error, SignError::SelfVerificationRejected { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Rejected);
        world.assert_nothing_attached();
    }
}

#[tokio::test]
async fn a_token_that_the_authority_would_refuse_is_named_by_claim_and_never_sent() {
    let world = World::start();
    let github = world.sandbox.github_claims(&GithubIdentity::default());
    let changed = |claim: &str, value: Value| {
        let mut claims = github.clone();
        claims[claim] = value;
        world.sandbox.sign_token(&claims)
    };
    let past = now().as_second() - 10;
    let table = [
        (changed("aud", json!("https://github.com/octo")), "aud"),
        (changed("exp", json!(past)), "exp"),
        (changed("nbf", json!(now().as_second() + 3_600)), "nbf"),
        (changed("sub", json!("")), "sub"),
    ];
    for (token, expected) in table {
        let signer = Signer { identity: world.token(token), ..world.signer(RekorVersion::V1) };
        match failure(&world, &signer).await {
            error @ SignError::IdentityTokenClaim { claim, .. } => {
                assert_eq!(claim, expected);
                assert_eq!(error.class(), Class::Usage);
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    for token in ["hunter2", "a.b.c", "eyJ.eyJ.eyJ"] {
        let signer = Signer { identity: world.token(token.to_owned()), ..world.signer(RekorVersion::V1) };
        let error = failure(&world, &signer).await;
        assert!(matches!(error, SignError::IdentityTokenMalformed { .. }), "{error:?}");
    }
    assert_eq!(world.count(Service::Fulcio), 0);
    world.assert_nothing_attached();
}

#[tokio::test]
async fn what_the_authority_refuses_is_said_once_and_not_repeated() {
    let world = World::start();
    // An address that the issuer does not vouch for: the authority says so.
    let mut claims = world.sandbox.email_claims("mona@example.com");
    claims["email_verified"] = json!(false);
    let token = world.sandbox.sign_token(&claims);
    let signer = Signer { identity: world.token(token.clone()), ..world.signer(RekorVersion::V1) };
    match failure(&world, &signer).await {
        error @ SignError::ServiceRefused { service: Named::Fulcio, .. } => {
            assert_eq!(error.class(), Class::Denied);
            assert!(!error.to_string().contains(&token));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.count(Service::Fulcio), 1);
    world.assert_nothing_attached();
}

#[tokio::test]
async fn an_outage_of_a_service_is_met_by_asking_again() {
    for (rekor, log) in REKORS {
        for service in [Service::Fulcio, log, Service::Tsa, Service::Oidc] {
            for status in [429, 500, 503] {
                let world = World::start();
                let headers = vec![("Retry-After".to_owned(), "0".to_owned())];
                let action = Action::Status { status, body: String::new(), headers };
                let fault = world.sandbox.fault(Fault::new(service, action).times(1));
                world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
                assert_eq!(fault.hits(), 1);
                assert_eq!(world.count(service), 2, "{service:?} {status}");
            }
        }
    }
}

#[tokio::test]
async fn an_outage_that_lasts_ends_within_the_budget_and_attaches_nothing() {
    for (service, named) in [
        (Service::Oidc, Named::IdentityProvider),
        (Service::Fulcio, Named::Fulcio),
        (Service::RekorV2, Named::Rekor),
        (Service::Tsa, Named::TimestampAuthority),
    ] {
        for (action, class) in [
            (Action::status(503), Class::Unreachable),
            (Action::status(429), Class::Throttled),
            (Action::Close, Class::Unreachable),
            (Action::Stall, Class::Unreachable),
            (Action::StallAfter(10), Class::Unreachable),
        ] {
            let world = World::start();
            let _fault = world.sandbox.fault(Fault::new(service, action.clone()));
            let started = std::time::Instant::now();
            let error = failure(&world, &world.impatient_signer(RekorVersion::V2)).await;
            assert!(started.elapsed().as_secs() < 10, "{service:?} {action:?}");
            assert_eq!(error.class(), class, "{service:?} {action:?}: {error:?}");
            assert!(error.retryable(), "{error:?}");
            assert!(error.to_string().contains(named.name()), "{error}");
            world.assert_nothing_attached();
        }
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed_with_a_token_or_without() {
    for service in [Service::Fulcio, Service::Oidc, Service::RekorV1, Service::Tsa] {
        let world = World::start();
        let thief = World::start();
        let target = format!("{}/api/v2/signingCert", thief.sandbox.fulcio_url());
        let _fault = world.sandbox.fault(Fault::new(service, Action::Redirect(target)));
        let error = failure(&world, &world.signer(RekorVersion::V1)).await;
        assert!(matches!(error, SignError::ServiceRedirected { .. }), "{error:?}");
        assert!(!error.retryable());
        assert!(thief.sandbox.requests().is_empty(), "{service:?}");
        world.assert_nothing_attached();
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    for service in [Service::Fulcio, Service::Oidc, Service::RekorV2, Service::Tsa] {
        let world = World::start();
        let _fault = world.sandbox.fault(Fault::new(service, Action::Endless));
        let error = failure(&world, &world.signer(RekorVersion::V2)).await;
        assert!(matches!(error, SignError::ServiceAnswerTooLarge { .. }), "{service:?} {error:?}");
        world.assert_nothing_attached();
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_malformed() {
    for service in [Service::Fulcio, Service::Oidc, Service::RekorV1, Service::RekorV2, Service::Tsa] {
        let rekor = if service == Service::RekorV1 { RekorVersion::V1 } else { RekorVersion::V2 };
        for body in
            ["", "{}", "[]", "null", "<html>", "{\"signedCertificateEmbeddedSct\":{\"chain\":{\"certificates\":[]}}}"]
        {
            let world = World::start();
            let _fault = world.sandbox.fault(Fault::new(service, Action::Body(body.into())));
            let error = failure(&world, &world.signer(rekor)).await;
            assert!(matches!(error, SignError::ServiceMalformed { .. }), "{service:?} {body} {error:?}");
            world.assert_nothing_attached();
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_is_not_used() {
    let world = World::start();
    let root: Value = serde_json::from_str(world.sandbox.trusted_root()).unwrap();
    let foreign = root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"].as_str().unwrap();
    let der = STANDARD.decode(foreign).unwrap();
    let pem = sigstore_types::DerCertificate::new(der).to_pem();
    let body = json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": [pem]}}});
    let _fault = world.sandbox.fault(Fault::new(Service::Fulcio, Action::Body(body.to_string().into())));
    let error = failure(&world, &world.signer(RekorVersion::V1)).await;
    assert!(matches!(error, SignError::CertificateForAnotherKey { .. }), "{error:?}");
    assert_eq!(world.count(Service::RekorV1), 0);
}

#[tokio::test]
async fn a_certificate_that_is_about_to_expire_is_not_used() {
    let world = World::start();
    let late = || now() + jiff::SignedDuration::from_secs(10 * 60 - 30);
    // The token has to outlive the clock that is ahead.
    let mut claims = world.sandbox.github_claims(&GithubIdentity::default());
    claims["exp"] = json!(now().as_second() + 3_600);
    let identity = world.token(world.sandbox.sign_token(&claims));
    let signer = Signer { identity, ..world.signer_at(RekorVersion::V1, late) };
    let error = failure(&world, &signer).await;
    assert!(matches!(error, SignError::CertificateNotUsable { .. }), "{error:?}");
    assert_eq!(world.count(Service::RekorV1), 0);
}

#[tokio::test]
async fn an_ambient_provider_that_refuses_is_a_permission_that_is_missing() {
    for status in [401, 403] {
        let world = World::start();
        let _fault = world.sandbox.fault(Fault::new(Service::Oidc, Action::status(status)));
        let error = failure(&world, &world.signer(RekorVersion::V1)).await;
        assert!(matches!(error, SignError::ServiceRefused { service: Named::IdentityProvider, .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("id-token: write"));
    }
    let world = World::start();
    let _fault = world.sandbox.fault(Fault::new(Service::Fulcio, Action::status(403)));
    assert_eq!(failure(&world, &world.signer(RekorVersion::V1)).await.hint(), None);
}

#[tokio::test]
async fn an_entry_for_another_statement_is_not_taken() {
    for (rekor, log) in REKORS {
        let world = World::start();
        world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
        let first = logged_answer(&world, log).await;
        let _fault = world.sandbox.fault(Fault::new(log, Action::Body(first)));
        let mut request = world.request(&["octo/app:v1"]);
        request.force = true;
        let error = only(world.signer(rekor).sign(&request).await.unwrap_err());
        assert!(matches!(error, SignError::ServiceMalformed { service: Named::Rekor, .. }), "{rekor:?} {error:?}");
    }
}

/// What the log answered for the entry of the first signature.
async fn logged_answer(world: &World, log: Service) -> Vec<u8> {
    if log == Service::RekorV2 {
        let bundle = world.bundle(&world.referrers(REPOSITORY, world.image.digest()).await[0]);
        return bundle["verificationMaterial"]["tlogEntries"][0].to_string().into_bytes();
    }
    let posted = world.sandbox.requests_of(log).remove(0);
    let base = world.sandbox.rekor_v1_url();
    let client = countersign_oci::http::client(&HttpOptions::default()).unwrap();
    let again = client.post(format!("{base}{}", posted.path)).header("content-type", "application/json");
    let conflict = again.body(posted.body.clone()).send().await.unwrap();
    assert_eq!(conflict.status(), 409);
    let location = conflict.headers()["location"].to_str().unwrap();
    let path = location.strip_prefix(base.as_str()).unwrap_or(location);
    client.get(format!("{base}{path}")).send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn an_entry_whose_answer_was_lost_is_found_again() {
    for (rekor, log) in REKORS {
        let world = World::start();
        let fault = world.sandbox.fault(Fault::new(log, Action::LoseAnswer).method("POST").times(1));
        let report = world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
        assert_eq!(fault.hits(), 1);
        assert_eq!(report.statements.len(), 1);
        assert_eq!(world.referrers(REPOSITORY, world.image.digest()).await.len(), 1, "{rekor:?}");
    }
}

#[tokio::test]
async fn a_conflict_that_shows_no_entry_is_met_with_a_new_signature() {
    for (rekor, log) in REKORS {
        let world = World::start();
        let _fault = world.sandbox.fault(Fault::new(log, Action::status(409)).method("POST").times(1));
        world.signer(rekor).sign(&world.request(&["octo/app:v1"])).await.unwrap();
        let posted: Vec<_> = world.sandbox.requests_of(log).into_iter().map(|request| request.body).collect();
        assert_eq!(posted.len(), 2);
        assert_ne!(posted[0], posted[1]);
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_pushed_is_reported_and_the_others_are_attached() {
    let world = World::start();
    let refused = Fault::new(Service::Registry, Action::status(403)).method("PUT").path("/manifests/").times(1);
    let _fault = world.sandbox.fault(refused);
    let failure = world.signer(RekorVersion::V1).sign(&world.request(&["octo/app:v1"])).await.unwrap_err();
    assert_eq!(failure.errors.len(), 1);
    assert!(matches!(&failure.errors[0], SignError::Registry { action: "push the signature of", .. }));
    let subjects = &failure.report.statements[0].subjects;
    assert_eq!(subjects.iter().filter(|subject| subject.referrer.is_some()).count(), 4);
    assert!(failure.report.statements[0].bundle.is_some());
}

#[tokio::test]
async fn a_manifest_that_was_tampered_with_is_not_signed() {
    let world = World::start();
    let digest = world.image.digest().to_owned();
    let mut bytes = world.image.index.bytes.to_vec();
    bytes.push(b' ');
    world.sandbox.registry().overwrite_manifest(REPOSITORY, &digest, bytes);
    let request = world.request(&[&format!("octo/app@{digest}")]);
    let error = only(world.signer(RekorVersion::V1).sign(&request).await.unwrap_err());
    assert_eq!(error.code(), "digest-mismatch");
    assert_eq!(world.count(Service::Fulcio), 0);
}

#[tokio::test]
async fn an_identity_provider_that_is_not_local_is_never_asked_in_plain_http() {
    let world = World::start();
    let identity = IdentitySource::GitHubActions {
        url: "http://token.example/x?y=z".to_owned(),
        token: countersign_oci::Secret::new("secret".to_owned()),
    };
    let signer = Signer { identity, ..world.signer(RekorVersion::V1) };
    let error = failure(&world, &signer).await;
    assert!(matches!(error, SignError::ServiceMalformed { service: Named::IdentityProvider, .. }), "{error:?}");
}

#[tokio::test]
async fn a_statement_too_large_for_a_bundle_costs_no_certificate() {
    let world = World::start();
    let mut request = world.request(&["octo/app:v1"]);
    request.annotations = Annotations::parse(&[format!("note={}", "x".repeat(200_000))]).unwrap();
    let error = only(world.signer(RekorVersion::V1).sign(&request).await.unwrap_err());
    assert!(matches!(error, SignError::StatementTooLarge { .. }), "{error:?}");
    assert_eq!(world.count(Service::Fulcio), 0);
}

#[tokio::test]
async fn a_log_that_takes_every_entry_for_a_known_one_is_given_up() {
    for (rekor, log) in REKORS {
        let world = World::start();
        let _fault = world.sandbox.fault(Fault::new(log, Action::status(409)).method("POST"));
        let error = failure(&world, &world.signer(rekor)).await;
        assert!(matches!(error, SignError::LogConflict { .. }), "{error:?}");
        assert_eq!(world.count(log), 3);
        world.assert_nothing_attached();
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_behind_is_waited_for_and_one_that_is_far_behind_is_said() {
    let world = World::start();
    let behind = |seconds| move || now() - jiff::SignedDuration::from_secs(seconds);
    let signer = world.signer_at(RekorVersion::V1, behind(2));
    signer.sign(&world.request(&["octo/app:v1"])).await.unwrap();
    let world = World::start();
    let signer = world.signer_at(RekorVersion::V1, behind(120));
    let error = failure(&world, &signer).await;
    assert!(matches!(error, SignError::SelfVerificationUndecided { .. }), "{error:?}");
    assert!(error.retryable());
    world.assert_nothing_attached();
}
