//! Where an index comes from: a URL or a file that the operator's config names.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use countersign_oci::Class;
use countersign_oci::http::{self, HttpError, PlainHttp, RedirectRefusal};
use countersign_oci::limits::GALLERY_INDEX_BYTES;
use reqwest::header::LOCATION;
use rustix::fs::OFlags;
use url::Url;

use super::document::{Index, IndexError};
use crate::config::Gallery;

/// An index and where it came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The index.
    pub index: Index,
    /// The place that served it.
    pub origin: String,
    /// Whether that is a file on this machine.
    pub local: bool,
}

/// Why an index could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered something else.
    #[error("{place} answered {status} instead of an index")]
    Answered {
        /// The place.
        place: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body could not be read.
    #[error("the answer of {place} cannot be read")]
    Body {
        /// The place.
        place: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The file could not be read.
    #[error("cannot read the index {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The document is refused.
    #[error("the index is refused")]
    Index(#[source] IndexError),
    /// The place would be spoken to in plain http.
    #[error("{place} would be spoken to in plain http")]
    PlainHttp {
        /// The place.
        place: String,
    },
    /// The redirect is not followed.
    #[error("{place} redirects to where it must not")]
    Redirect {
        /// The place.
        place: String,
        /// Why not.
        #[source]
        source: RedirectRefusal,
    },
    /// The place could not be reached.
    #[error("cannot reach the index {place}")]
    Unreachable {
        /// The place.
        place: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The place is neither a file nor an http URL.
    #[error("an index cannot be read from {place}")]
    Unsupported {
        /// The place.
        place: String,
    },
}

/// Fetches a gallery's index: from its URL, or, where that cannot be had, from its mirrors in their order.
///
/// A document that was had and is refused is final. At most 8 MiB are read.
pub async fn fetch(gallery: &Gallery, client: &reqwest::Client, plain_http: PlainHttp) -> Result<Fetched, FetchError> {
    let mut first = None;
    for place in std::iter::once(&gallery.url).chain(&gallery.mirrors) {
        match fetch_from(place, client, plain_http).await {
            Err(error) if error.another_may_do() => {
                tracing::warn!(gallery = %gallery.name, error = error.chain(), "this copy of the index cannot be had");
                first = first.or(Some(error));
            }
            fetched => return fetched,
        }
    }
    // The first is the one that the operator thinks of.
    Err(first.unwrap_or_else(|| FetchError::Unsupported { place: gallery.url.clone() }))
}

async fn fetch_from(place: &str, client: &reqwest::Client, plain_http: PlainHttp) -> Result<Fetched, FetchError> {
    let (bytes, local) = match Place::parse(place)? {
        Place::File(path) => (read_file(&path)?, true),
        Place::Url(url) => (get(url, client, plain_http).await?, false),
    };
    let index = Index::from_yaml(place, &bytes).map_err(FetchError::Index)?;
    Ok(Fetched { index, origin: place.to_owned(), local })
}

enum Place {
    File(PathBuf),
    Url(Url),
}

impl Place {
    fn parse(place: &str) -> Result<Self, FetchError> {
        let unsupported = || FetchError::Unsupported { place: place.to_owned() };
        if let Some(path) = place.strip_prefix("file://") {
            return if path.starts_with('/') { Ok(Self::File(path.into())) } else { Err(unsupported()) };
        }
        if let Some(rest) = place.strip_prefix("github:") {
            let url = github_file(rest.trim_start_matches('/')).ok_or_else(unsupported)?;
            return url.parse().map(Self::Url).map_err(|_| unsupported());
        }
        if !place.contains("://") {
            return if place.is_empty() { Err(unsupported()) } else { Ok(Self::File(Path::new(place).to_owned())) };
        }
        match place.parse::<Url>() {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                Ok(Self::Url(url))
            }
            _ => Err(unsupported()),
        }
    }
}

/// `owner/repository/path@branch`, LocalAI's short form for a file on GitHub; the branch is `main` where none is named.
fn github_file(text: &str) -> Option<String> {
    let (path, branch) = text.rsplit_once('@').unwrap_or((text, "main"));
    let (owner, rest) = path.split_once('/')?;
    let (repository, file) = rest.split_once('/')?;
    let fits = |part: &str| {
        !part.is_empty()
            && !part.contains([':', '?', '#', '\\', '%'])
            && !part.split('/').any(|p| matches!(p, "" | "." | ".."))
    };
    [owner, repository, file, branch]
        .iter()
        .all(|part| fits(part))
        .then(|| format!("https://raw.githubusercontent.com/{owner}/{repository}/{branch}/{file}"))
}

fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let read = || {
        // A FIFO would be waited for, and a device never ends.
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let mut bytes = Vec::new();
        file.take(GALLERY_INDEX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| FetchError::File { path: path.to_owned(), source })
}

async fn get(mut url: Url, client: &reqwest::Client, plain_http: PlainHttp) -> Result<Vec<u8>, FetchError> {
    let loopback = url.host_str().is_some_and(http::is_loopback_host);
    if url.scheme() == "http" && plain_http != PlainHttp::Any && !loopback {
        return Err(FetchError::PlainHttp { place: shown(&url) });
    }
    for _ in 0..=http::MAX_REDIRECTS {
        let place = shown(&url);
        let response = match client.get(url.clone()).send().await {
            Ok(response) => response,
            Err(source) => return Err(FetchError::Unreachable { place, source: source.without_url() }),
        };
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            url =
                http::next_hop(&url, location, plain_http).map_err(|source| FetchError::Redirect { place, source })?;
            continue;
        }
        if !status.is_success() {
            return Err(FetchError::Answered { place, status: status.as_u16() });
        }
        let body = http::read_bounded(response, GALLERY_INDEX_BYTES).await;
        return body.map(|bytes| bytes.to_vec()).map_err(|source| FetchError::Body { place, source });
    }
    Err(FetchError::Redirect { place: shown(&url), source: RedirectRefusal::TooMany })
}

/// A URL without its query, which may hold a signature.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

impl FetchError {
    /// A stable name for the error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Answered { .. } => "index-answer",
            Self::Body { source, .. } => source.code(),
            Self::File { .. } => "index-unreadable",
            Self::Index(_) => "index-malformed",
            Self::PlainHttp { .. } => "plain-http",
            Self::Redirect { .. } => "redirect-refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Unsupported { .. } => "index-place",
        }
    }

    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Answered { status: 404 | 410, .. } => Class::NotFound,
            Self::Answered { status: 401 | 403, .. } => Class::Denied,
            Self::Answered { status: 429, .. } => Class::Throttled,
            Self::Answered { .. } | Self::Unreachable { .. } => Class::Unreachable,
            Self::Body { source, .. } => source.class(),
            Self::File { .. } | Self::PlainHttp { .. } | Self::Unsupported { .. } => Class::Usage,
            Self::Index(_) | Self::Redirect { .. } => Class::Malformed,
        }
    }

    /// The error with its causes, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }

    /// Whether another copy may be had where this one could not.
    fn another_may_do(&self) -> bool {
        matches!(self.class(), Class::Unreachable | Class::Throttled | Class::NotFound | Class::Denied)
            || matches!(self, Self::File { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_urls_and_paths_and_nothing_else() {
        for (place, is) in [
            ("https://index.localai.io/backends", "https://index.localai.io/backends"),
            (
                "github:mudler/LocalAI/backend/index.yaml@master",
                "https://raw.githubusercontent.com/mudler/LocalAI/master/backend/index.yaml",
            ),
            ("github://o/r/f.yaml", "https://raw.githubusercontent.com/o/r/main/f.yaml"),
            ("file:///srv/index.yaml", "/srv/index.yaml"),
            ("index.yaml", "index.yaml"),
        ] {
            let found = match Place::parse(place).unwrap() {
                Place::File(path) => path.display().to_string(),
                Place::Url(url) => url.to_string(),
            };
            assert_eq!(found, is);
        }
        for place in [
            "",
            "file://index.yaml",
            "github:foo",
            "github:o/r",
            "github:o/r/../x@y",
            "github:o/r/f@",
            "ftp://x/y",
            "oci://x/y",
            "https://user:secret@x/y",
            "https://",
        ] {
            assert!(Place::parse(place).is_err(), "{place:?}");
        }
    }

    #[test]
    fn an_index_is_a_regular_file() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("index.yaml"), "x").unwrap();
        assert_eq!(read_file(&directory.path().join("index.yaml")).unwrap(), b"x");
        std::os::unix::fs::symlink("index.yaml", directory.path().join("link")).unwrap();
        assert_eq!(read_file(&directory.path().join("link")).unwrap(), b"x");
        for other in [directory.path(), Path::new("/dev/zero")] {
            assert!(matches!(read_file(other), Err(FetchError::File { .. })), "{other:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_for_an_index_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.yaml");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(matches!(read_file(&path), Err(FetchError::File { .. })));
    }
}
