//! Where the identity token comes from: a flag, else what the CI system put into the environment.

use clap::Args;
use countersign_oci::Secret;
use countersign_signer::SignError;
use countersign_signer::identity::{Environment, IdentitySource};

/// Who signs.
#[derive(Args)]
#[command(next_help_heading = "Identity")]
pub(crate) struct IdentityFlags {
    /// The identity token, with the audience `sigstore`, or a file that holds it. A token on the command line shows in the list of
    /// processes: prefer a file, or the variable SIGSTORE_ID_TOKEN. Without the flag SIGSTORE_ID_TOKEN counts, then the token of a
    /// GitHub Actions job with the permission `id-token: write`. There is no browser and no device flow.
    #[arg(long, value_name = "TOKEN|FILE", env = "COUNTERSIGN_IDENTITY_TOKEN", hide_env_values = true)]
    identity_token: Option<String>,
}

impl IdentityFlags {
    /// Chooses the source of the token.
    pub(crate) fn source(&self) -> Result<IdentitySource, SignError> {
        let flag = self.identity_token.clone().map(Secret::new);
        let environment = Environment {
            sigstore_id_token: variable("SIGSTORE_ID_TOKEN").map(Secret::new),
            actions_request_url: variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
            actions_request_token: variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(Secret::new),
            github_actions: variable("GITHUB_ACTIONS").is_some(),
        };
        IdentitySource::choose(flag.as_ref(), &environment)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the binary, which reads the environment for the library")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
