//! Policies written out, and read again.

use countersign_policy::{GithubSpec, Policy, SignerSpec, WriteError};

use crate::support::{GITHUB, RELEASE, digest, gallery, load};

/// Every way to write a signer beside every way to write the rest.
fn policies() -> Vec<String> {
    let pattern = r"identity_regex: 'https://github\.com/octo/app/\.github/workflows/it''s_.+@refs/(heads|tags)/.*'";
    let signers = [
        format!("{{issuer: {GITHUB}, identity: {RELEASE}}}"),
        format!("{{name: 'no', issuer: {GITHUB}, identity: {RELEASE}}}"),
        format!("{{name: \"a: 'b' #c\", issuer: {GITHUB}, {pattern}}}"),
        "{issuer: 'https://accounts.example:8443/x', identity: release@octo.example}".to_owned(),
        format!(
            "{{issuer: {GITHUB}, identity: {RELEASE}, github: {{repository: octo/app, trigger: [push, schedule]}}}}"
        ),
        format!(
            "{{issuer: {GITHUB}, identity: {RELEASE}, github: {{repository_regex: 'octo/.*', ref_regex: '.+', trigger_regex: p}}}}"
        ),
        format!(
            "{{issuer: {GITHUB}, identity: {RELEASE}, github: {{repository_id: '007', owner: octo, owner_id: 1, ref: refs/heads/main, \
             runner_environment: self hosted, build_config: {RELEASE}, environment: 'yes', visibility: internal, trigger: 'null'}}}}"
        ),
        format!(
            "{{issuer: {GITHUB}, identity: {RELEASE}, github: {{environment_regex: '[\"'']', runner_environment_regex: '#'}}}}"
        ),
    ];
    let terms = [
        "not_before: 2026-06-01T00:00:00.123456789Z",
        "not_after: 2036-06-01T02:00:00+00:00",
        "max_age: 90m\ndistinct_logs: 2",
        "require: {tag: true, annotations: {'~': 'no', '': x, ' b': \"1.10\\n\\u2028\", 'é #': 'null'}}",
        "trust: {file: 'yes'}",
        "deny: {digests: [DIGEST], log_entries: [DIGEST, DIGEST]}",
    ];
    let mut all = Vec::new();
    for (index, signer) in signers.iter().enumerate() {
        for mask in 0..1 << terms.len() {
            let chosen = terms.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
            let rest: String = chosen.map(|(_, term)| format!("{term}\n")).collect();
            let rest = rest.replace("DIGEST", &format!("'{}'", digest())).replace("'': x, ", "'x': '', ");
            let other = &signers[(index + 3) % signers.len()];
            all.push(format!("version: 1\nsigners: [{signer}]\n{rest}"));
            // A second signer is written as the first: with few of the rest, that is shown as well.
            if mask % 9 == index {
                all.push(format!("version: 1\nsigners: [{signer}, {other}]\nthreshold: 2\n{rest}"));
            }
        }
    }
    all.push(format!(
        "version: 1\nsigners: [{}]\ntrust: {{tuf: {{url: 'https://t.example/', root: 'C:\\r'}}}}",
        signers[0]
    ));
    all.push(format!(
        "version: 1\nsigners: [{}]\ntrust: public-good\nrequire: {{repository: true}}\nmax_age: 7d",
        signers[0]
    ));
    all
}

#[test]
fn what_is_written_reads_as_the_same_policy() {
    let all = policies();
    assert!(all.len() > 500);
    for text in &all {
        let policy = load(text);
        let written = policy.to_yaml().unwrap();
        assert_eq!(load(&written).canonical(), policy.canonical(), "{text}\n{written}");
        let second: serde_yaml::Value = serde_yaml::from_str(&written).unwrap();
        assert_eq!(second["version"].as_u64(), Some(1));
    }
}

#[test]
fn a_written_policy_is_what_a_person_would_write() {
    let policy = load(&format!(
        "{{\"version\": 1, \"signers\": [{{\"name\": \"release\", \"issuer\": \"{GITHUB}\", \"identity\": \"{RELEASE}\",
          \"github\": {{\"trigger\": [\"push\", \"schedule\"], \"repository\": \"octo/app\"}}}}],
          \"threshold\": 1, \"max_age\": \"2160h\", \"not_before\": \"2026-06-01T00:00:00Z\", \"require\": {{\"tag\": true}}}}"
    ));
    assert_eq!(
        policy.to_yaml().unwrap(),
        format!(
            "version: 1
signers:
  - name: release
    issuer: {GITHUB}
    identity: {RELEASE}
    github:
      repository: octo/app
      trigger: [push, schedule]
not_before: '2026-06-01T00:00:00Z'
max_age: 90d
require:
  tag: true
"
        )
    );
}

#[test]
fn a_gallery_block_comes_back_as_it_went() {
    for rest in [
        "",
        "not_before: 2026-06-01T00:00:00Z",
        "github: {repository: octo/app, trigger: [push]}\nrequire: {tag: true}\ntrust: {file: root.json}\nmax_age: 3h\nthreshold: 1",
    ] {
        for names in [
            format!("issuer: {GITHUB}\nidentity: {RELEASE}"),
            format!("issuer: {GITHUB}\nidentity_regex: https://github.com/octo/app/.+"),
            format!("issuer_regex: https://token.actions.githubusercontent.com/(octo|app)\nidentity: {RELEASE}"),
        ] {
            let policy = gallery(&format!("{names}\n{rest}")).unwrap();
            let written = policy.to_gallery_block().unwrap();
            assert_eq!(gallery(&written).unwrap().canonical(), policy.canonical(), "{written}");
        }
    }
}

#[test]
fn what_has_no_form_is_not_written() {
    let open = gallery(&format!("issuer_regex: https://a.example/x?\nidentity: {RELEASE}")).unwrap();
    assert_eq!(open.to_yaml(), Err(WriteError::IssuerPattern { signer: "gallery".into() }));
    let two = load(&format!(
        "version: 1\nsigners: [{{issuer: {GITHUB}, identity: a@b}}, {{issuer: {GITHUB}, identity: c@d}}]"
    ));
    assert_eq!(two.to_gallery_block(), Err(WriteError::SeveralSigners { count: 2 }));
    let mut merge = countersign_policy::Require::default();
    merge.annotations.insert("<<".into(), "x".into());
    let policy = load(&format!("version: 1\nsigners: [{{issuer: {GITHUB}, identity: a@b}}]")).requiring(merge);
    assert!(matches!(policy.to_yaml(), Err(WriteError::Unreadable(_))));
}

#[test]
fn a_signer_from_flags_is_written_too() {
    let github = GithubSpec { repository: Some("octo/app".into()), ..GithubSpec::default() };
    let policy = Policy::for_identity(SignerSpec {
        name: "from the command line".into(),
        issuer: Some(GITHUB.into()),
        identity: Some(RELEASE.into()),
        github: Some(github),
        ..SignerSpec::default()
    })
    .unwrap();
    assert_eq!(load(&policy.to_yaml().unwrap()).canonical(), policy.canonical());
}
