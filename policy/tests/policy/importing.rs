//! Policies of other verifiers, read.

use countersign_policy::import::{
    ImportError, Imported, from_cosign, from_cosign_text, from_kyverno, from_localai, from_policy_controller,
};
use countersign_policy::{Effect, Policy};

use crate::support::{GITHUB, RELEASE, load};

fn codes(imported: &Imported) -> Vec<&'static str> {
    for loss in &imported.losses {
        assert_ne!(loss.code.effect(), Effect::Weakens, "{loss}");
    }
    imported.losses.iter().map(|loss| loss.code.as_str()).collect()
}

fn signers(text: &str) -> Policy {
    load(&format!("version: 1\nsigners:\n{text}"))
}

fn cosign(flags: &str) -> Result<Imported, ImportError> {
    from_cosign_text("command", &format!("cosign verify {flags}"))
}

fn named(more: &str) -> Result<Imported, ImportError> {
    cosign(&format!("--certificate-identity {RELEASE} --certificate-oidc-issuer {GITHUB} {more}"))
}

const REPOSITORY: &str = "--certificate-github-workflow-repository octo/app";

#[test]
fn a_command_of_cosign_is_a_policy() {
    let imported = named(&format!(
        "{REPOSITORY} --certificate-github-workflow-ref=refs/heads/main --certificate-github-workflow-trigger=push -a a=b,c=d=e \
         --annotations 'f=g h' --trusted-root root.json"
    ))
    .unwrap();
    assert_eq!(codes(&imported), Vec::<&str>::new());
    let expected = format!(
        "version: 1
signers:
  - name: signer-1
    issuer: {GITHUB}
    identity: {RELEASE}
    github:
      ref: refs/heads/main
      repository: octo/app
      trigger: push
require:
  annotations:
    a: b
    c: d=e
    f: 'g h'
trust:
  file: root.json
"
    );
    assert_eq!(imported.yaml, expected);
    let words = ["verify", "--certificate-identity", RELEASE, "--certificate-oidc-issuer", GITHUB].map(str::to_owned);
    assert_eq!(codes(&from_cosign(&words).unwrap()), ["own-repository"]);
}

#[test]
fn what_cosign_leaves_open_and_a_policy_does_not_is_named() {
    for (more, code) in [
        ("registry.example/octo/app:v1", "image-scope"),
        ("--insecure-ignore-tlog", "tlog-ignored"),
        ("--insecure-ignore-tlog=true", "tlog-ignored"),
        ("--private-infrastructure", "tlog-ignored"),
        ("--insecure-ignore-sct", "sct-ignored"),
        ("--check-claims=false", "claims-unchecked"),
        ("--new-bundle-format=false", "legacy-signatures"),
        ("--registry-password hunter2", "registry-settings"),
        ("-o json", "registry-settings"),
        ("-ojson", "registry-settings"),
        ("-d", "registry-settings"),
        ("--allow-http-registry", "registry-settings"),
        ("--rekor-url https://rekor.sigstore.dev", "registry-settings"),
    ] {
        let imported = named(&format!("{REPOSITORY} {more}")).unwrap();
        assert_eq!(codes(&imported), [code], "{more}");
        assert!(imported.losses.iter().all(|loss| !format!("{loss:?}").contains("hunter2")), "a password is shown");
    }
    assert_eq!(
        codes(&named(&format!("{REPOSITORY} --insecure-ignore-tlog=false --check-claims=true --key= ")).unwrap()),
        Vec::<&str>::new()
    );
    assert_eq!(codes(&named("").unwrap()), ["own-repository"]);
}

#[test]
fn flags_that_would_be_weaker_without_them_are_refused() {
    for (more, code) in [
        ("--key cosign.pub", "flag-refused"),
        ("--sk", "flag-refused"),
        ("--certificate c.pem", "flag-refused"),
        ("--certificate-chain c.pem", "custom-trust"),
        ("--ca-roots c.pem", "custom-trust"),
        ("--timestamp-certificate-chain c.pem", "custom-trust"),
        ("--certificate-github-workflow-sha abc", "flag-refused"),
        ("--certificate-github-workflow-name release", "flag-refused"),
        ("--use-signed-timestamps", "flag-refused"),
        ("--signature-digest-algorithm sha512", "flag-refused"),
        ("--local-image", "flag-refused"),
        ("--certificate-identity-regexp x", "two-identities"),
        ("--certificate-oidc-issuer-regexp x", "two-issuers"),
        ("--certificate-identity other@octo.example", "flag-given-twice"),
        ("--certificate-identiy x", "unknown-flag"),
        ("--insecure-ignore-tlog=perhaps", "flag-value"),
        ("-a novalue", "annotation-form"),
        ("-a 'x=\"y,z\"'", "annotation-quotes"),
        ("--trusted-root", "flag-without-value"),
        ("\"$IMAGE\"", "shell-construct"),
        ("; rm x", "shell-construct"),
    ] {
        let error = named(more).unwrap_err();
        assert_eq!(error.code(), code, "{more}: {error}");
    }
    assert_eq!(cosign(&format!("--certificate-identity {RELEASE}")).unwrap_err().code(), "no-issuer");
    assert_eq!(cosign(&format!("--certificate-oidc-issuer {GITHUB}")).unwrap_err().code(), "no-identity");
    for text in ["", "cosign", "cosign sign x", "cosign verify-blob x", "COSIGN_EXPERIMENTAL=1 cosign verify x"] {
        assert_eq!(from_cosign_text("x", text).unwrap_err().code(), "not-cosign-verify", "{text}");
    }
    let long = " ".repeat(256 * 1024 + 1);
    assert_eq!(from_cosign_text("x", &long).unwrap_err().code(), "policy-too-large");
}

#[test]
fn patterns_that_were_searched_for_match_the_whole_value() {
    let pattern = |identity: &str| {
        cosign(&format!("--certificate-identity-regexp '{identity}' --certificate-oidc-issuer {GITHUB} {REPOSITORY}"))
    };
    let imported = pattern("^https://github.com/octo/app/").unwrap();
    assert_eq!(codes(&imported), ["anchored"]);
    assert_eq!(
        imported.losses[0].advice.as_deref(),
        Some("if more may follow or come before, say so: `^https://github.com/octo/app/.*`")
    );
    let imported = pattern(r"^https://github\.com/octo/app/v\d+@[\w/]+$").unwrap();
    assert_eq!(codes(&imported), Vec::<&str>::new());
    assert!(imported.yaml.contains(r"'https://github\.com/octo/app/v[0-9]+@[0-9A-Za-z_/]+'"), "{}", imported.yaml);
    for (identity, code) in [
        (".*", "policy-open-pattern"),
        ("octo", "policy-open-pattern"),
        ("^https://github.com/[^/]+/app/.*$", "policy-open-pattern"),
        ("(", "policy-malformed-pattern"),
        ("^https://github.com/octo/[a&&b]$", "pattern-not-portable"),
        ("(?s)^https://github.com/octo/.*$", "pattern-not-portable"),
    ] {
        assert_eq!(pattern(identity).unwrap_err().code(), code, "{identity}");
    }
    let issuer = |issuer: &str| {
        cosign(&format!("--certificate-identity {RELEASE} --certificate-oidc-issuer-regexp '{issuer}' {REPOSITORY}"))
    };
    assert_eq!(codes(&issuer(r"^https://token\.actions\.githubusercontent\.com$").unwrap()), Vec::<&str>::new());
    for text in ["https://token.actions.githubusercontent.com", "^https://token.actions.githubusercontent.com$"] {
        let imported = issuer(text).unwrap();
        assert_eq!(codes(&imported), ["pattern-made-exact"], "{text}");
        assert_eq!(imported.policy.canonical(), named(REPOSITORY).unwrap().policy.canonical());
    }
    for text in [".*", "https://token.actions.githubusercontent.com.*", "^(https://a.example|https://b.example)$"] {
        assert_eq!(issuer(text).unwrap_err().code(), "issuer-pattern", "{text}");
    }
}

#[test]
fn commands_joined_by_or_are_signers_of_whom_any_will_do() {
    let one = "cosign verify --certificate-oidc-issuer https://a.example --certificate-identity";
    let any = from_cosign_text("x", &format!("{one} a@b ||\n{one} c@d\n")).unwrap();
    assert_eq!((codes(&any), any.policy.threshold()), (vec![], 1));
    let all = from_cosign_text("x", &format!("{one} a@b && {one} c@d")).unwrap();
    assert_eq!((codes(&all), all.policy.threshold()), (vec!["distinct-signers"], 2));
    let differing = format!("{one} a@b || {one} c@d -a x=y");
    assert_eq!(from_cosign_text("x", &differing).unwrap_err().code(), "terms-differ");
}

fn cluster_policy(rule: &str, attestors: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: signed
spec:
  validationFailureAction: Enforce
  rules:
    - name: signed
      verifyImages:
        - type: SigstoreBundle
{}          attestors:
{}",
        indented(rule, 10),
        indented(attestors, 12)
    )
}

fn indented(text: &str, depth: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(depth))).collect()
}

/// One set with one keyless entry, which has these lines too.
fn keyless(more: &str) -> String {
    let names = format!(
        "issuer: {GITHUB}\nsubject: {RELEASE}\nadditionalExtensions: {{githubWorkflowRepository: octo/app}}\n{more}"
    );
    format!("- entries:\n    - keyless:\n{}", indented(&names, 8))
}

fn kyverno(text: &str) -> Result<Imported, ImportError> {
    from_kyverno("policy.yaml", text)
}

#[test]
fn a_policy_of_kyverno_as_it_documents_them_is_read() {
    let imported = kyverno(
        "---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: verify-image
  annotations: {policies.kyverno.io/title: Verify Image}
spec:
  webhookTimeoutSeconds: 30
  background: false
  rules:
    - name: verify-image
      match:
        any:
          - resources:
              kinds: [Pod]
      verifyImages:
        - imageReferences: ['ghcr.io/octo/app*']
          skipImageReferences: ['ghcr.io/octo/app-test*']
          failureAction: Enforce
          mutateDigest: true
          attestors:
            - count: 1
              entries:
                - keyless:
                    subject: https://github.com/octo/app/.github/workflows/*
                    issuer: https://token.actions.githubusercontent.com
                    additionalExtensions:
                      githubWorkflowTrigger: push
                      githubWorkflowRepository: octo/app
                      githubWorkflowRef: refs/tags/v?.*
                    rekor: {url: https://rekor.sigstore.dev, ignoreTlog: true}
                    ctlog: {ignoreSCT: true}
                  repository: ghcr.io/octo/signatures
                - keyless:
                    subjectRegExp: ^https://github\\.com/octo/web/.+$
                    issuer: https://token.actions.githubusercontent.com
",
    )
    .unwrap();
    let mut found = codes(&imported);
    found.sort_unstable();
    found.dedup();
    assert_eq!(
        found,
        [
            "cluster-scope",
            "image-scope",
            "legacy-signatures",
            "own-repository",
            "registry-settings",
            "sct-ignored",
            "signature-repository",
            "tlog-ignored"
        ]
    );
    let expected = signers(&format!(
        r"  - issuer: {GITHUB}
    identity_regex: https://github\.com/octo/app/\.github/workflows/.*
    github: {{repository: octo/app, ref_regex: 'refs/tags/v.\..*', trigger: push}}
  - issuer: {GITHUB}
    identity_regex: https://github\.com/octo/web/.+
"
    ));
    assert_eq!(imported.policy.canonical(), expected.canonical());
    let place = |code: &str| imported.losses.iter().find(|loss| loss.code.as_str() == code).unwrap().at.to_string();
    assert_eq!(
        place("tlog-ignored"),
        "policy.yaml:31:74: `spec.rules[0].verifyImages[0].attestors[0].entries[0].keyless.rekor.ignoreTlog`"
    );
}

#[test]
fn counts_of_kyverno_are_thresholds() {
    let entry = |name: &str| format!("    - keyless: {{issuer: https://a.example, subject: {name}@b}}\n");
    let two = format!("{}{}", entry("a"), entry("c"));
    for (attestors, threshold) in [
        (format!("- entries:\n{two}"), 2),
        (format!("- count: 2\n  entries:\n{two}"), 2),
        (format!("- count: 1\n  entries:\n{two}"), 1),
        (format!("- entries:\n{}- entries:\n{}", entry("a"), entry("c")), 2),
    ] {
        let imported = kyverno(&cluster_policy("", &attestors)).unwrap();
        assert_eq!(imported.policy.threshold(), threshold, "{attestors}");
        assert_eq!(codes(&imported), if threshold > 1 { vec!["distinct-signers"] } else { vec![] });
    }
    for (attestors, code) in [
        (format!("- count: 1\n  entries:\n{two}- entries:\n{}", entry("e")), "several-sets"),
        (format!("- count: 3\n  entries:\n{two}"), "policy-threshold"),
        ("- entries: []".to_owned(), "no-signer"),
    ] {
        assert_eq!(kyverno(&cluster_policy("", &attestors)).unwrap_err().code(), code, "{attestors}");
    }
}

#[test]
fn what_kyverno_does_not_enforce_is_enforced_and_named() {
    assert_eq!(codes(&kyverno(&cluster_policy("", &keyless(""))).unwrap()), Vec::<&str>::new());
    for rule in
        ["failureAction: Audit", "required: false", "failureActionOverrides: [{action: Audit, namespaces: [x]}]"]
    {
        assert_eq!(codes(&kyverno(&cluster_policy(rule, &keyless(""))).unwrap()), ["not-enforced"], "{rule}");
    }
    let text = cluster_policy("", &keyless(""));
    for other in ["", "  validationFailureAction: Audit\n"] {
        let text = text.replace("  validationFailureAction: Enforce\n", other);
        assert_eq!(codes(&kyverno(&text).unwrap()), ["not-enforced"], "{other}");
    }
    let text = text.replace("  rules:", "  failurePolicy: Ignore\n  rules:");
    assert_eq!(codes(&kyverno(&text).unwrap()), ["not-enforced"]);
}

#[test]
fn what_of_kyverno_would_be_weaker_or_unclear_is_refused() {
    let good = cluster_policy("", &keyless(""));
    for (from, to, code) in [
        ("type: SigstoreBundle", "type: Notary", "other-type"),
        ("kind: ClusterPolicy", "kind: Pod", "other-kind"),
        ("kyverno.io/v1", "evil.io/v1", "other-kind"),
        ("- name: signed\n", "- {}\n    - name: signed\n", "several-rules"),
        ("      verifyImages:\n", "      verifyImages:\n        - {}\n", "several-rules"),
        ("      verifyImages:", "      validate: {}\n      verifyImages:", "other-rule"),
        ("      verifyImages:", "      context: []\n      verifyImages:", "other-rule"),
        ("      verifyImages:", "      verifyImagez: []\n      verifyImages:", "policy-unknown-key"),
        ("- keyless:", "- keys: {publicKeys: x}\n                  keyless:", "key-attestor"),
        ("- keyless:", "- certificates: {cert: x}\n                  keyless:", "key-attestor"),
        ("- keyless:", "- attestor: {entries: []}\n                  keyless:", "nested-attestors"),
        (&format!("issuer: {GITHUB}"), "issuer: ''", "no-issuer"),
        (&format!("subject: {RELEASE}"), "subject: ''", "no-identity"),
        (&format!("subject: {RELEASE}"), "subject: '{{ request.x }}'", "variable"),
        (&format!("subject: {RELEASE}"), "subject: https://github.com/octo/app/*", "wildcard"),
        ("githubWorkflowRepository: octo/app", "githubWorkflowSha: abc", "claim"),
        ("githubWorkflowRepository: octo/app", "githubWorkflowWhat: abc", "policy-unknown-key"),
        ("githubWorkflowRepository: octo/app", "githubWorkflowRepository: '*/app'", "policy-open-pattern"),
        ("githubWorkflowRepository: octo/app", "githubWorkflowRepository: 7", "policy-wrong-type"),
        ("metadata:", "--- \nmetadata:", "policy-missing-key"),
        ("  name: signed\n", "  name: signed\n---\n", "policy-missing-key"),
        ("kind: ClusterPolicy", "kind: ClusterPolicy\nkind: ClusterPolicy", "policy-duplicate-key"),
        ("kind: ClusterPolicy", "kind: &a ClusterPolicy", "policy-refused-yaml"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let error = kyverno(&text).unwrap_err();
        let allowed = error.code() == code || (code == "policy-missing-key" && error.code() == "policy-refused-yaml");
        assert!(allowed, "{to}: {} {error:?}", error.code());
    }
    for (rule, code) in [
        ("attestations: []", "attestations"),
        ("validate: {}", "attestations"),
        ("key: x", "deprecated-key"),
        ("issuer: x", "deprecated-key"),
    ] {
        assert_eq!(kyverno(&cluster_policy(rule, &keyless(""))).unwrap_err().code(), code);
    }
    for (more, code) in [
        ("roots: x", "custom-trust"),
        ("rekor: {url: https://rekor.example}", "custom-trust"),
        ("rekor: {pubkey: x}", "custom-trust"),
        ("ctlog: {pubkey: x}", "custom-trust"),
        ("ctlog: {tsaCertChain: x}", "custom-trust"),
        ("ctlog: {ignoreSTC: true}", "policy-unknown-key"),
        ("subjectRegExp: x", "two-identities"),
        ("issuerRegExp: x", "two-issuers"),
    ] {
        assert_eq!(kyverno(&cluster_policy("", &keyless(more))).unwrap_err().code(), code, "{more}");
    }
    let legacy = good.replace("SigstoreBundle", "Cosign").replace(&format!("issuer: {GITHUB}"), "issuer: https://*");
    assert_eq!(kyverno(&legacy).unwrap_err().code(), "issuer-pattern");
    let differing = format!(
        "{}{}",
        keyless(""),
        indented(&format!("- keyless: {{issuer: {GITHUB}, subject: a@b}}\n  annotations: {{a: b}}"), 4)
    );
    assert_eq!(kyverno(&cluster_policy("", &differing)).unwrap_err().code(), "terms-differ");
}

fn image_validating(expression: &str, cosign: &str) -> String {
    format!(
        "apiVersion: policies.kyverno.io/v1beta1
kind: ImageValidatingPolicy
metadata: {{name: signed}}
spec:
  validationActions: [Deny]
  matchImageReferences:
    - glob: ghcr.io/octo/*
  attestors:
    - name: release
      cosign:
        keyless:
          identities:
            - issuer: https://a.example
              subject: a@b
{}    - name: other
      cosign: {{keyless: {{identities: [{{issuer: https://a.example, subject: c@d}}]}}}}
  validations:
    - expression: >-
        {expression}
      message: failed
",
        indented(cosign, 8)
    )
}

#[test]
fn an_image_validating_policy_is_read_as_far_as_it_only_counts_signatures() {
    let one = "images.containers.map(image, verifyImageSignatures(image, [attestors.release])).all(e, e > 0)";
    let imported = kyverno(&image_validating(
        one,
        "annotations: {a: b}\nctlog: {url: https://rekor.sigstore.dev, insecureIgnoreSCT: true}",
    ))
    .unwrap();
    assert_eq!(codes(&imported), ["image-scope", "sct-ignored"]);
    assert_eq!(imported.policy.require().annotations["a"], "b");
    assert!(imported.yaml.contains("name: release") && !imported.yaml.contains("c@d"));
    let two = one.replace("attestors.release", "attestors.release, attestors.other");
    assert_eq!(kyverno(&image_validating(&two, "")).unwrap().policy.threshold(), 1);
    let all = two.replace("e > 0", "e >= 2");
    assert_eq!(kyverno(&image_validating(&all, "")).unwrap().policy.threshold(), 2);
    for expression in [
        "true",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.release])).exists(e, e > 0)",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.release])).all(e, e >= 0)",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.release])).all(e, e > 0) || true",
        "images.containers.map(image, verifyImageSignatures('x', [attestors.release])).all(e, e > 0)",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.none])).all(e, e > 0)",
        "images.containers.map(image, verifyImageSignatures(image, [attestors.release, attestors.release])).all(e, e > 1)",
    ] {
        assert_eq!(kyverno(&image_validating(expression, "")).unwrap_err().code(), "expression", "{expression}");
    }
    for (cosign, code) in [
        ("key: {data: x}", "key-attestor"),
        ("tuf: {mirror: https://t.example}", "custom-trust"),
        ("ctlog: {rekorPubKey: x}", "custom-trust"),
        ("sauce: {}", "policy-unknown-key"),
    ] {
        assert_eq!(kyverno(&image_validating(one, cosign)).unwrap_err().code(), code, "{cosign}");
    }
    let good = image_validating(one, "");
    for (from, to, code) in [
        ("  validations:", "  attestations: []\n  validations:", "attestations"),
        ("  validations:", "  variables: []\n  validations:", "expression"),
        (
            "cosign: {keyless: {identities: [",
            "cosign: {keyless: {identities: [{issuer: https://x, subject: y}, ",
            "several-identities",
        ),
        ("      cosign: {", "      notary: {}\n      cosign: {", "key-attestor"),
    ] {
        assert_eq!(kyverno(&good.replacen(from, to, 1)).unwrap_err().code(), code, "{to}");
    }
    assert_eq!(codes(&kyverno(&good.replace("[Deny]", "[Audit]")).unwrap()), ["not-enforced", "image-scope"]);
}

fn cluster_image_policy(authority: &str) -> String {
    format!(
        "apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: image-is-signed-by-github-actions
spec:
  images:
    - glob: '**'
  authorities:
    - name: release
      keyless:
        url: https://fulcio.sigstore.dev
        identities:
          - issuer: {GITHUB}
            subject: {RELEASE}
      ctlog:
        url: https://rekor.sigstore.dev
      signatureFormat: bundle
{}",
        indented(authority, 4)
    )
}

fn controller(text: &str) -> Result<Imported, ImportError> {
    from_policy_controller("policy.yaml", text)
}

#[test]
fn a_cluster_image_policy_is_read_with_any_of_its_authorities() {
    let more = "- keyless:
    identities:
      - {issuer: https://a.example, subject: a@b}
      - {issuerRegExp: '^https://a\\.example$', subjectRegExp: '^https://a\\.example/x/.+$'}
    insecureIgnoreSCT: true
  ctlog: {}
  source: [{oci: registry.example/signatures}]
- static: {action: fail}";
    let imported = controller(&cluster_image_policy(more)).unwrap();
    assert_eq!(
        codes(&imported),
        [
            "image-scope",
            "signature-repository",
            "tlog-ignored",
            "legacy-signatures",
            "sct-ignored",
            "static-fail",
            "own-repository",
            "own-repository"
        ]
    );
    let expected = signers(&format!(
        "  - {{name: release, issuer: {GITHUB}, identity: {RELEASE}}}
  - {{issuer: https://a.example, identity: a@b}}
  - {{issuer: https://a.example, identity_regex: 'https://a\\.example/x/.+'}}"
    ));
    assert_eq!(imported.policy.canonical(), expected.canonical());
    let warning = cluster_image_policy("").replace("spec:\n", "spec:\n  mode: warn\n  match: [{resource: pods}]\n");
    assert_eq!(
        codes(&controller(&warning).unwrap()),
        ["image-scope", "not-enforced", "cluster-scope", "own-repository"]
    );
}

#[test]
fn what_of_a_cluster_image_policy_would_be_weaker_is_refused() {
    for (authority, code) in [
        ("- static: {action: pass}", "static-pass"),
        ("- key: {data: x}", "key-attestor"),
        ("- keyless: {identities: []}\n  attestations: [{name: a, predicateType: b}]", "attestations"),
        ("- keyless: {identities: []}\n  rfc3161timestamp: {trustRootRef: x}", "custom-trust"),
        ("- keyless: {identities: [], trustRootRef: x}", "custom-trust"),
        ("- keyless: {identities: [], ca-cert: {data: x}}", "custom-trust"),
        ("- keyless: {identities: [], url: https://fulcio.example}", "custom-trust"),
        ("- keyless: {identities: []}\n  ctlog: {url: https://rekor.example}", "custom-trust"),
        ("- keyless: {identities: [{issuer: https://a.example}]}", "no-identity"),
        ("- keyless: {identities: [{subject: a@b}]}", "no-issuer"),
        ("- keyless: {identities: [{issuer: https://a, subject: a@b, subjectRegexp: x}]}", "policy-unknown-key"),
        ("- keyless: {}", "policy-missing-key"),
        ("- keyles: {}", "policy-missing-key"),
        ("- {}", "policy-missing-key"),
    ] {
        let error = controller(&cluster_image_policy(authority)).unwrap_err();
        assert_eq!(error.code(), code, "{authority}: {error}");
    }
    let policy = cluster_image_policy("").replace("spec:\n", "spec:\n  policy: {type: cue, data: x}\n");
    assert_eq!(controller(&policy).unwrap_err().code(), "policy-language");
    let two = format!("{}---\n{}", cluster_image_policy(""), cluster_image_policy(""));
    assert_eq!(controller(&two).unwrap_err().code(), "policy-refused-yaml");
    let other = cluster_image_policy("").replace("policy.sigstore.dev", "config.openshift.io");
    assert_eq!(controller(&other).unwrap_err().code(), "other-kind");
}

#[test]
fn a_gallery_s_block_is_read_alone_and_in_a_list() {
    let documented = r#"{"issuer": "https://token.actions.githubusercontent.com",
        "identity_regex": "^https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)$",
        "not_before": "2026-06-01T00:00:00Z"}"#;
    let alone = from_localai("block", documented, None).unwrap();
    assert_eq!(codes(&alone), ["own-repository"]);
    let text = "https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)";
    assert!(alone.yaml.contains(&format!("identity_regex: '{text}'")), "{}", alone.yaml);
    assert!(alone.yaml.contains("not_before: '2026-06-01T00:00:00Z'") && alone.yaml.contains("name: gallery"));
    let gallery = format!(
        r#"{{"name": "localai", "url": "https://index.localai.io/backends", "mirrors": ["x"], "verification": {documented}}}"#
    );
    let list = format!(r#"[{gallery}, {{"name": "other", "url": "x"}}]"#);
    for (text, name) in [(&gallery, None), (&gallery, Some("localai")), (&list, None), (&list, Some("localai"))] {
        assert_eq!(from_localai("config", text, name).unwrap().policy.canonical(), alone.policy.canonical());
    }
    let ours = format!("galleries: {list}");
    assert_eq!(from_localai("config", &ours, Some("localai")).unwrap().policy.canonical(), alone.policy.canonical());
    let two = format!("[{gallery}, {}]", gallery.replace("\"localai\"", "\"two\""));
    for (text, name, code) in [
        (&two, None, "several-galleries"),
        (&two, Some("three"), "no-verification"),
        (&list, Some("other"), "no-verification"),
        (&gallery, Some("other"), "no-verification"),
        (&documented.to_owned(), Some("localai"), "no-verification"),
    ] {
        assert_eq!(from_localai("config", text, name).unwrap_err().code(), code);
    }
}

#[test]
fn what_a_block_of_ours_says_beside_is_kept() {
    let block = format!(
        "issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {{repository: octo/app, owner_id: 678, trigger: [push]}}\nrequire: {{tag: true}}\nmax_age: 9d\nnot_after: null"
    );
    let imported = from_localai("block", &block, None).unwrap();
    assert_eq!(codes(&imported), Vec::<&str>::new());
    assert_eq!(imported.policy.canonical(), crate::support::gallery(&block).unwrap().canonical());
    for (block, code) in [
        (format!("issuer: {GITHUB}"), "no-identity"),
        (format!("identity: {RELEASE}"), "no-issuer"),
        (format!("issuer_regex: .*\nidentity: {RELEASE}"), "issuer-pattern"),
        (format!("issuer: {GITHUB}\nidentity: {RELEASE}\nidentity_regex: x"), "two-identities"),
        (format!("issuer: {GITHUB}\nidentity: {RELEASE}\nnot_befor: x"), "policy-unknown-key"),
        (format!("issuer: {GITHUB}\nidentity: {RELEASE}\nnot_before: tomorrow"), "policy-invalid-value"),
        ("verification:".to_owned(), "policy-refused-yaml"),
        ("7".to_owned(), "policy-wrong-type"),
    ] {
        assert_eq!(from_localai("block", &block, None).unwrap_err().code(), code, "{block}");
    }
    let searched =
        format!("issuer: {GITHUB}\nidentity_regex: https://github.com/octo/app/\ngithub: {{repository: octo/app}}");
    assert_eq!(codes(&from_localai("block", &searched, None).unwrap()), ["anchored"]);
}

#[test]
fn flags_that_are_joined_in_one_word_are_refused_and_nothing_of_them_is_dropped() {
    let one = "cosign verify --certificate-identity a@b --certificate-oidc-issuer https://issuer.example";
    assert!(from_cosign_text("x", &format!("{one} -d ghcr.io/octo/app")).is_ok());
    for joined in ["-da env=prod", "-dt 5s", "-ad"] {
        assert!(from_cosign_text("x", &format!("{one} {joined} ghcr.io/octo/app")).is_err(), "{joined}");
    }
}
