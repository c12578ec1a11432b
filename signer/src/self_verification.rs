//! Judges a new bundle as its consumers will, before anybody else sees it.

use std::time::Duration;

use bytes::Bytes;
use countersign_policy::{GithubSpec, Policy, SignerSpec};
use countersign_verifier::reason::Reason;
use countersign_verifier::verify::Findings;
use countersign_verifier::{Asked, Evidence, Verdict, Verifier};
use jiff::{SignedDuration, Timestamp};

use crate::error::SignError;
use crate::identity::IdentityToken;
use crate::services::{Certificate, Service};
use crate::sign::Clock;
use crate::statement::PlannedStatement;

/// How long a service's clock may be ahead of this machine's before that is an error.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(60);
const GITHUB: &str = "https://github.com/";
const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Who the signer is, as the certificate names it; what consumers have to put into their policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignerIdentity {
    /// The issuer of the identity token.
    pub issuer: String,
    /// The certificate's subject alternative name.
    pub identity: String,
    /// The repository that a GitHub Actions job ran for, as `owner/name`. A workflow that others can call gives its name to all of
    /// them, so a policy needs both.
    pub github_repository: Option<String>,
}

impl SignerIdentity {
    /// Reads the identity from the certificate and compares it with what the token says: the certificate has to be for the token's
    /// issuer, and for its e-mail address or workflow.
    pub fn new(token: &IdentityToken, certificate: &Certificate, authority: &str) -> Result<Self, SignError> {
        let foreign = |what: &str, found: Option<&str>| SignError::ServiceMalformed {
            service: Service::Fulcio,
            url: authority.to_owned(),
            what: format!("the certificate's {what} {} is not the token's", found.unwrap_or("(none)")),
        };
        let issuer = certificate.issuer();
        if !issuer.is_some_and(|issuer| token.issuers().any(|named| named == issuer)) {
            return Err(foreign("issuer", issuer));
        }
        let name = certificate.subject_alternative_name();
        if !name.is_some_and(|name| matches_token(name, token)) {
            return Err(foreign("subject alternative name", name));
        }
        Ok(Self {
            issuer: issuer.unwrap_or_default().to_owned(),
            identity: name.unwrap_or_default().to_owned(),
            github_repository: token.github_repository().map(str::to_owned),
        })
    }

    /// The policy that admits this signer and nobody else.
    pub fn policy(&self) -> Result<Policy, SignError> {
        let claims = |repository: &String| GithubSpec { repository: Some(repository.clone()), ..GithubSpec::default() };
        let signer = SignerSpec {
            name: "self".to_owned(),
            issuer: Some(self.issuer.clone()),
            identity: Some(self.identity.clone()),
            github: self.github_repository.as_ref().map(claims),
            ..SignerSpec::default()
        };
        Policy::for_identity(signer).map_err(|source| SignError::IdentityUnusable { source: Box::new(source) })
    }
}

/// A GitHub workflow is named by its address, an e-mail address by itself; other issuers' names are the authority's to derive.
fn matches_token(name: &str, token: &IdentityToken) -> bool {
    if let Some(workflow) = token.github_workflow() {
        let on_github = name.strip_prefix(GITHUB) == Some(workflow);
        let elsewhere = !token.issuers().any(|issuer| issuer.starts_with(GITHUB_ISSUER))
            && name.starts_with("https://")
            && name.ends_with(&format!("/{workflow}"));
        return on_github || elsewhere;
    }
    match token.verified_email() {
        Some(email) => name == email,
        None => true,
    }
}

/// Verifies a bundle for every subject of its statement.
pub(crate) async fn check(
    verifier: &Verifier,
    policy: &Policy,
    statement: &PlannedStatement,
    bundle: &Bytes,
    clock: &Clock,
) -> Result<(), SignError> {
    for bound in &statement.subjects {
        let asked = Asked { reference: bound.reference(), tag: bound.tags().next().cloned() };
        check_one(verifier, policy, &asked, bundle, clock).await?;
    }
    Ok(())
}

async fn check_one(
    verifier: &Verifier,
    policy: &Policy,
    asked: &Asked,
    bundle: &Bytes,
    clock: &Clock,
) -> Result<(), SignError> {
    let evidence = Evidence::from_bundles([bundle.clone()]);
    let started = clock();
    loop {
        let now = clock();
        let undecided =
            |reason: String| SignError::SelfVerificationUndecided { subject: asked.reference.clone(), reason };
        let verdict = verifier.verify(asked, &evidence, policy, now).map_err(|error| undecided(error.to_string()))?;
        let findings = match verdict {
            Verdict::Verified(..) => return Ok(()),
            Verdict::Rejected(findings) => {
                let reason = reasons(&findings);
                return Err(SignError::SelfVerificationRejected { subject: asked.reference.clone(), reason });
            }
            Verdict::Undecided(findings) => findings,
            _ => return Err(undecided("the verdict is unknown".to_owned())),
        };
        match time_ahead(&findings) {
            Some(time) if time.duration_since(started) <= LONGEST_WAIT => {
                let wait = time.duration_since(now).max(SignedDuration::from_millis(100));
                tokio::time::sleep(wait.min(LONGEST_WAIT).try_into().unwrap_or(Duration::from_secs(1))).await;
            }
            _ => return Err(undecided(reasons(&findings))),
        }
    }
}

fn time_ahead(findings: &Findings) -> Option<Timestamp> {
    findings.candidates.iter().find_map(|finding| match &finding.outcome {
        Err(Reason::ClockBehind { time, .. }) => Some(*time),
        _ => None,
    })
}

fn reasons(findings: &Findings) -> String {
    let reasons: Vec<String> = findings
        .candidates
        .iter()
        .filter_map(|finding| finding.outcome.as_ref().err())
        .map(ToString::to_string)
        .collect();
    reasons.join("; ")
}
