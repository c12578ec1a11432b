//! The TUF repository, read by the Rust Sigstore library's own client.

use jiff::SignedDuration;
use sandbox::{RekorVersion, Sandbox};
use sigstore_trust_root::{SigningConfig, TrustedRoot, TufBootstrap, TufConfig};

use crate::support::*;

fn config(sandbox: &Sandbox, root: &[u8]) -> TufConfig {
    crate::bundle::provider();
    TufConfig::custom(sandbox.tuf_url(), TufBootstrap::trusted(root)).without_cache().with_http_client(http().clone())
}

#[tokio::test]
async fn a_client_gets_trusted_root_and_signing_config() {
    let sandbox = start();
    let root = TrustedRoot::from_tuf(config(&sandbox, &sandbox.tuf_root())).await.unwrap();
    let written = TrustedRoot::from_json(sandbox.trusted_root()).unwrap();
    assert_eq!(root.fulcio_certs(), written.fulcio_certs());
    let signing = SigningConfig::from_tuf(config(&sandbox, &sandbox.tuf_root())).await.unwrap();
    assert_eq!(signing.rekor_url(None).unwrap().url, sandbox.rekor_v1_url());
    assert_eq!(signing.fulcio_url().unwrap().url, sandbox.fulcio_url());
    assert_eq!(signing.tsa_url().unwrap().url, sandbox.tsa_url());
    let asked: Vec<_> = sandbox.requests().into_iter().map(|request| (request.path, request.status)).collect();
    assert!(asked.contains(&("/2.root.json".to_owned(), 404)));
    assert!(asked.contains(&("/timestamp.json".to_owned(), 200)));
}

#[tokio::test]
async fn the_root_of_another_sandbox_is_no_way_in() {
    let sandbox = start();
    assert!(TrustedRoot::from_tuf(config(&sandbox, &start().tuf_root())).await.is_err());
}

#[tokio::test]
async fn expired_metadata_is_refused() {
    let sandbox = start_with(|options| options.tuf_lifetime = SignedDuration::from_hours(-1));
    assert!(TrustedRoot::from_tuf(config(&sandbox, &sandbox.tuf_root())).await.is_err());
}

#[tokio::test]
async fn the_trust_files_are_what_the_services_serve() {
    let sandbox = start();
    let dir = tempfile::tempdir().unwrap();
    let files = sandbox.write_trust(&dir.path().join("trust")).unwrap();
    let served = get(&format!("{}/1.root.json", sandbox.tuf_url())).await.bytes().await.unwrap();
    assert_eq!(std::fs::read(&files.tuf_root).unwrap(), served);
    assert_eq!(std::fs::read_to_string(&files.trusted_root).unwrap(), sandbox.trusted_root());
    for (rekor, url) in [(RekorVersion::V1, sandbox.rekor_v1_url()), (RekorVersion::V2, sandbox.rekor_v2_url())] {
        let config = SigningConfig::from_file(files.signing_config(rekor)).unwrap();
        assert_eq!(config.rekor_url(None).unwrap().url, url);
    }
}
