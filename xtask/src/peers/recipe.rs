//! How a peer is installed, from the public registries that its ecosystem has.

/// How a peer is installed.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// A Debian package; only root installs it, anybody uses it where it is. A `*` stands for one folder name.
    Debian { package: &'static str, programs: &'static [&'static str] },
    /// Commands of published Go modules.
    Go { packages: &'static [&'static str], tags: &'static str },
    /// A program of ours on published Go modules: `xtask/peers/go/NAME/*.go`. Its `go.mod` is written from this.
    GoMain {
        requires: &'static [(&'static str, &'static str)],
        replaces: &'static [(&'static str, &'static str)],
        build: &'static [&'static str],
    },
    /// A crate of ours outside the workspace, `xtask/peers/FOLDER`, so that its tree stays out of ours.
    Cargo { folder: &'static str },
    /// Node packages.
    Npm { packages: &'static [&'static str] },
    /// Python packages in a virtual environment.
    Pip { requirements: &'static [&'static str] },
}
