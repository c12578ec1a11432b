//! The TUF repository: four small documents by one key, and the targets that they vouch for.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::exchange::{Call, Reply};
use crate::keys::Ed25519Key;

/// The repository, as files.
pub(crate) struct Tuf(BTreeMap<String, Bytes>);

impl Tuf {
    /// Consistent snapshots of version 1, with these targets.
    pub(crate) fn new(key: &Ed25519Key, expires: Timestamp, targets: &[(String, Bytes)]) -> Tuf {
        let writer = Writer { key, expires };
        let mut files = BTreeMap::new();
        let mut listed = Map::new();
        for (name, bytes) in targets {
            let hash = sha256(bytes);
            listed.insert(name.clone(), json!({ "length": bytes.len(), "hashes": { "sha256": hash } }));
            files.insert(format!("/targets/{hash}.{name}"), bytes.clone());
        }
        let root = writer.role("root", writer.keys_and_roles());
        let targets = writer.role("targets", json!({ "targets": listed }));
        let snapshot = writer.role("snapshot", json!({ "meta": { "targets.json": { "version": 1 } } }));
        let meta = json!({ "snapshot.json": { "version": 1, "length": snapshot.len(), "hashes": { "sha256": sha256(&snapshot) } } });
        files.insert("/timestamp.json".to_owned(), writer.role("timestamp", json!({ "meta": meta })));
        for (name, bytes) in [("root", root), ("targets", targets), ("snapshot", snapshot)] {
            files.insert(format!("/1.{name}.json"), bytes);
        }
        Tuf(files)
    }

    /// The document that clients start from.
    pub(crate) fn root(&self) -> Bytes {
        self.0.get("/1.root.json").cloned().unwrap_or_default()
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        if !matches!(call.method, Method::GET | Method::HEAD) {
            return Reply::new(StatusCode::METHOD_NOT_ALLOWED);
        }
        match self.0.get(&call.path) {
            Some(bytes) => Reply::bytes(StatusCode::OK, "application/json", bytes.clone()),
            // `2.root.json` is how clients learn that 1 is the newest.
            None => Reply::not_found(),
        }
    }
}

struct Writer<'a> {
    key: &'a Ed25519Key,
    expires: Timestamp,
}

impl Writer<'_> {
    fn key_document(&self) -> Value {
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": crate::hex(self.key.public()) } })
    }

    fn key_id(&self) -> String {
        sha256(crate::canonical(&self.key_document()).as_bytes())
    }

    fn keys_and_roles(&self) -> Value {
        let role = json!({ "keyids": [self.key_id()], "threshold": 1 });
        json!({
            "consistent_snapshot": true,
            "keys": { self.key_id(): self.key_document() },
            "roles": { "root": role, "snapshot": role, "targets": role, "timestamp": role },
        })
    }

    /// A signed document. Its text has only ASCII without control characters, where RFC 8785 and TUF's canonical JSON agree.
    fn role(&self, name: &str, content: Value) -> Bytes {
        let mut signed = content;
        signed["_type"] = json!(name);
        signed["spec_version"] = json!("1.0.31");
        signed["version"] = json!(1);
        signed["expires"] = json!(format!("{:.0}", self.expires));
        let signature = self.key.sign(crate::canonical(&signed).as_bytes());
        let signatures = json!([{ "keyid": self.key_id(), "sig": crate::hex(&signature) }]);
        Bytes::from(json!({ "signatures": signatures, "signed": signed }).to_string())
    }
}

fn sha256(bytes: &[u8]) -> String {
    crate::hex(digest(&SHA256, bytes).as_ref())
}
