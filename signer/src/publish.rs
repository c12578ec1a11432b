//! A release from what the builds of its platforms pushed: one index, in every registry, signed and verified before any tag moves.

mod check;
mod children;
mod copy;
mod error;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use countersign_oci::index::{Descriptor, Manifest, Platform};
use countersign_oci::{Digest, ImageReference, ManifestTarget, Pusher, Registry, Repository, Tag, media_type};
use countersign_policy::Policy;
use futures_util::future::{join, join_all};

pub use error::PublishError;
pub(crate) use error::of_registry;
pub use tags::HoldPrefix;

use crate::attach;
use crate::error::SignError;
use crate::existing;
use crate::image_index::{self, BuiltIndex};
use crate::services::Credentials;
use crate::sign::{SignFailure, SignReport, Signer};
use crate::signing::Terms;
use crate::state::StateFile;
use crate::statement::{Annotations, StatementForm};
use crate::subjects::{Release, Subject, Walk};
use check::Consumer;
use children::Entry;

/// What a build pushed: a digest, and the repository where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The digest of an image, or of an index of images.
    pub digest: Digest,
    /// The one repository to read it from.
    pub repository: Option<Repository>,
}

/// What to publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishRequest {
    /// What the builds pushed.
    pub children: Vec<Child>,
    /// Where it lies, beside the repositories themselves.
    pub sources: Vec<Repository>,
    /// Where the release goes, the first of all first.
    pub repositories: Vec<Repository>,
    /// The tags that will lead to it, the same in every repository.
    pub tags: Vec<Tag>,
    /// The platforms that there have to be, no fewer and no more. None: whatever there is.
    pub expected_platforms: BTreeSet<Platform>,
    /// Annotations of the index itself.
    pub index_annotations: BTreeMap<String, String>,
    /// How subjects are spread over statements.
    pub form: StatementForm,
    /// What is said of every subject.
    pub annotations: Annotations,
    /// Tags that hold manifests until their index is tagged, for registries that collect what has none.
    pub hold: Option<HoldPrefix>,
    /// What consumers demand; without it, a signature by this signer.
    pub self_verify: Option<Arc<Policy>>,
    /// The repository that holds all signatures; without it they lie beside what they sign.
    pub signature_repository: Option<Repository>,
    /// Sign again what is signed, and move tags that somebody else moved meanwhile.
    pub force: bool,
}

impl PublishRequest {
    /// Asks for a release of these children in these repositories under these tags.
    #[must_use]
    pub fn new(children: Vec<Child>, repositories: Vec<Repository>, tags: Vec<Tag>) -> Self {
        Self {
            children,
            sources: Vec::new(),
            repositories: distinct(repositories),
            tags: distinct(tags),
            expected_platforms: BTreeSet::new(),
            index_annotations: BTreeMap::new(),
            form: StatementForm::default(),
            annotations: Annotations::default(),
            hold: None,
            self_verify: None,
            signature_repository: None,
            force: false,
        }
    }

    /// A digest of everything that was asked for: what a state belongs to.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let mut parts = vec!["publish".to_owned(), format!("{:?}", self.form)];
        parts.extend(self.children.iter().map(|child| child.digest.to_string()));
        parts.extend(self.repositories.iter().map(ToString::to_string));
        parts.extend(self.tags.iter().map(|tag| format!("tag {tag}")));
        parts.extend(self.index_annotations.iter().map(|(key, value)| format!("index {key}={value}")));
        parts.extend(self.annotations.iter().map(|(key, value)| format!("{key}={value}")));
        parts.extend(self.signature_repository.iter().map(|repository| format!("signatures {repository}")));
        Digest::of(&serde_json::to_vec(&parts).expect("strings always serialise"))
    }

    fn check(&self) -> Vec<PublishError> {
        let mut errors = Vec::new();
        if self.children.is_empty() {
            errors.push(PublishError::Index(image_index::IndexProblem::Empty));
        }
        if self.repositories.is_empty() {
            errors.push(PublishError::NoRepository);
        }
        if self.tags.is_empty() {
            errors.push(PublishError::NoTag);
        }
        let reserved = self.tags.iter().filter(|tag| is_reserved(tag));
        errors.extend(reserved.map(|tag| PublishError::ReservedTag { tag: tag.clone() }));
        errors
    }

    /// Where children without a repository of their own are looked for.
    fn all_sources(&self) -> Vec<Repository> {
        distinct(self.sources.iter().chain(&self.repositories).cloned().collect())
    }
}

/// Whether registries without a referrers API, or older tools, keep signatures under this name.
fn is_reserved(tag: &Tag) -> bool {
    let digits = tag.as_str().strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn distinct<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut once = Vec::with_capacity(all.len());
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// What was published, and where.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PublishReport {
    /// The index; absent where it could not be built.
    pub index: Option<PublishedIndex>,
    /// Each repository, as far as it was come.
    pub repositories: Vec<PublishedRepository>,
    /// What was signed.
    pub signed: SignReport,
    /// Tags that only held manifests and could not be taken away.
    pub holding_tags_left: Vec<ImageReference>,
    /// How many requests were made of each registry, logins included.
    pub requests: BTreeMap<String, u64>,
}

/// The index of the release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedIndex {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its platforms.
    pub platforms: Vec<Platform>,
}

/// One repository of a release.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishedRepository {
    /// Which one.
    pub repository: Repository,
    /// How many manifests had to be copied into it.
    pub copied: usize,
    /// Its tags.
    pub tags: Vec<PublishedTag>,
}

/// One tag of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedTag {
    /// The tag.
    pub tag: Tag,
    /// What it pointed at before.
    pub before: Option<Digest>,
    /// What became of it.
    pub state: TagState,
}

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagState {
    /// It points at the release, and did before.
    InPlace,
    /// It was moved to the release.
    Moved,
    /// It was not moved: the release did not come so far, or the tag may not be moved.
    Unmoved,
}

/// Why a release was not published wholly, beside what was done.
#[derive(Debug, thiserror::Error)]
#[error("the release was not published wholly")]
#[non_exhaustive]
pub struct PublishFailure {
    /// Every failure, at least one.
    pub errors: Vec<PublishError>,
    /// What was done all the same.
    pub report: Box<PublishReport>,
}

/// A release that was read and put together, and that nobody but this process knows of.
struct Assembled {
    entries: Vec<Entry>,
    index: BuiltIndex,
    bytes: Bytes,
}

impl Assembled {
    async fn read(registry: &Registry, request: &PublishRequest) -> Result<Self, Vec<PublishError>> {
        let entries = children::read(registry, &request.children, &request.all_sources()).await?;
        let descriptors: Vec<Descriptor> = entries.iter().map(|entry| entry.descriptor.clone()).collect();
        let index = image_index::build(&descriptors, &request.index_annotations, &request.expected_platforms)
            .map_err(|problem| vec![PublishError::Index(problem)])?;
        let bytes = Bytes::from(index.bytes.clone());
        Ok(Self { entries, index, bytes })
    }

    fn published(&self) -> PublishedIndex {
        PublishedIndex {
            digest: self.index.digest,
            size: self.bytes.len() as u64,
            platforms: self.index.platforms.clone(),
        }
    }

    /// The index and everything in it, in every repository, under every tag.
    fn release(&self, request: &PublishRequest) -> Result<Release, SignError> {
        let mut release = Release::default();
        for repository in &request.repositories {
            let subjects = self.subjects(repository)?;
            release.add(repository.clone(), request.tags.iter().cloned().collect(), subjects);
        }
        Ok(release)
    }

    fn subjects(&self, repository: &Repository) -> Result<Vec<Subject>, SignError> {
        let digest = self.index.digest;
        let manifest = Manifest::parse(&self.bytes, Some(media_type::OCI_INDEX))
            .expect("the index that was just built is one by its own rules");
        let first = Subject::root(digest, media_type::OCI_INDEX, self.bytes.len() as u64, &manifest);
        let mut walk = Walk::start(repository.pin(digest), first);
        walk.read(digest, &manifest)?;
        Ok(walk.finish())
    }
}

/// Says what would be published. Reads from the registries and spends nothing.
pub async fn plan(registry: &Registry, request: &PublishRequest) -> Result<PublishReport, PublishFailure> {
    let mut report = PublishReport::default();
    let errors = request.check();
    if !errors.is_empty() {
        return Err(PublishFailure { errors, report: Box::default() });
    }
    let assembled = Assembled::read(registry, request).await;
    let assembled = assembled.map_err(|errors| PublishFailure { errors, report: Box::default() })?;
    report.index = Some(assembled.published());
    match before(registry, request, None).await {
        Ok(repositories) => report.repositories = repositories,
        Err(errors) => return Err(PublishFailure { errors, report: report.into() }),
    }
    for tag in report.repositories.iter_mut().flat_map(|place| &mut place.tags) {
        if tag.before == Some(assembled.index.digest) {
            tag.state = TagState::InPlace;
        }
    }
    Ok(report)
}

impl Signer {
    /// Publishes a release.
    ///
    /// The index is built from what the children's configs say, pushed by digest to every repository, signed once for all of them, and
    /// verified through each registry, once for each tag. Only then are the tags moved, one by one, each read back. Whatever fails before
    /// leaves every tag where it was, in every registry. A tag that somebody else moved meanwhile is reported and left alone.
    ///
    /// A certificate is asked for when every child was read, every repository has proven to take writes, and the token was found good.
    pub async fn publish(
        &self,
        request: &PublishRequest,
        state: Option<&StateFile>,
    ) -> Result<PublishReport, PublishFailure> {
        let mut report = PublishReport::default();
        // On the heap: everything that is under way at once makes a large future.
        let outcome = Box::pin(self.publish_into(&mut report, request, state)).await;
        report.requests = self.registry.request_counts();
        match outcome {
            Ok(()) => Ok(report),
            Err(errors) => Err(PublishFailure { errors, report: Box::new(report) }),
        }
    }

    async fn publish_into(
        &self,
        report: &mut PublishReport,
        request: &PublishRequest,
        state: Option<&StateFile>,
    ) -> Result<(), Vec<PublishError>> {
        fail_with(request.check())?;
        let pusher = &Pusher::new(self.registry.clone());
        let credentials = Credentials::new(&self.services, &self.identity);
        let (assembled, credentials) = join(Assembled::read(&self.registry, request), credentials).await;
        let credentials = credentials.map_err(PublishError::from);
        let (assembled, credentials) = match (assembled, credentials) {
            (Ok(assembled), Ok(credentials)) => (assembled, credentials),
            (assembled, credentials) => {
                let mut errors = assembled.err().unwrap_or_default();
                errors.extend(credentials.err());
                return Err(errors);
            }
        };
        report.index = Some(assembled.published());
        let release = assembled.release(request).map_err(one)?;

        let written: BTreeSet<Repository> =
            request.repositories.iter().chain(&request.signature_repository).cloned().collect();
        let (unwritable, tags) =
            join(attach::prove_writes(pusher, &written), before(&self.registry, request, state)).await;
        let mut errors: Vec<PublishError> = unwritable.into_iter().map(PublishError::from).collect();
        match tags {
            Ok(repositories) => report.repositories = repositories,
            Err(more) => errors.extend(more),
        }
        fail_with(errors)?;

        tracing::info!(index = %assembled.index.digest, manifests = assembled.entries.len(), "built the index");
        let held = place(pusher, &assembled, request, report).await;
        let held = match held {
            Ok(held) => held,
            Err((errors, held)) => {
                report.holding_tags_left = tags::release(pusher, held).await.left;
                return Err(errors);
            }
        };
        let outcome =
            Box::pin(self.sign_and_move(pusher, &assembled, &release, request, &credentials, state, report)).await;
        // What holds a manifest that is signed and not tagged yet stays for the run that resumes.
        if outcome.is_err() {
            report.holding_tags_left = held.iter().map(tags::Held::reference).collect();
            return outcome;
        }
        if held.is_empty() {
            return Ok(());
        }
        let released = tags::release(pusher, held).await;
        report.holding_tags_left = released.left;
        fail_with(restore(pusher, &assembled, request).await)?;
        if !released.lost.is_empty() {
            // Its signature went with it.
            let signed = self.sign_missing(pusher, &assembled, &release, request, &credentials, state).await;
            signed.map_err(|failure| failure.errors.into_iter().map(PublishError::from).collect::<Vec<_>>())?;
        }
        fail_with(self.verify_as_consumers(&release, request, report).await)
    }

    /// Signs what has no signature that would do.
    async fn sign_missing(
        &self,
        pusher: &Pusher,
        assembled: &Assembled,
        release: &Release,
        request: &PublishRequest,
        credentials: &Credentials,
        state: Option<&StateFile>,
    ) -> Result<SignReport, SignFailure> {
        let signatures = request.signature_repository.as_ref();
        let roots = request.repositories.iter().map(|repository| repository.pin(assembled.index.digest));
        let terms = Terms {
            form: request.form,
            one_statement: false,
            annotations: &request.annotations,
            policy: request.self_verify.as_ref(),
            signatures,
            referred: existing::referred(&self.registry, roots, signatures).await,
            state,
        };
        Box::pin(self.sign_release(pusher, release, &terms, credentials)).await
    }

    #[expect(clippy::too_many_arguments, reason = "one step of one function, which has all of these")]
    async fn sign_and_move(
        &self,
        pusher: &Pusher,
        assembled: &Assembled,
        release: &Release,
        request: &PublishRequest,
        credentials: &Credentials,
        state: Option<&StateFile>,
        report: &mut PublishReport,
    ) -> Result<(), Vec<PublishError>> {
        let signatures = request.signature_repository.as_ref();
        let roots = || request.repositories.iter().map(|repository| repository.pin(assembled.index.digest));
        let referred =
            if request.force { BTreeSet::new() } else { existing::referred(&self.registry, roots(), signatures).await };
        let terms = Terms {
            form: request.form,
            one_statement: false,
            annotations: &request.annotations,
            policy: request.self_verify.as_ref(),
            signatures,
            referred,
            state,
        };
        match Box::pin(self.sign_release(pusher, release, &terms, credentials)).await {
            Ok(signed) => report.signed = signed,
            Err(SignFailure { errors, report: signed }) => {
                report.signed = signed;
                return Err(errors.into_iter().map(PublishError::from).collect());
            }
        }
        tracing::info!("verifying every digest through every registry");
        fail_with(self.verify_as_consumers(release, request, report).await)?;
        tracing::info!("moving the tags");
        fail_with(self.move_tags(pusher, assembled, request, report).await)
    }

    async fn verify_as_consumers(
        &self,
        release: &Release,
        request: &PublishRequest,
        report: &PublishReport,
    ) -> Vec<PublishError> {
        let own = report.signed.signer.as_ref().map(|signer| signer.policy().map(Arc::new)).transpose();
        let policy = match own {
            Ok(own) => request.self_verify.clone().or(own),
            Err(error) => return vec![error.into()],
        };
        let Some(policy) = policy else {
            return vec![SignError::NoReference.into()];
        };
        let consumer = Consumer {
            registry: &self.registry,
            verifier: &self.verifier,
            policy: &policy,
            signatures: request.signature_repository.as_ref(),
            budget: self.services.budget(),
        };
        let images = release.images.iter();
        let subjects = images.flat_map(|image| {
            let places = image.places.iter();
            places.flat_map(|(repository, _)| image.subjects.iter().map(|subject| repository.pin(subject.digest)))
        });
        consumer.verify(subjects.collect(), &request.tags).await
    }

    /// Moves the tags one by one. One that stays does not keep the others from moving.
    async fn move_tags(
        &self,
        pusher: &Pusher,
        assembled: &Assembled,
        request: &PublishRequest,
        report: &mut PublishReport,
    ) -> Vec<PublishError> {
        let mut errors = Vec::new();
        let release = (assembled.index.digest, &assembled.bytes);
        // A tag that is somebody else's by now is found before the first one moves, not after.
        for place in &report.repositories {
            for tag in &place.tags {
                let at = (&place.repository, &tag.tag);
                if let Err(error) = tags::check(&self.registry, at, tag.before, release.0, request.force).await {
                    errors.push(error);
                }
            }
        }
        if !errors.is_empty() {
            return errors;
        }
        for place in &mut report.repositories {
            for tag in &mut place.tags {
                let moved =
                    tags::advance(pusher, (&place.repository, &tag.tag), tag.before, release, request.force).await;
                match moved {
                    Ok(true) => tag.state = TagState::Moved,
                    Ok(false) => tag.state = TagState::InPlace,
                    Err(error) => errors.push(error),
                }
            }
        }
        errors
    }
}

/// Brings the index and everything in it into every repository, by digest; on failure too returns what holds them there.
async fn place(
    pusher: &Pusher,
    assembled: &Assembled,
    request: &PublishRequest,
    report: &mut PublishReport,
) -> Result<Vec<tags::Held>, (Vec<PublishError>, Vec<tags::Held>)> {
    let outcomes = join_all(request.repositories.iter().map(|to| place_in(pusher, assembled, request, to))).await;
    let (mut held, mut errors) = (Vec::new(), Vec::new());
    for (place, (outcome, holding)) in report.repositories.iter_mut().zip(outcomes) {
        held.extend(holding);
        match outcome {
            Ok(copied) => place.copied = copied,
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(held) } else { Err((errors, held)) }
}

async fn place_in(
    pusher: &Pusher,
    assembled: &Assembled,
    request: &PublishRequest,
    to: &Repository,
) -> (Result<usize, PublishError>, Vec<tags::Held>) {
    let mut held = Vec::new();
    let placed = async {
        let copied = copy::copy(pusher, &assembled.entries, to).await?;
        if let Some(prefix) = &request.hold {
            let (holding, failure) = tags::hold(pusher, prefix, to, &tags::entries(&assembled.entries)).await;
            held = holding;
            failure.map_or(Ok(()), Err)?;
        }
        let digest = assembled.index.digest;
        let bytes = assembled.bytes.clone();
        let pushed =
            pusher.push_manifest(to, ManifestTarget::Digest(digest), bytes.clone(), media_type::OCI_INDEX).await;
        let failed = |action: &'static str| {
            let what = to.pin(digest).to_string();
            move |source| PublishError::Registry { action, what, source: Box::new(source) }
        };
        pushed.map_err(failed("push the index"))?;
        if let Some(prefix) = &request.hold {
            let (holding, failure) = tags::hold(pusher, prefix, to, &[(digest, bytes, media_type::OCI_INDEX)]).await;
            held.extend(holding);
            failure.map_or(Ok(()), Err)?;
        }
        pusher.registry().wait_for_manifest(&to.pin(digest)).await.map_err(failed("see the index that was pushed,"))?;
        Ok(copied)
    }
    .await;
    (placed, held)
}

/// Looks whether everything is still there. A registry may take away more than a tag when it is asked to take away a tag.
async fn restore(pusher: &Pusher, assembled: &Assembled, request: &PublishRequest) -> Vec<PublishError> {
    let restored = join_all(request.repositories.iter().map(|repository| async move {
        for entry in &assembled.entries {
            copy::restore(pusher, entry, repository).await?;
        }
        for tag in &request.tags {
            if tags::target(pusher.registry(), repository, tag).await? == Some(assembled.index.digest) {
                continue;
            }
            let (digest, bytes) = (assembled.index.digest, &assembled.bytes);
            tags::advance(pusher, (repository, tag), None, (digest, bytes), false).await?;
        }
        Ok(())
    }));
    restored.await.into_iter().filter_map(Result::err).collect()
}

/// What every tag points at before anything is done: as an earlier call saw it, where there was one.
async fn before(
    registry: &Registry,
    request: &PublishRequest,
    state: Option<&StateFile>,
) -> Result<Vec<PublishedRepository>, Vec<PublishError>> {
    let all = request.repositories.iter().flat_map(|repository| request.tags.iter().map(move |tag| (repository, tag)));
    let found = join_all(all.map(|(repository, tag)| tags::target(registry, repository, tag))).await;
    let mut found = found.into_iter();
    let (mut places, mut errors) = (Vec::new(), Vec::new());
    for repository in &request.repositories {
        let mut tags = Vec::new();
        for tag in &request.tags {
            match found.next().unwrap_or(Ok(None)) {
                Ok(now) => {
                    let before = state.map_or(now, |state| state.tag_before(repository, tag, now));
                    tags.push(PublishedTag { tag: tag.clone(), before, state: TagState::Unmoved });
                }
                Err(error) => errors.push(error),
            }
        }
        places.push(PublishedRepository { repository: repository.clone(), copied: 0, tags });
    }
    fail_with(errors)?;
    Ok(places)
}

fn fail_with(errors: Vec<PublishError>) -> Result<(), Vec<PublishError>> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn one(error: SignError) -> Vec<PublishError> {
    vec![error.into()]
}
