//! What a verified image covers: its platforms, with and without signatures of their own.

use countersign_oci::ImageReference;
use countersign_oci::index::Platform;
use countersign_policy::Policy;
use countersign_verifier::platforms::{self, Conclusion, OwnSignature, PlatformTree, Walk};
use countersign_verifier::{Verdict, VerifiedImage};
use sandbox::image::Image;
use sandbox::{Action, Fault, GithubIdentity, Options, RekorVersion, Service};
use serde_json::{Value, json};

use crate::registry::INDEX;
use crate::world::{World, now, outcome};

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn walk<'a>(world: &'a World, reference: &'a ImageReference, policy: &'a Policy) -> Walk<'a> {
    let repository = reference.repository();
    Walk {
        source: (&world.registry).into(),
        manifests: repository,
        evidence: repository,
        verifier: &world.verifier,
        policy,
        now: now(),
    }
}

async fn verified(world: &World, reference: &ImageReference, policy: &Policy) -> VerifiedImage {
    match world.verify(reference, policy).await.unwrap() {
        Verdict::Verified(image, _) => image,
        other => panic!("{other:?}"),
    }
}

async fn tree(world: &World, reference: &ImageReference) -> PlatformTree {
    let policy = world.policy("");
    let image = verified(world, reference, &policy).await;
    platforms::platform_tree(walk(world, reference, &policy), &image).await.unwrap()
}

fn own(tree: &PlatformTree) -> Vec<&'static str> {
    let name = |own: Option<&OwnSignature>| match own {
        Some(OwnSignature::Accepted { .. }) => "accepted",
        Some(OwnSignature::None) => "none",
        Some(OwnSignature::Rejected { .. }) => "rejected",
        Some(_) => "unknown",
        None => "not asked",
    };
    tree.children.iter().map(|child| name(child.own_signature.as_ref())).collect()
}

fn child(reference: &ImageReference, image: &Image, platform: &str) -> ImageReference {
    reference.repository().pin(image.platform(platform).unwrap().manifest.digest.parse().unwrap()).into()
}

/// Puts an index of these entries under a tag.
fn put_index(world: &World, repository: &str, tag: &str, entries: &[Value]) -> (String, usize, ImageReference) {
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    let size = text.len();
    let digest = world.sandbox.registry().put_manifest(repository, tag, INDEX, text);
    let reference = format!("{}/{repository}:{tag}", world.sandbox.registry().host()).parse().unwrap();
    (digest, size, reference)
}

#[tokio::test]
async fn every_child_is_covered_and_says_what_signature_it_has_of_its_own() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V2).await;
    let whole = tree(&world, &reference).await;
    assert_eq!(own(&whole), ["accepted", "accepted", "not asked", "not asked"]);
    assert_eq!((whole.platforms, whole.signed_themselves, whole.omitted), (2, 2, 0));
    assert!(whole.children.iter().all(|child| child.covered));
    assert_eq!(whole.conclusion(), Conclusion::Covered);
    let alone = tree(&world, &child(&reference, &image, "linux/arm64")).await;
    assert_eq!((alone.kind, alone.platforms, alone.children.len()), ("image manifest", 1, 0));
    assert_eq!(alone.conclusion(), Conclusion::Covered);
}

#[tokio::test]
async fn a_child_without_a_signature_of_its_own_is_covered_unless_the_policy_requires_one() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign_alone(&reference).await;
    let stranger = GithubIdentity { repository: "evil/app".to_owned(), ..GithubIdentity::default() };
    world.sign_as(&child(&reference, &image, "linux/arm64"), RekorVersion::V1, &stranger).await;
    let whole = tree(&world, &reference).await;
    assert_eq!(own(&whole), ["none", "rejected", "not asked", "not asked"]);
    assert_eq!(whole.conclusion(), Conclusion::Covered);

    let strict = world.policy("require:\n  platforms: true\n");
    let verdict = world.verify(&reference, &strict).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "platform-not-signed".to_owned()));
    world.sign_alone(&child(&reference, &image, "linux/amd64")).await;
    assert!(
        matches!(world.verify(&reference, &strict).await.unwrap(), Verdict::Rejected(_)),
        "one is still a stranger's"
    );
    world.sign_alone(&child(&reference, &image, "linux/arm64")).await;
    assert!(matches!(world.verify(&reference, &strict).await.unwrap(), Verdict::Verified(..)));
    let child = child(&reference, &image, "linux/arm64");
    assert!(matches!(world.verify(&child, &strict).await.unwrap(), Verdict::Verified(..)), "it is its own platform");
}

#[tokio::test]
async fn a_policy_that_requires_platforms_is_not_decided_by_one_digest() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let strict = world.policy("require:\n  platforms: true\n");
    let asked = countersign_verifier::resolve(&world.registry, &reference).await.unwrap();
    let nothing = countersign_verifier::Evidence::default();
    let error = world.verifier.verify(&asked, &nothing, &strict, now()).unwrap_err();
    assert_eq!((error.code(), error.class()), ("platforms-not-asked", countersign_oci::Class::Usage));
    let missing = image.platform("linux/arm64").unwrap().manifest.digest.clone();
    world.sandbox.registry().remove_manifest("octo/app", &missing);
    let verdict = world.verify(&reference, &strict).await.unwrap();
    assert_eq!(outcome(&verdict), ("undecided", "undecided".to_owned()));
}

#[tokio::test]
async fn a_child_that_the_registry_does_not_have_is_never_all_platforms() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    world.sandbox.registry().remove_manifest("octo/app", &image.platform("linux/arm64").unwrap().manifest.digest);
    let whole = tree(&world, &reference).await;
    assert!(whole.children[1].unseen.is_some(), "{whole:#?}");
    assert!(matches!(whole.conclusion(), Conclusion::Undecided(_)));
}

#[tokio::test]
async fn evidence_that_cannot_be_read_changes_nothing_where_it_is_not_required() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let digest = image.platform("linux/arm64").unwrap().manifest.digest.clone();
    let _fault =
        world.sandbox.fault(Fault::new(Service::Registry, Action::status(503)).path(&format!("/referrers/{digest}")));
    let whole = tree(&world, &reference).await;
    assert_eq!(own(&whole), ["accepted", "unknown", "not asked", "not asked"]);
    assert_eq!(whole.conclusion(), Conclusion::Covered);
    let strict = world.policy("require:\n  platforms: true\n");
    let verdict = world.verify(&reference, &strict).await.unwrap();
    assert_eq!(outcome(&verdict).0, "undecided");
}

#[tokio::test]
async fn nested_indexes_are_walked_duplicates_once_and_what_is_too_much_is_counted() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    let arm = &image.platform("linux/arm64").unwrap().manifest;
    let entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": arm.digest, "size": arm.bytes.len(),
        "platform": {"os": "linux", "architecture": "arm64"}});
    let (digest, size, _) = put_index(&world, "octo/app", "inner", &[entry.clone(), entry.clone()]);
    let inner = json!({"mediaType": INDEX, "digest": digest, "size": size});
    let (_, _, nested) = put_index(&world, "octo/app", "outer", &[inner, entry.clone()]);
    world.sign_alone(&nested).await;
    let whole = tree(&world, &nested).await;
    assert_eq!((whole.children.len(), whole.platforms), (2, 1));
    let below: Vec<bool> = whole.children[0].children.iter().map(|child| child.repeated).collect();
    assert_eq!(below, [true, true], "it is looked at where it is named first by level");
    assert_eq!(whole.conclusion(), Conclusion::Covered);
    let policy = world.policy("");
    let found = verified(&world, &nested, &policy).await;
    let chosen = platforms::platform_of(&world.registry, nested.repository(), &found, &platform("linux/arm64")).await;
    assert_eq!(chosen.unwrap().digest().to_string(), arm.digest);

    let many: Vec<Value> = (0..600)
        .map(|number| {
            let mut entry = entry.clone();
            entry["digest"] = format!("sha256:{number:064x}").into();
            entry["mediaType"] = "application/vnd.example".into();
            entry
        })
        .collect();
    let (_, _, large) = put_index(&world, "octo/app", "large", &many);
    world.sign_alone(&large).await;
    let cut = tree(&world, &large).await;
    assert_eq!((cut.children.len(), cut.omitted), (512, 88));
    assert!(matches!(cut.conclusion(), Conclusion::Undecided(_)));
    drop(reference);
}

#[tokio::test]
async fn a_platform_is_picked_from_the_index_or_read_from_the_image() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    let policy = world.policy("");
    let pick = async |reference: &ImageReference, wanted: &str| {
        let found = verified(&world, reference, &policy).await;
        platforms::platform_of(&world.registry, reference.repository(), &found, &platform(wanted)).await
    };
    let arm = child(&reference, &image, "linux/arm64");
    let chosen = pick(&reference, "linux/arm64/v8").await.unwrap();
    assert_eq!(Some(chosen.digest()), arm.digest());
    assert_eq!(chosen.reference().to_string(), arm.to_string());
    assert_eq!(pick(&arm, "linux/arm64").await.unwrap().digest(), arm.digest().unwrap(), "from its configuration");
    let error = pick(&reference, "linux/s390x").await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("it is for linux/amd64, linux/arm64"));
    let error = pick(&arm, "linux/amd64").await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("it is for linux/arm64"));
}

#[tokio::test]
async fn signed_children_of_an_index_that_is_not_signed_are_named() {
    let world = World::start(Options::default());
    let (image, reference) = world.push("octo/app");
    world.sign_alone(&child(&reference, &image, "linux/amd64")).await;
    let policy = world.policy("");
    let verdict = world.verify(&reference, &policy).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "unsigned".to_owned()));
    assert!(countersign_verifier::report::is_unsigned(verdict.findings()));
    let place = platforms::signed_children(walk(&world, &reference, &policy), &verdict.findings().asked).await.unwrap();
    assert_eq!(
        format!("{}: {}", place.place, place.found),
        "children of the index: 1 of its 2 children carries a signature, 1 as the policy wants it; the index itself has none"
    );
    let other = world.push("octo/other").1;
    let verdict = world.verify(&other, &policy).await.unwrap();
    assert!(platforms::signed_children(walk(&world, &other, &policy), &verdict.findings().asked).await.is_none());
}
