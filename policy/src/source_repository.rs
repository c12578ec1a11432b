//! The repository that a certificate's own name speaks for.
//!
//! On GitHub and GitLab the subject alternative name is the file with the build instructions. A reusable workflow (an included
//! file) gives its name to whoever calls it, so that name alone says who *wrote* the job, not who *ran* it. Which repository ran it
//! stands in the certificate's source repository (OID .12).

/// Issuer of GitHub Actions; enterprises have their own below it.
pub(crate) const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// Tells whether tokens of this issuer come from GitHub Actions.
pub(crate) fn is_github(issuer: &str) -> bool {
    issuer.strip_prefix(GITHUB_ISSUER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the URI of the repository whose file `name` is, when it has the form of such a file on any host:
/// `https://host/owner/name/.github/workflows/file@ref` (GitHub) or `https://host/group/project//file@ref` (GitLab).
pub(crate) fn of_name(name: &str) -> Option<&str> {
    let path = name.find("://")? + "://".len();
    let github = name.find("/.github/workflows/");
    let gitlab = name[path..].find("//").map(|at| path + at);
    let end = match (github, gitlab) {
        (Some(github), Some(gitlab)) => github.min(gitlab),
        (Some(end), None) | (None, Some(end)) => end,
        (None, None) => return None,
    };
    (end > path).then(|| &name[..end])
}

/// Returns scheme and host of a URI.
pub(crate) fn origin(name: &str) -> Option<&str> {
    let path = name.find("://")? + "://".len();
    let host = name[path..].split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    Some(&name[..path + host.len()])
}

#[cfg(test)]
mod tests {
    use super::{is_github, of_name, origin};

    #[test]
    fn names_of_files_speak_for_their_repository() {
        for (name, repository) in [
            (
                "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main",
                Some("https://github.com/octo/app"),
            ),
            (
                "https://github.com/octo/.github/.github/workflows/release.yml@refs/heads/main",
                Some("https://github.com/octo/.github"),
            ),
            (
                "https://git.example:8443/octo/app/.github/workflows/a.yml@refs/heads/x",
                Some("https://git.example:8443/octo/app"),
            ),
            (
                "https://gitlab.com/group/sub/project//.gitlab-ci.yml@refs/heads/main",
                Some("https://gitlab.com/group/sub/project"),
            ),
            (
                "https://gitlab.com/group/project//ci/.github/workflows/x.yml@refs/heads/main",
                Some("https://gitlab.com/group/project"),
            ),
            ("https://buildkite.com/octo/pipeline", None),
            ("release@octo.example", None),
            ("", None),
        ] {
            assert_eq!(of_name(name), repository, "{name}");
        }
    }

    #[test]
    fn issuers_that_only_look_like_githubs_are_not() {
        assert!(is_github("https://token.actions.githubusercontent.com"));
        assert!(is_github("https://token.actions.githubusercontent.com/octo"));
        assert!(!is_github("https://token.actions.githubusercontent.com.evil.example"));
        assert!(!is_github("http://token.actions.githubusercontent.com"));
    }

    #[test]
    fn origin_is_scheme_and_host() {
        assert_eq!(origin("https://github.com/octo"), Some("https://github.com"));
        assert_eq!(origin("https://github.com"), Some("https://github.com"));
        assert_eq!(origin("https:///octo"), None);
        assert_eq!(origin("octo"), None);
    }
}
