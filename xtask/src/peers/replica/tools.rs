//! What the tools around a registry see and carry of what our signer pushed.
//!
//! Each cell looks at the part of the layout that the tool goes by, so that it fails when the part is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use sandbox::Sandbox;
use serde_json::Value;

use super::files;
use super::verifying::{ANOTHER_IDENTITY, Judge, Refusal};
use super::world::{Pushed, World, one_referrer};
use crate::peers::Bench;
use crate::peers::judges::{self, Question};
use crate::peers::matrix::{Section, Shown};
use crate::peers::process::{self, Run};
use crate::peers::referrers;
use crate::peers::signers::{self, Signer};

/// What a command line of sigstore-python says of a subject without name.
const NAME_NEEDED: &str = "subject.0.name";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A signed index, a signed image, and a second registry to carry them to.
struct Bag<'b> {
    bench: &'b Bench<'b>,
    world: &'b World,
    index: Pushed,
    image: Pushed,
    unsigned: Pushed,
    elsewhere: Sandbox,
}

/// Tries every tool that is there, and adds a row with the world's name.
pub(crate) fn run(bench: &Bench<'_>, world: &World, section: &mut Section) {
    let row = world.to_string();
    let bag = match Bag::pack(bench, world) {
        Ok(bag) => bag,
        Err(error) => return section.cell(&row, "ours signs", || Err::<Shown, _>(error)),
    };
    let is_there = |peer: &str| bench.toolbox.folder(peer).is_ok();
    // It reads no registry, so one kind is enough.
    if is_there("sigstore-python") && world.has_referrers_api() {
        section.cell(&row, "sigstore-python verify", || bag.python_verify());
        if is_there("cosign") {
            section.cell(&row, "sigstore-python verify, cosign's", || bag.python_verify_cosigns());
        }
    }
    if is_there("oras") {
        section.cell(&row, "oras discover", || bag.oras_discover());
        section.cell(&row, "oras cp -r", || bag.oras_copy());
    }
    if is_there("regctl") {
        section.cell(&row, "regctl artifact tree", || bag.regctl_tree());
    }
    if is_there("cosign") {
        section.cell(&row, "cosign tree", || bag.cosign_tree());
        section.cell(&row, "cosign save", || bag.cosign_save());
        section.cell(&row, "cosign load", || bag.cosign_load());
        section.cell(&row, "cosign load, strict registry", || bag.cosign_load_strict());
        section.cell(&row, "cosign clean", || bag.cosign_clean());
    }
}

impl<'b> Bag<'b> {
    fn pack(bench: &'b Bench<'_>, world: &'b World) -> anyhow::Result<Self> {
        let index = world.push("octo/tools:v1");
        let image = world.push_single("octo/tools-single:v1");
        Signer::Ours("image").sign(bench, &world.stack, &index.pinned())?;
        signers::ours(bench, &world.stack, &["--statement", "digest", &image.pinned()])?;
        let unsigned = world.push("octo/tools:unsigned");
        Ok(Self { bench, world, index, image, unsigned, elsewhere: world.another_registry()? })
    }

    /// The digest of the image for the one platform that the second image has.
    fn single(&self) -> &str {
        &self.image.image.platforms[0].manifest.digest
    }

    fn command(&self, peer: &str) -> anyhow::Result<Command> {
        let program = if peer.starts_with("cosign") { "cosign" } else { peer };
        Ok(process::command(&self.bench.toolbox.program(peer, program)?, &self.bench.folder(peer)?))
    }

    /// The command line of sigstore-python, which reads statements with a model of its own: every subject has to have a name.
    fn python_verify(&self) -> anyhow::Result<Shown> {
        let digest = self.index.image.digest();
        let bundle = self.world.bundle_file(&self.index, digest)?;
        let identity = &self.world.stack.identity;
        self.python(&bundle, identity, digest)?.ok()?;
        let refused = |run: Run, words: &str| {
            // The lines are folded to the width of a terminal.
            let said: String = run.stderr.split_whitespace().collect();
            ensure!(!run.success() && said.contains(words), "exit {}, not for {words}: {}", run.exit, run.last_words());
            Ok(())
        };
        refused(self.python(&bundle, ANOTHER_IDENTITY, digest)?, "SANsdonotmatch")?;
        refused(self.python(&bundle, identity, self.unsigned.image.digest())?, "nosubjectfordigest")?;
        Ok("verified by digest; another identity and another digest refused".into())
    }

    /// The same of what cosign signs.
    fn python_verify_cosigns(&self) -> anyhow::Result<Shown> {
        let pushed = self.world.push("octo/tools-cosign:v1");
        Signer::Cosign.sign(self.bench, &self.world.stack, &pushed.pinned())?;
        let bundle = self.world.bundle_file(&pushed, pushed.image.digest())?;
        let run = self.python(&bundle, &self.world.stack.identity, pushed.image.digest())?;
        ensure!(!run.success(), "accepts subjects without name: say so in the list of limits");
        ensure!(run.stderr.contains(NAME_NEEDED), "refused for another reason: {}", run.last_words());
        Ok(Shown::limit(format!("{NAME_NEEDED}: field required; cosign writes no name")))
    }

    fn python(&self, bundle: &Path, identity: &str, digest: &str) -> anyhow::Result<Run> {
        let program = self.bench.toolbox.program("sigstore-python", "bin/python")?;
        let mut command = process::command(&program, &self.bench.folder("python")?);
        command.args(["-m", "sigstore", "--trust-config"]).arg(files::client_trust_config(self.world)?);
        command.args(["verify", "identity", "--offline", "--cert-identity", identity, "--cert-oidc-issuer"]);
        command.arg(&self.world.stack.issuer).arg("--bundle").arg(bundle).arg(digest);
        process::call(command)
    }

    /// The list has the signature when asked for its type, and not when asked for another.
    fn oras_discover(&self) -> anyhow::Result<Shown> {
        let found = self.discovered(BUNDLE, &self.index)?;
        let expected = one_referrer(&self.index.repository, self.index.image.digest())?;
        let [referrer] = found.as_slice() else { anyhow::bail!("{} referrers of the type of bundles", found.len()) };
        ensure!(referrer["digest"] == *expected.digest, "another referrer: {referrer}");
        let predicate = &referrer["annotations"]["dev.sigstore.bundle.predicateType"];
        ensure!(*predicate == SIGNATURE, "the predicate type is {predicate}");
        ensure!(self.discovered("application/vnd.example+json", &self.index)?.is_empty(), "found by another type");
        ensure!(self.discovered(BUNDLE, &self.unsigned)?.is_empty(), "found at an unsigned image");
        Ok("found by its type, with its predicate type".into())
    }

    fn discovered(&self, artifact_type: &str, pushed: &Pushed) -> anyhow::Result<Vec<Value>> {
        let mut command = self.command("oras")?;
        command.args(["discover", "--plain-http", "--format", "json", "--artifact-type", artifact_type]);
        command.arg(pushed.at(pushed.image.digest()));
        let document: Value = serde_json::from_str(&process::call(command)?.ok()?.stdout)?;
        Ok(document["referrers"].as_array().cloned().unwrap_or_default())
    }

    /// The copy has every signature, and everybody who reads registries verifies it there.
    fn oras_copy(&self) -> anyhow::Result<Shown> {
        let repository = format!("{}/octo/copied", self.elsewhere.registry().host());
        let mut command = self.command("oras")?;
        command.args(["cp", "-r", "--from-plain-http", "--to-plain-http", &self.index.pinned()]);
        command.arg(format!("{repository}:v1"));
        process::call(command)?.ok()?;
        let judges = [Judge::Ours, Judge::Cosign("cosign"), Judge::Cosign("cosign-2.6")];
        let mut verified_by = Vec::new();
        for judge in judges.into_iter().filter(|judge| judge.is_there(self.bench).is_ok()) {
            self.verified_there(judge, &repository, &self.index.image.digests())?;
            verified_by.push(judge.name());
        }
        Ok(format!("5 digests verified in the other registry by {}", verified_by.join(", ")).into())
    }

    /// Fails unless a judge verifies all of these digests in a repository, and refuses another identity.
    fn verified_there(&self, judge: Judge, repository: &str, digests: &[String]) -> anyhow::Result<()> {
        let stack = &self.world.stack;
        let references: Vec<String> = digests.iter().map(|digest| format!("{repository}@{digest}")).collect();
        let ask = |identity: &str, references: &[String]| match judge {
            Judge::Cosign(peer) => judges::cosign_of(self.bench, peer, stack, identity, references),
            _ => judges::ours_of(self.bench, stack, identity, references),
        };
        ask(&stack.identity, &references)?.accepted().with_context(|| judge.name())?;
        ask(ANOTHER_IDENTITY, &references[..1])?
            .refused_for(judge.words(Refusal::Identity))
            .with_context(|| judge.name())?;
        Ok(())
    }

    /// The tree has each digest with its signature, also when only the type of bundles is asked for.
    fn regctl_tree(&self) -> anyhow::Result<Shown> {
        let tree = self.tree_of(&["--filter-artifact-type", BUNDLE], &self.index)?;
        for digest in self.index.image.digests() {
            let referrer = one_referrer(&self.index.repository, &digest)?.digest;
            ensure!(tree.contains(&format!("{referrer}: {BUNDLE}")), "the signature of {digest} is not in\n{tree}");
        }
        let other = self.tree_of(&["--filter-artifact-type", "application/vnd.example+json"], &self.index)?;
        ensure!(!other.contains("Referrers:"), "found by another type:\n{other}");
        let unsigned = self.tree_of(&[], &self.unsigned)?;
        ensure!(unsigned.contains("Children:") && !unsigned.contains("Referrers:"), "unsigned, yet\n{unsigned}");
        Ok("5 digests with their signatures".into())
    }

    fn tree_of(&self, arguments: &[&str], pushed: &Pushed) -> anyhow::Result<String> {
        let mut command = self.command("regctl")?;
        command.arg("--host").arg(format!("reg={},tls=disabled", self.world.registry().host()));
        command.args(["artifact", "tree"]).args(arguments).arg(pushed.at(pushed.image.digest()));
        Ok(process::call(command)?.ok()?.stdout)
    }

    fn cosign(&self, command_name: &str, arguments: &[&str]) -> anyhow::Result<Run> {
        let mut command = self.command("cosign")?;
        command.args([command_name, "--allow-http-registry", "--allow-insecure-registry"]).args(arguments);
        process::call(command)
    }

    /// The tree names the signature by its predicate type, which it has from an annotation.
    fn cosign_tree(&self) -> anyhow::Result<Shown> {
        let tree = self.cosign("tree", &[&self.index.at(self.index.image.digest())])?.ok()?.stdout;
        let referrer = one_referrer(&self.index.repository, self.index.image.digest())?.digest;
        let line = tree.lines().find(|line| line.contains(&referrer));
        let line = line.with_context(|| format!("{referrer} is not in\n{tree}"))?;
        ensure!(line.contains(SIGNATURE), "the signature has no predicate type: {line}");
        let unsigned = self.cosign("tree", &[&self.unsigned.at(self.unsigned.image.digest())])?.ok()?.stdout;
        ensure!(unsigned.contains("No Supply Chain Security Related Artifacts"), "unsigned, yet\n{unsigned}");
        Ok("named by its predicate type".into())
    }

    /// Saves the image for one platform with its signature: cosign verifies no index that it saved.
    fn saved(&self) -> anyhow::Result<PathBuf> {
        let folder = self.bench.folder("saved")?;
        self.cosign("save", &["--dir", text(&folder)?, &self.image.at(self.single())])?.ok()?;
        Ok(folder)
    }

    /// What was saved verifies without a registry.
    fn cosign_save(&self) -> anyhow::Result<Shown> {
        let folder = self.saved()?;
        self.verify_saved(&folder, &self.world.stack.identity)?.ok()?;
        let refused = self.verify_saved(&folder, ANOTHER_IDENTITY)?;
        ensure!(!refused.success(), "another identity is accepted");
        let words = refused.last_words();
        ensure!(words.contains("no matching CertificateIdentity found"), "refused for another reason: {words}");
        Ok("verified without a registry".into())
    }

    fn verify_saved(&self, folder: &Path, identity: &str) -> anyhow::Result<Run> {
        let mut command = self.command("cosign")?;
        command.args(["verify", "--local-image", text(folder)?, "--certificate-identity", identity]);
        command.args(["--certificate-oidc-issuer", &self.world.stack.issuer]);
        command.arg("--trusted-root").arg(&self.world.stack.trusted_root);
        process::call(command)
    }

    /// What was loaded into another registry has its signature, and verifies there.
    fn cosign_load(&self) -> anyhow::Result<Shown> {
        let folder = self.saved()?;
        let registry = self.elsewhere.registry();
        // It puts the manifest of the signature before the bundle that the manifest names.
        registry.put_blob("octo/loaded", one_referrer(&self.image.repository, self.single())?.bundle);
        let repository = format!("{}/octo/loaded", registry.host());
        self.cosign("load", &["--dir", text(&folder)?, &format!("{repository}:v1")])?.ok()?;
        for judge in [Judge::Ours, Judge::Cosign("cosign")] {
            self.verified_there(judge, &repository, &[self.single().to_owned()])?;
        }
        Ok("verified in the other registry; the bundle's blob has to be there before".into())
    }

    /// A registry that wants blobs before the manifests that name them takes no signature from `cosign load`.
    fn cosign_load_strict(&self) -> anyhow::Result<Shown> {
        let folder = self.saved()?;
        let reference = format!("{}/octo/strict:v1", self.elsewhere.registry().host());
        let run = self.cosign("load", &["--dir", text(&folder)?, &reference])?;
        ensure!(!run.success(), "cosign load now puts the bundle before its manifest: say so in the list of limits");
        let words = run.last_words();
        ensure!(words.contains("MANIFEST_BLOB_UNKNOWN"), "refused for another reason: {words}");
        Ok(Shown::limit("puts the manifest of a signature before its bundle: MANIFEST_BLOB_UNKNOWN"))
    }

    /// It knows our signature for one, and leaves the image unsigned.
    fn cosign_clean(&self) -> anyhow::Result<Shown> {
        let digest = self.index.image.digest();
        let run = self.cosign("clean", &["--type", "all", "--force", &self.index.at(digest)])?.ok()?;
        let left = referrers::with_bundles(&self.index.repository, digest)?;
        ensure!(left.is_empty(), "{} signatures are left: {}", left.len(), run.last_words());
        let (stack, repository) = (&self.world.stack, &self.index.repository);
        let question = Question { stack, repository, digest, identity: &stack.identity };
        judges::ours(self.bench, &question)?.refused_for(&["unsigned"])?;
        Ok("removed; ours says unsigned".into())
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}
