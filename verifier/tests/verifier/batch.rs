//! One bundle for many images, and many images at once.

use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::Digest;
use countersign_verifier::batch::Question;
use countersign_verifier::report;
use countersign_verifier::{Asked, Evidence, Verdict, Verifier};
use sandbox::image::Image;
use sandbox::{Options, RekorVersion};

use crate::world::{World, now, outcome, pinned};

/// An image with everything in it signed by one statement, and the bundle.
async fn signed(world: &World, rekor: RekorVersion) -> (Image, Asked, Bytes) {
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, rekor).await;
    let verdict = world.verify(&reference, &world.policy("")).await.unwrap();
    let Verdict::Verified(verified, _) = &verdict else { panic!("{}", report::text(&verdict)) };
    let bundle = verified.signatures()[0].bundle().clone();
    let asked = Asked { tag: reference.tag().cloned(), ..pinned(&reference, &image) };
    (image, asked, bundle)
}

fn of(asked: &Asked, digest: Digest) -> Asked {
    Asked { reference: asked.reference.repository().pin(digest), tag: None }
}

/// Everything that a document says but when it was said.
fn said(verdict: &Verdict) -> serde_json::Value {
    serde_json::to_value(report::document(verdict)).unwrap()
}

#[tokio::test]
async fn evidence_that_was_authenticated_once_answers_for_each_subject_as_if_it_were_asked_alone() {
    let world = World::start(Options::default());
    for rekor in [RekorVersion::V1, RekorVersion::V2] {
        let (image, asked, bundle) = signed(&world, rekor).await;
        let evidence = Evidence::from_bundles([bundle, Bytes::from_static(b"{}")]);
        let time = now();
        let authenticated = world.verifier.authenticate(&evidence, time);
        let mut questions = vec![asked.clone(), of(&asked, Digest::of(b"another image"))];
        questions.extend(image.platforms.iter().map(|child| of(&asked, child.manifest.digest.parse().unwrap())));
        let policies = [world.policy(""), world.policy("require: {repository: true}\n")];
        let mut verdicts = Vec::new();
        for (question, policy) in questions.iter().flat_map(|question| policies.iter().map(move |p| (question, p))) {
            let once = authenticated.verify(question, policy).unwrap();
            let alone = world.verifier.verify(question, &evidence, policy, time).unwrap();
            assert_eq!(said(&once), said(&alone));
            verdicts.push(outcome(&once));
        }
        let mismatch = ("rejected", "subject-mismatch".to_owned());
        let verified = ("verified", String::new());
        assert_eq!(verdicts[2..4], [mismatch.clone(), mismatch], "a digest that the statement does not name");
        assert!(verdicts[..2].iter().chain(&verdicts[4..]).all(|verdict| *verdict == verified), "{verdicts:?}");
        let tagged = world.policy("require: {tag: true}\n");
        assert_eq!(authenticated.verify(&questions[1], &tagged).unwrap_err().code(), "tag-not-asked");
        assert_eq!(outcome(&authenticated.verify(&asked, &tagged).unwrap()).0, "verified");
    }
}

#[tokio::test]
async fn a_batch_answers_in_order_and_what_is_wrong_with_one_question_is_nobody_elses_matter() {
    let world = World::start(Options::default());
    let (image, asked, bundle) = signed(&world, RekorVersion::V2).await;
    let (plain, tagged) = (world.policy(""), world.policy("require: {tag: true}\n"));
    let strange = world.policy("not_before: 2099-01-01T00:00:00Z\n");
    let good = || Evidence::from_bundles([bundle.clone()]);
    let mut forged = bundle.to_vec();
    let position = forged.windows(7).position(|text| text == b"\"sig\":\"").unwrap() + 20;
    forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
    let forged = || Evidence::from_bundles([Bytes::from(forged.clone())]);
    let child = of(&asked, image.platforms[0].manifest.digest.parse().unwrap());
    let cases = [
        (&asked, good(), &plain),
        (&asked, forged(), &plain),
        (&child, good(), &tagged),
        (&child, good(), &plain),
        (&asked, Evidence::default(), &plain),
        (&asked, good(), &strange),
        (&child, Evidence::from_bundles([Bytes::from_static(b"junk"), bundle.clone()]), &plain),
        (&asked, forged(), &plain),
        (&asked, good(), &tagged),
    ];
    let expected = [
        "verified",
        "signature-invalid",
        "tag-not-asked",
        "verified",
        "unsigned",
        "policy-denied",
        "verified",
        "signature-invalid",
        "verified",
    ];
    // More than one window, so that what is kept between them counts too.
    let questions = || {
        let question = |index: usize| {
            let (asked, evidence, policy) = &cases[index % cases.len()];
            Question { asked: (*asked).clone(), evidence: evidence.clone(), policy }
        };
        (0..600).map(question)
    };
    let mut answers = 0;
    for (index, answer) in world.verifier.verify_batch(questions(), now()).enumerate() {
        let code = match &answer {
            Ok(verdict) => match outcome(verdict) {
                ("verified", _) => "verified".to_owned(),
                (_, code) => code,
            },
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(code, expected[index % cases.len()], "answer {index}");
        answers += 1;
    }
    assert_eq!(answers, 600);
    assert_eq!(world.verifier.verify_batch(Vec::new(), now()).count(), 0);
}

#[tokio::test]
async fn one_verifier_is_shared_by_threads_and_a_batch_is_lazy() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Verifier>();
    shared::<Verdict>();
    shared::<Evidence>();
    shared::<countersign_verifier::VerifiedImage>();
    shared::<countersign_verifier::TrustedRoot>();
    shared::<countersign_verifier::Error>();
    shared::<countersign_verifier::reason::Reason>();

    let world = World::start(Options::default());
    let (_, asked, bundle) = signed(&world, RekorVersion::V2).await;
    let policy = Arc::new(world.policy(""));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (verifier, policy, asked) = (Arc::clone(&world.verifier), Arc::clone(&policy), asked.clone());
            let evidence = Evidence::from_bundles([bundle.clone()]);
            std::thread::spawn(move || outcome(&verifier.verify(&asked, &evidence, &policy, now()).unwrap()).0)
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == "verified"));

    let mut taken = 0;
    let endless = std::iter::repeat_with(|| {
        taken += 1;
        Question { asked: asked.clone(), evidence: Evidence::from_bundles([bundle.clone()]), policy: &policy }
    });
    assert_eq!(world.verifier.verify_batch(endless, now()).take(3).filter(Result::is_ok).count(), 3);
    assert!(taken <= 256, "{taken} questions were taken for three answers");
}
