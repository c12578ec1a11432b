//! What there is to sign: arguments, standard input, and what build tools write.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use countersign_cli::{Failure, flags};
use countersign_oci::{Digest, ImageReference};
use countersign_signer::SignError;
use countersign_signer::inputs::{InputError, Inputs, MAX_BYTES, Origin};

use super::report;

/// The variable that docker/metadata-action gives to every later step of a job. It counts only where `--digest` says what was built.
const METADATA_VARIABLE: &str = "DOCKER_METADATA_OUTPUT_JSON";
/// What stands for standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

const HEADING: &str = "What build tools write";

/// Which images.
#[derive(Args)]
pub(crate) struct InputFlags {
    /// The image: REPOSITORY[:TAG][@DIGEST]. Tags are resolved once and signed together with the digest. `-` reads standard input:
    /// a reference on each line; blank lines and lines that begin with `#` are skipped.
    #[arg(value_name = "REF")]
    references: Vec<String>,

    /// A file with a reference on each line, as `ko --image-refs` and `apko publish --image-refs` write it.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    image_refs: Vec<PathBuf>,

    /// The list of digests of goreleaser (dist/digests.txt): on each line a sha256 and the image's name.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    digests_file: Vec<PathBuf>,

    /// The metadata file of `docker buildx build` or `docker buildx bake`: every image in it, with all its names.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    metadata_file: Vec<PathBuf>,

    /// The digest that was built. It is signed under every tag in DOCKER_METADATA_OUTPUT_JSON, which docker/metadata-action sets for
    /// all later steps; without this flag the variable is not read.
    #[arg(long, value_name = "DIGEST", help_heading = HEADING)]
    digest: Option<Digest>,
}

impl InputFlags {
    /// Whether references are read from standard input.
    pub(crate) fn reads_standard_input(&self) -> bool {
        self.references.iter().any(|text| text == STANDARD_INPUT)
    }

    /// Reads every source and returns what they name, each once: never nothing.
    pub(crate) fn references(&self) -> Result<Vec<ImageReference>, Failure> {
        let mut inputs = Inputs::default();
        let failed = |error: InputError| failure(&error);
        let arguments = Origin::new("the command line");
        let mut standard_input_is_read = false;
        for text in &self.references {
            if text != STANDARD_INPUT {
                inputs.reference(&arguments, text).map_err(failed)?;
            } else if !standard_input_is_read {
                standard_input_is_read = true;
                inputs.lines(&Origin::new("standard input"), &standard_input(MAX_BYTES)?).map_err(failed)?;
            }
        }
        for (origin, bytes) in read("image-refs", &self.image_refs) {
            inputs.lines(&origin, &bytes?).map_err(failed)?;
        }
        for (origin, bytes) in read("digests-file", &self.digests_file) {
            inputs.digests(&origin, &bytes?).map_err(failed)?;
        }
        for (origin, bytes) in read("metadata-file", &self.metadata_file) {
            inputs.metadata(&origin, &bytes?).map_err(failed)?;
        }
        if let Some(digest) = self.digest {
            inputs.tags(&Origin::new(METADATA_VARIABLE), &metadata()?, digest).map_err(failed)?;
        }
        let references = inputs.finish().map_err(failed)?;
        if references.is_empty() {
            return Err(nothing());
        }
        Ok(references)
    }
}

fn read<'a>(what: &'a str, paths: &'a [PathBuf]) -> impl Iterator<Item = (Origin, Result<Vec<u8>, Failure>)> {
    let one = move |path: &PathBuf| (Origin::new(path.display().to_string()), flags::read_file(what, path, MAX_BYTES));
    paths.iter().map(one)
}

/// Reads standard input up to a bound.
pub(crate) fn standard_input(limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One more than is accepted, so that what is too much is seen and refused.
    std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).map_err(|cause| {
        Failure::usage("standard-input-unreadable", format!("cannot read standard input: {cause}"), None)
    })?;
    if bytes.len() as u64 > limit {
        let message = format!("standard input has more than {limit} bytes");
        return Err(Failure::usage("standard-input-too-large", message, None));
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "this is the binary, which reads the environment for the library")]
fn metadata() -> Result<String, Failure> {
    match std::env::var(METADATA_VARIABLE) {
        Ok(json) if !json.is_empty() => Ok(json),
        _ => {
            let message = format!("--digest is given, and {METADATA_VARIABLE} does not say for which tags");
            let hint = "run docker/metadata-action first, or write REPOSITORY:TAG@DIGEST".to_owned();
            Err(Failure::usage("digest-without-tags", message, Some(hint)))
        }
    }
}

fn nothing() -> Failure {
    let mut failure = report::failure(&SignError::NoReference);
    let hint = "name images as arguments, `-` for standard input, or in a file with --image-refs, --digests-file or --metadata-file";
    failure.hint = Some(hint.to_owned());
    failure
}

/// What is wrong with a reference is explained as it is everywhere.
fn failure(error: &InputError) -> Failure {
    let hint = match error {
        InputError::ReferenceMalformed { text, .. } => flags::reference(text).err().and_then(|failure| failure.hint),
        other => other.hint(),
    };
    Failure::new(error, error.code(), error.class(), false, hint)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Call {
        #[command(flatten)]
        inputs: InputFlags,
    }

    fn call(arguments: &[&str]) -> Result<Vec<ImageReference>, Failure> {
        Call::parse_from(std::iter::once(&"call").chain(arguments)).inputs.references()
    }

    #[test]
    fn arguments_and_files_are_read_together() {
        let folder = tempfile::tempdir().unwrap();
        let refs = folder.path().join("refs");
        std::fs::write(&refs, "ghcr.io/octo/b:v1\n").unwrap();
        let named = call(&["ghcr.io/octo/a:v1", "--image-refs", refs.to_str().unwrap()]).unwrap();
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        assert_eq!(named, ["ghcr.io/octo/a:v1", "ghcr.io/octo/b:v1"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_of_usage() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "\n").unwrap();
        let empty = empty.to_str().unwrap();
        let digest = Digest::of(b"x").to_string();
        let table: [(&[&str], &str); 6] = [
            (&[], "no-reference"),
            (&["HTTPS://ghcr.io/octo/app"], "malformed-reference"),
            (&["ghcr.io/octo/app:v1", "--image-refs", empty], "nothing-named"),
            (&["ghcr.io/octo/app:v1", "--digests-file", "/nonexistent"], "digests-file-unreadable"),
            (&["--metadata-file", empty], "metadata-malformed"),
            (&["--digest", &digest], "digest-without-tags"),
        ];
        for (arguments, code) in table {
            let failure = call(arguments).unwrap_err();
            assert_eq!(failure.code, code, "{arguments:?}");
            assert_eq!(failure.exit, countersign_cli::Exit::Usage, "{arguments:?}");
        }
    }

    #[test]
    fn a_mistyped_reference_is_explained() {
        assert!(call(&["ghcr.io/Octo/app"]).unwrap_err().hint.unwrap().contains("lower case"));
    }
}
