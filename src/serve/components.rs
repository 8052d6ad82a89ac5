//! Builds and stops the components (an origin, an edge) with their listeners, alone or all in one process.
//!
//! A [`Listeners`] holds a component's listeners and owns its tasks. Stopping one closes its listeners, lets answers in
//! flight finish within the drain limit, and returns when its last task has ended. A cluster stops from the viewers
//! inwards: edges, broadcaster, origin.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use warp::{Filter, Reply};

use super::admin::{self, Admin, Readiness};
use super::broadcaster::{self, Broadcaster, Pace, Sink};
use super::clock::Clock;
use super::discovery::{Directory, DirectoryEntry};
use super::edge::EdgeError;
use super::edge::{self, Edge};
use super::http::listener::{self, AtOnce, BindError, Counters, ListenerLimits};
use super::metrics::Registry;
use super::origin::{self, Origin, OriginConfig, StoreError, ingest};
use super::workers::Workers;
use crate::config::target::Role;
use crate::hls::timeline::{Channel, Layout};

/// Why a component could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener failed.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The origin failed.
    #[error(transparent)]
    Origin(#[from] origin::OpenError),
    /// The edge failed.
    #[error(transparent)]
    Edge(#[from] EdgeError),
}

/// The addresses on which a component listens, and the flags that set them.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// For viewers, or for edges.
    pub listen: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// The flag that sets `listen`.
    pub listen_option: &'static str,
    /// The flag that sets `admin`.
    pub admin_option: &'static str,
}

impl Doors {
    /// The addresses of the edge with this index, counted from 0. Its ports lie above those of the first edge. A port
    /// of 0 stays 0, for any free port.
    pub fn nth(self, index: u16) -> Self {
        let above = |mut addr: SocketAddr| {
            if addr.port() != 0 {
                addr.set_port(addr.port().saturating_add(index));
            }
            addr
        };
        Self {
            listen: above(self.listen),
            admin: above(self.admin),
            ..self
        }
    }

    /// Any free ports of the loopback.
    pub fn free() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any,
            admin: any,
            listen_option: "--listen",
            admin_option: "--admin",
        }
    }
}

/// A pair of listeners and the tasks behind them.
#[derive(Debug)]
pub struct Listeners {
    /// The address for viewers, or for edges.
    pub listen: SocketAddr,
    /// The address for operators.
    pub admin: SocketAddr,
    stop: CancellationToken,
    /// Cancelled when viewers, or edges, are no longer accepted, for a while or for good.
    open: Mutex<CancellationToken>,
    tasks: TaskTracker,
}

impl Listeners {
    /// Binds both listeners before a request is served, so that a taken port is reported at once.
    fn open<R, F, A, B>(
        doors: Doors,
        routes: F,
        at_once: impl AtOnce,
        admin_routes: A,
        limits: ListenerLimits,
        counters: Option<Counters>,
    ) -> Result<Self, BindError>
    where
        F: Filter<Extract = (R,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
        F::Future: Send,
        R: Reply + Send + 'static,
        A: Filter<Extract = (B,), Error = warp::Rejection> + Clone + Send + Sync + 'static,
        A::Future: Send,
        B: Reply + Send + 'static,
    {
        let viewers = listener::bind(doors.listen, doors.listen_option)?;
        let operators = listener::bind(doors.admin, doors.admin_option)?;
        let addr = |socket: &tokio::net::TcpListener| {
            socket.local_addr().expect("a bound socket has an address")
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let open = Mutex::new(stop.child_token());
        let listeners = Self {
            listen: addr(&viewers),
            admin: addr(&operators),
            stop,
            open,
            tasks,
        };
        // Operators keep their view while viewers drain: their listener closes with a token that is cancelled later.
        let drained = CancellationToken::new();
        listeners.tasks.spawn(listener::serve(
            operators,
            admin_routes,
            listener::nothing_at_once,
            admin::limits(),
            None,
            drained.clone(),
        ));
        let (stop, open) = (listeners.stop.clone(), listeners.door().clone());
        listeners.tasks.spawn(async move {
            listener::serve(viewers, routes, at_once, limits, counters, open).await;
            stop.cancelled().await;
            drained.cancel();
        });
        Ok(listeners)
    }

    fn door(&self) -> MutexGuard<'_, CancellationToken> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task beside the listeners; stopping the component waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Closes the listeners, drains, and waits for every task.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A listener for operators of what is not a component: an audience. It closes when this is dropped.
#[derive(Debug)]
pub struct MetricsDoor {
    /// Its address.
    pub addr: SocketAddr,
    _stop: DropGuard,
}

impl MetricsDoor {
    /// Opens the listener.
    ///
    /// # Errors
    /// The port is taken.
    pub fn open(addr: SocketAddr, registry: Registry) -> Result<Self, BindError> {
        let socket = listener::bind(addr, "--metrics")?;
        let addr = socket.local_addr().unwrap_or(addr);
        let stop = CancellationToken::new();
        // Ends with the token, which is cancelled when the returned value is dropped.
        tokio::spawn(listener::serve(
            socket,
            admin::routes(registry, Arc::new(|| Ok(())), Admin::default()),
            listener::nothing_at_once,
            admin::limits(),
            None,
            stop.clone(),
        ));
        let _stop = stop.drop_guard();
        Ok(Self { addr, _stop })
    }
}

/// An edge and its listeners.
#[derive(Debug)]
pub struct EdgeComponent {
    /// The edge.
    pub edge: Arc<Edge>,
    /// Its listeners.
    pub listeners: Listeners,
    _entry: DirectoryEntry,
}

impl EdgeComponent {
    /// Opens an edge with a cold cache.
    ///
    /// # Errors
    /// A port is taken, or the upstream is no URL.
    pub fn open(
        config: edge::EdgeConfig,
        doors: Doors,
        admin: Admin,
        connections_max: usize,
        workers: Workers,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let edge = Edge::new(config, clock)?;
        let runtimes = workers.metrics();
        runtimes
            .into_iter()
            .for_each(|runtime| edge.registry().watch(runtime));
        let ready = edge.clone();
        let readiness: Readiness = Arc::new(move || ready.ready());
        let (directory, role) = (admin.directory.clone(), admin.role);
        let admin_routes = edge.operator_routes(admin.clone()).or(admin::routes(
            edge.registry().clone(),
            readiness,
            admin,
        ));
        let limits = ListenerLimits {
            connections: connections_max,
            workers,
            ..ListenerLimits::viewers()
        };
        let counters = edge.metrics().connections.clone();
        let front = edge.clone();
        let listeners = Listeners::open(
            doors,
            edge.routes(),
            move |request: &_| front.fresh_hit(request),
            admin_routes,
            limits,
            Some(counters),
        )?;
        listeners.spawn(edge.clone().find_origin(listeners.stop.clone()));
        listeners.spawn(edge.clone().see_to_health(listeners.stop.clone()));
        listeners.spawn(edge.clone().let_readers_go(listeners.stop.clone()));
        let listed = directory.list(role, edge.name(), listeners.admin);
        Ok(Self {
            edge,
            listeners,
            _entry: listed,
        })
    }

    /// The base URL for viewers.
    pub fn url(&self) -> String {
        format!("http://{}", self.listeners.listen)
    }
}

/// An origin, its listeners, and the broadcaster beside it if there is one.
#[derive(Debug)]
pub struct OriginComponent {
    /// The origin.
    pub origin: Origin,
    /// Its listeners.
    pub listeners: Listeners,
    /// Where broadcasters put segments; `None` without an ingest listener.
    pub ingest: Option<SocketAddr>,
    /// How its broadcasts are paced.
    pub pace: Pace,
    /// The components that can be found through its admin listener.
    pub directory: Directory,
    _entry: DirectoryEntry,
    figures: broadcaster::Figures,
    clock: Clock,
    window: u64,
}

impl OriginComponent {
    /// Opens an origin, and an ingest listener if an address is given. Blocks on the disk.
    ///
    /// # Errors
    /// A port is taken, or the folder of segments cannot be used.
    pub fn open(
        config: OriginConfig,
        doors: Doors,
        ingest: Option<SocketAddr>,
        admin: Admin,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let directory = admin.directory.clone();
        let registry = Registry::new(&[]);
        let window = config.window;
        let origin = Origin::open(config, clock, &registry)?;
        let ready = origin.clone();
        let readiness: Readiness = Arc::new(move || ready.ready());
        let admin_routes =
            origin
                .admin_routes()
                .or(admin::routes(registry.clone(), readiness, admin));
        let listeners = Listeners::open(
            doors,
            origin.routes(),
            listener::nothing_at_once,
            admin_routes,
            origin.limits(),
            None,
        )?;
        let listed = directory.list(Role::Origin, "origin", listeners.admin);
        if let Some(likes) = origin.likes() {
            listeners.spawn(likes.run_until(listeners.stop.clone()));
        }
        let mut open = Self {
            origin,
            listeners,
            directory,
            _entry: listed,
            ingest: None,
            pace: Pace::default(),
            figures: broadcaster::Figures::new(&registry),
            clock,
            window,
        };
        if let Some(addr) = ingest {
            let socket = listener::bind(addr, "--ingest")?;
            open.ingest = socket.local_addr().ok();
            let limits = ListenerLimits {
                methods: ingest::METHODS,
                connections: 256,
                ..ListenerLimits::default()
            };
            let stop = open.listeners.stop.clone();
            open.listeners.spawn(listener::serve(
                socket,
                open.origin.ingest_routes(),
                listener::nothing_at_once,
                limits,
                None,
                stop,
            ));
        }
        Ok(open)
    }

    /// Stops accepting connections, as if the origin were gone. Answers in flight may still finish.
    pub fn shut(&self) {
        self.listeners.door().cancel();
    }

    /// Accepts connections again, at the same address.
    ///
    /// # Errors
    /// The port is taken, as it is until the listener before has closed.
    pub fn reopen(&self) -> Result<(), BindError> {
        let listener = listener::bind(self.listeners.listen, "--listen")?;
        let open = self.listeners.stop.child_token();
        *self.listeners.door() = open.clone();
        self.listeners.spawn(listener::serve(
            listener,
            self.origin.routes(),
            listener::nothing_at_once,
            self.origin.limits(),
            None,
            open,
        ));
        Ok(())
    }

    /// The base URL for edges.
    pub fn url(&self) -> String {
        format!("http://{}", self.listeners.listen)
    }

    /// Starts a broadcast of the channel in this process, and returns the description in force. If the channel is on
    /// disk already, its `started_at` is kept. The broadcast ends with `stop`.
    ///
    /// # Errors
    /// The folder holds a channel of this name with another layout, or cannot be written.
    pub fn broadcast(
        &self,
        name: &str,
        seed: u64,
        layout: Layout,
        started_at_ms: Option<u64>,
        stop: CancellationToken,
    ) -> Result<Channel, StartError> {
        let proposed = channel(name, seed, layout, started_at_ms, self.window, self.clock);
        let channel = self.origin.store().adopt_or_describe(proposed)?;
        let sink = Sink::InProcess(self.origin.store());
        let broadcaster = Broadcaster::new(
            channel.clone(),
            self.window,
            sink,
            self.clock,
            self.figures.clone(),
        )
        .paced_by(self.pace.clone());
        self.listeners.spawn(async move {
            if let Err(error) = broadcaster.run(stop).await {
                tracing::error!(%error, "the broadcast has ended");
            }
        });
        Ok(channel)
    }
}

/// A channel that begins when the configuration says, or so early that a full window exists at once.
pub fn channel(
    name: &str,
    seed: u64,
    layout: Layout,
    started_at_ms: Option<u64>,
    window: u64,
    clock: Clock,
) -> Channel {
    let started_at = match started_at_ms {
        Some(millis) => crate::time::UnixTime::from_millis(millis),
        None => broadcaster::fresh_start(&layout, window, clock.unix()),
    };
    Channel {
        name: name.to_owned(),
        seed,
        layout,
        started_at,
    }
}

/// Raises this process's limit of descriptors as far as the system allows, and returns it. Shells often start programs
/// with 1,024, and every connection takes one.
pub fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // A limit that cannot be raised stays as it is and is returned.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |count| count as usize)
}

/// The number of connections that an edge may hold: the number asked for, or 15,000. The `edges` share three quarters
/// of the process's descriptors, and the number is no higher than one share.
pub fn connections_max(asked: Option<usize>, edges: usize) -> usize {
    const DEFAULT: usize = 15_000;
    let share = raise_descriptor_limit() / 4 * 3 / edges.max(1);
    asked.unwrap_or(DEFAULT).min(share.max(1))
}
