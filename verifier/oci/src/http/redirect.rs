use url::Url;

use super::PlainHttp;
use super::address::{is_local_address, is_loopback};
use crate::text::printable;

/// How many redirects one read follows.
pub const MAX_REDIRECTS: usize = 5;

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectRefusal {
    /// From https to plain http.
    #[error("it leaves https")]
    LeavesHttps,
    /// A `Location` that is absent, is no http URL, or carries a user name.
    #[error("its location is not a plain http URL")]
    Location,
    /// To this machine or its link, from elsewhere.
    #[error("it leads to an address of this machine or its link")]
    LocalAddress,
    /// Plain http to a host that is not this machine.
    #[error("it leads to plain http")]
    PlainHttp,
    /// More than [`MAX_REDIRECTS`].
    #[error("it is one of more than {MAX_REDIRECTS}")]
    TooMany,
    /// Writes and token requests follow none.
    #[error("only reads follow redirects")]
    Write,
}

/// Returns where a redirect from `current` leads, if it may be followed: https stays https, plain http goes only
/// where `plain_http` lets it, and nobody but this machine sends us to this machine.
///
/// Does not resolve names, and says nothing about credentials: compare with [`same_origin`].
pub fn next_hop(current: &Url, location: Option<&str>, plain_http: PlainHttp) -> Result<Url, RedirectRefusal> {
    let location = location.ok_or(RedirectRefusal::Location)?;
    let mut next = current.join(location).map_err(|_| RedirectRefusal::Location)?;
    next.set_fragment(None);
    if !next.username().is_empty() || next.password().is_some() || next.host().is_none() {
        return Err(RedirectRefusal::Location);
    }
    match (current.scheme(), next.scheme()) {
        (_, "https") => {}
        ("https", "http") => return Err(RedirectRefusal::LeavesHttps),
        ("http", "http") if plain_http == PlainHttp::Any || is_loopback(&next) => {}
        ("http", "http") => return Err(RedirectRefusal::PlainHttp),
        _ => return Err(RedirectRefusal::Location),
    }
    if is_local_address(&next) && !is_loopback(current) {
        return Err(RedirectRefusal::LocalAddress);
    }
    Ok(next)
}

/// Returns whether scheme, host and port are the same: credentials go no further.
#[must_use]
pub fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str().is_some()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Returns a URL fit for messages: scheme, host, port and path; queries carry signatures and sessions.
pub(crate) fn shown(url: &Url) -> String {
    printable(&format!("{}{}", url.origin().ascii_serialization(), url.path()), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, to: &str) -> Result<String, RedirectRefusal> {
        next_hop(&from.parse().unwrap(), Some(to), PlainHttp::LoopbackOnly).map(|url| url.to_string())
    }

    #[test]
    fn https_leads_to_https_anywhere() {
        assert_eq!(hop("https://a.example/x", "https://cdn.example/y?sig=1").unwrap(), "https://cdn.example/y?sig=1");
        assert_eq!(hop("https://a.example/x/y", "z").unwrap(), "https://a.example/x/z");
        assert_eq!(hop("https://a.example/x", "//b.example/z#f").unwrap(), "https://b.example/z");
        assert_eq!(hop("http://127.0.0.1:1/x", "http://127.0.0.1:2/y").unwrap(), "http://127.0.0.1:2/y");
        assert_eq!(hop("http://127.0.0.1:1/x", "https://cdn.example/y").unwrap(), "https://cdn.example/y");
    }

    #[test]
    fn redirects_that_weaken_are_refused() {
        for (from, to, refusal) in [
            ("https://a.example/", "http://a.example/", RedirectRefusal::LeavesHttps),
            ("https://a.example/", "http://127.0.0.1/", RedirectRefusal::LeavesHttps),
            ("https://a.example/", "https://127.0.0.1/", RedirectRefusal::LocalAddress),
            ("https://a.example/", "https://169.254.169.254/latest", RedirectRefusal::LocalAddress),
            ("https://a.example/", "https://user@b.example/", RedirectRefusal::Location),
            ("https://a.example/", "ftp://b.example/", RedirectRefusal::Location),
            ("https://a.example/", "file:///etc/passwd", RedirectRefusal::Location),
            ("https://a.example/", "https://", RedirectRefusal::Location),
            ("http://127.0.0.1/", "http://b.example/", RedirectRefusal::PlainHttp),
        ] {
            assert_eq!(hop(from, to), Err(refusal), "{from} -> {to}");
        }
        let any = next_hop(&"http://a.example/".parse().unwrap(), Some("http://127.0.0.1/"), PlainHttp::Any);
        assert_eq!(any, Err(RedirectRefusal::LocalAddress));
        assert_eq!(
            next_hop(&"https://a.example/".parse().unwrap(), None, PlainHttp::Any),
            Err(RedirectRefusal::Location)
        );
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        let origin = |one: &str, other: &str| same_origin(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(origin("https://a.example/x", "https://a.example:443/y"));
        assert!(origin("https://A.example/x", "https://a.example/"));
        assert!(!origin("https://a.example/", "https://a.example:444/"));
        assert!(!origin("https://a.example/", "http://a.example/"));
        assert!(!origin("https://a.example/", "https://b.a.example/"));
        assert!(!origin("https://a.example/", "https://a.example./"));
    }

    #[test]
    fn a_shown_url_has_no_query_and_no_password() {
        let url: Url = "https://user:canary@a.example/x?sig=canary".parse().unwrap();
        assert_eq!(shown(&url), "https://a.example/x");
    }
}
