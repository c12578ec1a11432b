//! The protocol by which a Buildkite job gets its identity token from the API of its agent.

use countersign_oci::Secret;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::AUDIENCE;
use crate::error::SignError;
use crate::services::{Attempts, Call, Service, Transport, safe_url};

/// Where agents ask, without `BUILDKITE_AGENT_ENDPOINT`.
pub(super) const ENDPOINT: &str = "https://agent.buildkite.com/v3";

#[derive(Deserialize)]
struct Answer {
    token: String,
}

/// Asks for a token for the audience, as `buildkite-agent oidc request-token` does. The access token goes to this one address and nowhere
/// else.
pub(super) async fn request(
    transport: &Transport,
    endpoint: &str,
    job: &str,
    token: &Secret,
) -> Result<Secret, SignError> {
    let refused = |what: &str| SignError::ServiceMalformed {
        service: Service::IdentityProvider,
        url: "BUILDKITE_AGENT_ENDPOINT".to_owned(),
        what: what.to_owned(),
    };
    let url = address(endpoint, job).ok_or_else(|| refused("it is neither https nor http to a loopback address"))?;
    let mut authorization = HeaderValue::from_str(&format!("Token {}", token.expose()))
        .map_err(|_| refused("the access token holds characters that no header can carry"))?;
    authorization.set_sensitive(true);
    let body = serde_json::json!({ "audience": AUDIENCE }).to_string();
    let urls = [url];
    let call = Call { service: Service::IdentityProvider, urls: &urls, conflict_is_answer: false, until: None };
    let answer = transport
        .send(&call, &mut Attempts::default(), |client, url| {
            client
                .post(url.clone())
                .header(AUTHORIZATION, authorization.clone())
                .header("content-type", "application/json")
                .header("accept", "application/json")
                .body(body.clone())
        })
        .await?;
    let from = answer.from;
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| from.malformed("no token in the answer"))?;
    Ok(Secret::new(answer.token))
}

fn address(endpoint: &str, job: &str) -> Option<Url> {
    let mut url = safe_url(endpoint)?;
    url.set_query(None);
    url.path_segments_mut().ok()?.pop_if_empty().extend(["jobs", job, "oidc", "tokens"]);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_one_part_of_the_address_whatever_its_name() {
        let table = [
            (ENDPOINT, "0190-aa", Some("https://agent.buildkite.com/v3/jobs/0190-aa/oidc/tokens")),
            ("https://x/", "j", Some("https://x/jobs/j/oidc/tokens")),
            ("https://x/v3/", "../../a?b", Some("https://x/v3/jobs/..%2F..%2Fa%3Fb/oidc/tokens")),
            ("http://x/v3", "j", None),
            ("https://user:pass@x/v3", "j", None),
        ];
        for (endpoint, job, expected) in table {
            assert_eq!(address(endpoint, job).as_ref().map(Url::as_str), expected, "{endpoint} {job}");
        }
    }
}
