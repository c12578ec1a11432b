use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_oci::index::Descriptor;
use countersign_oci::{Class, PinnedReference, Pusher, RegistryError, Tag, media_type};
use sandbox::{Action, Fault, Service};

use crate::support::{PATH, World, digests, index};

fn tag_of(subject: &PinnedReference) -> String {
    Tag::of_referrers(subject.digest()).to_string()
}

async fn listed(world: &World, subject: &PinnedReference) -> Vec<Descriptor> {
    world.registry.referrers(subject).await.unwrap().descriptors
}

#[tokio::test]
async fn what_others_wrote_stays_as_it_is() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let foreign = world.put_referrer(&subject, "foreign");
    let ours = world.put_referrer(&subject, "ours");
    let entry = format!(
        r#"{{ "digest":"{}","mediaType":"{}","size":{},"vendor":{{"z":1,"a":0.10}}}}"#,
        foreign.digest,
        media_type::OCI_MANIFEST,
        foreign.size
    );
    let before = format!(
        r#"{{"x-vendor":true,"schemaVersion":2,"manifests":[{entry}],"mediaType":"application/vnd.oci.image.index.v1+json","annotations":{{"k":"v"}}}}"#
    );
    world.sandbox.registry().put_manifest(PATH, &tag_of(&subject), media_type::OCI_INDEX, before.clone());
    world.pusher().update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap();
    let after = world.sandbox.registry().get_manifest(PATH, &tag_of(&subject)).unwrap();
    let expected = before.replace(&entry, &format!("{entry},{}", serde_json::to_string(&ours).unwrap()));
    assert_eq!(String::from_utf8(after.bytes.to_vec()).unwrap(), expected);
    assert!(expected.contains(r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json""#));
    assert!(expected.contains(r#""annotations":{"name":"ours"}"#));
}

#[tokio::test]
async fn what_is_listed_already_is_not_written_again() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let pusher = world.pusher();
    pusher.update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap();
    world.sandbox.clear_requests();
    pusher.update_tag_schema(&subject, &[ours]).await.unwrap();
    assert_eq!(world.requests().len(), 1);
    assert_eq!(world.requests_to("PUT"), 0);
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    for compare_and_swap in [false, true] {
        let world = World::with(
            |sandbox| {
                sandbox.referrers_api = false;
                sandbox.compare_and_swap = compare_and_swap;
            },
            |_, _| {},
        );
        let subject = world.put_index("v1");
        let ours: Vec<Descriptor> = (0..4).map(|number| world.put_referrer(&subject, &format!("{number}"))).collect();
        // Two of this process, two of others.
        let pushers =
            [world.pusher(), world.pusher(), Pusher::new(world.other_registry()), Pusher::new(world.other_registry())];
        let writes = pushers
            .iter()
            .zip(&ours)
            .map(|(pusher, one)| pusher.update_tag_schema(&subject, std::slice::from_ref(one)));
        for outcome in futures_util::future::join_all(writes).await {
            outcome.unwrap();
        }
        assert_eq!(digests(&listed(&world, &subject).await), digests(&ours), "compare and swap: {compare_and_swap}");
    }
}

/// What a foreign writer that knows nothing of us does just before our `number`th reading.
fn overwrite_before_reading(
    world: &World,
    subject: &PinnedReference,
    after: usize,
    times: usize,
) -> sandbox::FaultGuard {
    let (registry, tag) = (world.sandbox.registry().clone(), tag_of(subject));
    let foreign = world.put_referrer(subject, "foreign");
    let overwrite = Action::Before(Arc::new(move || {
        registry.put_manifest(PATH, &tag, media_type::OCI_INDEX, index(std::slice::from_ref(&foreign)));
    }));
    let fault = Fault::new(Service::Registry, overwrite).method("GET").path("/manifests/sha256-");
    world.sandbox.fault(fault.after(after).times(times))
}

#[tokio::test]
async fn an_entry_that_was_overwritten_is_written_again() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let _foreign = overwrite_before_reading(&world, &subject, 1, 1);
    world.pusher().update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap();
    assert_eq!(listed(&world, &subject).await.len(), 2);
    assert_eq!(world.requests_to("PUT"), 2);
}

#[tokio::test]
async fn somebody_who_never_stops_overwriting_is_named() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let _foreign = overwrite_before_reading(&world, &subject, 0, usize::MAX);
    let error = world.pusher().update_tag_schema(&subject, &[ours]).await.unwrap_err();
    assert!(matches!(error, RegistryError::TagSchemaLost { missing: 1, .. }), "{error}");
    assert!(error.retryable());
    assert_eq!(world.requests_to("PUT"), 5);
}

#[tokio::test]
async fn a_registry_that_compares_refuses_what_was_read_before_somebody_wrote() {
    let world = World::with(
        |sandbox| {
            sandbox.referrers_api = false;
            sandbox.compare_and_swap = true;
        },
        |_, _| {},
    );
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let foreign = world.put_referrer(&subject, "foreign");
    let (registry, tag) = (world.sandbox.registry().clone(), tag_of(&subject));
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let write = Action::Before(Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        registry.put_manifest(PATH, &tag, media_type::OCI_INDEX, index(std::slice::from_ref(&foreign)));
    }));
    let fault = Fault::new(Service::Registry, write).method("PUT").path("/manifests/sha256-").times(1);
    let _fault = world.sandbox.fault(fault);
    world.pusher().update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), world.requests_to(" 412")), (1, 1));
    assert_eq!(listed(&world, &subject).await.len(), 2);
}

#[tokio::test]
async fn a_registry_that_misunderstands_conditions_is_written_without() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let fault = Fault::new(Service::Registry, Action::status(412)).method("PUT").path("/manifests/sha256-").times(1);
    let _fault = world.sandbox.fault(fault);
    world.pusher().update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap();
    let requests = world.sandbox.requests();
    let conditions: Vec<_> =
        requests.iter().filter(|one| one.method == "PUT").map(|one| one.header("if-none-match")).collect();
    assert_eq!(conditions, [Some("*"), None]);
}

#[tokio::test]
async fn a_write_that_fails_starts_again_at_reading() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    for action in [Action::status(503), Action::LoseAnswer] {
        world.sandbox.registry().remove_tag(PATH, &tag_of(&subject));
        world.sandbox.clear_requests();
        let fault = Fault::new(Service::Registry, action.clone()).method("PUT").path("/manifests/sha256-").times(1);
        let _fault = world.sandbox.fault(fault);
        world.pusher().update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap();
        assert_eq!(listed(&world, &subject).await.len(), 1, "{action:?}");
        let order: Vec<String> = world
            .sandbox
            .requests()
            .into_iter()
            .filter(|one| one.path.contains("sha256-"))
            .map(|one| one.method)
            .collect();
        assert_eq!(order[..3], ["GET", "PUT", "GET"], "{action:?}");
    }
}

#[tokio::test]
async fn a_tag_that_is_in_use_for_something_else_is_left_alone() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    for (content_type, body) in [
        (media_type::OCI_MANIFEST, "{}"),
        (media_type::OCI_INDEX, "{}"),
        (media_type::OCI_INDEX, "not json"),
        (media_type::DOCKER_LIST, r#"{"schemaVersion":2,"manifests":[]}"#),
    ] {
        world.sandbox.registry().put_manifest(PATH, &tag_of(&subject), content_type, body);
        let error = world.pusher().update_tag_schema(&subject, std::slice::from_ref(&ours)).await.unwrap_err();
        assert!(matches!(error, RegistryError::TagSchemaForeign { .. }), "{body}: {error}");
    }
    assert_eq!(world.requests_to("PUT"), 0);
}

#[tokio::test]
async fn a_list_without_room_is_not_written() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let full: Vec<Descriptor> =
        (0..10_000_u32).map(|number| Descriptor::of(media_type::OCI_MANIFEST, &number.to_le_bytes())).collect();
    world.sandbox.registry().put_manifest(PATH, &tag_of(&subject), media_type::OCI_INDEX, index(&full));
    let error = world.pusher().update_tag_schema(&subject, &[ours]).await.unwrap_err();
    assert!(matches!(error, RegistryError::TagSchemaFull { .. }), "{error}");
    assert_eq!((error.class(), world.requests_to("PUT")), (Class::Malformed, 0));
}

#[tokio::test]
async fn nothing_is_written_long_after_it_was_read() {
    let world = World::with(
        |sandbox| sandbox.referrers_api = false,
        |options, _| options.tag_schema_window = Duration::from_millis(1),
    );
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let _slow = world.fault("/manifests/sha256-", Action::Delay(Duration::from_millis(5)));
    let error = world.pusher().update_tag_schema(&subject, &[ours]).await.unwrap_err();
    assert!(matches!(error, RegistryError::TimedOut { .. }), "{error}");
    assert_eq!(world.requests_to("PUT"), 0);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_not_written() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let _fault = world.fault("/manifests/sha256-", Action::status(403));
    let error = world.pusher().update_tag_schema(&subject, &[ours]).await.unwrap_err();
    assert_eq!((error.class(), world.requests_to("PUT")), (Class::Denied, 0));
}

#[tokio::test]
async fn the_futures_can_be_moved_between_threads() {
    let world = World::without_referrers_api();
    let subject = world.put_index("v1");
    let ours = world.put_referrer(&subject, "ours");
    let pusher = world.pusher();
    let update = tokio::spawn(async move { pusher.update_tag_schema(&subject, &[ours]).await });
    update.await.unwrap().unwrap();
}
