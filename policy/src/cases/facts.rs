//! What a written signature stands for.

use std::collections::BTreeMap;

use super::table::{ClaimsEntry, NameKind, SignatureEntry, SubjectEntry};
use crate::draft::{Text, text};
use crate::error::{Location, PolicyError};
use crate::facts::{Claims, SignatureFacts, SubjectFacts, TAGS_ANNOTATION};
use crate::policy::is_digest;
use crate::source_repository;
use crate::window::timestamp;

/// Empty text stands for something that is not there.
pub(super) fn facts(entry: &SignatureEntry, at: &Location) -> Result<SignatureFacts, PolicyError> {
    let certificate = entry.certificate.clone().unwrap_or_default();
    let name = certificate.identity.filter(|name| !name.is_empty());
    let digest = |given: &Option<serde_saphyr::Spanned<String>>, key: &str, filler: &str| match given {
        Some(given) => checked_digest(text(given.clone(), at, key)),
        None => Ok(format!("sha256:{}", filler.repeat(64))),
    };
    let digest_asked = digest(&entry.digest, "digest", "0")?;
    let mut times = Vec::new();
    for (index, time) in entry.times.iter().flatten().enumerate() {
        times.push(timestamp(&text(time.clone(), &at.below("times"), &format!("[{index}]")))?);
    }
    let subjects = entry.subjects.iter().flatten().map(|subject| subject_facts(subject, &digest_asked)).collect();
    let host = name.as_deref().and_then(source_repository::origin).unwrap_or("https://github.com");
    Ok(SignatureFacts {
        subject_alternative_name_is_uri: match certificate.kind {
            Some(kind) => matches!(kind, NameKind::Uri),
            None => name.as_deref().is_some_and(|name| name.contains("://")),
        },
        claims: claims(certificate.github.unwrap_or_default(), host),
        issuer: certificate.issuer.filter(|issuer| !issuer.is_empty()),
        subject_alternative_name: name,
        times,
        log_entry: digest(&entry.log_entry, "log_entry", "1")?,
        log: entry.log.clone().unwrap_or_else(|| "https://log.example".to_owned()),
        digest: digest_asked,
        subjects,
    })
}

/// The certificate holds URIs where a policy's keys hold paths.
fn claims(entry: ClaimsEntry, host: &str) -> Claims {
    let there = |value: Option<String>| value.filter(|value| !value.is_empty());
    let uri = |path: Option<String>| {
        there(path).map(|path| if path.contains("://") { path } else { format!("{host}/{path}") })
    };
    Claims {
        source_repository_uri: uri(entry.repository),
        source_repository_owner_uri: uri(entry.owner),
        source_repository_identifier: there(entry.repository_id),
        source_repository_owner_identifier: there(entry.owner_id),
        source_repository_ref: there(entry.reference),
        build_trigger: there(entry.trigger),
        runner_environment: there(entry.runner_environment),
        build_config_uri: there(entry.build_config),
        deployment_environment: there(entry.environment),
        source_repository_visibility_at_signing: there(entry.visibility),
        ..Claims::default()
    }
}

fn subject_facts(entry: &SubjectEntry, digest: &str) -> SubjectFacts {
    let mut annotations: BTreeMap<String, String> = entry.annotations.clone().unwrap_or_default();
    if let Some(tags) = &entry.tags {
        annotations.insert(TAGS_ANNOTATION.to_owned(), tags.join(","));
    }
    SubjectFacts { name: entry.repository.as_ref().map(|repository| format!("{repository}@{digest}")), annotations }
}

fn checked_digest(text: Text) -> Result<String, PolicyError> {
    match is_digest(&text.value) {
        true => Ok(text.value),
        false => Err(PolicyError::InvalidValue {
            at: text.at,
            expected: "sha256: and 64 lower-case hexadecimal digits",
            found: text.value,
        }),
    }
}
