//! One run, request by request, as a picture of characters.

use std::fmt::Write as _;
use std::time::Duration;

use super::record::{Connection, Exchange, Peer};

/// Columns of the picture.
const WIDTH: usize = 72;
/// Longer paths are cut in their middle, where the digest is.
const PATH: usize = 44;

/// A run with more requests is told by its phases alone.
const REQUESTS: usize = 100;

/// Draws every request from its first byte sent to the last byte received, and how long after the one before it began.
pub(crate) fn draw(connections: &[Connection], wall: Duration, round_trip: Duration) -> String {
    let mut lines: Vec<(Peer, usize, bool, Duration, &Exchange)> = Vec::new();
    for (number, connection) in connections.iter().enumerate() {
        for (position, exchange) in connection.exchanges.iter().enumerate() {
            lines.push((connection.peer, number, position == 0, connection.opened, exchange));
        }
    }
    lines.sort_by_key(|(.., exchange)| exchange.begun);
    let mut text = String::new();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let _ = writeln!(
        text,
        "{} requests on {} connections in {:.0} ms; round trip {:.0} ms; c: the connection is being opened",
        lines.len(),
        connections.len(),
        milliseconds(wall),
        milliseconds(round_trip)
    );
    let column = |time: Duration| {
        let share = time.as_secs_f64() / wall.as_secs_f64().max(f64::EPSILON);
        ((share * WIDTH as f64) as usize).min(WIDTH)
    };
    text.push_str(&phases(&lines.iter().map(|(peer, .., exchange)| (*peer, *exchange)).collect::<Vec<_>>(), wall));
    if lines.len() > REQUESTS {
        return text;
    }
    for (peer, number, is_first, opened, exchange) in lines {
        let ended = exchange.ended.unwrap_or(wall);
        let connected = if is_first { opened + round_trip } else { opened };
        let bar: String = (0..WIDTH)
            .map(|at| match at {
                at if at < column(exchange.begun) || at > column(ended) => ' ',
                at if at < column(connected) => 'c',
                _ => '=',
            })
            .collect();
        let _ = writeln!(
            text,
            "{:6.1} {:6.1} |{bar}| #{number:<2} {peer:10} {:4} {} {}",
            milliseconds(exchange.begun),
            milliseconds(ended),
            exchange.method,
            short(&exchange.path),
            exchange.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
        );
    }
    for connection in connections.iter().filter(|connection| connection.exchanges.is_empty()) {
        let _ = writeln!(
            text,
            "{:6.1}        a connection to the {} that was not used",
            milliseconds(connection.opened),
            connection.peer
        );
    }
    text
}

/// What kinds of requests there were: when, how many at once, and how long one took.
fn phases(lines: &[(Peer, &Exchange)], wall: Duration) -> String {
    let mut kinds: Vec<(String, Vec<&Exchange>)> = Vec::new();
    for (peer, exchange) in lines {
        let kind = format!("{peer} {} {}", exchange.method, kind(&exchange.path));
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, exchanges)) => exchanges.push(exchange),
            None => kinds.push((kind, vec![exchange])),
        }
    }
    let mut text = String::new();
    for (kind, exchanges) in kinds {
        let ended = |exchange: &Exchange| exchange.ended.unwrap_or(wall);
        let begun = exchanges.iter().map(|exchange| exchange.begun).min().unwrap_or_default();
        let last = exchanges.iter().map(|exchange| ended(exchange)).max().unwrap_or_default();
        let busy: Duration = exchanges.iter().map(|exchange| ended(exchange).saturating_sub(exchange.begun)).sum();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let _ = writeln!(
            text,
            "{:7.1} to {:7.1}  {:4} x {kind:32} {:5.1} at once, {:6.1} ms each",
            milliseconds(begun),
            milliseconds(last),
            exchanges.len(),
            busy.as_secs_f64() / last.saturating_sub(begun).as_secs_f64().max(f64::EPSILON),
            milliseconds(busy) / exchanges.len() as f64,
        );
    }
    text
}

/// What a request is about, without names and digests.
fn kind(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    if !path.starts_with("/v2/") {
        return path;
    }
    ["manifests", "blobs", "referrers", "tags"]
        .into_iter()
        .find(|kind| path.contains(&format!("/{kind}/")))
        .unwrap_or("/v2/")
}

fn short(path: &str) -> String {
    let characters: Vec<char> = path.chars().collect();
    if characters.len() <= PATH {
        return path.to_owned();
    }
    let half = PATH / 2;
    let (start, end) = (&characters[..half], &characters[characters.len() - half..]);
    format!("{}..{}", String::from_iter(start), String::from_iter(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_drawn_where_it_was_under_way() {
        let exchange = |begun, ended| Exchange {
            method: "GET".to_owned(),
            path: "/v2/".to_owned(),
            begun: Duration::from_millis(begun),
            ended: Some(Duration::from_millis(ended)),
            status: Some(200),
        };
        let connection = Connection {
            peer: Peer::Registry(1),
            opened: Duration::ZERO,
            exchanges: vec![exchange(0, 36), exchange(36, 72)],
        };
        let text = draw(&[connection], Duration::from_millis(72), Duration::from_millis(18));
        let bars: Vec<&str> = text.lines().filter_map(|line| line.split('|').nth(1)).collect();
        let [first, second] = bars.as_slice() else { panic!("{text}") };
        assert_eq!((first.matches('c').count(), first.matches('=').count()), (18, 19), "{text}");
        assert!(first.starts_with('c') && second.starts_with(' ') && second.ends_with('='), "{text}");
    }
}
