use url::Url;

use crate::error::RegistryError;
use crate::http::{PlainHttp, is_loopback, is_loopback_host};
use crate::text::printable;

/// Where a registry's requests go, and whose credentials they may carry.
pub(crate) struct Endpoint {
    /// The name in references.
    pub(crate) registry: String,
    /// The origin that is connected to.
    pub(crate) base: Url,
    /// The name under which credentials are looked up.
    pub(crate) credential_registry: String,
    pub(crate) plain_http: PlainHttp,
    /// A failed connection over https may be repeated without.
    pub(crate) may_downgrade: bool,
}

impl Endpoint {
    pub(super) fn new(
        registry: &str,
        mapped: Option<&str>,
        plain_http: PlainHttp,
        downgraded: bool,
    ) -> Result<Self, RegistryError> {
        let address = match (mapped, registry) {
            (Some(address), _) => address,
            (None, "docker.io") => "registry-1.docker.io",
            (None, registry) => registry,
        };
        let malformed = || RegistryError::Address { address: printable(address, 200) };
        let refused = || RegistryError::PlainHttp { registry: printable(address, 200) };
        let stated = address.split_once("://");
        let authority = stated.map_or(address, |(_, rest)| rest).trim_end_matches('/');
        let scheme = match stated {
            Some(("https", _)) => "https",
            Some(("http", _)) => "http",
            Some(_) => return Err(malformed()),
            None if is_loopback_host(host_of(authority)) || downgraded => "http",
            None => "https",
        };
        let base: Url = format!("{scheme}://{authority}/").parse().map_err(|_| malformed())?;
        let plain = base.username().is_empty() && base.password().is_none() && base.path() == "/";
        if authority.is_empty() || !plain || base.query().is_some() || base.fragment().is_some() {
            return Err(malformed());
        }
        if scheme == "http" && !is_loopback(&base) && plain_http != PlainHttp::Any {
            return Err(refused());
        }
        let credential_registry = if mapped.is_some() { authority.to_ascii_lowercase() } else { registry.to_owned() };
        let may_downgrade = stated.is_none() && scheme == "https" && plain_http == PlainHttp::Any;
        Ok(Self { registry: registry.to_owned(), base, credential_registry, plain_http, may_downgrade })
    }

    #[cfg(test)]
    pub(crate) fn unmapped(registry: &str) -> Self {
        Self::new(registry, None, PlainHttp::LoopbackOnly, false).expect("tests name registries")
    }
}

/// Returns the host of `host[:port]`, where an IPv6 address stands in brackets.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(registry: &str, mapped: Option<&str>) -> Result<String, RegistryError> {
        Endpoint::new(registry, mapped, PlainHttp::LoopbackOnly, false).map(|endpoint| endpoint.base.to_string())
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_plain_http() {
        for (registry, mapped, expected) in [
            ("ghcr.io", None, "https://ghcr.io/"),
            ("docker.io", None, "https://registry-1.docker.io/"),
            ("r.example:5000", None, "https://r.example:5000/"),
            ("localhost:5000", None, "http://localhost:5000/"),
            ("127.0.0.1:5000", None, "http://127.0.0.1:5000/"),
            ("127.0.0.1.nip.io", None, "https://127.0.0.1.nip.io/"),
            ("quay.io", Some("127.0.0.1:5000"), "http://127.0.0.1:5000/"),
            ("quay.io", Some("[::1]:5000"), "http://[::1]:5000/"),
            ("quay.io", Some("https://localhost:5000"), "https://localhost:5000/"),
            ("quay.io", Some("mirror.example"), "https://mirror.example/"),
        ] {
            assert_eq!(base(registry, mapped).unwrap(), expected);
        }
        assert!(matches!(base("quay.io", Some("http://mirror.example")), Err(RegistryError::PlainHttp { .. })));
        let any = Endpoint::new("quay.io", Some("http://mirror.example"), PlainHttp::Any, false).unwrap();
        assert_eq!(any.base.as_str(), "http://mirror.example/");
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for address in [
            "",
            "user@mirror.example",
            "mirror.example/path",
            "mirror.example?x",
            "ftp://mirror.example",
            "a b",
            "https://",
        ] {
            assert!(matches!(base("quay.io", Some(address)), Err(RegistryError::Address { .. })), "{address}");
        }
    }

    #[test]
    fn credentials_follow_the_address() {
        let named = |registry: &str, mapped| {
            Endpoint::new(registry, mapped, PlainHttp::LoopbackOnly, false).unwrap().credential_registry
        };
        assert_eq!(named("docker.io", None), "docker.io");
        assert_eq!(named("ghcr.io", Some("127.0.0.1:5000")), "127.0.0.1:5000");
        assert_eq!(named("ghcr.io", Some("https://Mirror.example/")), "mirror.example");
    }

    #[test]
    fn https_is_given_up_only_where_the_operator_lets_it() {
        let new = |mapped, plain_http, downgraded| Endpoint::new("r.example", mapped, plain_http, downgraded);
        assert!(!new(None, PlainHttp::LoopbackOnly, false).unwrap().may_downgrade);
        assert!(new(None, PlainHttp::Any, false).unwrap().may_downgrade);
        assert!(!new(Some("https://r.example"), PlainHttp::Any, false).unwrap().may_downgrade);
        assert_eq!(new(None, PlainHttp::Any, true).unwrap().base.scheme(), "http");
        assert!(matches!(new(None, PlainHttp::LoopbackOnly, true), Err(RegistryError::PlainHttp { .. })));
    }
}
