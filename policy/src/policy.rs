//! A policy: read once, never empty, and asked as often as there are signatures.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_saphyr::Spanned;

use crate::assessment::{Accepted, Assessment, Decision, Principal, distinct_entries, distinct_logs};
use crate::document::{DenyEntry, Document, GalleryBlock, RequireEntry, TrustEntry};
use crate::draft::{SignerDraft, SignerSpec, Text, place, text};
use crate::error::{Location, PolicyError};
use crate::facts::{Asked, SignatureFacts};
use crate::gallery_index::Cutoffs;
use crate::require::{Deny, Require, Trust};
use crate::signer::Signer;
use crate::window::Window;
use crate::yaml;

/// Says who may have signed what, and when.
///
/// There is no empty policy and no default one: the first signer is always there, with an issuer and an identity.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) first: Signer,
    pub(crate) others: Vec<Signer>,
    pub(crate) threshold: usize,
    pub(crate) distinct_logs: usize,
    pub(crate) window: Window,
    pub(crate) deny: Deny,
    pub(crate) require: Require,
    pub(crate) trust: Option<Trust>,
}

impl Policy {
    /// Reads a policy document of `version: 1`. `origin` names it in errors; nothing is read from there.
    pub fn from_yaml(origin: &str, text: &str) -> Result<Self, PolicyError> {
        let document: Document = yaml::from_str(origin, text)?;
        let root = Location::new(origin, "");
        if document.version.value != 1 {
            return Err(PolicyError::UnknownVersion {
                at: place(&document.version, &root, "version"),
                version: document.version.value,
            });
        }
        let at = place(&document.signers, &root, "signers");
        let mut drafts = Vec::new();
        for (index, entry) in document.signers.value.into_iter().enumerate() {
            let at = place(&entry, &at, &format!("[{index}]"));
            drafts.push(SignerDraft::from_entry(entry.value, &at));
        }
        let terms = Terms {
            threshold: document.threshold,
            distinct_logs: document.distinct_logs,
            not_before: document.not_before,
            not_after: document.not_after,
            max_age: document.max_age,
            deny: document.deny,
            require: document.require,
            trust: document.trust,
        };
        Self::build(drafts, &at, terms, &root)
    }

    /// Reads a gallery's `verification` block as a policy with one signer, called `gallery`.
    pub fn from_gallery_block(origin: &str, block: &GalleryBlock) -> Result<Self, PolicyError> {
        let fields = block.0.value.clone();
        let root = Location::new(origin, "").at(block.0.referenced.line(), block.0.referenced.column());
        let mut draft = SignerDraft::from_gallery(&fields, &root);
        draft.name = Some(Text { value: "gallery".to_owned(), at: root.clone() });
        let terms = Terms {
            threshold: fields.threshold,
            distinct_logs: fields.distinct_logs,
            not_before: fields.not_before,
            not_after: fields.not_after,
            max_age: fields.max_age,
            deny: fields.deny,
            require: fields.require,
            trust: fields.trust,
        };
        Self::build(vec![draft], &root, terms, &root)
    }

    /// Makes a policy of one signer that was described by flags.
    pub fn for_identity(signer: SignerSpec) -> Result<Self, PolicyError> {
        let root = Location::new("signer", "");
        let draft = SignerDraft::from_spec(signer, &root);
        Self::build(vec![draft], &root, Terms::default(), &root)
    }

    fn build(drafts: Vec<SignerDraft>, at: &Location, terms: Terms, root: &Location) -> Result<Self, PolicyError> {
        if drafts.len() > MAX_SIGNERS {
            return Err(PolicyError::TooComplex { at: at.clone() });
        }
        let mut names = BTreeSet::new();
        let mut signers = Vec::new();
        for (index, draft) in drafts.into_iter().enumerate() {
            let name_at = draft.name.as_ref().map_or_else(|| at.clone(), |name| name.at.clone());
            let signer = Signer::compile(draft, &format!("signer-{}", index + 1))?;
            if !names.insert(signer.name.clone()) {
                return Err(PolicyError::DuplicateName { at: name_at, name: signer.name });
            }
            signers.push(signer);
        }
        let count = signers.len();
        let mut signers = signers.into_iter();
        let first = signers.next().ok_or_else(|| PolicyError::Empty { at: at.clone() })?;
        Ok(Self {
            first,
            others: signers.collect(),
            threshold: threshold(terms.threshold, count, root)?,
            distinct_logs: logs(terms.distinct_logs, root)?,
            window: Window::parse(
                terms.not_before.map(|time| text(time, root, "not_before")),
                terms.not_after.map(|time| text(time, root, "not_after")),
                terms.max_age.map(|age| text(age, root, "max_age")),
            )?,
            deny: deny(terms.deny, root)?,
            require: require(terms.require, root)?,
            trust: terms.trust.map(|entry| trust(entry, root)).transpose()?,
        })
    }

    /// Returns what must stand together in one subject of a signed statement.
    pub fn require(&self) -> &Require {
        &self.require
    }

    /// Returns this policy with further demands. What it requires already stays: of an annotation that both name, its own value counts.
    #[must_use]
    pub fn requiring(&self, more: Require) -> Self {
        let mut policy = self.clone();
        policy.require.tag |= more.tag;
        policy.require.repository |= more.repository;
        policy.require.platforms |= more.platforms;
        for (key, value) in more.annotations {
            policy.require.annotations.entry(key).or_insert(value);
        }
        policy
    }

    /// Returns this policy with what a gallery index withdraws: the later cutoff counts, and what either denies is denied. What this policy
    /// refuses, it refuses still.
    #[must_use]
    pub fn tightened(&self, cutoffs: &Cutoffs) -> Self {
        let mut policy = self.clone();
        policy.window.not_before = self.window.not_before.max(cutoffs.not_before);
        policy.deny.digests.extend(cutoffs.denied_digests.iter().cloned());
        policy.deny.log_entries.extend(cutoffs.denied_log_entries.iter().cloned());
        policy
    }

    /// Returns the only root this policy believes, where it says so.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.as_ref()
    }

    /// Returns how many distinct signers must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// Returns how many distinct transparency logs must hold the signatures together. Every signature is in one, so one is the least.
    pub fn distinct_logs(&self) -> usize {
        self.distinct_logs
    }

    /// Says whether one signature is by one of the signers and keeps every condition, or gives each reason why not.
    ///
    /// `now` decides `max_age` only. That the facts come from verified bytes is the caller's to ensure.
    pub fn assess(&self, facts: &SignatureFacts, asked: &Asked, now: Timestamp) -> Assessment {
        let mut denials = self.deny.denials(facts);
        denials.extend(self.window.denials(&facts.times, now));
        denials.extend(self.require.denials(facts, asked));
        let mut matching = Vec::new();
        let mut others = Vec::new();
        for signer in self.signers() {
            let of_signer = signer.denials(facts);
            match of_signer.is_empty() {
                true => matching.push(signer.name.clone()),
                false => others.extend(of_signer),
            }
        }
        if matching.is_empty() {
            denials.extend(others);
        }
        match (&facts.issuer, &facts.subject_alternative_name) {
            (Some(issuer), Some(san)) if denials.is_empty() => Assessment::Accepted(Accepted {
                signers: matching,
                principal: Principal {
                    issuer: issuer.clone(),
                    san: san.clone(),
                    source_repository: facts.claims.source_repository_uri.clone(),
                },
                log: facts.log.clone(),
            }),
            _ => Assessment::Denied(denials),
        }
    }

    /// Says whether the accepted signatures of one image are enough: as many distinct principals as the threshold says, each for an entry of its
    /// own, in as many distinct transparency logs as the policy asks for. What this policy did not accept itself must not be passed in.
    pub fn decide(&self, accepted: &[&Accepted]) -> Decision {
        let names: Vec<&str> = self.signers().map(|signer| signer.name.as_str()).collect();
        let entries = distinct_entries(accepted, &names, self.threshold);
        if entries.len() < self.threshold {
            return Decision::Unsatisfied { needed: self.threshold, have: entries.len() };
        }
        // Where one log is enough, the signature that satisfies the threshold is in one.
        if self.distinct_logs > 1 {
            let have = distinct_logs(accepted);
            if have < self.distinct_logs {
                return Decision::TooFewLogs { needed: self.distinct_logs, have };
            }
        }
        Decision::Satisfied { signers: entries.into_iter().map(|entry| names[entry].to_owned()).collect() }
    }

    pub(crate) fn signers(&self) -> impl Iterator<Item = &Signer> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// What a policy says beside its signers, as it was written.
#[derive(Default)]
struct Terms {
    threshold: Option<Spanned<u64>>,
    distinct_logs: Option<Spanned<u64>>,
    not_before: Option<Spanned<String>>,
    not_after: Option<Spanned<String>>,
    max_age: Option<Spanned<String>>,
    deny: Option<DenyEntry>,
    require: Option<RequireEntry>,
    trust: Option<Spanned<TrustEntry>>,
}

fn threshold(given: Option<Spanned<u64>>, signers: usize, root: &Location) -> Result<usize, PolicyError> {
    let Some(given) = given else { return Ok(1) };
    usize::try_from(given.value)
        .ok()
        .filter(|threshold| (1..=signers).contains(threshold))
        .ok_or_else(|| PolicyError::Threshold { at: place(&given, root, "threshold"), threshold: given.value, signers })
}

fn logs(given: Option<Spanned<u64>>, root: &Location) -> Result<usize, PolicyError> {
    let Some(given) = given else { return Ok(1) };
    let found = usize::try_from(given.value).ok().filter(|logs| (1..=MAX_LOGS).contains(logs));
    found.ok_or_else(|| PolicyError::InvalidValue {
        at: place(&given, root, "distinct_logs"),
        expected: "a number of transparency logs from 1 to 32",
        found: given.value.to_string(),
    })
}

fn deny(entry: Option<DenyEntry>, root: &Location) -> Result<Deny, PolicyError> {
    let Some(entry) = entry else { return Ok(Deny::default()) };
    let root = root.below("deny");
    let read = |values: Option<Vec<Spanned<String>>>, key: &str| {
        let mut all = BTreeSet::new();
        for (index, value) in values.unwrap_or_default().into_iter().enumerate() {
            let value = text(value, &root.below(key), &format!("[{index}]"));
            if !is_digest(&value.value) {
                return Err(PolicyError::InvalidValue {
                    at: value.at,
                    expected: "sha256: and 64 lower-case hexadecimal digits",
                    found: value.value,
                });
            }
            all.insert(value.value);
        }
        Ok(all)
    };
    Ok(Deny { digests: read(entry.digests, "digests")?, log_entries: read(entry.log_entries, "log_entries")? })
}

fn require(entry: Option<RequireEntry>, root: &Location) -> Result<Require, PolicyError> {
    let Some(entry) = entry else { return Ok(Require::default()) };
    let at = root.below("require").below("annotations");
    let mut require =
        Require { tag: entry.tag, repository: entry.repository, platforms: entry.platforms, ..Require::default() };
    for (key, value) in entry.annotations.unwrap_or_default() {
        if key.is_empty() {
            return Err(PolicyError::Empty { at: place(&value, &at, &key) });
        }
        require.annotations.insert(key, value.value);
    }
    Ok(require)
}

fn trust(entry: Spanned<TrustEntry>, root: &Location) -> Result<Trust, PolicyError> {
    let at = place(&entry, root, "trust");
    let filled = |value: Spanned<String>, at: &Location, key: &str| {
        let value = text(value, at, key);
        match value.value.is_empty() || value.value.chars().any(char::is_control) {
            true => Err(PolicyError::Empty { at: value.at }),
            false => Ok(value),
        }
    };
    Ok(match entry.value {
        TrustEntry::PublicGood => Trust::PublicGood,
        TrustEntry::File(path) => Trust::File(filled(path, &at, "file")?.value),
        TrustEntry::Tuf(tuf) => {
            let at = at.below("tuf");
            let url = filled(tuf.url, &at, "url")?;
            if !url.value.starts_with("https://") && !url.value.starts_with("http://") {
                return Err(PolicyError::InvalidValue {
                    at: url.at,
                    expected: "the URL of a TUF repository",
                    found: url.value,
                });
            }
            Trust::Tuf { url: url.value, root: filled(tuf.root, &at, "root")?.value }
        }
    })
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// Entries of one policy: each may hold a dozen compiled patterns.
const MAX_SIGNERS: usize = 64;

/// Logs that a policy may ask for: no trusted root knows more.
const MAX_LOGS: usize = 32;
