//! Layers: a tar archive, compressed or not.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::registry::digest_of;

/// A regular file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path in the archive, at most 100 bytes, without leading slash.
    pub path: String,
    /// The permission bits.
    pub mode: u32,
    /// The content.
    pub content: Bytes,
}

impl File {
    /// A file that everyone may read.
    #[must_use]
    pub fn new(path: &str, content: impl Into<Bytes>) -> File {
        File { path: path.to_owned(), mode: 0o644, content: content.into() }
    }
}

impl From<(&str, &str)> for File {
    fn from((path, content): (&str, &str)) -> File {
        File::new(path, content.to_owned())
    }
}

/// A layer as it is stored in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// The media type.
    pub media_type: String,
    /// The digest of the tar archive.
    pub diff_id: String,
    /// The stored bytes, compressed or not.
    pub bytes: Bytes,
}

impl Layer {
    /// A gzip layer with these files.
    #[must_use]
    pub fn new(files: &[File]) -> Layer {
        Layer::from_tar(&tar(files))
    }

    /// A gzip layer of a tar archive that the caller made, however hostile.
    #[must_use]
    pub fn from_tar(archive: &[u8]) -> Layer {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let bytes = gzip.write_all(archive).and_then(|()| gzip.finish()).expect("writing to memory does not fail");
        Layer {
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
            diff_id: digest_of(archive),
            bytes: bytes.into(),
        }
    }

    /// A layer of bytes that are stored as they are, under a media type of the caller's choice.
    #[must_use]
    pub fn from_bytes(media_type: &str, bytes: impl Into<Bytes>) -> Layer {
        let bytes = bytes.into();
        Layer { media_type: media_type.to_owned(), diff_id: digest_of(&bytes), bytes }
    }

    /// Returns the digest of the stored bytes.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.bytes)
    }

    pub(super) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len() })
    }
}

const BLOCK: usize = 512;

/// A POSIX ustar archive of regular files, all owned by root and from the beginning of time.
fn tar(files: &[File]) -> Vec<u8> {
    let mut archive = Vec::new();
    for file in files {
        archive.extend_from_slice(&header(file));
        archive.extend_from_slice(&file.content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(file: &File) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    assert!(file.path.len() <= 100, "the path {:?} does not fit into an ustar header", file.path);
    put(0, &file.path);
    put(100, &format!("{:07o}", file.mode));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", file.content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_run_script_is_executable_and_whole() {
        let file = File { mode: 0o755, ..File::new("run.sh", "#!/bin/sh\n") };
        let layer = Layer::new(&[file]);
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&layer.bytes[..]).read_to_end(&mut archive).unwrap();
        assert_eq!(digest_of(&archive), layer.diff_id);
        assert_eq!(&archive[100..107], b"0000755");
        assert_eq!(&archive[512..522], b"#!/bin/sh\n");
        assert_eq!(archive.len(), 4 * BLOCK);
    }

    #[test]
    fn a_hostile_archive_is_kept_as_it_is() {
        let layer = Layer::from_tar(b"not a tar archive");
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&layer.bytes[..]).read_to_end(&mut archive).unwrap();
        assert_eq!(archive, b"not a tar archive");
    }
}
