//! Faults: how a test makes a service answer wrongly, late or not at all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::exchange::Call;
use crate::log::Service;

/// Which requests go wrong, and how. The first fault that matches a request applies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// The service it applies to; `None` for all.
    pub service: Option<Service>,
    /// The method it applies to; `None` for all.
    pub method: Option<String>,
    /// Text that the path (with its query, after `?`) must contain.
    pub path: String,
    /// How many matching requests pass before the first fault.
    pub after: usize,
    /// How many requests go wrong; `None` for all that follow.
    pub times: Option<usize>,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// A fault of every request of a service.
    #[must_use]
    pub fn new(service: Service, action: Action) -> Fault {
        Fault { service: Some(service), method: None, path: String::new(), after: 0, times: None, action }
    }

    /// Restricts the fault to a method.
    #[must_use]
    pub fn method(self, method: &str) -> Fault {
        Fault { method: Some(method.to_owned()), ..self }
    }

    /// Restricts the fault to paths (with query) that contain `part`.
    #[must_use]
    pub fn path(self, part: &str) -> Fault {
        Fault { path: part.to_owned(), ..self }
    }

    /// Lets that many matching requests pass first.
    #[must_use]
    pub fn after(self, after: usize) -> Fault {
        Fault { after, ..self }
    }

    /// Restricts the fault to that many requests.
    #[must_use]
    pub fn times(self, times: usize) -> Fault {
        Fault { times: Some(times), ..self }
    }

    fn matches(&self, service: Service, call: &Call) -> bool {
        self.service.is_none_or(|of| of == service)
            && self.method.as_deref().is_none_or(|of| of.eq_ignore_ascii_case(call.method.as_str()))
            && call.target().contains(&self.path)
    }
}

/// Makes one body of another.
pub type Edit = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// What a fault does to the answer.
///
/// In the first group the service never sees the request; in the second it does its work and the answer is changed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Action {
    /// Answers with this.
    Status {
        /// The status code.
        status: u16,
        /// The body.
        body: String,
        /// Headers, such as `Retry-After`.
        headers: Vec<(String, String)>,
    },
    /// Closes the connection without an answer.
    Close,
    /// Never answers; the connection stays open.
    Stall,
    /// Answers 307 to this URL, whatever the method.
    Redirect(String),

    /// Runs this first, then answers as usual: what another client does in between.
    Before(Arc<dyn Fn() + Send + Sync>),
    /// Waits, then answers as usual.
    Delay(Duration),
    /// Does the work, then closes the connection without an answer.
    LoseAnswer,
    /// Answers with the usual head and a body that never ends.
    Endless,
    /// Answers with the usual head and stops after that many bytes of the body, leaving the connection open.
    StallAfter(usize),
    /// Answers with the usual head (its length too) and closes the connection after that many bytes of the body.
    Truncate(usize),
    /// Answers as usual, but with this content type.
    WrongContentType(String),
    /// Answers as usual, but with this body.
    Body(Vec<u8>),
    /// Answers as usual, but with the body that this makes of the usual one: a forged promise, a swapped certificate.
    Edit(Edit),
    /// Answers as usual, but with this header (`None`: without it).
    Header(String, Option<String>),
}

impl Action {
    /// A status without body or headers.
    #[must_use]
    pub fn status(status: u16) -> Action {
        Action::Status { status, body: String::new(), headers: Vec::new() }
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::Status { status, body, headers } => {
                f.debug_struct("Status").field("status", status).field("body", body).field("headers", headers).finish()
            }
            Action::Close => f.write_str("Close"),
            Action::Stall => f.write_str("Stall"),
            Action::Redirect(to) => f.debug_tuple("Redirect").field(to).finish(),
            Action::Before(_) => f.write_str("Before"),
            Action::Delay(time) => f.debug_tuple("Delay").field(time).finish(),
            Action::LoseAnswer => f.write_str("LoseAnswer"),
            Action::Endless => f.write_str("Endless"),
            Action::StallAfter(bytes) => f.debug_tuple("StallAfter").field(bytes).finish(),
            Action::Truncate(bytes) => f.debug_tuple("Truncate").field(bytes).finish(),
            Action::WrongContentType(to) => f.debug_tuple("WrongContentType").field(to).finish(),
            Action::Body(body) => f.debug_tuple("Body").field(&body.len()).finish(),
            Action::Edit(_) => f.write_str("Edit"),
            Action::Header(name, value) => f.debug_tuple("Header").field(name).field(value).finish(),
        }
    }
}

/// The faults of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Arc<Armed>>>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: AtomicUsize,
}

impl Armed {
    /// Counts a matching request; whether it goes wrong.
    fn strikes(&self) -> bool {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst);
        seen >= self.fault.after && self.fault.times.is_none_or(|times| seen - self.fault.after < times)
    }

    fn hits(&self) -> usize {
        let due = self.seen.load(Ordering::SeqCst).saturating_sub(self.fault.after);
        self.fault.times.map_or(due, |times| due.min(times))
    }
}

impl Faults {
    pub(crate) fn arm(self: &Arc<Self>, fault: Fault) -> FaultGuard {
        let armed = Arc::new(Armed { fault, seen: AtomicUsize::new(0) });
        crate::lock(&self.0).push(Arc::clone(&armed));
        FaultGuard { faults: Arc::clone(self), armed, kept: false }
    }

    pub(crate) fn clear(&self) {
        crate::lock(&self.0).clear();
    }

    /// The action for a request, if one is due.
    pub(crate) fn strike(&self, service: Service, call: &Call) -> Option<Action> {
        let faults = crate::lock(&self.0);
        faults
            .iter()
            .find(|armed| armed.fault.matches(service, call) && armed.strikes())
            .map(|armed| armed.fault.action.clone())
    }
}

/// Ends its fault when dropped.
#[derive(Debug)]
#[must_use = "the fault ends when the guard is dropped"]
pub struct FaultGuard {
    faults: Arc<Faults>,
    armed: Arc<Armed>,
    kept: bool,
}

impl FaultGuard {
    /// How many requests went wrong by this fault.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.armed.hits()
    }

    /// Lets the fault live as long as the sandbox.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if !self.kept {
            crate::lock(&self.faults.0).retain(|armed| !Arc::ptr_eq(armed, &self.armed));
        }
    }
}
