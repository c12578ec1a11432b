//! A copy of a TUF repository: a mirrored directory, or one file. Verified like the repository itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sigstore_tuf::transport::FetchFuture;

use super::cache::{Snapshot, read_bounded};
use crate::error::Error;

/// A copy, not verified.
#[derive(Debug)]
pub(super) struct Copied {
    path: PathBuf,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// As a web server has it: `N.root.json` and the rest, with `targets/` beside it or beside `metadata/`.
    Directory,
    /// What [`super::repository_copy`] writes.
    File(BTreeMap<String, String>),
}

impl Copied {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let refused = |detail: &str| Error::TrustCopy { path: path.display().to_string(), detail: detail.to_owned() };
        let form = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => Form::Directory,
            Ok(_) => {
                let bytes = read_bounded(path).map_err(|cause| refused(&cause.to_string()))?;
                match Snapshot::parse(&bytes) {
                    Some(snapshot) => Form::File(snapshot.files),
                    None if is_trusted_root(&bytes) => {
                        return Err(refused("it is a trusted root by itself, which nothing vouches for"));
                    }
                    None => return Err(refused("it is something else")),
                }
            }
            Err(cause) => return Err(refused(&cause.to_string())),
        };
        Ok(Self { path: path.to_path_buf(), form })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the first of these names that is there.
    fn first(&self, names: &[String], most: u64) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        for name in names {
            let found = match &self.form {
                Form::File(files) => files.get(name).map(|text| text.clone().into_bytes()),
                Form::Directory => in_directory(&self.path, name)?,
            };
            match found {
                Some(bytes) if bytes.len() as u64 > most => return Err(too_long(name, most)),
                Some(bytes) => return Ok(Some(bytes)),
                None => {}
            }
        }
        Ok(None)
    }
}

impl sigstore_tuf::Repository for Copied {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = match &self.form {
            Form::Directory => self.first(&[name.to_owned(), format!("metadata/{name}")], max_length),
            Form::File(_) => self.first(&kept_names(name), max_length),
        };
        Box::pin(async move { found })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let names = match &self.form {
            Form::Directory => vec![format!("targets/{path}")],
            // The client keeps them without the digest that consistent snapshots put before the name.
            Form::File(_) => vec![format!("targets/{}", path.split_once('.').map_or(path, |(_, name)| name))],
        };
        let found = self.first(&names, max_length);
        Box::pin(async move { found })
    }
}

/// Where the client keeps a file that the repository has under this name.
fn kept_names(name: &str) -> Vec<String> {
    match name.split_once('.') {
        Some((_, "root.json")) => vec![format!("root_history/{name}")],
        Some((version, role)) if version.bytes().all(|byte| byte.is_ascii_digit()) => vec![role.to_owned()],
        _ => vec![name.to_owned()],
    }
}

/// Names are the TUF client's: it encodes what comes from metadata. Nothing that leads elsewhere is opened all the
/// same.
fn in_directory(folder: &Path, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
    let plain = |part: &std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    if !Path::new(name).components().all(|part| plain(&part)) {
        return Ok(None);
    }
    match read_bounded(&folder.join(name)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(sigstore_tuf::Error::transport_with_source(format!("reading {name}"), source)),
    }
}

fn too_long(name: &str, most: u64) -> sigstore_tuf::Error {
    sigstore_tuf::Error::transport(format!("{name} has more than {most} bytes"))
}

fn is_trusted_root(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes)
        .is_ok_and(|document| document.get("certificateAuthorities").is_some() || document.get("tlogs").is_some())
}
