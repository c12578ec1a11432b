//! The operator's list of galleries: the one place where trust in a gallery is stated.

use std::collections::BTreeMap;
use std::path::Path;

use countersign_policy::{GalleryBlock, Policy, PolicyError};
use serde::{Deserialize, Deserializer};

use crate::name::GalleryName;

/// The galleries of one config file, in its order.
#[derive(Clone, Debug)]
pub struct Config {
    galleries: Vec<Gallery>,
}

/// One gallery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gallery {
    /// Its name.
    pub name: GalleryName,
    /// Where its index is.
    pub url: String,
    /// Other places of the same index, asked in this order when the ones before cannot be reached.
    pub mirrors: Vec<String>,
    /// What its images must satisfy.
    pub trust: GalleryTrust,
    /// For a registry host that entries name, the `host[:port]` to connect to, with `http://` or `https://` where that matters.
    pub hosts: BTreeMap<String, String>,
    /// Whether digests of the index count as integrity although the index is not signed.
    pub trust_index_digests: bool,
}

/// What the operator says about a gallery's images.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum GalleryTrust {
    /// Nothing: nothing is installed from it.
    Unstated,
    /// They are installed unverified, with a warning.
    Unverified,
    /// They must satisfy this policy.
    Verified(Box<Policy>),
}

/// Why a config was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A gallery has a policy and says at the same time that it needs none.
    #[error("{origin}: gallery {gallery} has both `verification` and `unverified`")]
    Contradiction {
        /// The config.
        origin: String,
        /// The gallery.
        gallery: GalleryName,
    },
    /// The document is refused.
    #[error("the gallery config is refused")]
    Document(#[source] Box<PolicyError>),
    /// Two galleries have the same name.
    #[error("{origin}: two galleries are named {gallery}")]
    DuplicateName {
        /// The config.
        origin: String,
        /// The name.
        gallery: GalleryName,
    },
    /// The list has no gallery.
    #[error("{origin}: no gallery is listed")]
    Empty {
        /// The config.
        origin: String,
    },
    /// A mapped host is not `host[:port]`.
    #[error("{origin}: gallery {gallery}: host {host:?} is not host[:port]")]
    Host {
        /// The config.
        origin: String,
        /// The gallery.
        gallery: GalleryName,
        /// The text.
        host: String,
    },
    /// A gallery's policy is refused.
    #[error("{origin}: the verification block of gallery {gallery} is refused")]
    Policy {
        /// The config.
        origin: String,
        /// The gallery.
        gallery: GalleryName,
        /// What is wrong with it.
        #[source]
        source: Box<PolicyError>,
    },
}

impl ConfigError {
    /// A stable name for the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Contradiction { .. } => "gallery-contradiction",
            Self::Document(source) | Self::Policy { source, .. } => source.code(),
            Self::DuplicateName { .. } => "duplicate-gallery",
            Self::Empty { .. } => "no-galleries",
            Self::Host { .. } => "malformed-host",
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Contradiction { .. } => {
                Some("a rejected signature is final: leave out `unverified`, or the policy".to_owned())
            }
            Self::Document(source) | Self::Policy { source, .. } => source.hint(),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a gallery: a mapping with `name` and `url`")]
struct GalleryDocument {
    name: GalleryName,
    url: String,
    #[serde(default, deserialize_with = "present")]
    mirrors: Option<Vec<String>>,
    #[serde(default, deserialize_with = "GalleryBlock::present")]
    verification: Option<GalleryBlock>,
    #[serde(default, deserialize_with = "present")]
    unverified: Option<Unverified>,
    #[serde(default, deserialize_with = "present")]
    hosts: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "present")]
    trust_index_digests: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unverified {
    Warn,
}

impl Config {
    /// Reads a list of galleries in YAML or JSON; `origin` names the text in errors.
    ///
    /// Refuses unknown and duplicate keys, empty values, anchors, aliases, merges, tags, a second document, more than
    /// 256 KiB, and every policy that could not be used. A mistake in one gallery refuses the whole config: a gallery that
    /// silently fell away would hand its names to the next one.
    pub fn from_yaml(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let documents: Vec<GalleryDocument> =
            countersign_policy::yaml::from_str(origin, text).map_err(|error| ConfigError::Document(Box::new(error)))?;
        let mut galleries: Vec<Gallery> = Vec::with_capacity(documents.len());
        for document in documents {
            let gallery = document.into_gallery(origin)?;
            if galleries.iter().any(|other| other.name == gallery.name) {
                return Err(ConfigError::DuplicateName { origin: origin.to_owned(), gallery: gallery.name });
            }
            galleries.push(gallery);
        }
        if galleries.is_empty() {
            return Err(ConfigError::Empty { origin: origin.to_owned() });
        }
        Ok(Self { galleries })
    }

    /// Takes relative paths of indexes as beginning at a folder: the one that the config lies in.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        for gallery in &mut self.galleries {
            for place in std::iter::once(&mut gallery.url).chain(&mut gallery.mirrors) {
                let is_path = !place.is_empty() && !place.contains("://") && !place.starts_with("github:");
                if let Some(joined) = folder.join(&*place).to_str().filter(|_| is_path) {
                    *place = joined.to_owned();
                }
            }
        }
        self
    }

    /// Connects to `address` where an entry of any gallery names `host`, unless the gallery itself says where.
    pub fn map_host(&mut self, host: &str, address: &str) {
        for gallery in &mut self.galleries {
            gallery.hosts.entry(host.to_owned()).or_insert_with(|| address.to_owned());
        }
    }

    /// The galleries, in the config's order.
    #[must_use]
    pub fn galleries(&self) -> &[Gallery] {
        &self.galleries
    }
}

impl GalleryDocument {
    fn into_gallery(self, origin: &str) -> Result<Gallery, ConfigError> {
        let Self { name, url, mirrors, verification, unverified, hosts, trust_index_digests } = self;
        let trust = match (verification, unverified) {
            (None, None) => GalleryTrust::Unstated,
            (None, Some(Unverified::Warn)) => GalleryTrust::Unverified,
            (Some(block), None) => match Policy::from_gallery_block(origin, &block) {
                Ok(policy) => GalleryTrust::Verified(Box::new(policy)),
                Err(source) => {
                    let (origin, gallery) = (origin.to_owned(), name);
                    return Err(ConfigError::Policy { origin, gallery, source: Box::new(source) });
                }
            },
            // A rejected signature is final, so `unverified` could only be read as a wish that is not granted.
            (Some(_), Some(_)) => return Err(ConfigError::Contradiction { origin: origin.to_owned(), gallery: name }),
        };
        let hosts = hosts.unwrap_or_default();
        let addresses = hosts.values().map(|to| to.trim_start_matches("http://").trim_start_matches("https://"));
        if let Some(host) = hosts.keys().map(String::as_str).chain(addresses).find(|host| !is_host(host)) {
            let host = host.to_owned();
            return Err(ConfigError::Host { origin: origin.to_owned(), gallery: name, host });
        }
        let mirrors = mirrors.unwrap_or_default();
        let trust_index_digests = trust_index_digests.unwrap_or(false);
        Ok(Gallery { name, url, mirrors, trust, hosts, trust_index_digests })
    }
}

/// Reads a key that may be absent, but not empty: `null` would otherwise read as absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || (c == ':' && text.starts_with('['));
    !name.is_empty() && name.chars().all(fits) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "
- name: localai
  url: https://index.localai.io/backends
  mirrors: ['github:mudler/LocalAI/backend/index.yaml@master']
  verification:
    issuer: https://token.actions.githubusercontent.com
    identity: https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main
    github:
      repository: octo/app
  hosts:
    quay.io: 127.0.0.1:5000
";

    fn refusal(text: &str) -> ConfigError {
        Config::from_yaml("galleries.yaml", text).unwrap_err()
    }

    #[test]
    fn a_gallery_states_its_trust() {
        let config = Config::from_yaml("galleries.yaml", SIGNED).unwrap();
        let [gallery] = config.galleries() else { panic!("one gallery") };
        assert!(matches!(gallery.trust, GalleryTrust::Verified(_)));
        assert_eq!(gallery.hosts["quay.io"], "127.0.0.1:5000");
        assert!(!gallery.trust_index_digests);

        let warn = "[{\"name\": \"a\", \"url\": \"x\", \"unverified\": \"warn\"}, {\"name\": \"b\", \"url\": \"y\"}]";
        let config = Config::from_yaml("galleries.json", warn).unwrap();
        assert!(matches!(config.galleries()[0].trust, GalleryTrust::Unverified));
        assert!(matches!(config.galleries()[1].trust, GalleryTrust::Unstated));
    }

    #[test]
    fn a_key_that_nobody_reads_is_refused_with_its_place() {
        for text in [
            "- {name: a, url: x, verifcation: {}}",
            "- {name: a, url: x, Unverified: warn}",
            &SIGNED.replace("identity:", "identityRegex:"),
            &SIGNED.replace("issuer:", "not_befor: 2026-01-01T00:00:00Z\n    issuer:"),
        ] {
            let error = refusal(text);
            let ConfigError::Document(source) = &error else { panic!("{error:?}") };
            assert!(matches!(**source, PolicyError::UnknownKey { .. }), "{source:?}");
            assert!(source.to_string().starts_with("galleries.yaml:"), "{source}");
        }
    }

    #[test]
    fn an_empty_block_is_never_no_block() {
        for block in [
            "verification:",
            "verification: ~",
            "verification: null",
            "unverified:",
            "mirrors:",
            "hosts: ~",
            "trust_index_digests:",
        ] {
            let error = refusal(&format!("- name: a\n  url: x\n  {block}\n"));
            assert!(matches!(&error, ConfigError::Document(_)), "{block}: {error:?}");
        }
        assert!(matches!(refusal("- name: a\n  url: x\n  verification: {}\n"), ConfigError::Policy { .. }));
    }

    #[test]
    fn documents_that_hide_what_they_say_are_refused() {
        for text in [
            "",
            "# nothing\n",
            "null",
            "[]",
            "name: a",
            "- &a {name: a, url: x}\n- *a",
            "- &a {name: a, url: x}\n- {<<: *a, name: b}",
            "- {name: a, url: x, url: y}",
            "- {name: a, url: !!str x}",
            "- {name: a, url: x}\n---\n- {name: b, url: y}",
            "\u{feff}- {name: a, url: x}",
            "- {name: ../a, url: x}",
            "- {url: x}",
            "- {name: a}",
            "- ~",
            "- {name: a, url: [x]}",
            "- {name: a, url: x, unverified: maybe}",
            "- {name: a, url: x, unverified: true}",
            "- {name: a, url: x, trust_index_digests: yes please}",
            "- {name: a, url: x",
        ] {
            refusal(text);
        }
        assert!(matches!(
            refusal(&format!("- {{name: a, url: x}} #{}", "x".repeat(256 * 1024))),
            ConfigError::Document(_)
        ));
        assert!(matches!(refusal(&"[".repeat(5000)), ConfigError::Document(_)));
    }

    #[test]
    fn names_and_hosts_leave_no_doubt() {
        assert!(matches!(refusal("[{name: a, url: x}, {name: a, url: y}]"), ConfigError::DuplicateName { .. }));
        for host in ["ftp://x", "http://x/y", "a/b", "a:b", "a:0", "a:70000", "", "a b", "user@a"] {
            let text = format!("[{{name: a, url: x, hosts: {{quay.io: \"{host}\"}}}}]");
            assert!(matches!(refusal(&text), ConfigError::Host { .. }), "{host:?}");
        }
        assert!(is_host("[::1]:5000") && is_host("a") && is_host("a.example:5000"));
    }

    #[test]
    fn relative_paths_begin_at_the_configs_folder() {
        let text = "[{name: a, url: index.yaml, mirrors: [/srv/i.yaml, 'https://x/y', 'github:o/r/f@m', 'file:///z']}]";
        let config = Config::from_yaml("c", text).unwrap().relative_to(Path::new("/etc/countersign"));
        let gallery = &config.galleries()[0];
        assert_eq!(gallery.url, "/etc/countersign/index.yaml");
        assert_eq!(gallery.mirrors, ["/srv/i.yaml", "https://x/y", "github:o/r/f@m", "file:///z"]);
    }

    #[test]
    fn a_policy_beside_unverified_is_a_contradiction() {
        let error = refusal(&format!("{SIGNED}  unverified: warn\n"));
        assert!(matches!(error, ConfigError::Contradiction { .. }), "{error:?}");
    }
}
