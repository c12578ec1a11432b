//! Credential helpers: programs that keep what files should not. They are run by the caller, and what they print is read here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::docker_config::CredentialsError;
use super::{Credential, Found};
use crate::Secret;
use crate::registry::locked;
use crate::text::printable;

/// A credential helper that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialHelper {
    /// The helper's name, as in `docker-credential-<name>`.
    pub name: String,
    /// The registry that it is for, or `None` for all.
    pub registry: Option<String>,
}

/// Runs `docker-credential-<name> get` with the server on its standard input. Called with the name, which is made of letters,
/// digits, `.`, `_` and `-`, and the server; on a thread where it may block.
pub type RunHelper = Arc<dyn Fn(&str, &str) -> Result<HelperAnswer, HelperFailure> + Send + Sync>;

/// What a helper printed.
pub struct HelperAnswer {
    /// Whether it ended with success.
    pub succeeded: bool,
    /// Its standard output, of at most [`limits::HELPER_BYTES`](crate::limits::HELPER_BYTES).
    pub output: Zeroizing<Vec<u8>>,
}

/// Why a helper gave nothing. Nothing of what it printed is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelperFailure {
    /// It ended without success, and without saying that it has nothing.
    #[error("failed")]
    Failed,
    /// There is no such program, or it cannot be run.
    #[error("cannot be run")]
    NotRun,
    /// It did not end in time.
    #[error("gave no answer in time")]
    TimedOut,
    /// It printed more than an answer can have.
    #[error("printed too much")]
    TooLong,
    /// It printed something that is not an answer.
    #[error("printed no answer")]
    Unreadable,
}

impl fmt::Debug for HelperAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HelperAnswer").field("succeeded", &self.succeeded).finish_non_exhaustive()
    }
}

/// A helper, and what it has said.
#[derive(Clone)]
pub(super) struct Helper {
    name: String,
    pub(super) origin: String,
    run: RunHelper,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
}

/// For one server: whoever needs the same waits, and nobody asks twice.
type Answer = Arc<OnceCell<Result<Option<Credential>, HelperFailure>>>;

impl Helper {
    pub(super) fn new(helper: &CredentialHelper, run: RunHelper, origin: String) -> Result<Self, CredentialsError> {
        let name = &helper.name;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(CredentialsError::HelperName { origin, name: printable(name, 64) });
        }
        Ok(Self { name: name.clone(), origin, run, answers: Arc::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the helper has for a registry. The runtime is not blocked meanwhile.
    pub(super) async fn find(&self, registry: &str) -> Result<Option<Found>, HelperFailure> {
        let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
        let answer = locked(&self.answers).entry(server.to_owned()).or_default().clone();
        let credential = answer.get_or_init(|| self.ask(server.to_owned())).await.clone()?;
        let origin = || format!("docker-credential-{}", self.name);
        Ok(credential.map(|credential| Found { key: format!("{server} {}", origin()), credential, origin: origin() }))
    }

    /// Returns what it has given so far.
    pub(super) fn known(&self) -> Vec<Credential> {
        let answers = locked(&self.answers);
        answers.values().filter_map(|answer| answer.get()?.clone().ok()?).collect()
    }

    async fn ask(&self, server: String) -> Result<Option<Credential>, HelperFailure> {
        tracing::debug!(helper = self.name, server, "asking the credential helper");
        let (run, name) = (self.run.clone(), self.name.clone());
        let answer = tokio::task::spawn_blocking(move || run(&name, &server)).await;
        read(&answer.map_err(|_| HelperFailure::Failed)??)
    }
}

/// Reads an answer of the protocol of docker's credential helpers.
fn read(answer: &HelperAnswer) -> Result<Option<Credential>, HelperFailure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Document {
        username: Zeroizing<String>,
        secret: Zeroizing<String>,
    }
    if !answer.succeeded {
        // They say so on standard output, with these words.
        let words = String::from_utf8_lossy(&answer.output);
        return if words.trim() == NOT_FOUND { Ok(None) } else { Err(HelperFailure::Failed) };
    }
    let mut document: Document = serde_json::from_slice(&answer.output).map_err(|_| HelperFailure::Unreadable)?;
    if document.secret.is_empty() {
        return Ok(None);
    }
    let password = Secret::new(std::mem::take(&mut *document.secret));
    // The user name that docker writes where the password is an identity token.
    Ok(Some(match document.username.as_str() {
        "<token>" => Credential::IdentityToken(password),
        username => Credential::Basic { username: username.to_owned(), password },
    }))
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper").field("name", &self.name).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What docker calls its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
const NOT_FOUND: &str = "credentials not found in native keychain";

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(succeeded: bool, output: &str) -> HelperAnswer {
        HelperAnswer { succeeded, output: Zeroizing::new(output.as_bytes().to_vec()) }
    }

    #[test]
    fn the_answers_of_helpers_are_read() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let basic = Credential::Basic { username: "octo".to_owned(), password: secret("p") };
        for (output, expected) in [
            (r#"{"ServerURL":"x","Username":"octo","Secret":"p"}"#, Some(basic)),
            (r#"{"Username":"<token>","Secret":"refresh"}"#, Some(Credential::IdentityToken(secret("refresh")))),
            (r#"{"Username":"","Secret":""}"#, None),
        ] {
            assert_eq!(read(&answer(true, output)), Ok(expected), "{output}");
        }
        assert_eq!(read(&answer(false, "credentials not found in native keychain\n")), Ok(None));
    }

    #[test]
    fn anything_else_is_a_failure_that_shows_nothing() {
        for (succeeded, output, failure) in [
            (true, "", HelperFailure::Unreadable),
            (true, "canary", HelperFailure::Unreadable),
            (true, r#"{"Username":"canary"}"#, HelperFailure::Unreadable),
            (true, r#"{"Username":"canary","Secret":7}"#, HelperFailure::Unreadable),
            (false, "canary is locked", HelperFailure::Failed),
            (false, r#"{"Username":"canary","Secret":"canary"}"#, HelperFailure::Failed),
        ] {
            let answer = answer(succeeded, output);
            assert_eq!(read(&answer), Err(failure), "{output}");
            assert!(!format!("{answer:?} {failure} {failure:?}").contains("canary"));
        }
    }

    #[test]
    fn a_name_is_no_path_and_no_flag_of_a_shell() {
        for name in ["", "a b", "../x", "a/b", "a;b", "$(x)", "ä", &"a".repeat(65)] {
            let helper = CredentialHelper { name: name.to_owned(), registry: None };
            let run: RunHelper = Arc::new(|_, _| Err(HelperFailure::NotRun));
            let error = Helper::new(&helper, run, "config.json".to_owned()).unwrap_err();
            assert!(matches!(error, CredentialsError::HelperName { .. }), "{name}");
        }
    }
}
