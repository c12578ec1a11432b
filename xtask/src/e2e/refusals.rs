//! What must be refused: each with its exit code, its reason and an unchanged disk.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use sandbox::{Action, Fault, GithubIdentity, Options, Sandbox, Service};
use serde_json::{Value, json};

use super::gallery::Admitted;
use super::snapshot::Snapshot;
use super::table::Rows;
use super::world::{HOST, Pushed, World};

/// The reasons of a signature that was made under another trusted root: which one depends on what is checked first.
const OF_ANOTHER_ROOT: [&str; 4] =
    ["certificate-untrusted", "inclusion-promise-invalid", "log-unknown", "timestamp-invalid"];
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

const REJECTED: i32 = 3;
const UNDECIDED: i32 = 4;
const USAGE: i32 = 2;

/// One refusal: what is asked for, under which policy and root, and how it must end.
struct Case<'a> {
    pushed: &'a Pushed,
    tag: &'a str,
    admitted: Admitted,
    trusted_root: PathBuf,
    exit: i32,
    codes: &'a [&'a str],
    /// What `verify` says where that is not what `install` says: it fetches no layer.
    verify: Option<i32>,
}

pub(crate) fn run(world: &World<'_>, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    // Something is installed already, and must stay as it is.
    let good = signed(world, "good")?;
    let installed = install(world, &good, &good.tag, &world.admitted().block(), &world.trust.trusted_root, &[])?;
    installed.expect(0).context("installing what the refusals must leave alone")?;

    rows.note("refused: unsigned", unsigned(world));
    rows.note("refused: wrong identity", wrong_identity(world, &good));
    rows.note("refused: wrong issuer", wrong_issuer(world, &good));
    rows.note("refused: another image's bundle", another_bundle(world, &good));
    rows.note("refused: signed before the cutoff", before_cutoff(world, &good));
    rows.note("refused: tampered layer", tampered_layer(world));
    rows.note("refused: tampered manifest", tampered_manifest(world));
    rows.note("refused: tag moved", tag_moved(world));
    rows.note("refused: tag binding violated", tag_not_bound(world));
    rows.note("refused: repository binding violated", repository_not_bound(world, &good));
    rows.note("refused: a stranger calls the reusable workflow", stranger(world));
    rows.note("undecided: the listing fails", listing_fails(world, &good));
    rows.note("refused: trusted root of another instance", another_root(world, &good));
    rows.note("refused: no policy", no_policy(world));
    rows.note("refused: strict mode overrules `unverified: warn`", strict_overrules(world));
    Ok(())
}

impl<'a> Case<'a> {
    fn rejected(world: &World<'_>, pushed: &'a Pushed, codes: &'a [&'a str]) -> Self {
        Self {
            pushed,
            tag: &pushed.tag,
            admitted: world.admitted(),
            trusted_root: world.trust.trusted_root.clone(),
            exit: REJECTED,
            codes,
            verify: None,
        }
    }

    /// Asks both programs: each must end as it must, for the right reason, and leave the disk alone.
    fn check(&self, world: &World<'_>) -> anyhow::Result<String> {
        let before = Snapshot::of(&world.backends())?;
        let run = install(world, self.pushed, self.tag, &self.admitted.block(), &self.trusted_root, &["--force"])?;
        let code = run.expect(self.exit).context("install")?.expect_code(self.codes).context("install")?;
        let after = Snapshot::of(&world.backends())?;
        ensure!(before == after, "the disk changed: {:?}", before.difference(&after));

        let reference = format!("{HOST}/{}:{}", self.pushed.repository, self.tag);
        let run = world.verify(&reference, &self.admitted, &self.trusted_root)?;
        let exit = self.verify.unwrap_or(self.exit);
        run.expect(exit).context("verify")?;
        if exit != 0 {
            run.expect_code(self.codes).context("verify")?;
        }
        Ok(format!("exit {}, {code}, disk unchanged", self.exit))
    }
}

fn signed(world: &World<'_>, name: &str) -> anyhow::Result<Pushed> {
    let pushed = world.push(name, &format!("octo/{name}"), "v1");
    world.sign(&[pushed.reference()], &GithubIdentity::default())?.expect(0)?;
    Ok(pushed)
}

/// Installs the image through an index of one entry.
fn install(
    world: &World<'_>,
    pushed: &Pushed,
    tag: &str,
    trust: &str,
    trusted_root: &std::path::Path,
    further: &[&str],
) -> anyhow::Result<crate::programs::Run> {
    let index = world.folder.join("one-entry.yaml");
    fs::write(&index, format!("- name: entry\n  uri: {HOST}/{}:{tag}\n", pushed.repository))?;
    world.install("entry", &world.config(&index, trust), trusted_root, further)
}

fn unsigned(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = world.push("unsigned", "octo/unsigned", "v1");
    Case::rejected(world, &pushed, &["unsigned"]).check(world)
}

fn wrong_identity(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let mut case = Case::rejected(world, good, &["identity-mismatch"]);
    case.admitted.identity = case.admitted.identity.replace("release.yml", "release.yaml");
    case.check(world)
}

fn wrong_issuer(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let mut case = Case::rejected(world, good, &["issuer-mismatch"]);
    case.admitted.issuer.push('/');
    case.check(world)
}

fn another_bundle(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let victim = world.push("victim", "octo/victim", "v1");
    graft(world, good, &victim)?;
    Case::rejected(world, &victim, &["subject-mismatch"]).check(world)
}

fn before_cutoff(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let mut case = Case::rejected(world, good, &["signed-before-cutoff"]);
    case.admitted.not_before = Some("2100-01-01T00:00:00Z".to_owned());
    case.check(world)
}

fn tampered_layer(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = signed(world, "layer")?;
    let layer = pushed.image.platform("linux/amd64").and_then(|image| image.layers.first()).context("no layer")?;
    let mut bytes = world.sandbox.registry().get_blob(layer).context("no blob")?.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.sandbox.registry().overwrite_blob(layer, bytes);
    let mut case = Case::rejected(world, &pushed, &["layer-digest-mismatch"]);
    case.verify = Some(0);
    case.check(world)
}

fn tampered_manifest(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = signed(world, "manifest")?;
    let platform = &pushed.image.platform("linux/amd64").context("no platform")?.manifest;
    let text = String::from_utf8(platform.bytes.to_vec())?.replacen("\"schemaVersion\":2", "\"schemaVersion\": 2", 1);
    ensure!(text.as_bytes() != platform.bytes, "the manifest was not changed");
    world.sandbox.registry().overwrite_manifest(&pushed.repository, &platform.digest, text);
    let mut case = Case::rejected(world, &pushed, &["digest-mismatch"]);
    case.verify = Some(0);
    case.check(world)
}

fn tag_moved(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = signed(world, "moved")?;
    let other = world.push("other", "octo/moved", "other");
    world.sandbox.registry().set_tag("octo/moved", "v1", other.image.digest());
    Case::rejected(world, &pushed, &["unsigned"]).check(world)
}

fn tag_not_bound(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = signed(world, "bound")?;
    world.sandbox.registry().set_tag("octo/bound", "v2", pushed.image.digest());
    let mut case = Case::rejected(world, &pushed, &["tag-not-bound"]);
    case.admitted.require_tag = true;
    case.tag = "v2";
    case.check(world)
}

/// The image and its signatures, copied to another repository of the same registry.
fn repository_not_bound(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let copy = world.push("good", "octo/copy", "v1");
    ensure!(copy.image.digest() == good.image.digest(), "the copy is another image");
    graft(world, good, &copy)?;
    let mut case = Case::rejected(world, &copy, &["repository-not-bound"]);
    case.admitted.require_repository = true;
    case.check(world)
}

/// The workflow is the release job's, and so is its name in the certificate; the repository that called it is not.
fn stranger(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = world.push("stranger", "octo/stranger", "v1");
    let mut identity = GithubIdentity::default();
    "evil/fork".clone_into(&mut identity.repository);
    "evil/fork/.github/workflows/call.yml@refs/heads/main".clone_into(&mut identity.workflow_ref);
    world.sign(&[pushed.reference()], &identity)?.expect(0).context("sign")?;
    Case::rejected(world, &pushed, &["source-repository-mismatch"]).check(world)
}

fn listing_fails(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let path = if world.referrers_api { "/referrers/" } else { "/manifests/sha256-" };
    let refused = Action::status(403);
    let _fault = world.sandbox.fault(Fault::new(Service::Registry, refused).path(path));
    let mut case = Case::rejected(world, good, &["undecided", "denied"]);
    case.exit = UNDECIDED;
    case.check(world)
}

fn another_root(world: &World<'_>, good: &Pushed) -> anyhow::Result<String> {
    let other = Sandbox::start(Options::default())?;
    let trust = other.write_trust(&world.folder.join("another"))?;
    let mut case = Case::rejected(world, good, &OF_ANOTHER_ROOT);
    case.trusted_root = trust.trusted_root;
    case.check(world)
}

fn no_policy(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = world.push("nobody", "octo/nobody", "v1");
    let before = Snapshot::of(&world.backends())?;
    let run = install(world, &pushed, "v1", "", &world.trust.trusted_root, &["--force"])?;
    let code = run.expect(USAGE)?.expect_code(&["no-policy"])?;
    ensure!(before == Snapshot::of(&world.backends())?, "the disk changed");
    Ok(format!("exit {USAGE}, {code}, disk unchanged"))
}

fn strict_overrules(world: &World<'_>) -> anyhow::Result<String> {
    let pushed = world.push("warned", "octo/warned", "v1");
    let before = Snapshot::of(&world.backends())?;
    let strict = ["--force", "--require-backend-integrity"];
    let warn = "  unverified: warn\n";
    let run = install(world, &pushed, "v1", warn, &world.trust.trusted_root, &strict)?;
    run.expect(USAGE)?;
    ensure!(before == Snapshot::of(&world.backends())?, "the disk changed");
    install(world, &pushed, "v1", warn, &world.trust.trusted_root, &["--force"])?
        .expect(0)
        .context("without strict")?;
    Ok(format!("exit {USAGE}, disk unchanged; without strict mode it is installed with a warning"))
}

/// Attaches what was signed for one image to another, as anyone can who may push.
fn graft(world: &World<'_>, from: &Pushed, to: &Pushed) -> anyhow::Result<()> {
    let registry = world.sandbox.registry();
    let listed = registry.referrers(&from.repository, from.image.digest());
    let digest = listed.first().and_then(|found| found["digest"].as_str()).context("no referrer")?;
    let stored = registry.get_manifest(&from.repository, digest).context("no manifest")?;
    let mut manifest: Value = serde_json::from_slice(&stored.bytes)?;
    for layer in manifest["layers"].as_array().context("no layers")? {
        let blob = registry.get_blob(layer["digest"].as_str().unwrap_or_default()).context("no blob")?;
        registry.put_blob(&to.repository, blob);
    }
    manifest["subject"]["digest"] = json!(to.image.digest());
    manifest["subject"]["size"] = json!(to.image.index.bytes.len());
    let bytes = manifest.to_string();
    let grafted = sandbox::digest_of(bytes.as_bytes());
    let size = bytes.len();
    registry.put_manifest(&to.repository, &grafted, &stored.media_type, bytes);
    if !world.referrers_api {
        let entry = json!({
            "mediaType": stored.media_type, "digest": grafted, "size": size, "artifactType": manifest["artifactType"],
        });
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
        registry.put_manifest(&to.repository, &to.image.digest().replace(':', "-"), OCI_INDEX, index.to_string());
    }
    Ok(())
}
