//! What is read from the environment.

#![expect(clippy::disallowed_methods, reason = "the edge where the environment is read and passed in")]

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

fn folder(variable: &str) -> Option<PathBuf> {
    // Relative paths in these variables are to be ignored, says the XDG base directory specification.
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Where this user's caches lie.
pub(super) fn cache_folder() -> Option<PathBuf> {
    let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(caches.join("countersign"))
}

/// The files in which docker and the containers tools keep credentials, in the order in which they are believed.
pub(super) fn credential_files() -> Vec<PathBuf> {
    let named = env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from);
    let docker = env::var_os("DOCKER_CONFIG").map(|folder| PathBuf::from(folder).join("config.json"));
    let docker = docker.or_else(|| Some(folder("HOME")?.join(".docker/config.json")));
    let containers = folder("XDG_RUNTIME_DIR").map(|runtime| runtime.join("containers/auth.json"));
    let configured = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let configured = configured.map(|folder| folder.join("containers/auth.json"));
    [named, docker, containers, configured].into_iter().flatten().collect()
}

/// What cosign takes as `--registry-<name>`, from the variable that it has for that.
pub(super) fn cosign_registry(name: &str) -> Option<String> {
    env::var(format!("COSIGN_REGISTRY_{name}")).ok().filter(|text| !text.is_empty())
}

/// The proxies for http and https, and what is reached without.
pub(super) fn proxies() -> (Option<String>, Option<String>, Option<String>) {
    let text =
        |names: [&str; 2]| names.into_iter().find_map(|name| env::var(name).ok()).filter(|text| !text.is_empty());
    // Upper-case HTTP_PROXY is left out: in a CGI program it is a header of whoever sends the request.
    let http = env::var("http_proxy").ok().filter(|text| !text.is_empty());
    (http, text(["https_proxy", "HTTPS_PROXY"]), text(["no_proxy", "NO_PROXY"]))
}

/// Whether a variable is set to nothing: CI systems do that where they mean that it is not set.
pub(crate) fn is_empty_variable(name: &OsStr) -> bool {
    env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Whether the environment asks for JSON, for mistakes that are found before it is parsed.
pub(crate) fn output_variable_asks_for_json() -> bool {
    env::var_os("COUNTERSIGN_OUTPUT").is_some_and(|value| value == "json")
}
