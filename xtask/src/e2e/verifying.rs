//! What else people do with the verifier: lint and test a policy, carry it elsewhere, ask for all platforms, verify files, and look at
//! what is believed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use sandbox::GithubIdentity;
use serde_json::Value;

use super::table::Rows;
use super::world::{Pushed, World};

const REJECTED: i32 = 3;

/// The block that LocalAI documents.
const LOCALAI: &str = r#"- name: localai
  url: https://index.localai.io/backends
  verification:
    issuer: https://token.actions.githubusercontent.com
    identity_regex: "^https://github.com/mudler/LocalAI/.github/workflows/backend_merge.yml@refs/(heads/master|tags/.+)$"
    not_before: "2026-05-01T00:00:00Z"
"#;

pub(crate) fn run(world: &World<'_>, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let pushed = world.push("platforms", "octo/platforms", "v1");
    world.sign(&[pushed.reference()], &GithubIdentity::default())?.expect(0)?;
    let policy = world.folder.join("release.yaml");
    // Whoever names no repository admits all that can call the workflow, and cosign does not see that by itself.
    let mut admitted = world.admitted();
    admitted.repository = Some(GithubIdentity::default().repository);
    fs::write(&policy, admitted.policy())?;
    let this = Verifying { world, pushed, policy: policy.display().to_string() };
    rows.note("lint the policy that LocalAI documents", this.lint());
    rows.note("test a policy with a table of certificates", this.table());
    rows.note("export a policy to cosign's flags and import it", this.exchange());
    rows.note("verify all platforms of an index", this.platforms());
    rows.note("report a rejection in SARIF", this.sarif());
    rows.note("sign a file and verify it", this.file());
    rows.note("refresh the trusted root by TUF, and verify offline by it", this.offline());
    Ok(())
}

struct Verifying<'w> {
    world: &'w World<'w>,
    pushed: Pushed,
    policy: String,
}

impl Verifying<'_> {
    fn lint(&self) -> anyhow::Result<String> {
        let file = self.write("localai.yaml", LOCALAI)?;
        let run = self.world.verifier(&["policy", "lint", &file, "--output", "json"])?;
        let named = crate::programs::codes(&run.expect(REJECTED)?.json()?);
        for code in ["unescaped-dot", "any-tag", "no-repository-claim"] {
            ensure!(named.iter().any(|found| found == code), "{code} is not among {named:?}");
        }
        Ok(named.join(", "))
    }

    fn table(&self) -> anyhow::Result<String> {
        let identity = GithubIdentity::default().subject_alternative_name();
        let issuer = self.world.sandbox.oidc_issuer();
        let cases = |expected: &str| {
            format!(
                "version: 1\npolicy: release.yaml\ndefaults:\n  certificate:\n    issuer: {issuer}\n    identity: {identity}\n    \
                 github: {{repository: octo/app}}\n  times: [2026-07-01T12:00:00Z]\ncases:\n  \
                 - {{name: the release job, expect: accepted}}\n  - name: another issuer\n    certificate: {{issuer: https://evil.example}}\n    \
                 expect: {expected}\n"
            )
        };
        let good = self.write("cases.yaml", &cases("denied"))?;
        self.world.verifier(&["policy", "test", &good])?.expect(0)?;
        let wrong = self.write("wrong-cases.yaml", &cases("accepted"))?;
        self.world.verifier(&["policy", "test", &wrong])?.expect(REJECTED)?;
        Ok("2 cases as expected; a wrong expectation ends with 3".to_owned())
    }

    fn exchange(&self) -> anyhow::Result<String> {
        let exported = self.world.verifier(&["policy", "export", &self.policy, "--to", "cosign"])?;
        let flags = self.write("cosign.txt", &exported.expect(0)?.stdout)?;
        let imported = self.world.verifier(&["policy", "import", "--from", "cosign", &flags])?;
        let file = self.write("imported.yaml", &imported.expect(0)?.stdout)?;
        let reference = self.pushed.reference();
        let run = self.world.verifier(&self.verify(&reference, &file, &[]))?;
        run.expect(0)?;
        Ok("the imported policy accepts what the exported one does".to_owned())
    }

    fn platforms(&self) -> anyhow::Result<String> {
        let reference = self.pushed.reference();
        let run =
            self.world.verifier(&self.verify(&reference, &self.policy, &["--all-platforms", "--output", "json"]))?;
        let document = run.expect(0)?.json()?;
        let text = document.to_string();
        let missing: Vec<String> =
            self.pushed.image.digests().into_iter().filter(|digest| !text.contains(digest.as_str())).collect();
        ensure!(missing.is_empty(), "not in the report: {missing:?}");
        let run = self.world.verifier(&self.verify(&reference, &self.policy, &["--platform", "linux/s390x"]))?;
        ensure!(run.exit != 0, "a platform that is not there was verified");
        Ok(format!("{} manifests in the report", self.pushed.image.digests().len()))
    }

    fn sarif(&self) -> anyhow::Result<String> {
        let pushed = self.world.push("unsigned", "octo/never-signed", "v1");
        let reference = pushed.reference();
        let run = self.world.verifier(&self.verify(&reference, &self.policy, &["--output", "sarif"]))?;
        let document: Value = serde_json::from_str(&run.expect(REJECTED)?.stdout).context("SARIF")?;
        ensure!(document["version"] == "2.1.0", "version {}", document["version"]);
        let results = document["runs"][0]["results"].as_array().context("no results")?;
        let rule = results.iter().find_map(|result| result["ruleId"].as_str()).context("no rule")?;
        ensure!(rule.contains("unsigned"), "rule {rule}");
        Ok(format!("{} result of {rule}", results.len()))
    }

    fn file(&self) -> anyhow::Result<String> {
        let file = self.write("notes.txt", "what a release says\n")?;
        self.world.sign_blob(&file, &GithubIdentity::default())?.expect(0)?;
        let root = self.world.trust.trusted_root.display().to_string();
        let arguments = ["verify-blob", &file, "--policy", &self.policy, "--trusted-root", &root, "--output", "json"];
        self.world.verifier(&arguments)?.expect(0)?;
        fs::write(&file, "what somebody else says\n")?;
        let run = self.world.verifier(&arguments)?;
        let code = run.expect(REJECTED)?.expect_code(&["artifact-mismatch"])?;
        Ok(format!("accepted; with other words in it: exit 3, {code}"))
    }

    fn offline(&self) -> anyhow::Result<String> {
        let root = self.world.trust.tuf_root.display().to_string();
        let cache = self.world.folder.join("trust-cache").display().to_string();
        let url = self.world.sandbox.tuf_url();
        let tuf = ["--tuf-url", url.as_str(), "--tuf-root", &root, "--cache-dir", &cache];
        let reference = self.pushed.reference();
        let verify = |world: &World<'_>| {
            let mut arguments = vec!["verify", reference.as_str(), "--policy", &self.policy, "--offline"];
            let map = world.registry_arguments();
            arguments.extend(map.iter().map(String::as_str));
            arguments.extend(tuf);
            world.verifier(&arguments)
        };
        verify(self.world)?.expect(4).context("without a cache nothing is believed")?;
        let mut update = vec!["trust", "update"];
        update.extend(tuf);
        self.world.verifier(&update)?.expect(0)?;
        self.world.sandbox.clear_requests();
        verify(self.world)?.expect(0)?;
        let asked = self.world.sandbox.requests_of(sandbox::Service::Tuf).len();
        ensure!(asked == 0, "the repository was asked {asked} times");
        Ok("exit 4 before the first refresh, verified after it without a request to the repository".to_owned())
    }

    /// A call of `verify` with the file of the sandbox as trusted root.
    fn verify<'a>(&'a self, reference: &'a str, policy: &'a str, further: &[&'a str]) -> Vec<String> {
        let mut arguments: Vec<String> = ["verify", reference, "--policy", policy].map(str::to_owned).to_vec();
        arguments.extend(["--trusted-root".to_owned(), self.world.trust.trusted_root.display().to_string()]);
        arguments.extend(self.world.registry_arguments());
        arguments.extend(further.iter().map(|word| (*word).to_owned()));
        arguments
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path: PathBuf = self.world.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }
}
