//! Who verifies what, with which words.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::signed::Signed;
use crate::bench::measure::{Samples, milliseconds};
use crate::peers::process;
use crate::peers::stack::Stack;

/// A program that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Ours,
    Cosign,
    /// A small program that embeds sigstore-go, with go-containerregistry.
    SigstoreGo,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::Ours, Self::Cosign, Self::SigstoreGo];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Cosign => "cosign",
            Self::SigstoreGo => "sigstore-go",
        })
    }
}

/// How the image is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Digest,
    Tag,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Digest => "digest",
            Self::Tag => "tag",
        })
    }
}

/// Where the trusted root comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Ours: a cache of the TUF repository that is fresh. The others: a file, the quickest way that they have.
    Warm,
    /// The TUF repository, with nothing but its first root at hand; cosign has a command of its own for that.
    Cold,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        })
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) who: Who,
    /// Bundles beside the digest, each by the signer that is asked for.
    pub(super) signatures: usize,
    pub(super) by: By,
    pub(super) trust: Trust,
    pub(super) round_trip: Duration,
}

/// The runs of a row.
pub(super) struct Cell {
    pub(super) case: Case,
    pub(super) samples: Samples,
}

impl Cell {
    pub(super) fn json(&self) -> Value {
        let Case { who, signatures, by, trust, round_trip } = &self.case;
        let mut document = self.samples.json();
        document["who"] = json!(who.to_string());
        document["signatures"] = json!(signatures);
        document["by"] = json!(by.to_string());
        document["trustedRoot"] = json!(trust.to_string());
        document["roundTripMs"] = json!(milliseconds(*round_trip));
        document
    }
}

/// Where the programs are. Whoever is not there is left out.
pub(super) struct Programs {
    pub(super) verifier: PathBuf,
    pub(super) signer: PathBuf,
    /// Verifies what lies in a folder, with our library.
    pub(super) stored: PathBuf,
    pub(super) cosign: Option<PathBuf>,
    pub(super) sigstore_go: Option<PathBuf>,
}

impl Programs {
    /// Whether there is a program for the case.
    pub(super) fn can(&self, case: &Case) -> bool {
        match case.who {
            Who::Ours => true,
            Who::Cosign => self.cosign.is_some(),
            // It takes the root that its embedder gives it.
            Who::SigstoreGo => self.sigstore_go.is_some() && case.trust == Trust::Warm,
        }
    }

    /// The calls that verify: what they take counts together.
    pub(super) fn commands(
        &self,
        case: &Case,
        stack: &Stack,
        signed: &Signed,
        home: &Path,
    ) -> anyhow::Result<Vec<Command>> {
        let reference = match case.by {
            By::Digest => &signed.by_digest,
            By::Tag => &signed.by_tag,
        };
        let identity =
            ["--certificate-identity", &stack.identity, "--certificate-oidc-issuer", &stack.issuer].map(str::to_owned);
        let missing = || anyhow::anyhow!("{} is not there", case.who);
        Ok(match case.who {
            Who::Ours => {
                let mut command = process::command(&self.verifier, home);
                command.args(["verify", "--quiet", reference]).args(&identity);
                command.args(["--tuf-url", &signed.tuf_url]).arg("--tuf-root").arg(&signed.tuf_root);
                vec![command]
            }
            Who::Cosign => {
                let program = self.cosign.as_ref().ok_or_else(missing)?;
                let mut verify = process::command(program, home);
                verify.args(["verify", "--allow-http-registry", "--allow-insecure-registry", reference]);
                verify.args(&identity);
                if case.trust == Trust::Warm {
                    verify.arg("--trusted-root").arg(&stack.trusted_root);
                    return Ok(vec![verify]);
                }
                let mut initialize = process::command(program, home);
                initialize.args(["initialize", "--mirror", &signed.tuf_url]).arg("--root").arg(&signed.tuf_root);
                vec![initialize, verify]
            }
            Who::SigstoreGo => {
                let program = self.sigstore_go.as_ref().ok_or_else(missing)?;
                let mut command = process::command(program, home);
                command.arg("image").arg(&stack.trusted_root).args([&stack.issuer, &stack.identity, reference]);
                vec![command]
            }
        })
    }
}
