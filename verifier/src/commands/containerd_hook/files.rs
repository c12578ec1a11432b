//! The files that decide what a node pulls: only their owner may write them.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

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
    Ok(match trust {
        TrustSource::File(path) => TrustSource::File(check_owner(&path)?),
        TrustSource::Tuf { url, root } => TrustSource::Tuf { url, root: check_owner(&root)? },
        other => other,
    })
}

/// Reads a docker `config.json`. One that is named must be there.
pub(super) fn credentials(path: &Path) -> Result<Credentials, Answer> {
    flags::credentials_file(&check_owner(path)?).map_err(|failure| failed(&failure))
}

/// Reads a file that only its owner may write.
pub(super) fn read(what: &str, path: &Path) -> Result<Vec<u8>, Answer> {
    flags::read_file(what, &check_owner(path)?, limits::CONFIG_BYTES).map_err(|failure| failed(&failure))
}

fn text(what: &str, path: &Path) -> Result<String, Answer> {
    String::from_utf8(read(what, path)?).map_err(|error| misconfigured(&error))
}

/// Refuses a file that others than root and this process's user may write or replace: whoever can, decides what the node runs. Returns
/// the file that the path leads to, which is the one to open.
///
/// Every link on the way, and every folder that is gone through, is looked at before what lies in it. A folder that everybody may write
/// is fine where the owner of what lies in it alone may take that away (the sticky bit, as `/tmp` has it).
pub(super) fn check_owner(path: &Path) -> Result<PathBuf, Answer> {
    let Found::There(real, metadata) = follow(path)? else {
        return Err(refused(format!("cannot read {}: it is not there", path.display())));
    };
    // A pipe or a device would be waited for.
    if !metadata.is_file() {
        return Err(refused(format!("{} is not a file", path.display())));
    }
    Ok(real)
}

/// Refuses a cache that others may write, or that would be made where they may. One that is not there yet is made later.
pub(super) fn check_cache(folder: &Path) -> Result<(), Answer> {
    follow(folder).map(|_| ())
}

/// Where a path leads, when nobody else has a say in it.
enum Found {
    There(PathBuf, Metadata),
    /// Everything up to what is missing was looked at.
    Missing,
}

/// Follows a path name by name, as the kernel does, and refuses it where somebody else decides where it leads.
fn follow(path: &Path) -> Result<Found, Answer> {
    let unreadable = |cause: &dyn std::fmt::Display| refused(format!("cannot read {}: {cause}", path.display()));
    let whole = std::path::absolute(path).map_err(|cause| unreadable(&cause))?;
    let mut ahead: Vec<OsString> = names(&whole);
    let mut at = PathBuf::from("/");
    let mut metadata = fs::symlink_metadata(&at).map_err(|cause| unreadable(&cause))?;
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        writable_by_others(&at, &metadata, true)?;
        if name == ".." {
            at.pop();
        } else {
            at.push(&name);
        }
        metadata = match fs::symlink_metadata(&at) {
            Ok(metadata) => metadata,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(cause) => return Err(unreadable(&cause)),
        };
        if metadata.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(unreadable(&"too many links"));
            }
            belongs_to_others(&at, &metadata)?;
            let target = fs::read_link(&at).map_err(|cause| unreadable(&cause))?;
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            ahead.extend(names(&target));
            metadata = fs::symlink_metadata(&at).map_err(|cause| unreadable(&cause))?;
        }
    }
    writable_by_others(&at, &metadata, false)?;
    Ok(Found::There(at, metadata))
}

/// The names of a path, the last first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.collect()
}

/// Links that are followed on the way to one file: as many as Linux follows.
const MAX_LINKS: usize = 40;

#[cfg(unix)]
fn writable_by_others(path: &Path, metadata: &Metadata, above: bool) -> Result<(), Answer> {
    use std::os::unix::fs::MetadataExt as _;

    const OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    belongs_to_others(path, metadata)?;
    let mode = metadata.mode();
    if mode & OTHERS != 0 && !(above && mode & STICKY != 0) {
        let line = format!("{} can be written by others than its owner (mode {:04o})", path.display(), mode & 0o7777);
        return Err(refused(format!("{line}\nhint: chmod go-w {}", path.display())));
    }
    Ok(())
}

#[cfg(unix)]
fn belongs_to_others(path: &Path, metadata: &Metadata) -> Result<(), Answer> {
    use std::os::unix::fs::MetadataExt as _;

    let own = rustix::process::geteuid().as_raw();
    match metadata.uid() {
        owner if owner == 0 || owner == own => Ok(()),
        owner => Err(refused(format!("{} belongs to user {owner}, and not to root", path.display()))),
    }
}

/// Elsewhere nobody knows who may write a file.
#[cfg(not(unix))]
fn writable_by_others(path: &Path, _metadata: &Metadata, _above: bool) -> Result<(), Answer> {
    Err(refused(format!("who may write {} cannot be told on this platform", path.display())))
}

#[cfg(not(unix))]
fn belongs_to_others(path: &Path, metadata: &Metadata) -> Result<(), Answer> {
    writable_by_others(path, metadata, false)
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
