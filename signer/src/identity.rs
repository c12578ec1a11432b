//! The identity token: where it comes from and what it has to say.

mod buildkite;
mod ci;
mod claims;
mod github;
mod signer;
mod source;
mod token;

pub(crate) use ci::CIRCLECI_HINT;
pub use ci::{Ci, MissingToken};
pub use signer::SignerIdentity;
pub(crate) use source::CIRCLECI_ORIGIN;
pub use source::{BuildkiteEnvironment, COSIGN_TOKEN_FILE, Environment, IdentitySource, Provider};
pub use token::{IdentityToken, TokenProblem};

/// The audience that the certificate authority accepts.
pub(crate) const AUDIENCE: &str = "sigstore";
