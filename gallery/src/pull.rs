//! Bytes from a registry to a file: counted, hashed while they are written, and resumed where they broke off.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign_oci::index::Descriptor;
use countersign_oci::{Class, Digest, DigestHasher, Registry, RegistryError, Repository};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::confine::{RelativePath, Root};
use crate::limits;

/// How much of an image has arrived, for whoever shows it.
#[derive(Debug, Default)]
pub struct Transfer {
    expected: AtomicU64,
    arrived: AtomicU64,
    waiting: AtomicBool,
    activating: AtomicBool,
}

/// Why a layer did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The bytes are not the ones that the manifest names.
    #[error("layer {expected} arrived with digest {actual}")]
    DigestMismatch {
        /// The digest in the manifest.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// The file could not be written.
    #[error("cannot write {path}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
    /// The registry did not deliver.
    #[error("layer {layer} does not arrive")]
    Registry {
        /// The layer.
        layer: Digest,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
}

/// One layer on its way.
#[derive(Clone)]
pub(crate) struct LayerPull {
    pub(crate) registry: Registry,
    /// The repositories that may have it, the one to ask first in front.
    pub(crate) repositories: Vec<Repository>,
    pub(crate) descriptor: Descriptor,
    pub(crate) partial: PathBuf,
    pub(crate) blob: PathBuf,
    pub(crate) transfer: Arc<Transfer>,
}

impl Transfer {
    /// Bytes that are expected in all, 0 before that is known.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// Bytes that have arrived.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Whether another process works in the backends path, and is waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether the backend is about to take its place: who gives the installation up now cannot tell whether it has.
    #[must_use]
    pub fn is_activating(&self) -> bool {
        self.activating.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    pub(crate) fn activating(&self) {
        self.activating.store(true, Ordering::Relaxed);
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.arrived.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl LayerPull {
    /// Fetches the layer; when this returns, the blob file holds exactly the bytes that the descriptor names.
    pub(crate) async fn fetch(self) -> Result<(), PullError> {
        let mut file = self.blocking(|pull| PartialFile::open(&pull.partial, pull.descriptor.size)).await?;
        self.transfer.advance(file.length);
        // What an earlier process left is believed only if the whole has the right digest.
        let mut left_over = file.length > 0;
        loop {
            file = self.complete(file).await?;
            let actual = file.digest();
            if actual == self.descriptor.digest {
                return self.blocking(|pull| std::fs::rename(&pull.partial, &pull.blob)).await;
            }
            file = self.blocking(move |_| file.restart()).await?;
            if !std::mem::take(&mut left_over) {
                return Err(PullError::DigestMismatch { expected: self.descriptor.digest, actual });
            }
        }
    }

    /// Asks repository after repository until all bytes are there; only one that cannot be reached is passed over.
    async fn complete(&self, mut file: PartialFile) -> Result<PartialFile, PullError> {
        let mut first = None;
        for repository in &self.repositories {
            let failure;
            (file, failure) = self.complete_from(repository, file).await?;
            match failure {
                None => return Ok(file),
                Some(error) if error.class() == Class::Unreachable => first = first.or(Some(error)),
                Some(error) => return Err(self.failed(error)),
            }
        }
        Err(match first {
            Some(error) => self.failed(error),
            None => PullError::Disk { path: self.partial.clone(), source: io::ErrorKind::InvalidInput.into() },
        })
    }

    async fn complete_from(
        &self,
        repository: &Repository,
        mut file: PartialFile,
    ) -> Result<(PartialFile, Option<RegistryError>), PullError> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let failure;
            (file, failure) = self.append(repository, file).await?;
            match failure {
                Some(RegistryError::RangeIgnored { .. }) if attempt < limits::LAYER_ATTEMPTS => {
                    file = self.blocking(move |_| file.restart()).await?;
                }
                Some(error) if error.retryable() && attempt < limits::LAYER_ATTEMPTS => {
                    tracing::info!(layer = %self.descriptor.digest, arrived = file.length, %error, "trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                failure => return Ok((file, failure)),
            }
            attempt += 1;
        }
    }

    /// Appends what one answer brings. The file is written and hashed on its own thread, while further bytes arrive.
    async fn append(
        &self,
        repository: &Repository,
        file: PartialFile,
    ) -> Result<(PartialFile, Option<RegistryError>), PullError> {
        if file.length == self.descriptor.size {
            return Ok((file, None));
        }
        let mut stream = match self.registry.blob_stream(repository, &self.descriptor, file.length).await {
            Ok(stream) => stream,
            Err(error) => return Ok((file, Some(error))),
        };
        let (sender, receiver) = mpsc::channel(PIECES);
        let size = self.descriptor.size;
        let writer = tokio::task::spawn_blocking(move || file.append(receiver, size));
        let mut failure = None;
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => {
                    self.transfer.advance(bytes.len() as u64);
                    // The writer ended early, and says why.
                    if sender.send(bytes).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let file = self.disk(writer.await)?;
        Ok((file, failure))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, PullError> {
        let pull = self.clone();
        self.disk(tokio::task::spawn_blocking(move || work(&pull)).await)
    }

    fn disk<T>(&self, done: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, PullError> {
        let failed = |source| PullError::Disk { path: self.partial.clone(), source };
        done.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
    }

    fn failed(&self, error: RegistryError) -> PullError {
        PullError::Registry { layer: self.descriptor.digest, source: Box::new(error) }
    }
}

/// The bytes of a layer that are on disk, with their running hash.
struct PartialFile {
    file: File,
    hasher: DigestHasher,
    length: u64,
}

impl PartialFile {
    /// Opens the file and hashes what is in it; what is longer than the layer is thrown away.
    ///
    /// Anything else than a regular file of one name is replaced: a write to it could go elsewhere, or wait for ever.
    fn open(path: &Path, size: u64) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut root = Root::open(parent)?;
        let name = RelativePath::parse(name.as_bytes()).map_err(io::Error::other)?;
        let name = name.ok_or(io::ErrorKind::InvalidInput)?;
        let file = match root.open_or_create_file(&name) {
            Ok(file) if file.metadata()?.nlink() == 1 => file,
            _ => {
                root.remove(&name)?;
                root.open_or_create_file(&name)?
            }
        };
        let mut partial = Self { file, hasher: DigestHasher::new(), length: 0 };
        if partial.file.metadata()?.len() > size {
            return partial.restart();
        }
        let mut buffer = vec![0; HASHED_AT_ONCE];
        loop {
            match partial.file.read(&mut buffer)? {
                0 => return Ok(partial),
                length => {
                    partial.hasher.update(&buffer[..length]);
                    partial.length += length as u64;
                }
            }
        }
    }

    fn restart(mut self) -> io::Result<Self> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        Ok(Self { file: self.file, hasher: DigestHasher::new(), length: 0 })
    }

    fn append(mut self, mut pieces: mpsc::Receiver<Bytes>, size: u64) -> io::Result<Self> {
        while let Some(piece) = pieces.blocking_recv() {
            self.length += piece.len() as u64;
            if self.length > size {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.hasher.update(&piece);
            self.file.write_all(&piece)?;
        }
        Ok(self)
    }

    fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Pieces between the network and the disk.
const PIECES: usize = 32;
const HASHED_AT_ONCE: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_hashed_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("layer.partial");
        std::fs::write(&path, "one").unwrap();
        let file = PartialFile::open(&path, 6).unwrap();
        assert_eq!((file.length, file.digest()), (3, Digest::of(b"one")));
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(Bytes::from_static(b"two")).unwrap();
        drop(sender);
        assert_eq!(file.append(receiver, 6).unwrap().digest(), Digest::of(b"onetwo"));
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwo");
    }

    #[test]
    fn more_than_the_layer_has_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("layer.partial");
        std::fs::write(&path, "too much").unwrap();
        let file = PartialFile::open(&path, 3).unwrap();
        assert_eq!(file.length, 0);
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(Bytes::from_static(b"four")).unwrap();
        drop(sender);
        assert!(file.append(receiver, 3).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_partial_file_that_is_something_else_is_replaced_and_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (victim, path) = (directory.path().join("victim"), directory.path().join("layer.partial"));
        let link = |_| std::os::unix::fs::symlink(&victim, &path).unwrap();
        let second_name = |_| std::fs::hard_link(&victim, &path).unwrap();
        let subdirectory = |_| std::fs::create_dir_all(path.join("d")).unwrap();
        let makes: [&dyn Fn(()); 3] = [&link, &second_name, &subdirectory];
        for make in makes {
            std::fs::write(&victim, "untouched").unwrap();
            make(());
            let file = PartialFile::open(&path, 3).unwrap();
            assert_eq!(file.length, 0);
            assert!(path.symlink_metadata().unwrap().is_file());
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_in_the_place_of_a_partial_file_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("layer.partial");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert_eq!(PartialFile::open(&path, 3).unwrap().length, 0);
        assert!(path.symlink_metadata().unwrap().is_file());
    }
}
