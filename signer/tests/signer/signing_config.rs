//! Which services a signing config leads to.

use countersign_signer::error::SignError;
use countersign_signer::services::{ConfigProblem, RekorVersion, Selection, Service, SigningConfig};
use url::Url;

const NOW: &str = "2026-06-01T00:00:00Z";

fn config(body: &str) -> SigningConfig {
    let text = format!(r#"{{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json",{body}}}"#);
    SigningConfig::from_json(&text, "test").unwrap()
}

fn endpoint(url: &str, version: u32, valid_for: &str, operator: &str) -> String {
    format!(r#"{{"url":"{url}","majorApiVersion":{version},"validFor":{valid_for},"operator":"{operator}"}}"#)
}

const OPEN: &str = r#"{"start":"2025-01-01T00:00:00Z"}"#;
const NEWER: &str = r#"{"start":"2026-01-01T00:00:00Z"}"#;
const FUTURE: &str = r#"{"start":"2026-06-01T00:00:01Z"}"#;
const PAST: &str = r#"{"start":"2025-01-01T00:00:00Z","end":"2026-05-31T23:59:59Z"}"#;
const LAST_SECOND: &str = r#"{"start":"2025-01-01T00:00:00Z","end":"2026-06-01T00:00:00Z"}"#;

fn select(
    logs: &[String],
    log_config: &str,
    authorities: &[String],
    authority_config: &str,
) -> Result<Selection, SignError> {
    let fulcio = endpoint("https://fulcio.example", 1, OPEN, "a");
    config(&format!(
        r#""caUrls":[{fulcio}],"rekorTlogUrls":[{}],"rekorTlogConfig":{log_config},"tsaUrls":[{}],"tsaConfig":{authority_config}"#,
        logs.join(","),
        authorities.join(","),
    ))
    .select(NOW.parse().unwrap())
}

fn problem(result: Result<Selection, SignError>) -> (Service, ConfigProblem) {
    match result.unwrap_err() {
        SignError::SigningConfigUnusable { service, problem, .. } => (service, problem),
        other => panic!("unexpected {other:?}"),
    }
}

const ANY: &str = r#"{"selector":"ANY"}"#;

#[test]
fn the_highest_version_with_a_valid_service_is_chosen_and_the_newest_of_it() {
    let tsa = [endpoint("https://tsa.example", 1, OPEN, "a")];
    let v1 = endpoint("https://one.example", 1, NEWER, "a");
    let table = [
        (vec![v1.clone()], "https://one.example/"),
        (vec![v1.clone(), endpoint("https://two.example", 2, OPEN, "a")], "https://two.example/"),
        (vec![v1.clone(), endpoint("https://two.example", 2, PAST, "a")], "https://one.example/"),
        (vec![v1.clone(), endpoint("https://two.example", 2, FUTURE, "a")], "https://one.example/"),
        (vec![v1.clone(), endpoint("https://two.example", 2, LAST_SECOND, "a")], "https://two.example/"),
        (vec![v1.clone(), endpoint("https://three.example", 3, OPEN, "a")], "https://one.example/"),
        (
            vec![endpoint("https://old.example", 2, OPEN, "a"), endpoint("https://new.example", 2, NEWER, "b")],
            "https://new.example/",
        ),
    ];
    for (logs, expected) in table {
        let selection = select(&logs, ANY, &tsa, ANY).unwrap();
        assert_eq!(selection.log.url.as_str(), expected, "{logs:?}");
    }
}

#[test]
fn selectors_choose_as_many_services_as_they_say_and_one_for_each_operator() {
    let log = [endpoint("https://log.example", 1, OPEN, "a")];
    let authorities = [
        endpoint("https://a1.example", 1, OPEN, "a"),
        endpoint("https://a2.example", 1, NEWER, "a"),
        endpoint("https://b.example", 1, OPEN, "b"),
    ];
    let table = [
        (ANY, vec!["https://a2.example/"]),
        ("{}", vec!["https://a2.example/"]),
        (r#"{"selector":"ALL"}"#, vec!["https://a2.example/", "https://b.example/"]),
        (r#"{"selector":"EXACT","count":2}"#, vec!["https://a2.example/", "https://b.example/"]),
        (r#"{"selector":"EXACT","count":1}"#, vec!["https://a2.example/"]),
    ];
    for (selector, expected) in table {
        let selection = select(&log, ANY, &authorities, selector).unwrap();
        let found: Vec<&str> = selection.timestamp_authorities.iter().map(Url::as_str).collect();
        assert_eq!(found, expected, "{selector}");
    }
}

/// Logs with their selector, timestamp authorities with theirs, and what is refused of which service.
type Refused<'a> = (Vec<String>, &'a str, &'a [String], &'a str, Service, ConfigProblem);

#[test]
fn a_config_that_cannot_be_followed_is_refused_and_says_why() {
    let tsa = [endpoint("https://tsa.example", 1, OPEN, "a")];
    let v1 = || endpoint("https://one.example", 1, OPEN, "a");
    let other = || endpoint("https://other.example", 1, OPEN, "b");
    let v2 = || endpoint("https://two.example", 2, OPEN, "a");
    let undefined = r#"{"selector":"SERVICE_SELECTOR_UNDEFINED"}"#;
    let log = Service::Rekor;
    let authority = Service::TimestampAuthority;
    let table: [Refused<'_>; 10] = [
        (vec![], ANY, &tsa, ANY, log, ConfigProblem::NoneUsable),
        (vec![endpoint("https://x.example", 1, PAST, "a")], ANY, &tsa, ANY, log, ConfigProblem::NoneUsable),
        (vec![v1(), other()], r#"{"selector":"ALL"}"#, &tsa, ANY, log, ConfigProblem::MoreThanOneLog(2)),
        (
            vec![v1()],
            r#"{"selector":"EXACT","count":2}"#,
            &tsa,
            ANY,
            log,
            ConfigProblem::NotEnough { wanted: 2, usable: 1 },
        ),
        (vec![v1()], r#"{"selector":"EXACT"}"#, &tsa, ANY, log, ConfigProblem::NoCount),
        (vec![v1()], undefined, &tsa, ANY, log, ConfigProblem::UndefinedSelector),
        (vec![v2()], ANY, &[], ANY, authority, ConfigProblem::TimestampRequired),
        (
            vec![endpoint("http://log.example", 1, OPEN, "a")],
            ANY,
            &tsa,
            ANY,
            log,
            ConfigProblem::UnsafeUrl("http://log.example/".to_owned()),
        ),
        (
            vec![endpoint("https://u:p@log.example", 1, OPEN, "a")],
            ANY,
            &tsa,
            ANY,
            log,
            ConfigProblem::UnsafeUrl("https://log.example/".to_owned()),
        ),
        (vec![v1()], ANY, &tsa, undefined, authority, ConfigProblem::UndefinedSelector),
    ];
    for (logs, log_config, authorities, authority_config, service, expected) in table {
        let found = problem(select(&logs, log_config, authorities, authority_config));
        assert_eq!(found, (service, expected), "{logs:?}");
    }
}

#[test]
fn a_log_of_version_1_needs_no_timestamp_authority() {
    let log = [endpoint("http://127.0.0.1:3000", 1, OPEN, "a")];
    let selection = select(&log, ANY, &[], ANY).unwrap();
    assert_eq!(selection.log.version, RekorVersion::V1);
    assert!(selection.timestamp_authorities.is_empty());
}

#[test]
fn the_embedded_config_is_usable() {
    let selection = SigningConfig::embedded_public_good().select(NOW.parse().unwrap()).unwrap();
    assert_eq!(selection.fulcio.as_str(), "https://fulcio.sigstore.dev/");
}

#[test]
fn another_media_type_is_not_a_signing_config() {
    for text in ["", "{}", r#"{"mediaType":"application/json"}"#] {
        let error = SigningConfig::from_json(text, "file").unwrap_err();
        assert!(matches!(error, SignError::SigningConfigMalformed { .. }));
    }
}
