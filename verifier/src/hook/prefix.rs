use std::fmt;
use std::str::FromStr;

use countersign_oci::{ReferenceError, Repository, printable};

/// Names repositories by what they begin with: a registry, or a registry and the first parts of a path.
///
/// Whole parts are compared: `registry.example/team` is for `registry.example/team` and `registry.example/team/app`, not for
/// `registry.example/team-evil` or `registry.example:5000/team`. Port 443 is the same as none, for that is how both are reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    registry: String,
    path: String,
}

impl Prefix {
    /// Whether a repository is among those that are named.
    #[must_use]
    pub fn covers(&self, repository: &Repository) -> bool {
        if self.registry != without_usual_port(repository.registry()) {
            return false;
        }
        match repository.path().strip_prefix(&self.path) {
            Some(rest) => self.path.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    /// Returns how much of a repository's name is fixed: of two that cover the same repository, the longer one is for fewer.
    #[must_use]
    pub fn length(&self) -> usize {
        self.path.len()
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (text, below) = text.strip_suffix('/').map_or((text, false), |text| (text, true));
        let (registry, path) = text.split_once('/').map_or((text, ""), |(registry, path)| (registry, path));
        if !registry.contains(['.', ':']) && !registry.eq_ignore_ascii_case("localhost") {
            return Err(PrefixError::NoRegistry { text: printable(text, 200) });
        }
        // With one more part the grammar of repositories is the grammar of prefixes, and nothing is put in between.
        let part = "x";
        let repository: Repository = format!("{}/{part}", text)
            .parse()
            .map_err(|source| PrefixError::Malformed { text: printable(text, 200), source })?;
        let is_hub = repository.registry() == "docker.io";
        if is_hub && !path.is_empty() && !path.contains('/') && !below {
            return Err(PrefixError::HubOwnerOrImage { name: path.to_owned() });
        }
        let path = if path.is_empty() { String::new() } else { path.to_owned() };
        Ok(Self { registry: without_usual_port(repository.registry()).to_owned(), path })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.registry)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

fn without_usual_port(registry: &str) -> &str {
    registry.strip_suffix(":443").unwrap_or(registry)
}

/// Why text names no repositories.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// One part after Docker Hub is an owner to some and an image to others.
    #[error(
        "`docker.io/{name}` is either all of an owner or one image: write `docker.io/{name}/` or `docker.io/library/{name}`"
    )]
    HubOwnerOrImage {
        /// The part.
        name: String,
    },
    /// It is not the beginning of a repository's name.
    #[error("`{text}` is not the beginning of a repository's name")]
    Malformed {
        /// The text, fit for printing.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// It does not begin with a registry.
    #[error("`{text}` does not begin with a registry: names arrive whole, such as `docker.io/library/nginx`")]
    NoRegistry {
        /// The text, fit for printing.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(prefix: &str, repository: &str) -> bool {
        prefix.parse::<Prefix>().unwrap().covers(&repository.parse().unwrap())
    }

    #[test]
    fn whole_parts_of_a_name_are_compared() {
        for (prefix, repository) in [
            ("registry.example", "registry.example/team/app"),
            ("registry.example/team", "registry.example/team"),
            ("registry.example/team", "registry.example/team/app"),
            ("registry.example/team/", "registry.example/team/app/deep"),
            ("Registry.Example/team", "registry.example/team/app"),
            ("registry.example:443/team", "registry.example/team/app"),
            ("registry.example/team", "registry.example:443/team/app"),
            ("localhost:5000", "localhost:5000/app"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a/b"),
            ("docker.io", "nginx"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx"),
            ("docker.io/grafana/", "grafana/grafana"),
        ] {
            assert!(covers(prefix, repository), "{prefix} {repository}");
        }
        for (prefix, repository) in [
            ("registry.example/team", "registry.example/team-evil"),
            ("registry.example/team", "registry.example/team-evil/app"),
            ("registry.example/team", "registry.example/other/team"),
            ("registry.example/team", "registry.example.evil.example/team"),
            ("registry.example/team", "evil.registry.example/team"),
            ("registry.example/team", "registry.example:5000/team"),
            ("registry.example:5000", "registry.example/team"),
            ("registry.example:5000", "registry.example:50001/team"),
            ("registry.example/team/app", "registry.example/team"),
            ("docker.io/library/nginx", "docker.io/nginx/nginx-ingress"),
            ("docker.io/grafana/", "docker.io/library/grafana"),
        ] {
            assert!(!covers(prefix, repository), "{prefix} {repository}");
        }
    }

    #[test]
    fn what_begins_no_name_is_refused() {
        for (text, message) in [
            ("nginx", "does not begin with a registry"),
            ("library/nginx", "does not begin with a registry"),
            ("", "does not begin with a registry"),
            ("docker.io/nginx", "either all of an owner or one image"),
            ("index.docker.io/nginx", "either all of an owner or one image"),
            ("*.example.com", "not the beginning"),
            ("https://ghcr.io/x", "not the beginning"),
            ("ghcr.io/octo/app:v1", "not the beginning"),
            ("ghcr.io/Octo", "not the beginning"),
            ("ghcr.io//octo", "not the beginning"),
            ("ghcr.io/octo/*", "not the beginning"),
            ("ghcr.io/octo//", "not the beginning"),
            ("ghcr.io:0/octo", "not the beginning"),
        ] {
            let error = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
