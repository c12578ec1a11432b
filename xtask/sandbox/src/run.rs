//! Starting and stopping a sandbox, and the handles to its parts.

use std::sync::Arc;

use crate::clock::Clock;
use crate::exchange::{Call, Reply};
use crate::faults::{Fault, FaultGuard, Faults};
use crate::log::{Request, RequestLog, Service};
use crate::registry::{Auth, Behaviour, ReferrersApi, Registry, RegistryHandle};
use crate::server::{self, Answer, Servers, Shared};

/// How a sandbox starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the registry has the referrers API.
    pub referrers_api: bool,
    /// The credentials that the registry asks for.
    pub auth: Auth,
    /// Whether reading needs no credentials.
    pub anonymous_pull: bool,
    /// The size of a page of tags, repositories and referrers; `None` for no paging.
    pub page_size: Option<usize>,
    /// Whether mounts succeed (201) or become uploads (202).
    pub mounts: bool,
    /// Whether the registry writes absolute `Location` headers, as distribution does, or paths.
    pub absolute_locations: bool,
    /// Whether the registry heeds `If-Match` and `If-None-Match` of a manifest push. Real ones ignore them.
    pub compare_and_swap: bool,
    /// The port of the registry; 0 for a free one.
    pub registry_port: u16,
    /// The time of the services.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            referrers_api: true,
            auth: Auth::None,
            anonymous_pull: false,
            page_size: None,
            mounts: true,
            absolute_locations: false,
            compare_and_swap: false,
            registry_port: 0,
            clock: Clock::system(),
        }
    }
}

/// A running registry and Sigstore stack. Dropping it stops the servers and frees the ports.
pub struct Sandbox {
    registry: RegistryHandle,
    log: Arc<RequestLog>,
    faults: Arc<Faults>,
    _servers: Servers,
}

struct Services {
    registry: Arc<Registry>,
}

impl Answer for Services {
    fn answer(&self, service: Service, call: &Call) -> Reply {
        match service {
            Service::Registry => self.registry.answer(call),
            _ => Reply::not_found(),
        }
    }
}

impl Sandbox {
    /// Starts the servers; they answer when this returns.
    pub fn start(options: Options) -> anyhow::Result<Sandbox> {
        let (listener, port) = server::listen(options.registry_port)?;
        let registry = Registry::new(format!("127.0.0.1:{port}"), options.clock.clone(), behaviour(&options));
        let log = Arc::new(RequestLog::default());
        let faults = Arc::new(Faults::default());
        let services = Box::new(Services { registry: Arc::clone(&registry) });
        let shared = Shared { services, log: Arc::clone(&log), faults: Arc::clone(&faults) };
        let servers = Servers::start(vec![(Service::Registry, listener)], shared)?;
        Ok(Sandbox { registry: RegistryHandle(registry), log, faults, _servers: servers })
    }

    /// Returns the registry, to be used without HTTP.
    #[must_use]
    pub fn registry(&self) -> &RegistryHandle {
        &self.registry
    }

    /// Returns every request so far, of all services, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.log.all()
    }

    /// Returns the requests of one service so far.
    #[must_use]
    pub fn requests_of(&self, service: Service) -> Vec<Request> {
        let mut requests = self.log.all();
        requests.retain(|request| request.service == service);
        requests
    }

    /// Empties the request log.
    pub fn clear_requests(&self) {
        self.log.clear();
    }

    /// Makes requests go wrong until the guard is dropped.
    pub fn fault(&self, fault: Fault) -> FaultGuard {
        self.faults.arm(fault)
    }

    /// Replaces all faults; these last until they are replaced or the sandbox ends.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.clear();
        for fault in faults {
            self.faults.arm(fault).keep();
        }
    }
}

fn behaviour(options: &Options) -> Behaviour {
    Behaviour {
        auth: options.auth.clone(),
        anonymous_pull: options.anonymous_pull,
        referrers: if options.referrers_api { ReferrersApi::Complete } else { ReferrersApi::Absent },
        page_size: options.page_size,
        mounts: options.mounts,
        absolute_locations: options.absolute_locations,
        compare_and_swap: options.compare_and_swap,
    }
}
