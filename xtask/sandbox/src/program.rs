//! The sandbox as a program: prints where everything is, writes the trust files, serves until it is told to stop.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::image::{self, ImageSpec};
use crate::registry::Auth;
use crate::run::{Options, Sandbox, TrustFiles};
use crate::{GithubIdentity, RekorVersion};

/// What the program is asked.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Folder for the trust files
    #[arg(long, value_name = "DIR", default_value = "target/sandbox")]
    pub dir: PathBuf,
    /// Port of the registry; a free one if none is given
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port_registry: u16,
    /// Answer 404 to the referrers API, so that clients use the referrers tag schema
    #[arg(long)]
    pub no_referrers_api: bool,
    /// Credentials that the registry asks for
    #[arg(long, value_enum, default_value_t = AuthKind::None)]
    pub auth: AuthKind,
    /// User name for --auth
    #[arg(long, value_name = "NAME", default_value = "sandbox")]
    pub user: String,
    /// Password for --auth
    #[arg(long, value_name = "PASSWORD", default_value = "sandbox")]
    pub password: String,
    /// Repository that the ambient identity is the release workflow of
    #[arg(long, value_name = "OWNER/NAME", default_value = "octo/app")]
    pub repository: String,
    /// End when standard input closes: for a program that starts this one
    #[arg(long)]
    pub until_input_closes: bool,
    /// Form of what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// The credentials that the registry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum AuthKind {
    /// None.
    None,
    /// User name and password with every request.
    Basic,
    /// Tokens of the registry's token endpoint.
    Bearer,
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Output {
    /// Lines that a shell can read: comments and `export NAME=VALUE`.
    Text,
    /// One JSON document on one line.
    Json,
}

/// Starts a sandbox with one unsigned image in its registry, prints it, and serves until a signal ends the process, or standard input
/// closes where that is asked for.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (user, password) = (arguments.user.clone(), arguments.password.clone());
    let auth = match arguments.auth {
        AuthKind::None => Auth::None,
        AuthKind::Basic => Auth::Basic { user, password },
        AuthKind::Bearer => Auth::Bearer { user, password },
    };
    let options = Options {
        referrers_api: !arguments.no_referrers_api,
        auth,
        registry_port: arguments.port_registry,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options)?;
    let dir = std::path::absolute(&arguments.dir).context("find the folder of the trust files")?;
    let files = sandbox.write_trust(&dir)?;
    let image = push_image(&sandbox, &arguments.repository);
    let ambient = sandbox.ambient(&GithubIdentity::of(&arguments.repository));
    let printed = match arguments.output {
        Output::Text => text(&facts(&sandbox, &files, image), &ambient),
        Output::Json => json(facts(&sandbox, &files, image), &ambient),
    };
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(printed.as_bytes()).and_then(|()| stdout.flush()).context("print the URLs")?;
    drop(stdout);
    if arguments.until_input_closes {
        return wait_for_end();
    }
    loop {
        std::thread::park();
    }
}

/// Something to sign: an index with two platforms and their attestations, whose `run.sh` says that it runs.
fn push_image(sandbox: &Sandbox, repository: &str) -> String {
    let spec = ImageSpec::with_run_script("#!/bin/sh\necho the backend is running\n", Vec::new());
    image::multi_platform(&spec).push(sandbox.registry(), repository, "v1");
    format!("{}/{repository}:v1", sandbox.registry().host())
}

/// Waits for the end of standard input.
fn wait_for_end() -> anyhow::Result<()> {
    let mut buffer = [0; 1024];
    let mut stdin = std::io::stdin().lock();
    while stdin.read(&mut buffer).context("wait for the end of standard input")? > 0 {}
    Ok(())
}

/// Name and value of everything that there is to know.
fn facts(sandbox: &Sandbox, files: &TrustFiles, image: String) -> Vec<(&'static str, String)> {
    vec![
        ("REGISTRY", sandbox.registry().host().to_owned()),
        ("IMAGE", image),
        ("FULCIO_URL", sandbox.fulcio_url()),
        ("REKOR_V1_URL", sandbox.rekor_v1_url()),
        ("REKOR_V2_URL", sandbox.rekor_v2_url()),
        ("TSA_URL", sandbox.tsa_url()),
        ("TUF_URL", sandbox.tuf_url()),
        ("OIDC_ISSUER", sandbox.oidc_issuer()),
        ("EMAIL_ISSUER", sandbox.email_issuer()),
        ("TRUSTED_ROOT", files.trusted_root.display().to_string()),
        ("SIGNING_CONFIG_REKOR_V1", files.signing_config(RekorVersion::V1).display().to_string()),
        ("SIGNING_CONFIG_REKOR_V2", files.signing_config(RekorVersion::V2).display().to_string()),
        ("TUF_ROOT_JSON", files.tuf_root.display().to_string()),
    ]
}

fn text(facts: &[(&'static str, String)], ambient: &[(String, String)]) -> String {
    let mut text = "# the sandbox: stop it with Ctrl-C or kill; IMAGE is not signed yet\n".to_owned();
    for (name, value) in facts {
        text += &export(&format!("SANDBOX_{name}"), value);
    }
    text += "# the ambient protocol of GitHub Actions\n";
    for (name, value) in ambient {
        text += &export(name, value);
    }
    text
}

fn export(name: &str, value: &str) -> String {
    format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
}

fn json(facts: Vec<(&'static str, String)>, ambient: &[(String, String)]) -> String {
    let facts: serde_json::Map<_, _> =
        facts.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), json!(value))).collect();
    let environment: serde_json::Map<_, _> = ambient.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let document = json!({ "schema": "countersign.dev/sandbox/v1", "sandbox": facts, "environment": environment });
    format!("{document}\n")
}
