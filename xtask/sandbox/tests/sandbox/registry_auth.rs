//! Credentials: basic, and tokens of the token endpoint.

use jiff::SignedDuration;
use reqwest::Response;
use sandbox::{Auth, Sandbox, digest_of};
use serde_json::Value;

use crate::registry::url;
use crate::support::*;

fn bearer() -> Auth {
    Auth::Bearer { user: "mona".to_owned(), password: "secret".to_owned() }
}

async fn read(sandbox: &Sandbox, token: &str) -> Response {
    http().get(url(sandbox, "octo/app/tags/list")).bearer_auth(token).send().await.unwrap()
}

async fn write(sandbox: &Sandbox, token: &str) -> Response {
    let path = format!("octo/app/blobs/uploads/?digest={}", digest_of(b"blob"));
    http().post(url(sandbox, &path)).bearer_auth(token).body("blob").send().await.unwrap()
}

fn token_url(sandbox: &Sandbox, scope: &str) -> String {
    format!("{}/token?service={}&scope={scope}", sandbox.registry().url(), sandbox.registry().host())
}

async fn token(sandbox: &Sandbox, scope: &str) -> String {
    let request = http().get(token_url(sandbox, scope)).basic_auth("mona", Some("secret"));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], 300);
    answer["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn basic_credentials_are_asked_for_and_checked() {
    let auth = Auth::Basic { user: "mona".to_owned(), password: "secret".to_owned() };
    let sandbox = start_with(|options| options.auth = auth);
    let ping = url(&sandbox, "");
    let refused = get(&ping).await;
    assert_eq!(refused.status(), 401);
    assert!(header(&refused, "www-authenticate").starts_with("Basic realm="));
    let wrong = http().get(&ping).basic_auth("mona", Some("guess")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let right = http().get(&ping).basic_auth("mona", Some("secret")).send().await.unwrap();
    assert_eq!(right.status(), 200);
    sandbox.registry().set_anonymous_pull(true);
    sandbox.registry().put_blob("octo/app", "{}");
    assert_eq!(get(&url(&sandbox, "octo/app/tags/list")).await.status(), 200);
    let pushed = http().post(url(&sandbox, "octo/app/blobs/uploads/")).send().await.unwrap();
    assert_eq!(pushed.status(), 401);
}

#[tokio::test]
async fn the_challenge_names_realm_service_and_scope() {
    let sandbox = start_with(|options| options.auth = bearer());
    let host = sandbox.registry().host();
    let ping = get(&url(&sandbox, "")).await;
    assert_eq!(header(&ping, "www-authenticate"), format!("Bearer realm=\"http://{host}/token\",service=\"{host}\""));
    let read = get(&url(&sandbox, "octo/app/tags/list")).await;
    assert!(header(&read, "www-authenticate").ends_with(",scope=\"repository:octo/app:pull\""));
    let write = http().post(url(&sandbox, "octo/app/blobs/uploads/")).send().await.unwrap();
    assert!(header(&write, "www-authenticate").ends_with(",scope=\"repository:octo/app:pull,push\""));
}

#[tokio::test]
async fn a_token_opens_its_scope_and_no_other() {
    let sandbox = start_with(|options| options.auth = bearer());
    sandbox.registry().put_blob("octo/app", "{}");
    let reader = token(&sandbox, "repository:octo/app:pull").await;
    assert_eq!(read(&sandbox, &reader).await.status(), 200);
    let refused = write(&sandbox, &reader).await;
    assert_eq!(refused.status(), 401);
    assert!(header(&refused, "www-authenticate").ends_with("error=\"insufficient_scope\""));
    let writer = token(&sandbox, "repository:octo/app:pull,push").await;
    assert_eq!(write(&sandbox, &writer).await.status(), 201);
    let stranger = token(&sandbox, "repository:octo/other:pull,push").await;
    assert_eq!(read(&sandbox, &stranger).await.status(), 401);
    let junk = read(&sandbox, "junk").await;
    assert!(header(&junk, "www-authenticate").ends_with("error=\"invalid_token\""));
}

#[tokio::test]
async fn a_token_expires_and_is_revoked() {
    let sandbox = start_with(|options| options.auth = bearer());
    sandbox.registry().put_blob("octo/app", "{}");
    let revoked = token(&sandbox, "repository:octo/app:pull").await;
    sandbox.registry().revoke_tokens();
    assert_eq!(read(&sandbox, &revoked).await.status(), 401);
    sandbox.registry().set_token_lifetime(SignedDuration::ZERO);
    let request = http().get(token_url(&sandbox, "repository:octo/app:pull")).basic_auth("mona", Some("secret"));
    let expired: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(read(&sandbox, expired["token"].as_str().unwrap()).await.status(), 401);
}

#[tokio::test]
async fn the_token_endpoint_refuses_wrong_passwords_and_strangers() {
    let sandbox = start_with(|options| options.auth = bearer());
    let url = token_url(&sandbox, "repository:octo/app:pull");
    assert_eq!(get(&url).await.status(), 401);
    assert_eq!(http().get(&url).basic_auth("mona", Some("guess")).send().await.unwrap().status(), 401);
    let form = "grant_type=password&username=mona&password=secret&scope=repository:octo/app:pull";
    let post = http().post(format!("{}/token", sandbox.registry().url())).body(form).send().await.unwrap();
    assert_eq!(post.status(), 200);
    sandbox.registry().set_auth(Auth::None);
    assert_eq!(get(&url).await.status(), 404);
}

#[tokio::test]
async fn an_anonymous_token_reads_and_does_not_write() {
    let sandbox = start_with(|options| {
        options.auth = bearer();
        options.anonymous_pull = true;
    });
    sandbox.registry().put_blob("octo/app", "{}");
    assert_eq!(get(&url(&sandbox, "octo/app/tags/list")).await.status(), 401, "even readers fetch a token");
    let answer: Value = get(&token_url(&sandbox, "repository:octo/app:pull,push")).await.json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    assert_eq!(read(&sandbox, token).await.status(), 200);
    assert_eq!(write(&sandbox, token).await.status(), 401);
}

#[tokio::test]
async fn a_mount_from_a_repository_that_the_token_does_not_open_becomes_an_upload() {
    let sandbox = start_with(|options| options.auth = bearer());
    let digest = sandbox.registry().put_blob("octo/base", "blob");
    let path = format!("octo/app/blobs/uploads/?mount={digest}&from=octo/base");
    for (scope, expected) in
        [("repository:octo/app:pull,push", 202), ("repository:octo/app:pull,push&scope=repository:octo/base:pull", 201)]
    {
        let token = token(&sandbox, scope).await;
        let response = http().post(url(&sandbox, &path)).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), expected);
    }
}
