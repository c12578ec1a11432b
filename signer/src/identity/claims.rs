//! The claims of an identity token.

use serde::Deserialize;

/// The claims that are looked at; everything else is the authority's.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    pub(super) iss: String,
    pub(super) sub: Option<String>,
    pub(super) aud: Option<Audience>,
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Verified>,
    pub(super) federated_claims: Option<FederatedClaims>,
    pub(super) repository: Option<String>,
    pub(super) job_workflow_ref: Option<String>,
    pub(super) ci_config_ref_uri: Option<String>,
    pub(super) organization_slug: Option<String>,
    pub(super) pipeline_slug: Option<String>,
    #[serde(rename = "oidc.circleci.com/project-id")]
    pub(super) circleci_project: Option<String>,
    #[serde(rename = "oidc.circleci.com/pipeline-definition-id")]
    pub(super) circleci_pipeline: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Verified {
    Flag(bool),
    Text(String),
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct FederatedClaims {
    pub(super) connector_id: Option<String>,
}

impl Claims {
    /// What the certificate authority wants signed as proof of possession of the key.
    pub(super) fn proof_of_possession(&self) -> &str {
        self.verified_email().or(self.sub.as_deref()).unwrap_or_default()
    }

    pub(super) fn verified_email(&self) -> Option<&str> {
        let verified = match self.email_verified.as_ref()? {
            Verified::Flag(verified) => *verified,
            Verified::Text(text) => text == "true",
        };
        let email = self.email.as_deref()?;
        (verified && !email.is_empty()).then_some(email)
    }
}
