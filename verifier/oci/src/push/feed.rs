//! The body of an upload that is read elsewhere while it is written.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use reqwest::Body;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::RegistryError;
use crate::index::Descriptor;
use crate::pull::blob_name;
use crate::registry::{Registry, locked};
use crate::{BlobStream, DigestHasher, Repository};

/// A blob that is read as often as an upload of it is begun.
pub(super) struct Feed {
    source: Arc<Source>,
    /// The stream that was opened before the upload.
    first: Mutex<Option<BlobStream>>,
}

struct Source {
    registry: Registry,
    repository: Repository,
    descriptor: Descriptor,
    progress: Arc<Progress>,
}

impl Feed {
    /// Opens the blob, so that one that cannot be had is known before anything is asked of the other side.
    pub(super) async fn open(
        registry: &Registry,
        repository: &Repository,
        descriptor: &Descriptor,
        progress: Arc<Progress>,
    ) -> Result<Self, RegistryError> {
        let first = registry.blob_stream_once(repository, descriptor, 0).await?;
        let (registry, repository, descriptor) = (registry.clone(), repository.clone(), descriptor.clone());
        let source = Arc::new(Source { registry, repository, descriptor, progress });
        Ok(Self { source, first: Mutex::new(Some(first)) })
    }

    /// Returns a body that ends only when every byte was seen and hashes to the digest: the last piece is held back until
    /// then, and an error in its place breaks the upload off.
    pub(super) fn body(&self) -> Body {
        let stream = locked(&self.first).take();
        self.source.progress.begin();
        let pauses = Box::new(self.source.registry.0.retry.pauses());
        let flow = Flow {
            source: self.source.clone(),
            stream,
            position: 0,
            hasher: Some(DigestHasher::new()),
            held: Bytes::new(),
            pauses,
        };
        Body::wrap_stream(stream::try_unfold(flow, Flow::next))
    }
}

struct Flow {
    source: Arc<Source>,
    stream: Option<BlobStream>,
    position: u64,
    /// Gone when the end was reached.
    hasher: Option<DigestHasher>,
    held: Bytes,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
}

impl Flow {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BrokenOff> {
        match self.piece().await {
            Ok(Some(piece)) => Ok(Some((piece, self))),
            Ok(None) => Ok(None),
            Err(failure) => {
                self.source.progress.fail(failure);
                Err(BrokenOff)
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let Some(hasher) = &mut self.hasher else { return Ok(None) };
            if self.stream.is_none() {
                self.stream = Some(self.source.open(self.position).await?);
            }
            let stream = self.stream.as_mut().expect("it was opened just now");
            match stream.next().await {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    hasher.update(&piece);
                    self.position += piece.len() as u64;
                    self.source.progress.note(self.position);
                    let ready = std::mem::replace(&mut self.held, piece);
                    if !ready.is_empty() {
                        return Ok(Some(ready));
                    }
                }
                // What has come need not come again.
                Some(Err(error)) if error.retryable() && self.position > 0 => {
                    let Some(pause) = self.pauses.next() else { return Err(error) };
                    tracing::debug!(code = error.code(), position = self.position, "the source broke off, resuming");
                    sleep(pause).await;
                    self.stream = None;
                }
                Some(Err(error)) => return Err(error),
                None => return self.end().map(Some),
            }
        }
    }

    /// Lets the last piece go, where the digest is right.
    fn end(&mut self) -> Result<Bytes, RegistryError> {
        let actual = self.hasher.take().map(DigestHasher::finish);
        let expected = self.source.descriptor.digest;
        match actual {
            Some(actual) if actual != expected => {
                let what = blob_name(&self.source.repository, &self.source.descriptor);
                Err(RegistryError::DigestMismatch { what, expected, actual })
            }
            _ => {
                self.source.progress.end();
                Ok(std::mem::take(&mut self.held))
            }
        }
    }
}

impl Source {
    async fn open(&self, position: u64) -> Result<BlobStream, RegistryError> {
        self.registry.blob_stream_once(&self.repository, &self.descriptor, position).await
    }
}

/// How far an upload has come, seen from beside it.
pub(super) struct Progress(Mutex<State>);

struct State {
    moved_at: Instant,
    position: u64,
    is_whole: bool,
    failure: Option<RegistryError>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { moved_at: Instant::now(), position: 0, is_whole: false, failure: None }))
    }

    fn begin(&self) {
        *locked(&self.0) = State { moved_at: Instant::now(), position: 0, is_whole: false, failure: None };
    }

    fn note(&self, position: u64) {
        let mut state = locked(&self.0);
        (state.moved_at, state.position) = (Instant::now(), position);
    }

    fn end(&self) {
        let mut state = locked(&self.0);
        (state.moved_at, state.is_whole) = (Instant::now(), true);
    }

    fn fail(&self, failure: RegistryError) {
        locked(&self.0).failure = Some(failure);
    }

    /// Returns what broke the upload off, if it was the source.
    pub(super) fn failure(&self) -> Option<RegistryError> {
        locked(&self.0).failure.take()
    }

    /// Checks, after an answer, that it came to the whole body: whoever answers before that cannot have stored it.
    pub(super) fn finished(&self, what: &str, size: u64) -> Result<(), RegistryError> {
        let state = locked(&self.0);
        if state.is_whole {
            return Ok(());
        }
        Err(RegistryError::Truncated { what: what.to_owned(), expected: size, actual: state.position })
    }

    /// Returns when nothing has moved for `limit`.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let until = locked(&self.0).moved_at + limit;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// What the HTTP library is told; the reason is kept beside it.
#[derive(Debug, thiserror::Error)]
#[error("the source broke off")]
struct BrokenOff;
