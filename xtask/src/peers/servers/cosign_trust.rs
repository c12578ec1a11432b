//! Whether cosign assembles the same trust from the same keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::Bench;
use super::super::matrix::Section;
use super::super::process;
use super::trust::Servers;
use super::{Real, keys, rekor_v2, stacks};

/// Compares our trusted root with what `cosign trusted-root create` makes of the same keys and certificates.
pub(super) fn run(bench: &Bench<'_>, real: &Real, section: &mut Section) {
    section.cell("the trusted root is as cosign makes it", "cosign", || {
        let servers = stacks::servers(real)?;
        let theirs = created(bench, &servers)?;
        let ours = servers.trusted_root();
        let (ours, theirs) = (facts(&ours)?, facts(&theirs)?);
        let differing: Vec<_> = ours.symmetric_difference(&theirs).collect();
        ensure!(differing.is_empty(), "only one of the two has {differing:#?}");
        Ok(format!("{} facts are the same", ours.len()))
    });
}

fn created(bench: &Bench<'_>, servers: &Servers<'_>) -> anyhow::Result<Value> {
    let folder = bench.folder("cosign-trust")?;
    let start = format!("start-time={:.0}", servers.since);
    let public = |name: &str, spki: &[u8]| write(&folder.join(name), &keys::pem("PUBLIC KEY", spki)?);
    let chain = |name: &str, chain: &[&[u8]]| {
        let pem = chain.iter().map(|der| keys::pem("CERTIFICATE", der)).collect::<anyhow::Result<String>>()?;
        write(&folder.join(name), &pem)
    };
    let mut command = process::command(&bench.toolbox.program("cosign", "cosign")?, &folder);
    let (fulcio, timestamp) = (servers.fulcio, servers.timestamp);
    let fulcio_chain = chain("fulcio.pem", &fulcio.chain.der())?;
    command.args(["trusted-root", "create"]);
    command.arg(format!("--fulcio=url={},certificate-chain={fulcio_chain},{start}", fulcio.url));
    let ct = public("ct.pub", &fulcio.ct_spki)?;
    command.arg(format!("--ctfe=url={},public-key={ct},{start}", fulcio.ct_url));
    if let Some(log) = servers.rekor_v1 {
        let key = public("rekor-v1.pub", &log.spki)?;
        command.arg(format!("--rekor=url={},public-key={key},{start}", log.url));
    }
    if let Some(log) = servers.rekor_v2 {
        let key = public("rekor-v2.pub", &log.spki)?;
        // Only logs of the second generation have an origin: it goes into the name of the key.
        command.arg(format!("--rekor=url={},public-key={key},{start},origin={}", log.url, rekor_v2::HOST));
    }
    let stamps: Vec<&[u8]> = timestamp.chain.iter().map(Vec::as_slice).collect();
    let stamps = chain("timestamp.pem", &stamps)?;
    command.arg(format!("--tsa=url={},certificate-chain={stamps},{start}", timestamp.endpoint()));
    let file = folder.join("trusted_root.json");
    command.arg("--out").arg(&file);
    process::call(command)?.ok()?;
    serde_json::from_str(&fs::read_to_string(file)?).context("cosign's trusted root")
}

fn write(path: &Path, text: &str) -> anyhow::Result<String> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// Everything in a trusted root that is not merely told to people, one line for each value.
fn facts(root: &Value) -> anyhow::Result<BTreeSet<String>> {
    let mut facts = BTreeSet::new();
    for list in ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"] {
        for entry in root[list].as_array().with_context(|| format!("no {list}"))? {
            let name = entry["baseUrl"].as_str().or(entry["uri"].as_str()).context("an entry without URL")?;
            collect(entry, &format!("{list} {name}"), &mut facts);
        }
    }
    Ok(facts)
}

fn collect(value: &Value, at: &str, facts: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(key, _)| *key != "subject") {
                collect(value, &format!("{at}.{key}"), facts);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                collect(item, &format!("{at}.{number}"), facts);
            }
        }
        value => drop(facts.insert(format!("{at} = {value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_key_is_another_fact_and_another_name_is_none() {
        let root = |key: &str, name: &str| {
            json!({
                "tlogs": [{ "baseUrl": "http://a", "publicKey": { "rawBytes": key } }],
                "ctlogs": [],
                "certificateAuthorities": [{ "uri": "http://b", "subject": { "commonName": name } }],
                "timestampAuthorities": [],
            })
        };
        assert_eq!(facts(&root("k", "x")).unwrap(), facts(&root("k", "y")).unwrap());
        assert_ne!(facts(&root("k", "x")).unwrap(), facts(&root("l", "x")).unwrap());
    }
}
