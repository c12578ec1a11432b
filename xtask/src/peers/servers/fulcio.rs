//! Fulcio with a certificate authority in files, the issuers of the sandbox, and a certificate transparency log of its own.

use std::fs;
use std::path::Path;

use sandbox::{CodeSigningChain, Sandbox};
use serde_json::{Value, json};

use super::super::process::{self, Server};
use super::super::{Bench, http};
use super::ct_log::CtLog;
use super::keys;

/// A running Fulcio.
pub(crate) struct Fulcio {
    pub(crate) url: String,
    pub(super) chain: CodeSigningChain,
    pub(super) ct_url: String,
    /// DER.
    pub(super) ct_spki: Vec<u8>,
    _server: Server,
    _ct_log: CtLog,
}

impl Fulcio {
    pub(super) fn start(bench: &Bench<'_>, sandbox: &Sandbox) -> anyhow::Result<Self> {
        let program = bench.toolbox.program("fulcio", "fulcio")?;
        let folder = bench.folder("fulcio")?;
        let root = keys::ecdsa(&folder.join("root.key"))?;
        let intermediate = keys::ecdsa(&folder.join("intermediate.key"))?;
        let chain = CodeSigningChain::new(&root, &intermediate, super::trust::since())?;
        fs::write(folder.join("chain.pem"), chain.pem().concat())?;
        let ct_log = CtLog::start(bench, &chain)?;
        fs::write(folder.join("ct.pub"), keys::pem("PUBLIC KEY", &ct_log.spki)?)?;
        fs::write(
            folder.join("fulcio.yaml"),
            format!("# not JSON, for which there are other names\n{}\n", configuration(sandbox)),
        )?;
        let (port, grpc, metrics) = (process::free_port()?, process::free_port()?, process::free_port()?);
        let url = format!("http://127.0.0.1:{port}");
        let mut command = process::command(&program, &folder);
        let file = |name: &str, path: &str| format!("--{name}={}", folder.join(path).display());
        command.args(["serve", "--host=127.0.0.1", "--grpc-host=127.0.0.1", &format!("--port={port}")]);
        command.args([format!("--grpc-port={grpc}"), format!("--metrics-port={metrics}")]);
        // The default is one name for the whole machine, so that two cannot run.
        command.arg(format!("--legacy-unix-domain-socket={}", socket(&folder)));
        command.args(["--ca=fileca", "--fileca-watch=false", &file("fileca-cert", "chain.pem")]);
        // The flag is mandatory; the key needs no password.
        command.args([&file("fileca-key", "intermediate.key"), "--fileca-key-passwd=unused"]);
        command.args([file("config-path", "fulcio.yaml"), format!("--ct-log-url={}", ct_log.url)]);
        command.arg(file("ct-log-public-key-path", "ct.pub"));
        let ready = || http::is_up(&format!("{url}/healthz"));
        let server = Server::start("fulcio", command, &folder.join("log"), ready)?;
        let (ct_url, ct_spki) = (ct_log.url.clone(), ct_log.spki.clone());
        Ok(Self { url, chain, ct_url, ct_spki, _server: server, _ct_log: ct_log })
    }
}

/// An abstract name, as paths of sockets may have 107 bytes only.
fn socket(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("@{name}-{}", std::process::id())
}

/// Fulcio's configuration: JSON, which is YAML too. The templates are those of the public instance.
fn configuration(sandbox: &Sandbox) -> Value {
    let issuer = |url: String, kind: &str| {
        let mut issuer = json!({ "issuer-url": url, "client-id": "sigstore", "type": kind });
        if kind == "ci-provider" {
            issuer["ci-provider"] = json!("github-workflow");
        }
        issuer
    };
    json!({
        "oidc-issuers": {
            sandbox.email_issuer(): issuer(sandbox.email_issuer(), "email"),
            sandbox.oidc_issuer(): issuer(sandbox.oidc_issuer(), "ci-provider"),
        },
        "ci-issuer-metadata": { "github-workflow": {
            "default-template-values": { "url": "https://github.com", "environment": "" },
            "extension-templates": {
                "github-workflow-trigger": "event_name",
                "github-workflow-sha": "sha",
                "github-workflow-name": "workflow",
                "github-workflow-repository": "repository",
                "github-workflow-ref": "ref",
                "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}",
                "build-signer-digest": "job_workflow_sha",
                "runner-environment": "runner_environment",
                "source-repository-uri": "{{ .url }}/{{ .repository }}",
                "source-repository-digest": "sha",
                "source-repository-ref": "ref",
                "source-repository-identifier": "repository_id",
                "source-repository-owner-uri": "{{ .url }}/{{ .repository_owner }}",
                "source-repository-owner-identifier": "repository_owner_id",
                "build-config-uri": "{{ .url }}/{{ .workflow_ref }}",
                "build-config-digest": "workflow_sha",
                "build-trigger": "event_name",
                "run-invocation-uri": "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
                "source-repository-visibility-at-signing": "repository_visibility",
                "deployment-environment": "environment",
            },
            "subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
        } },
    })
}
