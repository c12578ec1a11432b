//! What clients trust and sign by, assembled from the keys of the real servers.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::super::stack::Rekor;
use super::{Fulcio, RekorV1, RekorV2, Timestamp as Authority};

/// From when on everything is valid: not from now on, as clocks of certificates have whole seconds.
#[expect(clippy::disallowed_methods, reason = "the servers run by the system's clock, and so must their trust")]
pub(super) fn since() -> Timestamp {
    let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
    Timestamp::from_second(hour_ago.as_second()).unwrap_or(hour_ago)
}

/// The servers whose keys are known; the logs that did not start are left out.
pub(super) struct Servers<'s> {
    pub(super) fulcio: &'s Fulcio,
    pub(super) timestamp: &'s Authority,
    pub(super) rekor_v1: Option<&'s RekorV1>,
    pub(super) rekor_v2: Option<&'s RekorV2>,
    pub(super) since: Timestamp,
}

impl Servers<'_> {
    pub(super) fn trusted_root(&self) -> Value {
        let v1 = self.rekor_v1.map(|log| self.log(&log.url, &log.spki, P256, &sha256(&log.spki)));
        let v2 = self.rekor_v2.map(|log| self.log(&log.url, &log.spki, "PKIX_ED25519", &log.log_id));
        let ct = self.log(&self.fulcio.ct_url, &self.fulcio.ct_spki, P256, &sha256(&self.fulcio.ct_spki));
        let stamps: Vec<&[u8]> = self.timestamp.chain.iter().map(Vec::as_slice).collect();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": v1.into_iter().chain(v2).collect::<Vec<_>>(),
            "certificateAuthorities": [self.authority(&self.fulcio.url, &self.fulcio.chain.der())],
            "ctlogs": [ct],
            "timestampAuthorities": [self.authority(&self.timestamp.endpoint(), &stamps)],
        })
    }

    /// Where to sign, with one of the logs.
    pub(super) fn signing_config(&self, rekor: Rekor, log: &str, issuer: &str) -> Value {
        let service = |url: &str, version: u8| json!([{ "url": url, "majorApiVersion": version, "validFor": self.valid(), "operator": "real" }]);
        let version = match rekor {
            Rekor::V1 => 1,
            Rekor::V2 => 2,
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            // The version of the service, not of the paths: clients post to /api/v2/signingCert.
            "caUrls": service(&self.fulcio.url, 1),
            "oidcUrls": service(issuer, 1),
            "rekorTlogUrls": service(log, version),
            "rekorTlogConfig": { "selector": "ANY" },
            "tsaUrls": service(&self.timestamp.endpoint(), 1),
            "tsaConfig": { "selector": "ANY" },
        })
    }

    fn log(&self, url: &str, spki: &[u8], details: &str, id: &[u8]) -> Value {
        json!({
            "baseUrl": url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": { "rawBytes": BASE64_STANDARD.encode(spki), "keyDetails": details, "validFor": self.valid() },
            "logId": { "keyId": BASE64_STANDARD.encode(id) },
        })
    }

    fn authority(&self, url: &str, chain: &[&[u8]]) -> Value {
        let certificates = chain.iter().map(|der| json!({ "rawBytes": BASE64_STANDARD.encode(der) }));
        json!({
            "subject": { "organization": "countersign", "commonName": "real" },
            "uri": url,
            "certChain": { "certificates": certificates.collect::<Vec<_>>() },
            "validFor": self.valid(),
        })
    }

    fn valid(&self) -> Value {
        json!({ "start": format!("{:.0}", self.since) })
    }
}

const P256: &str = "PKIX_ECDSA_P256_SHA_256";

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}
