//! The block that holds all corrections of a policy can be pasted over its keys: it loads, and nothing is left to warn of.

use countersign_policy::lint::{Form, Level, Linted, Rule, lint};
use countersign_policy::yaml;
use serde_json::Value;

use crate::support::{GITHUB, document, time};

const LOCALAI: &str = r#"
issuer: "https://token.actions.githubusercontent.com"
identity_regex: "^https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)$"
"#;

fn linted(text: &str) -> Linted {
    lint("policy.yaml", text, time("2026-11-01T00:00:00Z")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn block(text: &str) -> String {
    let together = linted(text).together;
    assert_eq!(together.len(), 1, "{text}");
    together[0].write.clone()
}

/// Writes the keys of a block over those of a policy, and takes away those that the block names as gone.
fn pasted(text: &str, block: &str) -> String {
    let mut policy: Value = yaml::from_str("policy", text).unwrap();
    let keys: Value = yaml::from_str("block", block).unwrap_or_else(|error| panic!("{error}\n{block}"));
    for gone in block.lines().filter_map(|line| line.strip_prefix("# without `")) {
        policy.as_object_mut().unwrap().remove(gone.trim_end_matches('`'));
    }
    policy.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    policy.to_string()
}

fn workflow(end: &str) -> String {
    format!(r"https://github.com/octo/app/.github/workflows/{end}")
}

#[test]
fn all_corrections_pasted_together_leave_nothing_to_warn_of() {
    let signer = |lines: &str| document(lines, "");
    let open = workflow(r"release.yml@refs/(tags/.*|heads/.+)");
    let two = format!(
        "issuer: {GITHUB}\nidentity_regex: '{open}'\ngithub: {{repository: octo/app, trigger: [push, pull_request_target, pull_request]}}"
    );
    for text in [
        LOCALAI.to_owned(),
        format!("{LOCALAI}github: {{trigger_regex: '.*', environment: prod}}\nrequire: {{platforms: true}}\n"),
        signer(&two),
        format!("{}\nrequire: {{annotations: {{org.example.channel: 'yes', n: '1.10'}}}}\n", signer(&two).trim_end()),
        signer(&format!("issuer: {GITHUB}/\nidentity_regex: '{}'", workflow(".*@.*"))),
        signer(&format!("issuer: {GITHUB}\nidentity: '^{}$'", workflow("release.yml@refs/tags/.+"))),
        signer(&format!("issuer: {GITHUB}\nidentity: {}", workflow("release.yml@main"))),
        signer("issuer: https://accounts.google.com\nidentity: a@octo.example\ngithub: {trigger: push}"),
        format!(
            "version: 1\nsigners:\n  - {{name: a, issuer: {GITHUB}, identity: '{}'}}\n  - {{issuer_regex: 'https://gitlab\\.com', identity: x@y.example}}\n",
            workflow("a.yml@refs/heads/main")
        )
        .replace("issuer_regex: 'https://gitlab\\.com'", "issuer: 'https://gitlab.com/'"),
    ] {
        let block = block(&text);
        let pasted = linted(&pasted(&text, &block));
        let left: Vec<_> = pasted.findings.iter().filter(|finding| finding.level == Level::Warning).collect();
        assert!(left.is_empty(), "{text}\n{block}\n{left:?}");
        // What is noted still is what only people can know: numbers.
        for finding in &pasted.findings {
            assert_eq!(finding.rule, Rule::NamesOnly, "{text}\n{block}");
            assert!(block.contains("# left to you, names-only"), "{block}");
        }
    }
}

#[test]
fn the_block_for_localai_is_one_that_people_would_write() {
    let block = block(LOCALAI);
    let keys: Vec<&str> = block.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        keys,
        [
            r"identity_regex: '^https://github\.com/mudler/LocalAI/\.github/workflows/backend_merge\.yml@refs/(heads/master|tags/v[0-9]+\.[0-9]+\.[0-9]+)$'",
            "github: {repository: mudler/LocalAI, runner_environment: github-hosted, trigger: [push]}",
            "not_before: 2026-11-01T00:00:00Z",
            "require: {repository: true, tag: true}",
        ]
    );
}

#[test]
fn every_fix_of_a_pattern_holds_all_corrections_of_it() {
    let found = linted(LOCALAI);
    assert_eq!(found.form, Form::GalleryBlock);
    let fix = |rule: Rule| &found.findings.iter().find(|finding| finding.rule == rule).unwrap().fix;
    assert_eq!(fix(Rule::AnyTag), fix(Rule::UnescapedDot));
    assert!(fix(Rule::AnyTag).contains(r"https://github\.com/") && fix(Rule::AnyTag).contains("tags/v[0-9]+"));
}

#[test]
fn what_has_nothing_to_correct_has_no_block() {
    let whole = format!(
        "issuer: {GITHUB}\nidentity: {}\ngithub: {{repository: octo/app, repository_id: '1', owner_id: '2', trigger: [push], \
         runner_environment: github-hosted}}\nnot_before: 2026-01-01T00:00:00Z\nrequire: {{tag: true, repository: true}}\n",
        workflow("release.yml@refs/heads/main")
    );
    assert_eq!((linted(&whole).findings.len(), linted(&whole).together.len()), (0, 0));
    let named = whole.replace("repository_id: '1', owner_id: '2', ", "");
    assert_eq!((linted(&named).findings.len(), linted(&named).together.len()), (1, 0), "numbers cannot be guessed");
}

#[test]
fn each_gallery_has_its_own_block() {
    let gallery = |name: &str| format!("- name: {name}\n  verification:{}", LOCALAI.trim_end().replace('\n', "\n    "));
    let found = linted(&format!("{}\n{}\n- name: bare\n", gallery("one"), gallery("two")));
    let of: Vec<_> = found.together.iter().map(|together| together.gallery.as_deref().unwrap()).collect();
    assert_eq!(of, ["one", "two"]);
    assert_eq!(found.together[0].write, found.together[1].write);
}
