use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Credential, CredentialHelper, Credentials};
use crate::Secret;
use crate::text::printable;

/// What a docker `config.json` or a containers `auth.json` holds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DockerConfig {
    /// The credentials that stand in the file itself.
    pub credentials: Credentials,
    /// The credential helpers that the file names: not run. See [`Credentials::add_helper`].
    pub helpers: Vec<CredentialHelper>,
}

/// Why a file holds no credentials. Nothing of its content is in here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// An `auth` that is not `user:password` in base64.
    #[error("{origin}: the `auth` of {registry} is not user:password in base64")]
    Auth {
        /// The file.
        origin: String,
        /// The entry.
        registry: String,
    },
    /// A helper whose name is not one.
    #[error("{origin}: `{name}` is not the name of a credential helper")]
    HelperName {
        /// The file.
        origin: String,
        /// The name, fit for printing.
        name: String,
    },
    /// Not JSON of the expected form.
    #[error("{origin} is not a docker configuration, line {line} column {column}")]
    Json {
        /// The file.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
}

impl Credentials {
    /// Reads a docker `config.json` or a containers `auth.json`; `origin` is what messages call the file.
    ///
    /// Takes `auth`, `username` and `password`, `identitytoken`, `registrytoken`. Helpers are named, not run.
    pub fn from_docker_config(origin: &str, json: &str) -> Result<DockerConfig, CredentialsError> {
        // The text of a serde error quotes values, and these are passwords.
        let file: File = serde_json::from_str(json).map_err(|error| CredentialsError::Json {
            origin: origin.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        let mut config = DockerConfig::default();
        for (registry, entry) in file.auths.unwrap_or_default() {
            let credential = entry.unwrap_or_default().credential().map_err(|NotBasic| CredentialsError::Auth {
                origin: origin.to_owned(),
                registry: printable(&registry, 200),
            })?;
            if let Some(credential) = credential {
                config.credentials.add(&registry, credential, origin);
            }
        }
        for (registry, name) in file.cred_helpers.unwrap_or_default() {
            config.helpers.push(CredentialHelper { name, registry: Some(registry) });
        }
        if let Some(name) = file.creds_store.filter(|name| !name.is_empty()) {
            config.helpers.push(CredentialHelper { name, registry: None });
        }
        Ok(config)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Option<AuthEntry>>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
struct AuthEntry {
    auth: Option<Zeroizing<String>>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    identitytoken: Option<Zeroizing<String>>,
    registrytoken: Option<Zeroizing<String>>,
}

struct NotBasic;

impl AuthEntry {
    /// An entry without anything is what a login with a helper leaves behind.
    fn credential(self) -> Result<Option<Credential>, NotBasic> {
        let secret = |text: Option<Zeroizing<String>>| {
            text.filter(|text| !text.is_empty()).map(|mut text| Secret::new(std::mem::take(&mut *text)))
        };
        if let Some(token) = secret(self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(token) = secret(self.registrytoken) {
            return Ok(Some(Credential::BearerToken(token)));
        }
        let (username, password) = match self.auth.filter(|auth| !auth.is_empty()) {
            Some(auth) => decode(&auth)?,
            None => match (self.username, secret(self.password)) {
                (Some(username), Some(password)) => (username, password),
                _ => return Ok(None),
            },
        };
        // The user name that docker writes where the password is an identity token.
        if username == "<token>" {
            return Ok(Some(Credential::IdentityToken(password)));
        }
        Ok(Some(Credential::Basic { username, password }))
    }
}

fn decode(auth: &str) -> Result<(String, Secret), NotBasic> {
    let bytes = Zeroizing::new(BASE64.decode(auth.trim()).map_err(|_| NotBasic)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| NotBasic)?;
    let (username, password) = text.split_once(':').ok_or(NotBasic)?;
    // Docker pads what it encodes with NUL.
    let password = password.trim_end_matches('\0');
    Ok((username.to_owned(), Secret::new(password.to_owned())))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the value of a Basic `Authorization` header.
pub(crate) fn basic(username: &str, password: &Secret) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
    Zeroizing::new(format!("Basic {}", general_purpose::STANDARD.encode(pair.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Candidate;
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn read(json: &str) -> DockerConfig {
        Credentials::from_docker_config("config.json", json).unwrap()
    }

    fn found(config: &DockerConfig, registry: &str) -> Option<Credential> {
        config.credentials.candidates(registry, "a/b").into_iter().find_map(|candidate| match candidate {
            Candidate::Known(found) => Some(found.credential),
            Candidate::Helper(_) => None,
        })
    }

    #[test]
    fn every_form_of_entry_is_read() {
        let config = read(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "b2N0bzpodW50ZXIy"},
                "ghcr.io": {"auth": "b2N0bzphOmI6Yw=="},
                "padded.example": {"auth": "dTpwAAA="},
                "id.example": {"auth": "", "identitytoken": "refresh"},
                "az.example": {"auth": "PHRva2VuPjpyZWZyZXNo"},
                "reg.example": {"registrytoken": "bearer"},
                "fields.example": {"username": "u", "password": "p"},
                "helper.example": {},
                "null.example": null
            }, "HttpHeaders": {"X": "y"}, "currentContext": "z"}"#,
        );
        let basic = |username: &str, password: &str| {
            Some(Credential::Basic { username: username.to_owned(), password: secret(password) })
        };
        assert_eq!(found(&config, "docker.io"), basic("octo", "hunter2"));
        assert_eq!(found(&config, "ghcr.io"), basic("octo", "a:b:c"));
        assert_eq!(found(&config, "padded.example"), basic("u", "p"));
        assert_eq!(found(&config, "id.example"), Some(Credential::IdentityToken(secret("refresh"))));
        assert_eq!(found(&config, "az.example"), Some(Credential::IdentityToken(secret("refresh"))));
        assert_eq!(found(&config, "reg.example"), Some(Credential::BearerToken(secret("bearer"))));
        assert_eq!(found(&config, "fields.example"), basic("u", "p"));
        assert_eq!(found(&config, "helper.example"), None);
        assert_eq!(found(&config, "null.example"), None);
        assert!(config.helpers.is_empty());
    }

    #[test]
    fn helpers_are_named_and_not_run() {
        let config = read(r#"{"credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud"}}"#);
        let names: Vec<_> =
            config.helpers.iter().map(|helper| (helper.name.as_str(), helper.registry.as_deref())).collect();
        assert_eq!(names, [("gcloud", Some("gcr.io")), ("desktop", None)]);
        assert!(config.credentials.is_empty());
    }

    #[test]
    fn a_malformed_file_is_an_error_that_shows_no_secret() {
        for json in [
            "",
            "[]",
            r#"{"auths": {"ghcr.io": "canary"}}"#,
            r#"{"auths": {"ghcr.io": {"auth": {"canary": 1}}}}"#,
            r#"{"auths": ["canary"]}"#,
            r#"{"auths": {"ghcr.io": {"auth": "canary"}}}"#,
            r#"{"auths": {"ghcr.io": {"auth": "Y2FuYXJ5"}}}"#,
            r#"{"auths": {"ghcr.io": {"identitytoken": ["canary"]}}}"#,
        ] {
            let error = Credentials::from_docker_config("config.json", json).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{json}");
        }
    }
}
