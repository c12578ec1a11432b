//! The folder that the builds of the platforms fill: a file for each digest, named by it.

use std::path::Path;

use countersign_cli::Failure;
use countersign_oci::Digest;

/// More digests than any real release has.
const MAX_DIGESTS: usize = 512;
const HINT: &str =
    "the folder holds one file for each digest, named by its 64 hexadecimal digits in lower case, and nothing else";

/// Reads the names in a folder, sorted. An unexpected name is an error: what is not understood may be a build that got lost.
pub(super) fn read(folder: &Path) -> Result<Vec<Digest>, Failure> {
    let unreadable = |cause: std::io::Error| {
        let message = format!("cannot read the digests in {}: {cause}", folder.display());
        Failure::usage("digests-unreadable", message, Some(HINT.to_owned()))
    };
    let mut digests = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let is_file = entry.file_type().map_err(unreadable)?.is_file();
        match name.to_str().and_then(digest).filter(|_| is_file) {
            Some(digest) => digests.push(digest),
            None => {
                let message = format!("{} is not named by a digest", entry.path().display());
                return Err(Failure::usage("unexpected-file", message, Some(HINT.to_owned())));
            }
        }
        if digests.len() > MAX_DIGESTS {
            let message = format!("{} holds more than {MAX_DIGESTS} digests", folder.display());
            return Err(Failure::usage("too-many-digests", message, None));
        }
    }
    if digests.is_empty() {
        let message = format!("{} holds no digest", folder.display());
        let hint = "did the builds succeed, and were their artifacts downloaded into this folder?".to_owned();
        return Err(Failure::usage("no-digest", message, Some(hint)));
    }
    digests.sort();
    Ok(digests)
}

fn digest(name: &str) -> Option<Digest> {
    format!("sha256:{name}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_digests_and_nothing_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap_err().code, "no-digest");
        let (first, second) = (Digest::of(b"1"), Digest::of(b"2"));
        for digest in [first, second] {
            std::fs::write(folder.path().join(digest.hex()), "whatever").unwrap();
        }
        let mut expected = vec![first, second];
        expected.sort();
        assert_eq!(read(folder.path()).unwrap(), expected);

        let upper = first.hex().to_uppercase();
        let short = first.hex().split_off(1);
        for unexpected in [".gitkeep", "metadata.json", upper.as_str(), short.as_str(), "sha256:00"] {
            let path = folder.path().join(unexpected);
            std::fs::write(&path, "").unwrap();
            let failure = read(folder.path()).unwrap_err();
            assert_eq!(failure.code, "unexpected-file", "{unexpected}");
            assert!(failure.message.contains(unexpected), "{}", failure.message);
            std::fs::remove_file(path).unwrap();
        }
        std::fs::create_dir(folder.path().join(Digest::of(b"3").hex())).unwrap();
        assert_eq!(read(folder.path()).unwrap_err().code, "unexpected-file", "a folder is no file");
        assert_eq!(read(&folder.path().join("absent")).unwrap_err().code, "digests-unreadable");
    }
}
