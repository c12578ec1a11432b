//! Kyverno's `ClusterPolicy` and `Policy` with one `verifyImages` rule.

use std::collections::BTreeMap;

use super::tree::{Fields, Reader};
use super::{Draft, Entry, ImportError, Imported, Names, Said, image_validating, inexpressible};
use crate::claim::Claim;
use crate::error::{Location, PolicyError};
use crate::loss::{Loss, LossCode};
use crate::re2;

/// Reads a `ClusterPolicy` or `Policy` of `kyverno.io` with one `verifyImages` rule, or an `ImageValidatingPolicy` of `policies.kyverno.io`.
///
/// One document of at most 256 KiB. Which images and requests it is for is said where a policy is used, and is a named loss here.
pub fn from_kyverno(origin: &str, text: &str) -> Result<Imported, ImportError> {
    let mut document = Reader::document(origin, text)?.mapping()?;
    let version = document.required("apiVersion")?.text()?;
    let kind = document.required("kind")?.text()?;
    document.optional("metadata");
    document.optional("status");
    let mut draft = Draft::default();
    let spec = document.required("spec")?.mapping()?;
    match (version.text.split('/').next(), kind.text.as_str()) {
        (Some("kyverno.io"), "ClusterPolicy" | "Policy") => rules(spec, &mut draft)?,
        (Some("policies.kyverno.io"), "ImageValidatingPolicy" | "NamespacedImageValidatingPolicy") => {
            image_validating::policy(spec, &mut draft)?;
        }
        _ => {
            let why = "is no policy of Kyverno for images";
            return Err(inexpressible("other-kind", &kind.at, &kind.text, why, Some(KINDS)));
        }
    }
    document.finish()?;
    draft.finish(origin)
}

fn rules(mut spec: Fields, draft: &mut Draft) -> Result<(), ImportError> {
    let default = spec.optional_text("validationFailureAction")?;
    if let Some(overrides) = spec.optional("validationFailureActionOverrides") {
        draft.lose(Loss::new(LossCode::NotEnforced, overrides.at(), "", ENFORCED));
    }
    not_failing(&mut spec, draft)?;
    settings(&mut spec, draft, &POLICY_SETTINGS);
    let list = spec.required("rules")?;
    let at = list.at().clone();
    let mut rules = list.list()?;
    if rules.len() != 1 {
        return Err(inexpressible("several-rules", &at, "", SEVERAL_RULES, SPLIT));
    }
    let mut rule = rules.remove(0).mapping()?;
    rule.optional("name");
    scopes(&mut rule, draft, &["match", "exclude", "preconditions", "celPreconditions", "imageExtractors"]);
    settings(&mut rule, draft, &["skipBackgroundRequests", "reportProperties"]);
    for key in ["validate", "mutate", "generate", "context"] {
        if let Some(other) = rule.optional(key) {
            let why = "asks for more than signatures";
            return Err(inexpressible(
                "other-rule",
                other.at(),
                "",
                why,
                Some("remove it: it cannot be said in a policy"),
            ));
        }
    }
    let list = rule.required("verifyImages")?;
    let at = list.at().clone();
    let mut verifications = list.list()?;
    if verifications.len() != 1 {
        return Err(inexpressible("several-rules", &at, "", SEVERAL_RULES, SPLIT));
    }
    verification(verifications.remove(0).mapping()?, default, draft)?;
    rule.finish()?;
    spec.finish()
}

fn verification(mut rule: Fields, default: Option<Said>, draft: &mut Draft) -> Result<(), ImportError> {
    let at = rule.at().clone();
    let kind = rule.optional_text("type")?;
    let bundles = match kind.as_ref().map(|kind| kind.text.as_str()) {
        Some("SigstoreBundle") => true,
        None | Some("Cosign") => {
            let place = kind.as_ref().map_or(&at, |kind| &kind.at);
            draft.lose(Loss::new(LossCode::LegacySignatures, place, "Cosign", "only signatures in bundles are seen"));
            false
        }
        Some(other) => return Err(inexpressible("other-type", &at, other, "names another kind of signature", None)),
    };
    let action = rule.optional_text("failureAction")?.or(default);
    if !action.as_ref().is_some_and(|action| action.text.eq_ignore_ascii_case("enforce")) {
        let (place, said) = action.as_ref().map_or((&at, "Audit"), |action| (&action.at, action.text.as_str()));
        draft.lose(Loss::new(LossCode::NotEnforced, place, said, ENFORCED));
    }
    if let Some(overrides) = rule.optional("failureActionOverrides") {
        draft.lose(Loss::new(LossCode::NotEnforced, overrides.at(), "", ENFORCED));
    }
    if let Some((false, place)) = rule.switch("required")? {
        draft.lose(Loss::new(LossCode::NotEnforced, &place, "false", ENFORCED));
    }
    for key in ["image", "imageReferences", "skipImageReferences"] {
        if let Some(images) = rule.optional(key) {
            draft.lose(Loss::new(LossCode::ImageScope, images.at(), images.shown(), SCOPED));
        }
    }
    repository(&mut rule, draft);
    settings(&mut rule, draft, &IMAGE_SETTINGS);
    for key in ["attestations", "validate"] {
        if let Some(more) = rule.optional(key) {
            let why = "asks for attestations, and a policy asks for signatures";
            return Err(inexpressible("attestations", more.at(), "", why, None));
        }
    }
    for key in ["additionalExtensions", "issuer", "key", "roots", "subject"] {
        if let Some(old) = rule.optional(key) {
            return Err(inexpressible(
                "deprecated-key",
                old.at(),
                "",
                "has long been replaced",
                Some("say it under `attestors`"),
            ));
        }
    }
    let outer = annotations(&mut rule)?;
    let sets = rule.required("attestors")?;
    attestors(sets, bundles, outer, draft)?;
    rule.finish()
}

/// All sets must be satisfied, each by as many of its entries as it says: a policy has one count.
fn attestors(
    sets: Reader,
    bundles: bool,
    outer: BTreeMap<String, String>,
    draft: &mut Draft,
) -> Result<(), ImportError> {
    let at = sets.at().clone();
    let sets = sets.list()?;
    let several = sets.len() > 1;
    let mut threshold = 0;
    let mut terms: Option<BTreeMap<String, String>> = None;
    for set in sets {
        let mut set = set.mapping()?;
        let place = set.at().clone();
        let count = set.optional("count").map(Reader::number).transpose()?;
        let entries = set.required("entries")?.list()?;
        let total = entries.len() as u64;
        let count = count.filter(|count| *count > 0).unwrap_or(total);
        if count > total {
            return Err(PolicyError::Threshold { at: place, threshold: count, signers: entries.len() }.into());
        }
        if several && count < total {
            let why = "wants some entries of each of several sets, and a policy has one count for all signers";
            return Err(inexpressible("several-sets", &place, "", why, None));
        }
        threshold += usize::try_from(count).unwrap_or(usize::MAX);
        for entry in entries {
            let mut own = outer.clone();
            own.extend(self::entry(entry.mapping()?, bundles, draft)?);
            if terms.as_ref().is_some_and(|terms| *terms != own) {
                let why = "entries differ in their annotations, and a policy wants the same of all signers";
                return Err(inexpressible("terms-differ", &place, "", why, None));
            }
            terms = Some(own);
        }
        set.finish()?;
    }
    draft.annotations = terms.unwrap_or_default();
    draft.threshold = Some((threshold, at));
    Ok(())
}

/// Adds a signer, and returns the annotations that are wanted with it.
fn entry(mut entry: Fields, bundles: bool, draft: &mut Draft) -> Result<BTreeMap<String, String>, ImportError> {
    for (key, construct, why) in [
        ("keys", "key-attestor", "names a key, and a policy names identities"),
        ("certificates", "key-attestor", "names a certificate, and a policy names identities"),
        ("attestor", "nested-attestors", "nests sets of attestors, and a policy has one list of signers"),
    ] {
        if let Some(other) = entry.optional(key) {
            return Err(inexpressible(construct, other.at(), "", why, None));
        }
    }
    repository(&mut entry, draft);
    settings(&mut entry, draft, &["signatureAlgorithm"]);
    let annotations = annotations(&mut entry)?;
    let mut keyless = entry.required("keyless")?.mapping()?;
    let at = keyless.at().clone();
    entry.finish()?;
    if let Some(rekor) = keyless.optional("rekor") {
        let mut rekor = rekor.mapping()?;
        public_url(rekor.optional_text("url")?, "https://rekor.sigstore.dev")?;
        ignored(&mut rekor, "ignoreTlog", LossCode::TlogIgnored, draft)?;
        own_trust(&mut rekor, &["pubkey"])?;
        rekor.finish()?;
    }
    if let Some(ctlog) = keyless.optional("ctlog") {
        let mut ctlog = ctlog.mapping()?;
        ignored(&mut ctlog, "ignoreSCT", LossCode::SctIgnored, draft)?;
        own_trust(&mut ctlog, &["pubkey", "tsaCertChain"])?;
        ctlog.finish()?;
    }
    own_trust(&mut keyless, &["roots"])?;
    let names = names(&mut keyless, !bundles)?;
    if bundles && let Some(subject) = names.subject.as_ref().filter(|subject| subject.text.contains(['*', '?'])) {
        let why = "has a wildcard, which bundles are compared with to the letter";
        return Err(inexpressible("wildcard", &subject.at, &subject.text, why, Some("use subjectRegExp")));
    }
    let extensions = keyless.optional("additionalExtensions").map(Reader::mapping).transpose()?;
    let signer = draft.signer(names, None, &at)?;
    if let Some(extensions) = extensions {
        claims(extensions, signer)?;
    }
    keyless.finish()?;
    Ok(annotations)
}

fn claims(mut extensions: Fields, signer: &mut Entry) -> Result<(), ImportError> {
    for (names, claim) in [
        (["githubWorkflowRepository", "1.3.6.1.4.1.57264.1.5"], Claim::Repository),
        (["githubWorkflowRef", "1.3.6.1.4.1.57264.1.6"], Claim::Ref),
        (["githubWorkflowTrigger", "1.3.6.1.4.1.57264.1.2"], Claim::Trigger),
    ] {
        for name in names {
            let Some(value) = extensions.optional_text(name)? else { continue };
            no_variable(&value)?;
            match re2::from_wildcards(&value.text) {
                Some(pattern) => signer.claim_pattern(claim, &pattern),
                None => signer.claim(claim, &value.text),
            }
        }
    }
    for name in ["githubWorkflowSha", "1.3.6.1.4.1.57264.1.3", "githubWorkflowName", "1.3.6.1.4.1.57264.1.4"] {
        if let Some(value) = extensions.optional_text(name)? {
            let why = "is a claim that policies do not know, and without it more would be accepted";
            return Err(inexpressible("claim", &value.at, &value.text, why, None));
        }
    }
    extensions.finish()
}

/// Takes issuer and name out, as cosign's library has them.
pub(super) fn names(fields: &mut Fields, wildcards: bool) -> Result<Names, ImportError> {
    let mut read = |key: &str| -> Result<Option<Said>, ImportError> {
        let value = fields.optional_text(key)?.filter(|value| !value.text.is_empty());
        value.iter().try_for_each(no_variable)?;
        Ok(value)
    };
    Ok(Names {
        issuer: read("issuer")?,
        issuer_pattern: read("issuerRegExp")?,
        subject: read("subject")?,
        subject_pattern: read("subjectRegExp")?,
        wildcards,
    })
}

fn no_variable(value: &Said) -> Result<(), ImportError> {
    match value.text.contains("{{") {
        true => Err(inexpressible("variable", &value.at, &value.text, "has a variable", Some("write its value"))),
        false => Ok(()),
    }
}

pub(super) fn annotations(fields: &mut Fields) -> Result<BTreeMap<String, String>, ImportError> {
    let Some(annotations) = fields.optional("annotations") else { return Ok(BTreeMap::new()) };
    annotations.mapping()?.texts()
}

pub(super) fn ignored(fields: &mut Fields, key: &str, code: LossCode, draft: &mut Draft) -> Result<(), ImportError> {
    if let Some((true, at)) = fields.switch(key)? {
        draft.lose(Loss::new(code, &at, "true", "is always checked"));
    }
    Ok(())
}

pub(super) fn own_trust(fields: &mut Fields, keys: &[&str]) -> Result<(), ImportError> {
    match keys.iter().find_map(|key| fields.optional(key)) {
        None => Ok(()),
        Some(trust) => Err(custom_trust(trust.at())),
    }
}

pub(super) fn public_url(url: Option<Said>, public: &str) -> Result<(), ImportError> {
    match url.filter(|url| url.text.trim_end_matches('/') != public && !url.text.is_empty()) {
        None => Ok(()),
        Some(url) => Err(custom_trust(&url.at)),
    }
}

fn custom_trust(at: &Location) -> ImportError {
    let why = "names a service or certificate of its own, and a policy names a trusted root";
    inexpressible("custom-trust", at, "", why, Some("remove it, import, and add `trust: {file: ...}` to the policy"))
}

fn repository(fields: &mut Fields, draft: &mut Draft) {
    if let Some(repository) = fields.optional("repository") {
        let loss = Loss::new(LossCode::SignatureRepository, repository.at(), repository.shown(), SCOPED);
        draft.lose(loss.advising("give it with --signature-repository"));
    }
}

fn not_failing(spec: &mut Fields, draft: &mut Draft) -> Result<(), ImportError> {
    if let Some(policy) = spec.optional_text("failurePolicy")?.filter(|policy| policy.text == "Ignore") {
        draft.lose(Loss::new(LossCode::NotEnforced, &policy.at, &policy.text, "no answer is no acceptance"));
    }
    Ok(())
}

pub(super) fn scopes(fields: &mut Fields, draft: &mut Draft, keys: &[&str]) {
    for key in keys {
        if let Some(scope) = fields.optional(key) {
            draft.lose(Loss::new(LossCode::ClusterScope, scope.at(), "", SCOPED));
        }
    }
}

pub(super) fn settings(fields: &mut Fields, draft: &mut Draft, keys: &[&str]) {
    for key in keys {
        if let Some(setting) = fields.optional(key) {
            let became = "has no say in who may have signed, and is left out";
            draft.lose(Loss::new(LossCode::RegistrySettings, setting.at(), setting.shown(), became));
        }
    }
}

pub(super) const ENFORCED: &str = "is always enforced";
pub(super) const SCOPED: &str = "is said where the policy is used";
const KINDS: &str = "give a ClusterPolicy, a Policy or an ImageValidatingPolicy";
const SEVERAL_RULES: &str = "has not one rule for images, and rules for different images are different policies";
const SPLIT: Option<&str> = Some("import each rule by itself");
const POLICY_SETTINGS: [&str; 11] = [
    "admission",
    "applyRules",
    "background",
    "emitWarning",
    "generateExisting",
    "generateExistingOnPolicyUpdate",
    "mutateExistingOnPolicyUpdate",
    "schemaValidation",
    "useServerSideApply",
    "webhookConfiguration",
    "webhookTimeoutSeconds",
];
const IMAGE_SETTINGS: [&str; 5] =
    ["cosignOCI11", "imageRegistryCredentials", "mutateDigest", "useCache", "verifyDigest"];
