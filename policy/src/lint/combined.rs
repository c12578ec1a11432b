//! All corrections of one policy at once: of fixes that are pasted one after the other, one undoes another or gives a key twice.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::form::{self, Subject};
use super::patterns::quoted;
use super::{Finding, Form, Rule, Together};
use crate::yaml;

/// Applies fixes and looks again until nothing changes, makes every fix of a value hold all corrections of that value, and returns the keys
/// to write. None where no fix can be applied.
pub(super) fn combine(subject: &Subject, findings: &mut [Finding], now: Timestamp) -> Option<Together> {
    let mut corrected = subject.source.clone();
    let mut left = findings.to_vec();
    for _ in 0..MAX_ROUNDS {
        let Some((next, again)) = round(subject, &corrected, &left) else { break };
        corrected = next;
        left = super::of_subject(&again, now);
    }
    if corrected == subject.source {
        return None;
    }
    for finding in findings.iter_mut() {
        whole_fix(subject.form, &corrected, finding);
    }
    let write = print(subject, &corrected, &left);
    Some(Together { gallery: subject.gallery.clone(), at: subject.places.root.clone(), write })
}

/// Applies what can be applied at once; none where that changes nothing or does not load.
fn round(subject: &Subject, corrected: &Value, findings: &[Finding]) -> Option<(Value, Subject)> {
    let mut all = corrected.clone();
    let mut touched = BTreeSet::new();
    for finding in findings {
        apply(subject.form, &mut all, finding, &mut touched);
    }
    if all == *corrected {
        return None;
    }
    if let Ok(again) = form::again(subject, &all) {
        return Some((all, again));
    }
    // Some fix does not load: take those that do.
    let mut some = corrected.clone();
    let mut last = None;
    touched.clear();
    for finding in findings.iter().take(MAX_TRIED) {
        let mut tried = some.clone();
        apply(subject.form, &mut tried, finding, &mut touched);
        if tried != some
            && let Ok(again) = form::again(subject, &tried)
        {
            some = tried;
            last = Some(again);
        }
    }
    last.map(|again| (some, again))
}

/// Writes the keys of a fix into the policy. Of one value only one correction is taken: the others were made without it.
fn apply(form: Form, policy: &mut Value, finding: &Finding, touched: &mut BTreeSet<String>) {
    let index = finding.signer.unwrap_or_default();
    if finding.rule == Rule::ClaimsNeverThere {
        if let Some(signer) = signer_mut(form, policy, index) {
            signer.remove("github");
        }
        return;
    }
    for (key, value) in keys(finding) {
        let Some((owner, value)) = place(form, policy, index, &key, value) else { continue };
        for (key, value) in value {
            let base = base(&key);
            if is_placeholder(&key, &value) || !touched.insert(format!("{index}.{base}")) {
                continue;
            }
            owner.remove(base);
            owner.remove(&format!("{base}_regex"));
            owner.insert(key, value);
        }
    }
}

/// A mapping, and what to write into it.
type Addition<'policy> = (&'policy mut Map<String, Value>, Map<String, Value>);

/// Returns the mapping that a key belongs into, and what to write there.
fn place<'policy>(
    form: Form,
    policy: &'policy mut Value,
    index: usize,
    key: &str,
    value: Value,
) -> Option<Addition<'policy>> {
    let single = |value: Value| Map::from_iter([(key.to_owned(), value)]);
    match (key, value) {
        ("not_before" | "not_after", value) => Some((policy.as_object_mut()?, single(value))),
        ("issuer" | "issuer_regex" | "identity" | "identity_regex", value) => {
            Some((signer_mut(form, policy, index)?, single(value)))
        }
        ("require", Value::Object(all)) => Some((below(policy.as_object_mut()?, "require")?, all)),
        (_, Value::Bool(_)) => {
            let all = single(Value::Bool(true));
            Some((below(policy.as_object_mut()?, "require")?, all))
        }
        ("github", Value::Object(all)) => {
            if all.iter().all(|(key, value)| is_placeholder(key, value)) {
                return None;
            }
            Some((below(signer_mut(form, policy, index)?, "github")?, all))
        }
        ("verification", _) => None,
        (_, value) if is_placeholder(key, &value) => None,
        (_, value) => Some((below(signer_mut(form, policy, index)?, "github")?, single(value))),
    }
}

fn below<'policy>(owner: &'policy mut Map<String, Value>, key: &str) -> Option<&'policy mut Map<String, Value>> {
    owner.entry(key).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

fn signer_mut(form: Form, policy: &mut Value, index: usize) -> Option<&mut Map<String, Value>> {
    match form {
        Form::Document => policy.get_mut("signers")?.get_mut(index)?.as_object_mut(),
        _ => policy.as_object_mut(),
    }
}

fn signer(form: Form, policy: &Value, index: usize) -> Option<&Map<String, Value>> {
    match form {
        Form::Document => policy.get("signers")?.get(index)?.as_object(),
        _ => policy.as_object(),
    }
}

/// The keys of a fix; none where it is a remark.
fn keys(finding: &Finding) -> Map<String, Value> {
    yaml::from_str("fix", &finding.fix).unwrap_or_default()
}

fn base(key: &str) -> &str {
    key.strip_suffix("_regex").unwrap_or(key)
}

/// Tells claims that only somebody who knows them can write.
fn is_placeholder(key: &str, value: &Value) -> bool {
    let known = ["NUMBER", "OWNER/NAME", "OWNER/REPOSITORY", "VALUE"];
    !base(key).starts_with("identity") && value.as_str().is_some_and(|text| known.contains(&text))
}

/// Lets the fix of one value hold what all fixes together make of that value.
fn whole_fix(form: Form, corrected: &Value, finding: &mut Finding) {
    let keys = keys(finding);
    let (1, Some((key, value))) = (keys.len(), keys.iter().next()) else { return };
    if finding.fix.contains('#') || value.is_boolean() || is_placeholder(key, value) {
        return;
    }
    let Some(signer) = finding.signer.and_then(|index| signer(form, corrected, index)) else { return };
    let owner = match base(key) {
        "issuer" | "identity" => Some(signer),
        _ => signer.get("github").and_then(Value::as_object),
    };
    let [exact, pattern] = [base(key).to_owned(), format!("{}_regex", base(key))];
    if let Some((key, value)) = owner.and_then(|owner| owner.get_key_value(&exact).or(owner.get_key_value(&pattern))) {
        finding.fix = format!("{key}: {}", flow(value));
    }
}

/// Writes every key that differs, whole, and what is left to people as remarks.
fn print(subject: &Subject, corrected: &Value, left: &[Finding]) -> String {
    let mut lines = Vec::new();
    let empty = Map::new();
    let (before, after) = (subject.source.as_object(), corrected.as_object());
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    for key in ORDER.into_iter().filter(|key| before.get(*key) != after.get(*key)) {
        match after.get(key) {
            None => lines.push(format!("# without `{key}`")),
            Some(Value::Array(signers)) if key == "signers" => {
                lines.push("signers:".to_owned());
                lines.extend(signers.iter().filter_map(Value::as_object).flat_map(|signer| {
                    let given = ORDER.into_iter().filter_map(|key| Some((key, signer.get(key)?)));
                    given.enumerate().map(|(number, (key, value))| {
                        format!("  {} {key}: {}", if number == 0 { '-' } else { ' ' }, flow(value))
                    })
                }));
            }
            Some(value) => lines.push(format!("{key}: {}", flow(value))),
        }
    }
    if lines.iter().any(|line| line.contains("/FILE.yml@") || line.contains("/OWNER/REPOSITORY/")) {
        lines.push("# write the names of your own for OWNER, REPOSITORY and FILE".to_owned());
    }
    for finding in left {
        let of = match (subject.form, finding.signer) {
            (Form::Document, Some(index)) => format!(" of signers[{index}]"),
            _ => String::new(),
        };
        lines.push(format!("# left to you, {}{of}:", finding.rule.code()));
        lines.extend(finding.fix.lines().map(|line| format!("#   {}", line.trim_start_matches("# "))));
    }
    lines.join("\n")
}

/// Writes a value so that it stands on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(all) => format!("[{}]", all.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(all) => {
            let entries = all.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_lowercase() || matches!(letter, '_' | '-'))
        && !["false", "n", "no", "null", "off", "on", "true", "y", "yes"].contains(&text);
    let is_time = text.len() > 19
        && text.contains('T')
        && text.ends_with('Z')
        && text.chars().all(|letter| letter.is_ascii_digit() || "-:.TZ".contains(letter));
    if is_word || is_time { text.to_owned() } else { quoted(text) }
}

/// The keys that fixes touch, and those of a signer, in the order in which people write them.
const ORDER: [&str; 10] = [
    "signers",
    "name",
    "issuer",
    "issuer_regex",
    "identity",
    "identity_regex",
    "github",
    "not_before",
    "not_after",
    "require",
];
/// How often is looked again: each time one correction of each value is made.
const MAX_ROUNDS: usize = 8;
/// How many fixes are tried alone.
const MAX_TRIED: usize = 64;
