//! The command by which a consumer verifies what was signed.

use std::path::Path;

use countersign_cli::flags::{KnownTrust, RegistryFlags, TrustFlags};
use countersign_oci::{Digest, ImageReference};
use countersign_signer::self_verification::SignerIdentity;
use countersign_signer::sign::SignReport;

/// What a consumer has to run, whole. It always names the repository that the job ran for: a workflow that others can call gives its
/// name to all of them.
pub(crate) fn verify_command(report: &SignReport, consumer_flags: &[String]) -> Option<String> {
    let images = report.images.iter().map(|image| pinned(&image.reference, image.digest));
    Some(command(images, report.signer.as_ref()?, consumer_flags))
}

/// The same for images in a row, each with the tag to ask for.
pub(crate) fn command(
    images: impl Iterator<Item = String>,
    signer: &SignerIdentity,
    consumer_flags: &[String],
) -> String {
    let mut words = vec!["countersign-verifier".to_owned(), "verify".to_owned()];
    words.extend(images);
    words.extend(identity_flags(signer));
    words.extend_from_slice(consumer_flags);
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// What a consumer of an attestation has to run.
pub(crate) fn verify_attestation_command(
    report: &SignReport,
    predicate_type: &str,
    trust: &TrustFlags,
    registry: &RegistryFlags,
) -> Option<String> {
    let mut flags = Flags::default();
    flags.add("--type", predicate_type.to_owned());
    flags.0.extend(identity_flags(report.signer.as_ref()?));
    if let Some(root) = &trust.trusted_root {
        flags.add("--trusted-root", root.display().to_string());
    }
    for certificates in &registry.registry_ca {
        flags.add("--registry-cacert", certificates.display().to_string());
    }
    if registry.allow_http_registry {
        flags.0.push("--allow-http-registry".to_owned());
    }
    flags.0.extend(report.images.iter().map(|image| image.reference.repository().pin(image.digest).to_string()));
    Some(cosign("verify-attestation", &flags, trust))
}

/// A call of cosign, with what has to come before it where trust comes from another TUF repository than the public one.
fn cosign(command: &str, flags: &Flags, trust: &TrustFlags) -> String {
    let words: Vec<String> = flags.0.iter().map(|word| quoted(word)).collect();
    let verify = format!("cosign {command} {}", words.join(" "));
    match (&trust.tuf_url, &trust.tuf_root) {
        (Some(url), Some(root)) => {
            let root = root.display().to_string();
            format!("cosign initialize --mirror {} --root {} && {verify}", quoted(url), quoted(&root))
        }
        _ => verify,
    }
}

/// A file, and the bundle beside it.
pub(crate) struct SignedFile<'a> {
    pub(crate) file: &'a Path,
    pub(crate) bundle: &'a Path,
    /// The type of the statement that is about it; absent where the file itself is signed.
    pub(crate) predicate_type: Option<&'a str>,
}

/// What a consumer of a file has to run. cosign is what most of them have.
pub(crate) fn verify_blob_command(signed: &SignedFile<'_>, signer: &SignerIdentity, trust: &TrustFlags) -> String {
    let path = |path: &Path| path.display().to_string();
    let mut flags = Flags::default();
    if let Some(predicate_type) = signed.predicate_type {
        flags.add("--type", predicate_type.to_owned());
    }
    flags.add("--bundle", path(signed.bundle));
    flags.0.extend(identity_flags(signer));
    if let Some(root) = &trust.trusted_root {
        flags.add("--trusted-root", path(root));
    }
    flags.0.push(path(signed.file));
    let command = if signed.predicate_type.is_some() { "verify-blob-attestation" } else { "verify-blob" };
    cosign(command, &flags, trust)
}

/// The flags that have to be the same for verifying: which trusted root, and how registries are reached. Credentials are not among them.
pub(crate) fn consumer_flags(trust: &TrustFlags, registry: &RegistryFlags, signatures: Option<&str>) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let mut flags = Flags::default();
    if let Some(file) = &trust.trusted_root {
        flags.add("--trusted-root", path(file));
    } else if let (Some(url), Some(root)) = (&trust.tuf_url, &trust.tuf_root) {
        flags.add("--tuf-url", url.clone());
        flags.add("--tuf-root", path(root));
    } else if trust.trust == Some(KnownTrust::Embedded) {
        flags.add("--trust", "embedded".to_owned());
    }
    if let Some(repository) = signatures {
        flags.add("--signature-repository", repository.to_owned());
    }
    for mapping in &registry.registry_map {
        flags.add("--registry-map", mapping.clone());
    }
    for certificates in &registry.registry_ca {
        flags.add("--registry-ca", path(certificates));
    }
    if registry.allow_http_registry {
        flags.0.push("--allow-http-registry".to_owned());
    }
    flags.0
}

#[derive(Default)]
struct Flags(Vec<String>);

impl Flags {
    fn add(&mut self, flag: &str, value: String) {
        self.0.extend([flag.to_owned(), value]);
    }
}

fn identity_flags(signer: &SignerIdentity) -> Vec<String> {
    let mut flags = Flags::default();
    flags.add("--certificate-identity", signer.identity.clone());
    flags.add("--certificate-oidc-issuer", signer.issuer.clone());
    if let Some(repository) = &signer.github_repository {
        flags.add("--certificate-github-workflow-repository", repository.clone());
    }
    flags.0
}

fn pinned(reference: &ImageReference, digest: Digest) -> String {
    match reference.tag() {
        Some(tag) => format!("{}:{tag}@{digest}", reference.repository()),
        None => format!("{}@{digest}", reference.repository()),
    }
}

/// Quotes a word for a POSIX shell where it has anything in it that a shell would read.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%_+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Call {
        #[command(flatten)]
        trust: TrustFlags,
        #[command(flatten)]
        registry: RegistryFlags,
    }

    #[test]
    fn what_was_not_the_default_has_to_be_said_to_the_verifier_too() {
        let table: [(&[&str], &[&str]); 6] = [
            (&[], &[]),
            (&["--trust", "public-good"], &[]),
            (&["--trust", "embedded"], &["--trust", "embedded"]),
            (&["--trusted-root", "my root.json"], &["--trusted-root", "my root.json"]),
            (
                &["--tuf-root", "root.json", "--tuf-url", "https://tuf.example"],
                &["--tuf-url", "https://tuf.example", "--tuf-root", "root.json"],
            ),
            (
                &["--registry-token", "hunter2", "--allow-http-registry", "--registry-map", "a=b:1,c=d:2"],
                &["--registry-map", "a=b:1", "--registry-map", "c=d:2", "--allow-http-registry"],
            ),
        ];
        for (given, expected) in table {
            let call = Call::parse_from(std::iter::once(&"call").chain(given));
            assert_eq!(consumer_flags(&call.trust, &call.registry, None), expected, "{given:?}");
        }
        let call = Call::parse_from(["call"]);
        let elsewhere = consumer_flags(&call.trust, &call.registry, Some("ghcr.io/octo/signatures"));
        assert_eq!(elsewhere, ["--signature-repository", "ghcr.io/octo/signatures"]);
    }

    #[test]
    fn a_shell_reads_every_word_as_it_is() {
        let table = [
            ("https://github.com/o/r/.github/workflows/x.yml@refs/heads/main", None),
            ("mona@example.com", None),
            ("", Some("''")),
            ("a b", Some("'a b'")),
            ("$(x)", Some("'$(x)'")),
            ("it's", Some(r"'it'\''s'")),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected.unwrap_or(word));
        }
    }
}
