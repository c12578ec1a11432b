//! Images and their signatures are carried between registries that keep referrers in different ways.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::super::Bench;
use super::super::matrix::{Section, Shown};
use super::super::process;
use super::super::signers::Signer;
use super::super::stack::Stack;
use super::super::verdict::Verdicts;
use super::listing::Listing;
use super::push::{self, Pushed};
use super::server::{Kind, Running};
use super::{Site, round};

/// A way between two registries, and the signed image at its beginning.
struct Way<'w> {
    bench: &'w Bench<'w>,
    stack: &'w Stack,
    name: &'static str,
    signed: Pushed,
    to: &'w Running,
}

/// A tool that copies.
#[derive(Clone, Copy)]
enum Tool {
    Crane,
    Oras,
    Regctl,
}

pub(crate) fn run(bench: &Bench<'_>, stack: &Stack) -> Section {
    let mut section = Section::new("Between registries");
    let mut places = None;
    section.cell("an image that ours and cosign signed", "both ways", || {
        let api = Running::start(bench, Kind::Ociregistry)?;
        let tags = Running::start(bench, Kind::Distribution)?;
        let signed = [signed(bench, stack, &api)?, signed(bench, stack, &tags)?];
        places = Some((api, tags, signed));
        Ok("2 referrers of each of 5 digests")
    });
    let Some((api, tags, [in_api, in_tags])) = places else { return section };
    let ways = [
        Way { bench, stack, name: "referrers API to tags", signed: in_api, to: &tags },
        Way { bench, stack, name: "tags to referrers API", signed: in_tags, to: &api },
    ];
    for way in &ways {
        section.cell("oras cp --recursive", way.name, || carried(way, Tool::Oras, "octo/by-oras"));
        section.cell("regctl image copy --referrers", way.name, || carried(way, Tool::Regctl, "octo/by-regctl"));
        section.cell("crane copy takes the image alone", way.name, || image_alone(way));
        section.cell("crane copy, then oras cp --recursive", way.name, || carried(way, Tool::Oras, "octo/by-crane"));
    }
    section
}

fn signed(bench: &Bench<'_>, stack: &Stack, registry: &Running) -> anyhow::Result<Pushed> {
    let pushed = push::push(&registry.host, "octo/app", push::image("carried"))?;
    for signer in [Signer::Ours("image"), Signer::Cosign] {
        signer.sign(bench, stack, &pushed.by_tag)?;
    }
    for digest in pushed.image.digests() {
        let listed = Listing::of(&pushed.repository, &digest)?.digests().len();
        ensure!(listed == 2, "{digest} has {listed} referrers");
    }
    Ok(pushed)
}

impl Way<'_> {
    fn site(&self) -> Site<'_> {
        Site { bench: self.bench, stack: self.stack, registry: self.to }
    }

    /// Copies the image and returns it at the end of the way.
    fn copy(&self, tool: Tool, repository: &str) -> anyhow::Result<Pushed> {
        let copied = self.signed.elsewhere(&self.to.host, repository);
        process::call(tool.command(self, &copied.by_tag)?)?.ok()?;
        Ok(copied)
    }
}

impl Tool {
    fn command(self, way: &Way<'_>, to: &str) -> anyhow::Result<Command> {
        let name = match self {
            Self::Crane => "crane",
            Self::Oras => "oras",
            Self::Regctl => "regctl",
        };
        let (home, program) = (way.bench.folder(name)?, way.bench.toolbox.program(name, name)?);
        let mut command = process::command(&program, &home);
        match self {
            Self::Crane => command.arg("copy"),
            Self::Oras => command.args(["cp", "--recursive", "--from-plain-http", "--to-plain-http"]),
            Self::Regctl => {
                for registry in [&way.signed.by_tag, to] {
                    let host = registry.split('/').next().unwrap_or_default();
                    let mut plain = process::command(&program, &home);
                    plain.args(["registry", "set", "--tls", "disabled", host]);
                    process::call(plain)?.ok()?;
                }
                command.args(["image", "copy", "--referrers"])
            }
        };
        command.args([&way.signed.by_tag, to]);
        Ok(command)
    }
}

fn carried(way: &Way<'_>, tool: Tool, repository: &str) -> anyhow::Result<String> {
    let copied = way.copy(tool, repository)?;
    for digest in way.signed.image.digests() {
        let before = Listing::of(&way.signed.repository, &digest)?.digests();
        let after = Listing::of(&copied.repository, &digest)?.digests();
        ensure!(before == after, "{digest} had {before:?}, and has {after:?}");
    }
    let site = way.site();
    round::ours_verifies(&site, &copied).context("ours")?;
    round::cosign_verifies(&site, &copied).context("cosign")?;
    round::ours_refuses_another(&site, &copied).context("ours")?;
    round::cosign_refuses_another(&site, &copied).context("cosign")?;
    Ok("every referrer is listed; ours and cosign verify every digest".to_owned())
}

/// Leaves what belongs to the image behind: then it is unsigned, and must be called so.
fn image_alone(way: &Way<'_>) -> anyhow::Result<Shown> {
    let copied = way.copy(Tool::Crane, "octo/by-crane")?;
    let verdicts = Verdicts::on(way.bench, way.stack, &copied.references(), &way.stack.identity)?;
    verdicts.rejected("unsigned")?;
    Ok(Shown::limit("no referrer is copied; ours calls every digest unsigned"))
}
