//! The grammar of references, as the distribution project has it, read once from front to back.
//!
//! The regular expression that the grammar is published as costs a start of the program 60 ms and 10 MB to compile.

/// The parts of `[registry/]path[:tag][@digest]`. Registry and path follow the grammar; tag and digest are what stands in their
/// place, for their own types to judge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'t> {
    pub(super) registry: Option<&'t str>,
    pub(super) path: &'t str,
    pub(super) tag: Option<&'t str>,
    pub(super) digest: Option<&'t str>,
}

/// What the reference grammar objects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// There is no path.
    #[error("it names no repository")]
    NameEmpty,
    /// A part of the path is empty, or has other characters or separators.
    #[error(
        "the path of a repository is lower-case letters and digits, separated by `/`, one `.`, one or two `_`, or any number of `-`"
    )]
    Path,
    /// The path is longer than registries take.
    #[error("the path of a repository has at most {limit} characters")]
    PathTooLong {
        /// The limit in characters.
        limit: usize,
    },
    /// What stands in the place of the registry is no host, or what follows it is no port.
    #[error("the registry is not a host name with an optional port")]
    Registry,
}

/// Splits and checks a reference. What stands before the first `/` is the registry where it has a `.` or a `:`, or is `localhost`.
///
/// Stricter than the regular expression of the distribution project and those who use it: `Octo/app` has an upper-case path, and `_` is
/// in no host.
pub(super) fn parse(text: &str) -> Result<Parts<'_>, GrammarError> {
    let (front, digest) = match text.split_once('@') {
        Some((front, digest)) => (front, Some(digest)),
        None => (text, None),
    };
    // A colon further in front belongs to a port.
    let last = front.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match front[last..].find(':') {
        Some(colon) => (&front[..last + colon], Some(&front[last + colon + 1..])),
        None => (front, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((registry, path)) if registry.contains(['.', ':']) || registry == "localhost" => (Some(registry), path),
        _ => (None, name),
    };
    if path.is_empty() {
        return Err(GrammarError::NameEmpty);
    }
    if !registry.is_none_or(is_registry) {
        return Err(GrammarError::Registry);
    }
    if !path.split('/').all(is_component) {
        return Err(GrammarError::Path);
    }
    Ok(Parts { registry, path, tag, digest })
}

/// `host[:port]`; the number of the port is for the caller to judge.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(inner)
}

/// Words of lower-case letters and digits with separators between them.
fn is_component(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let letters = rest.iter().take_while(|byte| word(byte)).count();
        if letters == 0 {
            return false;
        }
        rest = &rest[letters..];
        let separator = rest.iter().take_while(|byte| !word(byte)).count();
        let (between, after) = rest.split_at(separator);
        match between {
            [] => return after.is_empty(),
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::distribution::Reference;

    use super::*;

    const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn a_reference_is_split_into_its_parts() {
        let digest = format!("sha256:{HEX}");
        let whole = format!("ghcr.io:443/octo/app:v1@{digest}");
        for (text, registry, path, tag, digest) in [
            ("app", None, "app", None, None),
            ("octo/app", None, "octo/app", None, None),
            ("localhost/app", Some("localhost"), "app", None, None),
            ("test.com:5000", None, "test.com", Some("5000"), None),
            ("test.com:5000/a", Some("test.com:5000"), "a", None, None),
            (&whole, Some("ghcr.io:443"), "octo/app", Some("v1"), Some(digest.as_str())),
        ] {
            assert_eq!(parse(text), Ok(Parts { registry, path, tag, digest }), "{text}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_named() {
        for (text, error) in [
            ("", GrammarError::NameEmpty),
            (":tag", GrammarError::NameEmpty),
            ("ghcr.io/", GrammarError::NameEmpty),
            ("@sha256:0", GrammarError::NameEmpty),
            ("/app", GrammarError::Path),
            ("a//b", GrammarError::Path),
            ("App", GrammarError::Path),
            ("Octo/app", GrammarError::Path),
            ("a..b", GrammarError::Path),
            ("a___b", GrammarError::Path),
            ("a-_b", GrammarError::Path),
            ("a-", GrammarError::Path),
            ("a b", GrammarError::Path),
            ("-a.b/c", GrammarError::Registry),
            ("a..b/c", GrammarError::Registry),
            ("a_b.c/d", GrammarError::Registry),
            ("a.b:/c", GrammarError::Registry),
            ("a.b:x/c", GrammarError::Registry),
            ("user:password/c", GrammarError::Registry),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    /// Every short text of these pieces is read as oci-spec reads it, or refused where this module says that it is stricter.
    #[test]
    fn the_regular_expression_of_the_distribution_project_reads_the_same() {
        let digest = format!("@sha256:{HEX}");
        let pieces = ["a", "B", "0.", "_", "-", "/", ":5", "a.b/", "localhost", ":", &digest];
        let mut texts = vec![String::new()];
        let mut accepted = 0;
        for _ in 0..4 {
            texts = texts.iter().flat_map(|text| pieces.map(|piece| format!("{text}{piece}"))).collect();
            for text in &texts {
                accepted += usize::from(compare(text));
            }
        }
        assert!(accepted > 500, "{accepted}");
    }

    /// Whether both accept.
    fn compare(text: &str) -> bool {
        let theirs = Reference::try_from(text).ok();
        let is_tag = |tag: &str| tag.parse::<super::super::Tag>().is_ok();
        let is_digest = |digest: &str| digest.parse::<crate::Digest>().is_ok();
        let ours = parse(text).ok().filter(|parts| parts.tag.is_none_or(is_tag) && parts.digest.is_none_or(is_digest));
        let (theirs, ours) = match (theirs, ours) {
            (None, None) => return false,
            (Some(theirs), Some(ours)) => (theirs, ours),
            (Some(theirs), None) => {
                let stricter = theirs.repository().bytes().any(|byte| byte.is_ascii_uppercase())
                    || theirs.registry().contains('_');
                assert!(stricter, "{text:?} is refused");
                return false;
            }
            (None, Some(ours)) => panic!("{text:?} is accepted: {ours:?}"),
        };
        let implied = (ours.tag.is_none() && ours.digest.is_none()).then_some("latest");
        assert_eq!((theirs.tag(), theirs.digest()), (ours.tag.or(implied), ours.digest), "{text:?}");
        assert_eq!(theirs.registry(), ours.registry.unwrap_or("docker.io"), "{text:?}");
        let library = ours.registry.is_none() && !ours.path.contains('/');
        let path = if library { format!("library/{}", ours.path) } else { ours.path.to_owned() };
        assert_eq!(theirs.repository(), path, "{text:?}");
        true
    }
}
