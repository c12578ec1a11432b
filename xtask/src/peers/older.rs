//! What older versions of cosign wrote: accepted where it can be verified, else named, with what to do.

use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sandbox::{Ed25519Key, Keys, Options, Sandbox};
use serde_json::Value;

mod cosign;
mod inspection;
mod rekor;

use super::Bench;
use super::judges::{self, Question};
use super::matrix::Section;
use super::referrers;
use super::registries::graft::graft;
use super::registries::push::{self, Pushed};
use super::signers::Signer;
use super::stack::{Rekor, Stack};
use super::verdict::Verdicts;
use cosign::Form;

const NAME: &str = "Older signatures";
/// What the reasons advise.
const ADVICE: &str = "sign the image again with cosign 3";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Services, and the two ways to keep referrers.
struct World<'w> {
    bench: &'w Bench<'w>,
    folder: PathBuf,
    sandbox: Sandbox,
    stack: Stack,
    /// The seed of the key of Rekor v2.
    seed: [u8; 32],
    /// The hosts of a registry with the referrers API and of one without.
    hosts: [(&'static str, String); 2],
    _without_api: Sandbox,
}

pub(crate) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Section>> {
    let mut section = Section::new(NAME);
    let world = World::start(bench)?;
    thread::scope(|scope| {
        let start = |(column, host)| {
            let world = &world;
            scope.spawn(move || run_one(world, column, host))
        };
        let running: Vec<_> = world.hosts.iter().map(|(column, host)| start((*column, host.as_str()))).collect();
        for run in running {
            section.extend(run.join().map_err(|_| anyhow!("older signatures panicked"))?);
        }
        anyhow::Ok(())
    })?;
    Ok(vec![section])
}

/// Everything that is tried with one way to keep referrers: a column.
fn run_one(world: &World<'_>, column: &str, host: &str) -> Section {
    let mut section = Section::new(NAME);
    for form in [Form::Tag, Form::Referrer] {
        let mut signed = None;
        section.cell(&format!("cosign 2.4, {form}: verify rejects it by name"), column, || {
            let pushed = world.signed_by_2_4(host, form)?;
            let shown = world.rejected(&pushed, form)?;
            signed = Some(pushed);
            Ok(shown)
        });
        let Some(pushed) = &signed else { continue };
        section.cell(&format!("cosign 2.4, {form}: inspect names it"), column, || {
            inspection::names(world.bench, &pushed.by_tag, form)
        });
        section.cell(&format!("cosign 2.4, {form}: signed again by ours"), column, || {
            Signer::Ours("image").sign(world.bench, &world.stack, &pushed.by_tag)?;
            world.verdicts(pushed, &world.stack.identity)?.verified()?;
            Ok("verified, by tag and by digest")
        });
    }
    section.cell("cosign 2.6: bundles without predicate", column, || world.bundles_of_2_6(column, host));
    section.cell("cosign 2.6 to Rekor v2 of then: refused for the true reason", column, || {
        world.dropped_entry(column, host)
    });
    section
}

impl<'w> World<'w> {
    fn start(bench: &'w Bench<'w>) -> anyhow::Result<Self> {
        let folder = bench.folder("older")?;
        let seed = rekor::seed()?;
        let keys = Keys { rekor_v2: Ed25519Key::from_seed(&seed), ..Keys::generate() };
        let sandbox = Sandbox::start(Options { keys, ..Options::default() })?;
        let without_api = Sandbox::start(Options { referrers_api: false, ..Options::default() })?;
        let stack = Stack::of_sandbox(&sandbox, Rekor::V1, &folder)?;
        let hosts = [
            ("referrers API", sandbox.registry().host().to_owned()),
            ("tag schema", without_api.registry().host().to_owned()),
        ];
        Ok(Self { bench, folder, sandbox, stack, seed, hosts, _without_api: without_api })
    }

    fn verdicts(&self, pushed: &Pushed, identity: &str) -> anyhow::Result<Verdicts> {
        Verdicts::on(self.bench, &self.stack, &pushed.references(), identity)
    }

    /// Signs an image in one of the forms before bundles, and lets that cosign confirm that it is signed.
    fn signed_by_2_4(&self, host: &str, form: Form) -> anyhow::Result<Pushed> {
        let name = format!("octo/{}", form.name());
        let pushed = push::push(host, &name, push::image("older"))?;
        cosign::sign_2_4(self.bench, &self.stack, form, &pushed.by_tag)?;
        cosign::verify_2_4(self.bench, &self.stack, form, &pushed.by_tag)?;
        Ok(pushed)
    }

    fn rejected(&self, pushed: &Pushed, form: Form) -> anyhow::Result<String> {
        let verdicts = self.verdicts(pushed, &self.stack.identity)?;
        verdicts.rejected("older-cosign-format")?;
        let refused: Vec<&Value> = verdicts.refused().collect();
        let references = pushed.references().len();
        ensure!(refused.len() == references, "{} reasons for {references} references", refused.len());
        for refusal in refused {
            let text = |member: &str| refusal[member].as_str().unwrap_or_default().to_owned();
            ensure!(text("reason").contains(form.reason()), "the reason is {}", refusal["reason"]);
            ensure!(text("hint").contains(ADVICE), "the hint is {}", refusal["hint"]);
        }
        Ok(format!("{references} references: exit 3, older-cosign-format, with the hint"))
    }

    /// Bundles as cosign wrote them first: no predicate, and on a registry without referrers API entries of another type.
    fn bundles_of_2_6(&self, column: &str, host: &str) -> anyhow::Result<String> {
        let pushed = push::push(host, "octo/two-six", push::image("two-six"))?;
        cosign::sign_2_6(self.bench, &self.stack, &self.stack.signing_config, &pushed.by_tag)?;
        for digest in pushed.image.digests() {
            let found = referrers::with_bundles(&pushed.repository, &digest)?;
            let [referrer] = found.as_slice() else { bail!("{digest} has {} bundles", found.len()) };
            let listed = &referrer.descriptor["artifactType"];
            ensure!(column != "tag schema" || listed == EMPTY, "it is listed as {listed}");
            let bundle: Value = serde_json::from_slice(&referrer.bundle)?;
            let payload = bundle["dsseEnvelope"]["payload"].as_str().context("a bundle without envelope")?;
            let statement: Value = serde_json::from_slice(&BASE64_STANDARD.decode(payload)?)?;
            ensure!(statement.get("predicate").is_none(), "there is a predicate: {}", statement["predicate"]);
        }
        self.verdicts(&pushed, &self.stack.identity)?.verified()?;
        self.verdicts(&pushed, "https://github.com/octo/another")?.rejected("policy-denied")?;
        let other = push::push(host, "octo/another", push::image("another"))?;
        graft(&pushed, &other)?;
        let grafted = [other.by_tag.clone()];
        Verdicts::on(self.bench, &self.stack, &grafted, &self.stack.identity)?.rejected("subject-mismatch")?;
        Ok(format!("{} references verified; another identity and image refused", pushed.references().len()))
    }

    /// Entries of the kind `dsse` 0.0.2: Rekor v2 took them for some months, and has dropped them.
    fn dropped_entry(&self, column: &str, host: &str) -> anyhow::Result<String> {
        let log = rekor::Log::start(self.bench, &self.seed)?;
        let folder = self.folder.join(column);
        let stack = Stack::of_sandbox(&self.sandbox, Rekor::V2, &folder)?;
        let config = log.signing_config(&stack.signing_config, &folder.join("signing_config.dsse.json"))?;
        let pushed = push::push(host, "octo/dropped", push::image("dropped"))?;
        cosign::sign_2_6(self.bench, &stack, &config, &pushed.by_tag)?;
        let found = referrers::with_bundles(&pushed.repository, pushed.image.digest())?;
        let bundle: Value = serde_json::from_slice(&found.first().context("no bundle")?.bundle)?;
        let kind = &bundle["verificationMaterial"]["tlogEntries"][0]["kindVersion"];
        ensure!(kind["kind"] == "dsse" && kind["version"] == "0.0.2", "the entry is {kind}");
        // The bundle is sound: who knows such entries verifies it.
        let question = Question {
            stack: &stack,
            repository: &pushed.repository,
            digest: pushed.image.digest(),
            identity: &stack.identity,
        };
        judges::cosign(self.bench, "cosign-2.6", &question)?.accepted().context("cosign 2.6 on its own bundle")?;
        let verdicts = self.verdicts(&pushed, &stack.identity)?;
        verdicts.rejected("unsupported-log-entry")?;
        for refusal in verdicts.refused() {
            let reason = refusal["reason"].as_str().unwrap_or_default();
            let is_true = reason.contains("dsse 0.0.2") && reason.contains("Rekor v2 has dropped");
            ensure!(is_true, "the reason is {reason}");
            ensure!(
                refusal["hint"].as_str().is_some_and(|hint| hint.contains(ADVICE)),
                "the hint is {}",
                refusal["hint"]
            );
        }
        Ok("exit 3, unsupported-log-entry: dsse 0.0.2, which Rekor v2 has dropped; cosign 2.6 verifies it".to_owned())
    }
}
