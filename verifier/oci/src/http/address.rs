use std::net::IpAddr;

use url::{Host, Url};

/// Where plain http may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainHttp {
    /// To every registry that does not answer over https. Credentials go with it: whoever sits on the path reads them.
    Any,
    /// To 127.0.0.0/8, ::1 and `localhost` only.
    #[default]
    LoopbackOnly,
}

/// Returns whether `host` (no port; IPv6 with or without brackets) is this machine by its very spelling.
///
/// Names other than `localhost` are not looked up: what they resolve to is somebody else's choice.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Returns whether a URL leads to this machine by its very spelling.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Returns whether a URL names an address that only this machine or its link can mean: cloud metadata services live there.
pub(crate) fn is_local_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_loopback() || mapped.is_link_local() || mapped.is_unspecified(),
            None => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
        },
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["", "128.0.0.1", "10.0.0.1", "0.0.0.0", "localhost.example.com", "127.0.0.1.nip.io", "::2", "[::1"]
        {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn metadata_addresses_are_local_in_every_spelling() {
        for url in [
            "https://169.254.169.254/",
            "https://0xa9fea9fe/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://127.1/",
            "https://a.localhost/",
            "https://localhost./",
        ] {
            assert!(is_local_address(&url.parse().unwrap()), "{url}");
        }
        assert!(!is_local_address(&"https://10.0.0.1/".parse().unwrap()));
        assert!(!is_local_address(&"https://ghcr.io/".parse().unwrap()));
    }
}
