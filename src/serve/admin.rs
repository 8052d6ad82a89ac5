//! The admin listener's routes: metrics for Prometheus, health for a supervisor, and the configuration of the component.
//!
//! Many scrapes, slow ones or all at once, must cost viewers nothing. So there are few connections ([`limits`]). One
//! rendering runs at a time, off the threads that serve viewers, for all scrapers that came before it began.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Semaphore;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::discovery::Directory;
use super::http::listener::ListenerLimits;
use super::metrics::Registry;
use super::token::Token;
use crate::config::target::Role;

/// Whether a component is ready to serve; else the sentence that says why not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What operators of a component may see and do; copies share the directory.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    /// The token that operators must bring. Without one, every request that needs it is refused.
    pub token: Option<Token>,
    /// The configuration in force, with its secrets redacted.
    pub config: Arc<str>,
    /// The components that can be found through this one.
    pub directory: Directory,
    /// The role under which an edge is listed.
    pub role: Role,
}

impl Admin {
    /// The answer to a request that does not bring the token; `None` if the request does.
    pub(super) fn refusal(&self, request: &HeaderMap) -> Option<Response> {
        let (code, text) = match &self.token {
            None => (
                StatusCode::FORBIDDEN,
                "there is no admin token here: set admin.token or SEAWALL_ADMIN_TOKEN, and start it again\n",
            ),
            Some(token) if token.admits(request) => return None,
            Some(_) => (
                StatusCode::UNAUTHORIZED,
                "the token is missing or wrong: send it as `Authorization: Bearer TOKEN`\n",
            ),
        };
        Some(said(code, text))
    }
}

/// The bounds of an admin listener.
pub fn limits() -> ListenerLimits {
    ListenerLimits {
        connections: 64,
        drain: Duration::from_secs(1),
        methods: &[Method::GET, Method::HEAD, Method::POST, Method::DELETE],
        ..ListenerLimits::default()
    }
}

/// `GET /metrics`, `/healthz` (the process answers), `/readyz` (503 with the reason until it is ready), `/-/targets`
/// (what else there is to scrape), and with the token `/-/config`.
pub fn routes(
    registry: Registry,
    readiness: Readiness,
    admin: Admin,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let scrapes = Scrapes::new(registry);
    let metrics = warp::path!("metrics").then(move || {
        let scrapes = scrapes.clone();
        async move {
            match scrapes.text().await {
                Some(text) => {
                    let text = http::Response::new(text);
                    warp::reply::with_header(text, CONTENT_TYPE, "text/plain; version=0.0.4")
                        .into_response()
                }
                None => said(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "no metrics: see the log\n",
                ),
            }
        }
    });
    let healthz = warp::path!("healthz").map(|| said(StatusCode::OK, "ok\n"));
    let readyz = warp::path!("readyz").map(move || match readiness() {
        Ok(()) => said(StatusCode::OK, "ready\n"),
        Err(why) => said(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        ),
    });
    let directory = admin.directory.clone();
    let targets = warp::path!("-" / "targets")
        .and(warp::header::headers_cloned())
        .map(move |request| warp::reply::json(&directory.groups(&request)).into_response());
    let config = warp::path!("-" / "config")
        .and(warp::header::headers_cloned())
        .map(move |request| {
            admin
                .refusal(&request)
                .unwrap_or_else(|| said(StatusCode::OK, admin.config.to_string()))
        });
    let open = metrics.or(healthz).unify().or(readyz).unify();
    warp::get().and(open.or(targets).unify().or(config).unify())
}

/// A sentence, or a short document, as text.
pub(super) fn said(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let text = http::Response::new(text.into());
    let text = warp::reply::with_header(text, CONTENT_TYPE, "text/plain; charset=utf-8");
    warp::reply::with_status(text, status).into_response()
}

/// Renders the metrics, once for several scrapers if they come together.
#[derive(Clone, Debug)]
struct Scrapes(Arc<Rendering>);

#[derive(Debug)]
struct Rendering {
    registry: Registry,
    /// One permit: one rendering at a time, and a pause after each.
    turn: Arc<Semaphore>,
    /// Number of renderings that have begun so far.
    begun: AtomicU64,
    /// The last rendering that has ended: its number and its text.
    last: Mutex<(u64, Bytes)>,
}

impl Scrapes {
    /// The pause after each rendering, so that scrapers without a pause of their own cannot keep a core busy.
    const PAUSE: Duration = Duration::from_millis(20);

    fn new(registry: Registry) -> Self {
        Self(Arc::new(Rendering {
            registry,
            turn: Arc::new(Semaphore::new(1)),
            begun: AtomicU64::new(0),
            last: Mutex::default(),
        }))
    }

    /// The text of a rendering that begins after this call; `None` if it panicked, which is logged.
    async fn text(&self) -> Option<Bytes> {
        let asked = self.0.begun.load(Ordering::Acquire);
        let turn = self.0.turn.clone().acquire_owned().await.ok()?;
        if let (number, text) = &*self.last()
            && *number > asked
        {
            return Some(text.clone());
        }
        let scrapes = self.clone();
        // The rendering owns the permit, so that a scraper who leaves does not let the next rendering begin at once.
        let rendering = tokio::task::spawn_blocking(move || {
            let number = scrapes.0.begun.fetch_add(1, Ordering::AcqRel) + 1;
            let text = Bytes::from(scrapes.0.registry.render());
            *scrapes.last() = (number, text.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Self::PAUSE).await;
                drop(turn);
            });
            text
        });
        rendering.await.ok()
    }

    fn last(&self) -> std::sync::MutexGuard<'_, (u64, Bytes)> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future;

    use super::*;
    use crate::serve::metrics::EDGE_HELD;

    #[tokio::test]
    async fn a_thousand_scrapes_at_once_are_rendered_twice() {
        let scrapes = Scrapes::new(Registry::new(&[]));
        let texts = future::join_all((0..1_000).map(|_| scrapes.text())).await;
        assert!(texts.iter().all(|text| !text.as_ref().unwrap().is_empty()));
        assert!(scrapes.0.begun.load(Ordering::Relaxed) <= 2);
    }

    #[tokio::test]
    async fn no_scrape_gets_what_was_rendered_before_it_asked() {
        let registry = Registry::new(&[]);
        let gauge = registry.gauge(EDGE_HELD);
        let scrapes = Scrapes::new(registry);
        for value in 1..=3 {
            gauge.set(value);
            let text = scrapes.text().await.unwrap();
            let line = format!("{} {value}\n", EDGE_HELD.name);
            assert!(String::from_utf8_lossy(&text).contains(&line), "{value}");
        }
    }
}
