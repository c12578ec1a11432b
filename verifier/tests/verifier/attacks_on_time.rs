//! Signatures, stamps and entries at a time at which somebody in the chain was no longer, or not yet, to be believed. The table of all attacks
//! on bundles is that of `attacks_on_bundles`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use sandbox::{GithubIdentity, RekorVersion};
use serde_json::{Value, json};

use crate::attacks_on_bundles::{MADE, block_on, refusal};
use crate::blob_bundles::{changed, entry, timestamps};
use crate::forge::{Forge, REPOSITORY, asked, decode, image, judge, judge_asked, statement, subject, verifier_of};

/// The authorities' certificates end while the signer's is still valid.
#[test]
fn an_intermediate_that_expired_a_second_before_the_signature_is_refused() {
    // Ten years, as the sandbox's authorities have, but for five minutes.
    let forge = Forge::start_with(SignedDuration::from_hours(24 * 3652) - SignedDuration::from_secs(300));
    let sign = |seconds: i64| {
        block_on(async {
            forge.turn(0);
            let hand = forge.hand(&GithubIdentity::default()).await;
            forge.turn(seconds);
            let payload = statement(&[subject(REPOSITORY, image(), "v1")]);
            let mut bundle = forge.sign(&hand, RekorVersion::V1, &payload).await;
            // The timestamp authority has ended too, and would be to blame.
            bundle["verificationMaterial"].as_object_mut().unwrap().remove("timestampVerificationData");
            bundle
        })
    };
    forge.judge(&sign(300)).unwrap();
    assert_eq!(forge.judge(&sign(301)).unwrap_err(), "certificate-untrusted");
}

#[test]
fn a_log_key_that_was_retired_a_second_before_is_refused() {
    let forge = &MADE.forge;
    let judge_with = |log: usize, end: i64, bundle: &Value| {
        let mut root = forge.root();
        let end = forge.start + SignedDuration::from_secs(end);
        root["tlogs"][log]["publicKey"]["validFor"]["end"] = json!(end.to_string());
        judge(&verifier_of(&root), &forge.policy(""), &[bundle]).map(drop)
    };
    for (log, logged) in [(0, &MADE.v1), (1, &MADE.v2)] {
        assert_eq!(judge_with(log, 0, &logged.good), Ok(()), "the last moment is in the window");
        assert_eq!(judge_with(log, -1, &logged.good), Err("log-key-not-valid".to_owned()), "log {log}");
        assert_eq!(judge_with(1 - log, -1, &logged.good), Ok(()), "the other log is retired");
    }
    let mut root = forge.root();
    let begins = forge.start + SignedDuration::from_secs(1);
    root["tlogs"][1]["publicKey"]["validFor"]["start"] = json!(begins.to_string());
    let early = judge(&verifier_of(&root), &forge.policy(""), &[&MADE.v2.good]);
    assert_eq!(early.unwrap_err(), "log-key-not-valid", "the log had not begun");
}

#[test]
fn a_certificate_in_the_bag_of_a_timestamp_is_not_believed() {
    let other = Forge::start();
    let certificate = |root: &Value| {
        let chain = &root["timestampAuthorities"][0]["certChain"]["certificates"];
        decode(&chain[0]["rawBytes"])
    };
    let (own, foreign) = (certificate(&MADE.forge.root()), certificate(&other.root()));
    for logged in MADE.both() {
        let mut good = logged.good.clone();
        let stamp = decode(&timestamps(&mut good)[0]["signedTimestamp"]);
        let with = |stamp: Vec<u8>| {
            changed(&logged.good, |b| timestamps(b)[0]["signedTimestamp"] = json!(STANDARD.encode(stamp)))
        };
        // Both orders: the bag is a set, and the shorter one comes first in it.
        MADE.forge.judge(&with(rebagged(&stamp, &[&foreign]))).unwrap();
        MADE.forge.judge(&with(rebagged(&stamp, &[&foreign, &own]))).unwrap();
        let signature = decode(&logged.good["dsseEnvelope"]["signatures"][0]["sig"]);
        let forged = block_on(other.stamp(&signature));
        for bag in [&[&own[..]][..], &[&own, &foreign], &[&foreign], &[]] {
            let code = MADE.forge.judge(&with(rebagged(&forged, bag))).unwrap_err();
            assert_eq!(code, "timestamp-invalid");
        }
    }
}

/// The timestamp with other certificates beside its signature, which does not cover them.
fn rebagged(reply: &[u8], certificates: &[&[u8]]) -> Vec<u8> {
    use cms::cert::CertificateChoices;
    use cms::content_info::ContentInfo;
    use cms::signed_data::{CertificateSet, SignedData};
    use x509_cert::Certificate;
    use x509_cert::der::asn1::{Any, SetOfVec};
    use x509_cert::der::{Decode as _, Encode as _};

    // TimeStampResp: a sequence of PKIStatusInfo, five bytes for "granted", and the token.
    let head = reply.len() - length_of(reply);
    let (status, token) = reply[head..].split_at(5);
    let mut content = ContentInfo::from_der(token).unwrap();
    let mut signed: SignedData = content.content.decode_as().unwrap();
    let bag = certificates.iter().map(|der| CertificateChoices::Certificate(Certificate::from_der(der).unwrap()));
    signed.certificates = Some(CertificateSet(SetOfVec::try_from(bag.collect::<Vec<_>>()).unwrap()));
    content.content = Any::encode_from(&signed).unwrap();
    let body = [status, &content.to_der().unwrap()].concat();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82], &length[..], &body].concat()
}

/// How long a sequence says that it is, with a length of one to three bytes.
fn length_of(der: &[u8]) -> usize {
    match der[1] {
        0x81 => usize::from(der[2]),
        0x82 => usize::from(der[2]) << 8 | usize::from(der[3]),
        short => usize::from(short),
    }
}

#[test]
fn a_retired_timestamp_authority_does_not_borrow_the_window_of_another() {
    let other = Forge::start();
    let forge = &MADE.forge;
    let judge_with = |own_end: i64| {
        let mut root = forge.root();
        let end = forge.start + SignedDuration::from_secs(own_end);
        root["timestampAuthorities"][0]["validFor"]["end"] = json!(end.to_string());
        let second = other.root()["timestampAuthorities"][0].clone();
        root["timestampAuthorities"].as_array_mut().unwrap().push(second);
        judge(&verifier_of(&root), &forge.policy(""), &[&MADE.v2.good]).map(drop)
    };
    assert_eq!(judge_with(0), Ok(()));
    assert_eq!(judge_with(-1), Err("timestamp-authority-invalid".to_owned()));
}

#[test]
fn a_backdated_log_time_is_refused_or_is_no_time() {
    let earlier = (MADE.forge.start.as_second() - 3600).to_string();
    let backdate = |b: &mut Value| entry(b)["integratedTime"] = json!(earlier);
    assert_eq!(refusal(&MADE.v1.good, backdate), "inclusion-promise-invalid");
    // No promise, no time: the field is there and says nothing.
    let without_promise = |b: &mut Value| {
        backdate(b);
        entry(b).as_object_mut().unwrap().remove("inclusionPromise");
    };
    assert_eq!(refusal(&MADE.v1.good, without_promise), "no-inclusion-promise");
    // A log of the second generation signs no time: what stands there decides nothing.
    let dated = changed(&MADE.v2.good, backdate);
    let image = MADE.forge.judge(&dated).unwrap();
    assert_eq!(image.signatures()[0].times(), [MADE.forge.start]);
    let cutoff = MADE.forge.policy(&format!("not_after: {}\n", MADE.forge.start - SignedDuration::from_secs(1)));
    assert_eq!(judge(&MADE.forge.verifier, &cutoff, &[&dated]).unwrap_err(), "policy-denied");
    let without_stamp = |b: &mut Value| {
        backdate(b);
        b["verificationMaterial"].as_object_mut().unwrap().remove("timestampVerificationData");
    };
    assert_eq!(refusal(&MADE.v2.good, without_stamp), "no-verified-time");
}

#[test]
fn every_timestamp_must_lie_in_the_certificates_life() {
    let forge = Forge::start();
    block_on(async {
        let hand = forge.hand(&GithubIdentity::default()).await;
        for rekor in [RekorVersion::V1, RekorVersion::V2] {
            forge.turn(0);
            let good = forge.sign(&hand, rekor, &statement(&[subject(REPOSITORY, image(), "v1")])).await;
            let signature = decode(&good["dsseEnvelope"]["signatures"][0]["sig"]);
            for (seconds, code) in [(600, None), (601, Some("timestamp-outside-certificate"))] {
                forge.turn(seconds);
                let stamp = json!({"signedTimestamp": STANDARD.encode(forge.stamp(&signature).await)});
                for place in [0, 1] {
                    let more = |b: &mut Value| timestamps(b).as_array_mut().unwrap().insert(place, stamp.clone());
                    assert_eq!(forge.judge(&changed(&good, more)).err().as_deref(), code, "{seconds} {place}");
                }
            }
        }
    });
}

#[test]
fn last_months_image_under_its_tag_is_refused_by_age() {
    let forge = &MADE.forge;
    let ask = |further: &str| {
        let policy = forge.policy(&format!("require: {{tag: true, repository: true}}\n{further}"));
        judge_asked(&forge.verifier, &policy, &asked(Some("v1")), &[&MADE.v1.good]).map(drop)
    };
    assert_eq!(ask("max_age: 1d\n"), Ok(()));
    assert_eq!(ask("max_age: 1h\n"), Err("policy-denied".to_owned()));
    let after: Timestamp = forge.start + SignedDuration::from_secs(1);
    assert_eq!(ask(&format!("not_before: {}\n", forge.start)), Ok(()));
    assert_eq!(ask(&format!("not_before: {after}\n")), Err("policy-denied".to_owned()));
}
