//! What a policy loses on its way from or to another verifier, by name.
//!
//! No two verifiers can say the same things. What one cannot say is never left out in silence: it is an error, or a loss with a code, its place,
//! what was said, what became of it and what to do. `EXCHANGE.md` beside this crate lists every code.

use std::fmt;
use std::str::FromStr;

use crate::claim::Claim;
use crate::error::Location;

/// Tells what a loss does to the set of images that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing: it says where, when or how, not who.
    Neutral,
    /// Fewer images are accepted than before.
    Tightens,
    /// More images are accepted than before.
    Weakens,
}

impl Effect {
    /// Returns the word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Tightens => "tightens",
            Self::Weakens => "weakens",
        }
    }
}

/// Names a loss. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LossCode {
    /// A pattern that was searched for now matches the whole value.
    Anchored,
    /// The other verifier takes statements of any predicate type for a signature.
    AnyPredicate,
    /// `\d`, `\w` and `\s` mean ASCII there, and all of Unicode here.
    AsciiClass,
    /// A claim that the other side has no word for.
    Claim(Claim),
    /// There, the signed digest was not compared with the image.
    ClaimsUnchecked,
    /// Which requests of a cluster were looked at.
    ClusterScope,
    /// The list of denied digests.
    DenyDigests,
    /// The list of denied log entries.
    DenyLogEntries,
    /// How many transparency logs must hold the signatures.
    DistinctLogs,
    /// Signers that were counted although they might be the same must now be distinct.
    DistinctSigners,
    /// Which images were looked at.
    ImageScope,
    /// Signatures of the older form, beside bundles.
    LegacySignatures,
    /// The age that a signature may have.
    MaxAge,
    /// The end of the time in which signatures were made.
    NotAfter,
    /// The beginning of the time in which signatures were made.
    NotBefore,
    /// There, a rejection was only a warning.
    NotEnforced,
    /// Only the repository of the named workflow may run it.
    OwnRepository,
    /// A pattern that can match one text only became that text.
    PatternMadeExact,
    /// How registries were reached, and other settings of the other program.
    RegistrySettings,
    /// Annotations that the statement must carry.
    RequireAnnotations,
    /// That each platform of an index is signed itself.
    RequirePlatforms,
    /// The repository that the statement must name.
    RequireRepository,
    /// The tag that the statement must name.
    RequireTag,
    /// Other repositories may run the named workflow, where it can be called.
    ReusableWorkflow,
    /// There, certificates did not have to stand in a certificate log.
    SctIgnored,
    /// Where signatures were looked for.
    SignatureRepository,
    /// The name of a signer.
    SignerName,
    /// Signers that must be distinct are only counted there.
    SignersNotDistinct,
    /// An authority that never accepts.
    StaticFail,
    /// There, signatures did not have to stand in a transparency log.
    TlogIgnored,
    /// The trusted root.
    Trust,
}

impl LossCode {
    /// Returns every code, sorted by name.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = CODES.iter().copied().chain(CLAIMS.map(Self::Claim)).collect();
        all.sort_by_key(|code| code.as_str());
        all
    }

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::AnyPredicate => "any-predicate",
            Self::AsciiClass => "ascii-class",
            Self::Claim(claim) => match claim {
                Claim::BuildConfig => "claim-build-config",
                Claim::Environment => "claim-environment",
                Claim::Owner => "claim-owner",
                Claim::OwnerId => "claim-owner-id",
                Claim::Ref => "claim-ref",
                Claim::Repository => "claim-repository",
                Claim::RepositoryId => "claim-repository-id",
                Claim::RunnerEnvironment => "claim-runner-environment",
                Claim::Trigger => "claim-trigger",
                Claim::Visibility => "claim-visibility",
            },
            Self::ClaimsUnchecked => "claims-unchecked",
            Self::ClusterScope => "cluster-scope",
            Self::DenyDigests => "deny-digests",
            Self::DenyLogEntries => "deny-log-entries",
            Self::DistinctLogs => "distinct-logs",
            Self::DistinctSigners => "distinct-signers",
            Self::ImageScope => "image-scope",
            Self::LegacySignatures => "legacy-signatures",
            Self::MaxAge => "max-age",
            Self::NotAfter => "not-after",
            Self::NotBefore => "not-before",
            Self::NotEnforced => "not-enforced",
            Self::OwnRepository => "own-repository",
            Self::PatternMadeExact => "pattern-made-exact",
            Self::RegistrySettings => "registry-settings",
            Self::RequireAnnotations => "require-annotations",
            Self::RequirePlatforms => "require-platforms",
            Self::RequireRepository => "require-repository",
            Self::RequireTag => "require-tag",
            Self::ReusableWorkflow => "reusable-workflow",
            Self::SctIgnored => "sct-ignored",
            Self::SignatureRepository => "signature-repository",
            Self::SignerName => "signer-name",
            Self::SignersNotDistinct => "signers-not-distinct",
            Self::StaticFail => "static-fail",
            Self::TlogIgnored => "tlog-ignored",
            Self::Trust => "trust",
        }
    }

    /// Returns what the loss does.
    pub fn effect(self) -> Effect {
        match self {
            Self::AnyPredicate
            | Self::ClusterScope
            | Self::ImageScope
            | Self::RegistrySettings
            | Self::SignatureRepository
            | Self::SignerName
            | Self::StaticFail => Effect::Neutral,
            Self::Anchored
            | Self::AsciiClass
            | Self::ClaimsUnchecked
            | Self::DistinctSigners
            | Self::LegacySignatures
            | Self::NotEnforced
            | Self::OwnRepository
            | Self::PatternMadeExact
            | Self::SctIgnored
            | Self::TlogIgnored => Effect::Tightens,
            Self::Claim(_)
            | Self::DenyDigests
            | Self::DenyLogEntries
            | Self::DistinctLogs
            | Self::MaxAge
            | Self::NotAfter
            | Self::NotBefore
            | Self::RequireAnnotations
            | Self::RequirePlatforms
            | Self::RequireRepository
            | Self::RequireTag
            | Self::ReusableWorkflow
            | Self::SignersNotDistinct
            | Self::Trust => Effect::Weakens,
        }
    }
}

impl fmt::Display for LossCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for LossCode {
    type Err = UnknownLossCode;

    fn from_str(text: &str) -> Result<Self, UnknownLossCode> {
        Self::all().into_iter().find(|code| code.as_str() == text).ok_or_else(|| UnknownLossCode(text.to_owned()))
    }
}

/// Says that a text names no loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is the code of no loss")]
pub struct UnknownLossCode(pub String);

/// Tells one thing that a policy lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Its name.
    pub code: LossCode,
    /// Where the thing is said: a place in a document, or a flag.
    pub at: Location,
    /// What is said there.
    pub said: String,
    /// What became of it.
    pub became: String,
    /// What to do about it, where there is anything.
    pub advice: Option<String>,
}

impl Loss {
    pub(crate) fn new(code: LossCode, at: &Location, said: impl Into<String>, became: impl Into<String>) -> Self {
        Self { code, at: at.clone(), said: said.into(), became: became.into(), advice: None }
    }

    #[must_use]
    pub(crate) fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::error::Shown;
        write!(formatter, "{} ({}): {}", self.code, self.code.effect().as_str(), self.at)?;
        if !self.said.is_empty() {
            write!(formatter, " says `{}`", Shown(&self.said))?;
        }
        write!(formatter, ": {}", Shown(&self.became))
    }
}

const CODES: [LossCode; 30] = [
    LossCode::Anchored,
    LossCode::AnyPredicate,
    LossCode::AsciiClass,
    LossCode::ClaimsUnchecked,
    LossCode::ClusterScope,
    LossCode::DenyDigests,
    LossCode::DenyLogEntries,
    LossCode::DistinctLogs,
    LossCode::DistinctSigners,
    LossCode::ImageScope,
    LossCode::LegacySignatures,
    LossCode::MaxAge,
    LossCode::NotAfter,
    LossCode::NotBefore,
    LossCode::NotEnforced,
    LossCode::OwnRepository,
    LossCode::PatternMadeExact,
    LossCode::RegistrySettings,
    LossCode::RequireAnnotations,
    LossCode::RequirePlatforms,
    LossCode::RequireRepository,
    LossCode::RequireTag,
    LossCode::ReusableWorkflow,
    LossCode::SctIgnored,
    LossCode::SignatureRepository,
    LossCode::SignerName,
    LossCode::SignersNotDistinct,
    LossCode::StaticFail,
    LossCode::TlogIgnored,
    LossCode::Trust,
];

const CLAIMS: [Claim; 10] = [
    Claim::BuildConfig,
    Claim::Environment,
    Claim::Owner,
    Claim::OwnerId,
    Claim::Ref,
    Claim::Repository,
    Claim::RepositoryId,
    Claim::RunnerEnvironment,
    Claim::Trigger,
    Claim::Visibility,
];
