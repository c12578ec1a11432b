//! Several signers at the same moment: where a list is kept under a tag, each can overwrite the others'.

use std::sync::Barrier;
use std::thread;

use anyhow::{anyhow, bail, ensure};

use super::super::matrix::Section;
use super::super::process::Run;
use super::super::signers::{self, Signer};
use super::Site;
use super::listing::Listing;
use super::push::{self, Pushed};
use super::round::{self, Attached};

/// How many of ours sign at once.
const SIGNERS: usize = 4;

pub(crate) fn run(site: &Site<'_>, section: &mut Section) {
    let column = site.registry.kind.peer();
    section.cell("four of ours at once lose no referrer", column, || four(site));
    section.cell("two of ours and a cosign at once: ours are kept", column, || with_cosign(site));
}

fn four(site: &Site<'_>) -> anyhow::Result<String> {
    let pushed = push::push(&site.registry.host, "octo/busy", push::image("busy"))?;
    let barrier = Barrier::new(SIGNERS);
    let runs = thread::scope(|scope| {
        let sign = || scope.spawn(|| ours(site, &pushed, &barrier));
        let running: Vec<_> = (0..SIGNERS).map(|_| sign()).collect();
        running.into_iter().map(|run| run.join().map_err(|_| anyhow!("a signer panicked"))?).collect::<Vec<_>>()
    });
    let mut wrote_again = 0;
    for run in runs {
        let run = run?.ok()?;
        wrote_again += usize::from(run.stderr.contains("writing again"));
        kept(&pushed, &round::attached(&run.stdout)?)?;
    }
    for digest in pushed.image.digests() {
        let listed = Listing::of(&pushed.repository, &digest)?.digests().len();
        ensure!(listed == SIGNERS, "{digest} has {listed} referrers");
    }
    let digests = pushed.image.digests().len();
    Ok(format!("{SIGNERS} referrers of each of {digests} digests; {wrote_again} of {SIGNERS} had to write again"))
}

/// cosign writes its list without looking back. It may lose its own; ours must notice when it loses theirs.
fn with_cosign(site: &Site<'_>) -> anyhow::Result<String> {
    // Asked for before anything starts: without cosign there is nothing to try.
    site.bench.toolbox.program("cosign", "cosign")?;
    let pushed = push::push(&site.registry.host, "octo/mixed", push::image("mixed"))?;
    let barrier = Barrier::new(3);
    let (ours, cosign) = thread::scope(|scope| {
        let running: Vec<_> = (0..2).map(|_| scope.spawn(|| ours(site, &pushed, &barrier))).collect();
        barrier.wait();
        let cosign = Signer::Cosign.sign(site.bench, site.stack, &pushed.by_tag);
        let ours: Vec<_> =
            running.into_iter().map(|run| run.join().map_err(|_| anyhow!("a signer panicked"))?).collect();
        (ours, cosign)
    });
    let mut told = 0;
    let mut attached = 0;
    for run in ours {
        let run = run?;
        match run.exit {
            0 => {
                let ours = round::attached(&run.stdout)?;
                kept(&pushed, &ours)?;
                attached += 1;
            }
            4 if run.stdout.contains("referrers-tag-contended") => told += 1,
            exit => bail!("exit {exit}: {}", run.last_words()),
        }
    }
    let digests = pushed.image.digests();
    let mut of_cosign = 0;
    for digest in &digests {
        of_cosign += Listing::of(&pushed.repository, digest)?.digests().len().saturating_sub(attached);
    }
    let cosign =
        cosign.map_or_else(|error| format!("cosign failed ({error:#})"), |()| "cosign says it signed".to_owned());
    Ok(format!(
        "ours: {attached} kept, {told} said that theirs was lost; {cosign}, {of_cosign} of {} of its referrers are listed",
        digests.len()
    ))
}

fn ours(site: &Site<'_>, pushed: &Pushed, barrier: &Barrier) -> anyhow::Result<Run> {
    barrier.wait();
    signers::try_ours(site.bench, site.stack, &[&pushed.by_tag])
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
