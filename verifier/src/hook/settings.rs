use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_oci::Repository;
use countersign_oci::http::{self, Proxies};
use countersign_policy::{GalleryBlock, Policy, PolicyError, yaml};
use jiff::SignedDuration;
use serde::Deserialize;

use super::prefix::{Prefix, PrefixError};
use crate::trusted_root::TrustSource;

/// What holds for the images of a node: read from one file, whole or not at all.
///
/// ```
/// use countersign_verifier::hook::{Rule, Settings};
///
/// let settings = Settings::from_yaml("/etc/countersign/containerd-hook.yaml", "
/// version: 1
/// default: refuse
/// rules:
///   registry.k8s.io: {allow: true}
///   ghcr.io/example: {policy: example.yaml}
/// ")?;
/// let ruling = settings.ruling(&"ghcr.io/example/app".parse()?);
/// assert!(matches!(ruling.rule, Some(Rule::Policy(_))));
/// assert!(settings.ruling(&"ghcr.io/example-evil/app".parse()?).rule.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// What holds for images that no rule is for.
    pub default: Unmatched,
    /// The trusted root of policies that name none.
    pub trust: TrustSource,
    /// Where TUF metadata is kept between calls.
    pub cache_dir: PathBuf,
    /// How registries are reached.
    pub registry: RegistrySettings,
    /// The time for one call, with everything.
    pub timeout: Duration,
    /// The folder that relative paths are beside.
    pub folder: PathBuf,
    rules: Vec<(Prefix, Rule)>,
}

/// What holds where no rule does. There is no third choice, and no silent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "`allow` or `refuse`")]
pub enum Unmatched {
    /// Such images are pulled without a look.
    Allow,
    /// Such images are not pulled.
    Refuse,
}

/// What holds for the repositories of one prefix.
#[derive(Debug, Clone)]
pub enum Rule {
    /// They are pulled without a look.
    Allow,
    /// They are pulled when they are signed as this policy wants it.
    Policy(PolicySource),
    /// They are not pulled.
    Refuse {
        /// What people are told.
        reason: String,
    },
}

/// Where a policy is written.
#[derive(Debug, Clone)]
pub enum PolicySource {
    /// In a file of its own.
    File(PathBuf),
    /// In the settings.
    Inline(Box<Policy>),
}

/// How registries are reached. Nothing of it comes from an environment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca: Vec<PathBuf>,
    /// A docker `config.json` with credentials.
    pub credentials: Option<PathBuf>,
    /// Where the signatures of a registry's images are read, by registry: `host[:port]`, or an address. What is asked for, and so what must
    /// have been signed, keeps its name.
    pub evidence_from: BTreeMap<String, String>,
    /// Registries that are spoken to in plain http where they do not answer over https.
    pub plain_http: Vec<String>,
    /// Proxies.
    pub proxies: Proxies,
}

/// The rule that holds for a repository.
#[derive(Debug, Clone, Copy)]
pub struct Ruling<'s> {
    /// The prefix that was matched.
    pub prefix: Option<&'s Prefix>,
    /// Its rule; without one, [`Settings::default`] holds.
    pub rule: Option<&'s Rule>,
}

impl Settings {
    /// Reads the settings. Relative paths in them are meant beside `path`; nothing is read from there.
    ///
    /// Unknown keys, keys without a value, a rule with two meanings or none, two prefixes that are the same, and a missing
    /// `default` are errors.
    pub fn from_yaml(path: impl AsRef<Path>, text: &str) -> Result<Self, SettingsError> {
        let path = path.as_ref();
        let origin = path.display().to_string();
        let document: Document = yaml::from_str(&origin, text).map_err(SettingsError::Document)?;
        if document.version != 1 {
            return Err(SettingsError::Version { origin, version: document.version });
        }
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let beside = |file: PathBuf| folder.join(file);
        let mut rules: Vec<(Prefix, Rule)> = Vec::new();
        for (text, rule) in document.rules {
            let prefix: Prefix =
                text.parse().map_err(|source| SettingsError::Prefix { origin: origin.clone(), source })?;
            if rules.iter().any(|(known, _)| *known == prefix) {
                return Err(SettingsError::SamePrefix { origin, prefix: prefix.to_string() });
            }
            let rule = rule.rule(&format!("{origin}: `rules.{text}`"), beside)?;
            rules.push((prefix, rule));
        }
        let timeout = match document.timeout {
            Some(text) => {
                seconds(&text).ok_or_else(|| SettingsError::Timeout { origin: origin.clone(), found: text })?
            }
            None => TIMEOUT,
        };
        Ok(Self {
            default: document.default,
            trust: document.trust.map_or(Ok(TrustSource::PublicGoodTuf), |trust| trust.source(&origin, beside))?,
            cache_dir: document.cache_dir.map_or_else(|| CACHE_DIR.into(), beside),
            registry: document.registry.unwrap_or_default().settings(beside),
            timeout,
            rules,
            folder: folder.clone(),
        })
    }

    /// Returns the rule for a repository: of the prefixes that cover it, the longest one's.
    #[must_use]
    pub fn ruling(&self, repository: &Repository) -> Ruling<'_> {
        let covering = self.rules.iter().filter(|(prefix, _)| prefix.covers(repository));
        match covering.max_by_key(|(prefix, _)| prefix.length()) {
            Some((prefix, rule)) => Ruling { prefix: Some(prefix), rule: Some(rule) },
            None => Ruling { prefix: None, rule: None },
        }
    }

    /// Returns every rule, by its prefix.
    pub fn rules(&self) -> impl Iterator<Item = (&Prefix, &Rule)> {
        self.rules.iter().map(|(prefix, rule)| (prefix, rule))
    }

    /// Whether a registry, or where its signatures are read, may be spoken to in plain http.
    #[must_use]
    pub fn allows_plain_http(&self, registry: &str) -> bool {
        let address = self.registry.evidence_from.get(registry).map_or(registry, String::as_str);
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        self.registry.plain_http.iter().any(|listed| listed.eq_ignore_ascii_case(address))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "settings: a mapping with `version`, `default` and `rules`")]
struct Document {
    version: u64,
    default: Unmatched,
    #[serde(default)]
    trust: Option<TrustDocument>,
    #[serde(default)]
    cache_dir: Option<PathBuf>,
    #[serde(default)]
    timeout: Option<String>,
    #[serde(default)]
    registry: Option<RegistryDocument>,
    #[serde(default)]
    rules: BTreeMap<String, RuleDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule: `policy`, `verification`, `allow` or `refuse`")]
struct RuleDocument {
    #[serde(default)]
    policy: Option<PathBuf>,
    #[serde(default, deserialize_with = "GalleryBlock::present")]
    verification: Option<GalleryBlock>,
    #[serde(default)]
    allow: Option<bool>,
    #[serde(default)]
    refuse: Option<String>,
}

#[derive(Deserialize)]
#[serde(
    rename_all = "kebab-case",
    expecting = "`public-good`, `embedded`, `file: PATH` or `tuf: {url: URL, root: FILE}`"
)]
enum TrustDocument {
    Embedded,
    File(PathBuf),
    PublicGood,
    Tuf(TufDocument),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `url` and `root`")]
struct TufDocument {
    url: String,
    root: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping that says how registries are reached")]
struct RegistryDocument {
    #[serde(default)]
    ca: Vec<PathBuf>,
    #[serde(default)]
    credentials: Option<PathBuf>,
    #[serde(default)]
    evidence_from: BTreeMap<String, String>,
    #[serde(default)]
    plain_http: Vec<String>,
    #[serde(default)]
    proxy: Option<ProxyDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `http`, `https` and `except`")]
struct ProxyDocument {
    #[serde(default)]
    http: Option<String>,
    #[serde(default)]
    https: Option<String>,
    #[serde(default)]
    except: Option<String>,
}

impl RuleDocument {
    fn rule(self, at: &str, beside: impl Fn(PathBuf) -> PathBuf) -> Result<Rule, SettingsError> {
        let meanings = || SettingsError::Rule { at: at.to_owned() };
        match (self.policy, self.verification, self.allow, self.refuse) {
            (Some(path), None, None, None) if !path.as_os_str().is_empty() => {
                Ok(Rule::Policy(PolicySource::File(beside(path))))
            }
            (None, Some(block), None, None) => {
                let policy = Policy::from_gallery_block(at, &block).map_err(SettingsError::Document)?;
                Ok(Rule::Policy(PolicySource::Inline(Box::new(policy))))
            }
            (None, None, Some(true), None) => Ok(Rule::Allow),
            (None, None, None, Some(reason)) if !reason.trim().is_empty() => Ok(Rule::Refuse { reason }),
            _ => Err(meanings()),
        }
    }
}

impl TrustDocument {
    fn source(self, origin: &str, beside: impl Fn(PathBuf) -> PathBuf) -> Result<TrustSource, SettingsError> {
        Ok(match self {
            Self::Embedded => TrustSource::EmbeddedPublicGood,
            Self::File(path) => TrustSource::File(beside(path)),
            Self::PublicGood => TrustSource::PublicGoodTuf,
            Self::Tuf(TufDocument { url, root }) if is_tuf_url(&url) => TrustSource::Tuf { url, root: beside(root) },
            Self::Tuf(TufDocument { url, .. }) => {
                return Err(SettingsError::TufUrl { origin: origin.to_owned(), url });
            }
        })
    }
}

impl RegistryDocument {
    fn settings(self, beside: impl Fn(PathBuf) -> PathBuf) -> RegistrySettings {
        let mut proxies = Proxies::default();
        if let Some(proxy) = self.proxy {
            (proxies.http, proxies.https, proxies.except) = (proxy.http, proxy.https, proxy.except);
        }
        RegistrySettings {
            ca: self.ca.into_iter().map(&beside).collect(),
            credentials: self.credentials.map(&beside),
            evidence_from: self.evidence_from,
            plain_http: self.plain_http,
            proxies,
        }
    }
}

/// TUF metadata is signed, so plain http would be safe from forgery but not from being watched or frozen.
fn is_tuf_url(url: &str) -> bool {
    let plain_host = url.strip_prefix("http://").map(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match authority.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        }
    });
    url.starts_with("https://") || plain_host.is_some_and(http::is_loopback_host)
}

/// Reads `9s` or `1500ms`, from one second to two minutes.
fn seconds(text: &str) -> Option<Duration> {
    let parsed: SignedDuration = text.parse().ok()?;
    let duration = Duration::try_from(parsed).ok()?;
    (Duration::from_secs(1)..=Duration::from_secs(120)).contains(&duration).then_some(duration)
}

/// The time for one call: containerd ends it after ten seconds, and then nobody reads why.
const TIMEOUT: Duration = Duration::from_secs(9);
/// Where caches of a node lie. containerd has no home.
const CACHE_DIR: &str = "/var/cache/countersign";

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The document, or a policy in it, is not as it must be.
    #[error(transparent)]
    Document(PolicyError),
    /// A prefix names no repositories.
    #[error("{origin}: `rules`")]
    Prefix {
        /// The file.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: PrefixError,
    },
    /// A rule says nothing, or more than one thing.
    #[error(
        "{at}: a rule is exactly one of `policy: FILE`, `verification: {{...}}`, `allow: true` and `refuse: REASON`"
    )]
    Rule {
        /// Which rule.
        at: String,
    },
    /// Two prefixes are spelled differently and mean the same.
    #[error("{origin}: `rules` has two rules for {prefix}")]
    SamePrefix {
        /// The file.
        origin: String,
        /// The prefix.
        prefix: String,
    },
    /// The time for a call is none, or one that nobody waits for.
    #[error("{origin}: `timeout` is a time from 1s to 120s, such as 9s, and not `{found}`")]
    Timeout {
        /// The file.
        origin: String,
        /// What it is.
        found: String,
    },
    /// The TUF repository has no safe address.
    #[error("{origin}: `trust.tuf.url` is no https address (http only to loopback): {url}")]
    TufUrl {
        /// The file.
        origin: String,
        /// What it is.
        url: String,
    },
    /// The settings are of another version.
    #[error("{origin}: `version` is {version}, and only 1 is known")]
    Version {
        /// The file.
        origin: String,
        /// What it is.
        version: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, SettingsError> {
        Settings::from_yaml("/etc/countersign/containerd-hook.yaml", text)
    }

    fn shown(settings: &Settings, repository: &str) -> String {
        let ruling = settings.ruling(&repository.parse().unwrap());
        match (ruling.prefix, ruling.rule) {
            (Some(prefix), Some(Rule::Allow)) => format!("{prefix}: allow"),
            (Some(prefix), Some(Rule::Refuse { reason })) => format!("{prefix}: refuse, {reason}"),
            (Some(prefix), Some(Rule::Policy(PolicySource::File(path)))) => format!("{prefix}: {}", path.display()),
            (Some(prefix), Some(Rule::Policy(PolicySource::Inline(_)))) => format!("{prefix}: inline"),
            _ => format!("default {:?}", settings.default),
        }
    }

    const WHOLE: &str = "
version: 1
default: refuse
trust: {tuf: {url: https://tuf.example, root: tuf-root.json}}
cache_dir: /var/lib/hook
timeout: 5s
registry:
  ca: [company.pem]
  credentials: /etc/countersign/registry.json
  evidence_from: {ghcr.io: 'mirror.example:5000'}
  plain_http: ['mirror.example:5000', registry.local]
  proxy: {https: 'http://proxy.example:3128', except: .example}
rules:
  registry.k8s.io: {allow: true}
  ghcr.io/example: {policy: example.yaml}
  ghcr.io/example/legacy: {refuse: 'moved to ghcr.io/example'}
  registry.local:
    verification: {issuer: 'https://issuer.example', identity: 'someone@example.com'}
";

    #[test]
    fn the_longest_prefix_decides() {
        let settings = read(WHOLE).unwrap();
        for (repository, expected) in [
            ("registry.k8s.io/pause", "registry.k8s.io: allow"),
            ("ghcr.io/example/app", "ghcr.io/example: /etc/countersign/example.yaml"),
            ("ghcr.io/example/legacy/app", "ghcr.io/example/legacy: refuse, moved to ghcr.io/example"),
            ("ghcr.io/example/legacy-not", "ghcr.io/example: /etc/countersign/example.yaml"),
            ("registry.local/app", "registry.local: inline"),
            ("registry.local:5000/app", "default Refuse"),
            ("ghcr.io/example-evil/app", "default Refuse"),
            ("nginx", "default Refuse"),
        ] {
            assert_eq!(shown(&settings, repository), expected);
        }
    }

    #[test]
    fn everything_that_is_written_is_read() {
        let settings = read(WHOLE).unwrap();
        let root = PathBuf::from("/etc/countersign/tuf-root.json");
        assert_eq!(settings.trust, TrustSource::Tuf { url: "https://tuf.example".into(), root });
        assert_eq!(settings.cache_dir, PathBuf::from("/var/lib/hook"));
        assert_eq!(settings.timeout, Duration::from_secs(5));
        let registry = &settings.registry;
        assert_eq!(registry.ca, [PathBuf::from("/etc/countersign/company.pem")]);
        assert_eq!(registry.credentials.as_deref(), Some("/etc/countersign/registry.json".as_ref()));
        assert_eq!(registry.proxies.https.as_deref(), Some("http://proxy.example:3128"));
        assert!(settings.allows_plain_http("ghcr.io"), "its signatures are read elsewhere");
        assert!(settings.allows_plain_http("registry.local") && !settings.allows_plain_http("registry.k8s.io"));
        assert_eq!(settings.rules().count(), 4);
    }

    #[test]
    fn what_may_be_left_out_has_a_value_that_needs_no_home() {
        let settings = read("version: 1\ndefault: allow\n").unwrap();
        assert_eq!((settings.default, settings.timeout), (Unmatched::Allow, Duration::from_secs(9)));
        assert_eq!(settings.trust, TrustSource::PublicGoodTuf);
        assert!(settings.cache_dir.is_absolute());
    }

    #[test]
    fn settings_that_say_too_little_or_too_much_are_refused() {
        let head = "version: 1\ndefault: refuse\n";
        let rule = |rule: &str| format!("{head}rules:\n  ghcr.io/x: {rule}\n");
        for (text, message) in [
            ("version: 1\nrules: {}\n".to_owned(), "`default`: is missing"),
            ("default: refuse\n".to_owned(), "`version`: is missing"),
            (String::new(), "empty"),
            ("version: 2\ndefault: refuse\n".to_owned(), "only 1 is known"),
            ("version: 1\ndefault: ask\n".to_owned(), "allow"),
            ("version: 1\ndefault:\n".to_owned(), "default"),
            (format!("{head}rule: {{}}\n"), "`rule`"),
            (format!("{head}rules:\n"), "rules"),
            (format!("{head}registry:\n"), "registry"),
            (format!("{head}timeout: 0s\n"), "from 1s to 120s"),
            (format!("{head}timeout: 900ms\n"), "from 1s to 120s"),
            (format!("{head}timeout: 5m\n"), "from 1s to 120s"),
            (format!("{head}timeout: soon\n"), "from 1s to 120s"),
            (format!("{head}trust: {{tuf: {{url: 'http://tuf.example', root: x}}}}\n"), "no https address"),
            (format!("{head}trust: nobody\n"), "public-good"),
            (rule("{}"), "exactly one of"),
            (rule("{allow: false}"), "exactly one of"),
            (rule("{allow: true, policy: x.yaml}"), "exactly one of"),
            (rule("{policy: ''}"), "exactly one of"),
            (rule("{refuse: ' '}"), "exactly one of"),
            (rule("{verification: }"), "verification"),
            (rule("{verification: {issuer: 'https://issuer.example'}}"), "identity"),
            (rule("{polcy: x.yaml}"), "polcy"),
            (rule("allow"), "rule"),
            (format!("{head}rules:\n  nginx: {{allow: true}}\n"), "`rules`"),
            (
                format!("{head}rules:\n  docker.io: {{allow: true}}\n  index.docker.io: {{refuse: no}}\n"),
                "two rules for docker.io",
            ),
            (
                format!("{head}rules:\n  a.b/c: {{allow: true}}\n  'a.b:443/c/': {{refuse: no}}\n"),
                "two rules for a.b/c",
            ),
            (format!("{head}rules:\n  a.b: {{allow: true}}\n  a.b: {{refuse: no}}\n"), "twice"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
            assert!(error.contains("containerd-hook.yaml"), "{error}");
        }
    }
}
