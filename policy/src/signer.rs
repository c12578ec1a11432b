//! One entry of a policy: an issuer, an identity, and the claims that a certificate must carry beside them.

use crate::claim::Claim;
use crate::denial::{Denial, Field};
use crate::draft::{Choice, SignerDraft, Text};
use crate::error::{Location, PolicyError};
use crate::facts::SignatureFacts;
use crate::matcher::{Fixed, Matcher, Pattern};
use crate::source_repository;

/// Holds one signer that a policy accepts. Issuer and identity are always both there.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) name: String,
    pub(crate) issuer: Matcher,
    pub(crate) identity: Matcher,
    pub(crate) github: Vec<(Claim, Matcher)>,
}

impl Signer {
    pub(crate) fn compile(draft: SignerDraft, default_name: &str) -> Result<Self, PolicyError> {
        let name = match draft.name {
            Some(name) => checked(name, "a name of 1 to 128 printable characters", is_name)?,
            None => default_name.to_owned(),
        };
        let github = match draft.github {
            Some((at, claims)) if claims.is_empty() => return Err(PolicyError::Empty { at }),
            Some((_, claims)) => claims
                .into_iter()
                .map(|(claim, choice)| Ok((claim, compile_claim(claim, choice)?)))
                .collect::<Result<_, PolicyError>>()?,
            None => Vec::new(),
        };
        Ok(Self {
            name,
            issuer: compile(draft.issuer, Fixed::Host, "the URL of an OIDC issuer", is_issuer)?,
            identity: compile(draft.identity, Fixed::Owner, "a subject alternative name without spaces", is_identity)?,
            github,
        })
    }

    /// Returns one denial for each thing in which the certificate differs from this entry; none when it is this signer's.
    pub(crate) fn denials(&self, facts: &SignatureFacts) -> Vec<Denial> {
        let mut denials = Vec::new();
        denials.extend(self.issuer_denial(facts));
        denials.extend(self.identity_denial(facts));
        denials.extend(self.source_repository_denial(facts));
        denials.extend(self.github.iter().filter_map(|(claim, matcher)| claim_denial(*claim, matcher, facts)));
        denials.into_iter().map(|denial| denial.of_signer(&self.name)).collect()
    }

    fn issuer_denial(&self, facts: &SignatureFacts) -> Option<Denial> {
        let found = facts.issuer.as_deref();
        match found {
            Some(issuer) if self.issuer.matches(issuer) => None,
            _ => Some(Denial::unmatched(Field::Issuer, &self.issuer, found)),
        }
    }

    fn identity_denial(&self, facts: &SignatureFacts) -> Option<Denial> {
        let found = facts.subject_alternative_name.as_deref();
        match found {
            Some(name) if !self.identity.matches(name) => {
                Some(Denial::unmatched(Field::Identity, &self.identity, found))
            }
            // An e-mail address can have the text of a URI: the kinds of name come from different tokens.
            Some(name) if is_uri(name) != facts.subject_alternative_name_is_uri => {
                let (expected, found) = match is_uri(name) {
                    true => (format!("{name} as a URI"), format!("{name} as another kind of name")),
                    false => (format!("{name}, which is no URI"), format!("{name} as a URI")),
                };
                Some(Denial::new(Field::Identity, expected, Some(&found)))
            }
            Some(_) => None,
            None => Some(Denial::unmatched(Field::Identity, &self.identity, None)),
        }
    }

    /// A workflow that others can call gives its name to all of them: unless the entry says itself whose jobs may sign, the job must be
    /// the workflow's own repository's. See [`source_repository`].
    fn source_repository_denial(&self, facts: &SignatureFacts) -> Option<Denial> {
        if self.github.iter().any(|(claim, _)| claim.names_repository()) {
            return None;
        }
        let found = facts.claims.source_repository_uri.as_deref();
        let own = facts.subject_alternative_name.as_deref().and_then(source_repository::of_name);
        match own {
            Some(own) if found == Some(own) => None,
            Some(own) => Some(Denial::differs(Field::SourceRepository, own, found)),
            None if facts.issuer.as_deref().is_some_and(source_repository::is_github) => {
                Some(Denial::new(Field::SourceRepository, "the repository of the identity's workflow", found))
            }
            None => None,
        }
    }
}

fn claim_denial(claim: Claim, matcher: &Matcher, facts: &SignatureFacts) -> Option<Denial> {
    let found = claim.found(&facts.claims);
    if !claim.is_path() {
        return match found {
            Some(value) if matcher.matches(value) => None,
            _ => Some(Denial::unmatched(Field::Claim(claim), matcher, found)),
        };
    }
    // The certificate holds a URI, the policy a path: the host is the one of the identity.
    let host = facts.subject_alternative_name.as_deref().and_then(source_repository::origin).unwrap_or(GITHUB);
    let path = found.and_then(|uri| uri.strip_prefix(host)?.strip_prefix('/'));
    match path {
        Some(path) if matcher.matches(path) => None,
        _ => Some(match matcher.only() {
            Some(path) => Denial::differs(Field::Claim(claim), &format!("{host}/{path}"), found),
            None => Denial::new(Field::Claim(claim), format!("{host}/ and {}", matcher.expected()), found),
        }),
    }
}

fn compile_claim(claim: Claim, choice: Choice) -> Result<Matcher, PolicyError> {
    let (fixed, expected, form): (Fixed, &'static str, fn(&str) -> bool) = match claim {
        Claim::Repository => (Fixed::RepositoryOwner, "a repository as owner/name", is_repository),
        Claim::Owner => (Fixed::Nothing, "the name of an owner", is_owner),
        Claim::OwnerId | Claim::RepositoryId => (Fixed::Nothing, "a number in digits", is_number),
        Claim::Ref => (Fixed::Nothing, "a full ref such as refs/heads/main", is_ref),
        Claim::BuildConfig => (Fixed::Nothing, "the URI of a workflow with its ref", is_identity_uri),
        Claim::Visibility => (Fixed::Nothing, "public, private or internal", is_visibility),
        Claim::Environment | Claim::RunnerEnvironment | Claim::Trigger => (Fixed::Nothing, "a name", is_name),
    };
    compile(choice, fixed, expected, form)
}

/// Compiles what a document says of one value: exactly one of the two forms.
fn compile(
    choice: Choice,
    fixed: Fixed,
    expected: &'static str,
    form: fn(&str) -> bool,
) -> Result<Matcher, PolicyError> {
    match (choice.exact, choice.pattern) {
        (None, None) => Err(PolicyError::MissingKey { at: choice.at }),
        (Some(_), Some(pattern)) => {
            Err(PolicyError::Conflict { at: pattern.at, other: last_key(&choice.at).to_owned() })
        }
        (None, Some(pattern)) => Ok(Matcher::Pattern(Pattern::compile(&pattern.value, &pattern.at, fixed)?)),
        (Some(values), None) if values.is_empty() => Err(PolicyError::Empty { at: choice.at }),
        (Some(values), None) => {
            let mut exact =
                values.into_iter().map(|value| checked(value, expected, form)).collect::<Result<Vec<_>, _>>()?;
            exact.sort();
            exact.dedup();
            Ok(Matcher::Exact(exact))
        }
    }
}

fn checked(text: Text, expected: &'static str, form: fn(&str) -> bool) -> Result<String, PolicyError> {
    if text.value.is_empty() {
        return Err(PolicyError::Empty { at: text.at });
    }
    if !form(&text.value) {
        return Err(PolicyError::InvalidValue { at: text.at, expected, found: text.value });
    }
    Ok(text.value)
}

fn last_key(at: &Location) -> &str {
    at.key.rsplit('.').next().unwrap_or_default()
}

fn is_uri(name: &str) -> bool {
    name.contains("://")
}

fn is_identity(text: &str) -> bool {
    text.len() <= MAX_IDENTITY_BYTES && !text.chars().any(|letter| letter.is_control() || letter.is_whitespace())
}

fn is_identity_uri(text: &str) -> bool {
    is_identity(text) && source_repository::origin(text).is_some()
}

fn is_issuer(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://")) && is_identity_uri(text)
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control) && text.trim() == text
}

fn is_number(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && text.chars().all(|letter| letter.is_ascii_digit())
}

fn is_owner(text: &str) -> bool {
    is_identity(text) && !text.contains(':') && text.split('/').all(|part| !part.is_empty())
}

fn is_ref(text: &str) -> bool {
    is_identity(text) && text.starts_with("refs/")
}

fn is_repository(text: &str) -> bool {
    is_owner(text) && text.contains('/')
}

fn is_visibility(text: &str) -> bool {
    matches!(text, "public" | "private" | "internal")
}

const GITHUB: &str = "https://github.com";
/// Bytes of an identity or issuer.
const MAX_IDENTITY_BYTES: usize = 2048;
/// Bytes of a name or number.
const MAX_NAME_BYTES: usize = 128;
