use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

/// What a registry asks for in a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Returns the challenge that can be met, Bearer before Basic; a realm that is not a URL cannot.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut found = None;
        for value in headers.get_all(WWW_AUTHENTICATE).iter().take(MAX_HEADERS) {
            let Ok(text) = value.to_str() else { continue };
            // An unreadable part hides only what comes after it.
            for challenge in http_auth::ChallengeParser::new(text).map_while(Result::ok).take(MAX_HEADERS) {
                match Self::read(&challenge) {
                    Some(bearer @ Self::Bearer { .. }) => return Some(bearer),
                    Some(Self::Basic) => found = Some(Self::Basic),
                    None => {}
                }
            }
        }
        found
    }

    fn read(challenge: &http_auth::ChallengeRef<'_>) -> Option<Self> {
        let parameter = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty())
        };
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let realm: Url = parameter("realm")?.parse().ok()?;
        let plain = realm.username().is_empty() && realm.password().is_none() && realm.host().is_some();
        (plain && matches!(realm.scheme(), "http" | "https")).then(|| Self::Bearer {
            realm,
            service: parameter("service"),
            scope: parameter("scope"),
        })
    }
}

/// More challenges than any registry sends.
const MAX_HEADERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.parse().unwrap(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        for (values, expected) in [
            (
                &[r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull""#][..],
                bearer("https://ghcr.io/token", Some("ghcr.io"), Some("repository:a/b:pull")),
            ),
            (
                &[r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#],
                bearer("https://auth.docker.io/token", Some("registry.docker.io"), None),
            ),
            (
                &[r#"bearer Realm="https://a.example/t?x=1", scope="repository:a:pull,push registry:catalog:*""#],
                bearer("https://a.example/t?x=1", None, Some("repository:a:pull,push registry:catalog:*")),
            ),
            (&[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (
                &[r#"Basic realm="x""#, r#"Bearer realm="https://a.example/t""#],
                bearer("https://a.example/t", None, None),
            ),
            (&[r#"Basic realm="x", Bearer realm="https://a.example/t""#], bearer("https://a.example/t", None, None)),
            (&[r#"Negotiate, Basic realm="x""#], Some(Challenge::Basic)),
            (&[r#"Bearer realm="https://a.example/\"t""#], bearer("https://a.example/\"t", None, None)),
        ] {
            assert_eq!(challenge(values), expected, "{values:?}");
        }
    }

    #[test]
    fn challenges_that_cannot_be_met_are_none() {
        for values in [
            &[][..],
            &[""],
            &["Bearer"],
            &[r#"Bearer service="x""#],
            &[r#"Bearer realm="""#],
            &[r#"Bearer realm="/token""#],
            &[r#"Bearer realm="ftp://a.example/""#],
            &[r#"Bearer realm="file:///etc/passwd""#],
            &[r#"Bearer realm="https://user:password@a.example/""#],
            &["Digest realm=\"x\", nonce=\"y\""],
            &[",,,"],
            &["\"unbalanced"],
        ] {
            assert_eq!(challenge(values), None, "{values:?}");
        }
    }
}
