//! The issuers, and the token route that jobs ask.

use sandbox::{GithubIdentity, Sandbox};
use serde_json::{Value, json};

use crate::support::*;

fn claims(token: &str) -> Value {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn variable(environment: &[(String, String)], name: &str) -> String {
    environment.iter().find(|(key, _)| key == name).unwrap().1.clone()
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let sandbox = start();
    for issuer in [sandbox.oidc_issuer(), sandbox.email_issuer()] {
        let url = format!("{issuer}/.well-known/openid-configuration");
        let configuration: Value = get(&url).await.json().await.unwrap();
        assert_eq!(configuration["issuer"], json!(issuer));
        assert_eq!(configuration["id_token_signing_alg_values_supported"], json!(["RS256"]));
        let keys: Value = get(configuration["jwks_uri"].as_str().unwrap()).await.json().await.unwrap();
        assert_eq!(keys["keys"][0]["kty"], "RSA");
        assert_eq!(keys["keys"][0]["e"], "AQAB");
    }
}

async fn ambient_token(sandbox: &Sandbox, query: &str) -> Value {
    let environment = sandbox.ambient(&GithubIdentity::default());
    let url = variable(&environment, "ACTIONS_ID_TOKEN_REQUEST_URL");
    let authorization = format!("bearer {}", variable(&environment, "ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
    let request = http().get(format!("{url}{query}")).header("authorization", authorization);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["count"], 1);
    claims(answer["value"].as_str().unwrap())
}

#[tokio::test]
async fn a_job_gets_a_token_for_the_audience_that_it_names() {
    let sandbox = start();
    let claims = ambient_token(&sandbox, "&audience=sigstore").await;
    assert_eq!(claims["aud"], "sigstore");
    assert_eq!(claims["iss"], json!(sandbox.oidc_issuer()));
    assert_eq!(claims["sub"], "repo:octo/app:ref:refs/heads/main");
    assert_eq!(claims["repository_id"], "1296269");
    assert!(claims.get("email").is_none());
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
}

#[tokio::test]
async fn a_job_that_names_no_audience_gets_a_token_that_fulcio_refuses() {
    let sandbox = start();
    assert_eq!(ambient_token(&sandbox, "").await["aud"], "https://github.com/octo");
}

#[tokio::test]
async fn a_stranger_gets_no_job_token() {
    let sandbox = start();
    let url = variable(&sandbox.ambient(&GithubIdentity::default()), "ACTIONS_ID_TOKEN_REQUEST_URL");
    assert_eq!(get(&url).await.status(), 401);
    let response = http().get(&url).bearer_auth("guess").send().await.unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn the_job_of_a_stranger_names_the_stranger() {
    let sandbox = start();
    let stranger = GithubIdentity {
        job_workflow_ref: GithubIdentity::default().job_workflow_ref,
        ..GithubIdentity::of("mallory/fork")
    };
    let claims = claims(&sandbox.github_token(&stranger));
    assert_eq!(claims["repository"], "mallory/fork");
    assert_eq!(claims["job_workflow_ref"], "octo/app/.github/workflows/release.yml@refs/heads/main");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let sandbox = start();
    assert_eq!(get(&format!("{}/nothing", sandbox.oidc_issuer())).await.status(), 404);
    assert_eq!(post(&format!("{}/keys", sandbox.oidc_issuer()), &json!({})).await.status(), 405);
}
