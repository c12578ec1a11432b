//! Why each case that has to be refused was made, written by hand from the suite's own words, as codes of ours.
//!
//! A case that fails for another reason proves nothing about the fault that it was made for: the suite looks at exit
//! codes alone, and a client that refuses everything passes 98 of its 140 tests.

use std::collections::BTreeSet;

use super::record::Test;
use super::sigstore::{codes, refused};

/// A case and the only codes that are right for it.
pub(super) struct Reason {
    pub(super) case: &'static str,
    codes: &'static [&'static str],
    fault: &'static str,
}

const fn reason(case: &'static str, codes: &'static [&'static str], fault: &'static str) -> Reason {
    Reason { case, codes, fault }
}

/// Prints the table and returns what is wrong in it.
pub(super) fn print(cases: &BTreeSet<String>, tests: &[&Test]) -> Vec<String> {
    let found = codes(tests);
    let mut faults = Vec::new();
    let mut right = 0;
    let refused = refused(cases);
    for case in &refused {
        let found = found.get(*case).cloned().unwrap_or_default();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        let shown = found.join(", ");
        let Some(reason) = REASONS.iter().find(|reason| reason.case == *case) else {
            faults.push(format!("{case}: no reason is written for it, it was refused with {shown}"));
            continue;
        };
        let is_right = !found.is_empty() && found.iter().all(|code| reason.codes.contains(code));
        right += usize::from(is_right);
        let mark = if is_right { "ok   " } else { "WRONG" };
        println!("{mark} {case:<58} {shown:<32} {}", reason.fault);
        if !is_right {
            faults.push(format!(
                "{case}: refused with {shown}, not with {}: {}",
                reason.codes.join(", "),
                reason.fault
            ));
        }
    }
    println!("sigstore-conformance: {right} of {} refusals for the reason that the case was made for", refused.len());
    faults
}

/// In the order of their names.
pub(super) const REASONS: &[Reason] = &[
    reason("bundle-empty-certificate-chain_fail", &["certificate-chain-empty"], "no certificate in the chain"),
    reason("bundle-from-wrong-instance_fail", &["log-unknown"], "valid, of the staging instance"),
    reason("bundle-invalid-base64-signature_fail", &["malformed-bundle"], "the signature is no base64"),
    reason("bundle-malformed-json_fail", &["malformed-bundle"], "the JSON is cut off"),
    reason("bundle-negative-log-index_fail", &["malformed-bundle"], "an index below 0"),
    reason("bundle-unknown-version_fail", &["bundle-version"], "version 99.9"),
    reason("bundle-with-root-cert_fail", &["root-certificate-in-chain"], "a root certificate in the chain"),
    reason("checkpoint-bad-keyhint_fail", &["checkpoint-invalid"], "the checkpoint is signed by another log"),
    reason("checkpoint-wrong-roothash_fail", &["checkpoint-invalid"], "the checkpoint is of another tree"),
    reason("dsse-invalid-sig_fail", &["signature-invalid"], "the envelope's signature is wrong"),
    reason("dsse-mismatch-envelope_fail", &["log-entry-mismatch"], "another envelope was logged"),
    reason("dsse-mismatch-sig_fail", &["log-entry-mismatch"], "another signature of the envelope was logged"),
    reason("inclusion-proof-corrupted-hash_fail", &["inclusion-not-proven"], "one bit of the proof is flipped"),
    reason("incorrect-public-key_fail", &["log-entry-mismatch"], "another key in the logged entry"),
    reason("integrated-time-in-future_fail", &["integrated-time-invalid"], "logged after the certificate's end"),
    // Its certificate was issued after the end of the authority's own.
    reason("intoto-expired-certificate_fail", &["certificate-untrusted"], "issued when the authority was not valid"),
    reason("intoto-log-entry-mismatch_fail", &["log-entry-mismatch"], "the entry is of another signature"),
    reason("intoto-missing-inclusion-proof_fail", &["no-inclusion-proof"], "version 0.2 without proof"),
    reason(
        "intoto-set-outside-signing-cert-validity_fail",
        &["integrated-time-invalid"],
        "logged outside the certificate's validity",
    ),
    reason(
        "intoto-tsa-timestamp-outside-cert-validity_fail",
        &["timestamp-outside-certificate"],
        "stamped outside the certificate's validity",
    ),
    reason("invalid-checkpoint-signature_fail", &["checkpoint-invalid"], "the checkpoint's signature is wrong"),
    // It has no README; its root knows another key for certificate transparency.
    reason("invalid-ct-key_fail", &["sct-invalid"], "the SCT is not by the root's log"),
    reason("invalid-inclusion-proof_fail", &["inclusion-not-proven"], "an old proof, not of this entry"),
    reason("managed-key-no-key_fail", &["managed-key-needed"], "signed with a key, and none was given"),
    // The key of this case cannot be checked with at all: its base64 ends in "wrongkey".
    reason("managed-key-wrong-key_fail", &["managed-key-malformed"], "the key that was given is none"),
    reason("message-digest-mismatch_fail", &["artifact-mismatch"], "the bundle states another digest"),
    reason("rekor2-checkpoint-missing-log-signature_fail", &["checkpoint-invalid"], "no signature by the log"),
    reason("rekor2-checkpoint-missing-origin_fail", &["checkpoint-invalid"], "a checkpoint without origin"),
    reason("rekor2-checkpoint-missing-root-hash_fail", &["checkpoint-invalid"], "a checkpoint without root hash"),
    reason("rekor2-checkpoint-missing-size_fail", &["checkpoint-invalid"], "a checkpoint without size"),
    reason(
        "rekor2-checkpoint-no-matching-signature_fail",
        &["checkpoint-invalid"],
        "a checkpoint of another log's name",
    ),
    reason("rekor2-dsse-invalid-sig_fail", &["signature-invalid"], "the envelope's signature is by another key"),
    reason("rekor2-dsse-mismatch-envelope_fail", &["log-entry-mismatch"], "another envelope was logged"),
    reason("rekor2-dsse-mismatch-sig_fail", &["log-entry-mismatch"], "another signature of the envelope was logged"),
    reason("rekor2-no-inclusion-proof_fail", &["no-inclusion-proof"], "no proof, and none is to be fetched"),
    reason("rekor2-no-timestamp_fail", &["no-verified-time"], "no timestamp, and the log keeps no time"),
    reason(
        "rekor2-timestamp-outside-trust-root-tsa-validity_fail",
        &["timestamp-authority-invalid"],
        "stamped after the authority's end in the root",
    ),
    reason(
        "rekor2-timestamp-outside-tsa-cert-validity_fail",
        &["timestamp-authority-invalid"],
        "stamped after the end of the authority's certificates",
    ),
    reason("rekor2-timestamp-payload-mismatch_fail", &["timestamp-mismatch"], "the timestamp is of another signature"),
    reason(
        "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail",
        &["timestamp-invalid"],
        "stamped by an authority that the root does not know",
    ),
    reason(
        "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail",
        &["timestamp-invalid"],
        "stamped by an authority that the root does not know",
    ),
    reason(
        "rekor2-timestamp-with-incorrect-time_fail",
        &["timestamp-outside-certificate"],
        "stamped long after the certificate's end",
    ),
    reason("set-invalid-signature_fail", &["inclusion-promise-invalid"], "the log's promise is forged"),
    reason("signature-mismatch_fail", &["signature-invalid"], "the signature is wrong"),
    reason(
        "trust-root-tlog-missing-validity-start_fail",
        &["trusted-root-malformed"],
        "a log's key without the start of its validity",
    ),
    reason("wrong-hashedrekord-artifact_fail", &["log-entry-mismatch"], "the entry is of another file"),
    reason("wrong-hashedrekord-cert-and-sig_fail", &["log-entry-mismatch"], "the entry is of another signer"),
    reason("wrong-hashedrekord-entry_fail", &["log-entry-mismatch"], "another entry"),
    reason("wrong-material_fail", &["artifact-mismatch"], "valid, of another file"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn test(case: &str, code: Option<&str>) -> Test {
        let name = format!("test_verify[{case}]");
        Test { name, outcome: "passed".into(), case: Some(case.into()), code: code.map(Into::into) }
    }

    fn faults(case: &str, codes: &[Option<&str>]) -> Vec<String> {
        let cases = BTreeSet::from([case.to_owned()]);
        let tests: Vec<Test> = codes.iter().map(|code| test(case, *code)).collect();
        let all = print(&cases, &tests.iter().collect::<Vec<_>>());
        all.into_iter().filter(|fault| fault.starts_with(case)).collect()
    }

    #[test]
    fn a_refusal_for_another_reason_is_a_fault_on_either_input() {
        let case = "wrong-material_fail";
        assert!(faults(case, &[Some("artifact-mismatch"), Some("artifact-mismatch")]).is_empty());
        assert_eq!(faults(case, &[Some("artifact-mismatch"), Some("signature-invalid")]).len(), 1);
        assert_eq!(faults(case, &[Some("usage"), Some("usage")]).len(), 1);
        assert_eq!(faults(case, &[None, None]).len(), 1);
        assert_eq!(faults(case, &[]).len(), 1);
    }

    #[test]
    fn a_case_without_a_written_reason_is_a_fault() {
        assert_eq!(faults("something-new_fail", &[Some("signature-invalid")]).len(), 1);
        assert!(faults("something-new", &[None]).is_empty());
    }

    #[test]
    fn every_case_stands_in_the_table_once() {
        let cases: BTreeSet<&str> = REASONS.iter().map(|reason| reason.case).collect();
        assert_eq!(cases.len(), REASONS.len());
        assert!(REASONS.iter().all(|reason| reason.case.ends_with("_fail") && !reason.codes.is_empty()));
        assert!(REASONS.is_sorted_by_key(|reason| reason.case));
    }
}
