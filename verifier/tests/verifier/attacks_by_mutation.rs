//! Every value of a good bundle, spoiled in every way that is cheap to try: nothing that was signed can be changed, and what can be changed
//! without anybody noticing says nothing. Those fields stand in [`MEANINGLESS`], each with its reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign_verifier::VerifiedImage;
use serde_json::{Value, json};

use crate::attacks_on_bundles::{Logged, MADE};
use crate::forge::{asked, decode, judge_bytes};

/// Where a mutant may be accepted: version of Rekor, end of the path, way of spoiling, and why it does not matter.
const MEANINGLESS: &[(u8, &str, &str)] = &[
    (1, "timestampVerificationData", "a timestamp can be taken away: the log's own time stays, and is judged alone"),
    (1, "rfc3161Timestamps", "the same"),
    (1, "rfc3161Timestamps/0", "the same"),
    (2, "inclusionProof/logIndex", "the entry's own index is proven; this copy is not read"),
    (2, "inclusionProof/treeSize", "the checkpoint's is signed; this copy is not read"),
    (2, "inclusionProof/rootHash", "the checkpoint's is signed; this copy is not read"),
    (2, "tlogEntries/0/integratedTime", "a log of the second generation signs no time; this is not read as one"),
    (2, "tlogEntries/0/inclusionPromise", "nor a promise"),
];

const STAMP: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";

/// What was verified of an image: digest, who, entry, log, and the earliest time.
type Said = (String, String, String, String, String);

fn said(image: &VerifiedImage) -> Said {
    let [signature] = image.signatures() else { panic!("one bundle") };
    let identity = format!("{} {}", signature.issuer(), signature.identity());
    (
        image.digest().to_string(),
        identity,
        signature.log_entry().to_string(),
        signature.log().to_owned(),
        signature.signed_at().to_string(),
    )
}

fn ask(text: String) -> Result<Said, String> {
    let policy = MADE.forge.policy("");
    judge_bytes(&MADE.forge.verifier, &policy, &asked(None), [Bytes::from(text)]).map(|image| said(&image))
}

/// A copy of the document with a change at one place.
fn at(document: &Value, path: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut document = document.clone();
    change(document.pointer_mut(path).unwrap());
    document
}

/// Every place in the document, containers too.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, child)| (at.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let path = format!("{path}/{key}");
        places(child, &path, all);
        all.push(path);
    }
}

/// The document spoiled at one place, with the name of the way.
fn mutants(document: &Value, again: &Value, path: &str) -> Vec<(&'static str, String)> {
    let (parent, key) = path.rsplit_once('/').unwrap();
    let value = document.pointer(path).unwrap();
    let put = |new: Value| at(document, path, |old| *old = new).to_string();
    let mut all = vec![
        ("null", put(Value::Null)),
        ("empty text", put(json!(""))),
        ("empty list", put(json!([]))),
        ("empty object", put(json!({}))),
        ("a number", put(json!(7))),
        ("true", put(json!(true))),
        ("in a list", put(json!([value]))),
    ];
    // From another signature of the very same statement by the very same key.
    all.extend(again.pointer(path).map(|theirs| ("of another", put(theirs.clone()))));
    let without = at(document, parent, |parent| match parent {
        Value::Object(members) => drop(members.remove(key)),
        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
        _ => unreachable!("a parent is a container"),
    });
    all.push(("deleted", without.to_string()));
    if let Value::String(text) = value {
        for place in [0, text.len() / 2, text.len().saturating_sub(5)] {
            all.push(("flipped", put(json!(flipped(text, place)))));
        }
        all.push(("longer", put(json!(format!("{text}A")))));
        all.push(("number of it", put(text.parse::<u64>().map_or(Value::Null, |number| json!(number)))));
    }
    all.extend(swaps(document, parent, key));
    all.extend(duplicates(document, parent, key, value));
    all
}

fn flipped(text: &str, place: usize) -> String {
    let replace = |(at, character): (usize, char)| match (at == place, character) {
        (false, same) => same,
        (true, 'A') => 'B',
        (true, '1') => '2',
        (true, _) => {
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                '1'
            } else {
                'A'
            }
        }
    };
    text.chars().enumerate().map(replace).collect()
}

/// Exchanged with each sibling.
fn swaps(document: &Value, parent: &str, key: &str) -> Vec<(&'static str, String)> {
    let Some(Value::Object(siblings)) = document.pointer(parent) else { return Vec::new() };
    let exchange = |other: &String| {
        let swapped = at(document, parent, |parent| {
            let (mine, theirs) = (parent[key].clone(), parent[other.as_str()].clone());
            parent[key] = theirs;
            parent[other.as_str()] = mine;
        });
        ("swapped", swapped.to_string())
    };
    siblings.keys().filter(|other| *other != key).map(exchange).collect()
}

/// The key twice, with another value before or behind its own.
fn duplicates(document: &Value, parent: &str, key: &str, value: &Value) -> Vec<(&'static str, String)> {
    let Some(Value::Object(_)) = document.pointer(parent) else { return Vec::new() };
    let marker = json!("the place of two keys");
    let text = at(document, &format!("{parent}/{key}"), |place| *place = marker.clone()).to_string();
    let once = format!("{}:{marker}", json!(key));
    assert_eq!(text.matches(&once).count(), 1, "{parent}/{key}");
    let twice = |one: &Value, other: &Value| {
        let both = format!("{}:{one},{}:{other}", json!(key), json!(key));
        text.replace(&once, &both)
    };
    let other = match value {
        Value::String(text) => json!(flipped(text, text.len() / 2)),
        Value::Object(_) => json!({}),
        Value::Array(_) => json!([]),
        _ => Value::Null,
    };
    vec![("twice", twice(value, &other)), ("twice", twice(&other, value)), ("twice the same", twice(value, value))]
}

#[test]
fn no_value_of_a_bundle_can_be_spoiled_unnoticed() {
    let mut counted = 0;
    let mut accepted = Vec::new();
    for (version, Logged { good, again, .. }) in [(1, &MADE.v1), (2, &MADE.v2)] {
        let genuine = ask(good.to_string()).unwrap();
        let mut all = Vec::new();
        places(good, "", &mut all);
        for path in all {
            for (way, mutant) in mutants(good, again, &path) {
                if same_meaning(&mutant, good) {
                    continue;
                }
                counted += 1;
                let Ok(found) = ask(mutant) else { continue };
                assert_eq!(found, genuine, "{path} {way}: another answer");
                let known = |&&(of, end, _): &&(u8, &str, &str)| of == version && path.ends_with(end);
                if MEANINGLESS.iter().find(known).is_none() {
                    accepted.push(format!("v{version} {path}: {way}"));
                }
            }
        }
    }
    println!("{counted} mutants of two bundles, 0 accepted outside {} known fields", MEANINGLESS.len());
    assert!(counted > 1_000, "{counted}");
    assert!(accepted.is_empty(), "{accepted:#?}");
}

/// Whether it is the same document to a reader who takes a number for its text, as protobuf's JSON does.
fn same_meaning(mutant: &str, good: &Value) -> bool {
    fn plain(value: &Value) -> Value {
        match value {
            Value::Number(number) => json!(number.to_string()),
            Value::Array(items) => items.iter().map(plain).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
            }
            other => other.clone(),
        }
    }
    // Keys that stand twice are lost here: such a text is never the same.
    let doubled = mutant.len() > good.to_string().len() && mutant.contains(":") && has_repeated_key(mutant);
    !doubled && serde_json::from_str::<Value>(mutant).is_ok_and(|mutant| plain(&mutant) == plain(good))
}

fn has_repeated_key(text: &str) -> bool {
    // serde_json keeps the last of two: the text that comes back is shorter.
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.to_string().len() < text.len())
}

/// The bytes that signatures and hashes cover, one in so many changed. Of a timestamp, its frame is not covered: algorithms named twice, the
/// empty set of certificates, who is said to have signed. Whatever stands there, the time stays what was signed, by the authority of the root.
#[test]
fn no_signed_byte_can_be_changed() {
    const STEP: usize = 29;
    const SIGNED: [&str; 5] = [
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures/0/sig",
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        STAMP,
    ];
    let (mut counted, mut frame) = (0, 0);
    let mut accepted = Vec::new();
    for (version, Logged { good, .. }) in [(1, &MADE.v1), (2, &MADE.v2)] {
        let genuine = ask(good.to_string()).unwrap();
        for path in SIGNED {
            let bytes = decode(good.pointer(path).unwrap());
            for place in (0..bytes.len()).step_by(STEP) {
                let mut spoiled = bytes.clone();
                spoiled[place] ^= 1 << (place % 8);
                let mutant = at(good, path, |value| *value = json!(STANDARD.encode(&spoiled)));
                counted += 1;
                let Ok(found) = ask(mutant.to_string()) else { continue };
                assert_eq!(found, genuine, "v{version} {path} byte {place}");
                match path == STAMP {
                    true => frame += 1,
                    false => accepted.push(format!("v{version} {path} byte {place} of {}", bytes.len())),
                }
            }
        }
    }
    println!("{counted} bytes of signed fields changed, {} accepted, {frame} of a timestamp's frame", accepted.len());
    assert!(frame <= 6, "{frame}: more of a timestamp than its frame");
    assert!(accepted.is_empty(), "{accepted:#?}");
}
