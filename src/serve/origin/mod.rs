//! The origin: it keeps the live window that a broadcaster writes, makes the playlists, and counts every request that
//! reaches it.

pub mod answer;
mod capacity;
mod description;
pub mod document;
pub mod faults;
pub mod folder;
pub mod hits;
pub mod ingest;
mod refusal;
mod routes;
pub mod store;
mod store_error;
#[cfg(test)]
pub(crate) mod testing;
mod window;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use warp::Filter;

pub use faults::{AnswerFault, OriginFaults};
pub use hits::Hits;
pub use store::Store;
pub use store_error::StoreError;

use self::capacity::Desk;
use self::ingest::Ingest;
use self::routes::{Counter, Figures};
use super::clock::Clock;
use super::http::listener::ListenerLimits;
use super::likes::{self, Likes, Neighbours};
use super::metrics::Registry;
use super::token::Token;
use crate::hls::steering::Pathways;
use crate::policy::capacity::Capacity;

/// The settings of an origin.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// Number of segments that a playlist lists: at least 6, and at least three target durations of them.
    pub window: u64,
    /// What it can do for viewers and edges. Without a latency a fetch would take no time on loopback.
    pub capacity: Capacity,
    /// The folder in which the window survives a restart.
    pub segments_dir: PathBuf,
    /// The token of broadcasters on other machines; without it ingest is refused.
    pub ingest_token: Option<Token>,
    /// The longest pause within an upload.
    pub ingest_stall: Duration,
    /// Other ways to its streams, between which players are steered.
    pub pathways: Pathways,
    /// Likes, if this origin keeps any.
    pub likes: Option<likes::LikesConfig>,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            window: 10,
            capacity: Capacity::default(),
            segments_dir: PathBuf::from("segments"),
            ingest_token: None,
            ingest_stall: Duration::from_secs(60),
            pathways: Pathways::default(),
            likes: None,
        }
    }
}

/// An origin: its routes for the listeners, and handles to its parts.
#[derive(Clone, Debug)]
pub struct Origin {
    counter: Arc<Counter>,
    ingest: Arc<Ingest>,
    likes: Option<Likes>,
}

/// Why an origin could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The likes could not be opened.
    #[error(transparent)]
    Likes(#[from] likes::OpenError),
}

impl Origin {
    /// Opens the store and the likes, and makes the counters. Blocks on the disk.
    ///
    /// # Errors
    /// See [`Store::open`] and [`Likes::open`].
    pub fn open(
        config: OriginConfig,
        clock: Clock,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let store = Store::open(config.segments_dir, config.window, clock, registry)?;
        store.steer(config.pathways);
        let on_air = store.clone();
        let neighbours = Neighbours {
            on_air: Box::new(move |channel| on_air.knows(channel)),
            operator: config.ingest_token.clone(),
        };
        let likes = config
            .likes
            .map(|config| Likes::open(&config, neighbours, clock, registry))
            .transpose()?;
        let ingest = Ingest::new(
            store.clone(),
            config.ingest_token,
            config.ingest_stall,
            registry,
        );
        let counter = Counter {
            store,
            hits: Hits::new(registry),
            faults: OriginFaults::default(),
            desk: Desk::new(config.capacity, clock, registry),
            clock,
            figures: Figures::new(registry),
        };
        Ok(Self {
            counter: Arc::new(counter),
            ingest: Arc::new(ingest),
            likes,
        })
    }

    /// The likes of this origin, if it keeps any.
    pub fn likes(&self) -> Option<Likes> {
        self.likes.clone()
    }

    /// The store into which a broadcaster in this process publishes.
    pub fn store(&self) -> Arc<Store> {
        self.counter.store.clone()
    }

    /// The counters of requests.
    pub fn hits(&self) -> Hits {
        self.counter.hits.clone()
    }

    /// How long requests have held its slots so far, in sum.
    pub fn busy(&self) -> Duration {
        self.counter.desk.busy()
    }

    /// The injected faults.
    pub fn faults(&self) -> OriginFaults {
        self.counter.faults.clone()
    }

    /// Whether a viewer can join a channel at its live edge; else the sentence that says why not. Old channels in the
    /// folder do not count against it.
    ///
    /// # Errors
    /// The reason why the origin is not ready.
    pub fn ready(&self) -> Result<(), String> {
        let channels = self.counter.store.channels();
        if channels.is_empty() {
            return Err("no channel has been described yet".to_owned());
        }
        if channels
            .iter()
            .any(|channel| self.counter.store.is_current(channel))
        {
            return Ok(());
        }
        let names: Vec<_> = channels.into_iter().map(|channel| channel.name).collect();
        Err(format!(
            "no broadcaster keeps up with the live edge of {}",
            names.join(", ")
        ))
    }

    /// The limits of the listener for viewers and edges. Likes need more methods than a stream.
    pub fn limits(&self) -> ListenerLimits {
        let methods = match self.likes {
            Some(_) => likes::METHODS,
            None => ListenerLimits::default().methods,
        };
        ListenerLimits {
            methods,
            ..ListenerLimits::default()
        }
    }

    /// The routes for viewers and edges. Every path is answered; an unknown path with 404.
    pub fn routes(
        &self,
    ) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
    + Clone
    + Send
    + Sync
    + use<> {
        let others = routes::routes(self.counter.clone());
        likes::routes(self.likes.as_ref()).or(others).unify()
    }

    /// The routes for broadcasters; their methods are [`ingest::METHODS`].
    pub fn ingest_routes(
        &self,
    ) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
    + Clone
    + Send
    + Sync
    + use<> {
        ingest::routes(self.ingest.clone())
    }

    /// `GET /-/hits`, `GET /-/hits/objects`, and the admin routes of likes, for use beside
    /// [`crate::serve::admin::routes`].
    pub fn admin_routes(
        &self,
    ) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection>
    + Clone
    + Send
    + Sync
    + use<> {
        let others = routes::admin_routes(self.hits());
        likes::admin_routes(self.likes.as_ref()).or(others).unify()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Fixture;

    #[tokio::test]
    async fn an_origin_is_ready_once_there_is_something_to_play() {
        let origin = Fixture::listening(|_| {}).await;
        let why = origin.origin.ready().unwrap_err();
        assert_eq!(why, "no broadcaster keeps up with the live edge of demo");
        origin.publish_all(origin.newest).await;
        assert_eq!(origin.origin.ready(), Ok(()));
    }
}
