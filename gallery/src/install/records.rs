//! What is written down about an installation.

use countersign_verifier::{AcceptedSignature, VerifiedImage};
use jiff::Timestamp;

use super::Request;
use super::image::Image;
use super::origin::Origin;
use super::unpacking::Unpacked;
use crate::confine::Root;
use crate::index::EntryKind;
use crate::integrity::Installable;
use crate::store::{
    self, Activated, Expected, METADATA, Metadata, Receipt, SignatureRecord, State, StoreError, Verification, Work,
};

/// The receipt of a backend.
pub(crate) fn receipt(
    request: &Request<'_>,
    origin: &Origin,
    installable: &Installable,
    image: &Image,
    unpacked: &Unpacked,
    now: Timestamp,
) -> Receipt {
    Receipt {
        schema: store::RECEIPT_SCHEMA.to_owned(),
        gallery: request.target.gallery.name.clone(),
        entry: request.target.concrete.name.clone(),
        asked: uri(request),
        index_digest: installable.digest(),
        platform_digest: image.digest,
        platform: image.platform.to_string(),
        served_by: origin.pinned.repository().to_string(),
        installed_at: now,
        layers: image.layers.iter().map(|layer| layer.descriptor.digest).collect(),
        files: unpacked.summary.files,
        bytes: unpacked.summary.bytes,
        verification: match installable {
            Installable::Image(image) => Some(verification(image)),
            Installable::Unverified(_) => None,
        },
    }
}

/// LocalAI's record of a backend.
pub(crate) fn metadata(request: &Request<'_>, receipt: &Receipt) -> Metadata {
    let entry = request.target.concrete;
    Metadata {
        alias: entry.alias.as_ref().map(ToString::to_string),
        meta_backend_for: None,
        name: Some(entry.name.to_string()),
        gallery_url: Some(request.target.gallery.url.clone()),
        installed_at: Some(seconds(receipt.installed_at)),
        version: entry.version.clone(),
        uri: Some(receipt.asked.clone()),
        digest: Some(receipt.index_digest.to_string()),
    }
}

/// Makes the directory of the meta entry that was named, unless it stands there already.
pub(crate) fn write_meta(
    work: &Work,
    request: &Request<'_>,
    concrete: &Metadata,
    now: Timestamp,
    expected: &Expected,
) -> Result<Option<Activated>, StoreError> {
    let Some((meta, _)) = request.target.meta else { return Ok(None) };
    let target = &request.target.concrete.name;
    if let State::Meta { concrete, .. } = work.store().state(&meta.name)?
        && concrete == *target
    {
        return Ok(Some(Activated { path: work.store().directory(&meta.name), warnings: Vec::new() }));
    }
    let metadata = Metadata {
        meta_backend_for: Some(target.clone()),
        name: Some(meta.name.to_string()),
        gallery_url: Some(request.target.gallery.url.clone()),
        installed_at: Some(seconds(now)),
        version: concrete.version.clone(),
        ..Metadata::default()
    };
    let staging = work.stage()?;
    let written = serde_json::to_vec_pretty(&metadata).map_err(std::io::Error::other).and_then(|text| {
        let mut root = Root::open(&staging.tree())?;
        store::write_record(&mut root, METADATA, &text)
    });
    written.map_err(|source| StoreError::Disk { action: "write", path: staging.tree(), source })?;
    Ok(Some(work.activate(staging, &meta.name, expected)?))
}

fn verification(image: &VerifiedImage) -> Verification {
    Verification {
        policy_hash: image.policy_hash(),
        trusted_root: image.trusted_root().to_owned(),
        signatures: image.signatures().iter().map(signature).collect(),
    }
}

fn signature(accepted: &AcceptedSignature) -> SignatureRecord {
    SignatureRecord {
        issuer: accepted.issuer().to_owned(),
        identity: accepted.identity().to_owned(),
        source_repository: accepted.source_repository().map(ToOwned::to_owned),
        log_entry: accepted.log_entry(),
        log_index: accepted.log_index(),
        times: accepted.times().to_vec(),
        referrer: accepted.referrer(),
        // It was parsed as JSON when it was verified.
        bundle: serde_json::from_slice(accepted.bundle()).unwrap_or_default(),
    }
}

fn uri(request: &Request<'_>) -> String {
    match &request.target.concrete.kind {
        EntryKind::Concrete { uri, .. } => uri.clone(),
        EntryKind::Meta { .. } => String::new(),
    }
}

/// LocalAI writes whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
