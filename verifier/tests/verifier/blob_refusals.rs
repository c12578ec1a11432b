//! Bundles of files that are refused, each for its own reason. Every test first sees that what it changes is accepted.

use countersign_oci::{Digest, limits};
use countersign_verifier::blob::{Artifact, ExpectedSigner, ManagedKey};
use countersign_verifier::{Evidence, TrustedRoot, Verdict, Verifier};
use sandbox::RekorVersion;
use serde_json::{Value, json};

use crate::blob_bundles::{
    BUNDLES, FILE, Logged, OTHER_FILE, as_version, changed, entry, signed_too_late, statement, timestamps,
};
use crate::world::now;

const OTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWRsyGtnnFQC2Mp9hDeGf8bjGPmJD
oldkZFtF2ZrRQSDVmF+KENsfX+JB8APKkv41PLWBM2Y6RhCN0LSGQ7UB5A==
-----END PUBLIC KEY-----
";

/// The code with which the file is refused, by its bytes and by its digest.
fn code(bundle: &Value) -> &'static str {
    let refused = |artifact| BUNDLES.judge(bundle, artifact).unwrap_err().code();
    let by_bytes = refused(Artifact::Bytes(FILE));
    assert_eq!(refused(Artifact::Digest(Digest::of(FILE))), by_bytes);
    by_bytes
}

/// The code with which a bundle is refused that is accepted without the change.
fn refusal(bundle: &Value, change: impl FnOnce(&mut Value)) -> &'static str {
    assert!(BUNDLES.judge(bundle, Artifact::Bytes(FILE)).is_ok());
    code(&changed(bundle, change))
}

/// Refuses a file and a statement of each version of Rekor for the same reason.
fn all_refused(expected: &str, change: impl Fn(&mut Value)) {
    for Logged { file, statement, .. } in BUNDLES.both() {
        assert_eq!(refusal(file, &change), expected);
        assert_eq!(refusal(statement, &change), expected);
    }
}

/// Flips a bit in the middle of base64.
fn flip(text: &mut Value) {
    let mut bytes = text.as_str().unwrap().as_bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    *text = json!(String::from_utf8(bytes).unwrap());
}

#[test]
fn bytes_that_are_no_bundle_are_refused() {
    let policy = BUNDLES.policy("");
    let judge = |bytes: &[u8]| {
        let signer = ExpectedSigner::Policy(&policy);
        BUNDLES.verifier.verify_blob(Artifact::Bytes(FILE), bytes, signer, now()).unwrap_err().code()
    };
    for bytes in [&b""[..], b"[]", b"null", b"{", &[0xff]] {
        assert_eq!(judge(bytes), "malformed-bundle");
    }
    let limit = usize::try_from(limits::BUNDLE_BYTES).unwrap();
    assert_eq!(judge(&vec![b' '; limit + 1]), "bundle-too-large");
    let whole = BUNDLES.v1.file.to_string();
    assert_eq!(judge(&whole.as_bytes()[..whole.len() - 1]), "malformed-bundle");
}

#[test]
fn an_unknown_version_or_none_is_refused() {
    all_refused("bundle-version", |b| b["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=99.9"));
    all_refused("bundle-version", |b| b["mediaType"] = Value::Null);
    all_refused("bundle-version", |b| drop(b.as_object_mut().unwrap().remove("mediaType")));
}

#[test]
fn a_chain_in_version_0_3_is_refused() {
    let chain = as_version(&BUNDLES.v1.file, "0.2")["verificationMaterial"]["x509CertificateChain"].clone();
    all_refused("certificate-chain", |b| {
        let material = b["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        material.insert("x509CertificateChain".into(), chain.clone());
    });
}

#[test]
fn an_empty_chain_or_an_endless_one_is_refused() {
    let older = as_version(&BUNDLES.v1.file, "0.1");
    let chain = |b: &mut Value, certificates: Value| {
        b["verificationMaterial"]["x509CertificateChain"]["certificates"] = certificates;
    };
    assert_eq!(refusal(&older, |b| chain(b, json!([]))), "certificate-chain-empty");
    assert_eq!(refusal(&older, |b| chain(b, Value::Null)), "certificate-chain-empty");
    let leaf = older["verificationMaterial"]["x509CertificateChain"]["certificates"][0].clone();
    assert_eq!(refusal(&older, |b| chain(b, json!(vec![leaf; 9]))), "too-many-certificates");
}

#[test]
fn a_root_certificate_in_the_chain_is_refused_though_its_checkpoint_is_missing_too() {
    let authority = &BUNDLES.trusted_root["certificateAuthorities"][0]["certChain"]["certificates"];
    let root = authority.as_array().unwrap().last().unwrap().clone();
    let older = as_version(&BUNDLES.v1.file, "0.1");
    let bring = |b: &mut Value| {
        let chain = &mut b["verificationMaterial"]["x509CertificateChain"]["certificates"];
        chain.as_array_mut().unwrap().push(root.clone());
    };
    assert_eq!(refusal(&older, bring), "root-certificate-in-chain");
    let without_checkpoint = |b: &mut Value| {
        bring(b);
        entry(b)["inclusionProof"].as_object_mut().unwrap().remove("checkpoint");
    };
    assert_eq!(refusal(&older, without_checkpoint), "root-certificate-in-chain");
}

#[test]
fn more_than_one_way_to_be_signed_is_refused() {
    all_refused("malformed-bundle", |b| b["verificationMaterial"]["publicKey"] = json!({"hint": "x"}));
    all_refused("malformed-bundle", |b| {
        b["messageSignature"] = BUNDLES.v1.file["messageSignature"].clone();
        b["dsseEnvelope"] = BUNDLES.v1.statement["dsseEnvelope"].clone();
    });
    all_refused("no-certificate", |b| drop(b["verificationMaterial"].as_object_mut().unwrap().remove("certificate")));
    let nothing = |b: &mut Value| drop(b.as_object_mut().unwrap().remove("messageSignature"));
    assert_eq!(refusal(&BUNDLES.v1.file, nothing), "malformed-bundle");
}

#[test]
fn other_than_one_log_entry_is_refused() {
    all_refused("log-entry-count", |b| b["verificationMaterial"]["tlogEntries"] = json!([]));
    all_refused("log-entry-count", |b| {
        let one = entry(b).clone();
        b["verificationMaterial"]["tlogEntries"] = json!([one, one]);
    });
}

#[test]
fn an_entry_of_a_kind_that_is_not_of_such_a_signature_is_refused() {
    let kind = |kind: &str, version: &str| json!({"kind": kind, "version": version});
    for (name, version) in [("dsse", "0.0.1"), ("intoto", "0.0.2"), ("rekord", "0.0.1"), ("", "")] {
        let change = |b: &mut Value| entry(b)["kindVersion"] = kind(name, version);
        assert_eq!(refusal(&BUNDLES.v1.file, change), "unsupported-log-entry");
    }
    let change = |b: &mut Value| entry(b)["kindVersion"] = kind("hashedrekord", "0.0.1");
    assert_eq!(refusal(&BUNDLES.v1.statement, change), "unsupported-log-entry");
    let change = |b: &mut Value| entry(b)["kindVersion"] = kind("dsse", "0.0.2");
    assert_eq!(refusal(&BUNDLES.v2.statement, change), "unsupported-log-entry");
}

#[test]
fn an_entry_index_below_zero_is_refused() {
    all_refused("malformed-bundle", |b| entry(b)["logIndex"] = json!("-1"));
    all_refused("malformed-bundle", |b| entry(b)["logIndex"] = json!(-1));
    all_refused("malformed-bundle", |b| entry(b)["logIndex"] = json!("1e3"));
}

#[test]
fn an_entry_without_inclusion_proof_is_refused_in_every_version() {
    let remove = |b: &mut Value| drop(entry(b).as_object_mut().unwrap().remove("inclusionProof"));
    all_refused("no-inclusion-proof", remove);
    for version in ["0.1", "0.2"] {
        assert_eq!(refusal(&as_version(&BUNDLES.v1.file, version), remove), "no-inclusion-proof");
    }
    all_refused("no-inclusion-proof", |b| {
        drop(entry(b)["inclusionProof"].as_object_mut().unwrap().remove("checkpoint"));
    });
}

#[test]
fn an_old_proof_without_checkpoint_is_refused_as_a_wrong_proof() {
    all_refused("inclusion-not-proven", |b| {
        let proof = entry(b)["inclusionProof"].as_object_mut().unwrap();
        proof.remove("checkpoint");
        flip(&mut proof["rootHash"]);
    });
}

#[test]
fn a_corrupted_inclusion_proof_is_refused() {
    all_refused("inclusion-not-proven", |b| {
        let hashes = entry(b)["inclusionProof"]["hashes"].as_array_mut().unwrap();
        match hashes.first_mut() {
            Some(hash) => flip(hash),
            None => hashes.push(json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        }
    });
}

#[test]
fn a_checkpoint_that_is_no_note_of_this_tree_by_this_log_is_refused() {
    let note = |b: &mut Value| entry(b)["inclusionProof"]["checkpoint"]["envelope"].take().as_str().unwrap().to_owned();
    let put = |b: &mut Value, text: String| entry(b)["inclusionProof"]["checkpoint"]["envelope"] = json!(text);
    let without_line = |line: usize| {
        move |b: &mut Value| {
            let text = note(b);
            let lines: Vec<&str> = text.split('\n').enumerate().filter(|(at, _)| *at != line).map(|(_, l)| l).collect();
            put(b, lines.join("\n"));
        }
    };
    for line in [0, 1, 2] {
        all_refused("checkpoint-invalid", without_line(line));
    }
    all_refused("checkpoint-invalid", |b| {
        let text = note(b);
        put(b, text.split_once("\n\n").unwrap().0.to_owned() + "\n\n");
    });
    all_refused("checkpoint-invalid", |b| {
        let text = note(b);
        let (name, rest) = text.split_once('\n').unwrap();
        put(b, format!("{name}x\n{rest}"));
    });
    let foreign = |b: &mut Value| {
        entry(b)["inclusionProof"]["checkpoint"] =
            entry(&mut BUNDLES.v2.file.clone())["inclusionProof"]["checkpoint"].clone();
    };
    assert_eq!(refusal(&BUNDLES.v1.file, foreign), "checkpoint-invalid");
}

#[test]
fn version_0_1_without_a_promise_is_refused() {
    let remove = |b: &mut Value| drop(entry(b).as_object_mut().unwrap().remove("inclusionPromise"));
    assert_eq!(refusal(&as_version(&BUNDLES.v1.file, "0.1"), remove), "no-inclusion-promise");
}

#[test]
fn a_forged_promise_or_a_moved_time_is_refused() {
    for bundle in [&BUNDLES.v1.file, &BUNDLES.v1.statement] {
        let forge = |b: &mut Value| flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"]);
        assert_eq!(refusal(bundle, forge), "inclusion-promise-invalid");
        let move_time = |b: &mut Value| {
            let time: i64 = entry(b)["integratedTime"].as_str().unwrap().parse().unwrap();
            entry(b)["integratedTime"] = json!((time - 1).to_string());
        };
        assert_eq!(refusal(bundle, move_time), "inclusion-promise-invalid");
    }
}

#[test]
fn an_entry_of_another_file_signature_or_signer_is_refused_as_that() {
    for logged in BUNDLES.both() {
        let pairs = [
            (&logged.file, &logged.other_file),
            (&logged.file, &logged.file_again),
            (&logged.file, &logged.by_key),
            (&logged.statement, &logged.other_statement),
            (&logged.statement, &logged.statement_again),
        ];
        for (bundle, other) in pairs {
            let swap = |b: &mut Value| *entry(b) = entry(&mut other.clone()).clone();
            assert_eq!(refusal(bundle, swap), "log-entry-mismatch");
        }
    }
}

#[test]
fn an_entry_in_which_the_key_was_exchanged_is_refused_as_that() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let exchange = |b: &mut Value| {
        let body = &mut entry(b)["canonicalizedBody"];
        let mut logged: Value = serde_json::from_slice(&STANDARD.decode(body.as_str().unwrap()).unwrap()).unwrap();
        logged["spec"]["signature"]["publicKey"]["content"] = json!(STANDARD.encode(OTHER_KEY));
        *body = json!(STANDARD.encode(logged.to_string()));
    };
    assert_eq!(refusal(&BUNDLES.v1.file, exchange), "log-entry-mismatch");
}

#[test]
fn another_envelope_under_the_logged_entry_is_refused_with_its_own_timestamp_too() {
    for logged in BUNDLES.both() {
        for other in [&logged.other_statement, &logged.statement_again] {
            let exchange = |b: &mut Value| {
                b["dsseEnvelope"] = other["dsseEnvelope"].clone();
                b["verificationMaterial"]["timestampVerificationData"] =
                    other["verificationMaterial"]["timestampVerificationData"].clone();
            };
            assert_eq!(refusal(&logged.statement, exchange), "log-entry-mismatch");
        }
    }
}

#[test]
fn a_wrong_signature_is_refused_as_that() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let flip_last = |text: &mut Value| {
        let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        *text = json!(STANDARD.encode(bytes));
    };
    for logged in BUNDLES.both() {
        let file = |b: &mut Value| flip_last(&mut b["messageSignature"]["signature"]);
        assert_eq!(refusal(&logged.file, file), "signature-invalid");
        let envelope = |b: &mut Value| flip_last(&mut b["dsseEnvelope"]["signatures"][0]["sig"]);
        assert_eq!(refusal(&logged.statement, envelope), "signature-invalid");
    }
    let no_base64 = |b: &mut Value| b["messageSignature"]["signature"] = json!("!MEUCIQ==");
    assert_eq!(refusal(&BUNDLES.v1.file, no_base64), "malformed-bundle");
}

#[test]
fn a_timestamp_of_another_signature_is_refused_as_that() {
    for (bundle, other) in
        [(&BUNDLES.v2.file, &BUNDLES.v2.file_again), (&BUNDLES.v2.statement, &BUNDLES.v2.statement_again)]
    {
        let swap = |b: &mut Value| *timestamps(b) = timestamps(&mut other.clone()).clone();
        assert_eq!(refusal(bundle, swap), "timestamp-mismatch");
    }
}

#[test]
fn rekor_v2_without_a_timestamp_is_refused() {
    for bundle in [&BUNDLES.v2.file, &BUNDLES.v2.statement] {
        assert_eq!(refusal(bundle, |b| *timestamps(b) = json!([])), "no-verified-time");
    }
    let by_key = changed(&BUNDLES.v2.by_key, |b| *timestamps(b) = json!([]));
    assert_eq!(BUNDLES.judge_by_key(&by_key, &BUNDLES.key).unwrap_err().code(), "no-verified-time");
}

#[test]
fn more_timestamps_than_are_looked_at_are_refused() {
    let repeat = |b: &mut Value| {
        let stamp = timestamps(b)[0].clone();
        *timestamps(b) = json!(vec![stamp; limits::TIMESTAMPS + 1]);
    };
    assert_eq!(refusal(&BUNDLES.v2.file, repeat), "too-many-timestamps");
}

#[test]
fn a_timestamp_by_an_authority_that_the_root_does_not_know_is_refused() {
    let mut root = BUNDLES.trusted_root.clone();
    root["timestampAuthorities"] = json!([]);
    let verifier = Verifier::new(TrustedRoot::from_json(&root.to_string(), "without").unwrap()).unwrap();
    assert_eq!(judge_under(&verifier, &BUNDLES.v2.file), "timestamp-invalid");
}

#[test]
fn a_timestamp_after_the_authoritys_end_is_refused_as_that() {
    let mut root = BUNDLES.trusted_root.clone();
    root["timestampAuthorities"][0]["validFor"] =
        json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    let verifier = Verifier::new(TrustedRoot::from_json(&root.to_string(), "ended").unwrap()).unwrap();
    assert_eq!(judge_under(&verifier, &BUNDLES.v2.file), "timestamp-authority-invalid");
}

#[test]
fn a_certificate_of_an_authority_that_was_not_in_use_is_refused() {
    let mut root = BUNDLES.trusted_root.clone();
    root["certificateAuthorities"][0]["validFor"] =
        json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    let verifier = Verifier::new(TrustedRoot::from_json(&root.to_string(), "ended").unwrap()).unwrap();
    assert_eq!(judge_under(&verifier, &BUNDLES.v1.file), "certificate-untrusted");
}

#[tokio::test]
async fn a_signature_after_the_certificates_end_is_refused_for_the_time_that_shows_it() {
    let (verifier, logged_late) = signed_too_late(RekorVersion::V1).await;
    assert_eq!(judge_under(&verifier, &logged_late), "integrated-time-invalid");
    let (verifier, stamped_late) = signed_too_late(RekorVersion::V2).await;
    assert_eq!(judge_under(&verifier, &stamped_late), "timestamp-outside-certificate");
}

#[test]
fn a_bundle_of_another_instance_is_refused_as_that() {
    let embedded = Verifier::new(TrustedRoot::embedded_public_good().unwrap()).unwrap();
    for Logged { file, statement, .. } in BUNDLES.both() {
        assert_eq!(judge_under(&embedded, file), "log-unknown");
        assert_eq!(judge_under(&embedded, statement), "log-unknown");
    }
}

fn judge_under(verifier: &Verifier, bundle: &Value) -> &'static str {
    let policy = BUNDLES.policy("");
    let signer = ExpectedSigner::Policy(&policy);
    verifier.verify_blob(Artifact::Bytes(FILE), bundle.to_string().as_bytes(), signer, now()).unwrap_err().code()
}

#[test]
fn other_than_one_signature_in_an_envelope_is_refused() {
    for bundle in [&BUNDLES.v1.statement, &BUNDLES.v2.statement] {
        let signatures = |b: &mut Value, count: usize| {
            let one = b["dsseEnvelope"]["signatures"][0].clone();
            b["dsseEnvelope"]["signatures"] = json!(vec![one; count]);
        };
        assert_eq!(refusal(bundle, |b| signatures(b, 0)), "signature-count");
        assert_eq!(refusal(bundle, |b| signatures(b, 2)), "signature-count");
        let payload = |b: &mut Value| b["dsseEnvelope"]["payloadType"] = json!("text/plain");
        assert_eq!(refusal(bundle, payload), "payload-type");
    }
}

#[test]
fn another_file_is_refused_and_so_is_a_bundle_that_states_another() {
    for logged in BUNDLES.both() {
        for artifact in [Artifact::Bytes(OTHER_FILE), Artifact::Digest(Digest::of(OTHER_FILE))] {
            assert_eq!(BUNDLES.judge(&logged.file, artifact).unwrap_err().code(), "artifact-mismatch");
            assert_eq!(BUNDLES.judge(&logged.statement, artifact).unwrap_err().code(), "subject-mismatch");
        }
        let state = |b: &mut Value| flip(&mut b["messageSignature"]["messageDigest"]["digest"]);
        assert_eq!(refusal(&logged.file, state), "artifact-mismatch");
        let without = changed(&logged.file, |b| {
            b["messageSignature"].as_object_mut().unwrap().remove("messageDigest");
        });
        let other = BUNDLES.judge(&without, Artifact::Bytes(OTHER_FILE)).unwrap_err();
        assert_eq!(other.code(), "signature-invalid", "without a hint only the signature tells");
    }
}

#[test]
fn a_statement_that_was_rewritten_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let rewrite = |b: &mut Value| {
        b["dsseEnvelope"]["payload"] = json!(STANDARD.encode(statement(FILE, "no").to_string()));
    };
    assert_eq!(refusal(&BUNDLES.v1.statement, rewrite), "signature-invalid");
    assert_eq!(refusal(&BUNDLES.v2.statement, rewrite), "signature-invalid");
}

#[test]
fn keys_and_certificates_do_not_stand_in_for_each_other() {
    for logged in BUNDLES.both() {
        assert_eq!(code(&logged.by_key), "managed-key-needed");
        assert_eq!(BUNDLES.judge_by_key(&logged.file, &BUNDLES.key).unwrap_err().code(), "managed-key-unused");
        let other = ManagedKey::from_pem(OTHER_KEY).unwrap();
        assert_eq!(BUNDLES.judge_by_key(&logged.by_key, &other).unwrap_err().code(), "signature-invalid");
        let foreign = changed(&logged.by_key, |b| *entry(b) = entry(&mut logged.file.clone()).clone());
        assert_eq!(BUNDLES.judge_by_key(&foreign, &BUNDLES.key).unwrap_err().code(), "log-entry-mismatch");
    }
}

#[test]
fn a_policy_judges_files_as_it_judges_images() {
    let judge = |bundle: &Value, policy: &str| {
        let policy = BUNDLES.policy(policy);
        let signer = ExpectedSigner::Policy(&policy);
        BUNDLES.verifier.verify_blob(Artifact::Bytes(FILE), bundle.to_string().as_bytes(), signer, now())
    };
    for Logged { file, statement, .. } in BUNDLES.both() {
        for bundle in [file, statement] {
            let refused = |policy: &str| judge(bundle, policy).unwrap_err().code();
            assert!(judge(bundle, "").is_ok());
            assert_eq!(refused("not_before: 2099-01-01T00:00:00Z\n"), "policy-denied");
            assert_eq!(refused(&format!("deny:\n  digests: [\"{}\"]\n", Digest::of(FILE))), "policy-denied");
            assert_eq!(refused("require:\n  annotations:\n    build: \"1\"\n"), "policy-denied");
            assert_eq!(refused("require:\n  tag: true\n"), "policy-of-images");
            assert_eq!(refused("require:\n  repository: true\n"), "policy-of-images");
            let second =
                "  - name: second\n    issuer: https://issuer.example\n    identity: a@b.example\nthreshold: 2\n";
            assert_eq!(refused(second), "threshold-unmet");
        }
    }
}

#[test]
fn a_time_ahead_of_the_clock_decides_nothing() {
    let policy = BUNDLES.policy("");
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    for Logged { file, .. } in BUNDLES.both() {
        let signer = ExpectedSigner::Policy(&policy);
        let text = file.to_string();
        let reason = BUNDLES.verifier.verify_blob(Artifact::Bytes(FILE), text.as_bytes(), signer, now).unwrap_err();
        assert_eq!(reason.code(), "clock-behind");
        assert_eq!(reason.class(), countersign_verifier::reason::Class::Undecided);
    }
}

#[test]
fn no_shape_of_a_files_signature_is_a_signature_of_an_image() {
    let digest = Digest::of(FILE);
    let reference = format!("registry.example/octo/app@{digest}").parse().unwrap();
    let asked = countersign_verifier::Asked { reference, tag: None };
    let judge = |bundle: &Value| {
        let evidence = Evidence::from_bundles([bundle.to_string().into()]);
        match BUNDLES.verifier.verify(&asked, &evidence, &BUNDLES.policy(""), now()).unwrap() {
            Verdict::Rejected(findings) => findings.candidates[0].outcome.as_ref().unwrap_err().code(),
            other => panic!("{other:?}"),
        }
    };
    for logged in BUNDLES.both() {
        assert_eq!(judge(&logged.statement), "not-a-signature");
        assert_eq!(judge(&logged.by_key), "no-certificate");
        assert_eq!(judge(&as_version(&logged.statement, "0.2")), "bundle-version");
    }
    assert_eq!(judge(&BUNDLES.v2.file), "message-signature");
    assert_eq!(judge(&BUNDLES.v1.file), "unsupported-log-entry");
}

#[test]
fn content_that_is_hidden_in_a_key_with_a_line_break_is_refused() {
    let broken = |b: &mut Value| {
        let certificate = &mut b["verificationMaterial"]["certificate"]["rawBytes"];
        let text = certificate.as_str().unwrap();
        let (first, second) = text.split_at(64);
        *certificate = json!(format!("{first}\n{second}"));
    };
    let Logged { file, statement, .. } = BUNDLES.both().into_iter().next().unwrap();
    assert!(BUNDLES.judge(&changed(file, broken), Artifact::Bytes(FILE)).is_ok(), "base64 may have line breaks");
    assert_eq!(
        refusal(file, |b| {
            broken(b);
            b["dsse\nEnvelope"] = statement["dsseEnvelope"].clone();
        }),
        "malformed-bundle"
    );
    assert_eq!(
        refusal(file, |b| {
            broken(b);
            b["verificationMaterial"]["public\nKey"] = json!({"hint": ""});
        }),
        "malformed-bundle"
    );
}
