//! Limits at N and at N + 1, for everything that an attacker may repeat or stretch. They are at least as tight as sigstore-go's (32 entries,
//! 32 timestamps, 1,024 subjects, 32 digests each).
//!
//! | what | N | test |
//! |---|---|---|
//! | log entries of a bundle | 1 | `one_log_entry_and_no_second` |
//! | timestamps of a bundle | 4 | `four_timestamps_and_no_fifth` |
//! | subjects of a statement | 1,024 | `subjects_of_a_statement` |
//! | digests of a subject | 32 | `digests_of_a_subject` |
//! | signatures of an envelope | 1 | `attacks_on_bundles::an_envelope_with_none_or_two_signatures_is_refused` |
//! | bytes of a bundle | 1 MiB | `a_bundle_of_1_mib_and_not_a_byte_more` |
//! | certificates of an image's bundle | 1 | `one_certificate_and_no_chain` |
//! | certificates of a file's bundle | 8 | `blob_refusals::an_empty_chain_or_an_endless_one_is_refused` |
//! | names of a certificate | 1 | unit tests of `sigstore` |
//! | bytes of a certificate's name | 2,048 | unit tests of `sigstore` |
//! | bytes of the tags of a subject | 64 KiB | `tags_of_a_subject` |
//! | levels of JSON | 128 | `json_as_deep_as_it_likes_is_an_answer` |
//! | bytes of a manifest | 4 MiB | `oci::manifests::a_manifest_of_4_mib_is_read_and_one_more_byte_is_not` |
//! | descriptors of a listing | 10,000 | `junk::what_a_cut_list_may_hide_is_not_unsigned` |
//! | bytes of a listing | 16 MiB | `oci::referrers::a_list_that_never_ends_is_noted_as_cut` |
//! | bytes of all evidence | 64 MiB | `junk::evidence_beyond_its_bytes_is_not_read_and_not_unsigned` |
//! | time for all evidence | 60 s | `junk::ten_thousand_junk_referrers_in_front_never_make_a_signed_image_unsigned` |

use bytes::Bytes;
use countersign_oci::{Digest, limits};
use sandbox::{GithubIdentity, RekorVersion};
use serde_json::{Value, json};

use crate::attacks_on_bundles::{MADE, block_on, refusal};
use crate::blob_bundles::{changed, entry, timestamps};
use crate::forge::{Forge, REPOSITORY, asked, image, judge_bytes, statement, subject};

/// The answers to a statement of Rekor v1 with each of these lists of subjects.
fn answers(subjects: &[Vec<Value>]) -> Vec<Result<(), String>> {
    let forge = Forge::start();
    block_on(async {
        let hand = forge.hand(&GithubIdentity::default()).await;
        let mut answers = Vec::new();
        for subjects in subjects {
            let bundle = forge.sign(&hand, RekorVersion::V1, &statement(subjects)).await;
            answers.push(forge.judge(&bundle).map(drop));
        }
        answers
    })
}

#[test]
fn one_log_entry_and_no_second() {
    for logged in MADE.both() {
        let one = |b: &mut Value| entry(b).clone();
        let twice = |b: &mut Value| {
            let one = one(b);
            b["verificationMaterial"]["tlogEntries"] = json!([one, one]);
        };
        assert_eq!(refusal(&logged.good, twice), "log-entry-count");
        let many = |b: &mut Value| {
            let one = one(b);
            b["verificationMaterial"]["tlogEntries"] = json!(vec![one; 33]);
        };
        assert_eq!(refusal(&logged.good, many), "log-entry-count");
        assert_eq!(refusal(&logged.good, |b| b["verificationMaterial"]["tlogEntries"] = json!([])), "log-entry-count");
    }
}

#[test]
fn four_timestamps_and_no_fifth() {
    for logged in MADE.both() {
        let times = |count: usize| {
            move |b: &mut Value| {
                let stamp = timestamps(b)[0].clone();
                *timestamps(b) = json!(vec![stamp; count]);
            }
        };
        MADE.forge.judge(&changed(&logged.good, times(limits::TIMESTAMPS))).unwrap();
        assert_eq!(refusal(&logged.good, times(limits::TIMESTAMPS + 1)), "too-many-timestamps");
        assert_eq!(refusal(&logged.good, times(33)), "too-many-timestamps");
    }
}

#[test]
fn subjects_of_a_statement() {
    let subjects = |count: usize| -> Vec<Value> {
        let digest = |number: usize| Digest::of(&number.to_le_bytes());
        let others = (1..count).map(|number| subject(REPOSITORY, digest(number), "v1"));
        others.chain([subject(REPOSITORY, image(), "v1")]).collect()
    };
    let answers = answers(&[subjects(limits::SUBJECTS), subjects(limits::SUBJECTS + 1)]);
    assert_eq!(answers, [Ok(()), Err("too-many-subjects".to_owned())]);
}

#[test]
fn digests_of_a_subject() {
    let subjects = |count: usize| {
        let mut subject = subject(REPOSITORY, image(), "v1");
        for number in 1..count {
            subject["digest"][format!("x{number}")] = json!("00");
        }
        vec![subject]
    };
    let answers = answers(&[subjects(limits::SUBJECT_DIGESTS), subjects(limits::SUBJECT_DIGESTS + 1)]);
    assert_eq!(answers, [Ok(()), Err("too-many-subjects".to_owned())]);
}

#[test]
fn tags_of_a_subject() {
    let subjects = |bytes: usize| {
        let mut tags = "v1,".to_owned();
        tags.push_str(&"x".repeat(bytes - tags.len()));
        vec![subject(REPOSITORY, image(), &tags)]
    };
    let answers = answers(&[subjects(limits::TAGS_BYTES), subjects(limits::TAGS_BYTES + 1)]);
    assert_eq!(answers, [Ok(()), Err("malformed-statement".to_owned())]);
}

#[test]
fn a_bundle_of_1_mib_and_not_a_byte_more() {
    let limit = usize::try_from(limits::BUNDLE_BYTES).unwrap();
    for logged in MADE.both() {
        let ask = |bytes: usize| {
            let mut text = logged.good.to_string();
            text.extend(std::iter::repeat_n(' ', bytes - text.len()));
            judge_bytes(&MADE.forge.verifier, &MADE.forge.policy(""), &asked(None), [Bytes::from(text)]).map(drop)
        };
        assert_eq!(ask(limit), Ok(()));
        assert_eq!(ask(limit + 1), Err("bundle-too-large".to_owned()));
    }
}

#[test]
fn one_certificate_and_no_chain() {
    for logged in MADE.both() {
        let certificate = logged.good["verificationMaterial"]["certificate"].clone();
        for certificates in [json!([]), json!([certificate]), json!(vec![certificate.clone(); 33])] {
            let chained = |b: &mut Value| {
                let material = b["verificationMaterial"].as_object_mut().unwrap();
                material.remove("certificate");
                material.insert("x509CertificateChain".into(), json!({ "certificates": certificates }));
            };
            assert_eq!(refusal(&logged.good, chained), "certificate-chain");
        }
    }
}

#[test]
fn json_as_deep_as_it_likes_is_an_answer() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for logged in MADE.both() {
        let text = logged.good.to_string();
        for depth in [127, 128, 100_000] {
            let with = text.replacen('{', &format!("{{\"x\":{},", deep(depth)), 1);
            let bytes = [Bytes::from(with)];
            let code = judge_bytes(&MADE.forge.verifier, &MADE.forge.policy(""), &asked(None), bytes).unwrap_err();
            assert_eq!(code, "malformed-bundle", "{depth}");
        }
    }
    let forge = Forge::start();
    block_on(async {
        let hand = forge.hand(&GithubIdentity::default()).await;
        let payload = String::from_utf8(statement(&[subject(REPOSITORY, image(), "v1")])).unwrap();
        let with = payload.replace("\"predicate\":{}", &format!("\"predicate\":{}", deep(100_000)));
        assert_ne!(with, payload);
        let bundle = forge.sign(&hand, RekorVersion::V1, with.as_bytes()).await;
        let answer = forge.judge(&bundle).map(drop);
        assert!(answer.as_ref().err().is_none_or(|code| code.starts_with("malformed-")), "{answer:?}");
    });
}
