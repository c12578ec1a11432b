use std::time::Duration;

use bytes::Bytes;
use countersign_oci::index::Descriptor;
use countersign_oci::{Digest, PinnedReference, Pusher, Registry, RegistryOptions, Repository, media_type};
use sandbox::{Action, Fault, Sandbox, Service};
use serde_json::json;

pub(crate) const PATH: &str = "octo/app";

/// A sandbox, and a client that does not wait longer than a test should.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) registry: Registry,
    pub(crate) repository: Repository,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_, _| {})
    }

    pub(crate) fn with(
        sandbox: impl FnOnce(&mut sandbox::Options),
        client: impl FnOnce(&mut RegistryOptions, &str),
    ) -> Self {
        let mut options = sandbox::Options::default();
        sandbox(&mut options);
        let sandbox = Sandbox::start(options).unwrap();
        let mut options = patient_options();
        client(&mut options, sandbox.registry().host());
        let registry = Registry::new(options).unwrap();
        let repository = format!("{}/{PATH}", sandbox.registry().host()).parse().unwrap();
        Self { sandbox, registry, repository }
    }

    pub(crate) fn without_referrers_api() -> Self {
        Self::with(|sandbox| sandbox.referrers_api = false, |_, _| {})
    }

    pub(crate) fn pusher(&self) -> Pusher {
        Pusher::new(self.registry.clone())
    }

    /// Another process that uses the same registry.
    pub(crate) fn other_registry(&self) -> Registry {
        Registry::new(patient_options()).unwrap()
    }

    /// Puts an image index under `tag` and returns it, pinned.
    pub(crate) fn put_index(&self, tag: &str) -> PinnedReference {
        let bytes = index(&[]);
        let digest = self.sandbox.registry().put_manifest(PATH, tag, media_type::OCI_INDEX, bytes);
        self.repository.pin(digest.parse().unwrap())
    }

    pub(crate) fn put_blob(&self, bytes: impl Into<Bytes>) -> Descriptor {
        let bytes = bytes.into();
        self.sandbox.registry().put_blob(PATH, bytes.clone());
        Descriptor::of("application/octet-stream", &bytes)
    }

    /// Puts a referrer of `subject` into the registry from behind.
    pub(crate) fn put_referrer(&self, subject: &PinnedReference, name: &str) -> Descriptor {
        let (bytes, descriptor) = referrer(subject, name);
        let registry = self.sandbox.registry();
        registry.put_blob(PATH, "{}");
        registry.put_blob(PATH, name.to_owned());
        registry.put_manifest(PATH, &descriptor.digest.to_string(), media_type::OCI_MANIFEST, bytes);
        descriptor
    }

    pub(crate) fn fault(&self, path: &str, action: Action) -> sandbox::FaultGuard {
        self.sandbox.fault(Fault::new(Service::Registry, action).path(path))
    }

    pub(crate) fn fault_once(&self, path: &str, action: Action) -> sandbox::FaultGuard {
        self.sandbox.fault(Fault::new(Service::Registry, action).path(path).times(1))
    }

    /// Returns method, path and status of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.sandbox.requests();
        requests.iter().map(|one| format!("{} {} {}", one.method, one.path, one.status)).collect()
    }

    pub(crate) fn requests_to(&self, part: &str) -> usize {
        self.requests().iter().filter(|request| request.contains(part)).count()
    }
}

pub(crate) fn patient_options() -> RegistryOptions {
    let mut options = RegistryOptions::default();
    options.retry.first_pause = Duration::from_millis(1);
    options.retry.longest_pause = Duration::from_millis(20);
    options.tag_schema_window = Duration::from_millis(400);
    options.idle_timeout = Duration::from_secs(5);
    options.total_timeout = Duration::from_secs(20);
    options
}

pub(crate) fn index(manifests: &[Descriptor]) -> Bytes {
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests});
    serde_json::to_vec(&index).unwrap().into()
}

/// A referrer manifest of `subject`, and the descriptor that a list has of it.
pub(crate) fn referrer(subject: &PinnedReference, name: &str) -> (Bytes, Descriptor) {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": media_type::SIGSTORE_BUNDLE_V0_3,
        "config": Descriptor::of(media_type::EMPTY, b"{}"),
        "layers": [Descriptor::of(media_type::SIGSTORE_BUNDLE_V0_3, name.as_bytes())],
        "subject": Descriptor::new(media_type::OCI_INDEX, subject.digest(), 7),
        "annotations": {"name": name},
    });
    let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
    let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
    descriptor.artifact_type = Some(media_type::SIGSTORE_BUNDLE_V0_3.to_owned());
    descriptor.annotations.insert("name".to_owned(), name.to_owned());
    (bytes, descriptor)
}

pub(crate) fn answer(status: u16, body: &str, headers: &[(&str, &str)]) -> Action {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Action::Status { status, body: body.to_owned(), headers }
}

pub(crate) fn header(name: &str, value: &str) -> Action {
    Action::Header(name.to_owned(), Some(value.to_owned()))
}

pub(crate) fn digests(descriptors: &[Descriptor]) -> Vec<Digest> {
    let mut digests: Vec<Digest> = descriptors.iter().map(|descriptor| descriptor.digest).collect();
    digests.sort();
    digests
}
