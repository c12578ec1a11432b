//! Blobs that lie elsewhere: mounted where the registry can, streamed where it cannot.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use reqwest::StatusCode;
use url::Url;

use super::feed::{Feed, Progress};
use super::upload::Upload;
use super::{Pusher, check};
use crate::error::RegistryError;
use crate::index::Descriptor;
use crate::registry::StreamedBody;
use crate::{Digest, Repository};

/// How a blob came to be where it was copied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Copied {
    /// The registry mounted it from the other repository: no byte went through here.
    Mounted,
    /// It was there before.
    Present,
    /// It was read there and written here, its size and digest checked on the way.
    Streamed,
}

impl Pusher {
    /// Copies a blob of `size` bytes from one repository to another, of the same registry or not.
    ///
    /// Within a registry it is mounted, where the registry and the rights allow it. Otherwise it is streamed, unless it is
    /// there: no more than a piece of it is ever held, and a source whose size or digest is another breaks the upload off
    /// before its end, so that nothing is stored. An upload whose answer was lost is looked for before it is repeated.
    pub async fn copy_blob(
        &self,
        from: &Repository,
        to: &Repository,
        digest: Digest,
        size: u64,
    ) -> Result<Copied, RegistryError> {
        let present = &self.registry.0.present;
        if from == to || present.has(to, digest) {
            return Ok(Copied::Present);
        }
        let _turn = present.turn(to, digest).await;
        if present.has(to, digest) {
            return Ok(Copied::Present);
        }
        let what = format!("blob {to}@{digest}");
        let copied = self.copy(from, &Upload { what: &what, repository: to, digest }, size).await?;
        present.note(to, digest);
        Ok(copied)
    }

    async fn copy(&self, from: &Repository, upload: &Upload<'_>, size: u64) -> Result<Copied, RegistryError> {
        let mut session = None;
        if from.registry() == upload.repository.registry() {
            match self.mount(from, upload).await? {
                Mount::Done => return Ok(Copied::Mounted),
                Mount::Session(place) => session = Some(place),
                Mount::Refused => {}
            }
        }
        if self.is_there(upload).await? {
            return Ok(Copied::Present);
        }
        if size == 0 {
            check(upload.what, upload.digest, Digest::of(b""))?;
            return self.push_whole(upload, &Bytes::new()).await.map(|()| Copied::Streamed);
        }
        let descriptor = Descriptor::new("application/octet-stream", upload.digest, size);
        let mut tries = self.registry.tries(upload.what, self.time_for(size));
        loop {
            let error = match tries.within(self.stream(from, &descriptor, upload, session.take())).await {
                Ok(()) => return Ok(Copied::Streamed),
                Err(error) => error,
            };
            tries.again(error).await?;
            if self.is_there(upload).await? {
                return Ok(Copied::Streamed);
            }
        }
    }

    /// Asks for a mount. Whatever speaks against it, short of an outage, is no failure: the blob can still be streamed.
    async fn mount(&self, from: &Repository, upload: &Upload<'_>) -> Result<Mount, RegistryError> {
        let mut call = upload.call(format!("blobs/uploads/?mount={}&from={}", upload.digest, from.path()));
        call.also_read = Some(from);
        let answer = match self.registry.open(&call).await {
            Ok(answer) => answer,
            Err(error) if error.retryable() => return Err(error),
            Err(error) => {
                tracing::debug!(what = upload.what, code = error.code(), "the mount was refused");
                return Ok(Mount::Refused);
            }
        };
        if answer.status() == StatusCode::CREATED {
            upload.stored(answer).await?;
            return Ok(Mount::Done);
        }
        self.place(upload, &answer).map(Mount::Session)
    }

    /// Who may write need not be allowed to look, or nothing may be there to look at: then it is as if it was not there.
    async fn is_there(&self, upload: &Upload<'_>) -> Result<bool, RegistryError> {
        match self.registry.blob_exists(upload.repository, upload.digest).await {
            Err(RegistryError::CredentialsRejected { .. } | RegistryError::Denied { .. }) => Ok(false),
            outcome => outcome,
        }
    }

    /// One attempt: the source is opened first, so that one that has nothing leaves no session behind.
    async fn stream(
        &self,
        from: &Repository,
        descriptor: &Descriptor,
        upload: &Upload<'_>,
        session: Option<Url>,
    ) -> Result<(), RegistryError> {
        let progress = Arc::new(Progress::new());
        let feed = Feed::open(&self.registry, from, descriptor, progress.clone()).await?;
        let place = match session {
            Some(place) => place,
            None => self.begin(upload).await?,
        };
        let mut call = upload.put(place);
        call.stream = Some(StreamedBody { size: descriptor.size, begin: Box::new(move || feed.body()) });
        let answer = {
            let stalled = progress.stalled(self.registry.0.total_timeout);
            match select(pin!(self.registry.exchange(&call)), pin!(stalled)).await {
                Either::Left((answer, _)) => answer,
                Either::Right(((), _)) => {
                    Err(RegistryError::TimedOut { what: upload.what.to_owned(), limit: self.registry.0.total_timeout })
                }
            }
        };
        match (answer, progress.failure()) {
            // What broke the upload off says more than that it broke off.
            (_, Some(failure)) => Err(failure),
            (Err(error), None) => Err(error),
            (Ok(answer), None) => {
                upload.stored(answer).await?;
                progress.finished(upload.what, descriptor.size)
            }
        }
    }
}

enum Mount {
    Done,
    Refused,
    /// An upload was opened instead.
    Session(Url),
}
