//! Tar archives, read by `tar-core` and then read again for what it lets pass.
//!
//! `tar-core` bounds metadata and applies extensions; here we also refuse headers without a known format, stray zero
//! blocks, more than one way to name an entry, two sizes for one entry, and everything after the end marker.

use std::io::{self, Write};

use tar_core::parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser};
use tar_core::{Header, PaxExtensions};

use super::layer::LayerStream;
use super::{Counted, Fault, Refusal};
use crate::confine::{RelativePath, rewrites_text};
use crate::limits;

/// A stream of entries.
pub(super) struct Archive<'a> {
    stream: LayerStream<'a>,
    parser: Parser,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that were read and not used.
    unused: std::ops::Range<usize>,
    content: u64,
    padding: u64,
}

/// One entry; its path is `None` for the root.
pub(super) struct Entry {
    pub(super) path: Option<RelativePath>,
    pub(super) kind: Kind,
}

/// What an entry is.
pub(super) enum Kind {
    Directory,
    File { executable: bool, modified: u64, size: u64 },
    HardLink { target: RelativePath },
    SymbolicLink { target: String },
}

impl<'a> Archive<'a> {
    pub(super) fn new(stream: LayerStream<'a>) -> Self {
        let limits = Limits {
            max_metadata_size: limits::ARCHIVE_METADATA_BYTES,
            max_path_len: Some(limits::PATH_BYTES as u32),
            max_pending_entries: 2,
            // Sparse files are refused; none of their maps needs to be read to the end for that.
            max_sparse_entries: 4,
        };
        Self { stream, parser: Parser::new(limits), buffer: vec![0; BUFFER], unused: 0..0, content: 0, padding: 0 }
    }

    /// The next entry, `None` at the end marker.
    ///
    /// Content of the entry before that was not taken is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Fault> {
        self.content_to(&mut io::sink())?;
        self.skip(self.padding)?;
        self.padding = 0;
        loop {
            let input = &self.buffer[self.unused.clone()];
            let wanted = match self.parser.parse(input) {
                Ok(ParseEvent::NeedData { min_bytes }) => min_bytes,
                Ok(ParseEvent::Entry { consumed, entry }) => {
                    check_headers(&input[..consumed])?;
                    let size = entry.size;
                    let read = read_entry(&entry)?;
                    self.unused.start += consumed;
                    self.content = size;
                    self.padding = size.next_multiple_of(BLOCK) - size;
                    return Ok(Some(read));
                }
                Ok(ParseEvent::SparseEntry { entry, .. }) => {
                    return Err(Refusal::Sparse { path: entry.path_lossy().into_owned() }.into());
                }
                Ok(ParseEvent::GlobalExtensions { consumed, pax_data }) => {
                    check_global(&input[..consumed], pax_data)?;
                    self.unused.start += consumed;
                    continue;
                }
                Ok(ParseEvent::End { consumed }) => {
                    if consumed as u64 != 2 * BLOCK {
                        return Err(Refusal::Stray.into());
                    }
                    self.unused.start += consumed;
                    return Ok(None);
                }
                Err(ParseError::MetadataTooLarge { limit, .. }) => {
                    return Err(Refusal::Limit { what: Counted::Metadata, limit: u64::from(limit) }.into());
                }
                Err(error) => return Err(Refusal::Archive(error).into()),
            };
            self.fill(wanted)?;
        }
    }

    /// Writes the content of the last entry.
    pub(super) fn content_to(&mut self, output: &mut impl Write) -> Result<(), Fault> {
        while self.content > 0 {
            if self.unused.is_empty() && !self.refill()? {
                return Err(Refusal::EndMissing.into());
            }
            let length = (self.unused.len() as u64).min(self.content);
            let end = self.unused.start + length as usize;
            output
                .write_all(&self.buffer[self.unused.start..end])
                .map_err(|source| Fault::Disk { path: String::new(), source })?;
            self.unused.start = end;
            self.content -= length;
        }
        Ok(())
    }

    /// Reads what follows the end marker, which must be a bounded number of zeros, and hands the stream back.
    pub(super) fn finish(mut self) -> Result<LayerStream<'a>, Fault> {
        let mut padding = 0;
        loop {
            let rest = &self.buffer[self.unused.clone()];
            padding += rest.len() as u64;
            if rest.iter().any(|&byte| byte != 0) {
                return Err(Refusal::Stray.into());
            }
            if padding > limits::ARCHIVE_PADDING_BYTES {
                let limit = limits::ARCHIVE_PADDING_BYTES;
                return Err(Refusal::Limit { what: Counted::Padding, limit }.into());
            }
            self.unused = 0..0;
            if !self.refill()? {
                return Ok(self.stream);
            }
        }
    }

    fn skip(&mut self, mut bytes: u64) -> Result<(), Fault> {
        while bytes > 0 {
            if self.unused.is_empty() && !self.refill()? {
                return Err(Refusal::EndMissing.into());
            }
            let length = (self.unused.len() as u64).min(bytes);
            self.unused.start += length as usize;
            bytes -= length;
        }
        Ok(())
    }

    /// Makes at least `wanted` unused bytes available in one piece.
    fn fill(&mut self, wanted: usize) -> Result<(), Fault> {
        if wanted > BUFFER_LIMIT {
            return Err(Refusal::Limit { what: Counted::Metadata, limit: BUFFER_LIMIT as u64 }.into());
        }
        if self.unused.start > 0 {
            self.buffer.copy_within(self.unused.clone(), 0);
            self.unused = 0..self.unused.len();
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.unused.len() < wanted {
            let length = self.stream.read(&mut self.buffer[self.unused.end..])?;
            if length == 0 {
                return Err(Refusal::EndMissing.into());
            }
            self.unused.end += length;
        }
        Ok(())
    }

    /// Fills an empty buffer, `false` at the end of the stream.
    fn refill(&mut self) -> Result<bool, Fault> {
        let length = self.stream.read(&mut self.buffer)?;
        self.unused = 0..length;
        Ok(length > 0)
    }
}

fn read_entry(entry: &ParsedEntry<'_>) -> Result<Entry, Fault> {
    if !entry.header.is_ustar() && !entry.header.is_gnu() {
        return Err(Refusal::HeaderFormat.into());
    }
    check_extensions(entry.pax.unwrap_or_default())?;
    let flag = entry.header.as_ustar().typeflag[0];
    let path = RelativePath::parse(&entry.path)?;
    let shown = || entry.path_lossy().into_owned();
    let size = |header, extension| Refusal::Size { path: shown(), header, extension };

    let in_header = entry.header.entry_size().map_err(|error| Refusal::Archive(error.into()))?;
    // A size that the header's octal digits cannot hold may stand in the extension alone.
    if entry.size != in_header && !(in_header == 0 && entry.size >= OCTAL_LIMIT) {
        return Err(size(in_header, entry.size).into());
    }
    let kind = match flag {
        b'0' | 0 if entry.path.ends_with(b"/") => return Err(Refusal::Type { path: shown(), kind: '/' }.into()),
        b'0' | 0 => Kind::File { executable: entry.mode & 0o111 != 0, modified: entry.mtime, size: entry.size },
        b'1' | b'2' | b'5' if entry.size != 0 => return Err(size(entry.size, 0).into()),
        b'5' => Kind::Directory,
        b'1' | b'2' => {
            let target = entry.link_target.as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(target).into_owned();
            match flag {
                b'1' => match RelativePath::parse(target)? {
                    Some(target) => Kind::HardLink { target },
                    None => return Err(Refusal::HardLink { path: shown(), target: text }.into()),
                },
                _ if link_text_is_clean(target) => Kind::SymbolicLink { target: text },
                _ => return Err(Refusal::Link { path: shown(), target: text }.into()),
            }
        }
        other => return Err(Refusal::Type { path: shown(), kind: char::from(other) }.into()),
    };
    Ok(Entry { path, kind })
}

/// Whether a link's target is relative text that can be shown and judged.
fn link_text_is_clean(target: &[u8]) -> bool {
    match std::str::from_utf8(target) {
        Ok(text) => !text.is_empty() && !text.starts_with('/') && !text.chars().any(rewrites_text),
        Err(_) => false,
    }
}

/// Checks the headers in front of one entry: at most one POSIX extension, or at most one GNU long name and one GNU long link.
fn check_headers(bytes: &[u8]) -> Result<(), Refusal> {
    let mut rest = bytes;
    let mut seen = Vec::new();
    while let Some((block, after)) = rest.split_first_chunk::<512>() {
        let header = Header::from_bytes(block);
        if header.is_empty() {
            return Err(Refusal::Stray);
        }
        if after.is_empty() {
            return Ok(());
        }
        let flag = header.as_ustar().typeflag[0];
        let compatible = match flag {
            b'x' => seen.is_empty(),
            b'K' | b'L' => !seen.contains(&b'x') && !seen.contains(&flag),
            _ => false,
        };
        if !compatible {
            return Err(Refusal::Extension);
        }
        seen.push(flag);
        let size = header.entry_size().map_err(|error| Refusal::Archive(error.into()))?;
        rest = after.get(size.next_multiple_of(BLOCK) as usize..).ok_or(Refusal::Extension)?;
    }
    Err(Refusal::Extension)
}

/// Checks the records of a POSIX extension: no sparse map, no record twice, no word that POSIX does not have.
fn check_extensions(pax: &[u8]) -> Result<(), Refusal> {
    let mut seen: Vec<&[u8]> = Vec::new();
    for record in PaxExtensions::new(pax) {
        let record = record.map_err(|error| Refusal::Archive(error.into()))?;
        let key = record.key_bytes();
        // Words with a dot are a vendor's own; those of GNU change what the entry is.
        let known = key.contains(&b'.') && !key.starts_with(b"GNU.") || POSIX_WORDS.contains(&key);
        if !known || seen.contains(&key) || seen.len() == EXTENSIONS {
            return Err(Refusal::Extension);
        }
        seen.push(key);
    }
    Ok(())
}

/// Checks a global extension, which may only be a comment: it would change every entry after it.
fn check_global(consumed: &[u8], pax: &[u8]) -> Result<(), Refusal> {
    if consumed.len() != 512 + pax.len().next_multiple_of(512) {
        return Err(Refusal::Extension);
    }
    for record in PaxExtensions::new(pax) {
        if record.map_err(|error| Refusal::Archive(error.into()))?.key_bytes() != b"comment" {
            return Err(Refusal::Extension);
        }
    }
    Ok(())
}

const BLOCK: u64 = 512;
/// One more than eleven octal digits can say.
const OCTAL_LIMIT: u64 = 1 << 33;
const BUFFER: usize = 256 * 1024;
/// Extensions up to their bound, with a header each.
const BUFFER_LIMIT: usize = limits::ARCHIVE_METADATA_BYTES as usize + 8 * 1024;
/// Records before one entry; comparing each with each must stay cheap.
const EXTENSIONS: usize = 256;
const POSIX_WORDS: [&[u8]; 12] = [
    b"atime",
    b"charset",
    b"comment",
    b"ctime",
    b"gid",
    b"gname",
    b"linkpath",
    b"mtime",
    b"path",
    b"size",
    b"uid",
    b"uname",
];
