use countersign_oci::index::Descriptor;
use countersign_oci::{Class, Digest, ReferrersSource, Tag, Truncation, limits, media_type};
use sandbox::Action;

use crate::support::{PATH, World, answer, digests, header, index};

#[tokio::test]
async fn the_referrers_api_is_listed_page_by_page() {
    let world = World::with(|sandbox| sandbox.page_size = Some(2), |_, _| {});
    let subject = world.put_index("v1");
    let other = world.repository.pin(Digest::of(b"other"));
    world.put_referrer(&other, "of another image");
    let put: Vec<Descriptor> = (0..5).map(|number| world.put_referrer(&subject, &format!("bundle {number}"))).collect();
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert_eq!(digests(&referrers.descriptors), digests(&put));
    assert_eq!((referrers.source, referrers.truncated, referrers.malformed), (ReferrersSource::Api, None, 0));
    assert_eq!(referrers.looked_at[0].answer, "200, 5 entries");
    assert_eq!(referrers.descriptors[0].artifact_type.as_deref(), Some(media_type::SIGSTORE_BUNDLE_V0_3));
    assert_eq!(world.requests_to("/referrers/"), 3);
    assert_eq!(world.requests().len(), 3);
}

#[tokio::test]
async fn an_empty_api_is_an_answer_and_the_tag_is_not_asked() {
    let world = World::new();
    let subject = world.put_index("v1");
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert!(referrers.descriptors.is_empty());
    assert_eq!(referrers.source, ReferrersSource::Api);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn what_the_tag_lists_beside_an_api_can_be_asked_for() {
    let world = World::new();
    let subject = world.put_index("v1");
    assert!(world.registry.referrers_tag(&subject).await.unwrap().is_none());
    let listed = [world.put_referrer(&subject, "bundle")];
    let tag = Tag::of_referrers(subject.digest());
    world.sandbox.registry().put_manifest(PATH, tag.as_str(), media_type::OCI_INDEX, index(&listed));
    let referrers = world.registry.referrers_tag(&subject).await.unwrap().unwrap();
    assert_eq!((referrers.descriptors.len(), referrers.looked_at[0].answer.as_str()), (1, "200, 1 entry"));
    let _fault = world.fault("/manifests/sha256-", Action::status(403));
    assert_eq!(world.registry.referrers_tag(&subject).await.unwrap_err().class(), Class::Denied);
}

#[tokio::test]
async fn without_the_api_the_tag_counts_and_no_type_is_filtered() {
    for action in [404, 400, 405, 406, 501].map(Action::status) {
        let world = World::new();
        let subject = world.put_index("v1");
        let mut typed = world.put_referrer(&subject, "typed");
        let mut untyped = world.put_referrer(&subject, "untyped");
        let mut wrong = world.put_referrer(&subject, "wrong");
        typed.artifact_type = Some(media_type::SIGSTORE_BUNDLE_V0_3.to_owned());
        untyped.artifact_type = None;
        wrong.artifact_type = Some(media_type::EMPTY.to_owned());
        let listed = [typed, untyped, wrong];
        let tag = Tag::of_referrers(subject.digest());
        world.sandbox.registry().put_manifest(PATH, tag.as_str(), media_type::OCI_INDEX, index(&listed));
        let _fault = world.fault("/referrers/", action.clone());
        let referrers = world.registry.referrers(&subject).await.unwrap();
        assert_eq!(referrers.descriptors, listed, "{action:?}");
        assert_eq!(referrers.source, ReferrersSource::TagSchema);
        let shown: Vec<String> =
            referrers.looked_at.iter().map(|place| format!("{}: {}", place.what, place.answer)).collect();
        assert_eq!(shown[1], "referrers tag schema: 200, 3 entries");
    }
}

#[tokio::test]
async fn neither_api_nor_tag_is_nobody() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert!(referrers.descriptors.is_empty());
    assert_eq!(referrers.source, ReferrersSource::TagSchema);
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test]
async fn a_200_of_another_kind_is_no_api_and_its_silence_proves_nothing() {
    let page = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#;
    for action in [
        Action::WrongContentType("text/html".to_owned()),
        Action::WrongContentType("application/json".to_owned()),
        Action::WrongContentType(media_type::OCI_MANIFEST.to_owned()),
        Action::Body(b"<html>welcome</html>".to_vec()),
        Action::Body(b"{}".to_vec()),
        Action::Body(page.as_bytes().to_vec()),
    ] {
        let world = World::new();
        let subject = world.put_index("v1");
        let put = world.put_referrer(&subject, "bundle");
        let _fault = world.fault("/referrers/", action.clone());
        let referrers = world.registry.referrers(&subject).await.unwrap();
        assert_eq!((referrers.source, referrers.descriptors.len()), (ReferrersSource::NotAnApi, 0), "{action:?}");
        // Where the tag has something, it counts.
        let tag = Tag::of_referrers(subject.digest());
        world.sandbox.registry().put_manifest(PATH, tag.as_str(), media_type::OCI_INDEX, index(&[put]));
        let referrers = world.registry.referrers(&subject).await.unwrap();
        assert_eq!((referrers.source, referrers.descriptors.len()), (ReferrersSource::TagSchema, 1), "{action:?}");
    }
}

#[tokio::test]
async fn a_listing_that_fails_is_never_nobody() {
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}"#;
    for (status, class) in [
        (401, Class::Malformed),
        (403, Class::Denied),
        (429, Class::Throttled),
        (500, Class::Unreachable),
        (502, Class::Unreachable),
        (503, Class::Unreachable),
        (418, Class::Malformed),
        (204, Class::Malformed),
    ] {
        let world = World::new();
        let subject = world.put_index("v1");
        let api = world.fault("/referrers/", answer(status, unknown, &[]));
        if status != 204 {
            assert_eq!(world.registry.referrers(&subject).await.unwrap_err().class(), class, "{status}");
        }
        drop(api);
        world.sandbox.registry().set_referrers_api(false);
        let _tag = world.fault("/manifests/sha256-", answer(status, unknown, &[]));
        assert_eq!(world.registry.referrers(&subject).await.unwrap_err().class(), class, "{status} under the tag");
    }
}

#[tokio::test]
async fn a_later_page_that_fails_is_not_the_end_of_the_list() {
    for action in [Action::status(404), Action::status(403), Action::Body(b"{}".to_vec())] {
        let world = World::with(|sandbox| sandbox.page_size = Some(1), |_, _| {});
        let subject = world.put_index("v1");
        world.put_referrer(&subject, "1");
        world.put_referrer(&subject, "2");
        let fault = sandbox::Fault::new(sandbox::Service::Registry, action.clone()).path("/referrers/").after(1);
        let _fault = world.sandbox.fault(fault);
        assert!(world.registry.referrers(&subject).await.is_err(), "{action:?}");
    }
}

#[tokio::test]
async fn a_next_page_that_is_an_earlier_one_ends_the_list() {
    let world = World::new();
    let subject = world.put_index("v1");
    let put = world.put_referrer(&subject, "bundle");
    let link = format!("</v2/{PATH}/referrers/{}?page=2>; rel=\"next\"", subject.digest());
    let _fault = world.fault("/referrers/", header("Link", &link));
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert_eq!(referrers.truncated, Some(Truncation::LinkLoop));
    assert_eq!(digests(&referrers.descriptors), [put.digest]);
    assert_eq!(world.requests().len(), 2);
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_fetched() {
    let elsewhere = World::new();
    let base = elsewhere.sandbox.registry().url();
    for link in [
        format!("<{base}/v2/x>; rel=next"),
        "<https://evil.example/v2/>; rel=next".to_owned(),
        "</steal>; rel=next".to_owned(),
        "<http://>; rel=next".to_owned(),
    ] {
        let world = World::new();
        let subject = world.put_index("v1");
        world.put_referrer(&subject, "bundle");
        let _fault = world.fault("/referrers/", header("Link", &link));
        let referrers = world.registry.referrers(&subject).await.unwrap();
        assert_eq!((referrers.truncated, referrers.descriptors.len()), (Some(Truncation::ForeignLink), 1), "{link}");
        assert_eq!(world.requests().len(), 1);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn ten_thousand_entries_are_listed_and_more_are_noted() {
    let world = World::new();
    let subject = world.put_index("v1");
    let list = |count: usize| {
        let descriptors: Vec<Descriptor> =
            (0..count).map(|number| Descriptor::of(media_type::OCI_MANIFEST, &number.to_le_bytes())).collect();
        Action::Body(index(&descriptors).to_vec())
    };
    for (count, truncated) in [(limits::REFERRERS_DESCRIPTORS, None), (10_001, Some(Truncation::Descriptors))] {
        let _fault = world.fault("/referrers/", list(count));
        let referrers = world.registry.referrers(&subject).await.unwrap();
        assert_eq!((referrers.descriptors.len(), referrers.truncated), (limits::REFERRERS_DESCRIPTORS, truncated));
    }
}

#[tokio::test]
async fn a_list_that_never_ends_is_noted_as_cut() {
    let world = World::new();
    let subject = world.put_index("v1");
    let api = world.fault("/referrers/", Action::Endless);
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert_eq!((referrers.source, referrers.truncated), (ReferrersSource::Api, Some(Truncation::Bytes)));
    drop(api);
    world.sandbox.registry().set_referrers_api(false);
    world.put_index(Tag::of_referrers(subject.digest()).as_str());
    let _tag = world.fault("/manifests/sha256-", Action::Endless);
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert_eq!((referrers.source, referrers.truncated), (ReferrersSource::TagSchema, Some(Truncation::Bytes)));
}

#[tokio::test]
async fn malformed_entries_are_counted_and_hide_nothing() {
    let world = World::new();
    let subject = world.put_index("v1");
    let good = serde_json::to_string(&world.put_referrer(&subject, "good")).unwrap();
    let body = format!(r#"{{"schemaVersion":2,"manifests":[7,{{"digest":"sha256:x"}},{good},{good},null]}}"#);
    let _fault = world.fault("/referrers/", Action::Body(body.into_bytes()));
    let referrers = world.registry.referrers(&subject).await.unwrap();
    assert_eq!((referrers.descriptors.len(), referrers.malformed), (1, 3));
}

#[tokio::test]
async fn a_referrers_tag_that_is_something_else_cannot_be_told() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let tag = Tag::of_referrers(subject.digest());
    for (content_type, body) in [
        (media_type::OCI_MANIFEST, "{}"),
        (media_type::DOCKER_LIST, r#"{"schemaVersion":2,"manifests":[]}"#),
        (media_type::OCI_INDEX, "not json"),
        (media_type::OCI_INDEX, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#),
    ] {
        world.sandbox.registry().put_manifest(PATH, tag.as_str(), content_type, body);
        assert_eq!(world.registry.referrers(&subject).await.unwrap_err().class(), Class::Malformed, "{body}");
    }
}
