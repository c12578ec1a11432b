//! Where an entry's bytes come from: one classifier for every URI of every index.

use std::fmt;
use std::net::IpAddr;

use countersign_oci::{ImageReference, ReferenceError};

/// A source that can be installed from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// An image in an OCI registry.
    Oci(ImageReference),
}

/// Why a URI is not a [`Source`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The index names a host on a private network: it would have our machine send requests there.
    #[error("{uri:?} names the private host {host:?}, which only the operator may")]
    PrivateHost {
        /// The URI.
        uri: String,
        /// Its host.
        host: String,
    },
    /// The URI is an image reference with a mistake.
    #[error("{uri:?} is no image reference")]
    Reference {
        /// The URI.
        uri: String,
        /// The mistake.
        #[source]
        source: ReferenceError,
    },
    /// The URI is of a kind that cannot be verified, so it is not installed.
    #[error("{uri:?} is {kind}, only images in OCI registries are supported")]
    UnsupportedSource {
        /// The URI.
        uri: String,
        /// What it is, with an article.
        kind: Unsupported,
    },
}

/// A kind of URI that is recognised and not installed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// `http://` or `https://`.
    Download,
    /// `github:`.
    GithubFile,
    /// `huggingface://`, `hf://`.
    HuggingFace,
    /// An absolute or relative path, or `file://`.
    LocalPath,
    /// `ocifile://`.
    OciArchive,
    /// `ollama://`.
    Ollama,
    /// Another scheme.
    Scheme,
}

impl Source {
    /// Returns the source that a URI names.
    ///
    /// `oci://`, `docker://` and bare references are images, Docker Hub's short forms included. Every other kind is
    /// named in the error; nothing is guessed from what happens to exist on this machine.
    pub fn classify(uri: &str) -> Result<Self, SourceError> {
        let unsupported = |kind| Err(SourceError::UnsupportedSource { uri: uri.to_owned(), kind });
        let reference = match uri.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "oci" | "docker" => rest,
                "http" | "https" => return unsupported(Unsupported::Download),
                "file" => return unsupported(Unsupported::LocalPath),
                "github" => return unsupported(Unsupported::GithubFile),
                "hf" | "huggingface" => return unsupported(Unsupported::HuggingFace),
                "ocifile" => return unsupported(Unsupported::OciArchive),
                "ollama" => return unsupported(Unsupported::Ollama),
                _ => return unsupported(Unsupported::Scheme),
            },
            None if uri.starts_with("github:") => return unsupported(Unsupported::GithubFile),
            None if uri.starts_with(['/', '.', '~']) => return unsupported(Unsupported::LocalPath),
            None => uri,
        };
        match reference.parse() {
            Ok(reference) => Ok(Self::Oci(reference)),
            Err(source) => Err(SourceError::Reference { uri: uri.to_owned(), source }),
        }
    }

    /// Refuses a source whose host is written as an address of a private network, or as a name that has none other.
    ///
    /// For hosts that only an index names. A public name that resolves to a private address is not seen here.
    pub(crate) fn require_public_host(&self, uri: &str) -> Result<(), SourceError> {
        let Self::Oci(reference) = self;
        let host = reference.repository().registry();
        if is_private_host(host) {
            return Err(SourceError::PrivateHost { uri: uri.to_owned(), host: host.to_owned() });
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Oci(reference) = self;
        reference.fmt(formatter)
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Download => "a download",
            Self::GithubFile => "a file on GitHub",
            Self::HuggingFace => "a file on Hugging Face",
            Self::LocalPath => "a local path",
            Self::OciArchive => "an image archive",
            Self::Ollama => "an Ollama model",
            Self::Scheme => "of an unknown scheme",
        })
    }
}

/// Whether a host, with or without a port, is written as one of a private network.
pub(crate) fn is_private_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(bracketed),
        None if host.matches(':').count() > 1 => host,
        None => host.split(':').next().unwrap_or(host),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return is_private_address(address);
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // Numbers that resolvers read as addresses although they are not written as such: 127.1, 0x7f.1, 2130706433.
    let numeric = name
        .split('.')
        .next_back()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"));
    numeric || !name.contains('.') || PRIVATE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether an address is not one of the public internet.
pub(crate) fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            four.is_private()
                || four.is_loopback()
                || four.is_link_local()
                || four.is_multicast()
                || four.is_documentation()
                || matches!(first, 0 | 240..)
                // Shared address space, RFC 6598.
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => is_private_address(IpAddr::V4(four)),
            None => {
                six.is_loopback()
                    || six.is_unspecified()
                    || six.is_multicast()
                    || six.is_unique_local()
                    || six.is_unicast_link_local()
            }
        },
    }
}

const PRIVATE_SUFFIXES: [&str; 6] = [".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_recognised_however_they_are_written() {
        for (uri, reference) in [
            ("quay.io/go-skynet/local-ai-backends:latest-cpu", "quay.io/go-skynet/local-ai-backends:latest-cpu"),
            ("localai/localai-backends:latest-cpu", "docker.io/localai/localai-backends:latest-cpu"),
            ("oci://ghcr.io/octo/app:v1", "ghcr.io/octo/app:v1"),
            ("OCI://ghcr.io/octo/app:v1", "ghcr.io/octo/app:v1"),
            ("docker://octo/app", "docker.io/octo/app:latest"),
            ("registry.example:5000/x", "registry.example:5000/x:latest"),
            ("127.0.0.1:5000/x:y", "127.0.0.1:5000/x:y"),
        ] {
            assert_eq!(Source::classify(uri).unwrap().to_string(), reference, "{uri}");
        }
    }

    #[test]
    fn every_other_kind_is_named() {
        for (uri, kind) in [
            ("https://example.com/x.tgz", Unsupported::Download),
            ("http://example.com/x.tgz", Unsupported::Download),
            ("file:///etc", Unsupported::LocalPath),
            ("/etc", Unsupported::LocalPath),
            ("./x", Unsupported::LocalPath),
            ("../x", Unsupported::LocalPath),
            ("~/x", Unsupported::LocalPath),
            ("ocifile://x.tar", Unsupported::OciArchive),
            ("ollama://gemma:2b", Unsupported::Ollama),
            ("github:octo/app/x@main", Unsupported::GithubFile),
            ("huggingface://o/r/f", Unsupported::HuggingFace),
            ("s3://bucket/x", Unsupported::Scheme),
        ] {
            match Source::classify(uri) {
                Err(SourceError::UnsupportedSource { kind: found, .. }) => assert_eq!(found, kind, "{uri}"),
                other => panic!("{uri}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_damaged_reference_is_an_error() {
        for uri in [
            "",
            "oci://",
            "user:secret@ghcr.io/x:y",
            "ghcr.io/x@sha256:12",
            "ghcr.io/x y",
            "ghcr.io/../x",
            "oci://https://x/y",
        ] {
            assert!(matches!(Source::classify(uri), Err(SourceError::Reference { .. })), "{uri:?}");
        }
    }

    #[test]
    fn hosts_of_private_networks_are_told_from_public_ones() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "10.0.0.1",
            "192.168.1.1:443",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]:5000",
            "::1",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]:80",
            "registry",
            "nas.local",
            "a.internal",
            "127.1",
            "0x7f.1",
            "2130706433",
            "metadata.google.internal.",
        ] {
            assert!(is_private_host(host), "{host}");
        }
        for host in ["quay.io", "docker.io", "ghcr.io:443", "8.8.8.8", "[2606:4700::1]:443", "a.b.example"] {
            assert!(!is_private_host(host), "{host}");
        }
    }
}
