//! The TUF repository: four small documents, the targets that they vouch for, and what happens to them in the course of
//! years: new keys, new versions, expiry, and what an attacker would serve instead.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::exchange::{Call, Reply};
use crate::keys::Ed25519Key;

/// The roles of TUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TufRole {
    /// Says whose keys the others have.
    Root,
    /// Says which snapshot is the newest.
    Timestamp,
    /// Says which targets belong together.
    Snapshot,
    /// Says what the targets are.
    Targets,
}

impl TufRole {
    /// All of them.
    pub const ALL: [TufRole; 4] = [TufRole::Root, TufRole::Timestamp, TufRole::Snapshot, TufRole::Targets];

    fn name(self) -> &'static str {
        match self {
            TufRole::Root => "root",
            TufRole::Timestamp => "timestamp",
            TufRole::Snapshot => "snapshot",
            TufRole::Targets => "targets",
        }
    }

    /// Stands for the version until the rest is text.
    fn placeholder(self) -> String {
        format!("@{}@", self.name())
    }
}

/// The repository of a sandbox.
#[derive(Debug)]
pub struct TufRepository(Mutex<State>);

/// Everything that a repository serves at one time, by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TufCopy(BTreeMap<String, Bytes>);

#[derive(Debug)]
struct State {
    keys: BTreeMap<TufRole, Ed25519Key>,
    versions: BTreeMap<TufRole, u64>,
    expires: BTreeMap<TufRole, Timestamp>,
    targets: BTreeMap<String, Bytes>,
    files: BTreeMap<String, Bytes>,
}

impl TufRepository {
    /// Consistent snapshots of version 1, with these targets; one key for all roles.
    pub(crate) fn new(key: &Ed25519Key, expires: Timestamp, targets: &[(String, Bytes)]) -> TufRepository {
        let mut state = State {
            keys: TufRole::ALL.into_iter().map(|role| (role, key.clone())).collect(),
            versions: TufRole::ALL.into_iter().map(|role| (role, 1)).collect(),
            expires: TufRole::ALL.into_iter().map(|role| (role, expires)).collect(),
            targets: targets.iter().cloned().collect(),
            files: BTreeMap::new(),
        };
        state.write_root(&[key]);
        state.write_others();
        TufRepository(Mutex::new(state))
    }

    /// The document that clients start from.
    pub(crate) fn root(&self) -> Bytes {
        self.state().files.get("/1.root.json").cloned().unwrap_or_default()
    }

    pub(crate) fn answer(&self, call: &Call) -> Reply {
        if !matches!(call.method, Method::GET | Method::HEAD) {
            return Reply::new(StatusCode::METHOD_NOT_ALLOWED);
        }
        match self.state().files.get(&call.path) {
            Some(bytes) => Reply::bytes(StatusCode::OK, "application/json", bytes.clone()),
            // `2.root.json` is how clients learn that 1 is the newest.
            None => Reply::not_found(),
        }
    }

    /// Replaces or adds a target, and publishes it under the next versions.
    pub fn publish(&self, name: &str, target: impl Into<Vec<u8>>) {
        let mut state = self.state();
        state.targets.insert(name.to_owned(), Bytes::from(target.into()));
        for role in [TufRole::Targets, TufRole::Snapshot, TufRole::Timestamp] {
            state.step(role);
        }
        state.write_others();
    }

    /// Publishes everything again under the next versions, with another expiry of one role.
    pub fn expire(&self, role: TufRole, at: Timestamp) {
        let mut state = self.state();
        state.expires.insert(role, at);
        state.step(role);
        if role == TufRole::Root {
            let key = state.keys[&TufRole::Root].clone();
            state.write_root(&[&key]);
            return;
        }
        for above in [TufRole::Snapshot, TufRole::Timestamp] {
            if above != role && above < role {
                state.step(above);
            }
        }
        state.write_others();
    }

    /// Gives roles new keys, in a new version of the root that the old and the new root key sign. Returns the old keys.
    pub fn rotate(&self, roles: &[TufRole]) -> BTreeMap<TufRole, Ed25519Key> {
        let mut state = self.state();
        let old = state.keys.clone();
        for role in roles {
            state.keys.insert(*role, Ed25519Key::generate());
        }
        state.step(TufRole::Root);
        let (before, after) = (old[&TufRole::Root].clone(), state.keys[&TufRole::Root].clone());
        let signers: &[&Ed25519Key] = if before.public() == after.public() { &[&after] } else { &[&before, &after] };
        state.write_root(signers);
        state.write_others();
        old
    }

    /// Publishes a role under this version, higher or lower: what an attacker with its key can do, or its owner after
    /// that.
    pub fn set_version(&self, role: TufRole, version: u64) {
        let mut state = self.state();
        state.versions.insert(role, version);
        state.write_others();
    }

    /// Signs the present documents with other keys, without a word in the root: what an attacker without them does.
    pub fn sign_with(&self, keys: BTreeMap<TufRole, Ed25519Key>) {
        let mut state = self.state();
        state.keys.extend(keys);
        state.write_others();
    }

    /// Serves the next version of the root, signed by a key that nobody trusts.
    pub fn forge_root(&self) {
        let mut state = self.state();
        state.step(TufRole::Root);
        state.write_root(&[&Ed25519Key::generate()]);
    }

    /// Serves what comes after the newest root for ever: so many versions, each signed as it must be.
    pub fn prolong_root(&self, versions: u64) {
        let mut state = self.state();
        let key = state.keys[&TufRole::Root].clone();
        for _ in 0..versions {
            state.step(TufRole::Root);
            state.write_root(&[&key]);
        }
    }

    /// Returns what is served now.
    #[must_use]
    pub fn copy(&self) -> TufCopy {
        TufCopy(self.state().files.clone())
    }

    /// Serves this from now on, and nothing else: an older state, or another repository's.
    pub fn serve(&self, copy: &TufCopy) {
        self.state().files = copy.0.clone();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TufCopy {
    /// Returns the bytes of one file, `/timestamp.json`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Bytes> {
        self.0.get(path).cloned()
    }

    /// Writes it into a folder as a mirror would.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        for (path, bytes) in &self.0 {
            let path = folder.join(path.trim_start_matches('/'));
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent).with_context(|| format!("make the folder {}", parent.display()))?;
            std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

impl State {
    fn step(&mut self, role: TufRole) {
        *self.versions.entry(role).or_default() += 1;
    }

    fn write_root(&mut self, signers: &[&Ed25519Key]) {
        let role = |role: TufRole| json!({ "keyids": [key_id(&self.keys[&role])], "threshold": 1 });
        let roles: Map<String, Value> = TufRole::ALL.into_iter().map(|of| (of.name().to_owned(), role(of))).collect();
        let keys: Map<String, Value> = self.keys.values().map(|key| (key_id(key), key_document(key))).collect();
        let content = json!({ "consistent_snapshot": true, "keys": keys, "roles": roles });
        let bytes = self.document(TufRole::Root, content, signers);
        self.files.insert(format!("/{}.root.json", self.versions[&TufRole::Root]), bytes);
    }

    /// Targets, the snapshot that pins them, and the timestamp that pins that.
    fn write_others(&mut self) {
        let mut listed = Map::new();
        for (name, bytes) in self.targets.clone() {
            let hash = sha256(&bytes);
            listed.insert(name.clone(), json!({ "length": bytes.len(), "hashes": { "sha256": hash } }));
            self.files.insert(format!("/targets/{hash}.{name}"), bytes);
        }
        let version = |role| self.versions[&role];
        let (targets, snapshot) = (version(TufRole::Targets), version(TufRole::Snapshot));
        let targets_document = self.signed(TufRole::Targets, json!({ "targets": listed }));
        let pinned = json!({ "meta": { "targets.json": { "version": TufRole::Targets.placeholder() } } });
        let snapshot_document = self.signed(TufRole::Snapshot, pinned);
        let meta = json!({ "snapshot.json": {
            "version": TufRole::Snapshot.placeholder(),
            "length": snapshot_document.len(),
            "hashes": { "sha256": sha256(&snapshot_document) },
        } });
        let timestamp_document = self.signed(TufRole::Timestamp, json!({ "meta": meta }));
        self.files.insert(format!("/{targets}.targets.json"), targets_document);
        self.files.insert(format!("/{snapshot}.snapshot.json"), snapshot_document);
        self.files.insert("/timestamp.json".to_owned(), timestamp_document);
    }

    fn signed(&self, role: TufRole, content: Value) -> Bytes {
        self.document(role, content, &[&self.keys[&role]])
    }

    /// A signed document. Its text has only ASCII without control characters, where RFC 8785 and TUF's canonical JSON
    /// agree, except for integers beyond 2^53: the versions are put in afterwards.
    fn document(&self, role: TufRole, content: Value, signers: &[&Ed25519Key]) -> Bytes {
        let mut signed = content;
        signed["_type"] = json!(role.name());
        signed["spec_version"] = json!("1.0.31");
        signed["version"] = json!(role.placeholder());
        signed["expires"] = json!(format!("{:.0}", self.expires[&role]));
        let number = |text: String, role: TufRole| {
            text.replace(&format!("\"{}\"", role.placeholder()), &self.versions[&role].to_string())
        };
        let numbered = |text: String| TufRole::ALL.into_iter().fold(text, number);
        let text = numbered(crate::canonical(&signed));
        let signature =
            |key: &&Ed25519Key| json!({ "keyid": key_id(key), "sig": crate::hex(&key.sign(text.as_bytes())) });
        let signatures: Vec<Value> = signers.iter().map(signature).collect();
        Bytes::from(numbered(json!({ "signatures": signatures, "signed": signed }).to_string()))
    }
}

fn key_document(key: &Ed25519Key) -> Value {
    json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": crate::hex(key.public()) } })
}

fn key_id(key: &Ed25519Key) -> String {
    sha256(crate::canonical(&key_document(key)).as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    crate::hex(digest(&SHA256, bytes).as_ref())
}
