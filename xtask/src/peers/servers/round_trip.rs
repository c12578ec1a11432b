//! Ours and cosign sign with the real servers, and everybody verifies.

use std::thread;

use anyhow::{Context as _, ensure};
use sandbox::Sandbox;

use super::super::Bench;
use super::super::judges::{Answer, Question};
use super::super::matrix::Section;
use super::super::replica::verifying::{self, Judge, Refusal};
use super::super::replica::{self, world::World};
use super::super::signers::Signer;
use super::super::stack::Rekor;
use super::stacks::RealStack;
use super::{Real, by_tuf, cosign_trust};

const SIGNERS: [Signer; 2] = [Signer::Ours("image"), Signer::Cosign];

/// Somebody who has to be refused: another workflow of the same repository.
const ANOTHER_IDENTITY: &str = "https://github.com/octo/app/.github/workflows/nightly.yml@refs/heads/main";

pub(super) fn run(bench: &Bench<'_>, sandbox: &Sandbox, real: &Real) -> anyhow::Result<Vec<Section>> {
    let mut trust = Section::new("real servers: trust");
    cosign_trust::run(bench, real, &mut trust);
    let mut missing = Section::new("real servers: not installed");
    let judges = replica::present(bench, &mut missing)?;
    let mut sections = vec![trust];
    thread::scope(|scope| {
        let judges = &judges;
        let running = Rekor::BOTH.map(|rekor| scope.spawn(move || one_log(bench, sandbox, real, judges, rekor)));
        for run in running {
            sections.push(run.join().ok().context("a log's round panicked")?);
        }
        anyhow::Ok(())
    })?;
    if missing.cells().next().is_some() {
        sections.push(missing);
    }
    Ok(sections)
}

fn one_log(bench: &Bench<'_>, sandbox: &Sandbox, real: &Real, judges: &[Judge], rekor: Rekor) -> Section {
    let mut section = Section::new(&format!("real servers: {rekor}"));
    let mut found = None;
    section.cell("start", "servers", || {
        let stack = RealStack::new(bench, sandbox, real, rekor)?;
        let world = World::with(bench, stack.stack.clone())?;
        let at = [&world.stack.fulcio, &world.stack.rekor_url, &world.stack.tsa].map(String::as_str).join(", ");
        found = Some((stack, world));
        Ok(at)
    });
    let Some((_stack, world)) = found else { return section };
    for signer in SIGNERS {
        if signer == Signer::Cosign && bench.toolbox.folder("cosign").is_err() {
            continue;
        }
        verifying::run(bench, &world, judges, signer, &mut section);
        tuf(bench, &world, signer, &mut section);
    }
    section
}

/// The same with trust from TUF: signed and verified by clients that were told an address and a root only.
fn tuf(bench: &Bench<'_>, world: &World, signer: Signer, section: &mut Section) {
    let pushed = [0, 1].map(|number| world.push(&format!("octo/tuf-{number}:{}", signer.to_string().len())));
    let [signed, unsigned] = &pushed;
    let mut is_signed = false;
    let by = if signer == Signer::Cosign { Judge::Cosign("cosign") } else { Judge::Ours };
    section.cell(&format!("{signer}, trust by TUF: sign"), &by.name(), || {
        by_tuf::sign(bench, &world.stack, signer, &signed.pinned())?;
        is_signed = true;
        Ok("signed")
    });
    if !is_signed {
        return;
    }
    let digests = signed.image.digests();
    let question = |repository, digest, identity| Question { stack: &world.stack, repository, digest, identity };
    for (judge, ask) in [
        (Judge::Ours, by_tuf::ours as fn(&Bench<'_>, &Question<'_>) -> anyhow::Result<Answer>),
        (Judge::Cosign("cosign"), by_tuf::cosign),
    ] {
        section.cell(&format!("{signer}, trust by TUF: verify"), &judge.name(), || {
            let identity = &world.stack.identity;
            for digest in [&digests[0], &digests[digests.len() - 1]] {
                ask(bench, &question(&signed.repository, digest, identity))?
                    .accepted()
                    .with_context(|| digest.clone())?;
            }
            let index = signed.image.digest();
            let by_another = ask(bench, &question(&signed.repository, index, ANOTHER_IDENTITY))?;
            by_another.refused_for(judge.words(Refusal::Identity))?;
            let other = unsigned.image.digest();
            ensure!(other != index, "both images are the same");
            let nothing = ask(bench, &question(&unsigned.repository, other, identity))?;
            nothing.refused_for(judge.words(Refusal::Unsigned))?;
            Ok("the first digest and the last; another identity and an unsigned image refused")
        });
    }
}
