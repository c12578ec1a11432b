//! The parts of a name that a certificate of a build holds.

use crate::source_repository;

/// `repository`, `between` (a folder on GitHub, two slashes on GitLab), `file`, `@` and `reference`, where there is one.
#[derive(Clone, Copy)]
pub(crate) struct WorkflowName<'name> {
    /// URI of the repository.
    pub(crate) repository: &'name str,
    between: &'name str,
    pub(crate) file: &'name str,
    pub(crate) reference: Option<&'name str>,
}

impl<'name> WorkflowName<'name> {
    pub(crate) fn parse(name: &'name str) -> Option<Self> {
        let repository = source_repository::of_name(name)?;
        let rest = &name[repository.len()..];
        let between = if rest.starts_with(FOLDER) { FOLDER } else { "//" };
        let rest = rest.strip_prefix(between)?;
        let (file, reference) = match rest.split_once('@') {
            Some((file, reference)) => (file, Some(reference)),
            None => (rest, None),
        };
        Some(Self { repository, between, file, reference })
    }

    pub(crate) fn is_github(&self) -> bool {
        self.between == FOLDER
    }

    pub(crate) fn with_reference(&self, reference: &str) -> String {
        format!("{}{}{}@{reference}", self.repository, self.between, self.file)
    }

    pub(super) fn with_file(&self, file: &str) -> String {
        format!("{}{}{file}@{}", self.repository, self.between, self.reference.unwrap_or_default())
    }

    /// The same file in another repository of the same owner; none where the repository has no owner.
    pub(crate) fn with_repository(&self, name: &str) -> Option<String> {
        let (owner, _) = self.repository.rsplit_once('/')?;
        let reference = self.reference.unwrap_or_default();
        Some(format!("{owner}/{name}{}{}@{reference}", self.between, self.file))
    }

    /// The name of the repository without its owner.
    pub(crate) fn repository_name(&self) -> &'name str {
        self.repository.rsplit_once('/').map_or(self.repository, |(_, name)| name)
    }

    /// `owner/name`: the repository without its host.
    pub(crate) fn repository_path(&self) -> &'name str {
        let path = self.repository.find("://").map_or(0, |at| at + 3);
        self.repository[path..].split_once('/').map_or("", |(_, path)| path)
    }
}

const FOLDER: &str = "/.github/workflows/";
/// What the open parts of an identity are filled with.
pub(crate) const FILLS: [&str; 6] = [
    "anything",
    "anything.yml",
    ".github/workflows/anything.yml@refs/heads/anything",
    "anything/.github/workflows/anything.yml@refs/heads/anything",
    "refs/heads/anything",
    "anything//.gitlab-ci.yml@refs/heads/anything",
];
