//! The written form of a table.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::facts;
use super::{Case, Cases, Expected};
use crate::document::present;
use crate::draft::{place, text};
use crate::error::{Location, PolicyError};
use crate::facts::Asked;
use crate::window::timestamp;
use crate::yaml;

pub(super) fn read(origin: &str, document: &str) -> Result<Cases, PolicyError> {
    let table: Table = yaml::from_str(origin, document)?;
    let root = Location::new(origin, "");
    if table.version.value != 1 {
        let version = table.version.value;
        return Err(PolicyError::UnknownVersion { at: place(&table.version, &root, "version"), version });
    }
    let at = place(&table.cases, &root, "cases");
    if table.cases.value.is_empty() {
        return Err(PolicyError::Empty { at });
    }
    let now = table.now.map(|now| timestamp(&text(now, &root, "now"))).transpose()?;
    let defaults = table.defaults.unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (index, entry) in table.cases.value.into_iter().enumerate() {
        let at = place(&entry, &at, &format!("[{index}]"));
        if !names.insert(entry.value.name.clone()) {
            let expected = "a name that no other case has";
            return Err(PolicyError::InvalidValue { at: at.below("name"), expected, found: entry.value.name });
        }
        all.push(case(entry.value, &defaults, now, &at)?);
    }
    Ok(Cases { policy: table.policy, all })
}

fn case(entry: CaseEntry, defaults: &Defaults, now: Option<Timestamp>, at: &Location) -> Result<Case, PolicyError> {
    if entry.name.is_empty() {
        return Err(PolicyError::Empty { at: at.below("name") });
    }
    let expected = match (entry.expect, entry.codes, entry.signers) {
        (Expectation::Accepted, Some(codes), _) => {
            return Err(out_of_place(&codes, at, "codes", "no codes where `accepted` is expected"));
        }
        (Expectation::Denied, _, Some(signers)) => {
            return Err(out_of_place(&signers, at, "signers", "no signers where `denied` is expected"));
        }
        (Expectation::Accepted, None, signers) => Expected::Accepted { signers: signers.map(|signers| signers.value) },
        (Expectation::Denied, codes, None) => Expected::Denied { codes: codes.map(|codes| codes.value) },
    };
    let alone = entry.signature.over(&defaults.signature);
    let signatures = match entry.signatures {
        None => vec![facts::facts(&alone, at)?],
        Some(list) if list.is_empty() => return Err(PolicyError::Empty { at: at.below("signatures") }),
        Some(list) => {
            let one = |(index, signature): (usize, Spanned<SignatureEntry>)| {
                let at = place(&signature, at, &format!("signatures[{index}]"));
                facts::facts(&signature.value.over(&alone), &at)
            };
            list.into_iter().enumerate().map(one).collect::<Result<_, _>>()?
        }
    };
    let asked = entry.asked.unwrap_or_default();
    let own_now = entry.now.map(|now| timestamp(&text(now, at, "now"))).transpose()?;
    Ok(Case {
        name: entry.name,
        at: at.clone(),
        now: own_now.or(now),
        asked: Asked {
            repository: asked.repository.or_else(|| defaults.asked.repository.clone()).unwrap_or_default(),
            tag: asked.tag.or_else(|| defaults.asked.tag.clone()).filter(|tag| !tag.is_empty()),
        },
        signatures,
        expected,
    })
}

fn out_of_place(value: &Spanned<BTreeSet<String>>, at: &Location, key: &str, expected: &'static str) -> PolicyError {
    let found = value.value.iter().cloned().collect::<Vec<_>>().join(", ");
    PolicyError::InvalidValue { at: place(value, at, key), expected, found }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: a mapping with `version` and `cases`")]
struct Table {
    version: Spanned<u64>,
    #[serde(default, deserialize_with = "present")]
    policy: Option<String>,
    #[serde(default, deserialize_with = "present")]
    now: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    defaults: Option<Defaults>,
    cases: Spanned<Vec<Spanned<CaseEntry>>>,
}

/// What holds for every case that does not say otherwise.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping of what all cases share", from = "DefaultsEntry")]
struct Defaults {
    signature: SignatureEntry,
    asked: AskedEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultsEntry {
    #[serde(default, deserialize_with = "present")]
    certificate: Option<CertificateEntry>,
    #[serde(default, deserialize_with = "present")]
    times: Option<Vec<Spanned<String>>>,
    #[serde(default, deserialize_with = "present")]
    subjects: Option<Vec<SubjectEntry>>,
    #[serde(default, deserialize_with = "present")]
    digest: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    log_entry: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    log: Option<String>,
    #[serde(default, deserialize_with = "present")]
    asked: Option<AskedEntry>,
}

impl From<DefaultsEntry> for Defaults {
    fn from(entry: DefaultsEntry) -> Self {
        let DefaultsEntry { certificate, times, subjects, digest, log_entry, log, asked } = entry;
        let signature = SignatureEntry { certificate, times, subjects, digest, log_entry, log };
        Self { signature, asked: asked.unwrap_or_default() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, from = "WholeCase")]
struct CaseEntry {
    name: String,
    signature: SignatureEntry,
    signatures: Option<Vec<Spanned<SignatureEntry>>>,
    asked: Option<AskedEntry>,
    now: Option<Spanned<String>>,
    expect: Expectation,
    codes: Option<Spanned<BTreeSet<String>>>,
    signers: Option<Spanned<BTreeSet<String>>>,
}

/// A case as it is written: strict readers cannot flatten one mapping into another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a case: a mapping with `name` and `expect`")]
struct WholeCase {
    name: String,
    #[serde(default, deserialize_with = "present")]
    certificate: Option<CertificateEntry>,
    #[serde(default, deserialize_with = "present")]
    times: Option<Vec<Spanned<String>>>,
    #[serde(default, deserialize_with = "present")]
    subjects: Option<Vec<SubjectEntry>>,
    #[serde(default, deserialize_with = "present")]
    digest: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    log_entry: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    log: Option<String>,
    #[serde(default, deserialize_with = "present")]
    signatures: Option<Vec<Spanned<SignatureEntry>>>,
    #[serde(default, deserialize_with = "present")]
    asked: Option<AskedEntry>,
    #[serde(default, deserialize_with = "present")]
    now: Option<Spanned<String>>,
    expect: Expectation,
    #[serde(default, deserialize_with = "present")]
    codes: Option<Spanned<BTreeSet<String>>>,
    #[serde(default, deserialize_with = "present")]
    signers: Option<Spanned<BTreeSet<String>>>,
}

impl From<WholeCase> for CaseEntry {
    fn from(whole: WholeCase) -> Self {
        let WholeCase { certificate, times, subjects, digest, log_entry, log, .. } = whole;
        let signature = SignatureEntry { certificate, times, subjects, digest, log_entry, log };
        let WholeCase { name, signatures, asked, now, expect, codes, signers, .. } = whole;
        Self { name, signature, signatures, asked, now, expect, codes, signers }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "`accepted` or `denied`")]
enum Expectation {
    Accepted,
    Denied,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `repository` and `tag`")]
struct AskedEntry {
    #[serde(default, deserialize_with = "present")]
    repository: Option<String>,
    #[serde(default, deserialize_with = "present")]
    tag: Option<String>,
}

/// One verified signature.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a signature: a mapping with `certificate` and `times`")]
pub(super) struct SignatureEntry {
    #[serde(default, deserialize_with = "present")]
    pub(super) certificate: Option<CertificateEntry>,
    #[serde(default, deserialize_with = "present")]
    pub(super) times: Option<Vec<Spanned<String>>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) subjects: Option<Vec<SubjectEntry>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) digest: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) log_entry: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) log: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a certificate: a mapping with `issuer` and `identity`")]
pub(super) struct CertificateEntry {
    #[serde(default, deserialize_with = "present")]
    pub(super) issuer: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) identity: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) kind: Option<NameKind>,
    #[serde(default, deserialize_with = "present")]
    pub(super) github: Option<ClaimsEntry>,
}

/// The kind of a subject alternative name.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "`uri`, `email` or `other`")]
pub(super) enum NameKind {
    Uri,
    Email,
    Other,
}

/// Claims, by the keys that pin them in a policy.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping of claims")]
pub(super) struct ClaimsEntry {
    #[serde(default, deserialize_with = "present")]
    pub(super) repository: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) repository_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) owner: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) owner_id: Option<String>,
    #[serde(default, rename = "ref", deserialize_with = "present")]
    pub(super) reference: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) trigger: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) runner_environment: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) build_config: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) environment: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) visibility: Option<String>,
}

/// A subject of the signed statement whose digest is the one asked for.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a subject: a mapping with `repository`, `tags` and `annotations`")]
pub(super) struct SubjectEntry {
    #[serde(default, deserialize_with = "present")]
    pub(super) repository: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl SignatureEntry {
    /// What this one does not say, the other one does.
    fn over(self, other: &Self) -> Self {
        Self {
            certificate: match (self.certificate, &other.certificate) {
                (Some(own), Some(other)) => Some(own.over(other)),
                (own, other) => own.or_else(|| other.clone()),
            },
            times: self.times.or_else(|| other.times.clone()),
            subjects: self.subjects.or_else(|| other.subjects.clone()),
            digest: self.digest.or_else(|| other.digest.clone()),
            log_entry: self.log_entry.or_else(|| other.log_entry.clone()),
            log: self.log.or_else(|| other.log.clone()),
        }
    }
}

impl CertificateEntry {
    fn over(self, other: &Self) -> Self {
        Self {
            issuer: self.issuer.or_else(|| other.issuer.clone()),
            // A kind belongs to its name.
            kind: if self.identity.is_some() { self.kind } else { self.kind.or(other.kind) },
            identity: self.identity.or_else(|| other.identity.clone()),
            github: match (self.github, &other.github) {
                (Some(own), Some(other)) => Some(own.over(other)),
                (own, other) => own.or_else(|| other.clone()),
            },
        }
    }
}

impl ClaimsEntry {
    fn over(self, other: &Self) -> Self {
        let or = |own: Option<String>, other: &Option<String>| own.or_else(|| other.clone());
        Self {
            repository: or(self.repository, &other.repository),
            repository_id: or(self.repository_id, &other.repository_id),
            owner: or(self.owner, &other.owner),
            owner_id: or(self.owner_id, &other.owner_id),
            reference: or(self.reference, &other.reference),
            trigger: or(self.trigger, &other.trigger),
            runner_environment: or(self.runner_environment, &other.runner_environment),
            build_config: or(self.build_config, &other.build_config),
            environment: or(self.environment, &other.environment),
            visibility: or(self.visibility, &other.visibility),
        }
    }
}
