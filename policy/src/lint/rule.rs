//! The things that are looked for, with their codes.

use super::Level;

/// Names one thing that is looked for. Codes never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A pattern admits any branch.
    AnyBranch,
    /// A pattern admits any tag.
    AnyTag,
    /// The calling repository's ref is open.
    CallerRef,
    /// Claims are asked of certificates that carry none.
    ClaimsNeverThere,
    /// The issuer is reached over plain HTTP.
    HttpIssuer,
    /// The issuer is a known one, misspelt.
    IssuerMisspelt,
    /// The issuer is a pattern.
    IssuerPattern,
    /// Numbers of repository and owner are not asked for.
    NamesOnly,
    /// No certificate has such a name.
    NeverMatches,
    /// Nothing bounds when signatures were made.
    NoNotBefore,
    /// The signed repository is not asked for.
    NoRepositoryBinding,
    /// The identity is a workflow, and no claim says whose jobs may sign.
    NoRepositoryClaim,
    /// The signed tag is not asked for.
    NoTagBinding,
    /// `not_after` has passed.
    NotAfterPassed,
    /// `not_before` lies ahead.
    NotBeforeAhead,
    /// A claim's pattern admits anything.
    OpenClaim,
    /// A ref is open at its end.
    OpenRef,
    /// The repository is open.
    OpenRepository,
    /// The workflow file is open.
    OpenWorkflow,
    /// A trigger that people without write access can cause.
    OutsidersTrigger,
    /// An exact value has the looks of a pattern.
    PatternAsText,
    /// Pull requests' own version of the workflow may sign.
    PullRequest,
    /// Self-hosted runners may sign.
    SelfHostedRunner,
    /// Another signer admits all that this one does.
    ShadowedSigner,
    /// The signatures that the threshold asks for may all come from one repository.
    ThresholdOneParty,
    /// A dot stands for any character.
    UnescapedDot,
    /// Trigger or runner are not asked for.
    UnpinnedClaims,
    /// A gallery has no policy.
    UnverifiedGallery,
}

impl Rule {
    /// Every rule, in the order of the codes.
    pub const ALL: [Self; 28] = [
        Self::AnyBranch,
        Self::AnyTag,
        Self::CallerRef,
        Self::ClaimsNeverThere,
        Self::HttpIssuer,
        Self::IssuerMisspelt,
        Self::IssuerPattern,
        Self::NamesOnly,
        Self::NeverMatches,
        Self::NoNotBefore,
        Self::NoRepositoryBinding,
        Self::NoRepositoryClaim,
        Self::NoTagBinding,
        Self::NotAfterPassed,
        Self::NotBeforeAhead,
        Self::OpenClaim,
        Self::OpenRef,
        Self::OpenRepository,
        Self::OpenWorkflow,
        Self::OutsidersTrigger,
        Self::PatternAsText,
        Self::PullRequest,
        Self::SelfHostedRunner,
        Self::ShadowedSigner,
        Self::ThresholdOneParty,
        Self::UnescapedDot,
        Self::UnpinnedClaims,
        Self::UnverifiedGallery,
    ];

    /// Returns the stable name, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::AnyBranch => "any-branch",
            Self::AnyTag => "any-tag",
            Self::CallerRef => "caller-ref",
            Self::ClaimsNeverThere => "claims-never-there",
            Self::HttpIssuer => "http-issuer",
            Self::IssuerMisspelt => "issuer-misspelt",
            Self::IssuerPattern => "issuer-pattern",
            Self::NamesOnly => "names-only",
            Self::NeverMatches => "never-matches",
            Self::NoNotBefore => "no-not-before",
            Self::NoRepositoryBinding => "no-repository-binding",
            Self::NoRepositoryClaim => "no-repository-claim",
            Self::NoTagBinding => "no-tag-binding",
            Self::NotAfterPassed => "not-after-passed",
            Self::NotBeforeAhead => "not-before-ahead",
            Self::OpenClaim => "open-claim",
            Self::OpenRef => "open-ref",
            Self::OpenRepository => "open-repository",
            Self::OpenWorkflow => "open-workflow",
            Self::OutsidersTrigger => "outsiders-trigger",
            Self::PatternAsText => "pattern-as-text",
            Self::PullRequest => "pull-request",
            Self::SelfHostedRunner => "self-hosted-runner",
            Self::ShadowedSigner => "shadowed-signer",
            Self::ThresholdOneParty => "threshold-one-party",
            Self::UnescapedDot => "unescaped-dot",
            Self::UnpinnedClaims => "unpinned-claims",
            Self::UnverifiedGallery => "unverified-gallery",
        }
    }

    /// Returns how grave it is, where nothing makes it graver or milder.
    pub fn level(self) -> Level {
        match self {
            Self::NamesOnly
            | Self::NoNotBefore
            | Self::NoRepositoryBinding
            | Self::NoRepositoryClaim
            | Self::NoTagBinding
            | Self::NotAfterPassed
            | Self::OpenRef
            | Self::SelfHostedRunner
            | Self::UnpinnedClaims => Level::Note,
            _ => Level::Warning,
        }
    }

    /// Returns what is looked for and why, in words for a list of rules.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::AnyBranch => {
                "The pattern admits any branch. Whoever can push a branch can change the workflow on it, and sign."
            }
            Self::AnyTag => {
                "The pattern admits any tag. Whoever can push a tag can put it on any commit, with any version of the workflow, and sign. A ruleset for tags keeps that to few; nothing in a signature tells whether there is one."
            }
            Self::CallerRef => {
                "The identity is a workflow of one repository that jobs of another one call. The name holds the called workflow's ref; nothing asks from which ref it was called."
            }
            Self::ClaimsNeverThere => {
                "Claims of a build are asked of a certificate for an e-mail address, which carries none: such a signer admits nobody."
            }
            Self::HttpIssuer => {
                "The issuer is reached over plain HTTP: who sits on the way can put keys in its place and issue tokens for anybody."
            }
            Self::IssuerMisspelt => {
                "The issuer differs from a well-known one by a slash, letter case or the like. Issuers are compared to the letter: the signer admits nobody."
            }
            Self::IssuerPattern => {
                "The issuer is a pattern. A name means nothing without the issuer that vouched for it, so the issuer should be one text."
            }
            Self::NamesOnly => {
                "Repository and owner are asked for by name only. Names can be given up and registered again by others; numbers cannot."
            }
            Self::NeverMatches => {
                "GitHub Actions certificates hold the URI of a workflow file with its full ref, and the identity is none: the signer admits nobody."
            }
            Self::NoNotBefore => {
                "Nothing says when signatures may have been made. `not_before` is the lever that withdraws all older ones after a mishap."
            }
            Self::NoRepositoryBinding => {
                "The signed repository is not asked for: an image signed for one repository is accepted in every other."
            }
            Self::NoRepositoryClaim => {
                "A workflow that others can call gives its name to all of them, and no claim says whose jobs may sign. Here the job must then be of the workflow's own repository; other programs that read the same block do not ask. A warning in a gallery's block, else a note."
            }
            Self::NoTagBinding => "The signed tag is not asked for: an old signed image can be served under a new tag.",
            Self::NotAfterPassed => "`not_after` has passed: whatever is signed from now on is refused.",
            Self::NotBeforeAhead => "`not_before` lies ahead: nothing that is signed by now is accepted.",
            Self::OpenClaim => "The pattern of a claim admits anything: it only asks that the claim is there.",
            Self::OpenRef => {
                "The pattern leaves the end of a branch's or a tag's name open: whoever can push a ref that begins so can sign. Rulesets should keep such refs to few."
            }
            Self::OpenRepository => {
                "The pattern leaves the repository open: any other repository of the owner may sign."
            }
            Self::OpenWorkflow => {
                "The pattern leaves the workflow file open: any workflow of the repository may sign, those for tests among them."
            }
            Self::OutsidersTrigger => {
                "The trigger is an event that people without write access can cause; what such a job builds is easily theirs."
            }
            Self::PatternAsText => {
                "An exact value has the looks of a pattern. It is compared to the letter: the signer admits nobody."
            }
            Self::PullRequest => {
                "Jobs of pull requests may sign: they run the pull request's own version of the workflow, before anybody has agreed to it."
            }
            Self::SelfHostedRunner => {
                "Self-hosted runners may sign: what an earlier job left on one can reach into a later one."
            }
            Self::ShadowedSigner => {
                "Another signer admits everything that this one admits, and one signer is enough: this one changes nothing."
            }
            Self::ThresholdOneParty => {
                "Fewer repositories are named than signatures are asked for: whoever controls one of them can give more than one."
            }
            Self::UnescapedDot => {
                "In a pattern a bare dot stands for any character. Host and owner are compared to the letter here; the rest, and the whole pattern in other programs, is not."
            }
            Self::UnpinnedClaims => "The event that started the job, or the kind of runner, is not asked for.",
            Self::UnverifiedGallery => {
                "The gallery has no policy: nothing says who may have signed what it offers. A note where the gallery says so itself."
            }
        }
    }
}
