//! Signers as they were written, from a document, a gallery block or flags, with their places: what is compiled into a policy.

use serde_saphyr::Spanned;

use crate::claim::Claim;
use crate::document::{GalleryFields, GithubEntry, OneOrMore, SignerEntry};
use crate::error::Location;

/// Describes one signer in plain text, as flags give it. [`crate::Policy::for_identity`] makes a policy of it.
///
/// Exactly one of issuer and `issuer_regex`, and of identity and `identity_regex`, must be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignerSpec {
    /// What to call this signer; empty for a default.
    pub name: String,
    /// OIDC issuer, exactly.
    pub issuer: Option<String>,
    /// Pattern over the whole OIDC issuer.
    pub issuer_regex: Option<String>,
    /// Subject alternative name, exactly.
    pub identity: Option<String>,
    /// Pattern over the whole subject alternative name.
    pub identity_regex: Option<String>,
    /// Claims, where any are asked for.
    pub github: Option<GithubSpec>,
}

/// Describes the claims of one signer in plain text; the keys are those of a document's `github` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GithubSpec {
    /// `owner/name`.
    pub repository: Option<String>,
    /// Pattern over `owner/name`.
    pub repository_regex: Option<String>,
    /// Number of the repository.
    pub repository_id: Option<String>,
    /// Name of the owner.
    pub owner: Option<String>,
    /// Number of the owner.
    pub owner_id: Option<String>,
    /// Full ref, such as `refs/heads/main`.
    pub reference: Option<String>,
    /// Pattern over the full ref.
    pub reference_regex: Option<String>,
    /// Events, any of which will do; empty for all.
    pub trigger: Vec<String>,
    /// Pattern over the event.
    pub trigger_regex: Option<String>,
    /// Kind of runner.
    pub runner_environment: Option<String>,
    /// Pattern over the kind of runner.
    pub runner_environment_regex: Option<String>,
    /// URI of the top-level workflow with its ref.
    pub build_config: Option<String>,
    /// Pattern over that URI.
    pub build_config_regex: Option<String>,
    /// Deployment environment.
    pub environment: Option<String>,
    /// Pattern over the deployment environment.
    pub environment_regex: Option<String>,
    /// Visibility of the repository.
    pub visibility: Option<String>,
}

/// A value and its place.
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) at: Location,
}

/// What is said of one value: it is one of these, or it matches that. `at` is where the exact form is or would be.
pub(crate) struct Choice {
    pub(crate) at: Location,
    pub(crate) exact: Option<Vec<Text>>,
    pub(crate) pattern: Option<Text>,
}

/// A signer before its patterns are compiled.
pub(crate) struct SignerDraft {
    pub(crate) name: Option<Text>,
    pub(crate) issuer: Choice,
    pub(crate) identity: Choice,
    pub(crate) github: Option<(Location, Vec<(Claim, Choice)>)>,
}

impl SignerDraft {
    /// `at` is the place of the entry.
    pub(crate) fn from_entry(entry: SignerEntry, at: &Location) -> Self {
        Self {
            name: entry.name.map(|name| text(name, at, "name")),
            issuer: choice(entry.issuer, None, at, "issuer"),
            identity: choice(entry.identity, entry.identity_regex, at, "identity"),
            github: entry.github.map(|github| claims(github, at)),
        }
    }

    /// `at` is the place of the block.
    pub(crate) fn from_gallery(block: &GalleryFields, at: &Location) -> Self {
        Self {
            name: None,
            issuer: choice(block.issuer.clone(), block.issuer_regex.clone(), at, "issuer"),
            identity: choice(block.identity.clone(), block.identity_regex.clone(), at, "identity"),
            github: block.github.clone().map(|github| claims(github, at)),
        }
    }

    pub(crate) fn from_spec(spec: SignerSpec, at: &Location) -> Self {
        let entry = |value: Option<String>| value.map(unplaced);
        let name = Some(spec.name).filter(|name| !name.is_empty());
        Self {
            name: name.map(|name| text(unplaced(name), at, "name")),
            issuer: choice(entry(spec.issuer), entry(spec.issuer_regex), at, "issuer"),
            identity: choice(entry(spec.identity), entry(spec.identity_regex), at, "identity"),
            github: spec.github.map(|github| claims(unplaced(github.into_entry()), at)),
        }
    }
}

impl GithubSpec {
    fn into_entry(self) -> GithubEntry {
        let entry = |value: Option<String>| value.map(unplaced);
        GithubEntry {
            repository: entry(self.repository),
            repository_regex: entry(self.repository_regex),
            repository_id: entry(self.repository_id),
            owner: entry(self.owner),
            owner_id: entry(self.owner_id),
            reference: entry(self.reference),
            reference_regex: entry(self.reference_regex),
            trigger: Some(self.trigger).filter(|all| !all.is_empty()).map(|all| unplaced(OneOrMore(all))),
            trigger_regex: entry(self.trigger_regex),
            runner_environment: entry(self.runner_environment),
            runner_environment_regex: entry(self.runner_environment_regex),
            build_config: entry(self.build_config),
            build_config_regex: entry(self.build_config_regex),
            environment: entry(self.environment),
            environment_regex: entry(self.environment_regex),
            visibility: entry(self.visibility),
        }
    }
}

fn claims(github: Spanned<GithubEntry>, at: &Location) -> (Location, Vec<(Claim, Choice)>) {
    let at = place(&github, at, "github");
    let entry = github.value;
    let triggers = entry.trigger.map(|trigger| {
        let at = place(&trigger, &at, "trigger");
        let each = |value| Text { value, at: at.clone() };
        trigger.value.0.into_iter().map(each).collect()
    });
    let trigger = Choice {
        at: at.below("trigger"),
        exact: triggers,
        pattern: entry.trigger_regex.map(|pattern| text(pattern, &at, "trigger_regex")),
    };
    let all = [
        (Claim::Repository, entry.repository, entry.repository_regex),
        (Claim::RepositoryId, entry.repository_id, None),
        (Claim::Owner, entry.owner, None),
        (Claim::OwnerId, entry.owner_id, None),
        (Claim::Ref, entry.reference, entry.reference_regex),
        (Claim::RunnerEnvironment, entry.runner_environment, entry.runner_environment_regex),
        (Claim::BuildConfig, entry.build_config, entry.build_config_regex),
        (Claim::Environment, entry.environment, entry.environment_regex),
        (Claim::Visibility, entry.visibility, None),
    ];
    let given = |(claim, choice): (Claim, Choice)| choice.is_given().then_some((claim, choice));
    let claims = all
        .into_iter()
        .map(|(claim, exact, pattern)| (claim, choice(exact, pattern, &at, claim.key())))
        .chain([(Claim::Trigger, trigger)])
        .filter_map(given)
        .collect();
    (at, claims)
}

impl Choice {
    fn is_given(&self) -> bool {
        self.exact.is_some() || self.pattern.is_some()
    }
}

fn choice(exact: Option<Spanned<String>>, pattern: Option<Spanned<String>>, at: &Location, key: &str) -> Choice {
    let exact = exact.map(|exact| text(exact, at, key));
    Choice {
        at: exact.as_ref().map_or_else(|| at.below(key), |exact| exact.at.clone()),
        exact: exact.map(|exact| vec![exact]),
        pattern: pattern.map(|pattern| text(pattern, at, &format!("{key}_regex"))),
    }
}

pub(crate) fn text(value: Spanned<String>, at: &Location, key: &str) -> Text {
    Text { at: place(&value, at, key), value: value.value }
}

/// Returns the place of a value below `at`.
pub(crate) fn place<T>(value: &Spanned<T>, at: &Location, key: &str) -> Location {
    at.below(key).at(value.referenced.line(), value.referenced.column())
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(value, serde_saphyr::Location::UNKNOWN, serde_saphyr::Location::UNKNOWN)
}
