//! The sockets: one listener for each service, one way through log and faults for all.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Request as HttpRequest, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::exchange::{Call, Reply};
use crate::faults::{Action, Faults};
use crate::log::{Request, RequestLog, Service};
use crate::problem::Problem;
use crate::registry::Registry;
use crate::sigstore::Sigstore;

/// What answers the calls.
pub(crate) struct Services {
    pub(crate) registry: Arc<Registry>,
    pub(crate) sigstore: Arc<Sigstore>,
}

impl Services {
    fn answer(&self, service: Service, call: &Call) -> Reply {
        match service {
            Service::Registry => self.registry.answer(call),
            _ => self.sigstore.answer(service, call),
        }
    }
}

/// Listens on 127.0.0.1; port 0 is a free one.
pub(crate) fn listen(port: u16) -> anyhow::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("listen on port {port}"))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// What every connection shares.
pub(crate) struct Shared {
    pub(crate) services: Services,
    pub(crate) log: Arc<RequestLog>,
    pub(crate) faults: Arc<Faults>,
}

/// The running servers; dropping stops them and frees their ports.
pub(crate) struct Servers {
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    pub(crate) fn start(listeners: Vec<(Service, TcpListener)>, shared: Shared) -> anyhow::Result<Servers> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::new(shared);
        let thread = std::thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
            runtime.block_on(async {
                for (service, listener) in listeners {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => drop(tokio::spawn(accept(service, listener, Arc::clone(&shared)))),
                        // The listener is closed: whoever connects is refused, which the test sees.
                        Err(_) => continue,
                    }
                }
                drop(stopped.await);
            });
            // Waits for the listeners to close, so that their ports are free again.
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        })?;
        Ok(Servers { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(service: Service, listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    loop {
        // Out of descriptors or a connection reset before it was taken: the next one may do.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let serve = service_fn(move |request| exchange(service, Arc::clone(&shared), request));
            // An error here is a client that went away or a fault that closed the connection.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await);
        });
    }
}

/// One request: read it, log it, let it go wrong if a fault says so. An error closes the connection.
async fn exchange(
    service: Service,
    shared: Arc<Shared>,
    request: HttpRequest<Incoming>,
) -> io::Result<Response<Outgoing>> {
    let (head, body) = request.into_parts();
    let Some(body) = read(body, service.body_limit()).await? else { return Ok(whole(too_large(service))) };
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head.headers,
        body,
    };
    let number = shared.log.arrived(logged(service, &call));
    let action = shared.faults.strike(service, &call);
    let faulted = action.is_some();
    let answer = act(action, || shared.services.answer(service, &call)).await;
    let status = answer.as_ref().map_or(0, |response| response.status().as_u16());
    shared.log.answered(number, status, faulted);
    answer
}

/// The whole body, or none where it is larger than that. Such a body is read to its end all the same: a client that cannot send sees no
/// answer.
async fn read(mut body: Incoming, limit: usize) -> io::Result<Option<Bytes>> {
    let mut read = BytesMut::new();
    let mut fits = true;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        fits = fits && read.len() + data.len() <= limit;
        if fits {
            read.extend_from_slice(&data);
        }
    }
    Ok(fits.then(|| read.freeze()))
}

/// The services behind grpc-gateway call a body that is too large a bad request.
fn too_large(service: Service) -> Reply {
    match service {
        Service::Fulcio | Service::RekorV2 => Problem::invalid("http: request body too large").grpc(),
        _ => Reply::new(StatusCode::PAYLOAD_TOO_LARGE),
    }
}

fn logged(service: Service, call: &Call) -> Request {
    Request {
        service,
        method: call.method.as_str().to_owned(),
        path: call.path.clone(),
        query: call.query.clone(),
        status: 0,
        content_type: call.header("content-type").map(str::to_owned),
        authorized: call.headers.contains_key("authorization"),
        faulted: false,
        headers: call.headers.clone(),
        body: if call.body.len() <= Request::KEPT_BODY { call.body.clone() } else { Bytes::new() },
        body_length: call.body.len(),
    }
}

async fn act(action: Option<Action>, answer: impl FnOnce() -> Reply) -> io::Result<Response<Outgoing>> {
    let Some(action) = action else { return Ok(whole(answer())) };
    match action {
        Action::Status { status, body, headers } => Ok(whole(stated(status, body, &headers))),
        Action::Close => Err(closed()),
        Action::Stall => std::future::pending().await,
        Action::Redirect(to) => Ok(whole(Reply::new(StatusCode::TEMPORARY_REDIRECT).header(LOCATION, to))),
        Action::Before(run) => {
            run();
            Ok(whole(answer()))
        }
        Action::Delay(time) => {
            tokio::time::sleep(time).await;
            Ok(whole(answer()))
        }
        Action::LoseAnswer => {
            answer();
            Err(closed())
        }
        Action::Endless => Ok(with_body(answer(), |_| Outgoing::Endless)),
        Action::StallAfter(bytes) => Ok(part(answer(), bytes, Then::Stall)),
        Action::Truncate(bytes) => Ok(part(answer(), bytes, Then::Close(pause()))),
        Action::WrongContentType(to) => Ok(whole(answer().header(CONTENT_TYPE, to))),
        Action::Body(body) => Ok(whole(Reply { body: body.into(), ..answer() })),
        Action::Edit(edit) => {
            let reply = answer();
            let body = edit(&reply.body).into();
            Ok(whole(Reply { body, ..reply }))
        }
        Action::Header(name, value) => Ok(whole(with_header(answer(), &name, value))),
    }
}

fn stated(status: u16, body: String, headers: &[(String, String)]) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reply = Reply { body: body.into(), ..Reply::new(status) };
    headers.iter().fold(reply, |reply, (name, value)| with_header(reply, name, Some(value.clone())))
}

fn with_header(mut reply: Reply, name: &str, value: Option<String>) -> Reply {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return reply };
    match value {
        Some(value) => reply.header(name, value),
        None => {
            reply.headers.remove(name);
            reply
        }
    }
}

fn pause() -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(std::time::Duration::from_millis(100)))
}

fn closed() -> io::Error {
    io::Error::other("closed by a fault")
}

fn whole(reply: Reply) -> Response<Outgoing> {
    with_body(reply, |body| Outgoing::Whole(Some(body)))
}

/// The head of the answer, its length included, and the first bytes of its body.
fn part(reply: Reply, bytes: usize, then: Then) -> Response<Outgoing> {
    let length = HeaderValue::from(reply.body.len());
    let first = |body: Bytes| Outgoing::Part { start: Some(body.slice(..bytes.min(body.len()))), then };
    let mut response = with_body(reply, first);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// The head of the answer with another body.
fn with_body(reply: Reply, body: impl FnOnce(Bytes) -> Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = *reply.headers;
    response
}

/// A body on its way out.
enum Outgoing {
    Whole(Option<Bytes>),
    Endless,
    Part { start: Option<Bytes>, then: Then },
}

enum Then {
    /// After a pause in which what was sent leaves the buffers.
    Close(Pin<Box<Sleep>>),
    Stall,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Outgoing::Whole(body) => {
                Poll::Ready(body.take().filter(|body| !body.is_empty()).map(|body| Ok(Frame::data(body))))
            }
            // Blanks: white space is what a parser of JSON would read for ever.
            Outgoing::Endless => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 << 10]))))),
            Outgoing::Part { start, then } => match (start.take().filter(|start| !start.is_empty()), then) {
                (Some(start), _) => Poll::Ready(Some(Ok(Frame::data(start)))),
                (None, Then::Close(pause)) => pause.as_mut().poll(context).map(|()| Some(Err(closed()))),
                (None, Then::Stall) => Poll::Pending,
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            _ => SizeHint::default(),
        }
    }
}
