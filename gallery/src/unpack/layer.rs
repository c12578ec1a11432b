//! A layer's bytes on their way out: decompressed, counted and hashed.

use std::io::{self, Read};

use countersign_oci::{Digest, DigestHasher};

use super::{Counted, Fault, Refusal};
use crate::limits;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// RFC 1952.
    Gzip,
    /// A plain tar archive.
    None,
    /// RFC 8878.
    Zstd,
}

/// The uncompressed bytes of one layer.
pub(super) struct LayerStream<'a> {
    input: Box<dyn Read + 'a>,
    hasher: DigestHasher,
    count: u64,
    limit: u64,
}

impl Compression {
    /// The compression that a layer's media type declares, `None` for a media type that is not a layer we unpack.
    ///
    /// Non-distributable layers are not unpacked: their bytes come from a URL of the manifest's own choosing.
    #[must_use]
    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                Self::Gzip
            }
            "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                Self::Zstd
            }
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => Self::None,
            _ => return None,
        })
    }
}

impl<'a> LayerStream<'a> {
    /// Starts to decompress; at most `limit` bytes come out.
    pub(super) fn new(input: impl Read + 'a, compression: Compression, limit: u64) -> Result<Self, Fault> {
        let input: Box<dyn Read + 'a> = match compression {
            Compression::None => Box::new(input),
            Compression::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(INPUT, input)))
            }
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(io::BufReader::with_capacity(INPUT, input))
                    .map_err(|source| Fault::Disk { path: "zstd decoder".to_owned(), source })?;
                decoder
                    .window_log_max(limits::ZSTD_WINDOW_LOG)
                    .map_err(|source| Fault::Disk { path: "zstd decoder".to_owned(), source })?;
                Box::new(decoder)
            }
        };
        Ok(Self { input, hasher: DigestHasher::new(), count: 0, limit })
    }

    /// Reads the next bytes, 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        loop {
            match self.input.read(buffer) {
                Ok(length) => {
                    self.count += length as u64;
                    if self.count > self.limit {
                        return Err(Refusal::Limit { what: Counted::Bytes, limit: self.limit }.into());
                    }
                    self.hasher.update(&buffer[..length]);
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Only the operating system's errors have a number; the decoders' have none.
                Err(source) if source.raw_os_error().is_some() => {
                    return Err(Fault::Disk { path: "layer".to_owned(), source });
                }
                Err(source) => return Err(Refusal::Compression(source).into()),
            }
        }
    }

    /// The digest of everything that was read, and how much that was.
    pub(super) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }
}

/// Bytes read from the layer's file at a time.
const INPUT: usize = 128 * 1024;
