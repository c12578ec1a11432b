//! The documents that clients trust and sign by: trusted root and signing configs.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::certificate::Authority;
use crate::fulcio::Fulcio;
use crate::keys::Keys;
use crate::rekor_v1::{self, RekorV1};
use crate::rekor_v2::{self, RekorV2};
use crate::tsa::Tsa;

/// The two generations of the transparency log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RekorVersion {
    /// Entries of kind `dsse` and `hashedrekord` 0.0.1, with an integrated time.
    V1,
    /// Entries of kind `hashedrekord` 0.0.2, without a time.
    V2,
}

impl RekorVersion {
    fn major(self) -> u8 {
        match self {
            RekorVersion::V1 => 1,
            RekorVersion::V2 => 2,
        }
    }
}

/// Where the services are.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    pub(crate) fulcio: String,
    pub(crate) email_issuer: String,
    pub(crate) rekor_v1: String,
    pub(crate) rekor_v2: String,
    pub(crate) tsa: String,
}

impl Urls {
    /// The URL that the trusted root knows a log by: the host is the name in the log's checkpoints.
    fn log_identifier(url: &str, host: &str) -> String {
        let port = url.rsplit(':').next().unwrap_or_default();
        format!("http://{host}:{port}")
    }
}

/// The keys of all services, valid since a time.
pub(crate) fn trusted_root(
    urls: &Urls,
    since: Timestamp,
    keys: &Keys,
    services: (&Fulcio, &RekorV1, &RekorV2, &Tsa),
) -> Value {
    let (fulcio, rekor_v1, rekor_v2, tsa) = services;
    let log = |url: String, spki: &[u8], details: &str, id: &[u8]| {
        json!({
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": { "rawBytes": BASE64_STANDARD.encode(spki), "keyDetails": details, "validFor": valid_since(since) },
            "logId": { "keyId": BASE64_STANDARD.encode(id) },
        })
    };
    let rekor_v1_url = Urls::log_identifier(&urls.rekor_v1, rekor_v1::HOST);
    let rekor_v2_url = Urls::log_identifier(&urls.rekor_v2, rekor_v2::HOST);
    let ct_id = digest(&SHA256, &keys.ct.spki());
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [
            log(rekor_v1_url, &rekor_v1.spki(), P256, &rekor_v1.log_id()),
            log(rekor_v2_url, &rekor_v2.spki(), "PKIX_ED25519", &rekor_v2.log_id()),
        ],
        "certificateAuthorities": [authority(&urls.fulcio, "sandbox fulcio", &fulcio.chain(), since)],
        "ctlogs": [log(format!("{}/ct", urls.fulcio), &keys.ct.spki(), P256, ct_id.as_ref())],
        "timestampAuthorities": [authority(&urls.tsa, "sandbox timestamp", &tsa.chain(), since)],
    })
}

const P256: &str = "PKIX_ECDSA_P256_SHA_256";

fn authority(url: &str, name: &str, chain: &[&Authority], since: Timestamp) -> Value {
    let certificates = chain.iter().map(|authority| json!({ "rawBytes": BASE64_STANDARD.encode(&authority.der) }));
    json!({
        "subject": { "organization": "sandbox", "commonName": name },
        "uri": url,
        "certChain": { "certificates": certificates.collect::<Vec<_>>() },
        "validFor": valid_since(since),
    })
}

/// Where to sign, with one of the logs.
pub(crate) fn signing_config(urls: &Urls, since: Timestamp, rekor: RekorVersion) -> Value {
    let service = |url: &str, version: u8| json!([{ "url": url, "majorApiVersion": version, "validFor": valid_since(since), "operator": "sandbox" }]);
    let log = match rekor {
        RekorVersion::V1 => &urls.rekor_v1,
        RekorVersion::V2 => &urls.rekor_v2,
    };
    json!({
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": service(&urls.fulcio, 1),
        "oidcUrls": service(&urls.email_issuer, 1),
        "rekorTlogUrls": service(log, rekor.major()),
        "rekorTlogConfig": { "selector": "ANY" },
        "tsaUrls": service(&urls.tsa, 1),
        "tsaConfig": { "selector": "ANY" },
    })
}

fn valid_since(since: Timestamp) -> Value {
    json!({ "start": format!("{:.0}", since) })
}
