//! Anyone who may push can attach anything, as often as they like, and in front of what is good: it costs time, and never makes a no of a
//! yes, nor "unsigned" of what is signed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_oci::limits;
use countersign_verifier::reason::Reason;
use countersign_verifier::{AcceptedSignature, Evidence, Verdict};
use sandbox::{Action, Fault, GithubIdentity, Options, RekorVersion, Service, digest_of};
use serde_json::{Value, json};

use crate::attacks_on_bundles::MADE;
use crate::forge;
use crate::registry::{BUNDLE, INDEX, MANIFEST, attach};
use crate::world::{World, now, outcome, pinned};

/// A manifest like a signature's, that leads to this bundle.
fn put_referrer(world: &World, subject: &str, number: usize, layer: &[u8], layer_digest: &str) -> Value {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": layer_digest, "size": layer.len()}],
        "subject": {"mediaType": INDEX, "digest": subject, "size": 1},
        "annotations": {
            "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1", "number": number.to_string(),
        },
    });
    let bytes = manifest.to_string();
    let digest = digest_of(bytes.as_bytes());
    let size = bytes.len();
    world.sandbox.registry().put_manifest("octo/app", &digest, MANIFEST, bytes);
    json!({
        "mediaType": MANIFEST, "digest": digest, "size": size, "artifactType": BUNDLE,
        "annotations": manifest["annotations"],
    })
}

/// Lists the junk in front of what is listed already, under the tag.
fn list_in_front(world: &World, subject: &str, junk: &[Value]) {
    let registry = world.sandbox.registry();
    let tag = subject.replace(':', "-");
    let listed = registry.get_manifest("octo/app", &tag).unwrap();
    let mut index: Value = serde_json::from_slice(&listed.bytes).unwrap();
    let good = index["manifests"].as_array_mut().unwrap();
    let all: Vec<Value> = junk.iter().chain(good.iter()).cloned().collect();
    index["manifests"] = json!(all);
    registry.put_manifest("octo/app", &tag, INDEX, index.to_string());
}

/// A signed image, whose signature is the last of `count` more that all look like one.
async fn behind(count: usize, layer: &[u8]) -> (World, countersign_oci::ImageReference, String) {
    let world = World::start_patiently(Options { referrers_api: false, ..Options::default() });
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let registry = world.sandbox.registry();
    registry.put_blob("octo/app", "{}");
    let layer_digest = registry.put_blob("octo/app", layer.to_vec());
    let junk: Vec<Value> =
        (0..count).map(|number| put_referrer(&world, image.digest(), number, layer, &layer_digest)).collect();
    list_in_front(&world, image.digest(), &junk);
    (world, reference, image.digest().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_signatures_of_one_signer_cost_no_more_than_the_first_few() {
    let (world, reference, subject) = behind(0, b"{}").await;
    let registry = world.sandbox.registry();
    let referrer = registry.referrers("octo/app", &subject)[0]["digest"].as_str().unwrap().to_owned();
    let manifest: Value = serde_json::from_slice(&registry.get_manifest("octo/app", &referrer).unwrap().bytes).unwrap();
    let layer_digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let layer = registry.get_blob(&layer_digest).unwrap();
    let more: Vec<Value> =
        (0..29).map(|number| put_referrer(&world, &subject, number, &layer, &layer_digest)).collect();
    list_in_front(&world, &subject, &more);
    world.sandbox.clear_requests();
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict).0, "verified");
    assert_eq!((verdict.findings().candidates.len(), verdict.findings().not_examined), (4, 26));
    // The tag, the API that is not there, the tag of the list, and four manifests with a blob each.
    let requests = world.sandbox.requests_of(Service::Registry).len();
    assert!(requests <= 3 + 4 * 2, "{requests} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_good_referrer_after_99_bad_ones_is_found() {
    for layer in [&b"{}"[..], b"{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"}", b"\xff"] {
        let (world, reference, _) = behind(99, layer).await;
        let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
        assert_eq!(outcome(&verdict).0, "verified");
        assert_eq!(verdict.findings().candidates.len(), 100, "every one of them has its reason");
    }
}

/// As many as a listing may have, all like the good one until they are opened, and it comes last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_junk_referrers_in_front_never_make_a_signed_image_unsigned() {
    let (world, reference, _) = behind(limits::REFERRERS_DESCRIPTORS - 1, b"{\"junk\":true}").await;
    let begun = Instant::now();
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    let took = begun.elapsed();
    let findings = verdict.findings();
    println!(
        "{} junk referrers: {} in {took:.1?}, {} not examined",
        limits::REFERRERS_DESCRIPTORS - 1,
        outcome(&verdict).0,
        findings.not_examined
    );
    assert!(took < limits::EVIDENCE_TIME + Duration::from_secs(15), "{took:?}");
    match &verdict {
        Verdict::Verified(..) => {}
        Verdict::Undecided(findings) => {
            assert!(findings.not_examined > 0);
            let headline = countersign_verifier::report::headline(findings);
            assert!(headline.contains(&findings.not_examined.to_string()), "{headline}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_list_may_hide_is_not_unsigned() {
    let (world, reference, subject) = behind(3, b"{}").await;
    let absent = json!({"mediaType": MANIFEST, "digest": digest_of(b"absent"), "size": 7, "artifactType": "a/b"});
    let policy = world.policy("");
    // As many as are read, with the good one first in the order of work though it is the last of the list.
    list_in_front(&world, &subject, &vec![absent.clone(); limits::REFERRERS_DESCRIPTORS - 4]);
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()).0, "verified");
    // One more, and it is cut off.
    list_in_front(&world, &subject, &[absent]);
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()).0, "undecided");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_beyond_its_bytes_is_not_read_and_not_unsigned() {
    let limit = usize::try_from(limits::BUNDLE_BYTES).unwrap();
    let large = vec![b' '; limit];
    let (world, reference, _) = behind(200, &large).await;
    world.sandbox.clear_requests();
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    let Verdict::Undecided(findings) = &verdict else { panic!("{:?}", outcome(&verdict)) };
    assert!(findings.not_examined > 0);
    let blobs = world.sandbox.requests().iter().filter(|request| request.path.contains("/blobs/")).count();
    let allowed = usize::try_from(limits::EVIDENCE_BYTES / limits::BUNDLE_BYTES).unwrap();
    assert!((allowed..=allowed + 40).contains(&blobs), "{blobs} bundles of 1 MiB were read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_signers_are_found_with_junk_before_between_and_behind_them() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    let second = GithubIdentity::of("octo/second");
    let policy = world.policy(&format!(
        "  - name: second\n    issuer: {}\n    identity: {}\nthreshold: 2\n",
        world.sandbox.oidc_issuer(),
        second.subject_alternative_name()
    ));
    let junk = |from: usize| {
        for number in from..from + 40 {
            attach(&world, "octo/app", image.digest(), BUNDLE, format!("{{\"junk\":{number}}}").as_bytes());
        }
    };
    junk(0);
    world.sign(&reference, RekorVersion::V1).await;
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "threshold-not-met".into()));
    world.sign_as(&reference, RekorVersion::V1, &GithubIdentity::of("evil/fork")).await;
    junk(100);
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict).0, "rejected", "a stranger is no second signer");
    world.sign_as(&reference, RekorVersion::V2, &second).await;
    junk(200);
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict).0, "verified");
    // The signer that is missing may be the one that cannot be seen.
    let gone = world.sandbox.registry().referrers("octo/app", image.digest());
    let last = gone.iter().rev().find(|entry| entry["annotations"]["dev.sigstore.bundle.predicateType"].is_string());
    let digest = last.unwrap()["digest"].as_str().unwrap();
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(403)).path(digest));
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_ne!(outcome(&verdict).0, "rejected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_another_image_lends_nothing() {
    let world = World::start(Options { referrers_api: false, ..Options::default() });
    let (signed, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let other = sandbox::image::multi_platform(&sandbox::image::ImageSpec::with_run_script("#!/bin/sh\n", Vec::new()));
    other.push(world.sandbox.registry(), "octo/app", "v2");
    let of_signed = world.sandbox.registry().get_manifest("octo/app", &signed.digest().replace(':', "-")).unwrap();
    world.sandbox.registry().put_manifest("octo/app", &other.digest().replace(':', "-"), INDEX, of_signed.bytes);
    let policy = world.policy("");
    assert_eq!(outcome(&world.verify(&reference, &policy).await.unwrap()).0, "verified");
    let verdict = world.verify_asked(&pinned(&reference, &other), &policy).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "wrong-referrer-subject".into()));
}

#[test]
fn the_order_of_candidates_decides_nothing() {
    let (forge, v1, v2) = (&MADE.forge, &MADE.v1, &MADE.v2);
    let junk = Bytes::from_static(b"{\"junk\":true}");
    let bundles: Vec<Bytes> = [&v1.good, &v1.by_a_stranger, &v2.good, &v2.by_a_stranger]
        .into_iter()
        .map(|bundle| Bytes::from(bundle.to_string()))
        .chain([junk])
        .collect();
    let questions = [
        ("", "verified"),
        ("distinct_logs: 2\n", "verified"),
        ("distinct_logs: 3\n", "rejected"),
        ("not_before: 2100-01-01T00:00:00Z\n", "rejected"),
    ];
    let mut answers = vec![Vec::new(); questions.len()];
    for order in permutations(&[0, 1, 2, 3, 4]) {
        let evidence = Evidence::from_bundles(order.iter().map(|&at| bundles[at].clone()));
        let opened = forge.verifier.authenticate(&evidence, now());
        for ((further, _), answers) in questions.iter().zip(&mut answers) {
            let verdict = opened.verify(&forge::asked(None), &forge.policy(further)).unwrap();
            let findings = verdict.findings();
            let said = |outcome: &Result<AcceptedSignature, Reason>| match outcome {
                Ok(signature) => signature.log().to_owned(),
                Err(reason) => reason.code().to_owned(),
            };
            let each = findings.candidates.iter().zip(&order).map(|(found, &at)| (at, said(&found.outcome)));
            let each: BTreeMap<usize, String> = each.collect();
            answers.push((outcome(&verdict), findings.threshold, findings.logs, each));
        }
    }
    for ((further, expected), mut answers) in questions.into_iter().zip(answers) {
        assert_eq!(answers[0].0.0, expected, "{further:?}");
        assert_eq!(answers.len(), 120);
        answers.dedup();
        assert_eq!(answers.len(), 1, "{further:?}: {answers:#?}");
    }
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let with = |at: usize| {
        let rest: Vec<usize> = of.iter().copied().filter(|&other| other != of[at]).collect();
        permutations(&rest).into_iter().map(move |mut order| {
            order.insert(0, of[at]);
            order
        })
    };
    (0..of.len()).flat_map(with).collect()
}
