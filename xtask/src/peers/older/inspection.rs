//! What `inspect` says of older signatures.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::{Bench, process};
use super::ADVICE;
use super::cosign::Form;

/// Fails unless `inspect` names the older form beside the index and beside each of its children.
pub(super) fn names(bench: &Bench<'_>, reference: &str, form: Form) -> anyhow::Result<String> {
    let home = bench.folder("inspect")?;
    let mut command = process::command(&bench.programs.path("countersign-verifier"), &home);
    command.args(["inspect", reference, "--output", "json"]);
    let run = process::call(command)?.ok()?;
    let document: Value = serde_json::from_str(&run.stdout).context("inspect wrote no document")?;
    let index = &document["manifest"];
    let children = index["children"].as_array().context("an index without children")?;
    ensure!(children.len() == 4, "{} children are shown", children.len());
    for manifest in children.iter().chain([index]) {
        beside(manifest, form).with_context(|| format!("beside {}", manifest["digest"]))?;
    }
    Ok(format!("named beside the index and {} children, with the hint", children.len()))
}

fn beside(manifest: &Value, form: Form) -> anyhow::Result<()> {
    let list = |name: &str| manifest[name].as_array().cloned().unwrap_or_default();
    let (tags, referrers) = (list("older_tags"), list("referrers"));
    let hint = match (form, tags.as_slice(), referrers.as_slice()) {
        (Form::Tag, [tag], []) => {
            let is_sig = tag["tag"].as_str().is_some_and(|tag| tag.ends_with(".sig"));
            ensure!(is_sig && tag["entries"] == 1, "the tag is {tag}");
            ensure!(tag["is"] == "signed in the form that cosign wrote before version 3", "it is {}", tag["is"]);
            &tag["hint"]
        }
        (Form::Referrer, [], [referrer]) => {
            ensure!(referrer["is"] == "older-cosign", "the referrer is {referrer}");
            ensure!(referrer["why"]["code"] == "older-cosign-format", "the reason is {}", referrer["why"]);
            &referrer["why"]["hint"]
        }
        _ => anyhow::bail!("{} older tags and {} referrers", tags.len(), referrers.len()),
    };
    ensure!(hint.as_str().is_some_and(|hint| hint.contains(ADVICE)), "the hint is {hint}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_is_looked_for_in_its_own_place_only() {
        let hint = format!("{ADVICE} or later");
        let is = "signed in the form that cosign wrote before version 3";
        let tag =
            json!({"older_tags": [{"tag": "sha256-aa.sig", "entries": 1, "is": is, "hint": hint}], "referrers": []});
        let why = json!({"code": "older-cosign-format", "hint": hint});
        let referrer = json!({"older_tags": [], "referrers": [{"is": "older-cosign", "why": why}]});
        assert!(beside(&tag, Form::Tag).is_ok());
        assert!(beside(&referrer, Form::Referrer).is_ok());
        assert!(beside(&tag, Form::Referrer).is_err());
        assert!(beside(&referrer, Form::Tag).is_err());
        let mut unadvised = referrer.clone();
        unadvised["referrers"][0]["why"]["hint"] = Value::Null;
        assert!(beside(&unadvised, Form::Referrer).is_err());
        let mut bundle = referrer;
        bundle["referrers"][0]["is"] = json!("bundle");
        assert!(beside(&bundle, Form::Referrer).is_err());
    }
}
