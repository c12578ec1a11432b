//! Judges a new bundle as its consumers will, before anybody else sees it.

use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::PinnedReference;
use countersign_policy::{GithubSpec, Policy, SignerSpec};
use countersign_verifier::reason::Reason;
use countersign_verifier::verify::Findings;
use countersign_verifier::{Asked, Evidence, Verdict, Verifier};
use jiff::{SignedDuration, Timestamp};

use crate::demand::Demand;
use crate::error::SignError;
use crate::identity::IdentityToken;
use crate::services::{Certificate, Service};
use crate::sign::Clock;
use crate::statement::{BoundSubject, PlannedStatement};

/// How long a service's clock may be ahead of this machine's before that is an error.
pub(crate) const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(60);
pub(crate) const SHORTEST_WAIT: SignedDuration = SignedDuration::from_millis(100);
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

impl IdentityToken {
    /// The identity that a certificate for this token will name, where that can be told before it is asked for.
    pub fn expected_identity(&self) -> Option<SignerIdentity> {
        let issuer = self.issuers().last()?.to_owned();
        if let Some(workflow) = self.github_workflow().filter(|_| issuer.starts_with(GITHUB_ISSUER)) {
            let identity = format!("{GITHUB}{workflow}");
            return Some(SignerIdentity {
                issuer,
                identity,
                github_repository: self.github_repository().map(str::to_owned),
            });
        }
        let identity = self.verified_email()?.to_owned();
        Some(SignerIdentity { issuer, identity, github_repository: None })
    }
}

/// A GitHub workflow is named by its address, an e-mail address by itself; other issuers' names are the authority's to derive.
fn matches_token(name: &str, token: &IdentityToken) -> bool {
    if let Some(workflow) = token.github_workflow() {
        let on_github = name.strip_prefix(GITHUB) == Some(workflow);
        let elsewhere = !token.issuers().any(|issuer| issuer.starts_with(GITHUB_ISSUER))
            && name
                .strip_prefix("https://")
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(_, path)| path == workflow);
        return on_github || elsewhere;
    }
    match token.verified_email() {
        Some(email) => name == email,
        None => true,
    }
}

/// What judges new bundles: the consumers' verifier with a policy that admits this signer.
pub(crate) struct SelfVerification {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) demand: Demand,
    /// The end of the certificate's validity.
    pub(crate) not_after: Timestamp,
    pub(crate) clock: Clock,
}

impl SelfVerification {
    /// Verifies a bundle for every subject of its statement. Waits up to a minute where this machine's clock is behind the services'.
    pub(crate) async fn verify(&self, statement: &PlannedStatement, bundle: &Bytes) -> Result<(), SignError> {
        let question = |bound: &BoundSubject| {
            let asked = Asked { reference: bound.reference(), tag: bound.tags().next().cloned() };
            (asked, Arc::clone(self.demand.of(bound)))
        };
        let subjects: Vec<(Asked, Arc<Policy>)> = statement.subjects.iter().map(question).collect();
        let started = (self.clock)();
        loop {
            let now = (self.clock)();
            let Some((subject, refusal)) = self.first_refusal(subjects.clone(), bundle.clone(), now).await else {
                return Ok(());
            };
            match refusal {
                Refusal::Untimely(_) if now >= self.not_after => {
                    return Err(SignError::CertificateOutlived { subject, not_after: self.not_after, now });
                }
                Refusal::Rejected(reason) | Refusal::Untimely(reason) => {
                    return Err(SignError::SelfVerificationRejected { subject, reason });
                }
                Refusal::ClockBehind(time) if time.duration_since(started) <= LONGEST_WAIT => {
                    tracing::warn!(%time, %now, "this machine's clock is behind, waiting");
                    let wait = time.duration_since(now).clamp(SHORTEST_WAIT, LONGEST_WAIT);
                    tokio::time::sleep(wait.unsigned_abs()).await;
                }
                Refusal::ClockBehind(time) => {
                    let reason = format!("it was signed at {time}, and this machine's clock says {now}");
                    return Err(SignError::SelfVerificationUndecided { subject, reason });
                }
                Refusal::Undecided(reason) => {
                    return Err(SignError::SelfVerificationUndecided { subject, reason });
                }
            }
        }
    }

    /// Judges subject after subject beside the requests that are under way: a large statement takes seconds of a processor.
    async fn first_refusal(
        &self,
        subjects: Vec<(Asked, Arc<Policy>)>,
        bundle: Bytes,
        now: Timestamp,
    ) -> Option<(PinnedReference, Refusal)> {
        let first = subjects.first()?.0.reference.clone();
        let verifier = Arc::clone(&self.verifier);
        let judged = tokio::task::spawn_blocking(move || {
            let evidence = Evidence::from_bundles([bundle]);
            let refusal = |(asked, policy): (Asked, Arc<Policy>)| {
                let verdict = verifier.verify(&asked, &evidence, &policy, now);
                Refusal::of(verdict).map(|refusal| (asked.reference, refusal))
            };
            subjects.into_iter().find_map(refusal)
        });
        judged.await.unwrap_or_else(|stopped| Some((first, Refusal::Undecided(stopped.to_string()))))
    }
}

/// Why a bundle is not accepted for a subject.
enum Refusal {
    ClockBehind(Timestamp),
    Rejected(String),
    Undecided(String),
    /// The certificate or a time does not hold, which may be because it was signed too late.
    Untimely(String),
}

impl Refusal {
    fn of(verdict: Result<Verdict, countersign_verifier::Error>) -> Option<Self> {
        match verdict {
            Ok(Verdict::Verified(..)) => None,
            // A policy may want further signers: this bundle is as good as one of them can be.
            Ok(Verdict::Rejected(findings)) if accepts(&findings) => None,
            Ok(Verdict::Rejected(findings)) if concerns_time(&findings) => Some(Self::Untimely(reasons(&findings))),
            Ok(Verdict::Rejected(findings)) => Some(Self::Rejected(reasons(&findings))),
            Ok(Verdict::Undecided(findings)) => Some(match time_ahead(&findings) {
                Some(time) => Self::ClockBehind(time),
                None => Self::Undecided(reasons(&findings)),
            }),
            Ok(_) => Some(Self::Undecided("the verdict is of an unknown kind".to_owned())),
            Err(error) => Some(Self::Undecided(error.to_string())),
        }
    }
}

/// Whether nothing is wrong with the bundle itself.
fn accepts(findings: &Findings) -> bool {
    !findings.candidates.is_empty() && findings.candidates.iter().all(|finding| finding.outcome.is_ok())
}

fn time_ahead(findings: &Findings) -> Option<Timestamp> {
    findings.candidates.iter().find_map(|finding| match &finding.outcome {
        Err(Reason::ClockBehind { time, .. }) => Some(*time),
        _ => None,
    })
}

fn concerns_time(findings: &Findings) -> bool {
    let of_time = |reason: &Reason| {
        matches!(
            reason,
            Reason::Certificate { .. }
                | Reason::IntegratedTime { .. }
                | Reason::NoVerifiedTime { .. }
                | Reason::TimestampOutsideCertificate { .. }
        )
    };
    findings.candidates.iter().any(|finding| finding.outcome.as_ref().is_err_and(of_time))
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use countersign_oci::Secret;

    use super::*;

    fn token(claims: &str) -> IdentityToken {
        let text = format!(r#"{{"aud":"sigstore","sub":"s","exp":2000000000,{claims}}}"#);
        let text = Secret::new(format!("e30.{}.e30", URL_SAFE_NO_PAD.encode(text)));
        IdentityToken::parse("test", text, "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_for_somebody_else_is_not_the_tokens() {
        let github = r#""iss":"https://token.actions.githubusercontent.com","repository":"o/r","job_workflow_ref":"o/r/.github/workflows/w.yml@refs/heads/main""#;
        let enterprise = github.replace("token.actions.githubusercontent.com", "ghe.example/_services/token");
        let email = r#""iss":"https://i","email":"mona@example.com","email_verified":true"#;
        let table = [
            (github, "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main", true),
            (github, "https://github.com/o/r/.github/workflows/w.yml@refs/heads/other", false),
            (github, "https://evil.example/o/r/.github/workflows/w.yml@refs/heads/main", false),
            (github, "mona@example.com", false),
            (&enterprise, "https://ghe.example/o/r/.github/workflows/w.yml@refs/heads/main", true),
            (&enterprise, "https://ghe.example/x/o/r/.github/workflows/w.yml@refs/heads/main", false),
            (email, "mona@example.com", true),
            (email, "lisa@example.com", false),
            (r#""iss":"https://gitlab.example""#, "https://gitlab.example/g/p//.gitlab-ci.yml@refs/heads/main", true),
        ];
        for (claims, name, expected) in table {
            assert_eq!(matches_token(name, &token(claims)), expected, "{claims} {name}");
        }
    }
}
