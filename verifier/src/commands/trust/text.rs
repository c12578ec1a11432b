//! The same for people.

use std::fmt::Write as _;

use countersign_verifier::trusted_root::{Authority, Change, WindowState};
use jiff::{SignedDuration, Timestamp};

use super::document::{Document, Repository, Shown};

/// How many characters of a key's id are shown.
const KEY_CHARACTERS: usize = 16;

/// Returns what is believed, one line for what matters first.
pub(super) fn of(document: &Document) -> String {
    let mut text = format!("trusted root: {}\n", document.source.origin);
    push(&mut text, 1, &document.digest);
    match &document.repository {
        Some(repository) => about(&mut text, repository),
        None if document.embedded.in_use => {
            push(&mut text, 1, &format!("{} days old: it does not learn of rotated keys", document.embedded.age_days));
        }
        None => push(&mut text, 1, "a file: nobody renews it"),
    }
    if !document.embedded.in_use {
        let embedded = &document.embedded;
        push(&mut text, 1, &format!("the copy inside this program, not in use, is {} days old", embedded.age_days));
    }
    if let Some(changes) = &document.changes {
        text.push('\n');
        if changes.is_empty() {
            text.push_str("no key came, went or was retired\n");
        }
        for change in changes {
            text.push_str(&changed(change));
            text.push('\n');
        }
        return text;
    }
    let mut kind = None;
    for Shown { authority, state } in &document.authorities {
        if kind != Some(authority.kind) {
            let _ = write!(text, "\n{}\n", authority.kind.words());
            kind = Some(authority.kind);
        }
        shown(&mut text, authority, *state);
    }
    for path in &document.written {
        let _ = write!(text, "\nwritten: {path}");
    }
    if !document.written.is_empty() {
        text.push('\n');
    }
    text
}

fn about(text: &mut String, repository: &Repository) {
    match (repository.refreshed, repository.age_seconds) {
        (Some(refreshed), Some(age)) => push(text, 1, &format!("refreshed {} ago, {}", span(age), time(refreshed))),
        _ => push(text, 1, "taken over from a copy, the repository was not asked"),
    }
    if let Some(outage) = &repository.outage {
        push(text, 1, &format!("the repository cannot be asked now: {outage}"));
    }
    if let Some(expires) = repository.expires {
        push(text, 1, &format!("usable without a connection until {}", time(expires)));
    }
    for role in &repository.roles {
        push(text, 2, &format!("{} {}, expires {}", role.name, role.version, time(role.expires)));
    }
}

fn shown(text: &mut String, authority: &Authority, state: WindowState) {
    push(text, 1, &name(authority));
    let note = match state {
        WindowState::Current => "",
        WindowState::Expired => ": over, what was signed in it still counts",
        WindowState::Future => ": not begun",
        _ => "",
    };
    push(text, 2, &format!("key {}, {}{note}", short(&authority.key_id), window(authority)));
    for certificate in &authority.certificates {
        let validity = match (certificate.not_before, certificate.not_after) {
            (Some(start), Some(end)) => format!("{} to {}", time(start), time(end)),
            _ => "no validity".to_owned(),
        };
        push(text, 2, &format!("certificate {}, {}, {validity}", short(&certificate.sha256), certificate.subject));
    }
}

fn changed(change: &Change) -> String {
    let line = |what: &str, authority: &Authority| {
        let kind = authority.kind.words();
        format!("{what}: {kind} {}, key {}, {}", name(authority), short(&authority.key_id), window(authority))
    };
    match change {
        Change::Added(authority) => line("added", authority),
        Change::Removed(authority) => line("removed", authority),
        Change::Retired(authority) => line("retired", authority),
        Change::WindowMoved { authority, .. } => line("window moved", authority),
        _ => "changed".to_owned(),
    }
}

fn name(authority: &Authority) -> String {
    let names = [authority.name.as_deref(), authority.url.as_deref()];
    names.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn window(authority: &Authority) -> String {
    match (authority.valid_from, authority.valid_until) {
        (Some(start), Some(end)) => format!("from {} until {}", time(start), time(end)),
        (Some(start), None) => format!("since {}", time(start)),
        (None, Some(end)) => format!("until {}", time(end)),
        (None, None) => "at any time".to_owned(),
    }
}

fn short(id: &str) -> String {
    id.chars().take(KEY_CHARACTERS).collect()
}

fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn span(seconds: i64) -> String {
    let span = SignedDuration::from_secs(seconds.max(0));
    match (span.as_hours(), span.as_mins()) {
        (hours, _) if hours >= 48 => format!("{} days", hours / 24),
        (hours, _) if hours >= 2 => format!("{hours} h"),
        (_, minutes) if minutes >= 2 => format!("{minutes} min"),
        _ => format!("{} s", span.as_secs()),
    }
}

fn push(text: &mut String, depth: usize, line: &str) {
    let _ = writeln!(text, "{:width$}{line}", "", width = depth * 2);
}
