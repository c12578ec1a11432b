//! A TUF repository that lies, is frozen, or is somebody else's; and a cache that somebody edited.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_oci::http::{self, HttpOptions};
use countersign_verifier::trusted_root::{
    Material, Refresh, TIME_TO_LIVE, TrustCache, TrustSource, import, load_with, repository_copy,
};
use countersign_verifier::{Error, TrustedRoot};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault, Options, Sandbox, Service, TufRole};
use serde_json::Value;

use crate::world::now;

const DAY: SignedDuration = SignedDuration::from_hours(24);

struct Client {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Client {
    fn new() -> Self {
        Self { sandbox: Sandbox::start(Options::default()).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// One that has a cached copy.
    async fn cached() -> Self {
        let client = Self::new();
        client.load(Refresh::default(), now()).await.unwrap();
        client
    }

    fn source(&self) -> TrustSource {
        let root = self.folder.path().join("root.json");
        if !root.exists() {
            fs::write(&root, self.sandbox.tuf_root()).unwrap();
        }
        TrustSource::Tuf { url: self.sandbox.tuf_url(), root }
    }

    fn cache(&self) -> TrustCache {
        cache(self.folder.path())
    }

    async fn load(&self, refresh: Refresh, now: Timestamp) -> Result<Material, Error> {
        load_with(&self.source(), &self.cache(), refresh, now).await
    }

    /// The code of the refusal when the repository is asked now.
    async fn refused(&self) -> &'static str {
        self.load(Refresh::Always, now()).await.unwrap_err().code()
    }

    fn cached_file(&self) -> PathBuf {
        let files = fs::read_dir(self.folder.path().join("tuf")).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "json")).unwrap()
    }

    fn edit_cache(&self, edit: impl Fn(&mut Value)) {
        let path = self.cached_file();
        let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut document);
        fs::write(&path, document.to_string()).unwrap();
    }

    /// Publishes a root that differs, and returns its text.
    fn publish_other(&self) -> String {
        let mut root: Value = serde_json::from_str(self.sandbox.trusted_root()).unwrap();
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = "2030-01-01T00:00:00Z".into();
        let text = root.to_string();
        self.sandbox.tuf().publish("trusted_root.json", text.clone());
        text
    }
}

fn cache(folder: &Path) -> TrustCache {
    TrustCache { folder: Some(folder.to_path_buf()), http: http::client(&HttpOptions::default()).unwrap() }
}

fn text(material: &Material) -> &str {
    material.trusted_root.json()
}

#[tokio::test]
async fn a_repository_rolled_back_to_an_older_state_is_refused_across_runs() {
    let client = Client::new();
    let old = client.sandbox.tuf().copy();
    let newer = client.publish_other();
    client.load(Refresh::Always, now()).await.unwrap();
    client.sandbox.tuf().serve(&old);
    assert_eq!(client.refused().await, "trusted-root-unavailable");
    // What was known stays known.
    let kept = client.load(Refresh::IfOlderThan(SignedDuration::ZERO), now()).await.unwrap();
    assert_eq!(text(&kept), newer);
    assert!(kept.repository.unwrap().outage.unwrap().contains("rollback"));
}

#[tokio::test]
async fn expired_metadata_of_any_role_is_refused_online_and_offline() {
    for role in TufRole::ALL {
        let client = Client::cached().await;
        client.sandbox.tuf().expire(role, now() + DAY);
        client.load(Refresh::Always, now()).await.unwrap();
        let (before, after) = (now() + DAY - SignedDuration::from_mins(5), now() + DAY + SignedDuration::from_mins(5));
        for refresh in [Refresh::Always, Refresh::Never, Refresh::default()] {
            assert!(client.load(refresh, before).await.is_ok(), "{role:?} {refresh:?}");
        }
        let code = |refresh| async move { client.load(refresh, after).await.unwrap_err().code() };
        assert_eq!(code(Refresh::Always).await, "trusted-root-unavailable", "{role:?}");
    }
    for role in TufRole::ALL {
        let client = Client::cached().await;
        client.sandbox.tuf().expire(role, now() + DAY);
        client.load(Refresh::Always, now()).await.unwrap();
        let offline = client.load(Refresh::Never, now() + DAY + DAY).await.unwrap_err();
        assert_eq!(offline.code(), "trusted-root-offline", "{role:?}");
        assert!(offline.to_string().contains("expired") && offline.hint().unwrap().contains("trust update"));
    }
}

#[tokio::test]
async fn offline_makes_no_request_whatever_the_age_of_the_cache() {
    let client = Client::cached().await;
    client.sandbox.clear_requests();
    for later in [SignedDuration::ZERO, TIME_TO_LIVE, 30 * DAY] {
        client.load(Refresh::Never, now() + later).await.unwrap();
    }
    let nothing_cached = TrustCache { folder: Some(client.folder.path().join("other")), ..client.cache() };
    let error = load_with(&client.source(), &nothing_cached, Refresh::Never, now()).await.unwrap_err();
    assert_eq!((error.code(), error.class().as_str()), ("trusted-root-offline", "unreachable"));
    let no_folder = TrustCache { folder: None, ..client.cache() };
    assert!(load_with(&client.source(), &no_folder, Refresh::Never, now()).await.is_err());
    assert_eq!(client.sandbox.requests().len(), 0);
}

#[tokio::test]
async fn a_root_stream_without_end_is_left_and_the_cached_copy_stays() {
    let client = Client::cached().await;
    client.sandbox.tuf().prolong_root(40);
    assert_eq!(client.refused().await, "trusted-root-unavailable");
    assert!(client.load(Refresh::Never, now()).await.is_ok());
    let client = Client::cached().await;
    for path in ["timestamp.json", "snapshot.json", "targets.json"] {
        client.publish_other();
        let _endless = client.sandbox.fault(Fault::new(Service::Tuf, Action::Endless).path(path));
        assert_eq!(client.refused().await, "trusted-root-unavailable", "{path}");
    }
    // One document that never ends, where there was none before: the limit of its role ends it.
    let body = vec![b' '; 4 << 20];
    let large = Action::Status { status: 200, body: String::from_utf8(body).unwrap(), headers: Vec::new() };
    let _large = client.sandbox.fault(Fault::new(Service::Tuf, large).path("2.root.json"));
    assert_eq!(client.refused().await, "trusted-root-unavailable");
    assert!(client.load(Refresh::default(), now() + 2 * DAY).await.is_ok(), "the cached copy is still good");
}

#[tokio::test]
async fn truncated_json_of_any_role_is_refused_without_a_panic_and_leaves_no_trace() {
    for path in ["timestamp.json", "snapshot.json", "targets.json", "trusted_root.json", "2.root.json"] {
        for keep in [0, 1, 30, 200] {
            let client = Client::cached().await;
            let other = client.publish_other();
            client.sandbox.tuf().rotate(&[TufRole::Root]);
            {
                let cut = Action::Edit(std::sync::Arc::new(move |body: &[u8]| body[..body.len().min(keep)].to_vec()));
                let _cut = client.sandbox.fault(Fault::new(Service::Tuf, cut).path(path));
                assert_eq!(client.refused().await, "trusted-root-unavailable", "{path} {keep}");
                let kept = client.load(Refresh::IfOlderThan(SignedDuration::ZERO), now()).await.unwrap();
                assert_eq!(text(&kept), client.sandbox.trusted_root(), "{path} {keep}: the old copy will do");
            }
            assert_eq!(text(&client.load(Refresh::Always, now()).await.unwrap()), other, "{path} {keep}");
        }
    }
}

#[tokio::test]
async fn a_bad_next_root_is_refused_and_not_believed_after_a_restart() {
    let client = Client::cached().await;
    let good = client.sandbox.tuf().copy();
    client.sandbox.tuf().forge_root();
    for _ in 0..2 {
        assert_eq!(client.refused().await, "trusted-root-unavailable");
    }
    // Nothing of it was kept: offline the old chain is whole, and online the good repository is taken.
    let state = client.load(Refresh::Never, now()).await.unwrap().repository.unwrap();
    assert_eq!(state.roles.iter().find(|role| role.name == "root").unwrap().version, 1);
    assert!(!fs::read_to_string(client.cached_file()).unwrap().contains("2.root.json"));
    client.sandbox.tuf().serve(&good);
    client.sandbox.tuf().rotate(&[TufRole::Root]);
    // The forged one had version 2 as well; what comes next in truth is another document of that version or a later
    // one.
    client.sandbox.tuf().serve(&good);
    assert!(client.load(Refresh::Always, now()).await.is_ok());
}

#[tokio::test]
async fn a_cached_trusted_root_that_was_edited_is_not_believed() {
    let client = Client::cached().await;
    let name = "targets/trusted_root.json";
    client.edit_cache(|cache| {
        let edited = cache["files"][name].as_str().unwrap().replacen("sandbox", "EVILBOX", 1);
        cache["files"][name] = edited.into();
    });
    assert_eq!(client.load(Refresh::Never, now()).await.unwrap_err().code(), "trusted-root-offline");
    let asked_again = client.load(Refresh::default(), now()).await.unwrap();
    assert_eq!(text(&asked_again), client.sandbox.trusted_root());
    assert!(client.load(Refresh::Never, now()).await.is_ok(), "the refresh replaced it");

    // Metadata that is edited to fit has a signature that does not.
    for role in ["targets.json", "snapshot.json", "timestamp.json"] {
        client.edit_cache(|cache| {
            let edited = cache["files"][role].as_str().unwrap().replacen("\"version\":1", "\"version\":2", 1);
            cache["files"][role] = edited.into();
        });
        let outcome = client.load(Refresh::Never, now()).await;
        assert_eq!(outcome.unwrap_err().code(), "trusted-root-offline", "{role}");
        client.load(Refresh::Always, now()).await.unwrap();
    }
}

#[tokio::test]
async fn another_repositorys_cache_and_first_root_put_in_place_are_not_believed() {
    let (client, evil) = (Client::cached().await, Client::cached().await);
    let stolen = fs::read_to_string(evil.cached_file()).unwrap();
    let stolen = stolen.replace(&evil.sandbox.tuf_url(), &client.sandbox.tuf_url());
    fs::write(client.cached_file(), stolen).unwrap();
    assert_eq!(client.load(Refresh::Never, now()).await.unwrap_err().code(), "trusted-root-offline");
    assert_eq!(text(&client.load(Refresh::default(), now()).await.unwrap()), client.sandbox.trusted_root());
}

#[tokio::test]
async fn no_credential_is_ever_shown_to_the_repository() {
    let client = Client::cached().await;
    client.publish_other();
    client.sandbox.tuf().rotate(&TufRole::ALL);
    client.load(Refresh::Always, now()).await.unwrap();
    let requests = client.sandbox.requests_of(Service::Tuf);
    assert!(requests.len() > 5);
    for request in requests {
        assert!(!request.authorized, "{}", request.path);
        assert!(!request.headers.contains_key("cookie") && !request.headers.contains_key("proxy-authorization"));
    }
}

#[tokio::test]
async fn a_redirect_of_the_repository_is_not_followed() {
    let (client, evil) = (Client::new(), Client::new());
    let to = format!("{}/timestamp.json", evil.sandbox.tuf_url());
    let _fault = client.sandbox.fault(Fault::new(Service::Tuf, Action::Redirect(to)).path("timestamp.json"));
    assert_eq!(client.refused().await, "trusted-root-unavailable");
    assert_eq!(evil.sandbox.requests().len(), 0);
}

#[tokio::test]
async fn an_arbitrary_fast_forward_is_recovered_from_by_new_keys() {
    let client = Client::cached().await;
    // Whoever has the keys of the online roles can freeze everybody at the highest version.
    for role in [TufRole::Snapshot, TufRole::Timestamp] {
        client.sandbox.tuf().set_version(role, (1 << 63) - 1);
    }
    client.load(Refresh::Always, now()).await.unwrap();
    for role in [TufRole::Snapshot, TufRole::Timestamp] {
        client.sandbox.tuf().set_version(role, 2);
    }
    assert_eq!(client.refused().await, "trusted-root-unavailable", "lower versions are a rollback");
    let newer = client.publish_other();
    client.sandbox.tuf().rotate(&[TufRole::Snapshot, TufRole::Timestamp]);
    assert_eq!(text(&client.load(Refresh::Always, now()).await.unwrap()), newer);
    assert_eq!(text(&client.load(Refresh::Never, now()).await.unwrap()), newer);
}

#[tokio::test]
async fn keys_that_a_new_root_took_away_sign_nothing_any_more() {
    let client = Client::cached().await;
    let old = client.sandbox.tuf().rotate(&TufRole::ALL);
    client.load(Refresh::Always, now()).await.unwrap();
    client.sandbox.tuf().sign_with(old.into_iter().filter(|(role, _)| *role != TufRole::Root).collect());
    client.publish_other();
    assert_eq!(client.refused().await, "trusted-root-unavailable");
    assert_eq!(text(&client.load(Refresh::Never, now()).await.unwrap()), client.sandbox.trusted_root());
}

#[tokio::test]
async fn a_chain_of_new_roots_is_walked_from_the_pinned_one_and_kept() {
    let client = Client::cached().await;
    for _ in 0..5 {
        client.sandbox.tuf().rotate(&TufRole::ALL);
    }
    let state = client.load(Refresh::Always, now()).await.unwrap().repository.unwrap();
    assert_eq!(state.roles[0].version, 6);
    client.sandbox.clear_requests();
    let offline = client.load(Refresh::Never, now()).await.unwrap().repository.unwrap();
    assert_eq!((offline.roles[0].version, client.sandbox.requests().len()), (6, 0));
}

#[tokio::test]
async fn a_copy_is_taken_over_where_it_verifies_from_the_pinned_root() {
    let client = Client::cached().await;
    let newer = client.publish_other();
    client.sandbox.tuf().rotate(&TufRole::ALL);
    let mirror = tempfile::tempdir().unwrap();
    client.sandbox.tuf().copy().write(mirror.path()).unwrap();
    let file = mirror.path().join("copy.json");
    let copy = repository_copy(&client.source(), &client.cache(), Refresh::Always, now()).await.unwrap();
    fs::write(&file, copy).unwrap();
    client.sandbox.clear_requests();
    for copy in [mirror.path(), &file] {
        let other_machine = cache(tempfile::tempdir().unwrap().keep().as_path());
        let taken = import(&client.source(), &other_machine, copy, now()).await.unwrap();
        assert_eq!(text(&taken), newer);
        assert!(taken.repository.unwrap().refreshed.is_none(), "nobody was asked");
        let offline = load_with(&client.source(), &other_machine, Refresh::Never, now()).await.unwrap();
        assert_eq!(text(&offline), newer);
        // It expires like what it is a copy of.
        let later = load_with(&client.source(), &other_machine, Refresh::Never, now() + 400 * DAY).await;
        assert_eq!(later.unwrap_err().code(), "trusted-root-offline");
    }
    assert_eq!(client.sandbox.requests().len(), 0);
}

#[tokio::test]
async fn a_copy_that_is_older_expired_another_repositorys_or_edited_is_not_taken_over() {
    let (client, evil) = (Client::cached().await, Client::cached().await);
    let refused = |client: &Client, copy: &Path, at| {
        let (source, cache, copy) = (client.source(), client.cache(), copy.to_owned());
        async move {
            let error = import(&source, &cache, &copy, at).await.unwrap_err();
            assert_eq!((error.code(), error.class().as_str()), ("trust-copy", "malformed"));
            error.to_string()
        }
    };
    let mirror = |client: &Client| {
        let folder = tempfile::tempdir().unwrap();
        client.sandbox.tuf().copy().write(folder.path()).unwrap();
        folder
    };
    let old = mirror(&client);
    client.publish_other();
    client.load(Refresh::Always, now()).await.unwrap();
    assert!(refused(&client, old.path(), now()).await.contains("rollback"));
    let good = mirror(&client);
    assert!(refused(&client, good.path(), now() + 400 * DAY).await.contains("expired"));
    refused(&client, mirror(&evil).path(), now()).await;
    let edited = mirror(&client);
    let timestamp = edited.path().join("timestamp.json");
    fs::write(&timestamp, fs::read_to_string(&timestamp).unwrap().replace("\"version\":2", "\"version\":9")).unwrap();
    refused(&client, edited.path(), now()).await;
    // A trusted root by itself has nobody who vouches for it.
    let bare = good.path().join("bare.json");
    fs::write(&bare, client.sandbox.trusted_root()).unwrap();
    assert!(refused(&client, &bare, now()).await.contains("by itself"));
    for (name, bytes) in [("empty", &b""[..]), ("list", b"[]"), ("tuf-root", &client.sandbox.tuf_root())] {
        let path = good.path().join(name);
        fs::write(&path, bytes).unwrap();
        refused(&client, &path, now()).await;
    }
    refused(&client, &good.path().join("absent"), now()).await;
    let file = import(&TrustSource::File(bare.clone()), &client.cache(), good.path(), now()).await.unwrap_err();
    assert_eq!(file.code(), "no-tuf-repository");
    // And none of this touched what was there.
    assert!(client.load(Refresh::Never, now()).await.is_ok());
}

#[tokio::test]
async fn a_target_that_is_no_trusted_root_is_refused_although_it_is_signed() {
    let client = Client::cached().await;
    for target in ["{}", "", "not json"] {
        client.sandbox.tuf().publish("trusted_root.json", target);
        assert_eq!(client.refused().await, "trusted-root-unavailable", "{target}");
    }
    assert!(TrustedRoot::from_json(client.sandbox.trusted_root(), "x").is_ok());
}
