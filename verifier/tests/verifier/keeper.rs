//! A process that runs for weeks: it notices new keys, and outages do not stop it.

use std::fs;
use std::sync::Arc;

use countersign_oci::http::{self, HttpOptions};
use countersign_verifier::Verifier;
use countersign_verifier::trusted_root::{TrustCache, TrustKeeper, TrustSource};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault, Options, Sandbox, Service, TufRole};

use crate::epoch::{Epoch, GENERATIONS, both};
use crate::world::now;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn keeper(sandbox: &Sandbox, folder: &tempfile::TempDir, with_cache: bool) -> TrustKeeper {
    let root = folder.path().join("root.json");
    fs::write(&root, sandbox.tuf_root()).unwrap();
    let folder = with_cache.then(|| folder.path().to_path_buf());
    let cache = TrustCache { folder, http: http::client(&HttpOptions::default()).unwrap() };
    TrustKeeper::new(TrustSource::Tuf { url: sandbox.tuf_url(), root }, cache)
}

fn json(verifier: &Verifier) -> &str {
    verifier.trusted_root().json()
}

#[tokio::test]
async fn rotated_keys_of_all_services_are_noticed_by_a_process_that_runs() {
    let start = Timestamp::from_second(now().as_second()).unwrap();
    let old = Epoch::at(start - SignedDuration::from_hours(2)).await;
    let new = Epoch::at(start - SignedDuration::from_hours(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&old.sandbox, &folder, true);
    let before = keeper.verifier(start).await.unwrap();
    for rekor in GENERATIONS {
        assert_eq!(crate::world::outcome(&old.verdict(&before, rekor, start)).0, "verified");
        assert_eq!(crate::world::outcome(&new.verdict(&before, rekor, start)).0, "rejected");
    }
    old.sandbox.tuf().rotate(&TufRole::ALL);
    old.sandbox.tuf().publish("trusted_root.json", both(&old.root(), &new.root()).to_string());
    // Within the time to live nobody is asked.
    old.sandbox.clear_requests();
    let same = keeper.verifier(start + DAY - MINUTE).await.unwrap();
    assert!(Arc::ptr_eq(&before, &same) && old.sandbox.requests().is_empty());
    let after = keeper.verifier(start + DAY).await.unwrap();
    for rekor in GENERATIONS {
        assert_eq!(crate::world::outcome(&old.verdict(&after, rekor, start)).0, "verified");
        assert_eq!(crate::world::outcome(&new.verdict(&after, rekor, start)).0, "verified");
    }
    // Another day without news: asked, and the verifier stays the same one.
    let unchanged = keeper.verifier(start + DAY + DAY).await.unwrap();
    assert!(Arc::ptr_eq(&after, &unchanged));
}

#[tokio::test]
async fn an_outage_is_bridged_until_expiry_and_asked_again_after_growing_pauses() {
    for with_cache in [true, false] {
        let sandbox = Sandbox::start(Options { tuf_lifetime: 10 * DAY, ..Options::default() }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keeper = keeper(&sandbox, &folder, with_cache);
        let start = now();
        {
            let _outage = sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
            assert_eq!(keeper.verifier(start).await.unwrap_err().code(), "trusted-root-unavailable");
        }
        // The failure is not remembered: nothing was held, so the next caller asks.
        let first = keeper.verifier(start).await.unwrap();
        let outage = sandbox.fault(Fault::new(Service::Tuf, Action::status(503)));
        sandbox.clear_requests();
        let asked = |at| {
            let (keeper, sandbox, first) = (&keeper, &sandbox, &first);
            async move {
                let before = sandbox.requests().len();
                assert_eq!(json(&keeper.verifier(at).await.unwrap()), json(first));
                sandbox.requests().len() > before
            }
        };
        let later = start + DAY;
        assert!(asked(later).await, "the time to live is over");
        assert!(!asked(later + MINUTE - SignedDuration::from_secs(1)).await, "a minute's pause");
        assert!(asked(later + MINUTE).await);
        assert!(!asked(later + 2 * MINUTE).await, "two minutes' pause");
        assert!(asked(later + 3 * MINUTE).await);
        assert!(
            asked(later + DAY).await
                && !asked(later + DAY + 3 * MINUTE).await
                && asked(later + DAY + 61 * MINUTE).await
        );
        let expired = keeper.verifier(start + 11 * DAY).await.unwrap_err();
        assert_eq!(expired.code(), "trusted-root-unavailable", "nothing is handed out after expiry");
        drop(outage);
        sandbox.tuf().expire(TufRole::Timestamp, start + 30 * DAY);
        for role in [TufRole::Root, TufRole::Snapshot, TufRole::Targets] {
            sandbox.tuf().expire(role, start + 30 * DAY);
        }
        assert!(keeper.verifier(start + 11 * DAY).await.is_ok(), "and it recovers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_ask_once() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keeper = Arc::new(keeper(&sandbox, &folder, false));
    let start = now();
    let all = |at: Timestamp| {
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let keeper = Arc::clone(&keeper);
                tokio::spawn(async move { keeper.verifier(at).await.unwrap() })
            })
            .collect();
        async move {
            for task in tasks {
                task.await.unwrap();
            }
        }
    };
    all(start).await;
    let once = sandbox.requests_of(Service::Tuf).iter().filter(|request| request.path == "/timestamp.json").count();
    assert_eq!(once, 1);
    all(start + DAY).await;
    let twice = sandbox.requests_of(Service::Tuf).iter().filter(|request| request.path == "/timestamp.json").count();
    assert_eq!(twice, 2);
}

#[tokio::test]
async fn a_caller_that_gives_up_in_the_middle_stops_nobody() {
    let sandbox = Sandbox::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(&sandbox, &folder, true);
    {
        let _stall = sandbox.fault(Fault::new(Service::Tuf, Action::Stall));
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(200), keeper.verifier(now())).await;
        assert!(given_up.is_err());
    }
    assert!(keeper.verifier(now()).await.is_ok());
}

#[tokio::test]
async fn a_file_is_read_again_and_one_that_was_taken_away_is_believed_no_longer() {
    let (one, two) = (Sandbox::start(Options::default()).unwrap(), Sandbox::start(Options::default()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trusted_root.json");
    let cache = TrustCache { folder: None, http: http::client(&HttpOptions::default()).unwrap() };
    let keeper = TrustKeeper::new(TrustSource::File(path.clone()), cache);
    let start = now();
    assert_eq!(keeper.verifier(start).await.unwrap_err().code(), "trusted-root-unreadable");
    fs::write(&path, one.trusted_root()).unwrap();
    assert_eq!(json(&keeper.verifier(start).await.unwrap()), one.trusted_root());
    fs::write(&path, two.trusted_root()).unwrap();
    assert_eq!(json(&keeper.verifier(start).await.unwrap()), one.trusted_root());
    assert_eq!(json(&keeper.verifier(start + MINUTE).await.unwrap()), two.trusted_root());
    fs::write(&path, "{}").unwrap();
    assert_eq!(keeper.verifier(start + 2 * MINUTE).await.unwrap_err().code(), "trusted-root-malformed");
    fs::remove_file(&path).unwrap();
    assert_eq!(keeper.verifier(start + 10 * MINUTE).await.unwrap_err().code(), "trusted-root-unreadable");
}
