//! Every row of the table of known failures of verifiers that is about a bundle: the attack is refused for the true reason, and what it was
//! made from is accepted in the same test.
//!
//! | what went wrong elsewhere | test |
//! |---|---|
//! | a log entry of something else: CVE-2022-36056, CVE-2026-22703 | `an_entry_of_another_artifact_key_or_signature_is_refused` |
//! | a payload that is not JSON counts as nothing wrong: CVE-2026-39395 | `a_signed_payload_that_is_not_json_is_refused` |
//! | no attestation is success: CVE-2022-35929; exit code 0: CVE-2025-25204 | `attacks_on_answers` |
//! | one log counted N times: CVE-2026-49834 | `one_log_that_is_asked_twice_is_one_log` |
//! | an expired intermediate: CVE-2026-24122 | `attacks_on_time::an_intermediate_that_expired_a_second_before_the_signature_is_refused` |
//! | a key past its end: CVE-2026-54787 | `attacks_on_time::a_log_key_that_was_retired_a_second_before_is_refused` |
//! | certificates in a timestamp's bag: CVE-2026-39984 | `attacks_on_time::a_certificate_in_the_bag_of_a_timestamp_is_not_believed` |
//! | a borrowed window: TOB-SIGSTORE-11 | `attacks_on_time::a_retired_timestamp_authority_does_not_borrow_the_window_of_another` |
//! | a time before it is authenticated: TOB-SIGSTORE-3 | `attacks_on_time::a_backdated_log_time_is_refused_or_is_no_time` |
//! | only the earliest of several times: TOB-SIGSTORE-4 | `attacks_on_time::every_timestamp_must_lie_in_the_certificates_life` |
//! | several signatures in an envelope: TOB-SIGSTORE-9 | `an_envelope_with_none_or_two_signatures_is_refused` |
//! | the issuer found by name | `two_intermediates_of_one_name_are_told_apart` |
//! | endless data: CVE-2024-45395 and others | `limits`, `junk` |
//! | verify one thing, run another: CVE-2023-33959, CVE-2022-47633 | `attacks_on_registries` |
//! | an old image replayed: CVE-2024-23332 | `attacks_on_time::last_months_image_under_its_tag_is_refused_by_age` |
//! | keys from the service that is checked: CVE-2023-47122 | `a_log_that_brings_its_own_key_is_not_known` |
//! | parsers of what servers sent: CVE-2026-23831 and others | `an_empty_envelope_or_entry_is_refused` |
//! | a signature of another artifact | `an_old_signature_of_another_image_is_refused` |
//! | no state in an interactive login | there is no interactive login |
//! | a checkpoint by any log of the root | `a_checkpoint_by_another_log_of_the_root_is_refused` |
//! | an entry of another kind than it was logged as | `an_entry_that_was_logged_as_another_kind_is_refused` |

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_oci::Digest;
use countersign_verifier::report;
use sandbox::{GithubIdentity, RekorVersion};
use serde_json::{Value, json};

use crate::blob_bundles::{changed, entry, timestamps};
use crate::forge::{
    Forge, REPOSITORY, asked, decode, image, judge, judge_asked, note, statement, subject, verifier_of,
};

/// What one version of Rekor logged, all about one image but `of_another_image`.
pub(crate) struct Logged {
    pub(crate) good: Value,
    /// The same statement with the same key once more.
    pub(crate) again: Value,
    of_another_image: Value,
    /// The same statement, the same identity, another key and certificate.
    by_another_key: Value,
    pub(crate) by_a_stranger: Value,
}

pub(crate) struct Made {
    pub(crate) forge: Forge,
    pub(crate) v1: Logged,
    pub(crate) v2: Logged,
}

pub(crate) static MADE: LazyLock<Made> = LazyLock::new(|| {
    // Its servers live in threads of their own; the runtime is for the requests.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(Made::make())).join().unwrap())
});

impl Made {
    async fn make() -> Self {
        let forge = Forge::start();
        let hand = forge.hand(&GithubIdentity::default()).await;
        let other_hand = forge.hand(&GithubIdentity::default()).await;
        let stranger = forge.hand(&GithubIdentity::of("evil/fork")).await;
        let about = |digest: Digest| statement(&[subject(REPOSITORY, digest, "v1")]);
        let logged = async |rekor: RekorVersion| Logged {
            good: forge.sign(&hand, rekor, &about(image())).await,
            again: forge.sign(&hand, rekor, &about(image())).await,
            of_another_image: forge.sign(&hand, rekor, &about(Digest::of(b"another image"))).await,
            by_another_key: forge.sign(&other_hand, rekor, &about(image())).await,
            by_a_stranger: forge.sign(&stranger, rekor, &about(image())).await,
        };
        let (v1, v2) = (logged(RekorVersion::V1).await, logged(RekorVersion::V2).await);
        Self { forge, v1, v2 }
    }

    pub(crate) fn both(&self) -> [&Logged; 2] {
        [&self.v1, &self.v2]
    }
}

/// The code with which a bundle is refused that is accepted without the change.
pub(crate) fn refusal(good: &Value, change: impl FnOnce(&mut Value)) -> String {
    MADE.forge.judge(good).unwrap();
    MADE.forge.judge(&changed(good, change)).unwrap_err()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn an_entry_of_another_artifact_key_or_signature_is_refused() {
    for logged in MADE.both() {
        for other in [&logged.of_another_image, &logged.by_another_key, &logged.again] {
            let foreign = other["verificationMaterial"]["tlogEntries"].clone();
            let code = refusal(&logged.good, |b| b["verificationMaterial"]["tlogEntries"] = foreign);
            assert_eq!(code, "log-entry-mismatch");
        }
        for good in [&logged.again, &logged.by_another_key] {
            MADE.forge.judge(good).unwrap();
        }
    }
}

#[test]
fn an_old_signature_of_another_image_is_refused() {
    for logged in MADE.both() {
        MADE.forge.judge(&logged.good).unwrap();
        assert_eq!(MADE.forge.judge(&logged.of_another_image).unwrap_err(), "subject-mismatch");
        let other_payload = logged.of_another_image["dsseEnvelope"]["payload"].clone();
        assert_eq!(refusal(&logged.good, |b| b["dsseEnvelope"]["payload"] = other_payload), "signature-invalid");
    }
}

#[test]
fn a_signed_payload_that_is_not_json_is_refused() {
    let forge = Forge::start();
    block_on(async {
        let hand = forge.hand(&GithubIdentity::default()).await;
        for rekor in [RekorVersion::V1, RekorVersion::V2] {
            let good = forge.sign(&hand, rekor, &statement(&[subject(REPOSITORY, image(), "v1")])).await;
            forge.judge(&good).unwrap();
            for payload in [&b"not json"[..], b"", b"null", b"{}", b"[]", b"\xff"] {
                let bad = forge.sign(&hand, rekor, payload).await;
                let text = String::from_utf8_lossy(payload).into_owned();
                assert_eq!(forge.judge(&bad).unwrap_err(), "malformed-statement", "{text:?}");
            }
        }
    });
}

#[test]
fn one_log_that_is_asked_twice_is_one_log() {
    let (forge, v1, v2) = (&MADE.forge, &MADE.v1, &MADE.v2);
    let two_logs = forge.policy("distinct_logs: 2\n");
    let judge = |bundles: &[&Value]| judge(&forge.verifier, &two_logs, bundles);
    for logged in [v1, v2] {
        assert_eq!(judge(&[&logged.good]).unwrap_err(), "too-few-logs");
        assert_eq!(judge(&[&logged.good, &logged.good]).unwrap_err(), "too-few-logs", "the same entry");
        assert_eq!(judge(&[&logged.good, &logged.again]).unwrap_err(), "too-few-logs", "two entries");
        assert_eq!(judge(&[&logged.good, &logged.by_another_key]).unwrap_err(), "too-few-logs");
    }
    assert_eq!(judge(&[&v1.good, &v2.by_a_stranger]).unwrap_err(), "too-few-logs", "nor does a stranger's count");
    let image = judge(&[&v1.good, &v1.again, &v2.good]).unwrap();
    let logs: Vec<&str> = image.signatures().iter().map(|signature| signature.log()).collect();
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);

    // Two log ids that one key, or one address, stands behind are one log.
    let mut root = forge.root();
    let address = root["tlogs"][0]["baseUrl"].as_str().unwrap().replace("127.0.0.1", "localhost");
    root["tlogs"][0]["baseUrl"] = json!(address);
    root["tlogs"][1]["baseUrl"] = json!(address);
    let verifier = verifier_of(&root);
    let one_address = crate::forge::judge(&verifier, &two_logs, &[&v1.good, &v2.good]);
    assert_eq!(one_address.unwrap_err(), "too-few-logs");
    assert!(crate::forge::judge(&verifier, &forge.policy(""), &[&v1.good, &v2.good]).is_ok());
}

/// The note of another log over the very tree: only whose key it is tells the two apart.
#[test]
fn a_checkpoint_by_another_log_of_the_root_is_refused() {
    let forge = &MADE.forge;
    let root = forge.root();
    let hint = |log: usize| decode(&root["tlogs"][log]["logId"]["keyId"])[..4].to_vec();
    let text = |b: &mut Value| {
        let note = entry(b)["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap().to_owned();
        note.split_once("\n\n").unwrap().0.to_owned() + "\n"
    };
    for name in ["localhost", "127.0.0.1"] {
        let by_v1 = |b: &mut Value| {
            let forged = note(&text(b), name, &hint(0), |text| forge.keys.rekor_v1.sign(text));
            entry(b)["inclusionProof"]["checkpoint"]["envelope"] = json!(forged);
        };
        assert_eq!(refusal(&MADE.v2.good, by_v1), "checkpoint-invalid");
        let by_v2 = |b: &mut Value| {
            let forged = note(&text(b), name, &hint(1), |text| forge.keys.rekor_v2.sign(text));
            entry(b)["inclusionProof"]["checkpoint"]["envelope"] = json!(forged);
        };
        assert_eq!(refusal(&MADE.v1.good, by_v2), "checkpoint-invalid");
    }
    // The right key, under another origin or another name.
    let body = |b: &mut Value| text(b).split_once('\n').unwrap().1.to_owned();
    let sign = |text: &[u8]| forge.keys.rekor_v2.sign(text);
    let other_origin = |b: &mut Value| {
        let forged = note(&format!("rekor.example\n{}", body(b)), "localhost", &hint(1), sign);
        entry(b)["inclusionProof"]["checkpoint"]["envelope"] = json!(forged);
    };
    assert_eq!(refusal(&MADE.v2.good, other_origin), "checkpoint-invalid");
    let other_name = |b: &mut Value| {
        let forged = note(&text(b), "rekor.example", &hint(1), sign);
        entry(b)["inclusionProof"]["checkpoint"]["envelope"] = json!(forged);
    };
    assert_eq!(refusal(&MADE.v2.good, other_name), "checkpoint-invalid");
    let again = |b: &mut Value| {
        let witnessed = note(&text(b), "localhost", &hint(1), sign) + "\u{2014} witness.example AAAAAAAA\n";
        entry(b)["inclusionProof"]["checkpoint"]["envelope"] = json!(witnessed);
    };
    MADE.forge.judge(&changed(&MADE.v2.good, again)).unwrap();
}

#[test]
fn an_entry_that_names_another_log_of_the_root_is_refused() {
    let root = MADE.forge.root();
    let id = |log: usize| root["tlogs"][log]["logId"]["keyId"].clone();
    assert_eq!(refusal(&MADE.v2.good, |b| entry(b)["logId"]["keyId"] = id(0)), "checkpoint-invalid");
    assert_eq!(refusal(&MADE.v1.good, |b| entry(b)["logId"]["keyId"] = id(1)), "inclusion-promise-invalid");
}

#[test]
fn a_log_that_brings_its_own_key_is_not_known() {
    let other = Forge::start();
    let foreign = block_on(async {
        let hand = other.hand(&GithubIdentity::default()).await;
        other.sign(&hand, RekorVersion::V1, &statement(&[subject(REPOSITORY, image(), "v1")])).await
    });
    other.judge(&foreign).unwrap();
    other.sandbox.clear_requests();
    let foreign_log = foreign["verificationMaterial"]["tlogEntries"].clone();
    let code = refusal(&MADE.v1.good, |b| b["verificationMaterial"]["tlogEntries"] = foreign_log);
    assert_eq!(code, "log-unknown");
    assert_eq!(MADE.forge.judge(&foreign).unwrap_err(), "log-unknown");
    assert!(other.sandbox.requests().is_empty(), "nobody asks a log for its key");
}

#[test]
fn an_entry_that_was_logged_as_another_kind_is_refused() {
    let forge = &MADE.forge;
    let mut good = MADE.v1.good.clone();
    let body = String::from_utf8(decode(&entry(&mut good)["canonicalizedBody"])).unwrap();
    let logged = |body: &str| changed(&MADE.v1.good, |b| *entry(b) = forge.log_v1(body, forge.start));
    forge.judge(&logged(&body)).unwrap();
    let (kind, version) = (r#""kind":"dsse""#, r#""apiVersion":"0.0.1""#);
    assert!(body.contains(kind) && body.contains(version));
    for other in [
        body.replace(kind, r#""kind":"intoto""#),
        body.replace(version, r#""apiVersion":"0.0.2""#),
        body.replace(kind, r#""kind":"hashedrekord""#),
        body.replace(&format!(",{kind}"), ""),
    ] {
        assert_eq!(forge.judge(&logged(&other)).unwrap_err(), "log-entry-mismatch", "{other}");
    }
}

#[test]
fn an_envelope_with_none_or_two_signatures_is_refused() {
    for logged in MADE.both() {
        let signature = logged.good["dsseEnvelope"]["signatures"][0].clone();
        let other = logged.by_a_stranger["dsseEnvelope"]["signatures"][0].clone();
        for signatures in [json!([]), json!([signature, other]), json!([other, signature]), Value::Null] {
            let code = refusal(&logged.good, |b| b["dsseEnvelope"]["signatures"] = signatures);
            assert_eq!(code, "signature-count");
        }
    }
}

#[test]
fn an_empty_envelope_or_entry_is_refused() {
    for logged in MADE.both() {
        let is_refused = |change: &dyn Fn(&mut Value)| {
            let code = refusal(&logged.good, change);
            assert!(!["", "unsigned", "undecided"].contains(&code.as_str()), "{code}");
        };
        is_refused(&|b| b["dsseEnvelope"] = json!({}));
        is_refused(&|b| b["dsseEnvelope"]["payload"] = json!(""));
        is_refused(&|b| b["dsseEnvelope"]["signatures"][0]["sig"] = json!(""));
        is_refused(&|b| entry(b)["canonicalizedBody"] = json!(""));
        is_refused(&|b| entry(b)["canonicalizedBody"] = json!(STANDARD.encode("{}")));
        is_refused(&|b| *entry(b) = json!({}));
        is_refused(&|b| timestamps(b)[0] = json!({}));
        is_refused(&|b| timestamps(b)[0]["signedTimestamp"] = json!(""));
        is_refused(&|b| b["verificationMaterial"]["certificate"]["rawBytes"] = json!(""));
        // What gzip makes of it: nothing here unpacks a bundle.
        let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        is_refused(&|b| entry(b)["canonicalizedBody"] = json!(STANDARD.encode(packed)));
    }
}

/// Two Fulcios whose intermediates have one name, as in a deployment of several regions.
#[test]
fn two_intermediates_of_one_name_are_told_apart() {
    let other = Forge::start();
    let payload = statement(&[subject(REPOSITORY, image(), "v1")]);
    let theirs = block_on(async {
        let hand = other.hand(&GithubIdentity::default()).await;
        other.sign(&hand, RekorVersion::V2, &payload).await
    });
    let (own_root, other_root) = (MADE.forge.root(), other.root());
    let merged = |order: [&Value; 2], authorities: &[&Value]| {
        let mut root = own_root.clone();
        for part in ["tlogs", "ctlogs", "timestampAuthorities"] {
            let all = order.iter().flat_map(|root| root[part].as_array().unwrap().clone());
            root[part] = all.collect();
        }
        root["certificateAuthorities"] =
            authorities.iter().flat_map(|root| root["certificateAuthorities"].as_array().unwrap().clone()).collect();
        verifier_of(&root)
    };
    for order in [[&own_root, &other_root], [&other_root, &own_root]] {
        let verifier = merged(order, &order);
        judge(&verifier, &MADE.forge.policy(""), &[&MADE.v2.good]).unwrap();
        judge(&verifier, &other.policy(""), &[&theirs]).unwrap();
        let only_other = merged(order, &[&other_root]);
        let code = judge(&only_other, &MADE.forge.policy(""), &[&MADE.v2.good]).unwrap_err();
        assert_eq!(code, "certificate-untrusted", "the name is right and the key is not");
        judge(&only_other, &other.policy(""), &[&theirs]).unwrap();
    }
}

/// Half a binding in each of two places is none.
#[test]
fn tag_repository_and_annotations_are_bound_in_one_subject_of_one_bundle() {
    let forge = Forge::start();
    let policy = forge.policy("require:\n  repository: true\n  tag: true\n  annotations: {channel: stable}\n");
    let with = |repository: &str, tags: &str, channel: &str| {
        let mut subject = subject(repository, image(), tags);
        subject["annotations"]["channel"] = json!(channel);
        subject
    };
    let other = "registry.example/octo/other";
    block_on(async {
        let hand = forge.hand(&GithubIdentity::default()).await;
        let sign = async |subjects: &[Value]| forge.sign(&hand, RekorVersion::V1, &statement(subjects)).await;
        let ask = |bundles: &[&Value]| judge_asked(&forge.verifier, &policy, &asked(Some("v1")), bundles).map(drop);
        let refused = Err("policy-denied".to_owned());
        let good = with(REPOSITORY, "v1", "stable");
        let halves = [with(REPOSITORY, "v2", "stable"), with(other, "v1", "stable")];
        let third = with(REPOSITORY, "v1", "nightly");
        assert_eq!(ask(&[&sign(std::slice::from_ref(&good)).await]), Ok(()));
        assert_eq!(ask(&[&sign(&halves).await]), refused, "two subjects with half of it each");
        let (one, two) = (sign(&halves[..1]).await, sign(&halves[1..]).await);
        let three = sign(std::slice::from_ref(&third)).await;
        assert_eq!(ask(&[&one, &two, &three]), refused, "three bundles with a part of it each");
        let [half, another] = halves;
        assert_eq!(ask(&[&sign(&[half, another, good]).await]), Ok(()), "one of three subjects says all of it");
        let mut of_another_digest = with(REPOSITORY, "v1", "stable");
        of_another_digest["digest"]["sha256"] = json!(Digest::of(b"another").hex());
        assert_eq!(ask(&[&sign(&[of_another_digest, third]).await]), refused, "said of another digest");
    });
}

#[test]
fn escape_codes_in_what_was_signed_never_reach_a_terminal() {
    let forge = Forge::start();
    let tags = "v1,\u{1b}[2J\u{7}$(touch /tmp/x)\r\n::error::";
    let bundle = block_on(async {
        let hand = forge.hand(&GithubIdentity::default()).await;
        let subject = subject("registry.example/\u{1b}[31mred", image(), tags);
        forge.sign(&hand, RekorVersion::V1, &statement(&[subject])).await
    });
    for further in ["", "require: {tag: true, repository: true}\n"] {
        let evidence = countersign_verifier::Evidence::from_bundles([bundle.to_string().into()]);
        let now = crate::world::now();
        let verdict = forge.verifier.verify(&asked(Some("v9")), &evidence, &forge.policy(further), now).unwrap();
        let text = report::text(&verdict);
        let control = |character: char| character.is_control() && character != '\n';
        assert!(!text.contains(control), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("::")), "{text:?}");
    }
}
