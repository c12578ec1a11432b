use url::{Host, Url};

use crate::http::{PlainHttp, is_loopback, same_origin};

/// What a token server may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It belongs to the registry: credentials may be sent.
    Credentials,
    /// It may be asked for an anonymous token.
    Anonymous,
    /// Nothing may be sent.
    Nothing,
}

/// Decides what the `realm` that the registry at `registry` names may be sent.
///
/// A realm is whatever the server, or whoever answers in its place, writes. Credentials go to the registry's own
/// origin; and over https to a host of the same site, to a pair of [`KNOWN`], or to the host that the operator `named`. Real
/// token servers live on other hosts of their site, on the usual port; another port of the registry's own host is another
/// origin, whose server may be anybody's on a shared machine, so it has to be named, as `host:port`. Anything else over
/// https or on loopback is asked anonymously, and nothing else is asked at all.
pub(crate) fn trust(registry: &Url, realm: &Url, named: Option<&str>, plain_http: PlainHttp) -> Trust {
    if same_origin(registry, realm) {
        return Trust::Credentials;
    }
    if is_loopback(realm) {
        return match (is_loopback(registry), named.is_some_and(|named| is_named(realm, named))) {
            (true, true) => Trust::Credentials,
            (true, false) => Trust::Anonymous,
            (false, _) => Trust::Nothing,
        };
    }
    if realm.scheme() != "https" {
        let allowed = plain_http == PlainHttp::Any && registry.scheme() == "http";
        return if allowed { Trust::Anonymous } else { Trust::Nothing };
    }
    if named.is_some_and(|named| is_named(realm, named)) {
        return Trust::Credentials;
    }
    let own_port = realm.port().is_none() || realm.port() == registry.port();
    if own_port && is_own(registry, realm) { Trust::Credentials } else { Trust::Anonymous }
}

/// Returns whether a URL is at `host[:port]`; without a port, at the usual one.
fn is_named(url: &Url, named: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    authority.eq_ignore_ascii_case(named)
}

fn is_own(registry: &Url, realm: &Url) -> bool {
    let (Some(registry_host), Some(realm_host)) = (registry.host_str(), realm.host_str()) else { return false };
    if registry_host == realm_host {
        return true;
    }
    if KNOWN.contains(&(registry_host, realm_host)) {
        return true;
    }
    match (registry.host(), realm.host()) {
        (Some(Host::Domain(one)), Some(Host::Domain(other))) => same_site(one, other),
        _ => false,
    }
}

/// Returns whether two names lie under one that a single owner registered.
///
/// A name and a name below it always do. Siblings do unless the name above them is a country's registry (`co.uk`) or
/// gives its sub-domains to strangers ([`SHARED`]).
fn same_site(one: &str, other: &str) -> bool {
    let below = |child: &str, parent: &str| {
        child.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')) && parent.contains('.')
    };
    if below(one, other) || below(other, one) {
        return !is_shared(if one.len() < other.len() { one } else { other });
    }
    let common: Vec<&str> =
        one.rsplit('.').zip(other.rsplit('.')).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let site: Vec<&str> = common.iter().rev().copied().collect();
    match common.as_slice() {
        [] | [_] => false,
        [top, second] if top.len() == 2 && second.len() <= 3 => false,
        _ => !SHARED.iter().any(|shared| below(&site.join("."), shared) || site.join(".") == *shared),
    }
}

fn is_shared(name: &str) -> bool {
    SHARED.contains(&name)
}

/// Token servers of well-known registries that lie under another name.
const KNOWN: &[(&str, &str)] = &[("registry-1.docker.io", "auth.docker.io"), ("index.docker.io", "auth.docker.io")];

/// Names that give their sub-domains to strangers, as far as registries are found there.
const SHARED: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azurecr.cn",
    "azurecr.io",
    "azurewebsites.net",
    "cloudapp.azure.com",
    "cloudfront.net",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "netlify.app",
    "ngrok.app",
    "ngrok.io",
    "onrender.com",
    "pages.dev",
    "pkg.dev",
    "railway.app",
    "run.app",
    "trycloudflare.com",
    "vercel.app",
    "web.app",
    "windows.net",
    "workers.dev",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(registry: &str, realm: &str) -> Trust {
        trust(&registry.parse().unwrap(), &realm.parse().unwrap(), None, PlainHttp::LoopbackOnly)
    }

    #[test]
    fn credentials_go_to_the_registrys_own_token_server() {
        for (registry, realm) in [
            ("https://ghcr.io/", "https://ghcr.io/token"),
            ("https://registry-1.docker.io/", "https://auth.docker.io/token"),
            ("https://registry.gitlab.com/", "https://gitlab.com/jwt/auth"),
            ("https://registry.example.com/", "https://gitlab.example.com/jwt/auth"),
            ("https://registry.example.com:5000/", "https://registry.example.com:5000/auth"),
            ("https://registry.example.com:5000/", "https://registry.example.com/auth"),
            ("https://x.azurecr.io/", "https://x.azurecr.io/oauth2/token"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000/token"),
        ] {
            assert_eq!(of(registry, realm), Trust::Credentials, "{registry} {realm}");
        }
    }

    #[test]
    fn a_foreign_token_server_is_asked_anonymously() {
        for (registry, realm) in [
            ("https://ghcr.io/", "https://evil.example/token"),
            ("https://ghcr.io/", "https://ghcr.io.evil.example/token"),
            ("https://ghcr.io/", "https://evilghcr.io/token"),
            ("https://registry.example.com/", "https://registry.example.com:8443/token"),
            ("https://a.azurecr.io/", "https://b.azurecr.io/token"),
            ("https://a.azurecr.io/", "https://azurecr.io/token"),
            ("https://1.dkr.ecr.us-east-1.amazonaws.com/", "https://2.dkr.ecr.us-east-1.amazonaws.com/t"),
            ("https://registry.one.co.uk/", "https://registry.two.co.uk/token"),
            ("https://a.com/", "https://b.com/token"),
            ("https://10.0.0.1/", "https://10.0.0.2/token"),
            ("http://127.0.0.1:5000/", "https://auth.example.com/token"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token"),
            ("http://localhost:5000/", "http://127.0.0.1:5000/token"),
        ] {
            assert_eq!(of(registry, realm), Trust::Anonymous, "{registry} {realm}");
        }
    }

    #[test]
    fn plain_http_and_this_machine_are_never_asked_for_a_remote_registry() {
        for (registry, realm) in [
            ("https://ghcr.io/", "http://127.0.0.1:9/steal"),
            ("https://ghcr.io/", "https://127.0.0.1:9/steal"),
            ("https://ghcr.io/", "https://localhost/steal"),
            ("https://ghcr.io/", "http://ghcr.io/token"),
            ("http://127.0.0.1:5000/", "http://auth.example.com/token"),
        ] {
            assert_eq!(of(registry, realm), Trust::Nothing, "{registry} {realm}");
        }
        let any = |registry: &str, realm: &str| {
            trust(&registry.parse().unwrap(), &realm.parse().unwrap(), None, PlainHttp::Any)
        };
        assert_eq!(any("https://ghcr.io/", "http://ghcr.io/token"), Trust::Nothing);
        assert_eq!(any("http://r.example/", "http://auth.r.example/token"), Trust::Anonymous);
        assert_eq!(any("http://r.example/", "http://r.example/token"), Trust::Credentials);
    }

    #[test]
    fn the_operator_can_name_a_token_server() {
        let (registry, realm) =
            ("https://r.example/".parse().unwrap(), "https://login.other.example/t".parse().unwrap());
        assert_eq!(trust(&registry, &realm, Some("login.other.example"), PlainHttp::LoopbackOnly), Trust::Credentials);
        assert_eq!(trust(&registry, &realm, Some("x.other.example"), PlainHttp::LoopbackOnly), Trust::Anonymous);
        let (registry, realm) =
            ("http://127.0.0.1:5000/".parse().unwrap(), "http://127.0.0.1:5001/token".parse().unwrap());
        for (named, expected) in [
            ("127.0.0.1:5001", Trust::Credentials),
            ("127.0.0.1", Trust::Anonymous),
            ("127.0.0.1:5002", Trust::Anonymous),
        ] {
            assert_eq!(trust(&registry, &realm, Some(named), PlainHttp::LoopbackOnly), expected, "{named}");
        }
    }
}
