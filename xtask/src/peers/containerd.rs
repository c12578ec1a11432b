//! containerd asks our hook before it pulls: by `ctr`, and the way a kubelet pulls, by `crictl`.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sandbox::{Action, Fault, Options, Sandbox, Service};

mod bypass;
mod node;

use super::Bench;
use super::install::Missing;
use super::matrix::{Section, Shown};
use super::process;
use super::registries::push::{self, Pushed};
use super::signers::Signer;
use super::stack::{Rekor, Stack};
use node::{Further, Node, Puller};

const NAME: &str = "containerd";
/// How long the TUF metadata of the second stack is valid: long enough for one signed pull.
const TUF_LIFETIME: Duration = Duration::from_secs(60);

/// What is pulled, and the settings that say what may be.
struct World {
    sandbox: Sandbox,
    stack: Stack,
    folder: PathBuf,
    signed: Pushed,
    unsigned: Pushed,
}

pub(crate) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Section>> {
    let mut section = Section::new(NAME);
    let mut world = None;
    section.cell("it can be run here", "containerd", || {
        root_only()?;
        bench.toolbox.folder("containerd")?;
        world = Some(World::new(bench)?);
        Ok("as root, without systemd")
    });
    let Some(world) = world else { return Ok(vec![section]) };
    let short = Short::start(bench, &world)?;
    let node = Node::start(bench, &world.folder, Further::default())?;
    section.cell("a fresh TUF cache lets a signed image in", "ctr", || {
        pulled(&node, Puller::Ctr, &short.signed.by_tag)?;
        short.outage();
        Ok("and the repository is not reached from here on")
    });
    for puller in Puller::ALL {
        pulls(&node, &world, puller, &mut section);
    }
    section.cell("an image that is there is asked about again", "ctr", || asked_again(&node, &world));
    section.cell("image pull --local asks nobody", "ctr", || {
        node.ctr(&["image", "pull", "--local", "--plain-http", &world.unsigned.by_tag])?.ok()?;
        Ok(Shown::limit("as documented: an unsigned image is there"))
    });
    bypass::run(bench, &world.folder, &node, &world.unsigned.by_tag, &mut section);
    short.wait();
    for puller in Puller::ALL {
        section.cell("refused: an expired TUF cache", puller.column(), || {
            refused(
                &node,
                puller,
                &short.signed.by_tag,
                "countersign: refused, could not decide: no valid trusted root from ",
            )
        });
    }
    Ok(vec![section])
}

fn root_only() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let reason = "only root can run it: it mounts what it unpacks".to_owned();
    Err(Missing { peer: "containerd".to_owned(), reason }.into())
}

impl World {
    fn new(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let sandbox = Sandbox::start(Options::default())?;
        let folder = bench.folder(NAME)?;
        let stack = Stack::of_sandbox(&sandbox, Rekor::V2, &folder)?;
        let host = sandbox.registry().host();
        let signed = push::push(host, "octo/signed", push::image("signed"))?;
        Signer::Ours("image").sign(bench, &stack, &signed.by_tag)?;
        let strict = push::push(host, "octo/strict", push::image("signed"))?;
        Signer::Ours("image").sign(bench, &stack, &strict.by_tag)?;
        let unsigned = push::push(host, "octo/unsigned", push::image("unsigned"))?;
        push::push(host, "else/where", push::image("unsigned"))?;
        Ok(Self { sandbox, stack, folder, signed, unsigned })
    }

    fn host(&self) -> &str {
        self.sandbox.registry().host()
    }

    /// The same registry under another name, whose signatures are looked for where nobody is.
    fn other_name(&self) -> String {
        self.host().replace("127.0.0.1", "localhost")
    }

    fn policy(&self, name: &str, identity: &str, further: &str) -> anyhow::Result<()> {
        let signer = format!("  - name: release\n    issuer: {}\n    identity: {identity}\n", self.stack.issuer);
        let text = format!("version: 1\nsigners:\n{signer}{further}");
        std::fs::write(self.folder.join(name), text).with_context(|| format!("cannot write {name}"))
    }

    /// Writes the settings of the hook, and what they name.
    fn configure(&self, short: &Short) -> anyhow::Result<()> {
        let identity = &self.stack.identity;
        self.policy("release.yaml", identity, "")?;
        self.policy("strict.yaml", "https://github.com/octo/other/.github/workflows/release.yml@refs/heads/main", "")?;
        self.policy("tag.yaml", identity, "require: {tag: true}\n")?;
        let tuf = short.stack.tuf.as_ref().context("the sandbox has a TUF repository")?;
        let trust = format!("trust: {{tuf: {{url: \"{}\", root: \"{}\"}}}}\n", tuf.url, tuf.root.display());
        let signer = format!("  - issuer: {}\n    identity: {}\n", short.stack.issuer, short.stack.identity);
        std::fs::write(self.folder.join("short.yaml"), format!("version: 1\nsigners:\n{signer}{trust}"))?;
        let (host, other) = (self.host(), self.other_name());
        let settings = format!(
            "version: 1\ndefault: refuse\ntrust: {{file: \"{root}\"}}\ncache_dir: cache\n\
             registry:\n  evidence_from: {{\"{other}\": \"127.0.0.1:{nobody}\"}}\n\
             rules:\n  \"{host}/octo\": {{policy: release.yaml}}\n  \"{host}/octo/strict\": {{policy: strict.yaml}}\n  \
             \"{host}/octo/signed\": {{policy: tag.yaml}}\n  \"{other}/octo\": {{policy: release.yaml}}\n  \
             \"{short}\": {{policy: short.yaml}}\n  registry.k8s.io/pause: {{allow: true}}\n",
            root = self.stack.trusted_root.display(),
            nobody = process::free_port()?,
            short = short.sandbox.registry().host(),
        );
        std::fs::write(self.folder.join("hook.yaml"), settings).context("cannot write hook.yaml")
    }
}

/// A second stack, whose TUF metadata expires during the run.
struct Short {
    sandbox: Sandbox,
    stack: Stack,
    signed: Pushed,
    started: Instant,
}

impl Short {
    fn start(bench: &Bench<'_>, world: &World) -> anyhow::Result<Self> {
        let started = Instant::now();
        let tuf_lifetime = TUF_LIFETIME.try_into().context("a minute")?;
        let sandbox = Sandbox::start(Options { tuf_lifetime, ..Options::default() })?;
        let folder = bench.folder("containerd-tuf")?;
        let stack = Stack::of_sandbox(&sandbox, Rekor::V2, &folder)?;
        let signed = push::push(sandbox.registry().host(), "octo/signed", push::image("signed"))?;
        Signer::Ours("image").sign(bench, &stack, &signed.by_tag)?;
        let short = Self { sandbox, stack, signed, started };
        world.configure(&short)?;
        Ok(short)
    }

    fn outage(&self) {
        self.sandbox.fault(Fault::new(Service::Tuf, Action::status(503))).keep();
    }

    fn wait(&self) {
        let left = (TUF_LIFETIME + Duration::from_secs(2)).saturating_sub(self.started.elapsed());
        thread::sleep(left);
    }
}

/// Everything that is pulled one way: a column.
fn pulls(node: &Node<'_>, world: &World, puller: Puller, section: &mut Section) {
    let column = puller.column();
    section.cell("a signed image is pulled by tag", column, || pulled(node, puller, &world.signed.by_tag));
    let elsewhere = format!("{}/octo/strict", world.host());
    let digest = world.signed.image.digest();
    let nobody = format!("{}/octo/signed:v1", world.other_name());
    let unruled = format!("{}/else/where:v1", world.host());
    let by_both = format!("{}@{digest}", world.signed.by_tag);
    for (row, reference, why) in [
        ("refused: unsigned", world.unsigned.by_tag.clone(), "countersign: refused: unsigned: no signature found"),
        (
            "refused: signed by another",
            format!("{elsewhere}:v1"),
            "countersign: refused: signed, but not as the policy wants it: identity-mismatch",
        ),
        (
            "refused: the registry of its signatures cannot be reached",
            nobody,
            "countersign: refused, could not decide: cannot tell: ",
        ),
        ("refused: no rule", unruled, "countersign: refused: no rule is for it, and the default is refuse"),
    ] {
        section.cell(row, column, || refused(node, puller, &reference, why));
    }
    // A kubelet's way drops the tag beside a digest, and `ctr` passes both.
    match puller {
        Puller::Ctr => {
            section.cell("a signed image is pulled by tag and digest", column, || pulled(node, puller, &by_both));
        }
        Puller::Crictl => section.cell("refused: a tag that was dropped beside a digest", column, || {
            refused(node, puller, &by_both, "the policy requires a signed tag, and containerd passes ")
        }),
    }
    section.cell("refused: a registry that is slow, before containerd loses patience", column, || {
        let _slow = world.sandbox.fault(Fault::new(Service::Registry, Action::Stall).path("/referrers/"));
        refused(node, puller, &world.signed.by_tag, "countersign: refused, could not decide: ")
    });
}

fn pulled(node: &Node<'_>, puller: Puller, reference: &str) -> anyhow::Result<String> {
    let started = Instant::now();
    node.pull(puller, reference)?.ok()?;
    let images = node.images(puller)?;
    ensure!(images.contains(reference.rsplit_once(':').map_or(reference, |(name, _)| name)), "not among {images:?}");
    Ok(format!("in {:.1?}", started.elapsed()))
}

fn refused(node: &Node<'_>, puller: Puller, reference: &str, why: &str) -> anyhow::Result<String> {
    let run = node.pull(puller, reference)?;
    ensure!(!run.success(), "{reference} was pulled");
    let said = format!("{}{}", run.stdout, run.stderr);
    ensure!(said.contains("image verifier bindir blocked pull of"), "another reason: {said}");
    ensure!(said.contains(why), "the reason is not shown: {said}");
    let at = said.find("countersign: ").unwrap_or_default();
    Ok(said[at..].lines().next().unwrap_or_default().chars().take(110).collect::<String>())
}

/// An image of the same digest is denied once the policy changed, and stays where it is.
fn asked_again(node: &Node<'_>, world: &World) -> anyhow::Result<String> {
    node.pull(Puller::Ctr, &world.signed.by_tag)?.ok()?;
    let policy = world.folder.join("tag.yaml");
    let before = std::fs::read(&policy)?;
    std::fs::copy(world.folder.join("strict.yaml"), &policy)?;
    let said = refused(node, Puller::Ctr, &world.signed.by_tag, "identity-mismatch");
    std::fs::write(&policy, before)?;
    said?;
    ensure!(node.images(Puller::Ctr)?.contains(&world.signed.by_tag), "the image is gone");
    Ok("refused under another policy; the image stays".to_owned())
}
