//! The connection to the servers: one for all shards, with threads of its own, so that the user of a log may block.
//!
//! The connection restores itself. Nothing is sent while it is broken: the client would queue unsent messages without a
//! bound and send them later.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::connection::State;
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, ServerAddr};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::super::log::{LogError, News, Tell};
use crate::config::keys::{Credentials, JetStreamSettings};
use crate::config::redacted;

/// The longest time of one request.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The longest time to connect, per server.
const CONNECT: Duration = Duration::from_secs(2);
/// The first and the longest pause before the next server is tried. Half of it is random.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A connection; copies share it.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    client: Client,
    context: Context,
    heard: Arc<Heard>,
    /// `Some` until the shutdown.
    runtime: Option<Runtime>,
}

/// The listeners that learn when the connection breaks or comes back.
struct Heard {
    listeners: Mutex<Vec<Tell>>,
    changed: watch::Sender<u64>,
    /// A warning that the servers are gone has been logged.
    away: AtomicBool,
    /// The connection is no longer needed.
    closing: AtomicBool,
}

/// Why a request has no good answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The servers refuse.
    Refused(jetstream::Error),
    /// No server handles such a request. The request has reached none.
    Nobody,
    /// The request was not sent.
    Unsent(String),
    /// No answer came; the request may have arrived.
    Silent(String),
}

impl Connection {
    /// Connects. Blocks.
    pub(super) fn open(config: &JetStreamSettings) -> Result<Self, LogError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("likes-nats")
            .enable_all()
            .build()
            .map_err(|error| LogError::Broken(format!("no thread for NATS: {error}")))?;
        let heard = Arc::new(Heard {
            listeners: Mutex::default(),
            changed: watch::channel(0).0,
            away: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let connected = runtime.block_on(connect(config, heard.clone()));
        let client = match connected {
            Ok(client) => client,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let _context = runtime.enter();
        let context = jetstream::ContextBuilder::new()
            .timeout(ATTEMPT)
            .build(client.clone());
        drop(_context);
        Ok(Self(Arc::new(Inner {
            client,
            context,
            heard,
            runtime: Some(runtime),
        })))
    }

    /// Runs a future on this thread until it is done.
    pub(super) fn block_on<F: Future>(&self, doing: F) -> F::Output {
        self.runtime().block_on(doing)
    }

    /// Runs a future on the connection's own threads.
    pub(super) fn spawn(
        &self,
        doing: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        self.runtime().spawn(doing)
    }

    pub(super) fn context(&self) -> &Context {
        &self.0.context
    }

    /// The name and version of the connected server, and its longest message.
    pub(super) fn server(&self) -> (String, String, usize) {
        let info = self.0.client.server_info();
        (info.server_name, info.version, info.max_payload)
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    pub(super) fn new_inbox(&self) -> String {
        self.0.client.new_inbox()
    }

    /// A counter that changes whenever the connection breaks or comes back, or a caller [nudges](Self::nudge) it.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.heard.changed.subscribe()
    }

    /// Makes the followers of a stream check it again.
    pub(super) fn nudge(&self) {
        self.0.heard.changed.send_modify(|count| *count += 1);
    }

    /// Adds a listener: `tell` is called when the connection breaks and when it comes back.
    pub(super) fn tell(&self, tell: Tell) {
        let mut listeners = self.0.heard.lock();
        if !self.is_up() {
            tell(News::Away);
        }
        listeners.push(tell);
    }

    /// Sends a request to the JetStream API.
    pub(super) async fn ask<V: DeserializeOwned>(
        &self,
        subject: &str,
        question: &impl Serialize,
    ) -> Result<V, Unanswered> {
        let payload = serde_json::to_vec(question).expect("questions are plain data");
        let subject = format!("$JS.API.{subject}");
        self.request(subject, HeaderMap::new(), payload.into())
            .await
    }

    /// Sends a request and decodes the answer.
    pub(super) async fn request<V: DeserializeOwned>(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<V, Unanswered> {
        if !self.is_up() {
            return Err(Unanswered::Unsent(
                "there is no connection to a server of NATS".to_owned(),
            ));
        }
        let mut request = Request::new().payload(payload).timeout(Some(ATTEMPT));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        let answer = self.0.client.send_request(subject, request).await;
        let message = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Unanswered::Nobody,
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Unanswered::Unsent(error.to_string())
            }
            RequestErrorKind::TimedOut => Unanswered::Silent(format!(
                "a server of NATS has not answered within {} s",
                ATTEMPT.as_secs()
            )),
            RequestErrorKind::Other => Unanswered::Silent(error.to_string()),
        })?;
        match serde_json::from_slice(&message.payload) {
            Ok(jetstream::response::Response::Ok(answer)) => Ok(answer),
            Ok(jetstream::response::Response::Err { error }) => Err(Unanswered::Refused(error)),
            Err(error) => Err(Unanswered::Silent(format!(
                "a server of NATS has answered something else than was asked for: {error}"
            ))),
        }
    }

    fn runtime(&self) -> &Runtime {
        let runtime = self.0.runtime.as_ref();
        runtime.expect("it is shut down when the last copy is dropped")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.heard.closing.store(true, Ordering::Relaxed);
        // Dropping a runtime waits for its threads, which is forbidden in async code.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Heard {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Tell>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: &Event) {
        let news = match event {
            Event::Connected => News::Back,
            Event::Disconnected | Event::Closed => News::Away,
            other => {
                tracing::debug!(event = %other, "NATS");
                return;
            }
        };
        if self.closing.load(Ordering::Relaxed) {
            return;
        }
        let away = news == News::Away;
        match (self.away.swap(away, Ordering::Relaxed), away) {
            (false, true) => tracing::warn!("the servers of NATS are gone: likes are refused"),
            (true, false) => tracing::info!("a server of NATS is there again"),
            _ => {}
        }
        for tell in self.lock().iter() {
            tell(news);
        }
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Unanswered {
    /// Whether the servers refused for this reason.
    pub(super) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.error_code() == code)
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "{error}"),
            Self::Nobody => f.write_str("no server of NATS answers that"),
            Self::Unsent(why) | Self::Silent(why) => f.write_str(why),
        }
    }
}

async fn connect(config: &JetStreamSettings, heard: Arc<Heard>) -> Result<Client, LogError> {
    let mut options = ConnectOptions::new()
        .name("seawall")
        .connection_timeout(CONNECT)
        .request_timeout(Some(ATTEMPT))
        .reconnect_delay_callback(|attempts| {
            let pause = PAUSE_MAX.min(PAUSE * 2_u32.saturating_pow(attempts.min(10) as u32));
            pause.mul_f64(0.5 + (crate::serve::chance::draw() % 1_000) as f64 / 2_000.0)
        })
        .event_callback(move |event| {
            heard.hear(&event);
            std::future::ready(())
        });
    options = match &config.credentials() {
        Credentials::None => options,
        Credentials::File(path) => options.credentials_file(path).await.map_err(|error| {
            LogError::Broken(format!(
                "{} holds no credentials: {error}; see likes.jetstream.credentials",
                path.display()
            ))
        })?,
        Credentials::TokenFile(path) => options.token(secret(path)?),
        Credentials::User(name, path) => options.user_and_password(name.clone(), secret(path)?),
    };
    if let Some(path) = &config.tls_ca {
        options = options.add_root_certificates(path.clone());
    }
    let mut servers = Vec::new();
    for server in &config.servers {
        let parsed: Result<ServerAddr, _> = server.parse();
        servers.push(parsed.map_err(|error| {
            LogError::Broken(format!(
                "likes.jetstream.servers names {}, which is no URL of a server: {error}",
                redacted::url(server)
            ))
        })?);
    }
    options.connect(servers).await.map_err(|error| {
        let named: Vec<_> = config
            .servers
            .iter()
            .map(|server| redacted::url(server))
            .collect();
        LogError::Away(format!(
            "no server of NATS lets us in at {}: {error}; start one, or see likes.jetstream.servers",
            named.join(", ")
        ))
    })
}

/// The text of a file, without surrounding white space.
fn secret(path: &Path) -> Result<String, LogError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LogError::Broken(format!("cannot read {}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}
