use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::docker_config::CredentialsError;
use super::helper::{CredentialHelper, Helper, RunHelper};
use crate::Secret;

/// What a registry is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing, although something more general would apply.
    Anonymous,
    /// A user name and a password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that is sent to the registry as it is.
    BearerToken(Secret),
    /// A token that the registry's token server exchanges for others.
    IdentityToken(Secret),
}

impl Credential {
    /// What of it is secret, as it is and as it is sent.
    fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
                vec![password.clone(), Secret::new(STANDARD.encode(pair.as_bytes()))]
            }
            Self::BearerToken(secret) | Self::IdentityToken(secret) => vec![secret.clone()],
        }
    }
}

/// Credentials by registry, in memory: made by the caller of flags and files, never read from anywhere by this crate.
///
/// The key is the exact registry host with its port; `docker.io`, `index.docker.io`, `registry-1.docker.io` and
/// `https://index.docker.io/v1/` are one. A key may go on with the start of a repository path, as files of the
/// containers tools have it; of one file, the longest one that fits counts, then a helper, then the bare host.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// In the order in which they are believed: flags, then one file after the other.
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, Default)]
struct Layer {
    entries: BTreeMap<String, Entry>,
    /// By registry.
    helpers: BTreeMap<String, Helper>,
    /// For every registry.
    store: Option<Helper>,
}

#[derive(Clone, Debug)]
struct Entry {
    credential: Credential,
    origin: String,
}

/// Credentials that apply to a repository.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) key: String,
    pub(crate) credential: Credential,
    pub(crate) origin: String,
}

/// Where credentials for a repository may be, one place after the other.
pub(super) enum Candidate<'a> {
    Helper(&'a Helper),
    Known(Found),
}

impl Credentials {
    /// Starts without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds credentials; `origin` says in messages where they came from. What is there already stays.
    pub fn add(&mut self, registry: &str, credential: Credential, origin: impl Into<String>) {
        let entry = Entry { credential, origin: origin.into() };
        self.last().entries.entry(canonical_key(registry)).or_insert(entry);
    }

    /// Every secret in memory, as it is and as it is sent, whomever it is for: no server's words are shown with one of them in it.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let kept = self.layers.iter().flat_map(|layer| layer.entries.values()).map(|entry| entry.credential.clone());
        let helpers = self.layers.iter().flat_map(|layer| layer.helpers.values().chain(&layer.store));
        kept.chain(helpers.flat_map(Helper::known)).flat_map(|credential| credential.secrets()).collect()
    }

    /// Adds a helper; `run` runs it, on a thread where it may take its time, when its registry asks for credentials, and
    /// once for each. What is there already stays.
    pub fn add_helper(
        &mut self,
        helper: &CredentialHelper,
        run: RunHelper,
        origin: impl Into<String>,
    ) -> Result<(), CredentialsError> {
        let (registry, helper) = (helper.registry.as_deref(), Helper::new(helper, run, origin.into())?);
        let layer = self.last();
        match registry {
            Some(registry) => {
                layer.helpers.entry(canonical_key(registry)).or_insert(helper);
            }
            None => {
                layer.store.get_or_insert(helper);
            }
        }
        Ok(())
    }

    /// Adds everything that `other` has, to be believed after what this has.
    pub fn extend(&mut self, other: Self) {
        self.layers.extend(other.layers);
    }

    /// Returns whether there are none, helpers included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let empty = |layer: &Layer| layer.entries.is_empty() && layer.helpers.is_empty() && layer.store.is_none();
        self.layers.iter().all(empty)
    }

    /// Returns the registries and path prefixes that there are credentials for, with their origins; without what helpers
    /// may have.
    pub fn registries(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.layers.iter().flat_map(|layer| &layer.entries);
        entries.map(|(key, entry)| (key.as_str(), entry.origin.as_str()))
    }

    /// Returns where there may be something for `path` at `registry`, the most believed first.
    pub(super) fn candidates(&self, registry: &str, path: &str) -> Vec<Candidate<'_>> {
        let host = canonical_key(registry);
        self.layers.iter().flat_map(|layer| layer.candidates(&host, path)).collect()
    }

    fn last(&mut self) -> &mut Layer {
        if self.layers.is_empty() {
            self.layers.push(Layer::default());
        }
        self.layers.last_mut().expect("one was pushed if there was none")
    }
}

impl Layer {
    fn candidates(&self, host: &str, path: &str) -> Vec<Candidate<'_>> {
        let mut found = Vec::new();
        let mut key = format!("{host}/{path}");
        while key.len() > host.len() {
            found.extend(self.known(&key));
            key.truncate(key.rfind('/').unwrap_or(host.len()));
        }
        found.extend(self.helpers.get(host).or(self.store.as_ref()).map(Candidate::Helper));
        found.extend(self.known(host));
        found
    }

    fn known(&self, key: &str) -> Option<Candidate<'_>> {
        let Entry { credential, origin } = self.entries.get(key)?;
        Some(Candidate::Known(Found { key: key.to_owned(), credential: credential.clone(), origin: origin.clone() }))
    }
}

/// Returns a key in the one form that is compared.
pub(crate) fn canonical_key(key: &str) -> String {
    let key = key.trim();
    let (bare, is_url) = match key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
        Some(rest) => (rest, true),
        None => (key, false),
    };
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_matches('/');
    let host = match host.to_ascii_lowercase().as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    };
    // Docker writes the version of its old API behind the host.
    if is_url || path.is_empty() || matches!(path, "v1" | "v2") { host } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Credential {
        Credential::BearerToken(Secret::new(text.to_owned()))
    }

    fn found(credentials: &Credentials, registry: &str, path: &str) -> Option<Credential> {
        credentials.candidates(registry, path).into_iter().find_map(|candidate| match candidate {
            Candidate::Known(found) => Some(found.credential),
            Candidate::Helper(_) => None,
        })
    }

    /// The places that are looked at, in order.
    fn order(credentials: &Credentials, registry: &str, path: &str) -> Vec<String> {
        let name = |candidate: &Candidate<'_>| match candidate {
            Candidate::Known(found) => found.key.clone(),
            Candidate::Helper(helper) => format!("helper {}", helper.name()),
        };
        credentials.candidates(registry, path).iter().map(name).collect()
    }

    fn add_helper(credentials: &mut Credentials, name: &str, registry: Option<&str>) {
        let helper = CredentialHelper { name: name.to_owned(), registry: registry.map(str::to_owned) };
        let run: RunHelper = std::sync::Arc::new(|_, _| panic!("it is not asked"));
        credentials.add_helper(&helper, run, "test").unwrap();
    }

    #[test]
    fn a_helper_stands_between_the_paths_and_the_host_of_its_file() {
        let mut credentials = Credentials::new();
        credentials.add("r.example", token("flag"), "--registry-token");
        let mut file = Credentials::new();
        file.add("quay.io", token("host"), "file");
        file.add("quay.io/octo", token("octo"), "file");
        add_helper(&mut file, "desktop", None);
        add_helper(&mut file, "gcloud", Some("https://gcr.io"));
        credentials.extend(file);
        let mut later = Credentials::new();
        later.add("quay.io/octo/app", token("later"), "later");
        credentials.extend(later);
        let quay = ["quay.io/octo", "helper desktop", "quay.io", "quay.io/octo/app"];
        assert_eq!(order(&credentials, "quay.io", "octo/app"), quay);
        assert_eq!(order(&credentials, "gcr.io", "octo/app"), ["helper gcloud"]);
        assert_eq!(order(&credentials, "r.example", "a"), ["r.example", "helper desktop"]);
    }

    #[test]
    fn the_names_of_docker_hub_are_one() {
        for name in ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"] {
            let mut credentials = Credentials::new();
            credentials.add(name, token("a"), "test");
            assert_eq!(found(&credentials, "docker.io", "library/app"), Some(token("a")), "{name}");
        }
    }

    #[test]
    fn a_look_alike_gets_nothing() {
        let mut credentials = Credentials::new();
        credentials.add("ghcr.io", token("a"), "test");
        credentials.add("docker.io", token("b"), "test");
        credentials.add("r.example:5000", token("c"), "test");
        for registry in [
            "ghcr.io:443",
            "ghcr.io.example",
            "x.ghcr.io",
            "docker.io.example",
            "hub.docker.io",
            "r.example",
            "r.example:5001",
        ] {
            assert_eq!(found(&credentials, registry, "a/b"), None, "{registry}");
        }
        assert_eq!(found(&credentials, "r.example:5000", "a/b"), Some(token("c")));
    }

    #[test]
    fn the_longest_path_counts_and_only_whole_components() {
        let mut credentials = Credentials::new();
        credentials.add("quay.io", token("host"), "test");
        credentials.add("quay.io/octo", token("octo"), "test");
        credentials.add("quay.io/octo/public", Credential::Anonymous, "test");
        assert_eq!(found(&credentials, "quay.io", "other/app"), Some(token("host")));
        assert_eq!(found(&credentials, "quay.io", "octo/app"), Some(token("octo")));
        assert_eq!(found(&credentials, "quay.io", "octopus/app"), Some(token("host")));
        assert_eq!(found(&credentials, "quay.io", "octo/public/x"), Some(Credential::Anonymous));
    }

    #[test]
    fn what_was_added_first_stays() {
        let mut credentials = Credentials::new();
        credentials.add("ghcr.io", token("flag"), "--registry-token");
        let mut file = Credentials::new();
        file.add("ghcr.io", token("file"), "config.json");
        file.add("quay.io", token("file"), "config.json");
        credentials.extend(file);
        assert_eq!(found(&credentials, "ghcr.io", "a"), Some(token("flag")));
        assert_eq!(found(&credentials, "quay.io", "a"), Some(token("file")));
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut credentials = Credentials::new();
        let password = Secret::new("canary-77".to_owned());
        credentials.add("ghcr.io", Credential::Basic { username: "octo".to_owned(), password }, "test");
        credentials.add("quay.io", token("canary-78"), "test");
        assert!(!format!("{credentials:?}").contains("canary"));
    }
}
