//! The `ClusterImagePolicy` of Sigstore's policy-controller.

use super::kyverno::{SCOPED, ignored, names, own_trust, public_url, scopes};
use super::tree::{Fields, Reader};
use super::{Draft, ImportError, Imported, inexpressible};
use crate::loss::{Loss, LossCode};

/// Reads a `ClusterImagePolicy` of `policy.sigstore.dev`. Any of its authorities is enough there, and any of the signers here.
///
/// One document of at most 256 KiB. Which images it is for is said where a policy is used, and is a named loss here.
pub fn from_policy_controller(origin: &str, text: &str) -> Result<Imported, ImportError> {
    let mut document = Reader::document(origin, text)?.mapping()?;
    let version = document.required("apiVersion")?.text()?;
    let kind = document.required("kind")?.text()?;
    if version.text.split('/').next() != Some("policy.sigstore.dev") || kind.text != "ClusterImagePolicy" {
        return Err(inexpressible(
            "other-kind",
            &kind.at,
            &kind.text,
            "is no ClusterImagePolicy of policy.sigstore.dev",
            None,
        ));
    }
    document.optional("metadata");
    document.optional("status");
    let mut spec = document.required("spec")?.mapping()?;
    document.finish()?;
    let mut draft = Draft::default();
    if let Some(images) = spec.optional("images") {
        let mut globs = Vec::new();
        for image in images.clone().list()? {
            globs.extend(image.mapping()?.optional("glob").map(|glob| glob.shown()));
        }
        draft.lose(Loss::new(LossCode::ImageScope, images.at(), globs.join(", "), SCOPED));
    }
    if let Some(mode) = spec.optional_text("mode")?.filter(|mode| !mode.text.is_empty() && mode.text != "enforce") {
        draft.lose(Loss::new(LossCode::NotEnforced, &mode.at, &mode.text, "is always enforced"));
    }
    scopes(&mut spec, &mut draft, &["match"]);
    if let Some(policy) = spec.optional("policy") {
        return Err(inexpressible("policy-language", policy.at(), "", POLICY_LANGUAGE, None));
    }
    for item in spec.required("authorities")?.list()? {
        authority(item.mapping()?, &mut draft)?;
    }
    spec.finish()?;
    draft.finish(origin)
}

fn authority(mut authority: Fields, draft: &mut Draft) -> Result<(), ImportError> {
    let name = authority.optional_text("name")?;
    if let Some(key) = authority.optional("key") {
        return Err(inexpressible("key-attestor", key.at(), "", "names a key, and a policy names identities", None));
    }
    if let Some(fixed) = authority.optional("static") {
        let mut fixed = fixed.mapping()?;
        let action = fixed.required("action")?.text()?;
        if action.text != "fail" {
            let why = "accepts images without a signature";
            return Err(inexpressible("static-pass", &action.at, &action.text, why, Some("remove the authority")));
        }
        draft.lose(Loss::new(LossCode::StaticFail, &action.at, &action.text, "is left out: it accepts nothing"));
        return Ok(());
    }
    for (key, construct, why) in [
        ("attestations", "attestations", "asks for attestations, and a policy asks for signatures"),
        (
            "rfc3161timestamp",
            "custom-trust",
            "names timestamp authorities of its own, and a policy names a trusted root",
        ),
    ] {
        if let Some(other) = authority.optional(key) {
            return Err(inexpressible(construct, other.at(), "", why, None));
        }
    }
    for source in authority.optional("source").map(Reader::list).transpose()?.unwrap_or_default() {
        let at = source.at().clone();
        let mut source = source.mapping()?;
        let said = source.optional("oci").map(|oci| oci.shown()).unwrap_or_default();
        let loss = Loss::new(LossCode::SignatureRepository, &at, said, SCOPED);
        draft.lose(loss.advising("give it with --signature-repository"));
        source.optional("signaturePullSecrets");
        source.optional("tagPrefix");
        source.finish()?;
    }
    ctlog(&mut authority, draft)?;
    let format = authority.optional_text("signatureFormat")?;
    if format.as_ref().is_none_or(|format| format.text != "bundle") {
        let at = format.as_ref().map_or_else(|| authority.at().clone(), |format| format.at.clone());
        let said = format.map_or_else(|| "legacy".to_owned(), |format| format.text);
        draft.lose(Loss::new(LossCode::LegacySignatures, &at, said, "only signatures in bundles are seen"));
    }
    let mut keyless = authority.required("keyless")?.mapping()?;
    public_url(keyless.optional_text("url")?, "https://fulcio.sigstore.dev")?;
    ignored(&mut keyless, "insecureIgnoreSCT", LossCode::SctIgnored, draft)?;
    own_trust(&mut keyless, &["ca-cert", "trustRootRef"])?;
    let identities = keyless.required("identities")?.list()?;
    let single = identities.len() == 1;
    for identity in identities {
        let at = identity.at().clone();
        let mut identity = identity.mapping()?;
        let names = names(&mut identity, false)?;
        let name = name.as_ref().filter(|_| single).map(|name| name.text.as_str());
        draft.signer(names, name, &at)?;
        identity.finish()?;
    }
    keyless.finish()?;
    authority.finish()
}

/// With neither URL nor trusted root, the log is not asked for there.
fn ctlog(authority: &mut Fields, draft: &mut Draft) -> Result<(), ImportError> {
    let Some(ctlog) = authority.optional("ctlog") else { return Ok(()) };
    let at = ctlog.at().clone();
    let mut ctlog = ctlog.mapping()?;
    own_trust(&mut ctlog, &["trustRootRef"])?;
    let url = ctlog.optional_text("url")?;
    if url.is_none() {
        draft.lose(Loss::new(LossCode::TlogIgnored, &at, "{}", "is always checked"));
    }
    public_url(url, "https://rekor.sigstore.dev")?;
    ctlog.finish()
}

const POLICY_LANGUAGE: &str = "holds a policy in another language, which may ask for anything";
