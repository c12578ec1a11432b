//! What there is to sign, written the way release tools write it. Pure: files, variables and standard input are read elsewhere.
//!
//! | read by | written by |
//! |---|---|
//! | [`Inputs::lines`] | `ko --image-refs`, `apko publish --image-refs`, and everything else that has one reference on a line |
//! | [`Inputs::digests`] | goreleaser's `digests.txt` (`docker_digest`) |
//! | [`Inputs::metadata`] | `docker buildx build --metadata-file` and `docker buildx bake --metadata-file` |
//! | [`Inputs::tags`] | docker/metadata-action (`DOCKER_METADATA_OUTPUT_JSON`), together with the digest that was built |
//!
//! A source that names nothing is an error, whatever the others name: the tool that wrote it did not do its work. What a name without a
//! tag stands for differs: a person who types `app` means `app:latest`, a build tool that says that `app` is `sha256:...` means the digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use countersign_oci::{Digest, ImageReference, Repository, Tag, printable};

mod buildx;
mod error;

pub use error::InputError;

/// Bytes of one source: a hundred thousand references have less.
pub const MAX_BYTES: u64 = 8 << 20;
/// Lines of one source.
pub const MAX_LINES: usize = 100_000;
/// Characters of a refused text that messages show.
const SHOWN_CHARACTERS: usize = 200;

/// Where something was named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The file, variable or flag, and the target of a build where there are several.
    pub name: String,
    /// The line, from 1, where there are lines.
    pub line: Option<usize>,
}

impl Origin {
    /// Names a file, a variable or a flag.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), line: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Gathers references from several sources.
#[derive(Debug, Default)]
pub struct Inputs {
    named: Vec<(ImageReference, Origin)>,
}

impl Inputs {
    /// Takes one reference, `REPOSITORY[:TAG][@DIGEST]`; without tag and digest the tag is `latest`.
    pub fn reference(&mut self, origin: &Origin, text: &str) -> Result<(), InputError> {
        self.named.push((parse(text, origin)?, origin.clone()));
        Ok(())
    }

    /// Takes one reference on each line. Blank lines and lines that begin with `#` are skipped.
    pub fn lines(&mut self, origin: &Origin, bytes: &[u8]) -> Result<(), InputError> {
        self.each_line(origin, bytes, parse)
    }

    /// Takes goreleaser's list of digests: on each line the hexadecimal digits of a sha256, a space and the image's name.
    pub fn digests(&mut self, origin: &Origin, bytes: &[u8]) -> Result<(), InputError> {
        self.each_line(origin, bytes, |line, origin| {
            let malformed = |cause| InputError::DigestLineMalformed {
                origin: origin.clone(),
                text: printable(line, SHOWN_CHARACTERS),
                cause,
            };
            let (digest, name) = line.split_once(char::is_whitespace).ok_or_else(|| malformed(None))?;
            // goreleaser leaves the algorithm out; a tool that does not is understood too.
            let digest = if digest.contains(':') { digest.to_owned() } else { format!("sha256:{digest}") };
            let digest = digest.parse().map_err(|cause| malformed(Some(cause)))?;
            pinned(name.trim_start(), digest, origin)
        })
    }

    /// Takes what `docker buildx build` or `docker buildx bake` says of the images that it pushed: `image.name`, the names separated by
    /// commas, and `containerimage.digest`. Bake has one object for each target; targets that made no image are passed over.
    pub fn metadata(&mut self, origin: &Origin, bytes: &[u8]) -> Result<(), InputError> {
        let images = buildx::images(origin, text(origin, bytes)?)?;
        self.take(origin, images)
    }

    /// Takes the tags of docker/metadata-action (its output `json`), all of them for the image that was built.
    pub fn tags(&mut self, origin: &Origin, json: &str, digest: Digest) -> Result<(), InputError> {
        let names = buildx::tags(origin, text(origin, json.as_bytes())?)?;
        let named = names.iter().map(|name| Ok((pinned(name, digest, origin)?, origin.clone())));
        let named = named.collect::<Result<Vec<_>, InputError>>()?;
        self.take(origin, named)
    }

    /// Returns every reference once, in the order in which they were named. Refuses one tag for two digests.
    ///
    /// A name with tag and digest makes the same name without the one or the other superfluous: `app:v1` is not looked up where
    /// `app:v1@sha256:...` was named too, and `app@sha256:...` adds nothing to that.
    pub fn finish(self) -> Result<Vec<ImageReference>, InputError> {
        let mut pinned_tags: BTreeMap<(Repository, Tag), (Digest, &Origin)> = BTreeMap::new();
        let mut tagged_digests: BTreeSet<(Repository, Digest)> = BTreeSet::new();
        for (reference, origin) in &self.named {
            let (Some(tag), Some(digest)) = (reference.tag(), reference.digest()) else { continue };
            let repository = reference.repository();
            tagged_digests.insert((repository.clone(), digest));
            let first = *pinned_tags.entry((repository.clone(), tag.clone())).or_insert((digest, origin));
            if first.0 != digest {
                return Err(InputError::TagOfTwoDigests {
                    reference: Box::new(ImageReference::with_tag(repository.clone(), tag.clone())),
                    first: Box::new((first.0, first.1.clone())),
                    second: Box::new((digest, origin.clone())),
                });
            }
        }
        let superfluous = |reference: &ImageReference| match (reference.tag(), reference.digest()) {
            (Some(tag), None) => pinned_tags.contains_key(&(reference.repository().clone(), tag.clone())),
            (None, Some(digest)) => tagged_digests.contains(&(reference.repository().clone(), digest)),
            _ => false,
        };
        let mut seen = BTreeSet::new();
        let references = self.named.iter().map(|(reference, _)| reference);
        let wanted = references.filter(|reference| !superfluous(reference) && seen.insert(reference.to_string()));
        Ok(wanted.cloned().collect())
    }

    fn each_line(
        &mut self,
        origin: &Origin,
        bytes: &[u8],
        read: impl Fn(&str, &Origin) -> Result<ImageReference, InputError>,
    ) -> Result<(), InputError> {
        let mut named = Vec::new();
        for (position, line) in text(origin, bytes)?.lines().enumerate() {
            if position >= MAX_LINES {
                return Err(InputError::TooManyLines { origin: origin.clone(), limit: MAX_LINES });
            }
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let origin = Origin { name: origin.name.clone(), line: Some(position + 1) };
            named.push((read(line, &origin)?, origin));
        }
        self.take(origin, named)
    }

    fn take(&mut self, origin: &Origin, named: Vec<(ImageReference, Origin)>) -> Result<(), InputError> {
        if named.is_empty() {
            return Err(InputError::NothingNamed { origin: origin.clone() });
        }
        self.named.extend(named);
        Ok(())
    }
}

fn text<'a>(origin: &Origin, bytes: &'a [u8]) -> Result<&'a str, InputError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(InputError::TooLarge { origin: origin.clone(), limit: MAX_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(|cause| InputError::NotText { origin: origin.clone(), cause })?;
    // The mark that editors on Windows put first.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn parse(text: &str, origin: &Origin) -> Result<ImageReference, InputError> {
    text.parse().map_err(|cause| InputError::ReferenceMalformed {
        origin: origin.clone(),
        text: printable(text, SHOWN_CHARACTERS),
        cause,
    })
}

/// Reads a name whose digest is known. One that the name has itself has to be the same.
fn pinned(name: &str, digest: Digest, origin: &Origin) -> Result<ImageReference, InputError> {
    if !name.contains('@') {
        return parse(&format!("{name}@{digest}"), origin);
    }
    let reference = parse(name, origin)?;
    if reference.digest() == Some(digest) {
        return Ok(reference);
    }
    Err(InputError::DigestsDiffer { origin: origin.clone(), reference: Box::new(reference), digest })
}
