//! What CI runs, in the order in which a failure is cheapest to see.

use crate::flags::{E2eFlags, PeersFlags, WorkflowsFlags};
use crate::shell::{cargo, run};
use crate::{bans, core, e2e, peers, tidy, workflows};

pub(crate) fn all() -> anyhow::Result<()> {
    run("formatting", &mut cargo(&["fmt", "--all", "--", "--check"]))?;
    tidy::check()?;
    bans::check()?;
    workflows::check(&WorkflowsFlags::default())?;
    core::check()?;
    let lints = ["clippy", "--locked", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    run("lints", &mut cargo(&lints))?;
    run("tests", &mut cargo(&["test", "--locked", "--workspace", "--all-features"]))?;
    let documentation = ["doc", "--locked", "--workspace", "--all-features", "--no-deps"];
    run("documentation", cargo(&documentation).env("RUSTDOCFLAGS", "-D warnings"))?;
    e2e::run(&E2eFlags { binaries: None, every_request: false, keep: false })?;
    peers::run(&PeersFlags { fast: true, ..PeersFlags::default() })
}
