//! The registries that people run, and the tools that carry images between them.

use std::thread;

use anyhow::anyhow;
use sandbox::{Options, Sandbox};

mod at_once;
mod carry;
mod crossing;
pub(crate) mod graft;
mod install;
pub(crate) mod listing;
pub(crate) mod push;
mod round;
mod server;

use super::Bench;
use super::matrix::Section;
use super::stack::{Rekor, Stack};
use server::{Kind, Running};

/// One registry, and what signs and verifies with it.
pub(crate) struct Site<'s> {
    bench: &'s Bench<'s>,
    stack: &'s Stack,
    registry: &'s Running,
}

pub(crate) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Section>> {
    let folder = bench.folder("registries")?;
    let sandbox = Sandbox::start(Options::default())?;
    let stacks = [Stack::of_sandbox(&sandbox, Rekor::V1, &folder)?, Stack::of_sandbox(&sandbox, Rekor::V2, &folder)?];
    let mut registries = Section::new("Registries");
    let mut between = Section::new("Between registries");
    thread::scope(|scope| {
        let carrying = scope.spawn(|| carry::run(bench, &stacks[0]));
        let start = |(position, kind): (usize, Kind)| {
            let stack = &stacks[position % stacks.len()];
            scope.spawn(move || run_one(bench, stack, kind))
        };
        let running: Vec<_> = Kind::ALL.into_iter().enumerate().map(start).collect();
        for run in running {
            registries.extend(run.join().map_err(|_| anyhow!("a registry's run panicked"))?);
        }
        between.extend(carrying.join().map_err(|_| anyhow!("carrying panicked"))?);
        anyhow::Ok(())
    })?;
    Ok(vec![registries, between])
}

/// Everything that is tried with one registry: a column.
fn run_one(bench: &Bench<'_>, stack: &Stack, kind: Kind) -> Section {
    let mut section = Section::new("Registries");
    let column = kind.peer();
    let mut started = None;
    section.cell("it serves", column, || {
        started = Some(Running::start(bench, kind)?);
        Ok(format!("signed with {}", stack.rekor))
    });
    if let Some(registry) = &started {
        let site = Site { bench, stack, registry };
        round::run(&site, &mut section);
        install::run(&site, &mut section);
        at_once::run(&site, &mut section);
    }
    section
}
