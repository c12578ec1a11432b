//! Real Fulcio, logs and timestamp authority, and the sandbox compared with them, request by request.
//!
//! The identity tokens and the registry are the sandbox's: whoever signs is the same job, and only the services differ.

use std::thread;

use anyhow::Context as _;
use sandbox::{Options, Sandbox};

use super::Bench;
use super::differential;
use super::install::Missing;
use super::matrix::Section;

mod by_tuf;
mod cosign_trust;
mod ct_log;
mod fulcio;
pub(crate) mod keys;
mod postgres;
mod rekor_v1;
mod rekor_v2;
mod round_trip;
mod seed;
mod stacks;
mod timestamp;
mod trust;

pub(crate) use fulcio::Fulcio;
pub(crate) use keys::{ED25519_SPKI, pem, unpem};
pub(crate) use rekor_v1::RekorV1;
pub(crate) use rekor_v2::RekorV2;
pub(crate) use stacks::RealStack;
pub(crate) use timestamp::Timestamp;

pub(crate) fn run(bench: &Bench<'_>) -> anyhow::Result<Vec<Section>> {
    let sandbox = Sandbox::start(Options::default())?;
    let real = Real::start(bench, &sandbox)?;
    // Both wait for the logs most of their time.
    thread::scope(|scope| {
        let compared = scope.spawn(|| differential::run(&sandbox, &real));
        let mut sections = round_trip::run(bench, &sandbox, &real)?;
        sections.push(compared.join().ok().context("the comparison panicked")??);
        Ok(sections)
    })
}

/// The real servers; each may be missing without the others. Dropping stops them.
pub(crate) struct Real {
    pub(crate) timestamp: Started<Timestamp>,
    pub(crate) fulcio: Started<Fulcio>,
    pub(crate) rekor_v1: Started<RekorV1>,
    pub(crate) rekor_v2: Started<RekorV2>,
}

impl Real {
    pub(crate) fn start(bench: &Bench<'_>, sandbox: &Sandbox) -> anyhow::Result<Self> {
        // First, because Rekor v1 takes port 2112 when it is free, and then this one ends.
        let timestamp = Started::of(Timestamp::start(bench));
        thread::scope(|scope| {
            let fulcio = scope.spawn(|| Started::of(Fulcio::start(bench, sandbox)));
            let rekor_v1 = scope.spawn(|| Started::of(RekorV1::start(bench)));
            let rekor_v2 = Started::of(RekorV2::start(bench));
            Ok(Self {
                timestamp,
                fulcio: fulcio.join().ok().context("starting Fulcio panicked")?,
                rekor_v1: rekor_v1.join().ok().context("starting Rekor v1 panicked")?,
                rekor_v2,
            })
        })
    }
}

/// A server, or why there is none: an error for every cell that needs it.
pub(crate) struct Started<T>(Result<T, Failure>);

enum Failure {
    Missing(Missing),
    Broken(String),
}

impl<T> Started<T> {
    fn of(result: anyhow::Result<T>) -> Self {
        let failure = |error: anyhow::Error| match error.downcast::<Missing>() {
            Ok(missing) => Failure::Missing(missing),
            Err(error) => Failure::Broken(format!("{error:#}")),
        };
        Self(result.map_err(failure))
    }

    /// Returns the server, or what makes a cell skipped where a peer is missing, and fail where it did not start.
    pub(crate) fn get(&self) -> anyhow::Result<&T> {
        self.0.as_ref().map_err(|failure| match failure {
            Failure::Missing(missing) => Missing { peer: missing.peer.clone(), reason: missing.reason.clone() }.into(),
            Failure::Broken(why) => anyhow::Error::msg(why.clone()),
        })
    }

    /// Returns the server if there is one.
    fn there(&self) -> Option<&T> {
        self.0.as_ref().ok()
    }
}
