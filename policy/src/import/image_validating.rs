//! Kyverno's `ImageValidatingPolicy`, as far as its expressions only count signatures.

use std::collections::BTreeMap;

use super::kyverno::{ENFORCED, SCOPED, annotations, ignored, names, own_trust, public_url, scopes, settings};
use super::tree::{Fields, Reader};
use super::{Draft, ImportError, Names, Said, inexpressible};
use crate::error::Location;
use crate::loss::{Loss, LossCode};

pub(super) fn policy(mut spec: Fields, draft: &mut Draft) -> Result<(), ImportError> {
    enforcement(&mut spec, draft)?;
    scopes(&mut spec, draft, &["matchConstraints", "matchConditions", "images"]);
    if let Some(images) = spec.optional("matchImageReferences") {
        let mut shown = Vec::new();
        for image in images.clone().list()? {
            let mut image = image.mapping()?;
            shown.extend(image.optional("glob").or_else(|| image.optional("expression")).map(|text| text.shown()));
        }
        draft.lose(Loss::new(LossCode::ImageScope, images.at(), shown.join(", "), SCOPED));
    }
    settings(&mut spec, draft, &["auditAnnotations", "autogen", "credentials", "webhookConfiguration"]);
    if let Some(attestations) = spec.optional("attestations") {
        let why = "asks for attestations, and a policy asks for signatures";
        return Err(inexpressible("attestations", attestations.at(), "", why, None));
    }
    if let Some(variables) = spec.optional("variables") {
        return Err(inexpressible("expression", variables.at(), "", EXPRESSION, EXPRESSION_ADVICE));
    }
    let mut attestors = Attestors::read(spec.required("attestors")?, draft)?;
    let validations = spec.required("validations")?;
    let at = validations.at().clone();
    let mut counted: Option<Counted> = None;
    for validation in validations.list()? {
        let mut validation = validation.mapping()?;
        let expression = validation.required("expression")?.text()?;
        for key in ["message", "messageExpression", "reason"] {
            validation.optional(key);
        }
        validation.finish()?;
        let next = counted_by(&expression)?;
        if counted.as_ref().is_some_and(|counted| *counted != next) {
            let why = "expressions count different attestors, and a policy has one count";
            return Err(inexpressible("expression", &expression.at, &expression.text, why, EXPRESSION_ADVICE));
        }
        counted = Some(next);
    }
    let Some(counted) = counted else {
        return Err(inexpressible("expression", &at, "", "demands nothing", EXPRESSION_ADVICE));
    };
    let mut terms: Option<BTreeMap<String, String>> = None;
    for name in &counted.attestors {
        let Some(attestor) = attestors.0.remove(name) else {
            return Err(inexpressible("expression", &at, name, "counts an attestor that is not there, or twice", None));
        };
        draft.signer(attestor.names, Some(name), &attestor.at)?;
        if terms.as_ref().is_some_and(|terms| *terms != attestor.annotations) {
            let why = "attestors differ in their annotations, and a policy wants the same of all signers";
            return Err(inexpressible("terms-differ", &attestor.at, "", why, None));
        }
        terms = Some(attestor.annotations);
    }
    draft.annotations = terms.unwrap_or_default();
    draft.threshold = Some((counted.threshold, at));
    spec.finish()
}

/// Says what is enforced here although it was not there.
fn enforcement(spec: &mut Fields, draft: &mut Draft) -> Result<(), ImportError> {
    if let Some(actions) = spec.optional("validationActions").filter(|actions| actions.shown() != "Deny") {
        draft.lose(Loss::new(LossCode::NotEnforced, actions.at(), actions.shown(), ENFORCED));
    }
    if let Some(policy) = spec.optional_text("failurePolicy")?.filter(|policy| policy.text == "Ignore") {
        draft.lose(Loss::new(LossCode::NotEnforced, &policy.at, &policy.text, "no answer is no acceptance"));
    }
    if let Some(configurations) = spec.optional("validationConfigurations") {
        let mut configurations = configurations.mapping()?;
        if let Some((false, at)) = configurations.switch("required")? {
            draft.lose(Loss::new(LossCode::NotEnforced, &at, "false", ENFORCED));
        }
        for key in ["mutateDigest", "verifyDigest"] {
            configurations.optional(key);
        }
        configurations.finish()?;
    }
    if let Some(evaluation) = spec.optional("evaluation") {
        draft.lose(Loss::new(LossCode::ClusterScope, evaluation.at(), "", SCOPED));
    }
    Ok(())
}

/// The attestors by their names. One that no expression counts says nothing.
struct Attestors(BTreeMap<String, Attestor>);

struct Attestor {
    names: Names,
    annotations: BTreeMap<String, String>,
    at: Location,
}

impl Attestors {
    fn read(list: Reader, draft: &mut Draft) -> Result<Self, ImportError> {
        let mut all = BTreeMap::new();
        for attestor in list.list()? {
            let mut attestor = attestor.mapping()?;
            let name = attestor.required("name")?.text()?;
            if let Some(notary) = attestor.optional("notary") {
                return Err(inexpressible(
                    "key-attestor",
                    notary.at(),
                    "",
                    "names certificates, and a policy names identities",
                    None,
                ));
            }
            let mut cosign = attestor.required("cosign")?.mapping()?;
            for key in ["key", "certificate"] {
                if let Some(key) = cosign.optional(key) {
                    return Err(inexpressible(
                        "key-attestor",
                        key.at(),
                        "",
                        "names a key, and a policy names identities",
                        None,
                    ));
                }
            }
            own_trust(&mut cosign, &["tuf", "trustedRoot"])?;
            if let Some(ctlog) = cosign.optional("ctlog") {
                let mut ctlog = ctlog.mapping()?;
                public_url(ctlog.optional_text("url")?, "https://rekor.sigstore.dev")?;
                ignored(&mut ctlog, "insecureIgnoreTlog", LossCode::TlogIgnored, draft)?;
                ignored(&mut ctlog, "insecureIgnoreSCT", LossCode::SctIgnored, draft)?;
                own_trust(&mut ctlog, &["rekorPubKey", "ctLogPubKey", "tsaCertChain"])?;
                ctlog.finish()?;
            }
            if let Some(source) = cosign.optional("source") {
                draft.lose(Loss::new(LossCode::SignatureRepository, source.at(), "", SCOPED));
            }
            let annotations = annotations(&mut cosign)?;
            let mut keyless = cosign.required("keyless")?.mapping()?;
            own_trust(&mut keyless, &["roots"])?;
            let identities = keyless.required("identities")?;
            let at = identities.at().clone();
            let mut identities = identities.list()?;
            if identities.len() != 1 {
                let why = "has not one identity, of which any would do: a policy counts each as a signer";
                return Err(inexpressible("several-identities", &at, "", why, Some("make an attestor of each")));
            }
            let mut identity = identities.remove(0).mapping()?;
            let names = names(&mut identity, false)?;
            identity.finish()?;
            keyless.finish()?;
            cosign.finish()?;
            attestor.finish()?;
            all.insert(name.text, Attestor { names, annotations, at });
        }
        Ok(Self(all))
    }
}

/// What an expression demands: so many of these.
#[derive(PartialEq, Eq)]
struct Counted {
    attestors: Vec<String>,
    threshold: usize,
}

/// Reads `images.KIND.map(I, verifyImageSignatures(I, [attestors.A, ..])).all(C, C >= N)`, and nothing else.
fn counted_by(expression: &Said) -> Result<Counted, ImportError> {
    let refused = || inexpressible("expression", &expression.at, &expression.text, EXPRESSION, EXPRESSION_ADVICE);
    let text: String = expression.text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let read = || -> Option<Counted> {
        let (kind, rest) = text.strip_prefix("images.")?.split_once(".map(")?;
        let (image, rest) = rest.split_once(",verifyImageSignatures(")?;
        let (list, rest) = rest.strip_prefix(image)?.strip_prefix(",[")?.split_once("])).all(")?;
        let (count, rest) = rest.split_once(',')?;
        let condition = rest.strip_suffix(')')?.strip_prefix(count)?;
        let threshold = match condition.strip_prefix(">=") {
            Some(number) => number.parse::<usize>().ok()?,
            None => condition.strip_prefix('>')?.parse::<usize>().ok()?.checked_add(1)?,
        };
        let names: Option<Vec<String>> =
            list.split(',').map(|name| name.strip_prefix("attestors.").map(str::to_owned)).collect();
        let names = names?;
        let plain = |word: &str| {
            !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        };
        [kind, image, count].into_iter().chain(names.iter().map(String::as_str)).all(plain).then_some(())?;
        Some(Counted { attestors: names, threshold }).filter(|counted| counted.threshold > 0)
    };
    read().ok_or_else(refused)
}

const EXPRESSION: &str = "is an expression that may ask for anything";
const EXPRESSION_ADVICE: Option<&str> = Some(
    "only images.containers.map(image, verifyImageSignatures(image, [attestors.a])).all(e, e > 0) can be taken over",
);
