//! What `inspect` sees of a registry: everything, once, and nothing that it would have to trust.

use countersign_oci::index::{Descriptor, Platform};
use countersign_oci::{Digest, ImageReference, Tag, limits};
use countersign_verifier::InspectBounds;
use countersign_verifier::inspect::{self, Inspection, ManifestView, ReferrerView};
use sandbox::{Action, Fault, Options, RekorVersion, Service, digest_of};
use serde_json::{Value, json};

use crate::peer_bundles::PeerBundles;
use crate::registry::{BUNDLE, INDEX, MANIFEST, attach};
use crate::world::{World, outcome, pinned};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

async fn look(world: &World, reference: &ImageReference) -> Inspection {
    countersign_verifier::inspect_image(&world.registry, reference, None).await.unwrap()
}

fn api(on: bool) -> Options {
    Options { referrers_api: on, ..Options::default() }
}

fn places(manifest: &ManifestView) -> Vec<String> {
    manifest.looked_at.iter().map(|place| format!("{}: {}", place.place, place.found)).collect()
}

fn kinds(referrers: &[ReferrerView]) -> Vec<&'static str> {
    referrers.iter().map(|referrer| referrer.is).collect()
}

/// Puts an index of these entries under a tag.
fn put_index(world: &World, repository: &str, tag: &str, entries: &Value) -> (String, usize) {
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    let size = text.len();
    (world.sandbox.registry().put_manifest(repository, tag, INDEX, text), size)
}

fn reference(world: &World, name: &str) -> ImageReference {
    format!("{}/{name}", world.sandbox.registry().host()).parse().unwrap()
}

#[tokio::test]
async fn a_signed_index_is_shown_with_its_children_and_what_each_bundle_claims() {
    for referrers_api in [true, false] {
        let world = World::start(api(referrers_api));
        let (image, reference) = world.push("octo/app");
        world.sign(&reference, RekorVersion::V1).await;
        attach(&world, "octo/app", image.digest(), "application/spdx+json", b"{}");
        let inspection = look(&world, &reference).await;
        assert!(inspection.is_whole(), "{:?}", inspection.error);
        assert_eq!(inspection.digest.as_deref(), Some(image.digest()));
        let index = inspection.manifest.as_ref().unwrap();
        assert_eq!((index.kind, index.children.len()), ("image index", 4));
        let places = places(index);
        let tag = Tag::of_referrers(image.digest().parse().unwrap());
        let (listed, other) = match referrers_api {
            true => ("referrers API: 200, 2 entries: 1 bundle, 1 foreign", "referrers tag schema: 404".to_owned()),
            false => ("referrers tag schema: 200, 1 entry: 1 bundle", "referrers API: 404".to_owned()),
        };
        assert!(places.contains(&listed.to_owned()) && places.contains(&other), "{places:#?}");
        assert!(places.contains(&format!("cosign tag {tag}.sig: absent")), "{places:#?}");

        let claims = index.referrers[0].bundle.as_ref().unwrap();
        let statement = claims.statement.as_ref().unwrap();
        let subject = &statement.subjects[0];
        assert!(subject.is_this && subject.tags == ["v1"]);
        assert!(subject.name.as_ref().unwrap().starts_with(&reference.repository().to_string()));
        let certificate = claims.certificate.as_ref().unwrap();
        assert_eq!(certificate.oidc_issuer.as_deref(), Some(world.sandbox.oidc_issuer().as_str()));
        assert_eq!(certificate.source_repository.as_deref(), Some("https://github.com/octo/app"));
        assert!(certificate.identities[0].starts_with("https://github.com/octo/app/.github/workflows/"));
        assert!(certificate.not_before < certificate.not_after);
        assert_eq!(claims.log_entries[0].kind.as_deref(), Some("dsse"));
        assert!(claims.log_entries[0].integrated_time.is_some());
        assert!(claims.would_refuse.is_none(), "{:?}", claims.would_refuse);

        let platforms: Vec<&str> = index.children.iter().filter_map(|child| child.platform.as_deref()).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64", "unknown/unknown", "unknown/unknown"]);
        assert_eq!(index.children[2].kind, "attestation manifest");
        assert_eq!(index.children[2].describes.as_deref(), Some(index.children[0].digest.as_str()));
        for child in &index.children {
            assert_eq!(kinds(&child.referrers), ["bundle"], "{}", child.digest);
            assert!(child.config.is_some() && !child.layers.is_empty() && !child.looked_at.is_empty());
        }
    }
}

#[tokio::test]
async fn one_platform_is_looked_at_alone() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V2).await;
    let wanted: Platform = "linux/arm64/v8".parse().unwrap();
    let inspection = countersign_verifier::inspect_image(&world.registry, &reference, Some(&wanted)).await.unwrap();
    let index = inspection.manifest.as_ref().unwrap();
    assert!(index.looked_at.is_empty() && index.referrers.is_empty());
    assert_eq!(index.children.len(), 1);
    assert_eq!(index.children[0].digest, image.platform("linux/arm64").unwrap().manifest.digest);
    let text = inspect::text(&inspection);
    assert!(text.contains("Only one platform was looked at"), "{text}");

    let absent: Platform = "linux/s390x".parse().unwrap();
    let error = countersign_verifier::inspect_image(&world.registry, &reference, Some(&absent)).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("no-platform", countersign_oci::Class::Usage));
    assert_eq!(error.hint().as_deref(), Some("it is for linux/amd64, linux/arm64"));

    let child = reference.repository().pin(image.platforms[0].manifest.digest.parse().unwrap()).into();
    let alone = look(&world, &child).await;
    assert_eq!(alone.manifest.unwrap().platform.as_deref(), Some("linux/amd64"), "from the configuration");
    let error = countersign_verifier::inspect_image(&world.registry, &child, Some(&absent)).await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("it is for linux/amd64"));
}

#[tokio::test]
async fn a_signature_that_only_the_tag_lists_is_invisible_and_both_say_so() {
    let world = World::start(api(false));
    let (image, reference) = world.push("octo/app");
    world.sign(&reference, RekorVersion::V1).await;
    // The registry learns of referrers, and lists none of those that were there before.
    world.sandbox.registry().set_referrers_api(true);
    let _fault = world.sandbox.fault(
        Fault::new(Service::Registry, Action::Body(br#"{"schemaVersion":2,"manifests":[]}"#.to_vec()))
            .path("/referrers/"),
    );
    let said = "200, 1 entry, 1 of them not listed by the referrers API, which alone counts";
    let inspection = look(&world, &reference).await;
    let places = places(inspection.manifest.as_ref().unwrap());
    assert!(places.contains(&format!("referrers tag schema: {said}")), "{places:#?}");
    let verdict = world.verify_asked(&pinned(&reference, &image), &world.policy("")).await.unwrap();
    assert_eq!(outcome(&verdict), ("rejected", "unsigned".into()));
    assert!(verdict.findings().looked_at.iter().any(|place| place.found == said), "{:?}", verdict.findings().looked_at);
}

#[tokio::test]
async fn images_of_cosign_2_4_are_recognised_in_both_older_forms() {
    let Some(peers) = PeerBundles::find() else { return };
    for (case, as_tag) in [("cosign-2.4.1-referrer", false), ("cosign-2.4.1-sigtag", true)] {
        let world = World::start(api(true));
        let registry = world.sandbox.registry();
        let subject = peers.subject(case);
        let manifest = peers.read(&format!("{case}.manifest.json"));
        let name = if as_tag { Tag::of_cosign_signature(subject).to_string() } else { digest_of(&manifest) };
        registry.put_manifest("octo/app", &name, MANIFEST, manifest);
        let image = stand_in(&world, subject);
        let asked = countersign_verifier::Asked { reference: image.clone(), tag: None };

        let verdict = world.verify_asked(&asked, &world.policy("")).await.unwrap();
        assert_eq!(outcome(&verdict), ("rejected", "older-cosign-format".into()), "{case}");
        let text = countersign_verifier::report::text(&verdict);
        assert!(text.contains("signed in the form that cosign wrote before version 3"), "{text}");
        assert!(
            text.contains("hint: sign the image again with cosign 3 or later, or with countersign-signer"),
            "{text}"
        );

        let view = beside(&world, subject).await;
        match as_tag {
            true => {
                assert_eq!((view.older_tags.len(), view.older_tags[0].entries), (1, 1), "{case}");
                assert!(view.older_tags[0].hint.unwrap().contains("cosign 3 or later"));
            }
            false => {
                assert_eq!(kinds(&view.referrers), ["older-cosign"], "{case}");
                assert_eq!(view.referrers[0].why.as_ref().unwrap().code, "older-cosign-format");
            }
        }
    }
}

#[tokio::test]
async fn bundles_of_cosign_2_6_are_found_under_their_wrong_type() {
    let Some(peers) = PeerBundles::find() else { return };
    let case = "cosign-2.6.0-replica-tagschema";
    let world = World::start(api(false));
    let registry = world.sandbox.registry();
    let subject = peers.subject(case);
    registry.put_blob("octo/app", peers.read(&format!("{case}.bundle.json")));
    registry.put_blob("octo/app", "{}");
    let manifest = peers.read(&format!("{case}.manifest.json"));
    registry.put_manifest("octo/app", &digest_of(&manifest), MANIFEST, manifest);
    let tag = Tag::of_referrers(subject).to_string();
    registry.put_manifest("octo/app", &tag, INDEX, peers.read(&format!("{case}.tag-schema.json")));
    let asked = countersign_verifier::Asked { reference: stand_in(&world, subject), tag: None };
    let policy = crate::peer_bundles::policy(crate::peer_bundles::ISSUER, crate::peer_bundles::WORKFLOW);
    let verifier = peers.verifier("replica");
    let verdict = countersign_verifier::verify_image(&world.registry, &verifier, &policy, &asked, crate::world::now())
        .await
        .unwrap();
    assert_eq!(outcome(&verdict).0, "verified");

    let view = beside(&world, subject).await;
    assert_eq!(view.referrers[0].artifact_type.as_deref(), Some(BUNDLE));
    assert_eq!(view.referrers[0].listed_artifact_type.as_deref(), Some("application/vnd.oci.empty.v1+json"));
    let claims = view.referrers[0].bundle.as_ref().unwrap();
    assert!(claims.would_refuse.is_none() && claims.problems.is_empty(), "{claims:?}");
    assert_eq!(claims.certificate.as_ref().unwrap().oidc_issuer.as_deref(), Some(crate::peer_bundles::ISSUER));
}

/// The peers' images are not kept: the registry answers for their digest with a manifest of other bytes, which only
/// says that there is one.
fn stand_in(world: &World, subject: Digest) -> countersign_oci::PinnedReference {
    let registry = world.sandbox.registry();
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string();
    registry.put_manifest("octo/app", "stand-in", INDEX, text.clone());
    registry.overwrite_manifest("octo/app", &subject.to_string(), text);
    reference(world, "octo/app").repository().pin(subject)
}

/// Looks at a digest whose bytes are not kept, as the child of an index: what is beside it is seen all the same.
async fn beside(world: &World, subject: Digest) -> ManifestView {
    countersign_verifier::collect::inspect_beside(
        &world.registry,
        &reference(world, "octo/app").repository().pin(subject),
    )
    .await
}

#[tokio::test]
async fn what_cannot_be_seen_is_named_and_is_not_all_there_is() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    let junk = attach(&world, "octo/app", image.digest(), BUNDLE, b"{}");
    {
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(403)).path(&junk));
        let inspection = look(&world, &reference).await;
        assert!(!inspection.is_whole());
        let referrer = &inspection.manifest.as_ref().unwrap().referrers[0];
        assert_eq!((referrer.digest.as_str(), referrer.is), (junk.as_str(), "unreadable"));
        assert!(referrer.why.as_ref().unwrap().reason.contains("403"));
        assert_eq!(inspection.error.unwrap().code, "not-all-seen");
    }
    for path in ["/referrers/", ".sig"] {
        let _fault = world.sandbox.fault(Fault::new(Service::Registry, Action::status(503)).path(path));
        let inspection = look(&world, &reference).await;
        let error = inspection.error.as_ref().unwrap();
        assert!(error.retryable, "{path}");
        assert!(inspect::text(&inspection).contains("not seen: "), "{path}");
    }
    world.sandbox.registry().remove_manifest("octo/app", &image.platforms[1].manifest.digest);
    let inspection = look(&world, &reference).await;
    let child = &inspection.manifest.as_ref().unwrap().children[1];
    assert_eq!(child.unreadable.as_ref().unwrap().code, "not-found");
    assert!(!inspection.is_whole());

    world.sandbox.registry().remove_tag("octo/app", "v1");
    let error = countersign_verifier::inspect_image(&world.registry, &reference, None).await.unwrap_err();
    assert_eq!(error.code(), "not-found");
}

#[tokio::test]
async fn ten_thousand_referrers_end_and_are_counted() {
    let world = World::start(api(false));
    let (image, reference) = world.push("octo/app");
    let junk = attach(&world, "octo/app", image.digest(), "application/spdx+json", b"{}");
    let entry = |number: usize| {
        let digest = if number == 0 { junk.parse().unwrap() } else { Digest::of(&number.to_le_bytes()) };
        let mut entry = Descriptor::new(MANIFEST, digest, limits::MANIFEST_BYTES + 1);
        entry.artifact_type = Some("application/spdx+json".to_owned());
        if number == 0 {
            entry.size = 1;
        }
        serde_json::to_value(entry).unwrap()
    };
    let tag = image.digest().replace(':', "-");
    let entries: Vec<Value> = (0..limits::REFERRERS_DESCRIPTORS + 1).map(entry).collect();
    let text = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    world.sandbox.registry().put_manifest("octo/app", &tag, INDEX, text);
    let inspection = look(&world, &reference).await;
    let index = inspection.manifest.as_ref().unwrap();
    assert_eq!(index.referrers.len(), limits::INSPECT_REFERRERS);
    let omitted = limits::REFERRERS_DESCRIPTORS - limits::INSPECT_REFERRERS;
    assert_eq!((index.referrers_omitted, index.not_examined), (omitted, omitted));
    let places = places(index);
    assert!(places.iter().any(|place| place.ends_with(&format!(", {omitted} more not shown"))), "{places:#?}");
    assert!(serde_json::to_vec(&inspection).unwrap().len() < 10_000_000);
    assert!(index.gaps.iter().any(|gap| gap.code == "referrers-truncated"), "{:?}", index.gaps);
    assert_eq!(kinds(&index.referrers).iter().filter(|kind| **kind == "foreign").count(), 1);
    assert!(!inspection.is_whole());
    assert!(inspect::text(&inspection).len() < 100_000);
}

#[tokio::test]
async fn nested_and_endless_indexes_are_shown_as_far_as_the_limits_go() {
    let world = World::start(api(true));
    let (image, _) = world.push("octo/app");
    let leaf = json!({"mediaType": INDEX, "digest": image.digest(), "size": image.index.bytes.len()});
    let mut entries = json!([leaf, leaf]);
    for depth in 0..limits::INSPECT_DEPTH + 3 {
        let (digest, size) = put_index(&world, "octo/app", &format!("depth-{depth}"), &entries);
        entries = json!([{"mediaType": INDEX, "digest": digest, "size": size}]);
    }
    let shallow = look(&world, &reference(&world, "octo/app:depth-0")).await;
    let index = shallow.manifest.as_ref().unwrap();
    assert_eq!(index.children[0].children.len(), 4);
    assert_eq!(index.children[1].note, Some("the same manifest is shown elsewhere"));
    assert!(shallow.is_whole(), "{:?}", shallow.error);

    let deep = look(&world, &reference(&world, &format!("octo/app:depth-{}", limits::INSPECT_DEPTH + 2))).await;
    assert!(!deep.is_whole());
    assert!(inspect::text(&deep).contains("not shown: 1 further entries, because a limit is reached"));

    let many: Vec<Value> = (0..limits::INSPECT_MANIFESTS * 2)
        .map(|number| json!({"mediaType": "text/plain", "digest": Digest::of(&number.to_le_bytes()), "size": 1}))
        .collect();
    put_index(&world, "octo/app", "wide", &json!(many));
    let wide = look(&world, &reference(&world, "octo/app:wide")).await;
    let index = wide.manifest.as_ref().unwrap();
    assert_eq!(index.children.len() + 1, limits::INSPECT_MANIFESTS);
    assert_eq!(index.children.len() + index.children_omitted, many.len());
    assert!(!wide.is_whole());
}

/// An index of indexes, each with many entries.
fn put_wide_tree(world: &World, indexes: u32, entries: u32) -> ImageReference {
    let child = |number: u32| {
        let entry = |entry: u32| {
            let digest = Digest::of(&[number.to_le_bytes(), entry.to_le_bytes()].concat());
            json!({"mediaType": "text/plain", "digest": digest, "size": 1, "annotations": {"a": "b"}})
        };
        let entries: Vec<Value> = (0..entries).map(entry).collect();
        let (digest, size) = put_index(world, "octo/app", &format!("child-{number}"), &json!(entries));
        json!({"mediaType": INDEX, "digest": digest, "size": size})
    };
    let children: Vec<Value> = (0..indexes).map(child).collect();
    put_index(world, "octo/app", "tree", &json!(children));
    reference(world, "octo/app:tree")
}

async fn look_within(world: &World, reference: &ImageReference, bounds: &InspectBounds) -> Inspection {
    countersign_verifier::inspect_image_within(&world.registry, reference, None, bounds).await.unwrap()
}

#[tokio::test]
async fn an_index_of_wide_indexes_is_cut_to_what_is_shown_in_all() {
    let world = World::start(api(true));
    let tree = put_wide_tree(&world, 6, 100);
    let mut bounds = InspectBounds::default();
    bounds.manifests = 20;
    let inspection = look_within(&world, &tree, &bounds).await;
    let index = inspection.manifest.as_ref().unwrap();
    let below: Vec<(usize, usize)> =
        index.children.iter().map(|child| (child.children.len(), child.children_omitted)).collect();
    assert_eq!(below, [(13, 87), (0, 100), (0, 100), (0, 100), (0, 100), (0, 100)]);
    assert_eq!(inspection.error.as_ref().unwrap().message, "587 things could not be seen");
}

#[tokio::test]
async fn manifests_and_lists_count_among_the_bytes_and_what_is_beyond_them_is_named() {
    let world = World::start(api(true));
    let tree = put_wide_tree(&world, 12, 100);
    let mut bounds = InspectBounds::default();
    bounds.bytes = 30_000;
    let inspection = look_within(&world, &tree, &bounds).await;
    let index = inspection.manifest.as_ref().unwrap();
    let unread: Vec<&str> =
        index.children.iter().filter_map(|child| child.unreadable.as_ref()).map(|gap| gap.code.as_str()).collect();
    assert!((4..12).contains(&unread.len()) && unread.iter().all(|code| *code == "inspect-too-large"), "{unread:?}");
    assert!(!inspection.is_whole());

    let (image, reference) = world.push("octo/app");
    for number in 0..40 {
        attach(&world, "octo/app", image.digest(), &format!("application/example; n={number}"), b"{}");
    }
    // The index, and then the list alone.
    bounds.bytes = image.index.bytes.len() as u64 + 1_000;
    let inspection = look_within(&world, &reference, &bounds).await;
    let index = inspection.manifest.as_ref().unwrap();
    assert_eq!((index.referrers.len(), index.not_examined, index.referrers_omitted), (40, 40, 0));
    assert!(index.children.iter().all(|child| child.unreadable.is_some()));
}

#[tokio::test]
async fn referrers_are_shown_up_to_a_number_for_the_whole_image() {
    let world = World::start(api(true));
    let (image, reference) = world.push("octo/app");
    for number in 0..6 {
        attach(&world, "octo/app", image.digest(), &format!("application/example; n={number}"), b"{}");
        let child = &image.platforms[0].manifest.digest;
        attach(&world, "octo/app", child, &format!("application/example; n={number}"), b"{}");
    }
    let mut bounds = InspectBounds::default();
    bounds.referrers = 8;
    let inspection = look_within(&world, &reference, &bounds).await;
    let index = inspection.manifest.as_ref().unwrap();
    let child = &index.children[0];
    assert_eq!((index.referrers.len(), index.not_examined), (6, 0));
    assert_eq!((child.referrers.len(), child.not_examined, child.referrers_omitted), (2, 4, 4));
    let places = places(child);
    assert!(places.contains(&"referrers API: 200, 6 entries: 2 foreign, 4 more not shown".to_owned()), "{places:#?}");
    assert_eq!(inspection.error.as_ref().unwrap().message, "4 things could not be seen");
}

#[tokio::test]
async fn an_index_that_lists_itself_is_refused_by_its_digest() {
    let world = World::start(api(true));
    let registry = world.sandbox.registry();
    let (outer, size) = put_index(&world, "octo/app", "v1", &json!([]));
    let entries = json!([{"mediaType": INDEX, "digest": outer, "size": size}]);
    let (inner, inner_size) = put_index(&world, "octo/app", "v2", &entries);
    let cyclic = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": INDEX, "digest": inner, "size": inner_size},
    ]});
    registry.overwrite_manifest("octo/app", &outer, cyclic.to_string());
    let inspection = look(&world, &reference(&world, "octo/app:v2")).await;
    let child = &inspection.manifest.as_ref().unwrap().children[0];
    assert_eq!(child.unreadable.as_ref().unwrap().code, "digest-mismatch");
    assert!(!inspection.is_whole());
}

#[tokio::test]
async fn hostile_names_of_a_registry_never_reach_a_terminal() {
    let world = World::start(api(true));
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\nsigned";
    let config = world.sandbox.registry().put_blob("octo/app", json!({"os": hostile, "architecture": "a"}).to_string());
    let size = json!({"os": hostile, "architecture": "a"}).to_string().len();
    let document = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config, "size": size},
        "layers": [{"mediaType": hostile, "digest": config, "size": size,
                    "annotations": {"in-toto.io/predicate-type": hostile}}],
        "annotations": {hostile: hostile.repeat(10_000)},
    });
    let digest = world.sandbox.registry().put_manifest("octo/app", "v1", MANIFEST, document.to_string());
    attach(&world, "octo/app", &digest, hostile, b"{}");
    let inspection = look(&world, &reference(&world, "octo/app:v1")).await;
    let text = inspect::text(&inspection);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("signed")), "{text}");
    let json = serde_json::to_string_pretty(&inspection).unwrap();
    for raw in ["\u{1b}", "\u{9b}", "\u{202e}", "\\u001b", "\\u0007"] {
        assert!(!json.contains(raw), "{raw:?}");
    }
    assert!(json.len() < 50_000, "{}", json.len());
}
