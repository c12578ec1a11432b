//! Tags: moved, read back, and taken away.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;

use super::{ManifestTarget, Pusher, check};
use crate::auth::Action;
use crate::error::{Answer, RegistryError};
use crate::limits::ERROR_ANSWER_BYTES;
use crate::registry::Call;
use crate::{Digest, Repository, Tag};

/// What became of a tag that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deleted {
    /// It was not there.
    Absent,
    /// It was there and is gone.
    Removed,
    /// The registry deletes no tags: it still points where it did.
    Unsupported,
}

impl Pusher {
    /// Points `tag` at a manifest, by pushing the manifest under it, and returns when the registry says that it points
    /// there: some show the old one for a few seconds.
    ///
    /// A registry that lets no tag be overwritten is [`RegistryError::TagImmutable`], unless the tag points there already. A
    /// tag that ends elsewhere is [`RegistryError::TagNotMoved`].
    pub async fn move_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        bytes: Bytes,
        media_type: &str,
        digest: Digest,
    ) -> Result<(), RegistryError> {
        let what = format!("tag {repository}:{tag}");
        check(&what, digest, Digest::of(&bytes))?;
        match self.push_manifest(repository, ManifestTarget::Tag(tag), bytes, media_type).await {
            Ok(_) => {}
            // So it is refused, too, when the answer to the push that moved it was lost.
            Err(refused @ RegistryError::TagImmutable { .. }) => {
                return match self.registry.tag_digest(repository, tag).await {
                    Ok(Some(actual)) if actual == digest => Ok(()),
                    _ => Err(refused),
                };
            }
            Err(error) => return Err(error),
        }
        let mut patience = self.registry.patience(what.clone(), SHOWN_WITHIN);
        loop {
            let actual = self.registry.tag_digest(repository, tag).await?;
            if actual == Some(digest) {
                return Ok(());
            }
            if !patience.pause().await {
                return Err(RegistryError::TagNotMoved { what, expected: digest, actual });
            }
        }
    }

    /// Takes a tag away, by its name: what it points at stays, under its digest and other tags.
    ///
    /// Registries that delete only by digest are [`Deleted::Unsupported`]: doing that would take everything else with it.
    pub async fn delete_tag(&self, repository: &Repository, tag: &Tag) -> Result<Deleted, RegistryError> {
        let what = format!("tag {repository}:{tag}");
        let mut call = Call::write(what, repository, Method::DELETE, format!("manifests/{tag}"));
        call.action = Action::Delete;
        match self.registry.fetch(&call, ERROR_ANSWER_BYTES).await {
            Ok(_) => Ok(Deleted::Removed),
            Err(RegistryError::NotFound { .. }) => Ok(Deleted::Absent),
            Err(error) if error.answer().is_some_and(is_unsupported) => Ok(Deleted::Unsupported),
            Err(error) => Err(error),
        }
    }
}

/// Distribution answers 405 where deleting is off and 400 or `UNSUPPORTED` where it deletes by digest only.
fn is_unsupported(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 405 | 501) || answer.codes.iter().any(|code| code == "UNSUPPORTED")
}

/// Tells a refusal to overwrite a tag from every other one. With a condition, a 412 without further words is about that.
pub(super) fn explain(error: RegistryError, is_conditional: bool) -> RegistryError {
    let (RegistryError::Answered { answer } | RegistryError::Denied { answer, .. }) = &error else { return error };
    let says_it_all = answer.status == 409 || (answer.status == 412 && !is_conditional);
    if !says_it_all && !speaks_of_immutability(answer) {
        return error;
    }
    let (RegistryError::Answered { answer } | RegistryError::Denied { answer, .. }) = error else { return error };
    RegistryError::TagImmutable { answer }
}

/// Returns whether a refusal is about a tag that is there and may not be overwritten, in the words of the registries that
/// have such tags.
///
/// ECR: 400 `TAG_INVALID`, "already exists in the .. repository and cannot be overwritten because the tag is immutable";
/// Harbor: 412, "configured as immutable"; Artifact Registry: 400, "has enabled tag immutability"; Quay: `TAG_IMMUTABLE`.
fn speaks_of_immutability(answer: &Answer) -> bool {
    if !matches!(answer.status, 400 | 403 | 405 | 409 | 412 | 422) {
        return false;
    }
    let codes = answer.codes.iter().map(|code| code.to_ascii_lowercase().replace('_', ""));
    let words = answer.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    codes.into_iter().any(|code| CODES.contains(&code.as_str())) || WORDS.iter().any(|word| words.contains(word))
}

const CODES: &[&str] = &["tagimmutable", "immutabletag", "tagalreadyexists", "imagetagalreadyexistsexception"];
const WORDS: &[&str] = &["immutab", "cannot be overwritten", "tag already exists", "does not allow updating"];

/// How long a registry may take to show what it was told.
const SHOWN_WITHIN: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str, message: &str) -> RegistryError {
        let mut answer = Answer::new("tag r.example/octo/app:v1", "r.example", status);
        answer.codes = vec![code.to_owned()];
        answer.message = Some(message.to_owned());
        match status {
            401 | 403 => RegistryError::Denied { answer: Box::new(answer), withheld: None },
            _ => RegistryError::Answered { answer: Box::new(answer) },
        }
    }

    #[test]
    fn registries_that_overwrite_no_tag_are_understood() {
        for (status, code, message) in [
            (
                400,
                "TAG_INVALID",
                "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.",
            ),
            (400, "MANIFEST_INVALID", "cannot update tag v1. The repository has enabled tag immutability"),
            (400, "ImageTagAlreadyExistsException", ""),
            (403, "DENIED", "The tag:app:v1 is immutable, cannot be overwrite."),
            (405, "UNSUPPORTED", "the tag is immutable"),
            (409, "TAG_IMMUTABLE", ""),
            (409, "CONFLICT", ""),
            (412, "PRECONDITION", "Failed to process request due to 'octo/app:v1' configured as immutable."),
            (412, "UNKNOWN", ""),
        ] {
            let error = explain(answered(status, code, message), false);
            assert!(matches!(error, RegistryError::TagImmutable { .. }), "{status} {code}: {error}");
            assert!(!error.retryable() && error.hint().is_some());
        }
    }

    #[test]
    fn other_refusals_stay_what_they_are() {
        for (status, code, message) in [
            (400, "MANIFEST_INVALID", "schemaVersion is not 2"),
            (400, "TAG_INVALID", "manifest tag did not match URI"),
            (403, "DENIED", "requested access to the resource is denied"),
            (405, "UNSUPPORTED", "The operation is unsupported."),
            (500, "UNKNOWN", "immutable"),
        ] {
            let error = explain(answered(status, code, message), false);
            assert!(!matches!(error, RegistryError::TagImmutable { .. }), "{status} {code}: {error}");
        }
        assert!(!matches!(
            explain(answered(412, "DENIED", "not the one expected"), true),
            RegistryError::TagImmutable { .. }
        ));
        assert!(matches!(
            explain(answered(412, "X", "configured as immutable"), true),
            RegistryError::TagImmutable { .. }
        ));
    }
}
