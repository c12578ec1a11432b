//! Policies written for other verifiers.

use countersign_policy::export::{
    ExportError, ExportOptions, Exported, to_cosign, to_kyverno, to_localai, to_policy_controller,
};
use countersign_policy::import::{
    ImportError, Imported, from_cosign_text, from_kyverno, from_localai, from_policy_controller,
};
use countersign_policy::{Effect, LossCode, Policy};

use crate::support::{GITHUB, RELEASE, digest, load};

type To = fn(&Policy, &ExportOptions) -> Result<Exported, ExportError>;
type From = fn(&str) -> Result<Imported, ImportError>;

/// Each of the other sides: its name, the way there and the way back.
const TARGETS: [(&str, To, From); 4] = [
    ("cosign", to_cosign, |text| from_cosign_text("export", text)),
    ("kyverno", to_kyverno, |text| from_kyverno("export", text)),
    ("policy-controller", to_policy_controller, |text| from_policy_controller("export", text)),
    ("localai", to_localai, |text| from_localai("export", text, None)),
];

fn options(allowed: &[&str]) -> ExportOptions {
    let mut options = ExportOptions::default();
    options.image = Some("registry.example/octo/app".into());
    options.allowed = allowed.iter().map(|code| code.parse().unwrap()).collect();
    options
}

fn everything() -> ExportOptions {
    let mut options = options(&[]);
    options.allowed = LossCode::all().into_iter().collect();
    options
}

fn signer(text: &str) -> Policy {
    load(&format!("version: 1\nsigners: [{{{text}}}]"))
}

fn release(more: &str) -> Policy {
    load(&format!("version: 1\nsigners: [{{issuer: {GITHUB}, identity: {RELEASE}}}]\n{more}"))
}

fn codes(exported: &Exported) -> Vec<&'static str> {
    exported.losses.iter().map(|loss| loss.code.as_str()).filter(|code| *code != "any-predicate").collect()
}

#[test]
fn what_loses_nothing_comes_back_the_same() {
    let mail = "issuer: https://accounts.example, identity: release@octo.example";
    let pattern =
        r"issuer: https://accounts.example, identity_regex: 'https://ci\.example/octo/(app|web)/v[0-9]{1,3}(?i)x'";
    // What a pattern matches may be a workflow's name, whose own repository counts here and not there.
    for (policy, lost) in [(signer(mail), &[][..]), (signer(pattern), &["reusable-workflow"])] {
        for (name, to, from) in TARGETS {
            let exported = to(&policy, &options(lost)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(codes(&exported), lost, "{name}");
            let text = from(&exported.text)
                .unwrap_or_else(|error| panic!("{name}: {error}\n{}", exported.text))
                .policy
                .canonical();
            let expected = match name {
                "localai" => policy.canonical().replace("signer-1", "gallery"),
                "kyverno" => policy.canonical().replace("signer-1", "signer_1"),
                _ => policy.canonical(),
            };
            assert_eq!(text, expected, "{name}\n{}", exported.text);
        }
    }
}

#[test]
fn cosign_keeps_claims_events_annotations_and_the_trusted_root() {
    let policy = load(&format!(
        "version: 1
signers:
  - issuer: {GITHUB}
    identity: {RELEASE}
    github: {{repository: octo/app, ref: refs/heads/main, trigger: push}}
  - issuer: {GITHUB}
    identity_regex: https://github\\.com/octo/app/\\.github/workflows/it's\\.yml@.+
    github: {{repository: octo/app}}
require: {{annotations: {{a: b=c, team: 'x y'}}}}
trust: {{file: \"./root's.json\"}}"
    ));
    let exported = to_cosign(&policy, &options(&[])).unwrap();
    assert_eq!(codes(&exported), Vec::<&str>::new());
    assert_eq!(from_cosign_text("export", &exported.text).unwrap().policy.canonical(), policy.canonical());
    let text: String =
        exported.text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(
        text,
        format!(
            "cosign verify \\
  --certificate-identity {RELEASE} \\
  --certificate-oidc-issuer {GITHUB} \\
  --certificate-github-workflow-repository octo/app \\
  --certificate-github-workflow-ref refs/heads/main \\
  --annotations a=b=c \\
  --annotations 'team=x y' \\
  --trusted-root './root'\\''s.json' \\
  --certificate-github-workflow-trigger push \\
  registry.example/octo/app ||
cosign verify \\
  --certificate-identity-regexp '^(?:https://github\\.com/octo/app/\\.github/workflows/it'\\''s\\.yml@.+)$' \\
  --certificate-oidc-issuer {GITHUB} \\
  --certificate-github-workflow-repository octo/app \\
  --annotations a=b=c \\
  --annotations 'team=x y' \\
  --trusted-root './root'\\''s.json' \\
  registry.example/octo/app
"
        )
    );
}

#[test]
fn the_rule_of_the_workflow_s_own_repository_becomes_a_flag_of_cosign() {
    let pattern = format!(r"issuer: {GITHUB}, identity_regex: 'https://github\.com/octo/app/\.github/workflows/.+'");
    for policy in [release(""), signer(&pattern)] {
        let exported = to_cosign(&policy, &options(&[])).unwrap();
        assert!(exported.text.contains("--certificate-github-workflow-repository octo/app \\"), "{}", exported.text);
        assert_eq!(codes(&exported), Vec::<&str>::new());
    }
    // Which repository is meant is open here, and a claim could not say it.
    let open = signer(&format!("issuer: {GITHUB}, identity_regex: https://github.com/octo/.+"));
    assert_refused(to_cosign(&open, &options(&[])), &["reusable-workflow"]);
    for (name, to, _) in &TARGETS[1..] {
        assert_refused(to(&release(""), &options(&[])), &["reusable-workflow"]);
        assert_eq!(
            codes(&to(&release(""), &options(&["reusable-workflow"])).unwrap()),
            ["reusable-workflow"],
            "{name}"
        );
    }
}

fn assert_refused(exported: Result<Exported, ExportError>, codes: &[&str]) {
    let error = exported.unwrap_err();
    let found: Vec<&str> = error.losses().iter().map(|loss| loss.code.as_str()).collect();
    assert_eq!(found, codes, "{error}");
}

#[test]
fn what_would_be_weaker_is_refused_by_name_until_it_is_allowed_by_name() {
    let digest = digest();
    let claims =
        |claim: &str| format!("issuer: {GITHUB}, identity: {RELEASE}, github: {{repository: octo/app, {claim}}}");
    let terms = |term: String| release(&term);
    for (code, policy, targets) in [
        ("not-before", terms("not_before: 2026-06-01T00:00:00Z".into()), "cosign kyverno policy-controller"),
        ("not-after", terms("not_after: 2036-06-01T00:00:00Z".into()), "cosign kyverno policy-controller localai"),
        ("distinct-logs", terms("distinct_logs: 2".into()), "cosign kyverno policy-controller localai"),
        ("max-age", terms("max_age: 9d".into()), "cosign kyverno policy-controller localai"),
        ("deny-digests", terms(format!("deny: {{digests: ['{digest}']}}")), "cosign kyverno policy-controller localai"),
        (
            "deny-log-entries",
            terms(format!("deny: {{log_entries: ['{digest}']}}")),
            "cosign kyverno policy-controller localai",
        ),
        ("require-tag", terms("require: {tag: true}".into()), "cosign kyverno policy-controller localai"),
        ("require-platforms", terms("require: {platforms: true}".into()), "cosign kyverno policy-controller localai"),
        ("require-repository", terms("require: {repository: true}".into()), "cosign kyverno policy-controller localai"),
        ("require-annotations", terms("require: {annotations: {a: b}}".into()), "policy-controller localai"),
        ("trust", terms("trust: {file: root.json}".into()), "kyverno policy-controller localai"),
        (
            "trust",
            terms("trust: {tuf: {url: 'https://t.example', root: r}}".into()),
            "cosign kyverno policy-controller localai",
        ),
        ("claim-repository", signer(&claims("ref: refs/heads/main")), "kyverno policy-controller localai"),
        ("claim-ref", signer(&claims("ref: refs/heads/main")), "kyverno policy-controller localai"),
        ("claim-ref", signer(&claims("ref_regex: refs/.+")), "cosign kyverno policy-controller localai"),
        ("claim-trigger", signer(&claims("trigger: push")), "kyverno policy-controller localai"),
        ("claim-trigger", signer(&claims("trigger_regex: push|x")), "cosign kyverno policy-controller localai"),
        ("claim-repository-id", signer(&claims("repository_id: '1'")), "cosign kyverno policy-controller localai"),
        ("claim-owner", signer(&claims("owner: octo")), "cosign kyverno policy-controller localai"),
        ("claim-owner-id", signer(&claims("owner_id: '1'")), "cosign kyverno policy-controller localai"),
        (
            "claim-runner-environment",
            signer(&claims("runner_environment: github-hosted")),
            "cosign kyverno policy-controller localai",
        ),
        (
            "claim-build-config",
            signer(&claims(&format!("build_config: {RELEASE}"))),
            "cosign kyverno policy-controller localai",
        ),
        ("claim-environment", signer(&claims("environment: production")), "cosign kyverno policy-controller localai"),
        ("claim-visibility", signer(&claims("visibility: public")), "cosign kyverno policy-controller localai"),
    ] {
        assert_eq!(code.parse::<LossCode>().unwrap().effect(), Effect::Weakens);
        for (name, to, _) in TARGETS {
            let loses = targets.split(' ').any(|target| target == name);
            let exported = to(&policy, &everything()).unwrap();
            assert_eq!(codes(&exported).contains(&code), loses, "{name} {code}");
            let mut most = everything();
            most.allowed.remove(&code.parse().unwrap());
            match loses {
                true => {
                    assert_refused(to(&policy, &most), &[code]);
                    assert!(
                        exported.text.starts_with('#') && exported.text.contains(&format!("# {code} (weakens): ")),
                        "{}",
                        exported.text
                    );
                }
                false => assert!(to(&policy, &most).is_ok()),
            }
        }
    }
}

#[test]
fn several_signers_are_joined_as_the_policy_counts_them() {
    let document = |threshold: usize, second: &str| {
        load(&format!(
            "version: 1\nthreshold: {threshold}\nsigners:\n  - {{issuer: https://a.example, identity: a@b}}\n  - {{issuer: https://a.example, {second}}}"
        ))
    };
    let any = document(1, "identity: c@d");
    for (name, to, from) in &TARGETS[..3] {
        let exported = to(&any, &options(&[])).unwrap();
        let back = from(&exported.text).unwrap().policy;
        let mut expected = any.canonical();
        if *name == "kyverno" {
            expected = expected.replace("signer-", "signer_");
        }
        assert_eq!(back.canonical(), expected, "{name}");
    }
    assert_eq!(to_localai(&any, &options(&[])).unwrap_err().code(), "several-signers");

    let all = document(2, "identity: c@d");
    let exported = to_cosign(&all, &options(&[])).unwrap();
    assert!(exported.text.contains(" &&\ncosign verify"));
    assert_eq!(from_cosign_text("export", &exported.text).unwrap().policy.canonical(), all.canonical());
    let exported = to_kyverno(&all, &options(&[])).unwrap();
    assert!(exported.text.contains("count >= 2"));
    assert_eq!(from_kyverno("export", &exported.text).unwrap().policy.threshold(), 2);
    assert_eq!(to_policy_controller(&all, &options(&[])).unwrap_err().code(), "threshold-inexpressible");

    // One certificate could be both of these, and is counted once here and twice there.
    let alike = document(2, "identity_regex: '[a-z]@(b|d)'".replace("[a-z]@", "https://x/y/").as_str());
    let alike_both = load(&alike.to_yaml().unwrap().replace("identity: a@b", "identity_regex: https://x/y/z?"));
    for to in [to_cosign as To, to_kyverno] {
        assert_refused(to(&alike_both, &options(&["reusable-workflow"])), &["signers-not-distinct"]);
        assert!(to(&alike_both, &options(&["reusable-workflow", "signers-not-distinct"])).is_ok());
    }
    let two_of_three =
        load(&format!("{}  - issuer: https://a.example\n    identity: e@f\nthreshold: 2\n", any.to_yaml().unwrap()));
    assert_eq!(to_cosign(&two_of_three, &options(&[])).unwrap_err().code(), "threshold-inexpressible");
    assert!(to_kyverno(&two_of_three, &options(&[])).is_ok());
}

#[test]
fn several_events_are_several_commands_of_cosign() {
    let claims =
        format!("issuer: {GITHUB}, identity: {RELEASE}, github: {{repository: octo/app, trigger: [push, schedule]}}");
    let text = to_cosign(&signer(&claims), &options(&[])).unwrap().text;
    assert_eq!(text.matches("cosign verify \\\n").count(), 2);
    assert!(text.contains("-trigger push \\\n  registry.example/octo/app ||\ncosign verify"), "{text}");
}

#[test]
fn names_that_the_other_side_cannot_use_are_named() {
    let policy = signer("name: the release job, issuer: https://a.example, identity: a@b");
    for (name, to, _) in TARGETS {
        let lost = codes(&to(&policy, &options(&[])).unwrap()).contains(&"signer-name");
        assert_eq!(lost, name != "policy-controller", "{name}");
    }
}

#[test]
fn patterns_are_bound_to_both_ends_and_mean_the_same() {
    let digits = signer(r"issuer: https://a.example, identity_regex: 'https://a\.example/b/v\d+'");
    for (name, to, _) in TARGETS {
        let exported = to(&digits, &options(&["reusable-workflow"])).unwrap();
        assert!(codes(&exported).contains(&"ascii-class"), "{name}");
        assert!(exported.text.contains(r"'^(?:https://a\.example/b/v\d+)$'"), "{}", exported.text);
    }
    for pattern in ["(?m)x", r"\bx", "[a&&b]", "[^\\d]"] {
        let policy = signer(&format!("issuer: https://a.example, identity_regex: 'https://a/b/{pattern}'"));
        for (name, to, _) in TARGETS {
            assert_eq!(to(&policy, &everything()).unwrap_err().code(), "pattern-not-portable", "{name} {pattern}");
        }
    }
}

#[test]
fn images_and_names_cannot_leave_their_place() {
    for image in ["", "-x", "a b", "a\n# b", "a'b", "$(x)"] {
        let mut options = options(&[]);
        options.image = Some(image.into());
        for to in [to_cosign as To, to_kyverno, to_policy_controller] {
            assert_eq!(
                to(&signer("issuer: https://a.example, identity: a@b"), &options).unwrap_err().code(),
                "invalid-option",
                "{image}"
            );
        }
    }
    let mut nameless = options(&[]);
    nameless.name = Some("A b".into());
    let mut everywhere = options(&[]);
    everywhere.image = None;
    for to in [to_kyverno as To, to_policy_controller] {
        let policy = signer("issuer: https://a.example, identity: a@b");
        assert_eq!(to(&policy, &nameless).unwrap_err().code(), "invalid-option");
        assert_eq!(to(&policy, &everywhere).unwrap_err().code(), "image-missing");
    }
    // What a policy says cannot end a comment, a quote or a document either.
    let hostile = load(
        "version: 1\nsigners: [{issuer: https://a.example, identity: a@b}]\nrequire: {annotations: {a: \"x\\n---\\nspec: 1\"}}",
    );
    assert_eq!(to_cosign(&hostile, &everything()).unwrap_err().code(), "inexpressible");
    let text = to_policy_controller(&hostile, &everything()).unwrap().text;
    assert!(text.lines().all(|line| line != "---" && line != "spec: 1"), "{text}");
    assert_eq!(
        from_kyverno("export", &to_kyverno(&hostile, &everything()).unwrap().text)
            .unwrap()
            .policy
            .require()
            .annotations["a"],
        "x\n---\nspec: 1"
    );
}

#[test]
fn what_is_written_is_what_the_other_side_documents() {
    let policy =
        signer(r"name: release, issuer: https://accounts.example, identity_regex: 'https://ci\.example/octo/.+'");
    let options = |_: &[&str]| options(&["reusable-workflow"]);
    let text = to_policy_controller(&policy, &options(&[])).unwrap().text;
    assert!(text.starts_with("# any-predicate (neutral): policy: "));
    assert!(
        text.ends_with(
            r"apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: signed
spec:
  mode: enforce
  images:
    - glob: registry.example/octo/app
  authorities:
    - name: release
      keyless:
        url: https://fulcio.sigstore.dev
        identities:
          - issuer: https://accounts.example
            subjectRegExp: '^(?:https://ci\.example/octo/.+)$'
      ctlog:
        url: https://rekor.sigstore.dev
      signatureFormat: bundle
"
        ),
        "{text}"
    );
    let text = to_kyverno(&policy, &options(&[])).unwrap().text;
    assert!(text.ends_with(
        r"apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata:
  name: signed
spec:
  validationActions: [Deny]
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups:
          - ''
        apiVersions: [v1]
        operations: [CREATE, UPDATE]
        resources: [pods]
  matchImageReferences:
    - glob: registry.example/octo/app
  validationConfigurations:
    mutateDigest: true
    verifyDigest: true
    required: true
  attestors:
    - name: release
      cosign:
        keyless:
          identities:
            - issuer: https://accounts.example
              subjectRegExp: '^(?:https://ci\.example/octo/.+)$'
  validations:
    - expression: 'images.containers.map(image, verifyImageSignatures(image, [attestors.release])).all(count, count >= 1)'
      message: 'the image is not signed as the policy wants it'
    - expression: 'images.initContainers.map(image, verifyImageSignatures(image, [attestors.release])).all(count, count >= 1)'
      message: 'the image is not signed as the policy wants it'
    - expression: 'images.ephemeralContainers.map(image, verifyImageSignatures(image, [attestors.release])).all(count, count >= 1)'
      message: 'the image is not signed as the policy wants it'
"
    ), "{text}");
    let text = to_localai(&policy, &options(&[])).unwrap().text;
    assert!(
        text.ends_with(
            r"verification:
  issuer: https://accounts.example
  identity_regex: '^(?:https://ci\.example/octo/.+)$'
"
        ),
        "{text}"
    );
}

#[test]
fn every_loss_is_in_the_documentation_with_its_effect() {
    let text = include_str!("../../EXCHANGE.md");
    let (_, list) = text.split_once("## Every loss").unwrap();
    let codes = LossCode::all();
    for code in &codes {
        let row = format!("| `{code}` | {} | ", code.effect().as_str());
        assert_eq!(list.matches(&row).count(), 1, "{code}");
        assert!(text.matches(&format!("`{code}`")).count() > 1, "{code} is in no table of constructs");
    }
    let rows = list.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, codes.len());
    assert!("anchord".parse::<LossCode>().is_err());
}
