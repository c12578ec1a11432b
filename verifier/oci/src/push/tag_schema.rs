//! The referrers tag schema: an image index under the tag `sha256-<hex>`, kept by whoever attaches something.
//!
//! Registries have no compare-and-swap (the real ones ignore `If-Match`), so writers can overwrite each other. Ours read and
//! write within [`RegistryOptions::tag_schema_window`](crate::RegistryOptions::tag_schema_window), wait that long, read
//! back, and write again what is missing: of two of ours, the later one reads what the earlier one wrote, or the earlier
//! one sees that it was overwritten.

use std::collections::HashSet;
use std::iter;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use reqwest::header::{ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::{CONCURRENT, ManifestTarget, Pusher};
use crate::error::RegistryError;
use crate::http::HttpError;
use crate::index::Descriptor;
use crate::referrers::{accept_index, content_type};
use crate::registry::{Call, Fetched};
use crate::{Digest, PinnedReference, Tag, limits, media_type};

/// What is to be listed under one referrers tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSchemaUpdate {
    /// The subject, whose digest names the tag.
    pub subject: PinnedReference,
    /// What refers to it.
    pub referrers: Vec<Descriptor>,
}

impl TagSchemaUpdate {
    pub(super) const fn new(subject: PinnedReference) -> Self {
        Self { subject, referrers: Vec::new() }
    }
}

impl Pusher {
    /// Adds `referrers` to the referrers tag of `subject`, and returns when they are listed. Several tags are better
    /// written with [`Self::update_tag_schemas`], which waits for all of them at once.
    pub async fn update_tag_schema(
        &self,
        subject: &PinnedReference,
        referrers: &[Descriptor],
    ) -> Result<(), RegistryError> {
        let update = TagSchemaUpdate { subject: subject.clone(), referrers: referrers.to_vec() };
        self.update_tag_schemas(&[update]).await.pop().expect("there is one outcome for one update")
    }

    /// Adds to referrers tags, and returns when everything is listed; one outcome for each update, in order.
    ///
    /// Entries and members that are there stay as they are, byte for byte; what is listed already is not added again.
    /// Writers in this process take turns; against others the entries are read back after
    /// [`RegistryOptions::tag_schema_window`](crate::RegistryOptions::tag_schema_window) and written again if they were
    /// lost. A tag that holds anything but an image index is left alone.
    pub async fn update_tag_schemas(&self, updates: &[TagSchemaUpdate]) -> Vec<Result<(), RegistryError>> {
        let mut writers: Vec<Writer<'_>> = updates.iter().map(|update| Writer::new(self, update)).collect();
        for pause in iter::once(Duration::ZERO).chain(jitter()) {
            if writers.iter().all(|writer| writer.outcome.is_some()) {
                break;
            }
            sleep(pause).await;
            stream::iter(&mut writers).for_each_concurrent(CONCURRENT, Writer::write).await;
            if writers.iter().any(|writer| writer.outcome.is_none()) {
                sleep(self.registry.0.tag_schema_window).await;
                stream::iter(&mut writers).for_each_concurrent(CONCURRENT, Writer::read_back).await;
            }
        }
        writers.into_iter().map(Writer::into_outcome).collect()
    }
}

/// Writers that collided must not collide again.
fn jitter() -> impl Iterator<Item = Duration> {
    let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_factor(2.0).with_jitter();
    pauses.with_max_times(ROUNDS - 1).build()
}

/// One referrers tag on its way to listing what it should.
struct Writer<'a> {
    pusher: &'a Pusher,
    update: &'a TagSchemaUpdate,
    tag: Tag,
    what: String,
    has_written: bool,
    missing: usize,
    outcome: Option<Result<(), RegistryError>>,
}

/// What is under the tag, and what a write can be conditional on.
struct Held {
    index: Index,
    exists: bool,
    etag: Option<HeaderValue>,
}

impl<'a> Writer<'a> {
    fn new(pusher: &'a Pusher, update: &'a TagSchemaUpdate) -> Self {
        let tag = Tag::of_referrers(update.subject.digest());
        let what = format!("referrers tag {}:{tag}", update.subject.repository());
        let missing = update.referrers.len();
        Self { pusher, update, tag, what, has_written: false, missing, outcome: None }
    }

    async fn write(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        match self.write_if_missing().await {
            Err(error) => self.outcome = Some(Err(error)),
            // Listed before anything was written: nobody is in the way.
            Ok(()) if !self.has_written => self.outcome = Some(Ok(())),
            Ok(()) => {}
        }
    }

    async fn read_back(&mut self) {
        if self.outcome.is_some() {
            return;
        }
        match self.read().await {
            Err(error) => self.outcome = Some(Err(error)),
            Ok(held) => {
                let listed = held.index.digests();
                let ours = self.update.referrers.iter();
                self.missing = ours.filter(|descriptor| !listed.contains(&descriptor.digest)).count();
                if self.missing == 0 {
                    self.outcome = Some(Ok(()));
                } else {
                    tracing::warn!(
                        what = self.what,
                        missing = self.missing,
                        "somebody overwrote the list, writing again"
                    );
                }
            }
        }
    }

    fn into_outcome(self) -> Result<(), RegistryError> {
        self.outcome.unwrap_or_else(|| Err(RegistryError::TagSchemaLost { what: self.what, missing: self.missing }))
    }

    /// Reads, adds what is missing, writes. A write that fails is not repeated as it is: by then somebody else may have
    /// written, so it starts again at reading.
    async fn write_if_missing(&mut self) -> Result<(), RegistryError> {
        let registry = self.pusher.registry.clone();
        let lock = registry.tag_lock(&self.update.subject);
        let _turn = lock.lock().await;
        let mut tries = registry.tries(&self.what, registry.0.total_timeout);
        let window = registry.0.tag_schema_window;
        let mut refused = None;
        // Outages have their own bound; this one is for other writers.
        let mut turns = 0;
        while turns < WRITES {
            let read_at = Instant::now();
            let mut held = tries.within(self.read()).await?;
            if !held.index.add(&self.update.referrers) {
                return Ok(());
            }
            let state = held.state();
            // Where nothing has changed since a condition failed, the registry does not understand it.
            let condition = if refused.as_ref() == Some(&state) { HeaderMap::new() } else { held.condition() };
            let is_conditional = !condition.is_empty();
            let call = self.call(&held.index, condition)?;
            // Later than this, another of ours may believe that nobody is about to write.
            if read_at.elapsed() >= window {
                tracing::debug!(what = self.what, "reading took too long to write after it, reading again");
                turns += 1;
                continue;
            }
            self.has_written = true;
            let outcome = tries.within(registry.exchange(&call)).await;
            match outcome.map_err(|error| super::tag::explain(error, is_conditional)) {
                Ok(answer) => return super::pushed(&call, answer.headers()).map(|_| ()),
                Err(RegistryError::Answered { answer }) if answer.status == 412 => {
                    refused = Some(state);
                    turns += 1;
                }
                Err(error) => tries.again(error).await?,
            }
        }
        let what = self.what.clone();
        match self.has_written {
            true => Err(RegistryError::TagSchemaLost { what, missing: self.missing }),
            false => Err(RegistryError::TimedOut { what, limit: window }),
        }
    }

    fn call(&self, index: &Index, condition: HeaderMap) -> Result<Call<'a>, RegistryError> {
        let bytes = index.to_bytes();
        if bytes.len() as u64 > limits::MANIFEST_BYTES || index.len() > limits::REFERRERS_DESCRIPTORS {
            return Err(self.full());
        }
        let repository = self.update.subject.repository();
        let mut call = super::manifest_call(repository, ManifestTarget::Tag(&self.tag), bytes, media_type::OCI_INDEX)?;
        call.headers.extend(condition);
        Ok(call)
    }

    fn full(&self) -> RegistryError {
        RegistryError::TagSchemaFull {
            what: self.what.clone(),
            limit_bytes: limits::MANIFEST_BYTES,
            limit_entries: limits::REFERRERS_DESCRIPTORS,
        }
    }

    async fn read(&self) -> Result<Held, RegistryError> {
        let path = format!("manifests/{}", self.tag);
        let mut call = Call::read(self.what.clone(), self.update.subject.repository(), path);
        call.headers = accept_index();
        match self.pusher.registry.fetch(&call, limits::MANIFEST_BYTES).await {
            Ok(fetched) => self.held(&fetched),
            Err(RegistryError::NotFound { .. }) => Ok(Held { index: Index::default(), exists: false, etag: None }),
            Err(RegistryError::Http { source: HttpError::TooLarge { .. }, .. }) => Err(self.full()),
            Err(error) => Err(error),
        }
    }

    fn held(&self, fetched: &Fetched) -> Result<Held, RegistryError> {
        let foreign = || RegistryError::TagSchemaForeign { what: self.what.clone() };
        if content_type(fetched) != media_type::OCI_INDEX {
            return Err(foreign());
        }
        let index = Index::parse(&fetched.bytes).ok_or_else(foreign)?;
        // A weak one does not say that the bytes are the same.
        let strong = |etag: &HeaderValue| etag.as_bytes().first() == Some(&b'"');
        Ok(Held { index, exists: true, etag: fetched.headers.get(ETAG).cloned().filter(strong) })
    }
}

impl Held {
    fn state(&self) -> (bool, Option<HeaderValue>) {
        (self.exists, self.etag.clone())
    }

    fn condition(&self) -> HeaderMap {
        match (self.exists, &self.etag) {
            (true, Some(etag)) => HeaderMap::from_iter([(IF_MATCH, etag.clone())]),
            (true, None) => HeaderMap::new(),
            (false, _) => HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]),
        }
    }
}

/// An image index whose members and entries are kept as they were written.
struct Index {
    members: Vec<(String, Box<RawValue>)>,
    manifests: Vec<Box<RawValue>>,
}

impl Default for Index {
    fn default() -> Self {
        let member = |name: &str, value: String| {
            (name.to_owned(), RawValue::from_string(value).expect("numbers, strings and [] are JSON"))
        };
        let members = vec![
            member("schemaVersion", "2".to_owned()),
            member("mediaType", format!("\"{}\"", media_type::OCI_INDEX)),
            member(MANIFESTS, "[]".to_owned()),
        ];
        Self { members, manifests: Vec::new() }
    }
}

impl Index {
    /// Returns `None` for what is not an image index: it is somebody else's.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let Members(members) = serde_json::from_slice(bytes).ok()?;
        let mut names = HashSet::new();
        if !members.iter().all(|(name, _)| names.insert(name.as_str())) {
            return None;
        }
        if ["config", "layers", "fsLayers"].iter().any(|name| names.contains(name)) {
            return None;
        }
        let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.get());
        let is_index = member("mediaType").is_none_or(|value| {
            serde_json::from_str::<Option<String>>(value)
                .is_ok_and(|own| own.is_none_or(|own| own == media_type::OCI_INDEX))
        });
        let version = member("schemaVersion").and_then(|value| serde_json::from_str::<u64>(value).ok());
        let manifests = serde_json::from_str::<Option<Vec<Box<RawValue>>>>(member(MANIFESTS)?).ok()?;
        (is_index && version == Some(2)).then(|| Self { manifests: manifests.unwrap_or_default(), members })
    }

    /// Appends what is not listed; returns whether anything was not.
    fn add(&mut self, referrers: &[Descriptor]) -> bool {
        let mut listed = self.digests();
        let before = self.manifests.len();
        for descriptor in referrers {
            if listed.insert(descriptor.digest) {
                let entry = serde_json::value::to_raw_value(descriptor).expect("a descriptor is JSON");
                self.manifests.push(entry);
            }
        }
        self.manifests.len() > before
    }

    fn digests(&self) -> HashSet<Digest> {
        #[derive(Deserialize)]
        struct Entry {
            digest: Digest,
        }
        let digest = |entry: &str| serde_json::from_str::<Entry>(entry).ok().map(|entry| entry.digest);
        self.manifests.iter().filter_map(|entry| digest(entry.get())).collect()
    }

    fn len(&self) -> usize {
        self.manifests.len()
    }

    fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("raw JSON values are JSON").into()
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len()))?;
        for (name, value) in &self.members {
            if name == MANIFESTS {
                map.serialize_entry(name, &self.manifests)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// A JSON object in its own order.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

const MANIFESTS: &str = "manifests";

/// How often a lost entry is written again before somebody else is said to be in the way.
const ROUNDS: usize = 5;

/// How often one writing starts again at reading.
const WRITES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &str = r#"{"extra":1e400,"schemaVersion":2,"manifests":[{ "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"mediaType":"a/b","x":{"b":0.10,"a":1}},"not a descriptor"],"mediaType":"application/vnd.oci.image.index.v1+json","annotations":{"k":"v"}}"#;

    fn descriptor(bytes: &[u8]) -> Descriptor {
        Descriptor::of(media_type::OCI_MANIFEST, bytes)
    }

    #[test]
    fn what_others_wrote_stays_byte_for_byte() {
        let mut index = Index::parse(FOREIGN.as_bytes()).unwrap();
        let ours = descriptor(b"ours");
        assert!(index.add(std::slice::from_ref(&ours)));
        let entry = serde_json::to_string(&ours).unwrap();
        let expected = FOREIGN.replace(r#""not a descriptor"]"#, &format!(r#""not a descriptor",{entry}]"#));
        assert_eq!(index.to_bytes(), expected.as_bytes());
    }

    #[test]
    fn what_is_listed_is_not_added_again() {
        let mut index = Index::parse(FOREIGN.as_bytes()).unwrap();
        assert!(!index.add(&[descriptor(b"{}")]));
        assert_eq!(index.to_bytes(), FOREIGN.as_bytes());
        assert!(index.add(&[descriptor(b"1"), descriptor(b"1"), descriptor(b"2")]));
        assert_eq!(index.len(), 4);
    }

    #[test]
    fn a_new_list_is_an_image_index() {
        let mut index = Index::default();
        assert!(index.add(&[descriptor(b"ours")]));
        let parsed = crate::index::Manifest::parse(&index.to_bytes(), Some(media_type::OCI_INDEX)).unwrap();
        assert!(matches!(parsed, crate::index::Manifest::Index(index) if index.manifests == [descriptor(b"ours")]));
    }

    #[test]
    fn what_is_no_image_index_is_somebody_elses() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":{}}"#,
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
            r#"{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json"}"#,
        ] {
            assert!(Index::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Index::parse(br#"{"schemaVersion":2,"manifests":null}"#).is_some());
    }
}
