//! The files that decide what a node pulls: only their owner may write them.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use countersign_cli::{Failure, flags};
use countersign_oci::{Credentials, limits};
use countersign_policy::{Policy, Trust};
use countersign_verifier::hook::{Answer, Outcome, PolicySource, Settings};
use countersign_verifier::trusted_root::TrustSource;

/// Reads the settings.
pub(super) fn settings(path: &Path) -> Result<Settings, Answer> {
    let text = text("settings", path)?;
    Settings::from_yaml(path, &text).map_err(|error| misconfigured(&error))
}

/// Returns a policy, and the folder that its paths are beside.
pub(super) fn policy(source: &PolicySource, settings: &Settings) -> Result<(Policy, PathBuf), Answer> {
    match source {
        PolicySource::Inline(policy) => Ok((Policy::clone(policy), settings.folder.clone())),
        PolicySource::File(path) => {
            let text = text("policy", path)?;
            let policy = Policy::from_yaml(&path.display().to_string(), &text)
                .map_err(|error| Answer::of_error(Outcome::Misconfigured, &error, error.hint().as_deref()))?;
            Ok((policy, path.parent().map(Path::to_path_buf).unwrap_or_default()))
        }
    }
}

/// Returns the trusted root of a policy: its own, else that of the settings. Its file is looked at, not read.
pub(super) fn trust(policy: &Policy, folder: &Path, settings: &Settings) -> Result<TrustSource, Answer> {
    let trust = match policy.trust() {
        None => settings.trust.clone(),
        Some(Trust::PublicGood) => TrustSource::PublicGoodTuf,
        Some(Trust::File(path)) => TrustSource::File(folder.join(path)),
        Some(Trust::Tuf { url, root }) => TrustSource::Tuf { url: url.clone(), root: folder.join(root) },
    };
    if let TrustSource::File(path) | TrustSource::Tuf { root: path, .. } = &trust {
        check_owner(path)?;
    }
    Ok(trust)
}

/// Reads a docker `config.json`. One that is named must be there.
pub(super) fn credentials(path: &Path) -> Result<Credentials, Answer> {
    check_owner(path)?;
    flags::credentials_file(path).map_err(|failure| failed(&failure))
}

/// Reads a file that only its owner may write.
pub(super) fn read(what: &str, path: &Path) -> Result<Vec<u8>, Answer> {
    check_owner(path)?;
    flags::read_file(what, path, limits::CONFIG_BYTES).map_err(|failure| failed(&failure))
}

fn text(what: &str, path: &Path) -> Result<String, Answer> {
    String::from_utf8(read(what, path)?).map_err(|error| misconfigured(&error))
}

/// Refuses a file that others than root and this process's user may write or replace: whoever can, decides what the node runs.
///
/// Links are followed first, then the file and every folder above it are looked at. A folder that everybody may write is
/// fine where the owner of what lies in it alone may take that away (the sticky bit, as `/tmp` has it).
pub(super) fn check_owner(path: &Path) -> Result<(), Answer> {
    let unreadable = |cause: &dyn std::fmt::Display| refused(format!("cannot read {}: {cause}", path.display()));
    let real = fs::canonicalize(path).map_err(|cause| unreadable(&cause))?;
    let metadata = fs::metadata(&real).map_err(|cause| unreadable(&cause))?;
    // A pipe or a device would be waited for.
    if !metadata.is_file() {
        return Err(refused(format!("{} is not a file", path.display())));
    }
    check_chain(&real, &metadata)
}

/// Refuses a cache that others may write. One that is not there yet is made later.
pub(super) fn check_cache(folder: &Path) -> Result<(), Answer> {
    match fs::canonicalize(folder) {
        Ok(real) => {
            let metadata = fs::metadata(&real).map_err(|cause| misconfigured(&cause))?;
            check_chain(&real, &metadata)
        }
        Err(_) => Ok(()),
    }
}

fn check_chain(path: &Path, metadata: &Metadata) -> Result<(), Answer> {
    writable_by_others(path, metadata, false)?;
    for folder in path.ancestors().skip(1) {
        let metadata = fs::metadata(folder).map_err(|cause| misconfigured(&cause))?;
        writable_by_others(folder, &metadata, true)?;
    }
    Ok(())
}

#[cfg(unix)]
fn writable_by_others(path: &Path, metadata: &Metadata, above: bool) -> Result<(), Answer> {
    use std::os::unix::fs::MetadataExt as _;

    const OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let own = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != 0 && owner != own {
        return Err(refused(format!("{} belongs to user {owner}, and not to root", path.display())));
    }
    let mode = metadata.mode();
    if mode & OTHERS != 0 && !(above && mode & STICKY != 0) {
        let line = format!("{} can be written by others than its owner (mode {:04o})", path.display(), mode & 0o7777);
        return Err(refused(format!("{line}\nhint: chmod go-w {}", path.display())));
    }
    Ok(())
}

/// Elsewhere nobody knows who may write a file.
#[cfg(not(unix))]
fn writable_by_others(path: &Path, _metadata: &Metadata, _above: bool) -> Result<(), Answer> {
    Err(refused(format!("who may write {} cannot be told on this platform", path.display())))
}

fn refused(line: String) -> Answer {
    Answer::new(Outcome::Misconfigured, &line)
}

fn misconfigured(error: &dyn std::error::Error) -> Answer {
    Answer::of_error(Outcome::Misconfigured, error, None)
}

fn failed(failure: &Failure) -> Answer {
    let mut line = failure.message.clone();
    for cause in &failure.causes {
        line.push_str(": ");
        line.push_str(cause);
    }
    refused(line)
}
