//! The protocol by which a GitHub Actions job gets its identity token.

use countersign_oci::Secret;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use url::Url;

use super::AUDIENCE;
use crate::error::SignError;
use crate::services::{Attempts, Call, Service, Transport, safe_url};

#[derive(Deserialize)]
struct Answer {
    value: String,
}

/// Asks for a token for the audience. The request token goes to this one address and nowhere else.
pub(super) async fn request(transport: &Transport, address: &str, token: &Secret) -> Result<Secret, SignError> {
    let refused = |what: &str| SignError::ServiceMalformed {
        service: Service::IdentityProvider,
        url: "ACTIONS_ID_TOKEN_REQUEST_URL".to_owned(),
        what: what.to_owned(),
    };
    let url = with_audience(address).ok_or_else(|| refused("it is neither https nor http to a loopback address"))?;
    let mut bearer = HeaderValue::from_str(&format!("bearer {}", token.expose()))
        .map_err(|_| refused("the request token holds characters that no header can carry"))?;
    bearer.set_sensitive(true);
    let urls = [url];
    let call = Call { service: Service::IdentityProvider, urls: &urls, conflict_is_answer: false, until: None };
    let answer = transport
        .send(&call, &mut Attempts::default(), |client, url| {
            client.get(url.clone()).header(AUTHORIZATION, bearer.clone()).header("accept", "application/json")
        })
        .await?;
    let from = answer.from;
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| from.malformed("no token in the answer"))?;
    Ok(Secret::new(answer.value))
}

/// Every other client appends `&audience=`, because the real address has a query; one without gets a correct one.
fn with_audience(address: &str) -> Option<Url> {
    let mut url = safe_url(address)?;
    url.query_pairs_mut().append_pair("audience", AUDIENCE);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_joins_the_query_that_is_there() {
        let table = [
            ("https://x/t?api-version=2.0", Some("https://x/t?api-version=2.0&audience=sigstore")),
            ("https://x/t", Some("https://x/t?audience=sigstore")),
            ("https://x/t?", Some("https://x/t?audience=sigstore")),
            ("http://127.0.0.1:1/t", Some("http://127.0.0.1:1/t?audience=sigstore")),
            ("http://x/t", None),
            ("file:///t", None),
            ("", None),
        ];
        for (address, expected) in table {
            let url = with_audience(address);
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{address}");
        }
    }
}
