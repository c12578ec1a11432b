//! Bundles as files: written whole or not at all, and never over another one unasked.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use countersign_cli::Failure;
use countersign_oci::Class;
use tempfile::{Builder, NamedTempFile};

/// Where the bundle of a file goes: beside it, under its name and `.sigstore.json`.
pub(crate) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sigstore.json");
    PathBuf::from(name)
}

/// A file that a bundle will be written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BundleFile {
    path: PathBuf,
    replace: bool,
}

impl BundleFile {
    /// Takes a path. Without `replace` it has to be free, which is looked at here, before anything is spent, and again when the bundle
    /// is written.
    pub(crate) fn new(path: PathBuf, replace: bool) -> Result<Self, Failure> {
        let file = Self { path, replace };
        if !replace && file.path.symlink_metadata().is_ok() {
            return Err(file.taken());
        }
        if !file.folder().is_dir() {
            let message = format!("there is no folder for the bundle {}", file.path.display());
            return Err(Failure::usage("bundle-unwritable", message, None));
        }
        Ok(file)
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the bundle beside its place and renames it. Everybody may read it: a bundle is public.
    pub(crate) fn write(&self, bundle: &[u8]) -> Result<(), Failure> {
        let staged = self.stage(bundle).map_err(|cause| self.unwritable(&cause))?;
        let placed = if self.replace { staged.persist(&self.path) } else { staged.persist_noclobber(&self.path) };
        match placed {
            Ok(_) => Ok(()),
            Err(failed) if failed.error.kind() == std::io::ErrorKind::AlreadyExists => Err(self.taken()),
            Err(failed) => Err(self.unwritable(&failed.error)),
        }
    }

    fn stage(&self, bundle: &[u8]) -> std::io::Result<NamedTempFile> {
        let mut builder = Builder::new();
        builder.prefix(".countersign-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut staged = builder.tempfile_in(self.folder())?;
        staged.write_all(bundle)?;
        staged.as_file().sync_all()?;
        Ok(staged)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    fn taken(&self) -> Failure {
        let message = format!("{} is there already", self.path.display());
        let hint = "a bundle is not overwritten unasked: remove it, name another with --bundle, or give --force";
        Failure::usage("bundle-exists", message, Some(hint.to_owned()))
    }

    fn unwritable(&self, cause: &std::io::Error) -> Failure {
        let message = format!("cannot write the bundle {}", self.path.display());
        let mut failure = Failure::new(cause, "bundle-unwritable", Class::Unreachable, true, None);
        failure.causes.insert(0, std::mem::replace(&mut failure.message, message));
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_written_whole_and_for_everybody_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sigstore.json");
        BundleFile::new(path.clone(), false).unwrap().write(b"{}").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn another_bundle_is_not_overwritten_unasked_not_even_one_that_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sigstore.json");
        let file = BundleFile::new(path.clone(), false).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert_eq!(file.write(b"ours").unwrap_err().code, "bundle-exists");
        assert_eq!(BundleFile::new(path.clone(), false).unwrap_err().code, "bundle-exists");
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        BundleFile::new(path.clone(), true).unwrap().write(b"ours").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ours");
    }

    #[test]
    fn a_folder_that_is_not_there_is_noticed_before_anything_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let failure = BundleFile::new(folder.path().join("absent/app.json"), false).unwrap_err();
        assert_eq!(failure.code, "bundle-unwritable");
        assert_eq!(failure.exit, countersign_cli::Exit::Usage);
    }
}
