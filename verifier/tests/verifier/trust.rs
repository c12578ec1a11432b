//! The trusted root from a TUF repository: cached, refreshed, and never made up.

use std::fs;
use std::path::Path;

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
async fn a_damaged_cache_is_as_good_as_none() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (source(&sandbox, folder.path()), cache(folder.path()));
    load(&source, &cache, now()).await.unwrap();
    let mut damaged = 0;
    let mut folders = vec![folder.path().join("tuf")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "refreshed-at") {
                fs::write(&path, b"{}").unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged >= 4, "{damaged} files");
    load(&source, &cache, now()).await.unwrap();
    let _outage = sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
    assert!(load(&source, &cache, now()).await.is_ok(), "the refresh replaced what was damaged");
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

fn cached_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("tuf")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[cfg(unix)]
#[tokio::test]
async fn cached_files_that_never_end_are_set_aside_and_not_read() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (source, cache) = (source(&sandbox, folder.path()), cache(folder.path()));
    load(&source, &cache, now()).await.unwrap();
    for path in cached_files(folder.path()) {
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        load(&source, &cache, now()).await.unwrap();
        let large = fs::File::create(&path);
        if let Ok(large) = large {
            large.set_len(20 << 30).unwrap();
            load(&source, &cache, now()).await.unwrap();
        }
    }
    let aside = fs::read_dir(folder.path().join("tuf")).unwrap().count();
    assert!(aside >= 2, "what was damaged is kept beside the cache");
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
