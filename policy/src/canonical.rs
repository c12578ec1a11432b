//! The stable text of a policy, whose SHA-256 is the policy hash that verdicts and receipts name.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::matcher::Matcher;
use crate::policy::Policy;
use crate::require::{Require, Trust};
use crate::signer::Signer;

impl Policy {
    /// Returns JSON that is the same for every way of writing the same policy: keys sorted, defaults left out, times in UTC.
    ///
    /// Signers keep their order. A gallery block and a document that mean the same differ only in the signer's name.
    pub fn canonical(&self) -> String {
        let mut map = Map::new();
        map.insert("version".into(), Value::Number(1));
        map.insert("signers".into(), Value::List(self.signers().map(signer).collect()));
        map.insert("threshold".into(), Value::Number(self.threshold));
        if self.distinct_logs > 1 {
            map.insert("distinct_logs".into(), Value::Number(self.distinct_logs));
        }
        let window = [
            ("not_before", self.window.not_before.map(|time| time.to_string())),
            ("not_after", self.window.not_after.map(|time| time.to_string())),
            ("max_age", self.window.max_age.map(|age| format!("{}s", age.as_secs()))),
        ];
        for (key, value) in window {
            if let Some(value) = value {
                map.insert(key.into(), Value::Text(value));
            }
        }
        let lists = [("digests", &self.deny.digests), ("log_entries", &self.deny.log_entries)];
        let deny = lists
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(key, values)| (key.to_owned(), Value::texts(values)))
            .collect();
        insert_map(&mut map, "deny", deny);
        insert_map(&mut map, "require", self.required());
        if let Some(trust) = &self.trust {
            map.insert("trust".into(), self::trust(trust));
        }
        serde_json::to_string(&Value::Map(map)).expect("text, numbers, lists and maps with text keys are always JSON")
    }

    fn required(&self) -> Map {
        let mut map = Map::new();
        let Require { tag, repository, platforms, .. } = &self.require;
        for (key, value) in [("tag", *tag), ("repository", *repository), ("platforms", *platforms)] {
            if value {
                map.insert(key.into(), Value::Flag(value));
            }
        }
        let annotations = &self.require.annotations;
        let annotations = annotations.iter().map(|(key, value)| (key.clone(), Value::Text(value.clone())));
        insert_map(&mut map, "annotations", annotations.collect());
        map
    }
}

fn signer(signer: &Signer) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), Value::Text(signer.name.clone()));
    insert_matcher(&mut map, "issuer", &signer.issuer);
    insert_matcher(&mut map, "identity", &signer.identity);
    let mut github = Map::new();
    for (claim, matcher) in &signer.github {
        insert_matcher(&mut github, claim.key(), matcher);
    }
    insert_map(&mut map, "github", github);
    Value::Map(map)
}

fn insert_matcher(map: &mut Map, key: &str, matcher: &Matcher) {
    match matcher {
        Matcher::Exact(values) => map.insert(key.to_owned(), Value::texts(values)),
        Matcher::Pattern(pattern) => map.insert(format!("{key}_regex"), Value::Text(pattern.text().to_owned())),
    };
}

fn insert_map(map: &mut Map, key: &str, value: Map) {
    if !value.is_empty() {
        map.insert(key.to_owned(), Value::Map(value));
    }
}

fn trust(trust: &Trust) -> Value {
    let entry = |key: &str, value: Value| Value::Map(Map::from([(key.to_owned(), value)]));
    match trust {
        Trust::PublicGood => Value::Text("public-good".to_owned()),
        Trust::File(path) => entry("file", Value::Text(path.clone())),
        Trust::Tuf { url, root } => {
            let map = Map::from([
                ("root".to_owned(), Value::Text(root.clone())),
                ("url".to_owned(), Value::Text(url.clone())),
            ]);
            entry("tuf", Value::Map(map))
        }
    }
}

type Map = BTreeMap<String, Value>;

/// JSON with sorted keys, whatever features another crate turns on in `serde_json`.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    List(Vec<Value>),
    Map(Map),
    Number(usize),
    Text(String),
}

impl Value {
    /// One text as itself, several as a list.
    fn texts<'values>(values: impl IntoIterator<Item = &'values String>) -> Self {
        let mut list: Vec<Self> = values.into_iter().map(|value| Self::Text(value.clone())).collect();
        match list.len() {
            1 => list.remove(0),
            _ => Self::List(list),
        }
    }
}
