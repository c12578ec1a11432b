//! Several signers at the same moment: where a list is kept under a tag, each can overwrite the others'.

use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{anyhow, bail, ensure};

use super::super::matrix::Section;
use super::super::process::Run;
use super::super::signers::{self, Signer};
use super::Site;
use super::crossing::Crossing;
use super::listing::Listing;
use super::push::{self, Pushed};
use super::round::{self, Attached};
use super::server::Keeps;

/// How many of ours sign at once.
const SIGNERS: usize = 4;

pub(crate) fn run(site: &Site<'_>, section: &mut Section) {
    let column = site.registry.kind.peer();
    section.cell("four of ours at once lose no referrer", column, || four(site));
    section.cell("two of ours and a cosign at once: ours are kept", column, || with_cosign(site));
}

fn four(site: &Site<'_>) -> anyhow::Result<String> {
    let busy = Busy::push(site, "octo/busy", SIGNERS)?;
    let barrier = Barrier::new(SIGNERS);
    let runs = thread::scope(|scope| {
        let running: Vec<_> = (0..SIGNERS).map(|_| scope.spawn(|| busy.ours(site, &barrier))).collect();
        running.into_iter().map(join).collect::<Vec<_>>()
    });
    let mut wrote_again = 0;
    for run in runs {
        let run = run?.ok()?;
        wrote_again += usize::from(run.stderr.contains("writing again"));
        kept(&busy.pushed, &round::attached(&run.stdout)?)?;
    }
    let digests = busy.pushed.image.digests();
    for digest in &digests {
        let listed = Listing::of(&busy.pushed.repository, digest)?.digests().len();
        ensure!(listed == SIGNERS, "{digest} has {listed} referrers");
    }
    let Some(crossing) = &busy.crossing else { return Ok(format!("{SIGNERS} referrers of each digest")) };
    let crossed = crossing.crossed();
    // Where they met, all but one were overwritten and must have noticed.
    ensure!(crossed > 0 && wrote_again > 0, "{crossed} lists were written at once, {wrote_again} signers wrote again");
    Ok(format!(
        "{SIGNERS} referrers of each digest; {crossed} of {} lists were written by all at once, {wrote_again} wrote again",
        digests.len()
    ))
}

/// cosign writes its list without looking back. It may lose its own; ours must notice when it loses theirs.
fn with_cosign(site: &Site<'_>) -> anyhow::Result<String> {
    // Asked for before anything starts: without cosign there is nothing to try.
    site.bench.toolbox.program("cosign", "cosign")?;
    let busy = Busy::push(site, "octo/mixed", 3)?;
    let barrier = Barrier::new(3);
    let (ours, cosign) = thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|_| scope.spawn(|| busy.ours(site, &barrier))).collect();
        barrier.wait();
        let cosign = Signer::Cosign.sign(site.bench, site.stack, &busy.reference);
        (running.into_iter().map(join).collect::<Vec<_>>(), cosign)
    });
    let (mut told, mut attached) = (0, 0);
    for run in ours {
        let run = run?;
        match run.exit {
            0 => {
                kept(&busy.pushed, &round::attached(&run.stdout)?)?;
                attached += 1;
            }
            4 if run.stdout.contains("referrers-tag-contended") => told += 1,
            exit => bail!("exit {exit}: {}", run.last_words()),
        }
    }
    let digests = busy.pushed.image.digests();
    let mut of_cosign = 0;
    for digest in &digests {
        of_cosign += Listing::of(&busy.pushed.repository, digest)?.digests().len().saturating_sub(attached);
    }
    let cosign =
        cosign.map_or_else(|error| format!("cosign failed ({error:#})"), |()| "cosign says it signed".to_owned());
    Ok(format!(
        "ours: {attached} kept, {told} said that theirs was lost; {cosign}, {of_cosign} of {} of its referrers are listed",
        digests.len()
    ))
}

/// An image that several sign at the same moment.
struct Busy {
    pushed: Pushed,
    /// What they sign; where lists are under tags, by way of a proxy that lets them cross.
    reference: String,
    crossing: Option<Crossing>,
}

impl Busy {
    fn push(site: &Site<'_>, repository: &str, signers: usize) -> anyhow::Result<Self> {
        let host = &site.registry.host;
        let pushed = push::push(host, repository, push::image("busy"))?;
        let crossing = match site.registry.kind.keeps() {
            Keeps::TagSchema => Some(Crossing::before(host, signers)?),
            _ => None,
        };
        let reference = match &crossing {
            Some(crossing) => pushed.elsewhere(&crossing.host, repository).by_tag,
            None => pushed.by_tag.clone(),
        };
        Ok(Self { pushed, reference, crossing })
    }

    fn ours(&self, site: &Site<'_>, barrier: &Barrier) -> anyhow::Result<Run> {
        barrier.wait();
        signers::try_ours(site.bench, site.stack, &[&self.reference])
    }
}

fn join(run: ScopedJoinHandle<'_, anyhow::Result<Run>>) -> anyhow::Result<Run> {
    run.join().map_err(|_| anyhow!("a signer panicked"))?
}

/// Fails unless everything that one signer says it attached is listed.
fn kept(pushed: &Pushed, attached: &[Attached]) -> anyhow::Result<()> {
    ensure!(attached.len() == pushed.image.digests().len(), "{} digests were signed", attached.len());
    for one in attached {
        let listed = Listing::of(&pushed.repository, &one.digest)?.digests();
        ensure!(listed.contains(&one.referrer), "{} was lost from the list of {}", one.referrer, one.digest);
    }
    Ok(())
}
