//! Files that the operator names, or that other programs keep credentials in.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;

use countersign_oci::{Class, Credentials, limits};

use crate::failure::Failure;

/// Reads a file that the operator named.
pub(super) fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    read_bounded(what, path, limits::CONFIG_BYTES)
}

/// Reads a file up to a bound.
pub(super) fn read_bounded(what: &str, path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    if let Err(cause) = read {
        let message = format!("cannot read the {} {}: {cause}", what.replace('-', " "), path.display());
        return Err(Failure::usage(&format!("{what}-unreadable"), message, None));
    }
    if bytes.len() as u64 > limit {
        let message = format!("{} has more than {limit} bytes", path.display());
        return Err(Failure::usage(&format!("{what}-too-large"), message, None));
    }
    Ok(bytes)
}

/// Reads the credentials of docker or the containers tools. A file that is not there has none.
pub(super) fn credentials(path: &Path) -> Result<Credentials, Failure> {
    match File::open(path) {
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Credentials::new());
        }
        _ => {}
    }
    let bytes = read("credentials", path)?;
    let origin = path.display().to_string();
    let text = String::from_utf8_lossy(&bytes);
    let config = Credentials::from_docker_config(&origin, &text)
        .map_err(|error| Failure::new(&error, "credentials-malformed", Class::Usage, false, None))?;
    let mut credentials = config.credentials;
    for helper in config.helpers {
        credentials
            .add_helper(&helper, Arc::new(super::helper::run), &origin)
            .map_err(|error| Failure::new(&error, "credentials-malformed", Class::Usage, false, None))?;
    }
    Ok(credentials)
}
