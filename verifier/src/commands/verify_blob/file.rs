//! The file that is verified, and where its bundle lies.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use countersign_cli::{Exit, Failure};
use countersign_oci::{Class, Digest, DigestHasher};
use countersign_verifier::blob::Artifact;

use super::is_file;

/// Standard input.
const STANDARD_INPUT: &str = "-";
/// Bytes of a file that is verified with a key: some keys sign the file itself, so it is in memory.
const MAX_FILE: u64 = 1 << 30;
/// What bundles that lie beside a file are called, in the order in which they are looked for.
const ENDINGS: [&str; 3] = [".sigstore.json", ".sigstore", ".bundle"];

/// A file, or what is known of it.
pub(super) enum Subject {
    Bytes(Vec<u8>),
    Digest(Digest),
}

impl Subject {
    /// Reads a file. Only its digest is kept where that is enough, so that it may be larger than the memory.
    pub(super) fn read(file: &str, needs_bytes: bool) -> Result<Self, Failure> {
        if let Some(digest) = digest(file)? {
            return Ok(Self::Digest(digest));
        }
        let read = match (file, needs_bytes) {
            (STANDARD_INPUT, true) => whole(io::stdin().lock()),
            (STANDARD_INPUT, false) => hashed(io::stdin().lock()),
            (file, true) => File::open(file).and_then(whole),
            (file, false) => File::open(file).and_then(hashed),
        };
        read.map_err(|cause| Failure::usage("file-unreadable", format!("cannot read the file {file}: {cause}"), None))
    }

    pub(super) fn artifact(&self) -> Artifact<'_> {
        match self {
            Self::Bytes(bytes) => Artifact::Bytes(bytes),
            Self::Digest(digest) => Artifact::Digest(*digest),
        }
    }
}

fn whole(reader: impl Read) -> io::Result<Subject> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes: give its digest instead")));
    }
    Ok(Subject::Bytes(bytes))
}

fn hashed(mut reader: impl Read) -> io::Result<Subject> {
    let mut hasher = DigestHasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Subject::Digest(hasher.finish())),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Returns the digest where the text is one. A file of that name is a file.
fn digest(text: &str) -> Result<Option<Digest>, Failure> {
    if is_file(text) || !text.split_once(':').is_some_and(|(algorithm, _)| algorithm.starts_with("sha")) {
        return Ok(None);
    }
    let malformed = |error: &dyn std::error::Error| {
        let hint = "a digest is sha256: and 64 hexadecimal digits in lower case".to_owned();
        Failure::new(error, "malformed-digest", Class::Usage, false, Some(hint))
    };
    text.parse().map(Some).map_err(|error| malformed(&error))
}

/// Returns where the bundle of a file lies: where it was said, else beside the file, else nowhere.
pub(super) fn bundle(file: &str, named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = named {
        return Ok(Some(path.to_owned()));
    }
    if file == STANDARD_INPUT || digest(file)?.is_some() {
        return Err(Failure::usage(
            "no-bundle",
            format!("{file} has no place beside which a bundle could lie"),
            Some("name it with --bundle FILE".into()),
        ));
    }
    // The first that is there decides: a signature that will not do is not made good by another.
    let beside = ENDINGS.iter().map(|ending| format!("{file}{ending}"));
    Ok(beside.into_iter().find(|path| is_file(path)).map(PathBuf::from))
}

/// Returns the rejection of a file that has no bundle.
pub(super) fn unsigned(file: &str) -> Failure {
    let places: Vec<String> = ENDINGS.iter().map(|ending| format!("{file}{ending}")).collect();
    let message = format!("unsigned: no bundle beside it ({})", places.join(", "));
    let mut failure = Failure::usage("unsigned", message, Some("name the bundle with --bundle FILE".into()));
    failure.class = Class::Rejected.as_str();
    failure.with_exit(Exit::Rejected)
}
