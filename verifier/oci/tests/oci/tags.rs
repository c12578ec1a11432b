use bytes::Bytes;
use countersign_oci::{Class, Deleted, Digest, ManifestTarget, Pusher, RegistryError, Tag, media_type};
use sandbox::{Action, Auth, Fault, ImmutableTags, Service, TagDeletion};

use crate::support::{PATH, World, answer, index, referrer};

fn tag() -> Tag {
    "v1".parse().unwrap()
}

/// Two indexes: what the tag points at, and what it is moved to.
fn old_and_new() -> (Bytes, Bytes) {
    let new = String::from_utf8(index(&[]).to_vec()).unwrap().replace("[]", "[ ]");
    (index(&[]), Bytes::from(new))
}

async fn move_tag(world: &World, bytes: &Bytes) -> Result<(), RegistryError> {
    world.pusher().move_tag(&world.repository, &tag(), bytes.clone(), media_type::OCI_INDEX, Digest::of(bytes)).await
}

async fn tag_digest(world: &World) -> Option<Digest> {
    world.registry.tag_digest(&world.repository, &tag()).await.unwrap()
}

#[tokio::test]
async fn a_tag_is_moved_and_read_back() {
    let world = World::new();
    let (old, new) = old_and_new();
    assert_eq!(tag_digest(&world).await, None);
    for bytes in [&old, &new, &new] {
        move_tag(&world, bytes).await.unwrap();
        assert_eq!(tag_digest(&world).await, Some(Digest::of(bytes)));
    }
    let wrong = world.pusher().move_tag(&world.repository, &tag(), old, media_type::OCI_INDEX, Digest::of(&new)).await;
    assert!(matches!(wrong.unwrap_err(), RegistryError::DigestMismatch { .. }));
}

#[tokio::test]
async fn a_tag_whose_digest_is_not_stated_is_read() {
    let world = World::new();
    let (old, _) = old_and_new();
    move_tag(&world, &old).await.unwrap();
    let _silent = world.fault("/manifests/v1", Action::Header("Docker-Content-Digest".to_owned(), None));
    assert_eq!(tag_digest(&world).await, Some(Digest::of(&old)));
}

#[tokio::test]
async fn a_registry_that_shows_a_move_late_is_waited_for() {
    let world = World::new();
    let (old, new) = old_and_new();
    move_tag(&world, &old).await.unwrap();
    world.sandbox.registry().set_late(3);
    world.sandbox.clear_requests();
    move_tag(&world, &new).await.unwrap();
    assert_eq!(world.requests_to("HEAD"), 4);
}

#[tokio::test]
async fn a_tag_that_ends_elsewhere_is_an_error_that_may_pass() {
    let world = World::new();
    let (old, new) = old_and_new();
    move_tag(&world, &old).await.unwrap();
    world.sandbox.registry().set_late(usize::MAX);
    let error = move_tag(&world, &new).await.unwrap_err();
    let RegistryError::TagNotMoved { expected, actual, .. } = &error else { panic!("{error}") };
    assert_eq!((*expected, *actual), (Digest::of(&new), Some(Digest::of(&old))));
    assert!(error.retryable());
}

#[tokio::test]
async fn a_tag_that_may_not_be_overwritten_is_an_error_of_its_own() {
    for words in [ImmutableTags::ArtifactRegistry, ImmutableTags::Ecr, ImmutableTags::Harbor, ImmutableTags::Quay] {
        let world = World::with(|sandbox| sandbox.immutable_tags = Some(words), |_, _| {});
        let (old, new) = old_and_new();
        move_tag(&world, &old).await.unwrap();
        let error = move_tag(&world, &new).await.unwrap_err();
        assert!(matches!(error, RegistryError::TagImmutable { .. }), "{words:?}: {error}");
        assert_eq!((error.class(), error.code(), error.retryable()), (Class::Denied, "tag-immutable", false));
        assert!(error.hint().unwrap().contains("only repeat"));
        assert_eq!(tag_digest(&world).await, Some(Digest::of(&old)));
        // What it points at already is no failure.
        move_tag(&world, &old).await.unwrap();
        // Digests are not tags.
        let at = ManifestTarget::Digest(Digest::of(&new));
        world.pusher().push_manifest(&world.repository, at, new, media_type::OCI_INDEX).await.unwrap();
    }
}

#[tokio::test]
async fn an_immutable_tag_whose_first_answer_was_lost_is_moved() {
    let world = World::with(|sandbox| sandbox.immutable_tags = Some(ImmutableTags::Ecr), |_, _| {});
    let (old, _) = old_and_new();
    let lost = Fault::new(Service::Registry, Action::LoseAnswer).method("PUT").path("/manifests/v1").times(1);
    let _lost = world.sandbox.fault(lost);
    move_tag(&world, &old).await.unwrap();
    assert_eq!(world.requests_to("PUT"), 2);
}

#[tokio::test]
async fn a_refusal_for_other_reasons_stays_one() {
    let world = World::new();
    let (old, _) = old_and_new();
    for (status, body) in [
        (403, r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#),
        (400, r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}"#),
    ] {
        let _fault = world.fault("/manifests/v1", answer(status, body, &[]));
        let error = move_tag(&world, &old).await.unwrap_err();
        assert!(!matches!(error, RegistryError::TagImmutable { .. }), "{error}");
        assert_eq!(error.status(), Some(status));
    }
}

#[tokio::test]
async fn a_referrers_tag_that_may_not_be_overwritten_is_named() {
    for words in [ImmutableTags::ArtifactRegistry, ImmutableTags::Ecr, ImmutableTags::Harbor, ImmutableTags::Quay] {
        let world = World::with(
            |sandbox| {
                sandbox.referrers_api = false;
                sandbox.immutable_tags = Some(words);
            },
            |_, _| {},
        );
        let subject = world.put_index("v1");
        let [first, second] = ["first", "second"].map(|name| world.put_referrer(&subject, name));
        let pusher = world.pusher();
        pusher.update_tag_schema(&subject, &[first]).await.unwrap();
        let error = pusher.update_tag_schema(&subject, &[second]).await.unwrap_err();
        assert!(matches!(error, RegistryError::TagImmutable { .. }), "{words:?}: {error}");
    }
}

#[tokio::test]
async fn a_tag_is_deleted_and_what_it_points_at_stays() {
    let world = World::new();
    let (old, _) = old_and_new();
    move_tag(&world, &old).await.unwrap();
    let delete = || async { world.pusher().delete_tag(&world.repository, &tag()).await };
    assert_eq!(delete().await.unwrap(), Deleted::Removed);
    assert_eq!(delete().await.unwrap(), Deleted::Absent);
    assert!(world.registry.manifest(&world.repository.pin(Digest::of(&old))).await.is_ok());
    assert!(world.requests().iter().all(|request| !(request.starts_with("DELETE") && request.contains("sha256:"))));
}

#[tokio::test]
async fn a_registry_that_deletes_no_tags_keeps_them() {
    for deletion in [TagDeletion::Off, TagDeletion::ByDigestOnly] {
        let world = World::with(|sandbox| sandbox.tag_deletion = deletion, |_, _| {});
        let (old, _) = old_and_new();
        move_tag(&world, &old).await.unwrap();
        let deleted = world.pusher().delete_tag(&world.repository, &tag()).await.unwrap();
        assert_eq!((deleted, tag_digest(&world).await), (Deleted::Unsupported, Some(Digest::of(&old))));
    }
    let world = World::new();
    let _denied = world.fault("/manifests/v1", Action::status(403));
    let error = world.pusher().delete_tag(&world.repository, &tag()).await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
}

#[tokio::test]
async fn the_right_to_delete_is_asked_for_when_the_registry_names_it() {
    let auth = Auth::Bearer { user: "octo".to_owned(), password: "canary".to_owned() };
    let world = World::with(
        |sandbox| sandbox.auth = auth,
        |options, host| {
            let password = countersign_oci::Secret::new("canary".to_owned());
            let login = countersign_oci::Credential::Basic { username: "octo".to_owned(), password };
            options.credentials.add(host, login, "test");
        },
    );
    let (old, _) = old_and_new();
    move_tag(&world, &old).await.unwrap();
    assert_eq!(world.pusher().delete_tag(&world.repository, &tag()).await.unwrap(), Deleted::Removed);
    move_tag(&world, &old).await.unwrap();
    let requests = world.sandbox.requests();
    let asked = |what: &str| {
        let tokens = requests.iter().filter(|one| one.path == "/token" && one.query.as_deref().unwrap().contains(what));
        tokens.count()
    };
    assert_eq!((asked("delete"), asked("push")), (1, 2));
}

#[tokio::test]
async fn a_manifest_that_is_shown_late_is_waited_for() {
    let world = World::with(|sandbox| sandbox.late = 2, |_, _| {});
    let (bytes, pusher) = (index(&[]), world.pusher());
    let at = ManifestTarget::Digest(Digest::of(&bytes));
    pusher.push_manifest(&world.repository, at, bytes.clone(), media_type::OCI_INDEX).await.unwrap();
    let pinned = world.repository.pin(Digest::of(&bytes));
    assert_eq!(world.registry.wait_for_manifest(&pinned).await.unwrap().bytes, bytes);
    assert_eq!(world.requests_to("GET"), 3);
}

#[tokio::test]
async fn what_is_no_absence_is_not_waited_for() {
    let world = World::new();
    let pinned = world.put_index("v1");
    let _denied = world.fault("/manifests/", Action::status(403));
    let error = world.registry.wait_for_manifest(&pinned).await.unwrap_err();
    assert_eq!((error.class(), world.requests().len()), (Class::Denied, 1));
}

#[tokio::test]
async fn a_manifest_that_is_collected_can_be_kept_by_a_tag() {
    let world = World::with(|sandbox| sandbox.reaper = Some(3), |_, _| {});
    let subject = world.put_index("hold");
    let (bytes, descriptor) = referrer(&subject, "bundle");
    let pusher = Pusher::new(world.registry.clone());
    pusher.prove_write(&world.repository).await.unwrap();
    pusher.push_blob(&world.repository, Digest::of(b"bundle"), Bytes::from_static(b"bundle")).await.unwrap();
    let at = ManifestTarget::Digest(descriptor.digest);
    pusher.push_manifest(&world.repository, at, bytes, media_type::OCI_MANIFEST).await.unwrap();
    for _ in 0..6 {
        assert!(world.registry.manifest(&subject).await.is_ok());
    }
    assert!(world.registry.manifest(&world.repository.pin(descriptor.digest)).await.is_ok());
    world.sandbox.registry().remove_tag(PATH, "hold");
    assert_eq!(world.registry.manifest(&subject).await.unwrap_err().class(), Class::NotFound);
}
