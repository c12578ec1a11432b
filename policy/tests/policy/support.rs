//! One good policy and one good signature, for tests to spoil.

use countersign_policy::{
    Asked, Assessment, Claims, Denial, GalleryBlock, Policy, PolicyError, SignatureFacts, SubjectFacts,
    TAGS_ANNOTATION, yaml,
};
use jiff::Timestamp;

pub(crate) const GITHUB: &str = "https://token.actions.githubusercontent.com";
pub(crate) const RELEASE: &str = "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main";
pub(crate) const REPOSITORY: &str = "registry.example/octo/app";
pub(crate) const SIGNED: &str = "2026-07-01T12:00:00Z";

pub(crate) fn digest() -> String {
    format!("sha256:{}", "ab".repeat(32))
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The release job of octo/app signs `registry.example/octo/app` with the tags `v1` and `latest`.
pub(crate) fn facts() -> SignatureFacts {
    SignatureFacts {
        issuer: Some(GITHUB.to_owned()),
        subject_alternative_name: Some(RELEASE.to_owned()),
        subject_alternative_name_is_uri: true,
        claims: claims(),
        times: vec![time(SIGNED)],
        log_entry: format!("sha256:{}", "cd".repeat(32)),
        log: "https://rekor.example".to_owned(),
        digest: digest(),
        subjects: vec![subject(REPOSITORY, "v1,latest")],
    }
}

pub(crate) fn claims() -> Claims {
    Claims {
        build_signer_uri: Some(RELEASE.to_owned()),
        runner_environment: Some("github-hosted".to_owned()),
        source_repository_uri: Some("https://github.com/octo/app".to_owned()),
        source_repository_ref: Some("refs/heads/main".to_owned()),
        source_repository_identifier: Some("12345".to_owned()),
        source_repository_owner_uri: Some("https://github.com/octo".to_owned()),
        source_repository_owner_identifier: Some("678".to_owned()),
        build_config_uri: Some(RELEASE.to_owned()),
        build_trigger: Some("push".to_owned()),
        source_repository_visibility_at_signing: Some("public".to_owned()),
        deployment_environment: Some("production".to_owned()),
        ..Claims::default()
    }
}

pub(crate) fn subject(repository: &str, tags: &str) -> SubjectFacts {
    SubjectFacts {
        name: Some(format!("{repository}@{}", digest())),
        annotations: [(TAGS_ANNOTATION.to_owned(), tags.to_owned())].into(),
    }
}

pub(crate) fn asked(tag: Option<&str>) -> Asked {
    Asked { repository: REPOSITORY.to_owned(), tag: tag.map(str::to_owned) }
}

/// A document whose one signer has these lines, with these lines after it.
pub(crate) fn document(signer: &str, rest: &str) -> String {
    let lines: String = signer.lines().map(|line| format!("    {line}\n")).collect();
    format!("version: 1\nsigners:\n  - name: release\n{lines}{rest}\n")
}

/// A document that admits the release job, with these lines after it.
pub(crate) fn release(rest: &str) -> String {
    document(&format!("issuer: {GITHUB}\nidentity: {RELEASE}"), rest)
}

/// A document that admits the release job with these claims.
pub(crate) fn with_claims(github: &str) -> String {
    document(&format!("issuer: {GITHUB}\nidentity: {RELEASE}\ngithub: {github}"), "")
}

pub(crate) fn load(text: &str) -> Policy {
    Policy::from_yaml("policy.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(crate) fn refusal(text: &str) -> PolicyError {
    match Policy::from_yaml("policy.yaml", text) {
        Ok(policy) => panic!("was read as {}\n{text}", policy.canonical()),
        Err(error) => error,
    }
}

pub(crate) fn gallery(text: &str) -> Result<Policy, PolicyError> {
    let block: GalleryBlock = yaml::from_str("gallery.yaml", text)?;
    Policy::from_gallery_block("gallery.yaml", &block)
}

/// The denials of one signature; none when it is accepted.
pub(crate) fn denials(policy: &Policy, facts: &SignatureFacts, tag: Option<&str>) -> Vec<Denial> {
    match policy.assess(facts, &asked(tag), time("2026-07-02T00:00:00Z")) {
        Assessment::Accepted(_) => Vec::new(),
        Assessment::Denied(denials) => {
            assert!(!denials.is_empty(), "a refusal without a reason");
            denials
        }
    }
}

pub(crate) fn codes(policy: &Policy, facts: &SignatureFacts) -> Vec<&'static str> {
    denials(policy, facts, None).iter().map(Denial::code).collect()
}
