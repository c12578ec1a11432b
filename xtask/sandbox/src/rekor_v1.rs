//! Rekor v1: entries of kind `dsse` 0.0.1 and `hashedrekord` 0.0.1, promised, proven and checkpointed as they come.

mod proposal;

use std::sync::Mutex;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{ALLOW, CONTENT_TYPE, ETAG, LOCATION};
use http::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::checkpoint::{Signer, checkpoint};
use crate::clock::Clock;
use crate::exchange::{Call, Reply};
use crate::keys::EcdsaKey;
use crate::merkle::{self, Hash};
use crate::problem::Problem;

/// The name of this log in its checkpoints; also the host of its base URL in the trusted root.
pub(crate) const HOST: &str = "127.0.0.1";

/// The number of the tree; entries are named after it.
const TREE_ID: u64 = 1_193_050_959_916_656_506;

/// How many entries older shards hold: the index of an entry is not its place in the tree.
const OLDER_ENTRIES: usize = 4_163_431;

/// The log.
pub(crate) struct RekorV1 {
    clock: Clock,
    key: EcdsaKey,
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    body: String,
    leaf: Hash,
    integrated_time: i64,
}

impl Entry {
    fn uuid(&self) -> String {
        format!("{TREE_ID:016x}{}", crate::hex(&self.leaf))
    }
}

impl RekorV1 {
    /// A log with two entries already in it: the place 0 and an empty proof are what clients get wrong.
    pub(crate) fn new(clock: Clock, key: EcdsaKey) -> RekorV1 {
        let log = RekorV1 { clock, key, entries: Mutex::default() };
        for seed in ["first", "second"] {
            log.append(&proposal::seed(seed));
        }
        log
    }

    /// SHA-256 of the public key.
    pub(crate) fn log_id(&self) -> [u8; 32] {
        digest(&SHA256, &self.key.spki()).as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.spki()
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        let reply = match (call.method.clone(), call.path.as_str()) {
            (Method::POST, "/api/v1/log/entries") => self.create(call),
            (Method::GET, "/api/v1/log/entries") => self.by_index(call),
            (Method::GET, "/api/v1/log") => Ok(self.info()),
            (Method::GET, "/api/v1/log/publicKey") => {
                Ok(Reply::bytes(StatusCode::OK, "application/x-pem-file", crate::pem("PUBLIC KEY", &self.key.spki())))
            }
            (Method::GET, "/ping") => Ok(Reply::bytes(StatusCode::OK, "text/plain", ".")),
            (Method::GET, path) => match path.strip_prefix("/api/v1/log/entries/") {
                Some(uuid) => self.by_uuid(uuid),
                None => Err(Problem::not_found()),
            },
            (_, "/api/v1/log/entries") => Ok(Problem::method_not_allowed().swagger().header(ALLOW, "GET,POST")),
            (_, "/api/v1/log" | "/api/v1/log/publicKey") => {
                Ok(Problem::method_not_allowed().swagger().header(ALLOW, "GET"))
            }
            _ => Err(Problem::not_found()),
        };
        reply.unwrap_or_else(|problem| problem.swagger())
    }

    fn create(&self, call: &Call) -> Result<Reply, Problem> {
        let media_type = call.media_type().unwrap_or_default();
        if media_type != "application/json" {
            return Err(Problem::unsupported_media_type(&media_type));
        }
        if call.body.is_empty() {
            return Err(Problem::required("proposedEntry in body"));
        }
        // Even what is not JSON is an error of the server, as the real one says.
        let proposal: Value = call.first_json().map_err(|error| Problem::internal(&error.to_string()))?;
        let body = proposal::canonical_body(&proposal)?;
        let reply = self.append(&body);
        // The entry is made all the same, and its type is not said.
        Ok(if call.accepts("application/json") { reply } else { reply.header(CONTENT_TYPE, "") })
    }

    fn append(&self, body: &str) -> Reply {
        let leaf = merkle::leaf_hash(body.as_bytes());
        let mut entries = crate::lock(&self.entries);
        if let Some(same) = entries.iter().find(|entry| entry.leaf == leaf) {
            let message =
                format!("an equivalent entry already exists in the transparency log with UUID {}", same.uuid());
            return Problem::conflict(&message).swagger().header(LOCATION, location(&same.uuid()));
        }
        entries.push(Entry { body: body.to_owned(), leaf, integrated_time: self.clock.now().as_second() });
        let (uuid, document) = self.document(&entries, entries.len() - 1);
        Reply::json(StatusCode::CREATED, &document).header(LOCATION, location(&uuid)).header(ETAG, uuid)
    }

    fn by_index(&self, call: &Call) -> Result<Reply, Problem> {
        let index = call.query_value("logIndex").ok_or_else(|| Problem::required("logIndex in query"))?;
        let number: i64 = index
            .parse()
            .map_err(|_| Problem::unprocessable(601, &format!("logIndex in query must be of type int64: {index:?}")))?;
        let index = usize::try_from(number)
            .map_err(|_| Problem::unprocessable(609, "logIndex in query should be greater than or equal to 0"))?;
        let entries = crate::lock(&self.entries);
        let place = index.checked_sub(OLDER_ENTRIES).filter(|place| *place < entries.len());
        Ok(self.found(&entries, place))
    }

    /// By the hash of the leaf, with or without the number of the tree.
    fn by_uuid(&self, uuid: &str) -> Result<Reply, Problem> {
        let is_hex = uuid.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !matches!(uuid.len(), 64 | 80) {
            let message = "entryUUID in path should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'";
            return Err(Problem::unprocessable(605, message));
        }
        let uuid = uuid.to_ascii_lowercase();
        let entries = crate::lock(&self.entries);
        Ok(self.found(&entries, entries.iter().position(|entry| entry.uuid().ends_with(&uuid))))
    }

    /// An entry, or an answer that says nothing but that there is none.
    fn found(&self, entries: &[Entry], place: Option<usize>) -> Reply {
        place.map_or_else(
            || Reply::new(StatusCode::NOT_FOUND),
            |place| Reply::json(StatusCode::OK, &self.document(entries, place).1),
        )
    }

    fn info(&self) -> Reply {
        let leaves: Vec<Hash> = crate::lock(&self.entries).iter().map(|entry| entry.leaf).collect();
        let info = json!({
            "inactiveShards": null,
            "rootHash": crate::hex(&merkle::root(&leaves)),
            "signedTreeHead": self.checkpoint(&leaves),
            "treeID": TREE_ID.to_string(),
            "treeSize": leaves.len(),
        });
        Reply::json(StatusCode::OK, &info)
    }

    /// The name of an entry and the entry with all its evidence.
    fn document(&self, entries: &[Entry], place: usize) -> (String, Value) {
        let entry = &entries[place];
        let leaves: Vec<Hash> = entries.iter().map(|entry| entry.leaf).collect();
        let promised = json!({
            "body": BASE64_STANDARD.encode(&entry.body),
            "integratedTime": entry.integrated_time,
            "logID": crate::hex(&self.log_id()),
            "logIndex": OLDER_ENTRIES + place,
        });
        let promise = self.key.sign(crate::canonical(&promised).as_bytes());
        let mut document = promised;
        document["verification"] = json!({
            "inclusionProof": {
                "checkpoint": self.checkpoint(&leaves),
                "hashes": merkle::inclusion_proof(place, &leaves).iter().map(|hash| crate::hex(hash)).collect::<Vec<_>>(),
                "logIndex": place,
                "rootHash": crate::hex(&merkle::root(&leaves)),
                "treeSize": leaves.len(),
            },
            "signedEntryTimestamp": BASE64_STANDARD.encode(promise),
        });
        let uuid = entry.uuid();
        let document = json!({ uuid.as_str(): document });
        (uuid, document)
    }

    fn checkpoint(&self, leaves: &[Hash]) -> String {
        let [first, second, third, fourth, ..] = self.log_id();
        let origin = format!("{HOST} - {TREE_ID}");
        let key_hint = [first, second, third, fourth];
        let signer = Signer { origin: &origin, name: HOST, key_hint, sign: &|text| self.key.sign(text) };
        checkpoint(&signer, leaves.len(), &merkle::root(leaves))
    }
}

fn location(uuid: &str) -> String {
    format!("/api/v1/log/entries/{uuid}")
}
