//! The trusted root from a TUF repository: cached, refreshed, and never made up.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_oci::http::{self, HttpOptions};
use countersign_verifier::trusted_root::{TrustCache, TrustSource, load, load_material};
use jiff::SignedDuration;
use sandbox::{Action, Fault, Options, Sandbox, Service};

use crate::world::now;

fn cache(folder: &Path) -> TrustCache {
    TrustCache { folder: Some(folder.to_path_buf()), http: http::client(&HttpOptions::default()).unwrap() }
}

fn source(sandbox: &Sandbox, folder: &Path) -> TrustSource {
    let root = folder.join("root.json");
    fs::write(&root, sandbox.tuf_root()).unwrap();
    TrustSource::Tuf { url: sandbox.tuf_url(), root }
}

#[tokio::test]
async fn a_fresh_cache_needs_no_request_and_an_old_one_is_refreshed() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (source(&sandbox, folder.path()), cache(folder.path()));
    load(&source, &cache, now()).await.unwrap();
    assert!(!sandbox.requests_of(Service::Tuf).is_empty());

    sandbox.clear_requests();
    load(&source, &cache, now()).await.unwrap();
    assert_eq!(sandbox.requests().len(), 0);
    load(&source, &cache, now() + SignedDuration::from_hours(25)).await.unwrap();
    assert!(!sandbox.requests().is_empty());
}

#[tokio::test]
async fn the_signing_config_comes_with_the_root() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let material = load_material(&source(&sandbox, folder.path()), &cache(folder.path()), now()).await.unwrap();
    assert!(material.signing_config.unwrap().contains(&sandbox.fulcio_url()));
}

#[tokio::test]
async fn an_outage_is_survived_while_the_cached_metadata_is_valid_and_is_not_remembered() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (source(&sandbox, folder.path()), cache(folder.path()));
    let later = now() + SignedDuration::from_hours(25);
    {
        let _outage = sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
        assert_eq!(load(&source, &cache, now()).await.unwrap_err().code(), "trusted-root-unavailable");
    }
    load(&source, &cache, now()).await.unwrap();
    let _outage = sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
    load(&source, &cache, later).await.unwrap();
    let expired = now() + SignedDuration::from_hours(24 * 365 * 20);
    assert_eq!(load(&source, &cache, expired).await.unwrap_err().code(), "trusted-root-unavailable");
}

#[tokio::test]
async fn a_repository_of_another_root_is_refused_and_leaves_nothing_to_believe() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let other = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.json");
    fs::write(&root, other.tuf_root()).unwrap();
    let source = TrustSource::Tuf { url: sandbox.tuf_url(), root };
    let cache = cache(folder.path());
    for _ in 0..2 {
        assert_eq!(load(&source, &cache, now()).await.unwrap_err().code(), "trusted-root-unavailable");
    }
}

#[tokio::test]
async fn a_damaged_cache_is_set_aside_and_as_good_as_none() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (source(&sandbox, folder.path()), cache(folder.path()));
    for damage in
        [&b"{}"[..], b"", b"{\"schema\":\"countersign.dev/tuf-repository/v1\",\"url\":\"x\",\"files\":{}}", b"\xff\xfe"]
    {
        load(&source, &cache, now()).await.unwrap();
        let path = cached_file(folder.path());
        fs::write(&path, damage).unwrap();
        sandbox.clear_requests();
        load(&source, &cache, now()).await.unwrap();
        assert!(!sandbox.requests().is_empty(), "nothing of it is used");
        assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), damage, "it is kept, for a person to look at");
        let _outage = sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
        assert!(load(&source, &cache, now()).await.is_ok(), "the refresh replaced what was damaged");
    }
}

#[tokio::test]
async fn a_trusted_root_file_is_read_with_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trusted_root.json");
    let cache = cache(folder.path());
    let missing = load(&TrustSource::File(path.clone()), &cache, now()).await.unwrap_err();
    assert_eq!(missing.code(), "trusted-root-unreadable");
    fs::write(&path, vec![b' '; 3 << 20]).unwrap();
    let large = load(&TrustSource::File(path), &cache, now()).await.unwrap_err();
    assert_eq!(large.code(), "trusted-root-malformed");
}

/// The one file that is kept of the one repository.
fn cached_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("tuf")).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "json")).unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn a_cached_file_that_never_ends_is_set_aside_and_not_read() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (source(&sandbox, folder.path()), cache(folder.path()));
    load(&source, &cache, now()).await.unwrap();
    let path = cached_file(folder.path());
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    load(&source, &cache, now()).await.unwrap();
    assert!(path.with_extension("damaged").symlink_metadata().unwrap().is_symlink());
    fs::File::create(&path).unwrap().set_len(20 << 30).unwrap();
    load(&source, &cache, now()).await.unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    load(&source, &cache, now()).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_costs_requests_and_nothing_else() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = source(&sandbox, folder.path());
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let mut cache = cache(&file);
    load(&source, &cache, now()).await.unwrap();
    cache.folder = Some("/proc/countersign".into());
    load(&source, &cache, now()).await.unwrap();
    cache.folder = None;
    load(&source, &cache, now()).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}
