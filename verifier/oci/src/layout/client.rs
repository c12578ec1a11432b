//! A layout in the words of a registry, so that who reads one reads the other.

use bytes::Bytes;

use super::Layout;
use crate::error::RegistryError;
use crate::index::Descriptor;
use crate::referrers::{Place, PlaceKind, Referrers, ReferrersSource, Truncation};
use crate::registry::{RawManifest, Resolved};
use crate::{ImageReference, PinnedReference};

impl Layout {
    /// Returns repository and digest of what a person named, as [`Registry::resolve`](crate::Registry::resolve) does.
    pub fn resolved(&self, reference: &ImageReference) -> Result<Resolved, RegistryError> {
        let pinned = reference.repository().pin(self.resolve(reference)?);
        let manifest = match reference.digest() {
            Some(_) => None,
            None => Some(self.raw_manifest(&pinned)?),
        };
        Ok(Resolved { pinned, manifest })
    }

    /// Returns a manifest whose bytes hash to the digest that was asked for.
    pub fn raw_manifest(&self, pinned: &PinnedReference) -> Result<RawManifest, RegistryError> {
        let (bytes, manifest) = self.manifest(pinned.digest())?;
        let media_type = manifest.media_type().to_owned();
        Ok(RawManifest { bytes: Bytes::from(bytes), media_type, digest: pinned.digest(), manifest })
    }

    /// Returns a blob of at most `limit` bytes whose size and digest are the descriptor's.
    pub fn raw_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, RegistryError> {
        Ok(Bytes::from(self.blob(descriptor, limit)?))
    }

    /// Returns what refers to `subject`, as [`Registry::referrers`](crate::Registry::referrers) does.
    #[must_use]
    pub fn listed_referrers(&self, subject: &PinnedReference) -> Referrers {
        let found = self.referrers(subject.digest());
        let entries = |count: usize| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        let listed = format!("{} of {} manifests", found.descriptors.len(), found.manifests);
        let schema = found.tag_schema.map_or_else(|| "absent".to_owned(), entries);
        Referrers {
            descriptors: found.descriptors,
            looked_at: vec![
                Place { what: PlaceKind::TagSchema, answer: schema },
                Place { what: PlaceKind::ImageLayout, answer: listed },
            ],
            source: ReferrersSource::ImageLayout,
            truncated: found.truncated.then_some(Truncation::Layout),
            malformed: 0,
            // What was read was read when the layout was opened.
            bytes: 0,
        }
    }
}
