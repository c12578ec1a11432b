//! The OCI registry: distribution-spec 1.1, in memory, with the habits of the real ones.

mod auth;
mod blobs;
mod envelope;
mod habits;
mod handle;
mod layout;
mod listing;
mod manifests;
mod referrers;
mod store;
mod uploads;

use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};

pub use auth::Auth;
pub use habits::{ImmutableTags, TagDeletion};
pub use handle::{RegistryHandle, StoredManifest};
pub use layout::LayoutStyle;
pub use store::digest_of;

use crate::clock::Clock;
use crate::exchange::{Call, Reply};
use auth::{Grants, Right};
use envelope::refuse;
use store::Store;

/// How the registry behaves. Everything may be changed while it runs, through [`RegistryHandle`].
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    pub(crate) auth: Auth,
    pub(crate) anonymous_pull: bool,
    pub(crate) referrers: ReferrersApi,
    pub(crate) page_size: Option<usize>,
    pub(crate) mounts: bool,
    pub(crate) absolute_locations: bool,
    pub(crate) compare_and_swap: bool,
    pub(crate) inline_uploads: bool,
    pub(crate) immutable_tags: Option<ImmutableTags>,
    pub(crate) tag_deletion: TagDeletion,
    pub(crate) reaper: Option<u64>,
    pub(crate) late: usize,
}

/// What the registry knows of the referrers API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersApi {
    /// As the distribution specification says.
    Complete,
    /// As go-containerregistry's: the list is there, but no `OCI-Subject`, no annotations, and `artifactType` is the config's media type.
    ConfigTypes,
    /// Not there: 404, so that clients keep the list under a tag.
    Absent,
}

/// The state of the registry, shared by the server and the handles.
pub(crate) struct Registry {
    host: String,
    clock: Clock,
    behaviour: Mutex<Behaviour>,
    store: Mutex<Store>,
    grants: Mutex<Grants>,
}

impl Registry {
    pub(crate) fn new(host: String, clock: Clock, behaviour: Behaviour) -> Arc<Registry> {
        Arc::new(Registry {
            host,
            clock,
            behaviour: Mutex::new(behaviour),
            store: Mutex::new(Store::default()),
            grants: Mutex::new(Grants::default()),
        })
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        crate::lock(&self.behaviour).clone()
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        let reaper = self.behaviour().reaper;
        crate::lock(&self.store).reap(reaper);
        let segments = call.segments();
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["token"] => self.token(call),
            ["v2"] | ["v2", ""] => match self.permit(call, None) {
                Ok(()) => Reply::json(StatusCode::OK, &serde_json::json!({})),
                Err(reply) => reply,
            },
            ["v2", "_catalog"] => match self.permit(call, None) {
                Ok(()) => self.catalog(call),
                Err(reply) => reply,
            },
            ["v2", rest @ ..] => self.route(call, rest),
            _ => Reply::not_found(),
        }
    }

    /// Repository names have slashes, so the route is read from the end.
    fn route(&self, call: &Call, rest: &[&str]) -> Reply {
        let (name, target) = match rest {
            [name @ .., "manifests", reference] => (name, Target::Manifest(reference)),
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, Target::NewUpload),
            [name @ .., "blobs", "uploads", id] => (name, Target::Upload(id)),
            [name @ .., "blobs", digest] => (name, Target::Blob(digest)),
            [name @ .., "tags", "list"] => (name, Target::Tags),
            [name @ .., "referrers", digest] => (name, Target::Referrers(digest)),
            _ => return Reply::not_found(),
        };
        let repository = name.join("/");
        if !store::is_repository(&repository) {
            return refuse(StatusCode::BAD_REQUEST, "NAME_INVALID", &format!("invalid repository name {repository:?}"));
        }
        let right = match call.method {
            Method::GET | Method::HEAD => Right::Pull,
            Method::DELETE => Right::Delete,
            _ => Right::Push,
        };
        if let Err(reply) = self.permit(call, Some((&repository, right))) {
            return reply;
        }
        match target {
            Target::Manifest(reference) => self.manifest(call, &repository, reference),
            Target::Blob(digest) => self.blob(call, &repository, digest),
            Target::NewUpload => self.new_upload(call, &repository),
            Target::Upload(id) => self.upload(call, &repository, id),
            Target::Tags => self.tags(call, &repository),
            Target::Referrers(digest) => self.referrers(call, &repository, digest),
        }
    }

    /// A `Location` as this registry writes them.
    fn location(&self, path: &str) -> String {
        if self.behaviour().absolute_locations { format!("http://{}{path}", self.host) } else { path.to_owned() }
    }
}

enum Target<'a> {
    Manifest(&'a str),
    Blob(&'a str),
    NewUpload,
    Upload(&'a str),
    Tags,
    Referrers(&'a str),
}
