//! The very same requests to the sandbox and to the real servers, and what differs in the answers.
//!
//! Compared is what a client can see: the status, the headers that clients read, and the shape of the body. Values that must differ, such as
//! keys, times and places in a log, are compared by their kind. What may differ besides is in one list, [`allowances`].

use std::thread;

use anyhow::{Context as _, bail, ensure};
use sandbox::{Action, Fault, Sandbox, Service};

use super::compatibility::COMPARISON;
use super::matrix::Section;
use super::servers::Real;
use case::{Case, Expected};
use exchange::Exchange;

mod allowances;
mod case;
mod certificate;
mod difference;
mod exchange;
mod forge;
mod fulcio;
mod rekor_v1;
mod rekor_v2;
mod shape;
mod timestamp;
mod tree;

/// A server that is compared: the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Fulcio,
    RekorV1,
    RekorV2,
    Timestamp,
}

impl Server {
    const ALL: [Self; 4] = [Self::Fulcio, Self::RekorV1, Self::RekorV2, Self::Timestamp];

    fn name(self) -> &'static str {
        match self {
            Self::Fulcio => "Fulcio",
            Self::RekorV1 => "Rekor v1",
            Self::RekorV2 => "Rekor v2",
            Self::Timestamp => "timestamp-authority",
        }
    }

    fn service(self) -> Service {
        match self {
            Self::Fulcio => Service::Fulcio,
            Self::RekorV1 => Service::RekorV1,
            Self::RekorV2 => Service::RekorV2,
            Self::Timestamp => Service::Tsa,
        }
    }

    fn cases(self, sandbox: &Sandbox) -> anyhow::Result<Vec<Case>> {
        match self {
            Self::Fulcio => fulcio::cases(sandbox),
            Self::RekorV1 => rekor_v1::cases(sandbox),
            Self::RekorV2 => rekor_v2::cases(sandbox),
            Self::Timestamp => timestamp::cases(),
        }
    }

    /// Where the sandbox's is, and where the real one is.
    fn urls(self, sandbox: &Sandbox, real: &Real) -> anyhow::Result<[String; 2]> {
        Ok(match self {
            Self::Fulcio => [sandbox.fulcio_url(), real.fulcio.get()?.url.clone()],
            Self::RekorV1 => [sandbox.rekor_v1_url(), real.rekor_v1.get()?.url.clone()],
            Self::RekorV2 => [sandbox.rekor_v2_url(), real.rekor_v2.get()?.url.clone()],
            Self::Timestamp => {
                let url = sandbox.tsa_url();
                let base = url.strip_suffix("/api/v1/timestamp").context("the sandbox's timestamp URL")?;
                [base.to_owned(), real.timestamp.get()?.url.clone()]
            }
        })
    }
}

/// A request that was sent to both, and what came of it.
struct Compared {
    row: &'static str,
    outcome: anyhow::Result<String>,
    allowed: Vec<usize>,
}

pub(crate) fn run(sandbox: &Sandbox, real: &Real) -> anyhow::Result<Section> {
    let mut section = Section::new(COMPARISON);
    let mut allowed = Vec::new();
    let compared = thread::scope(|scope| {
        let running = Server::ALL.map(|server| (server, scope.spawn(move || compare_all(server, sandbox, real))));
        running.map(|(server, run)| (server, run.join()))
    });
    for (server, compared) in compared {
        let compared = compared.ok().context("a comparison panicked")?;
        match compared {
            Ok(compared) => {
                for one in compared {
                    allowed.extend(one.allowed);
                    section.cell(one.row, server.name(), || one.outcome);
                }
            }
            Err(error) => section.cell("every request", server.name(), || Err::<String, _>(error)),
        }
    }
    // Only now: what is wrong on purpose must not meet the comparisons.
    for server in Server::ALL {
        section.cell("a planted difference is noticed", server.name(), || planted(server, sandbox, real));
    }
    if Server::ALL.iter().all(|server| server.urls(sandbox, real).is_ok()) {
        section.cell("every allowance is needed", "sandbox", || allowances::all_needed(&allowed));
    }
    Ok(section)
}

fn compare_all(server: Server, sandbox: &Sandbox, real: &Real) -> anyhow::Result<Vec<Compared>> {
    let mut exchanges = exchanges(server, sandbox, real)?;
    let cases = server.cases(sandbox)?;
    Ok(cases.iter().map(|case| compare(server, &mut exchanges, case)).collect())
}

fn exchanges(server: Server, sandbox: &Sandbox, real: &Real) -> anyhow::Result<[Exchange; 2]> {
    Ok(server.urls(sandbox, real)?.map(Exchange::with))
}

/// Makes the sandbox answer wrongly on purpose: a comparison that lets that pass compares nothing.
fn planted(server: Server, sandbox: &Sandbox, real: &Real) -> anyhow::Result<String> {
    let mut exchanges = exchanges(server, sandbox, real)?;
    let faults = [
        ("status", Action::status(418)),
        ("headers.content-type", Action::WrongContentType("text/html".to_owned())),
        ("body", Action::Body(b"{}".to_vec())),
    ];
    for (place, action) in faults {
        // New signers, so that logs do not know the entry yet.
        let case = server.cases(sandbox)?.into_iter().next().context("no request")?;
        let fault = sandbox.fault(Fault::new(server.service(), action));
        let compared = compare(server, &mut exchanges, &case);
        ensure!(fault.hits() == 1, "{} requests went wrong", fault.hits());
        let error = compared.outcome.err().with_context(|| format!("a changed {place} went unnoticed"))?;
        let is_named = error.to_string().split("; ").any(|difference| difference.starts_with(place));
        ensure!(is_named, "{place} was changed, and noticed was: {error:#}");
    }
    Ok("status, content type and body".to_owned())
}

fn compare(server: Server, [in_sandbox, in_reality]: &mut [Exchange; 2], case: &Case) -> Compared {
    let mut allowed = Vec::new();
    let mut attempt = || {
        let ours = in_sandbox.send(&case.request).context("sandbox")?;
        let theirs = in_reality.send(&case.request).context("real")?;
        let summary = format!("{} {}", theirs.status, theirs.text());
        expected(case, &theirs).with_context(|| format!("the real server does not answer as expected: {summary}"))?;
        let (shown, needed) = difference::of(&shape::of(&ours), &shape::of(&theirs))
            .into_iter()
            .map(|found| (allowances::find(server, case.row, &found), found))
            .partition::<Vec<_>, _>(|(allowance, _)| allowance.is_none());
        allowed.extend(needed.iter().filter_map(|(allowance, _)| *allowance));
        if !shown.is_empty() {
            let lines: Vec<String> = shown.iter().map(|(_, found)| found.to_string()).collect();
            bail!("{} (sandbox: {} {}; real: {summary})", lines.join("; "), ours.status, ours.text());
        }
        Ok(summary)
    };
    let outcome = attempt();
    Compared { row: case.row, outcome, allowed }
}

/// A request that is meant to be good must be answered so, and a bad one must be refused for what is bad about it: else nothing is compared.
fn expected(case: &Case, real: &super::http::Answer) -> anyhow::Result<()> {
    match case.expected {
        Expected::Good => ensure!((200..300).contains(&real.status), "a good request"),
        Expected::Bad(status, words) => {
            ensure!(real.status == status, "status {status} was expected");
            let text = String::from_utf8_lossy(&real.body);
            ensure!(text.contains(words), "{words:?} was expected in: {text}");
        }
    }
    Ok(())
}
