use bytes::Bytes;
use countersign_oci::{
    Attached, Attachment, Class, Digest, ManifestTarget, Pusher, RegistryError, Repository, Tag, media_type,
};
use sandbox::{Action, Fault, ReferrersApi, Service};

use crate::support::{PATH, World, answer, digests, header, index, referrer};

#[tokio::test]
async fn write_permission_is_proven_by_one_request_or_two() {
    for (absolute_locations, inline_uploads) in [(false, false), (true, false), (false, true)] {
        let world = World::with(
            |sandbox| {
                sandbox.absolute_locations = absolute_locations;
                sandbox.inline_uploads = inline_uploads;
            },
            |_, _| {},
        );
        world.pusher().prove_write(&world.repository).await.unwrap();
        assert_eq!(world.requests_to("POST"), 1);
        assert_eq!(world.requests_to("PUT"), usize::from(!inline_uploads));
        assert_eq!(world.sandbox.registry().get_blob(&Digest::of(b"{}").to_string()).unwrap(), "{}");
    }
}

#[tokio::test]
async fn a_blob_is_pushed_in_one_piece_and_has_its_digest() {
    let world = World::new();
    let bytes = Bytes::from_static(b"bundle");
    world.pusher().push_blob(&world.repository, Digest::of(&bytes), bytes.clone()).await.unwrap();
    assert_eq!(world.sandbox.registry().get_blob(&Digest::of(&bytes).to_string()).unwrap(), bytes);
    let error = world.pusher().push_blob(&world.repository, Digest::of(b"other"), bytes).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }));
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn what_was_pushed_is_not_pushed_again() {
    let world = World::new();
    let other: Repository = format!("{}/octo/other", world.sandbox.registry().host()).parse().unwrap();
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    let push = |repository: &Repository, bytes: &Bytes| {
        let (pusher, repository, bytes) = (world.pusher(), repository.clone(), bytes.clone());
        async move { pusher.push_blob(&repository, Digest::of(&bytes), bytes).await }
    };
    let same = futures_util::future::join_all((0..6).map(|_| push(&world.repository, &first))).await;
    assert!(same.iter().all(Result::is_ok));
    assert_eq!(world.requests().len(), 1);
    for (repository, bytes) in [(&other, &first), (&world.repository, &second), (&world.repository, &first)] {
        push(repository, bytes).await.unwrap();
    }
    assert_eq!(world.requests().len(), 3);
    // Another process knows nothing of it.
    Pusher::new(world.other_registry()).push_blob(&other, Digest::of(&first), first.clone()).await.unwrap();
    assert_eq!(world.requests().len(), 4);
}

#[tokio::test]
async fn what_could_not_be_pushed_is_pushed_again() {
    let world = World::with(|_| {}, |options, _| options.retry.attempts = 1);
    let (pusher, bytes) = (world.pusher(), Bytes::from_static(b"blob"));
    let digest = Digest::of(&bytes);
    let down = world.fault("/blobs/uploads", Action::status(503));
    let push = || pusher.push_blob(&world.repository, digest, bytes.clone());
    let outcomes = futures_util::future::join_all((0..4).map(|_| push())).await;
    assert!(outcomes.iter().all(Result::is_err));
    drop(down);
    push().await.unwrap();
    assert_eq!(world.sandbox.registry().get_blob(&digest.to_string()).unwrap(), bytes);
}

#[tokio::test]
async fn a_registry_that_misses_a_blob_after_all_gets_it_again() {
    let world = World::new();
    let (pusher, subject) = (world.pusher(), world.repository.pin(Digest::of(b"subject")));
    let (manifest, descriptor) = referrer(&subject, "bundle");
    let push = || async {
        pusher.prove_write(&world.repository).await.unwrap();
        pusher.push_blob(&world.repository, Digest::of(b"bundle"), Bytes::from_static(b"bundle")).await.unwrap();
        let at = ManifestTarget::Digest(descriptor.digest);
        pusher.push_manifest(&world.repository, at, manifest.clone(), media_type::OCI_MANIFEST).await
    };
    let unknown = answer(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"it was collected"}]}"#, &[]);
    let gone = world.fault_once("/manifests/", unknown);
    assert_eq!(push().await.unwrap_err().status(), Some(400));
    drop(gone);
    assert!(push().await.is_ok());
    assert_eq!(world.requests_to("POST"), 4);
}

#[tokio::test]
async fn a_registry_that_stores_nothing_with_the_first_request_is_remembered() {
    let world = World::with(|sandbox| sandbox.inline_uploads = false, |_, _| {});
    for text in ["one", "two", "three"] {
        let bytes = Bytes::from(text);
        world.pusher().push_blob(&world.repository, Digest::of(&bytes), bytes.clone()).await.unwrap();
        assert_eq!(world.sandbox.registry().get_blob(&Digest::of(&bytes).to_string()).unwrap(), bytes);
    }
    // Never more than two for each, and the blob goes with the first request once.
    assert_eq!(world.requests().len(), 6);
    let requests = world.sandbox.requests();
    let sent_twice = requests.iter().filter(|one| one.method == "POST" && !one.body.is_empty());
    assert_eq!(sent_twice.count(), 1);
}

#[tokio::test]
async fn a_registry_that_stumbles_over_the_first_request_gets_two() {
    for status in [400, 404, 405, 411, 415, 501] {
        let world = World::new();
        let odd = Fault::new(Service::Registry, Action::status(status)).method("POST").path("?digest=");
        let _odd = world.sandbox.fault(odd);
        for text in ["one", "two"] {
            let bytes = Bytes::from(text);
            world.pusher().push_blob(&world.repository, Digest::of(&bytes), bytes).await.unwrap();
        }
        // It costs one request, once.
        assert_eq!(world.requests().len(), 5, "{status}");
    }
    // A refusal of the blob itself is one.
    let world = World::new();
    let _denied = world.fault("/blobs/uploads", Action::status(403));
    assert_eq!(world.pusher().prove_write(&world.repository).await.unwrap_err().class(), Class::Denied);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_large_blob_is_not_sent_before_a_session_is_open() {
    let world = World::new();
    let bytes = Bytes::from(vec![7; (64 << 10) + 1]);
    world.pusher().push_blob(&world.repository, Digest::of(&bytes), bytes).await.unwrap();
    assert_eq!((world.requests_to("POST"), world.requests_to("PUT")), (1, 1));
    assert!(world.sandbox.requests()[0].body.is_empty());
}

#[tokio::test]
async fn requests_are_counted_for_each_registry() {
    let (world, other) = (World::new(), World::new());
    let pusher = world.pusher();
    pusher.prove_write(&world.repository).await.unwrap();
    pusher.prove_write(&other.repository).await.unwrap();
    let pinned = other.put_index("v1");
    pusher.registry().manifest(&pinned).await.unwrap();
    let counts = pusher.registry().request_counts();
    let of = |world: &World| counts[world.repository.registry()];
    assert_eq!((of(&world), of(&other), counts.len()), (1, 2, 2));
    assert_eq!(pusher.registry().request_count(), 3);
}

#[tokio::test]
async fn an_upload_elsewhere_is_refused_before_the_blob_is_sent() {
    let world = World::with(|sandbox| sandbox.inline_uploads = false, |_, _| {});
    let elsewhere = World::new();
    let base = elsewhere.sandbox.registry().url();
    for location in [format!("{base}/v2/x/1"), "https://evil.example/x".to_owned(), "ftp://x/".to_owned()] {
        let _fault = world.fault("/blobs/uploads", header("Location", &location));
        let error = world.pusher().prove_write(&world.repository).await.unwrap_err();
        assert!(matches!(error, RegistryError::UploadLocation { .. }), "{location}: {error}");
    }
    let _fault = world.fault("/blobs/uploads", Action::Header("Location".to_owned(), None));
    assert!(world.pusher().prove_write(&world.repository).await.is_err());
    assert!(elsewhere.requests().is_empty());
    assert_eq!(world.requests_to("PUT"), 0);
}

#[tokio::test]
async fn a_manifest_is_pushed_byte_for_byte() {
    let world = World::new();
    let bytes = Bytes::from_static(
        br#"{ "schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json", "manifests":[] }"#,
    );
    let pusher = world.pusher();
    let tag: Tag = "v1".parse().unwrap();
    for at in [ManifestTarget::Digest(Digest::of(&bytes)), ManifestTarget::Tag(&tag)] {
        let pushed = pusher.push_manifest(&world.repository, at, bytes.clone(), media_type::OCI_INDEX).await.unwrap();
        assert_eq!((pushed.digest, pushed.oci_subject), (Digest::of(&bytes), None));
    }
    let stored = world.sandbox.registry().get_manifest(PATH, "v1").unwrap();
    assert_eq!((stored.bytes, stored.media_type.as_str()), (bytes, media_type::OCI_INDEX));
}

#[tokio::test]
async fn a_manifest_under_another_digest_is_refused_on_both_sides() {
    let world = World::new();
    let pusher = world.pusher();
    let at = ManifestTarget::Digest(Digest::of(b"other"));
    let error = pusher.push_manifest(&world.repository, at, index(&[]), media_type::OCI_INDEX).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }));
    assert!(world.requests().is_empty());
    let _lie = world.fault("/manifests/", header("Docker-Content-Digest", &Digest::of(b"lie").to_string()));
    let at = ManifestTarget::Digest(Digest::of(&index(&[])));
    let error = pusher.push_manifest(&world.repository, at, index(&[]), media_type::OCI_INDEX).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }));
}

#[tokio::test]
async fn what_a_registry_refuses_is_said_in_its_words() {
    let world = World::new();
    let at = ManifestTarget::Digest(Digest::of(b"{}"));
    let pusher = world.pusher();
    let pushed = pusher.push_manifest(&world.repository, at, Bytes::from_static(b"{}"), media_type::OCI_INDEX);
    let error = pushed.await.unwrap_err();
    assert_eq!((error.status(), error.class()), (Some(400), Class::Malformed));
    assert!(error.to_string().contains("MANIFEST_INVALID"), "{error}");
    let _denied = world.fault("/blobs/uploads", answer(403, r#"{"errors":[{"code":"DENIED"}]}"#, &[]));
    assert_eq!(world.pusher().prove_write(&world.repository).await.unwrap_err().class(), Class::Denied);
}

/// Pushes a referrer and lists it.
async fn attach(world: &World, name: &str) -> Result<Attached, RegistryError> {
    let subject = world.repository.pin(Digest::of(b"subject"));
    let (bytes, descriptor) = referrer(&subject, name);
    let pusher = world.pusher();
    pusher.prove_write(&world.repository).await?;
    pusher.push_blob(&world.repository, Digest::of(name.as_bytes()), Bytes::from(name.to_owned())).await?;
    let at = ManifestTarget::Digest(descriptor.digest);
    let pushed = pusher.push_manifest(&world.repository, at, bytes, media_type::OCI_MANIFEST).await?;
    pusher.attach(&subject, &descriptor, &pushed).await
}

#[tokio::test]
async fn a_registry_that_notes_the_subject_needs_nothing_more() {
    let world = World::new();
    assert_eq!(attach(&world, "bundle").await.unwrap(), Attached::OciSubject);
    assert_eq!(world.requests_to("/referrers/") + world.requests_to("sha256-"), 0);
}

#[tokio::test]
async fn a_registry_that_lists_without_saying_so_is_asked() {
    let world = World::new();
    world.sandbox.registry().set_referrers(ReferrersApi::ConfigTypes);
    assert_eq!(attach(&world, "bundle").await.unwrap(), Attached::ReferrersApi);
    assert_eq!((world.requests_to("/referrers/"), world.requests_to("sha256-")), (1, 0));
}

#[tokio::test]
async fn a_registry_that_lists_late_is_waited_for() {
    let world = World::new();
    world.sandbox.registry().set_referrers(ReferrersApi::ConfigTypes);
    let _late = world.fault_once("/referrers/", Action::Body(index(&[]).to_vec()));
    assert_eq!(attach(&world, "bundle").await.unwrap(), Attached::ReferrersApi);
}

#[tokio::test]
async fn a_registry_without_the_api_gets_a_tag_and_is_asked_once() {
    let world = World::without_referrers_api();
    assert_eq!(attach(&world, "one").await.unwrap(), Attached::TagSchema);
    assert_eq!(attach(&world, "two").await.unwrap(), Attached::TagSchema);
    assert_eq!(world.requests_to("/referrers/"), 1);
    let subject = world.repository.pin(Digest::of(b"subject"));
    assert_eq!(world.registry.referrers(&subject).await.unwrap().descriptors.len(), 2);
}

#[tokio::test]
async fn a_list_that_cannot_be_asked_for_is_an_error() {
    let world = World::new();
    world.sandbox.registry().set_referrers(ReferrersApi::ConfigTypes);
    let _denied = world.fault("/referrers/", Action::status(403));
    assert_eq!(attach(&world, "bundle").await.unwrap_err().class(), Class::Denied);
    assert_eq!(world.requests_to("sha256-"), 0);
}

#[tokio::test]
async fn many_referrers_are_listed_with_one_write_for_each_subject() {
    let world = World::without_referrers_api();
    let pusher = world.pusher();
    let subjects = [b"one", b"two"].map(|name| world.repository.pin(Digest::of(name)));
    let mut attachments = Vec::new();
    for subject in &subjects {
        for number in 0..3 {
            let descriptor = world.put_referrer(subject, &format!("{number}"));
            let (bytes, _) = referrer(subject, &format!("{number}"));
            let at = ManifestTarget::Digest(descriptor.digest);
            let pushed = pusher.push_manifest(&world.repository, at, bytes, media_type::OCI_MANIFEST).await.unwrap();
            attachments.push(Attachment { subject: subject.clone(), referrer: descriptor, pushed });
        }
    }
    world.sandbox.clear_requests();
    let outcomes = pusher.attach_all(&attachments).await;
    assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [Attached::TagSchema; 6]);
    assert_eq!(world.requests_to("PUT"), 2);
    for subject in &subjects {
        let expected: Vec<_> =
            attachments.iter().filter(|one| one.subject == *subject).map(|one| one.referrer.clone()).collect();
        let listed = world.registry.referrers(subject).await.unwrap();
        assert_eq!(digests(&listed.descriptors), digests(&expected));
    }
    assert!(pusher.attach_all(&[]).await.is_empty());
}

#[tokio::test]
async fn one_attachment_that_fails_does_not_stop_the_others() {
    let world = World::without_referrers_api();
    let pusher = world.pusher();
    let [good, bad] = [b"good", b"bad "].map(|name| world.repository.pin(Digest::of(name)));
    let mut attachments = Vec::new();
    for subject in [&good, &bad] {
        let referrer = world.put_referrer(subject, "bundle");
        let (bytes, _) = crate::support::referrer(subject, "bundle");
        let at = ManifestTarget::Digest(referrer.digest);
        let pushed = pusher.push_manifest(&world.repository, at, bytes, media_type::OCI_MANIFEST).await.unwrap();
        attachments.push(Attachment { subject: subject.clone(), referrer, pushed });
    }
    let _fault = world.fault(Tag::of_referrers(bad.digest()).as_str(), Action::status(403));
    let outcomes = pusher.attach_all(&attachments).await;
    assert!(matches!(outcomes[0], Ok(Attached::TagSchema)));
    assert_eq!(outcomes[1].as_ref().unwrap_err().class(), Class::Denied);
}

#[tokio::test]
async fn a_repository_that_is_not_there_yet_does_not_hide_the_api() {
    let world = World::new();
    world.sandbox.registry().set_referrers(ReferrersApi::ConfigTypes);
    let subject = world.repository.pin(Digest::of(b"subject"));
    let unknown = world.fault("/referrers/", answer(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, &[]));
    assert!(world.registry.referrers(&subject).await.unwrap().descriptors.is_empty());
    drop(unknown);
    assert_eq!(attach(&world, "bundle").await.unwrap(), Attached::ReferrersApi);
}
