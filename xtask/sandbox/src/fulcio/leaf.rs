//! What a leaf certificate says: the identity as its only name, the claims as extensions.

use anyhow::Context as _;
use der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::name::Name;

use super::Caller;
use crate::certificate::{
    Authority, CODE_SIGNING, EXTENDED_KEY_USAGE, KEY_USAGE, Subject, Window, extension, subject_key,
};
use crate::oidc::Issuer;

/// How long a certificate is valid.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

pub(super) fn subject(spki: &[u8], now: Timestamp, extensions: Vec<Extension>) -> Subject {
    let window = Window { start: now, end: now + LIFETIME };
    Subject { name: Name::default(), spki: spki.to_vec(), window, extensions }
}

/// Every extension but the SCT.
pub(super) fn extensions(authority: &Authority, caller: &Caller, spki: &[u8]) -> anyhow::Result<Vec<Extension>> {
    let uri = |text: &str| anyhow::Ok(GeneralName::UniformResourceIdentifier(Ia5String::new(text)?));
    let name = match caller.issuer {
        Issuer::Buildkite => uri(&format!(
            "https://buildkite.com/{}/{}",
            caller.text("organization_slug")?,
            caller.text("pipeline_slug")?
        ))?,
        Issuer::Email => GeneralName::Rfc822Name(Ia5String::new(caller.text("email")?)?),
        Issuer::Github => uri(&url(caller.text("job_workflow_ref")?))?,
    };
    let mut extensions = vec![
        extension(KEY_USAGE, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
        extension(EXTENDED_KEY_USAGE, false, &vec![CODE_SIGNING])?,
        subject_key(spki)?,
        authority.authority_key()?,
        // Critical because the subject is empty.
        extension(SUBJECT_ALTERNATIVE_NAME, true, &SubjectAltName(vec![name]))?,
    ];
    let issuer = caller.text("iss")?;
    let mut claims = vec![(1, issuer.to_owned()), (8, issuer.to_owned()), (24, caller.text("sub")?.to_owned())];
    if caller.issuer == Issuer::Github {
        claims.extend(github(caller)?);
    }
    if caller.issuer == Issuer::Buildkite {
        claims.extend(buildkite(caller)?);
    }
    claims.sort();
    for (arc, value) in claims {
        extensions.push(claim(arc, &value)?);
    }
    Ok(extensions)
}

/// Arcs below 8 hold the bytes of the text, the others a DER UTF8String.
fn claim(arc: u32, value: &str) -> anyhow::Result<Extension> {
    let oid = FULCIO.push_arc(arc)?;
    if arc < 8 {
        return Ok(Extension { extn_id: oid, critical: false, extn_value: OctetString::new(value.as_bytes())? });
    }
    extension(oid, false, &value.to_owned())
}

/// Fulcio's templates for GitHub; a claim that is missing fails.
fn github(caller: &Caller) -> anyhow::Result<Vec<(u32, String)>> {
    let claim = |name: &str| caller.text(name);
    let run =
        format!("{}/actions/runs/{}/attempts/{}", url(claim("repository")?), claim("run_id")?, claim("run_attempt")?);
    let mut claims = vec![
        (2, claim("event_name")?.to_owned()),
        (3, claim("sha")?.to_owned()),
        (4, claim("workflow")?.to_owned()),
        (5, claim("repository")?.to_owned()),
        (6, claim("ref")?.to_owned()),
        (9, url(claim("job_workflow_ref")?)),
        (10, claim("job_workflow_sha")?.to_owned()),
        (11, claim("runner_environment")?.to_owned()),
        (12, url(claim("repository")?)),
        (13, claim("sha")?.to_owned()),
        (14, claim("ref")?.to_owned()),
        (15, claim("repository_id")?.to_owned()),
        (16, url(claim("repository_owner")?)),
        (17, claim("repository_owner_id")?.to_owned()),
        (18, url(claim("workflow_ref")?)),
        (19, claim("workflow_sha")?.to_owned()),
        (20, claim("event_name")?.to_owned()),
        (21, run),
        (22, claim("repository_visibility")?.to_owned()),
    ];
    claims.extend(claim("environment").ok().map(|environment| (23, environment.to_owned())));
    Ok(claims)
}

/// Fulcio's templates for Buildkite; the number of a build is no text.
fn buildkite(caller: &Caller) -> anyhow::Result<Vec<(u32, String)>> {
    let claim = |name: &str| caller.text(name);
    let number = caller.claims.get("build_number").context("the token has no claim build_number")?;
    let (organization, pipeline) = (claim("organization_slug")?, claim("pipeline_slug")?);
    let run = format!("https://buildkite.com/{organization}/{pipeline}/builds/{number}#{}", claim("job_id")?);
    Ok(vec![
        (11, claim("runner_environment")?.to_owned()),
        (13, claim("build_commit")?.to_owned()),
        (20, claim("build_source")?.to_owned()),
        (21, run),
    ])
}

fn url(path: &str) -> String {
    format!("https://github.com/{path}")
}

impl Caller {
    fn text(&self, claim: &str) -> anyhow::Result<&str> {
        let value = self.claims.get(claim).and_then(Value::as_str);
        value.filter(|value| !value.is_empty()).with_context(|| format!("the token has no claim {claim}"))
    }
}
