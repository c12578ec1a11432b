use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use countersign_oci::http::{self, ClientCertificate, HttpOptions, PlainHttp, Proxies};
use countersign_oci::{Credential, Credentials, RegistryOptions, Secret};

use super::{environment, files};
use crate::failure::Failure;

/// How registries are reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryFlags {
    /// Allows plain http to registries that are not on loopback.
    #[arg(long, env = "COUNTERSIGN_ALLOW_HTTP_REGISTRY", value_parser = BoolishValueParser::new())]
    pub allow_http_registry: bool,

    /// The user name, for the registry of the first reference. Without it and without cosign's variables
    /// (COSIGN_REGISTRY_USERNAME, _PASSWORD, _TOKEN), docker's and podman's files and credential helpers are asked.
    #[arg(long, value_name = "NAME", env = "COUNTERSIGN_REGISTRY_USERNAME", requires = "registry_password")]
    pub registry_username: Option<String>,

    /// The password. The variable keeps it out of the list of processes.
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "COUNTERSIGN_REGISTRY_PASSWORD",
        hide_env_values = true,
        requires = "registry_username"
    )]
    pub registry_password: Option<String>,

    /// A bearer token, for the registry of the first reference.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "COUNTERSIGN_REGISTRY_TOKEN",
        hide_env_values = true,
        conflicts_with = "registry_username"
    )]
    pub registry_token: Option<String>,

    /// A file with certificates (PEM) that are trusted beside the system's. Else COSIGN_REGISTRY_CACERT.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_REGISTRY_CA")]
    pub registry_ca: Vec<PathBuf>,

    /// A client certificate (PEM) that is shown to the registry of the first reference. Else COSIGN_REGISTRY_CLIENT_CERT.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_REGISTRY_CERT", requires = "registry_key")]
    pub registry_cert: Option<PathBuf>,

    /// The key of that certificate (PEM, not encrypted). Else COSIGN_REGISTRY_CLIENT_KEY.
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_REGISTRY_KEY", requires = "registry_cert")]
    pub registry_key: Option<PathBuf>,

    /// A token server that may see a registry's credentials although its address does not show that it is its own.
    #[arg(long, value_name = "REGISTRY=HOST", env = "COUNTERSIGN_REGISTRY_TOKEN_SERVER", value_delimiter = ',')]
    pub registry_token_server: Vec<String>,

    /// Connects to ADDRESS where a reference names HOST. What is asked for, and must be signed, keeps its name.
    #[arg(long, value_name = "HOST=ADDRESS", env = "COUNTERSIGN_REGISTRY_MAP", value_delimiter = ',')]
    pub registry_map: Vec<String>,
}

impl RegistryFlags {
    /// Returns the settings of a registry client. `registry` is the one that the flags' credentials are for.
    pub fn options(&self, registry: Option<&str>) -> Result<RegistryOptions, Failure> {
        let mut options = RegistryOptions::default();
        if self.allow_http_registry {
            options.plain_http = PlainHttp::Any;
        }
        options.ca_certificates = self.certificates()?;
        options.credentials = self.credentials(registry)?;
        options.proxies = proxies();
        if let (Some(registry), Some(certificate)) = (registry, self.client_certificate()?) {
            options.client_certificates.insert(registry.to_owned(), certificate);
        }
        let example = "write HOST=ADDRESS, such as quay.io=127.0.0.1:5000";
        options.hosts = pairs("--registry-map", &self.registry_map, example)?;
        let example = "write REGISTRY=HOST, such as registry.example.com=login.example.net";
        options.token_servers = pairs("--registry-token-server", &self.registry_token_server, example)?;
        Ok(options)
    }

    /// Returns a client for services that are not registries. It follows no redirects.
    pub fn service_client(&self) -> Result<reqwest::Client, Failure> {
        http::client(&self.http_options()?)
            .map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), None))
    }

    /// Returns the settings of such a client.
    pub fn http_options(&self) -> Result<HttpOptions, Failure> {
        let mut options = HttpOptions::default();
        options.ca_certificates = self.certificates()?;
        options.proxies = proxies();
        Ok(options)
    }

    fn certificates(&self) -> Result<Vec<Vec<u8>>, Failure> {
        let of_cosign = || environment::cosign_registry("CACERT").map(PathBuf::from).into_iter().collect();
        let paths = if self.registry_ca.is_empty() { of_cosign() } else { self.registry_ca.clone() };
        paths.iter().map(|path| files::read("registry-ca", path)).collect()
    }

    fn client_certificate(&self) -> Result<Option<ClientCertificate>, Failure> {
        let of_cosign = |name| environment::cosign_registry(name).map(PathBuf::from);
        let of_flags = self.registry_cert.clone().zip(self.registry_key.clone());
        let paths = of_flags.or_else(|| of_cosign("CLIENT_CERT").zip(of_cosign("CLIENT_KEY")));
        let Some((certificate, key)) = paths else { return Ok(None) };
        let chain = files::read("registry-cert", &certificate)?;
        // What is no text is no PEM either, and says so later.
        let key = String::from_utf8(files::read("registry-key", &key)?).unwrap_or_default();
        Ok(Some(ClientCertificate { chain, key: Secret::new(key) }))
    }

    /// Flags before files; in files, the first that has something for a registry.
    fn credentials(&self, registry: Option<&str>) -> Result<Credentials, Failure> {
        let mut credentials = Credentials::new();
        let of_flags = match (&self.registry_username, &self.registry_password, &self.registry_token) {
            (Some(username), Some(password), _) => {
                Some(Credential::Basic { username: username.clone(), password: Secret::new(password.clone()) })
            }
            (_, _, Some(token)) => Some(Credential::BearerToken(Secret::new(token.clone()))),
            _ => None,
        };
        match (of_flags, registry) {
            (Some(credential), Some(registry)) => credentials.add(registry, credential, "the command line"),
            (Some(_), None) => {
                let message = "there is no registry that the credentials of the flags could be for";
                return Err(Failure::usage("no-registry", message, None));
            }
            (None, _) => {}
        }
        if let Some(registry) = registry {
            add_cosign(&mut credentials, registry, environment::cosign_registry);
        }
        for path in environment::credential_files() {
            credentials.extend(files::credentials(&path)?);
        }
        Ok(credentials)
    }
}

/// Cosign's variables: both of a login, else a token.
fn add_cosign(credentials: &mut Credentials, registry: &str, variable: impl Fn(&str) -> Option<String>) {
    let credential = match (variable("USERNAME"), variable("PASSWORD"), variable("TOKEN")) {
        (Some(username), Some(password), _) => Credential::Basic { username, password: Secret::new(password) },
        (_, _, Some(token)) => Credential::BearerToken(Secret::new(token)),
        _ => return,
    };
    credentials.add(registry, credential, "the variables COSIGN_REGISTRY_*");
}

fn pairs(flag: &str, texts: &[String], hint: &str) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let pair = text.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty());
        let (key, value) = pair.ok_or_else(|| {
            let (_, form) = hint.split_once(' ').unwrap_or_default();
            let form = form.split(',').next().unwrap_or_default();
            Failure::usage("malformed-flag", format!("{flag} {text}: no {form}"), Some(hint.to_owned()))
        })?;
        Ok((key.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// Returns a client for services, for commands that meet no registry: the system's certificates, and the proxies of the environment.
pub fn service_client() -> Result<reqwest::Client, Failure> {
    let mut options = HttpOptions::default();
    options.proxies = proxies();
    http::client(&options).map_err(|error| Failure::new(&error, error.code(), error.class(), error.retryable(), None))
}

fn proxies() -> Proxies {
    let mut proxies = Proxies::default();
    (proxies.http, proxies.https, proxies.except) = environment::proxies();
    proxies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> RegistryFlags {
        RegistryFlags {
            allow_http_registry: false,
            registry_username: None,
            registry_password: None,
            registry_token: None,
            registry_ca: Vec::new(),
            registry_cert: None,
            registry_key: None,
            registry_token_server: Vec::new(),
            registry_map: Vec::new(),
        }
    }

    #[test]
    fn pairs_have_two_sides() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let read = |given: &[&str]| pairs("--registry-map", &texts(given), "write HOST=ADDRESS, such as a=b");
        assert_eq!(read(&["a=b", "c=d=e"]).unwrap()["c"], "d=e");
        for bad in ["", "a", "=b", "a="] {
            let failure = read(&[bad]).unwrap_err();
            assert!(failure.message.ends_with(": no HOST=ADDRESS"), "{}", failure.message);
        }
    }

    #[test]
    fn a_client_certificate_is_for_the_registry_of_the_first_reference() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert, "chain").unwrap();
        std::fs::write(&key, "canary-key").unwrap();
        let flags = RegistryFlags { registry_cert: Some(cert), registry_key: Some(key), ..flags() };
        let options = flags.options(Some("r.example")).unwrap();
        assert_eq!(options.client_certificates.keys().collect::<Vec<_>>(), ["r.example"]);
        assert_eq!(options.client_certificates["r.example"].key.expose(), "canary-key");
        assert!(!format!("{options:?}").contains("canary"));
        assert!(flags.options(None).unwrap().client_certificates.is_empty());
        drop(folder);
        assert_eq!(flags.options(Some("r.example")).unwrap_err().code, "registry-cert-unreadable");
    }

    #[test]
    fn cosigns_variables_are_a_login_or_a_token() {
        let added = |variables: &[(&str, &str)]| {
            let mut credentials = Credentials::new();
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            add_cosign(&mut credentials, "r.example", variable);
            format!("{credentials:?}")
        };
        let (username, password, token) = (("USERNAME", "octo"), ("PASSWORD", "canary"), ("TOKEN", "canary"));
        assert!(added(&[username, password, token]).contains("Basic"));
        assert!(added(&[token]).contains("BearerToken") && added(&[username, token]).contains("BearerToken"));
        for nothing in [&[][..], &[username], &[password]] {
            assert!(!added(nothing).contains("r.example"), "{nothing:?}");
        }
        assert!(!added(&[username, password, token]).contains("canary"));
    }
}
