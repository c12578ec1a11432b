//! `policy/README.md` says what the code does: its keys, codes and examples are read here.

use std::collections::BTreeSet;

use countersign_policy::Policy;
use countersign_policy::cases::{self, CaseResult, Cases};
use countersign_policy::lint::{Form, Rule, lint};
use countersign_policy::schema::POLICY_SCHEMA;
use serde_json::Value;

use crate::support::time;

const README: &str = include_str!("../../README.md");

/// The blocks of YAML.
fn examples() -> Vec<&'static str> {
    README.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The first cells, in backticks, of all rows below a heading.
fn rows(heading: &str) -> BTreeSet<String> {
    let section = README.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let first = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    first.map(str::to_owned).collect()
}

fn keys(pointer: &str) -> BTreeSet<String> {
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).unwrap();
    schema.pointer(pointer).unwrap()["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_key_of_the_policy_is_described() {
    assert_eq!(rows("Keys of the document"), keys(""));
    assert_eq!(rows("Keys of a signer"), keys("/$defs/signer"));
    assert_eq!(rows("Keys of `github`"), keys("/$defs/github"));
    let both = keys("/properties/deny").into_iter().chain(keys("/properties/require")).collect();
    assert_eq!(rows("Keys of `deny` and `require`"), both);
}

#[test]
fn every_rule_of_lint_is_described() {
    let rows: Vec<String> = Rule::ALL
        .into_iter()
        .map(|rule| format!("| `{}` | {} | {} |", rule.code(), rule.level().as_str(), rule.explanation()))
        .collect();
    let section = README.split("\n## ").find(|section| section.starts_with("What `policy lint` finds")).unwrap();
    let found: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, rows);
    assert!(Rule::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()), "in the order of their codes");
}

#[test]
fn every_code_of_an_error_or_a_denial_is_described() {
    let codes = |source: &str| -> BTreeSet<String> {
        let body = source.split("fn code(").nth(1).unwrap().split("\n    }\n").next().unwrap();
        body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    assert_eq!(rows("Why a policy does not load"), codes(include_str!("../../src/error.rs")));
    let mut denials = codes(include_str!("../../src/denial.rs"));
    denials.extend([cases::THRESHOLD_UNMET, cases::TOO_FEW_LOGS].map(str::to_owned));
    assert_eq!(rows("Why a signature is denied"), denials);
}

#[test]
fn the_examples_load_and_hold() {
    let (tables, others): (Vec<&str>, Vec<&str>) = examples().into_iter().partition(|text| text.contains("\ncases:"));
    let (galleries, policies): (Vec<&str>, Vec<&str>) =
        others.into_iter().partition(|text| text.contains("verification:"));
    assert_eq!((policies.len(), galleries.len(), tables.len()), (2, 1, 1));
    for text in &policies {
        Policy::from_yaml("README.md", text).unwrap();
    }
    let linted = lint("README.md", galleries[0], time("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!((linted.form, linted.policies), (Form::Galleries, 1));
    let policy = Policy::from_yaml("README.md", policies[0]).unwrap();
    let results = Cases::from_yaml("README.md", tables[0]).unwrap().run(&policy).unwrap();
    assert!(results.iter().all(CaseResult::is_as_expected), "{results:?}");
    let first = lint("README.md", policies[0], time("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!(first.findings, [], "the policy to copy has nothing to find");
}
