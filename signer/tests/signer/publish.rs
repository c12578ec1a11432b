//! A release from what the builds pushed, in two registries, and everything that leaves every tag where it was.

use std::path::Path;
use std::sync::Arc;

use countersign_oci::{Digest, Repository};
use countersign_signer::publish::{
    self, Child, HoldPrefix, PublishError, PublishFailure, PublishReport, PublishRequest, TagState,
};
use countersign_signer::state::StateFile;
use countersign_verifier::Verdict;
use sandbox::image::{self, Image, ImageSpec};
use sandbox::{Action, Fault, Options, RegistryHandle, RekorVersion, Sandbox, Service};

use crate::world::World;

const CACHE: &str = "octo/cache";
const APP: &str = "octo/released";

/// A world with a second registry, whose images were built and pushed by digest only.
struct Job {
    world: World,
    other: Sandbox,
    image: Image,
}

impl Job {
    fn start() -> Job {
        let world = World::start();
        let image = build("#!/bin/sh\necho released\n");
        push_untagged(&image, world.sandbox.registry(), CACHE);
        Job { world, other: Sandbox::start(Options::default()).unwrap(), image }
    }

    fn repositories(&self) -> [Repository; 2] {
        [self.world.sandbox.registry(), self.other.registry()].map(|registry| at(registry, APP))
    }

    fn registries(&self) -> [&RegistryHandle; 2] {
        [self.world.sandbox.registry(), self.other.registry()]
    }

    fn request(&self) -> PublishRequest {
        let children = self.image.platforms.iter().map(|image| child(&image.manifest.digest)).collect();
        let tags = ["v1", "latest"].map(|tag| tag.parse().unwrap());
        let mut request = PublishRequest::new(children, self.repositories().into(), tags.into());
        request.sources = vec![at(self.world.sandbox.registry(), CACHE)];
        request.self_verify = Some(Arc::new(self.world.policy("require: {tag: true, repository: true}")));
        request
    }

    async fn publish(&self, request: &PublishRequest) -> Result<PublishReport, PublishFailure> {
        self.world.signer(RekorVersion::V1).publish(request, None).await
    }

    async fn refused(&self, request: &PublishRequest) -> PublishError {
        let mut failure = self.publish(request).await.unwrap_err();
        assert_eq!(failure.errors.len(), 1, "{:?}", failure.errors);
        self.assert_no_tag_moved();
        failure.errors.remove(0)
    }

    fn assert_no_tag_moved(&self) {
        for registry in self.registries() {
            let tags = registry.tags(APP);
            assert!(!tags.iter().any(|tag| tag == "v1" || tag == "latest"), "{tags:?}");
        }
    }

    fn assert_nothing_spent(&self) {
        assert_eq!(self.world.count(Service::Fulcio), 0);
        assert_eq!(self.entries(), 0);
    }

    fn entries(&self) -> usize {
        let logged = self.world.sandbox.requests_of(Service::RekorV1);
        logged.iter().filter(|request| request.method == "POST" && request.status == 201).count()
    }
}

fn build(script: &str) -> Image {
    image::multi_platform(&ImageSpec::with_run_script(script, Vec::new()))
}

/// What `docker buildx build --output push-by-digest=true` leaves behind.
fn push_untagged(image: &Image, registry: &RegistryHandle, repository: &str) {
    for blob in image.blobs() {
        registry.put_blob(repository, blob.clone());
    }
    for manifest in image.platforms.iter().map(|image| &image.manifest).chain(&image.attestations) {
        registry.put_manifest(repository, &manifest.digest, &manifest.media_type, manifest.bytes.clone());
    }
}

fn at(registry: &RegistryHandle, repository: &str) -> Repository {
    format!("{}/{repository}", registry.host()).parse().unwrap()
}

fn child(digest: &str) -> Child {
    Child { digest: digest.parse().unwrap(), repository: None }
}

fn platforms(report: &PublishReport) -> Vec<String> {
    report.index.as_ref().unwrap().platforms.iter().map(ToString::to_string).collect()
}

fn state(folder: &Path) -> StateFile {
    StateFile::open(&folder.join("state.json"), Digest::of(b"request"), true).unwrap()
}

#[tokio::test]
async fn a_release_is_signed_and_tagged_in_every_registry_with_one_log_entry() {
    let job = Job::start();
    let report = job.publish(&job.request()).await.unwrap();
    assert_eq!(platforms(&report), ["linux/amd64", "linux/arm64"]);
    assert_eq!(job.entries(), 1);
    let digest = report.index.as_ref().unwrap().digest;
    let policy = job.world.policy("require: {tag: true, repository: true}");
    for (registry, place) in job.registries().into_iter().zip(&report.repositories) {
        assert_eq!(place.copied, 2);
        for tag in &place.tags {
            assert_eq!((tag.state, tag.before), (TagState::Moved, None));
            assert_eq!(registry.get_manifest(APP, tag.tag.as_str()).unwrap().digest, digest.to_string());
        }
        for subject in std::iter::once(digest.to_string())
            .chain(job.image.platforms.iter().map(|image| image.manifest.digest.clone()))
        {
            let pinned = at(registry, APP).pin(subject.parse().unwrap());
            for tag in ["v1", "latest"] {
                let verdict = job.world.verify(&pinned, Some(tag), &policy).await;
                assert!(matches!(verdict, Verdict::Verified(..)), "{pinned} {tag} {verdict:?}");
            }
        }
    }

    // The same again changes nothing.
    let again = job.publish(&job.request()).await.unwrap();
    assert_eq!(job.entries(), 1);
    assert!(again.signed.statements.is_empty());
    assert!(again.repositories.iter().flat_map(|place| &place.tags).all(|tag| tag.state == TagState::InPlace));
}

#[tokio::test]
async fn an_index_of_a_build_with_provenance_is_flattened() {
    let job = Job::start();
    let registry = job.world.sandbox.registry();
    registry.put_manifest(CACHE, job.image.digest(), &job.image.index.media_type, job.image.index.bytes.clone());
    let mut request = job.request();
    request.children = vec![child(job.image.digest())];
    let report = job.publish(&request).await.unwrap();
    assert_eq!(platforms(&report), ["linux/amd64", "linux/arm64"], "attestations are no platforms");
    let index = registry.get_manifest(APP, "v1").unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index.bytes).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    assert!(entries.iter().all(|entry| entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"));
    assert!(entries.iter().all(|entry| entry["platform"].is_object()));
}

#[tokio::test]
async fn a_tag_that_somebody_else_moved_meanwhile_is_left_alone() {
    let job = Job::start();
    let (registry, elsewhere) = (job.world.sandbox.registry().clone(), job.world.image.clone());
    elsewhere.push(&registry, APP, "other");
    let (mover, digest) = (registry.clone(), elsewhere.digest().to_owned());
    let moved = Action::Before(Arc::new(move || mover.set_tag(APP, "latest", &digest)));
    let _fault = job.world.sandbox.fault(Fault::new(Service::RekorV1, moved).times(1));

    let failure = job.publish(&job.request()).await.unwrap_err();
    assert_eq!(failure.errors.len(), 1, "{:?}", failure.errors);
    assert_eq!(failure.errors[0].code(), "tag-taken");
    assert!(!failure.errors[0].retryable());
    assert_eq!(registry.get_manifest(APP, "latest").unwrap().digest, elsewhere.digest());
    let mut tags = failure.report.repositories.iter().flat_map(|place| &place.tags);
    assert!(tags.all(|tag| tag.state == TagState::Unmoved), "none was moved");

    let mut request = job.request();
    request.force = true;
    job.publish(&request).await.unwrap();
    assert_ne!(registry.get_manifest(APP, "latest").unwrap().digest, elsewhere.digest());
}

#[tokio::test]
async fn a_registry_that_refuses_writes_costs_nothing_and_moves_nothing() {
    let job = Job::start();
    let _fault = job.other.fault(Fault::new(Service::Registry, Action::status(403)).path("/blobs/uploads"));
    let error = job.refused(&job.request()).await;
    assert_eq!(error.code(), "write-refused", "{error:?}");
    job.assert_nothing_spent();
}

#[tokio::test]
async fn a_registry_that_loses_a_signature_keeps_every_tag_where_it_was() {
    let job = Job::start();
    // It takes the manifests and shows none of them as referrers.
    let none = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let _fault = job.other.fault(Fault::new(Service::Registry, Action::Body(none.to_vec())).path("/referrers/"));
    let failure = job.publish(&job.request()).await.unwrap_err();
    assert!(failure.errors.iter().all(|error| error.code() == "not-verifiable"), "{:?}", failure.errors);
    assert!(failure.errors.iter().all(PublishError::retryable), "what is not shown yet may be shown later");
    job.assert_no_tag_moved();
}

#[tokio::test]
async fn signatures_that_are_listed_a_moment_later_are_waited_for() {
    let job = Job::start();
    let none = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let late = Fault::new(Service::Registry, Action::Body(none.to_vec())).path("/referrers/").times(4);
    let fault = job.other.fault(late);
    job.publish(&job.request()).await.unwrap();
    assert_eq!(fault.hits(), 4);
}

#[tokio::test]
async fn a_listing_that_repeats_one_manifest_is_read_once() {
    let job = Job::start();
    let registry = job.world.sandbox.registry();
    let amd64 = &job.image.platforms[0].manifest;
    let entry =
        format!(r#"{{"mediaType":"{}","digest":"{}","size":{}}}"#, amd64.media_type, amd64.digest, amd64.bytes.len());
    let entries = vec![entry; 300].join(",");
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{entries}]}}"#, job.image.index.media_type);
    let digest = Digest::of(index.as_bytes()).to_string();
    registry.put_manifest(CACHE, &digest, &job.image.index.media_type, index);
    let mut request = job.request();
    request.children = vec![child(&digest)];
    assert_eq!(platforms(&publish::plan(&job.world.registry(), &request).await.unwrap()), ["linux/amd64"]);
    let read = job.world.sandbox.requests_of(Service::Registry);
    let read = read.iter().filter(|one| one.method == "GET" && one.path.ends_with(&amd64.digest));
    assert_eq!(read.count(), 1);
}

#[tokio::test]
async fn a_signature_that_the_consumers_policy_refuses_moves_nothing() {
    let job = Job::start();
    let mut request = job.request();
    request.self_verify = Some(Arc::new(job.world.policy("not_after: 2020-01-01T00:00:00Z")));
    let error = job.refused(&request).await;
    assert_eq!(error.code(), "policy-unsatisfiable", "{error:?}");
    assert_eq!(job.entries(), 0, "the log was not asked");
}

#[tokio::test]
async fn digests_that_make_no_release_are_refused_before_anything_is_spent() {
    let job = Job::start();
    let (amd64, arm64) = (&job.image.platforms[0].manifest.digest, &job.image.platforms[1].manifest.digest);
    let second = build("#!/bin/sh\necho another build\n");
    push_untagged(&second, job.world.sandbox.registry(), CACHE);
    let registry = job.world.sandbox.registry();
    let artifact = registry.put_manifest(
        CACHE,
        &Digest::of(ARTIFACT.as_bytes()).to_string(),
        "application/vnd.oci.image.manifest.v1+json",
        ARTIFACT,
    );
    let absent = format!("sha256:{}", "7".repeat(64));
    let table: [(&[&str], &str, &str); 6] = [
        (&[], "", "no-digest"),
        (&[amd64, arm64, &second.platforms[0].manifest.digest], "", "platform-twice"),
        (&[amd64], "linux/amd64 linux/arm64", "other-platforms"),
        (&[amd64, arm64], "linux/amd64", "other-platforms"),
        (&[amd64, &artifact], "", "not-an-image"),
        (&[amd64, &absent], "", "image-missing"),
    ];
    for (digests, expected, code) in table {
        let mut request = job.request();
        request.children = digests.iter().map(|digest| child(digest)).collect();
        request.expected_platforms = expected.split_whitespace().map(|platform| platform.parse().unwrap()).collect();
        let error = job.refused(&request).await;
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.hint().is_some(), "{code} says what to do");
    }
    for incomplete in [
        PublishRequest::new(vec![child(amd64)], job.repositories().into(), Vec::new()),
        PublishRequest::new(vec![child(amd64)], Vec::new(), vec!["v1".parse().unwrap()]),
        PublishRequest::new(
            vec![child(amd64)],
            job.repositories().into(),
            vec![amd64.replace(':', "-").parse().unwrap()],
        ),
    ] {
        assert!(["no-tag", "no-repository", "reserved-tag"].contains(&job.refused(&incomplete).await.code()));
    }
    job.assert_nothing_spent();
    for registry in job.registries() {
        assert!(registry.manifests(APP).is_empty(), "nothing was pushed");
    }
}

const ARTIFACT: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

#[tokio::test]
async fn an_image_that_lies_of_its_platform_is_refused() {
    let job = Job::start();
    let registry = job.world.sandbox.registry();
    let amd64 = &job.image.platforms[0].manifest;
    let lie = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"s390x"}}}}]}}"#,
        job.image.index.media_type,
        amd64.media_type,
        amd64.digest,
        amd64.bytes.len()
    );
    let digest = Digest::of(lie.as_bytes()).to_string();
    registry.put_manifest(CACHE, &digest, &job.image.index.media_type, lie);
    let mut request = job.request();
    request.children = vec![child(&digest)];
    assert_eq!(job.refused(&request).await.code(), "platform-contradicted");
    job.assert_nothing_spent();
}

#[tokio::test]
async fn manifests_are_held_until_the_release_is_tagged() {
    let job = Job::start();
    let mut request = job.request();
    request.hold = HoldPrefix::parse("hold");
    let report = job.publish(&request).await.unwrap();
    let held = |sandbox: &Sandbox, method: &str| {
        let requests = sandbox.requests_of(Service::Registry);
        requests.iter().filter(|one| one.method == method && one.path.contains("/manifests/hold-")).count()
    };
    for sandbox in [&job.world.sandbox, &job.other] {
        assert_eq!(held(sandbox, "PUT"), 3, "two images and their index");
        let holding: Vec<String> =
            sandbox.registry().tags(APP).into_iter().filter(|tag| tag.starts_with("hold-")).collect();
        let left = report.holding_tags_left.iter().filter(|tag| tag.repository() == &at(sandbox.registry(), APP));
        assert_eq!(holding.len(), left.count(), "what stays is said");
        assert_eq!(held(sandbox, "DELETE"), 3);
        assert!(sandbox.registry().tags(APP).contains(&"v1".to_owned()));
    }
}

#[tokio::test]
async fn what_goes_with_a_holding_tag_is_pushed_again() {
    let job = Job::start();
    let mut request = job.request();
    request.hold = HoldPrefix::parse("hold");
    let registry = job.world.sandbox.registry().clone();
    let amd64 = job.image.platforms[0].manifest.digest.clone();
    let lost = amd64.clone();
    // A registry that takes away the manifest with its tag, its signatures with the manifest, and another tag.
    let deletes = Action::Before(Arc::new(move || {
        for referrer in registry.referrers(APP, &lost) {
            registry.remove_manifest(APP, referrer["digest"].as_str().unwrap());
        }
        registry.remove_manifest(APP, &lost);
        registry.remove_tag(APP, "latest");
    }));
    let _fault = job.world.sandbox.fault(Fault::new(Service::Registry, deletes).method("DELETE"));
    let report = job.publish(&request).await.unwrap();
    let index = report.index.unwrap().digest.to_string();
    let registry = job.world.sandbox.registry();
    assert!(registry.get_manifest(APP, &amd64).is_some());
    assert!(!report.holding_tags_left.is_empty(), "the other tags stay");
    let policy = job.world.policy("require: {tag: true, repository: true}");
    let pinned = at(registry, APP).pin(amd64.parse().unwrap());
    let verdict = job.world.verify(&pinned, Some("v1"), &policy).await;
    assert!(matches!(verdict, Verdict::Verified(..)), "its signature, too: {verdict:?}");
    assert_eq!(registry.get_manifest(APP, "latest").unwrap().digest, index);
}

#[tokio::test]
async fn an_interrupted_release_is_resumed_without_a_second_entry() {
    let job = Job::start();
    let folder = tempfile::tempdir().unwrap();
    let signer = job.world.signer(RekorVersion::V1);
    {
        let refused = Fault::new(Service::Registry, Action::status(403)).method("PUT").path("/manifests/v1");
        let _fault = job.other.fault(refused);
        let failure = signer.publish(&job.request(), Some(&state(folder.path()))).await.unwrap_err();
        assert!(matches!(failure.errors[..], [PublishError::TagStayed { .. }]), "{:?}", failure.errors);
    }
    let report = signer.publish(&job.request(), Some(&state(folder.path()))).await.unwrap();
    assert_eq!(job.entries(), 1);
    let states: Vec<TagState> =
        report.repositories.iter().flat_map(|place| place.tags.iter().map(|tag| tag.state)).collect();
    assert_eq!(states, [TagState::InPlace, TagState::InPlace, TagState::Moved, TagState::InPlace]);
}

#[tokio::test]
async fn a_dry_run_shows_the_index_and_writes_nothing() {
    let job = Job::start();
    let before = job.world.sandbox.requests().len();
    let report = publish::plan(&job.world.registry(), &job.request()).await.unwrap();
    assert_eq!(platforms(&report), ["linux/amd64", "linux/arm64"]);
    let made = job.world.sandbox.requests().split_off(before);
    assert!(made.iter().all(|request| ["GET", "HEAD"].contains(&request.method.as_str())), "{made:?}");
    assert_eq!(job.publish(&job.request()).await.unwrap().index, report.index, "and then the same is published");
}
