use std::collections::BTreeMap;
use std::time::Duration;

use crate::auth::Credentials;
use crate::http::{Budget, ClientCertificate, HttpOptions, PlainHttp, Proxies, RetryPolicy, USER_AGENT};

/// What a [`Registry`](crate::Registry) is made of. Start from the default and set fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// The time that everything may take together, shared with others. With it, outages are met by asking again until it
    /// is used up, whatever [`RetryPolicy::attempts`] says, and a `Retry-After` is heeded in full; one that asks for more
    /// than is left ends the call at once.
    pub budget: Option<Budget>,
    /// Certificates in PEM that are trusted beside the platform's roots.
    pub ca_certificates: Vec<Vec<u8>>,
    /// Certificates that are shown to registries that ask for one, by registry. They go where its credentials go: to its own
    /// address and its token server.
    pub client_certificates: BTreeMap<String, ClientCertificate>,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Credentials. They follow the address that is connected to: a registry that `hosts` maps elsewhere is not shown
    /// what is kept under its name.
    pub credentials: Credentials,
    /// Where a registry's requests really go: its name to `host[:port]`, or to an `http://` or `https://` address
    /// without a path. Names of repositories never change by it.
    pub hosts: BTreeMap<String, String>,
    /// Time without a byte: until the header, and between two pieces of a body.
    pub idle_timeout: Duration,
    /// Where plain http may go.
    pub plain_http: PlainHttp,
    /// Proxies, as the caller found them in its environment.
    pub proxies: Proxies,
    /// How requests are repeated.
    pub retry: RetryPolicy,
    /// How long a writer of the referrers tag schema takes at most from reading to writing, and so how long it waits
    /// before it believes what it reads back. Writers with another value can lose each other's entries.
    pub tag_schema_window: Duration,
    /// Token servers, as `host[:port]`, that belong to a registry although their names do not show it, by registry.
    pub token_servers: BTreeMap<String, String>,
    /// Time for one call with all its requests and repetitions. Large blobs have further time by their size.
    pub total_timeout: Duration,
    /// The `User-Agent`.
    pub user_agent: String,
    /// How long something that was pushed just now, and is not shown yet, is waited for; where there is a budget, within that.
    pub visible_within: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        let http = HttpOptions::default();
        Self {
            budget: None,
            ca_certificates: Vec::new(),
            client_certificates: BTreeMap::new(),
            connect_timeout: http.connect_timeout,
            credentials: Credentials::new(),
            hosts: BTreeMap::new(),
            idle_timeout: http.idle_timeout,
            plain_http: PlainHttp::default(),
            proxies: Proxies::default(),
            retry: RetryPolicy::default(),
            tag_schema_window: Duration::from_secs(2),
            token_servers: BTreeMap::new(),
            total_timeout: Duration::from_secs(60),
            user_agent: USER_AGENT.to_owned(),
            visible_within: Duration::from_secs(10),
        }
    }
}

impl RegistryOptions {
    pub(super) fn http(&self, client_certificate: Option<ClientCertificate>) -> HttpOptions {
        HttpOptions {
            client_certificate,
            user_agent: self.user_agent.clone(),
            ca_certificates: self.ca_certificates.clone(),
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            // Every call keeps its own deadline; a blob's depends on its size.
            total_timeout: None,
            proxies: self.proxies.clone(),
        }
    }
}
