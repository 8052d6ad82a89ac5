//! A live stream in this process: an origin with its broadcaster, and an edge in front of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use seawall::hls::ladder::Rendition;
use seawall::hls::timeline::{Channel, Layout};
use seawall::policy::limits::Limits;
use seawall::policy::status::MissQueue;
use seawall::serve::admin::Admin;
use seawall::serve::clock::Clock;
use seawall::serve::components::{Doors, EdgeComponent, OriginComponent};
use seawall::serve::edge;
use seawall::serve::likes::rates::Addresses;
use seawall::serve::origin::OriginConfig;
use seawall::serve::workers::Workers;
use tokio_util::sync::CancellationToken;

/// Number of segments that its playlists list.
pub(crate) const WINDOW: u64 = 10;

/// A stream on air; it ends with the runtime of the test.
pub(crate) struct Stage {
    pub(crate) channel: Channel,
    pub(crate) clock: Clock,
    pub(crate) edge: EdgeComponent,
    _origin: OriginComponent,
    _segments: tempfile::TempDir,
}

impl Stage {
    /// Puts the lowest `renditions` of the ladder on air, and returns once a full window is listed.
    pub(crate) async fn on_air(renditions: usize) -> Self {
        let clock = Clock::start();
        let segments = tempfile::tempdir().unwrap();
        let setup = OriginConfig {
            window: WINDOW,
            segments_dir: segments.path().to_owned(),
            ..OriginConfig::default()
        };
        let origin =
            OriginComponent::open(setup, Doors::free(), None, Admin::default(), clock).unwrap();
        let layout = Layout {
            ladder: Rendition::known().into_iter().take(renditions).collect(),
            ..Layout::default()
        };
        let channel = origin
            .broadcast("demo", 1, layout, None, CancellationToken::new())
            .unwrap();
        let setup = edge::EdgeConfig {
            name: "edge-t".to_owned(),
            upstreams: vec![origin.url()],
            miss_queue: MissQueue::Flights,
            cache_bytes: 256 << 20,
            prefetch: true,
            refresh: true,
            limits: Limits::default(),
            access_log: None,
            likes: Addresses::default(),
        };
        let edge = EdgeComponent::open(
            setup,
            Doors::free(),
            Admin::default(),
            100,
            Workers::Here,
            clock,
        )
        .unwrap();
        let (begun, last) = (Instant::now(), channel.first_number() + WINDOW - 1);
        while origin.origin.store().newest("demo") < Some(last) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no full window within a minute"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            channel,
            clock,
            edge,
            _origin: origin,
            _segments: segments,
        }
    }

    /// The address for viewers.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.edge.listeners.listen
    }

    /// The URL of the multivariant playlist.
    pub(crate) fn main(&self) -> String {
        format!("{}/live/demo/main.m3u8", self.edge.url())
    }

    /// The URL of a rendition's playlist.
    pub(crate) fn media(&self, rendition: &Rendition) -> String {
        format!(
            "{}/live/demo/{}/media.m3u8",
            self.edge.url(),
            rendition.name
        )
    }
}
