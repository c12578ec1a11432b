use std::collections::BTreeMap;

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

/// Credentials by registry, in memory: made by the caller of flags and files, never read from anywhere by this crate.
///
/// The key is the exact registry host with its port; `docker.io`, `index.docker.io`, `registry-1.docker.io` and
/// `https://index.docker.io/v1/` are one. A key may go on with the start of a repository path, as files of the
/// containers tools have it; the longest one that fits counts.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    credential: Credential,
    origin: String,
}

/// Credentials that apply to a repository.
pub(crate) struct Found<'a> {
    pub(crate) key: &'a str,
    pub(crate) credential: &'a Credential,
    pub(crate) origin: &'a str,
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
        self.entries.entry(canonical_key(registry)).or_insert(entry);
    }

    /// Adds everything that `other` has and this has not.
    pub fn extend(&mut self, other: Self) {
        for (key, entry) in other.entries {
            self.entries.entry(key).or_insert(entry);
        }
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the registries and path prefixes that there are credentials for, with their origins.
    pub fn registries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry.origin.as_str()))
    }

    /// Returns what applies to `path` at `registry`: the longest key that is a whole prefix of both.
    pub(crate) fn find(&self, registry: &str, path: &str) -> Option<Found<'_>> {
        let mut key = format!("{}/{path}", canonical_key(registry));
        loop {
            if let Some((key, entry)) = self.entries.get_key_value(&key) {
                return Some(Found { key, credential: &entry.credential, origin: &entry.origin });
            }
            key.truncate(key.rfind('/')?);
        }
    }
}

/// Returns a key in the one form that is compared.
fn canonical_key(key: &str) -> String {
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
        credentials.find(registry, path).map(|found| found.credential.clone())
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
